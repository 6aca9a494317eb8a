//! Is the server still there? When to ping it, and when it counts as dead. It
//! must not know sockets or what the connection is for.

/// A connection without traffic is pinged this often, in milliseconds.
const IDLE_MS: u64 = 15_000;
/// The same while something has no answer yet.
const WAITING_MS: u64 = 1000;
/// A ping must bring something within this time, in milliseconds.
const ANSWER_MS: u64 = 3000;

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beat {
    /// Nothing now.
    Rest,
    /// Send a ping.
    Ping,
    /// The server is dead.
    Dead,
}

/// The life signs of one connection.
#[derive(Debug)]
pub struct Pulse {
    heard_at: u64,
    pinged_at: u64,
    waiting_since: Option<u64>,
}

impl Pulse {
    /// A connection that begins now.
    #[must_use]
    pub const fn new(now: u64) -> Self {
        Self { heard_at: now, pinged_at: now, waiting_since: None }
    }

    /// Something came, or nothing can be heard because nobody reads.
    pub const fn heard(&mut self, now: u64) {
        self.heard_at = now;
        self.waiting_since = None;
    }

    /// What to do now; `outstanding` says that an answer is awaited.
    pub fn beat(&mut self, now: u64, outstanding: bool) -> Beat {
        if self.waiting_since.is_some_and(|since| now >= since + ANSWER_MS) {
            return Beat::Dead;
        }
        if now < self.wake(outstanding) {
            return Beat::Rest;
        }
        self.pinged_at = now;
        self.waiting_since = self.waiting_since.or(Some(now));
        Beat::Ping
    }

    /// When [`Pulse::beat`] has something to say.
    #[must_use]
    pub fn wake(&self, outstanding: bool) -> u64 {
        // The server counts what it hears, so a client that only listens must ping too.
        let idle = self.pinged_at + IDLE_MS;
        let silent = match self.waiting_since {
            Some(since) => since + ANSWER_MS,
            None if outstanding => self.heard_at.max(self.pinged_at) + WAITING_MS,
            None => self.heard_at + IDLE_MS,
        };
        idle.min(silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dead_server_is_noticed_within_four_seconds_while_something_waits() {
        let mut pulse = Pulse::new(0);
        let dead = (0..10_000).step_by(50).find(|&now| pulse.beat(now, true) == Beat::Dead);
        assert_eq!(dead, Some(4000));
    }

    #[test]
    fn an_idle_connection_is_pinged_and_an_answer_keeps_it() {
        let mut pulse = Pulse::new(0);
        let mut pings = Vec::new();
        for now in (0..60_000).step_by(50) {
            match pulse.beat(now, false) {
                Beat::Ping => {
                    pings.push(now);
                    pulse.heard(now + 20);
                }
                Beat::Dead => panic!("dead at {now}"),
                Beat::Rest => {}
            }
        }
        assert_eq!(pings.len(), 3, "{pings:?}");
    }

    #[test]
    fn a_client_that_only_listens_is_heard() {
        let mut pulse = Pulse::new(0);
        let mut pings = 0;
        for now in (0..60_000).step_by(50) {
            pulse.heard(now);
            pings += u32::from(pulse.beat(now, false) == Beat::Ping);
        }
        assert_eq!(pings, 3);
    }
}
