//! Who has a place before the login, and whose place a newcomer takes when there is none
//! left. Sans-IO. It remembers nobody who is gone, and must not know sockets or time itself.
//!
//! Places are shared fairly between origins: who holds more than twice as many gives to who holds
//! less. Others give way only where they have had their chance. Only a connection whose client owes
//! the next word gives way: work of the server is never thrown away.

use crate::limits;
use crate::server::origin::Origin;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A connection keeps its place for this long against others of its own origin, and of origins
/// that hold at least half as many.
pub const CHANCE: Duration = Duration::from_secs(1);

/// The number of a place, rising with each newcomer.
pub type Ticket = u64;

#[derive(Debug)]
struct Place<T> {
    since: Instant,
    owes: bool,
    guest: T,
}

/// What becomes of a newcomer.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict<T> {
    /// It has a place.
    In(Ticket),
    /// It has the place of this one, which must go.
    Instead(Ticket, T),
    /// There is none.
    Full,
}

/// The places, each with whatever belongs to who has it.
#[derive(Debug)]
pub struct Places<T> {
    all: usize,
    each: usize,
    next: Ticket,
    /// By origin, then in the order of their coming.
    held: BTreeMap<Origin, BTreeMap<Ticket, Place<T>>>,
    count: usize,
}

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self::new(limits::SESSIONS_BEFORE_LOGIN, limits::STRANGERS_PER_ADDRESS)
    }
}

impl<T> Places<T> {
    /// `all` places, of which one origin has at most `each`.
    #[must_use]
    pub const fn new(all: usize, each: usize) -> Self {
        Self { all, each, next: 0, held: BTreeMap::new(), count: 0 }
    }

    /// How many are taken.
    #[must_use]
    #[cfg(test)]
    pub const fn taken(&self) -> usize {
        self.count
    }

    /// Somebody comes from `origin`, and has this to be told by when it must go.
    pub fn come(&mut self, origin: Origin, guest: T, now: Instant) -> Verdict<T> {
        let own = self.held.get(&origin).map_or(0, BTreeMap::len);
        let gone = if own >= self.each {
            let Some(ticket) = self.who_gives_way(origin, own, own, now) else {
                return Verdict::Full;
            };
            self.leave(origin, ticket)
        } else if self.count >= self.all {
            let Some((of, ticket)) = self.in_the_whole(own, now) else { return Verdict::Full };
            self.leave(of, ticket)
        } else {
            None
        };
        self.next += 1;
        let ticket = self.next;
        let place = Place { since: now, owes: true, guest };
        self.held.entry(origin).or_default().insert(ticket, place);
        self.count += 1;
        gone.map_or(Verdict::In(ticket), |gone| Verdict::Instead(ticket, gone))
    }

    /// Says whether the client with this place owes the next word.
    pub fn turn(&mut self, origin: Origin, ticket: Ticket, owes: bool) {
        if let Some(place) = self.held.get_mut(&origin).and_then(|held| held.get_mut(&ticket)) {
            place.owes = owes;
        }
    }

    /// The place is free again, also where that is so already.
    pub fn leave(&mut self, origin: Origin, ticket: Ticket) -> Option<T> {
        let held = self.held.get_mut(&origin)?;
        let place = held.remove(&ticket)?;
        if held.is_empty() {
            self.held.remove(&origin);
        }
        self.count -= 1;
        Some(place.guest)
    }

    /// Who gives way to a newcomer whose origin holds `own` places: the oldest one of the
    /// origins that hold most.
    fn in_the_whole(&self, own: usize, now: Instant) -> Option<(Origin, Ticket)> {
        let most = self.held.values().map(BTreeMap::len).max()?;
        let greatest = self.held.iter().filter(|(_, held)| held.len() == most);
        let oldest = greatest.filter_map(|(origin, _)| {
            Some((*origin, self.who_gives_way(*origin, most, own, now)?))
        });
        oldest.min_by_key(|(_, ticket)| *ticket)
    }

