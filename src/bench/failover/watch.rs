//! How long acknowledgements stay away when something happens: which message was handed over
//! before, which one afterwards, and when each acknowledgement came. It must not know what happens.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// One sender's acknowledgements, looked at by somebody else. Cheap to clone.
#[derive(Clone, Default)]
pub struct Watch(Arc<Shared>);

#[derive(Default)]
struct Shared {
    ledger: Mutex<Ledger>,
    over: Notify,
}

/// What was seen of a happening.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// From its beginning to the first acknowledgement of a message that was handed over after it.
    pub took: Duration,
    /// The longest time between two acknowledgements in a row, from the last one before it on.
    pub pause: Duration,
}

impl Watch {
    /// A message goes to the client.
    pub fn hand_over(&self) {
        self.ledger().handed += 1;
    }

    /// So many more are acknowledged.
    pub fn acknowledge(&self, count: u64) {
        if self.ledger().acknowledge(count, Instant::now()) {
            self.0.over.notify_one();
        }
    }

    /// The sender is logged in at this server.
    pub fn arrive(&self, seat: u32) {
        self.ledger().seat = seat;
    }

    /// The seat of the server where the sender is, or was last.
    pub fn seat(&self) -> u32 {
        self.ledger().seat
    }

    /// It begins to happen now.
    pub fn begin(&self) {
        self.ledger().begin(Instant::now());
    }

    /// It has happened: what is handed over from now on is new. Waits until that is acknowledged.
    pub async fn end(&self) -> Seen {
        self.ledger().happened();
        loop {
            if let Some(seen) = self.ledger().seen() {
                return seen;
            }
            self.0.over.notified().await;
        }
    }

    /// Numbers that were counted in stay right where a thread panicked beside them.
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct Ledger {
    seat: u32,
    handed: u64,
    acknowledged: u64,
    /// When the last acknowledgement came.
    last: Option<Instant>,
    happening: Option<Happening>,
}

struct Happening {
    begin: Instant,
    /// Messages that had been handed over when it had happened.
    old: Option<u64>,
    pause: Duration,
    over: Option<Instant>,
}

impl Ledger {
    fn begin(&mut self, now: Instant) {
        self.happening =
            Some(Happening { begin: now, old: None, pause: Duration::ZERO, over: None });
    }

    fn happened(&mut self) {
        if let Some(happening) = &mut self.happening {
            happening.old = Some(self.handed);
        }
    }

    /// Whether what happens is over with this.
    fn acknowledge(&mut self, count: u64, now: Instant) -> bool {
        self.acknowledged += count;
        let last = self.last.replace(now);
        let Some(happening) = self.happening.as_mut().filter(|all| all.over.is_none()) else {
            return false;
        };
        let since = now.saturating_duration_since(last.unwrap_or(happening.begin));
        happening.pause = happening.pause.max(since);
        if happening.old.is_some_and(|old| self.acknowledged > old) {
            happening.over = Some(now);
        }
        happening.over.is_some()
    }

    fn seen(&self) -> Option<Seen> {
        let happening = self.happening.as_ref()?;
        let took = happening.over?.saturating_duration_since(happening.begin);
        Some(Seen { took, pause: happening.pause })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_under_way_before_is_not_new() {
        let (mut ledger, start) = (Ledger { handed: 5, ..Ledger::default() }, Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert!(!ledger.acknowledge(2, at(0)));
        ledger.begin(at(10));
        // On its way before the leader died.
        assert!(!ledger.acknowledge(1, at(11)));
        ledger.handed += 1;
        ledger.happened();
        ledger.handed += 4;
        // The new leader commits the old ones first.
        assert!(!ledger.acknowledge(3, at(1500)));
        assert_eq!(ledger.seen(), None);
        assert!(ledger.acknowledge(1, at(1510)));
        let pause = Duration::from_millis(1489);
        let seen = Seen { took: Duration::from_millis(1500), pause };
        assert_eq!(ledger.seen(), Some(seen));
        // A later pause is not its.
        assert!(!ledger.acknowledge(3, at(9000)));
        assert_eq!(ledger.seen(), Some(seen));
    }

    #[test]
    fn the_pause_begins_with_the_last_acknowledgement_before() {
        let (mut ledger, start) = (Ledger { handed: 9, ..Ledger::default() }, Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        ledger.acknowledge(1, at(0));
        ledger.begin(at(30));
        ledger.acknowledge(1, at(100));
        ledger.acknowledge(1, at(120));
        ledger.happened();
        ledger.handed += 1;
        assert!(ledger.acknowledge(7, at(125)));
        let seen = ledger.seen().unwrap();
        assert_eq!((seen.took.as_millis(), seen.pause.as_millis()), (95, 100));
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let watch = Watch::default();
        watch.begin();
        let other = watch.clone();
        let waiting = tokio::spawn(async move { other.end().await });
        while watch.ledger().happening.as_ref().is_none_or(|all| all.old.is_none()) {
            tokio::task::yield_now().await;
        }
        watch.hand_over();
        watch.acknowledge(1);
        let seen = waiting.await.unwrap();
        assert!(seen.took >= seen.pause);
    }
}
