//! How long something that happens again and again takes: the 99th percentile of the last ten
//! seconds for the statement, and every value for the metrics. It must not know what is timed.

use hdrhistogram::Histogram;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Values of so many whole seconds count.
const WINDOW: u64 = 10;
/// The longest time that is told apart, in microseconds: ten minutes.
const LONGEST: u64 = 600_000_000;

/// What the statement says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// 99 of 100 took at most this long; `None`: nothing happened lately.
    pub p99: Option<Duration>,
    /// The oldest one under way has taken this long by now.
    pub pending: Option<Duration>,
}

/// See the module; cheap to clone.
#[derive(Clone)]
pub struct Timing {
    kept: Arc<Mutex<Kept>>,
    metric: metrics::Histogram,
}

struct Kept {
    begin: Instant,
    /// By second since `begin`, the newest ones.
    seconds: BTreeMap<u64, Histogram<u32>>,
    /// Those under way, by number.
    under_way: BTreeMap<u64, Instant>,
    next: u64,
}

/// Something that is under way; it ends when this is dropped.
pub struct Running {
    timing: Timing,
    number: u64,
    begin: Instant,
}

impl Timing {
    /// Nothing has happened yet. Values also go to the histogram of this name, in seconds.
    pub fn new(metric: &'static str) -> Self {
        let kept = Kept {
            begin: Instant::now(),
            seconds: BTreeMap::new(),
            under_way: BTreeMap::new(),
            next: 0,
        };
        Self { kept: Arc::new(Mutex::new(kept)), metric: metrics::histogram!(metric) }
    }

    /// Something begins.
    pub fn begin(&self) -> Running {
        let begin = Instant::now();
        let mut kept = self.kept();
        let number = kept.next;
        kept.next += 1;
        kept.under_way.insert(number, begin);
        drop(kept);
        Running { timing: self.clone(), number, begin }
    }

    /// As of now.
    pub fn reading(&self) -> Reading {
        let now = Instant::now();
        let mut kept = self.kept();
        kept.forget(now);
        let mut all: Option<Histogram<u32>> = None;
        for second in kept.seconds.values() {
            match &mut all {
                None => all = Some(second.clone()),
                // Both have the same bounds.
                Some(all) => drop(all.add(second)),
            }
        }
        let p99 = all.filter(|all| !all.is_empty());
        Reading {
            p99: p99.map(|all| Duration::from_micros(all.value_at_quantile(0.99))),
            pending: kept.under_way.values().next().map(|at| now.duration_since(*at)),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn second(&self, now: Instant) -> u64 {
        now.duration_since(self.begin).as_secs()
    }

    fn forget(&mut self, now: Instant) {
        let oldest = self.second(now).saturating_sub(WINDOW);
        self.seconds.retain(|second, _| *second >= oldest);
    }

    fn record(&mut self, took: Duration, now: Instant) {
        let second = self.second(now);
        if !self.seconds.contains_key(&second) {
            self.forget(now);
            let Ok(empty) = Histogram::new_with_bounds(1, LONGEST, 2) else { return };
            self.seconds.insert(second, empty);
        }
        if let Some(values) = self.seconds.get_mut(&second) {
            let us = u64::try_from(took.as_micros()).unwrap_or(LONGEST);
            values.saturating_record(us.max(1));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let now = Instant::now();
        let took = now.duration_since(self.begin);
        self.timing.metric.record(took.as_secs_f64());
        let mut kept = self.timing.kept();
        kept.under_way.remove(&self.number);
        kept.record(took, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_is_told_and_what_is_over_counts_for_ten_seconds() {
        let timing = Timing::new("of_a_test_seconds");
        assert_eq!(timing.reading(), Reading::default());
        let running = timing.begin();
        assert!(timing.reading().pending.is_some());
        drop(running);
        let reading = timing.reading();
        assert!(reading.pending.is_none() && reading.p99.is_some(), "{reading:?}");
        let mut kept = timing.kept();
        let later = Instant::now() + Duration::from_secs(WINDOW + 1);
        kept.record(Duration::from_millis(3), later);
        assert_eq!(kept.seconds.len(), 1, "the old second is forgotten");
    }
}
