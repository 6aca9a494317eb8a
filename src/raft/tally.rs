//! Counts the bytes of the log: when the next snapshot is due, and how much of
//! the log may go then. It must not know what is in the log.

use crate::wire::record::LogBounds;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

/// Places remembered for a threshold's worth of bytes.
const STEPS: u64 = 64;

/// Bytes of the log, by index.
#[derive(Debug)]
pub struct Tally {
    threshold: u64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Bytes appended since the start, less what was truncated (roughly).
    total: u64,
    /// `total` when the last snapshot was built.
    snapshot: u64,
    /// (index, total after it), a few for every threshold's worth of bytes, oldest first.
    places: VecDeque<(u64, u64)>,
}

impl Tally {
    /// A snapshot is due every `threshold` bytes. The log holds `held` bytes already, between
    /// `bounds`; where in it they are is not known, so they are taken to be spread evenly.
    pub fn new(threshold: u64, held: u64, bounds: LogBounds) -> Self {
        let first = bounds.purged.map_or(0, |id| id.index);
        let entries = bounds.last.map_or(0, |id| id.index).saturating_sub(first);
        let share = |of: u64, step: u64| of / STEPS * step + of % STEPS * step / STEPS;
        let places = (1..=STEPS).map(|step| (first + share(entries, step), share(held, step)));
        let places = if entries == 0 { VecDeque::new() } else { places.collect() };
        let inner = Inner { total: held, snapshot: 0, places };
        Self { threshold: threshold.max(1), inner: Mutex::new(inner) }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Bytes since the last snapshot, roughly.
    pub fn since_snapshot(&self) -> u64 {
        let inner = self.lock();
        inner.total.saturating_sub(inner.snapshot)
    }

    /// An entry of `bytes` was appended at `index`.
    pub fn appended(&self, index: u64, bytes: usize) {
        let mut inner = self.lock();
        inner.total += bytes as u64;
        let total = inner.total;
        let due = inner.places.back().is_none_or(|(_, at)| total - at >= self.threshold / STEPS);
        if due {
            inner.places.push_back((index, total));
        }
        let first = total.saturating_sub(2 * self.threshold);
        while inner.places.front().is_some_and(|(_, at)| *at < first) {
            inner.places.pop_front();
        }
    }

    /// Entries from `from` on are gone.
    pub fn truncated(&self, from: u64) {
        let mut inner = self.lock();
        while inner.places.back().is_some_and(|(index, _)| *index >= from) {
            inner.places.pop_back();
        }
    }

    /// Whether enough was appended for another snapshot.
    pub fn due(&self) -> bool {
        let inner = self.lock();
        inner.total.saturating_sub(inner.snapshot) >= self.threshold
    }

    /// A snapshot was begun: the count starts anew.
    pub fn built(&self) {
        let mut inner = self.lock();
        inner.snapshot = inner.total;
    }

    /// The last index that has at least `bytes` behind it, as far as it is remembered.
    pub fn index_with_tail(&self, bytes: u64) -> Option<u64> {
        let inner = self.lock();
        let enough = |(_, at): &&(u64, u64)| inner.total - at >= bytes;
        inner.places.iter().rev().find(enough).map(|(index, _)| *index)
    }

    /// What must stay when a snapshot was built: half of what brings one.
    pub fn tail(&self) -> u64 {
        self.threshold / 2
    }

    /// A follower that lacks more than this is served by a snapshot.
    pub fn patience(&self) -> u64 {
        self.threshold
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::record::LogId;

    #[test]
    fn a_snapshot_is_due_after_the_threshold_and_half_of_it_stays() {
        let tally = Tally::new(6400, 0, LogBounds::default());
        for index in 1..=63 {
            tally.appended(index, 100);
            assert!(!tally.due(), "after {index}");
        }
        tally.appended(64, 100);
        assert!(tally.due());
        tally.built();
        assert!(!tally.due());
        assert_eq!(tally.index_with_tail(tally.tail()), Some(32));
        assert_eq!(tally.index_with_tail(u64::MAX), None);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_follows_a_truncation() {
        let tally = Tally::new(640, 0, LogBounds::default());
        for index in 1..=10_000 {
            tally.appended(index, 10);
        }
        assert!(tally.lock().places.len() as u64 <= 2 * STEPS + 1);
        tally.truncated(9_990);
        assert!(tally.index_with_tail(0) < Some(9_990));
    }

    #[test]
    fn what_was_there_before_the_start_can_be_purged_too() {
        let at = |index| Some(LogId { term: 1, index });
        let bounds = LogBounds { purged: at(100), last: at(740) };
        let tally = Tally::new(1000, 1000, bounds);
        assert!(tally.due());
        assert_eq!(tally.index_with_tail(tally.tail()), Some(420));
        assert_eq!(tally.index_with_tail(0), Some(740));
    }
}
