//! Who is carried between this cluster and another one: so many of one cluster, and of one user.
//! It must not know connections.

use crate::chat::ids::UserId;
use crate::chat::link::LinkNumber;
use crate::limits;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

type Taken = BTreeMap<LinkNumber, BTreeMap<UserId, usize>>;

/// All places, in one direction. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Guests {
    taken: Arc<Mutex<Taken>>,
}

/// A place; given back when it is dropped.
#[derive(Debug)]
pub struct Seat {
    guests: Guests,
    link: LinkNumber,
    user: UserId,
}

impl Guests {
    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a device of this user; `None` where there is none.
    #[must_use]
    pub fn come(&self, link: LinkNumber, user: UserId) -> Option<Seat> {
        let mut taken = self.lock();
        let users = taken.entry(link).or_default();
        let own = users.get(&user).copied().unwrap_or_default();
        let all: usize = users.values().sum();
        if own >= limits::GUESTS_PER_USER || all >= limits::GUESTS_PER_LINK {
            return None;
        }
        users.insert(user, own + 1);
        drop(taken);
        Some(Seat { guests: self.clone(), link, user })
    }

    /// How many there are of another cluster.
    #[must_use]
    pub fn of(&self, link: LinkNumber) -> usize {
        self.lock().get(&link).map_or(0, |users| users.values().sum())
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.guests.lock();
        let Some(users) = taken.get_mut(&self.link) else { return };
        match users.get_mut(&self.user) {
            Some(own) if *own > 1 => *own -= 1,
            _ => drop(users.remove(&self.user)),
        }
        if users.is_empty() {
            taken.remove(&self.link);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::ids::ClusterId;

    fn user(number: u64) -> UserId {
        UserId { cluster: ClusterId([1; 16]), number }
    }

    #[test]
    fn one_user_and_one_cluster_take_no_more_than_their_places() {
        let guests = Guests::default();
        let mut seats = Vec::new();
        for _ in 0..limits::GUESTS_PER_USER {
            seats.push(guests.come(1, user(1)).expect("there is room for one user"));
        }
        assert!(guests.come(1, user(1)).is_none());
        let mut next = 2;
        while let Some(seat) = guests.come(1, user(next)) {
            seats.push(seat);
            next += 1;
        }
        assert_eq!((seats.len(), guests.of(1)), (limits::GUESTS_PER_LINK, limits::GUESTS_PER_LINK));
        assert!(guests.come(2, user(1)).is_some(), "another cluster has places of its own");
        seats.pop();
        assert!(guests.come(1, user(9_999)).is_some());
        seats.clear();
        assert_eq!(guests.of(1), 0);
        assert!(guests.lock().is_empty(), "nobody is remembered who has gone");
    }
}
