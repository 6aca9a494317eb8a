//! Where a client goes that has lost its server: straight to another one that it knows, for where
//! many have lost one, everybody's question to every server who leads is what keeps them from
//! being let in. After a moment without luck it asks as well, in turn; and so does who was never
//! let in, for a leader that others hear may not be there for this client. Sans-IO. It must not
//! know connections.

use crate::wire::message::ServerAddress;

/// So long after the loss it always goes on its own, in milliseconds; then every other time.
const ALONE_MS: u64 = 2500;
/// So many tries leave the leader out, which has enough to do.
const SPARING: u32 = 2;

/// What is known of the servers.
#[derive(Debug, Default)]
pub struct Next {
    servers: Vec<ServerAddress>,
    leader: Option<u32>,
    /// The seat that serves the client, or did; before that, of whoever shall let it in.
    seat: u32,
    /// Until then it goes on its own, in milliseconds; `None`: it has a server, or never asked.
    alone: Option<u64>,
    tries: u32,
    /// The next time somebody is asked.
    ask: bool,
    /// Somebody was asked for the server that is tried now.
    asked: bool,
    /// It was served since the last loss.
    served: bool,
}

impl Next {
    /// These are all servers.
    pub fn know(&mut self, servers: &[ServerAddress]) {
        servers.clone_into(&mut self.servers);
    }

    /// The leader's seat, as a server says it.
    pub const fn led_by(&mut self, leader: Option<u32>) {
        self.leader = leader;
    }

    /// Messages flow from this seat.
    pub const fn served_by(&mut self, seat: u32) {
        (self.seat, self.alone, self.served, self.ask) = (seat, None, true, false);
    }

    /// Somebody was asked: this seat leads these servers, and is tried now.
    pub fn found(&mut self, now: u64, leader: u32, servers: &[ServerAddress]) {
        if !servers.is_empty() {
            self.know(servers);
        }
        self.led_by(Some(leader));
        self.asked = true;
        if self.alone.is_none() {
            (self.seat, self.alone) = (leader, Some(now));
        }
    }

    /// The connection is gone, or another try has failed.
    pub const fn lost(&mut self, now: u64) {
        if self.served {
            (self.alone, self.tries, self.served) = (Some(now + ALONE_MS), 0, false);
        }
    }

    /// A server is there in vain: the next time somebody is asked, or else, where the answer led
    /// to it, not.
    pub const fn in_vain(&mut self) {
        self.ask = !self.asked;
    }

    /// Where to go now; `None`: ask. `random` is any number.
    pub fn take(&mut self, now: u64, random: u32) -> Option<&ServerAddress> {
        let alone = self.alone?;
        let then = now >= alone && !self.ask;
        if std::mem::replace(&mut self.ask, then) {
            return None;
        }
        self.asked = false;
        self.tries = self.tries.saturating_add(1);
        let (seat, spared) = (self.seat, self.leader.filter(|_| self.tries <= SPARING));
        let others = || self.servers.iter().filter(move |server| server.seat != seat);
        let mut able: Vec<_> = others().filter(|server| Some(server.seat) != spared).collect();
        if able.is_empty() {
            able = others().collect();
        }
        let at = usize::try_from(random).ok()?.checked_rem(able.len())?;
        able.get(at).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn next(servers: u32, leader: Option<u32>) -> Next {
        let all: Vec<_> =
            (1..=servers).map(|seat| ServerAddress { seat, ..ServerAddress::default() }).collect();
        let mut next = Next::default();
        next.know(&all);
        next.led_by(leader);
        next.served_by(2);
        next
    }

    fn seats(next: &mut Next, now: u64) -> BTreeSet<u32> {
        let tries = next.tries;
        let seat = |random| {
            (next.tries, next.ask) = (tries, false);
            next.take(now, random).map(|server| server.seat)
        };
        (0..50).filter_map(seat).collect()
    }

    #[test]
    fn it_goes_anywhere_but_where_it_was_and_spares_the_leader_at_first() {
        let mut next = next(4, Some(1));
        assert_eq!(next.take(5, 0), None, "it has a server");
        next.lost(1000);
        assert_eq!(seats(&mut next, 1000), BTreeSet::from([3, 4]));
        next.lost(1100);
        assert_eq!(seats(&mut next, 1100), BTreeSet::from([3, 4]));
        assert_eq!(seats(&mut next, 1100 + 100), BTreeSet::from([1, 3, 4]));
        let late = 1000 + ALONE_MS;
        let turns: Vec<_> = (0..4).map(|_| next.take(late, 0).is_some()).collect();
        assert_eq!(turns, [true, false, true, false], "the first loss counts");
    }

    #[test]
    fn who_was_never_let_in_goes_past_the_leader_in_turn_with_asking() {
        let mut fresh = Next::default();
        assert_eq!(fresh.take(5, 0), None, "it knows nobody");
        let all = next(3, None).servers;
        fresh.found(10, 2, &all);
        // The leader does not even take the connection.
        fresh.in_vain();
        let turns: Vec<_> = (0..4).map(|n| fresh.take(20, n).map(|server| server.seat)).collect();
        assert_eq!(turns, [Some(1), None, Some(1), None]);
        fresh.found(30, 2, &[]);
        assert_eq!(fresh.take(40, 1).map(|server| server.seat), Some(3));
        fresh.in_vain();
        assert_eq!(fresh.take(50, 1), None, "where it went on its own, it asks");
        fresh.served_by(3);
        assert_eq!(fresh.take(60, 0), None, "it has a server");
    }

    #[test]
    fn a_leader_alone_is_not_spared_and_without_others_somebody_is_asked() {
        let mut two = next(2, Some(1));
        two.lost(0);
        assert_eq!(seats(&mut two, 0), BTreeSet::from([1]));
        two.in_vain();
        assert_eq!(two.take(0, 0), None);
        assert_eq!(two.take(0, 0).map(|server| server.seat), Some(1));
        let mut all = next(3, None);
        all.lost(0);
        assert_eq!(seats(&mut all, 0), BTreeSet::from([1, 3]));
        let mut none = Next::default();
        none.served_by(1);
        none.lost(0);
        assert_eq!(none.take(0, 7), None);
    }
}
