//! What a client that has not logged in yet takes of the server's patience: the time in which
//! the next word is the client's. Sans-IO. It must not know what is said.

use crate::limits;
use std::time::{Duration, Instant};

/// Time that the client took, by a clock that stands still while the server works.
#[derive(Clone, Copy, Debug)]
pub struct Owed {
    left: Duration,
    /// Since when the client owes the next word.
    since: Option<Instant>,
}

impl Owed {
    /// The client has connected and has said nothing.
    #[must_use]
    pub const fn new(now: Instant) -> Self {
        Self { left: limits::LOGIN_OWED, since: Some(now) }
    }

    /// The next word is the client's, or it is not.
    pub fn turn(&mut self, owes: bool, now: Instant) {
        match (self.since, owes) {
            (Some(since), false) => {
                self.left = self.left.saturating_sub(now.saturating_duration_since(since));
                self.since = None;
            }
            (None, true) => self.since = Some(now),
            (Some(_), true) | (None, false) => {}
        }
    }

    /// When patience ends, unless the client says something before; `None` while the server
    /// works.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        self.since.map(|since| since + self.left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::scripts::seeds;
    use rand::Rng;

    #[test]
    fn the_servers_own_time_is_not_counted() {
        let start = Instant::now();
        let mut owed = Owed::new(start);
        assert_eq!(owed.deadline(), Some(start + limits::LOGIN_OWED));
        let said = start + limits::LOGIN_OWED / 2;
        owed.turn(false, said);
        assert_eq!(owed.deadline(), None);
        let answered = said + limits::LOGIN_OWED * 3;
        owed.turn(true, answered);
        assert_eq!(owed.deadline(), Some(answered + limits::LOGIN_OWED / 2));
    }

    /// Whoever says something now and then: what it takes in all is bounded.
    #[test]
    fn no_order_of_words_takes_more_than_the_bound() {
        seeds(200, |rng| {
            let mut now = Instant::now();
            let (mut owed, mut took, mut owes) = (Owed::new(now), Duration::ZERO, true);
            for _ in 0..200 {
                let passed = Duration::from_millis(rng.random_range(0..300));
                let end = owed.deadline();
                assert_eq!(end.is_some(), owes);
                if end.is_some_and(|end| now + passed >= end) {
                    took += end.unwrap() - now;
                    assert_eq!(took, limits::LOGIN_OWED);
                    return;
                }
                now += passed;
                if owes {
                    took += passed;
                }
                owes = rng.random_bool(0.6);
                owed.turn(owes, now);
            }
            assert!(took <= limits::LOGIN_OWED);
        });
    }
}
