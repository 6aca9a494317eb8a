//! When messages are due that come at a fixed rate, whatever became of those before them. It must
//! not know what is sent.

use super::body::now_ns;
use std::time::Duration;
use tokio::sync::mpsc::{Receiver, channel};

/// Messages that are due and not taken; beyond them the clock waits, and their times stay.
const OVERDUE: usize = 1024;

/// A fixed rate from a moment on.
#[derive(Clone, Copy, Debug)]
pub struct Schedule {
    /// When the first is due, in nanoseconds of UNIX time.
    pub begin_ns: u64,
    /// How many are due a second; at least 1.
    pub per_second: u32,
}

impl Schedule {
    /// When message `n` (from 0) is due, in nanoseconds of UNIX time. Not by adding up pauses:
    /// what each is rounded by would become a drift.
    pub fn due_ns(&self, n: u64) -> u64 {
        let after = u128::from(n) * 1_000_000_000 / u128::from(self.per_second.max(1));
        self.begin_ns.saturating_add(u64::try_from(after).unwrap_or(u64::MAX))
    }

    /// Gives the time of each of so many messages once it has come. A thread of its own does, for
    /// the timers of tasks are a millisecond coarse.
    pub fn start(self, messages: u64) -> Receiver<u64> {
        let (sender, receiver) = channel(OVERDUE);
        tokio::task::spawn_blocking(move || {
            for due_ns in (0..messages).map(|n| self.due_ns(n)) {
                wait_until(due_ns);
                if sender.blocking_send(due_ns).is_err() {
                    return;
                }
            }
        });
        receiver
    }
}

fn wait_until(due_ns: u64) {
    loop {
        match due_ns.saturating_sub(now_ns()) {
            0 => return,
            left => std::thread::park_timeout(Duration::from_nanos(left)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::scripts::seeds;
    use rand::Rng;

    #[test]
    fn messages_are_spread_over_their_second() {
        let schedule = Schedule { begin_ns: 100, per_second: 3 };
        let due: Vec<_> = (0..4).map(|n| schedule.due_ns(n)).collect();
        assert_eq!(due, [100, 333_333_433, 666_666_766, 1_000_000_100]);
    }

    #[test]
    fn no_rate_drifts_or_turns_back() {
        seeds(200, |rng| {
            let per_second = rng.random_range(1..2_000_000_u32);
            let begin_ns = rng.random_range(0..2_000_000_000_000_000_000_u64);
            let schedule = Schedule { begin_ns, per_second };
            let seconds = rng.random_range(0..100_000_u64);
            let first = seconds * u64::from(per_second);
            // After a whole number of seconds the time is exact.
            assert_eq!(schedule.due_ns(first), begin_ns + seconds * 1_000_000_000);
            let n = rng.random_range(0..1_000_000_000_u64);
            let pause = schedule.due_ns(n + 1) - schedule.due_ns(n);
            let fair = 1_000_000_000 / u64::from(per_second);
            assert!(pause == fair || pause == fair + 1, "{per_second} a second: {pause} ns");
        });
    }

    #[tokio::test]
    async fn none_is_given_before_its_time_and_each_has_the_time_that_was_planned() {
        let begin_ns = now_ns();
        let schedule = Schedule { begin_ns, per_second: 1000 };
        let mut times = schedule.start(20);
        for n in 0..20 {
            let due_ns = times.recv().await.unwrap();
            assert!(now_ns() >= due_ns);
            assert_eq!(due_ns, schedule.due_ns(n));
        }
        assert_eq!(times.recv().await, None);
    }
}