    /// The oldest connection of an origin that may be asked to go.
    fn who_gives_way(
        &self,
        origin: Origin,
        holds: usize,
        own: usize,
        now: Instant,
    ) -> Option<Ticket> {
        let mut waiting = self.held.get(&origin)?.iter().filter(|(_, place)| place.owes);
        let (ticket, place) = waiting.next()?;
        // With the newcomer its origin still holds less than half. Were less enough, origins that
        // come with many at once, as after the loss of a server, would throw out each other's
        // handshakes that are nearly done, and hardly any would end.
        let richer = 2 * (own + 1) < holds;
        let had_its_chance = now.saturating_duration_since(place.since) > CHANCE;
        (richer || had_its_chance).then_some(*ticket)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::scripts::seeds;
    use rand::Rng;
    use rand::rngs::StdRng;
    use rand::seq::IteratorRandom;
    use std::net::Ipv4Addr;

    fn origin(n: u8) -> Origin {
        Origin::of(Ipv4Addr::new(10, 0, 0, n).into())
    }

    fn ticket<T>(verdict: &Verdict<T>) -> Ticket {
        match verdict {
            Verdict::In(ticket) | Verdict::Instead(ticket, _) => *ticket,
            Verdict::Full => panic!("no place"),
        }
    }

    #[test]
    fn an_origin_gives_up_its_own_oldest_place_and_nobody_elses() {
        let (mut places, now) = (Places::new(10, 3), Instant::now());
        let other = ticket(&places.come(origin(9), 'x', now));
        for guest in ['a', 'b', 'c'] {
            assert!(matches!(places.come(origin(1), guest, now), Verdict::In(_)));
        }
        assert_eq!(places.come(origin(1), 'd', now + CHANCE), Verdict::Full);
        let later = now + CHANCE * 2;
        assert!(matches!(places.come(origin(1), 'd', later), Verdict::Instead(_, 'a')));
        assert!(matches!(places.come(origin(1), 'e', later), Verdict::Instead(_, 'b')));
        assert_eq!(places.leave(origin(9), other), Some('x'));
    }

    #[test]
    fn work_of_the_server_is_never_thrown_away() {
        let (mut places, now) = (Places::new(10, 2), Instant::now());
        let hashing = ticket(&places.come(origin(1), 'a', now));
        let second = ticket(&places.come(origin(1), 'b', now));
        places.turn(origin(1), hashing, false);
        let later = now + CHANCE * 2;
        assert!(matches!(places.come(origin(1), 'c', later), Verdict::Instead(_, 'b')));
        places.turn(origin(1), second + 1, false);
        assert_eq!(places.come(origin(1), 'd', later), Verdict::Full);
        places.turn(origin(1), hashing, true);
        assert!(matches!(places.come(origin(1), 'd', later), Verdict::Instead(_, 'a')));
    }

    /// However fast the places of many are taken anew, one who comes alone gets in at once.
    #[test]
    fn a_full_house_makes_room_for_who_holds_less() {
        let (mut places, now) = (Places::new(12, 4), Instant::now());
        for n in 0..12 {
            assert!(matches!(places.come(origin(n % 3), 'z', now), Verdict::In(_)));
        }
        assert!(matches!(places.come(origin(7), 'a', now), Verdict::Instead(..)));
        assert_eq!(places.come(origin(0), 'z', now), Verdict::Full, "it holds as many as others");
        let held: Vec<_> = places.held.values().map(BTreeMap::len).collect();
        assert_eq!(held, [3, 4, 4, 1]);
    }

    struct Guest {
        origin: Origin,
        owes: bool,
        since: Instant,
    }

    /// The places, and a plain list of who is in.
    struct World {
        places: Places<Ticket>,
        inside: BTreeMap<Ticket, Guest>,
        now: Instant,
    }

    impl World {
        fn of(&self, origin: Origin) -> impl Iterator<Item = &Guest> {
            self.inside.values().filter(move |guest| guest.origin == origin)
        }

        fn holds(&self, origin: Origin) -> usize {
            self.of(origin).count()
        }

        fn some(&self, rng: &mut StdRng) -> Option<Ticket> {
            self.inside.keys().copied().choose(rng)
        }

        fn come(&mut self, from: Origin) {
            let own = self.holds(from);
            let crowded = own >= self.places.each;
            let need = crowded || self.inside.len() >= self.places.all;
            // A guest is known by the number that its ticket will have.
            let number = self.places.next + 1;
            match self.places.come(from, number, self.now) {
                Verdict::In(ticket) => assert!(ticket == number && !need),
                Verdict::Instead(ticket, gone) => {
                    assert!(ticket == number && need, "nobody goes without need");
                    let gone = self.inside.remove(&gone).expect("one that was in");
                    let theirs = self.holds(gone.origin) + 1;
                    assert!(gone.owes && (gone.origin == from || !crowded && theirs >= own));
                    assert!(self.now - gone.since > CHANCE || theirs > own + 1);
                }
                Verdict::Full => {
                    assert!(need);
                    let most = self.inside.values().map(|g| self.holds(g.origin)).max();
                    let could_go = self.inside.values().any(|guest| {
                        let asked = if crowded {
                            guest.origin == from
                        } else {
                            Some(self.holds(guest.origin)) == most
                        };
                        asked && guest.owes && self.now - guest.since > CHANCE
                    });
                    assert!(!could_go, "somebody could have gone");
                    return;
                }
            }
            self.inside.insert(number, Guest { origin: from, owes: true, since: self.now });
        }

        fn turn(&mut self, ticket: Ticket, owes: bool) {
            let Some(guest) = self.inside.get_mut(&ticket) else { return };
            guest.owes = owes;
            self.places.turn(guest.origin, ticket, owes);
        }

        fn leave(&mut self, ticket: Ticket) {
            let Some(guest) = self.inside.remove(&ticket) else { return };
            assert_eq!(self.places.leave(guest.origin, ticket), Some(ticket));
            assert_eq!(self.places.leave(guest.origin, ticket), None);
        }
    }

    #[test]
    fn bounds_hold_and_only_the_idle_give_way() {
        seeds(400, |rng| {
            let places = Places::new(rng.random_range(1..30), rng.random_range(1..12));
            let (all, each) = (places.all, places.each);
            let mut world = World { places, inside: BTreeMap::new(), now: Instant::now() };
            for _ in 0..300 {
                world.now += Duration::from_millis(rng.random_range(0..200));
                match (rng.random_range(0..10), world.some(rng)) {
                    (0..7, _) | (_, None) => world.come(origin(rng.random_range(0..6))),
                    (7..9, Some(ticket)) => world.turn(ticket, rng.random_bool(0.5)),
                    (_, Some(ticket)) => world.leave(ticket),
                }
                assert_eq!(world.places.taken(), world.inside.len());
                assert!(world.inside.len() <= all);
                assert!((0..6).all(|n| world.holds(origin(n)) <= each));
            }
            while let Some(ticket) = world.some(rng) {
                world.leave(ticket);
            }
            assert!(world.places.held.is_empty(), "nobody is remembered");
        });
    }
}
