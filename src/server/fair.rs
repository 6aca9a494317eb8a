//! A bounded queue in which everybody's turn comes: one after the other of those who wait, and
//! no origin holds more places than its share. Where it is full, who holds most gives one up to
//! who holds less. Sans-IO. It must not know what waits in it.

use super::origin::Origin;
use std::collections::VecDeque;

/// The queue.
#[derive(Debug)]
pub struct Fair<T> {
    all: usize,
    each: usize,
    count: usize,
    /// In the order of their turns; none is empty.
    waiting: VecDeque<(Origin, VecDeque<T>)>,
}

impl<T> Fair<T> {
    /// A queue of `all` places, of which one origin has at most `each`.
    #[must_use]
    pub const fn new(all: usize, each: usize) -> Self {
        Self { all, each, count: 0, waiting: VecDeque::new() }
    }

    /// Takes something in, and gives back what must go for it, if anything. Where the queue is
    /// full, that is what came itself.
    pub fn push(&mut self, origin: Origin, item: T) -> Option<T> {
        let own = self.waiting.iter().find(|(other, _)| *other == origin);
        let own = own.map_or(0, |(_, items)| items.len());
        if own >= self.each {
            return Some(item);
        }
        let gone = if self.count < self.all {
            None
        } else {
            match self.take_from_the_greatest(own + 1) {
                Some(gone) => Some(gone),
                None => return Some(item),
            }
        };
        match self.waiting.iter_mut().find(|(other, _)| *other == origin) {
            Some((_, items)) => items.push_back(item),
            None => self.waiting.push_back((origin, VecDeque::from([item]))),
        }
        self.count += 1;
        gone
    }

    /// The next one: the oldest of the origin whose turn it is.
    pub fn pop(&mut self) -> Option<T> {
        let (origin, mut items) = self.waiting.pop_front()?;
        let item = items.pop_front();
        self.count -= usize::from(item.is_some());
        if !items.is_empty() {
            self.waiting.push_back((origin, items));
        }
        item
    }

    /// How many wait.
    #[must_use]
    #[cfg(test)]
    pub const fn len(&self) -> usize {
        self.count
    }

    /// The newest of the origin that holds most, if that is more than `least`.
    fn take_from_the_greatest(&mut self, least: usize) -> Option<T> {
        let greatest = self.waiting.iter_mut().max_by_key(|(_, items)| items.len());
        let (_, items) = greatest.filter(|(_, items)| items.len() > least)?;
        // At least one stays: nobody holds less than one.
        let gone = items.pop_back();
        self.count -= usize::from(gone.is_some());
        gone
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::scripts::seeds;
    use rand::Rng;
    use std::collections::BTreeMap;

    fn origin(n: u8) -> Origin {
        Origin::of([10, 0, 0, n].into())
    }

    #[test]
    fn a_flood_makes_room_for_one_and_its_turn_comes_next_but_one() {
        let mut queue = Fair::new(64, 8);
        for n in 0..200 {
            queue.push(origin(n % 10), u32::from(n));
        }
        assert_eq!(queue.len(), 64);
        assert!(queue.push(origin(200), 1000).is_some_and(|gone| gone != 1000));
        assert_eq!(queue.len(), 64);
        let turns = (0..64).position(|_| queue.pop() == Some(1000));
        assert_eq!(turns, Some(10), "after one of each of the others");
        assert_eq!(queue.push(origin(0), 1), None, "there is room again");
    }

    #[test]
    fn bounds_hold_and_nobody_is_passed_over() {
        seeds(300, |rng| {
            let (all, each) = (rng.random_range(1..30), rng.random_range(1..10));
            let mut queue = Fair::new(all, each);
            let mut inside: BTreeMap<(u8, u32), u32> = BTreeMap::new();
            let mut turn = 0;
            for number in 0..400 {
                let held = |inside: &BTreeMap<(u8, u32), u32>, n: u8| {
                    inside.keys().filter(|(of, _)| *of == n).count()
                };
                if rng.random_bool(0.7) {
                    let n = rng.random_range(0..8);
                    let own = held(&inside, n);
                    let most = (0..8).map(|n| held(&inside, n)).max().unwrap_or(0);
                    let full = inside.len() >= all;
                    match queue.push(origin(n), (n, number)) {
                        None => assert!(own < each && !full),
                        Some(gone) if gone == (n, number) => {
                            assert!(own >= each || full && most <= own + 1);
                            continue;
                        }
                        Some(gone) => {
                            assert!(full && own < each && held(&inside, gone.0) == most);
                            inside.remove(&gone).expect("it was in");
                        }
                    }
                    inside.insert((n, number), turn);
                } else if let Some(item) = queue.pop() {
                    let since = inside.remove(&item).expect("it was in");
                    turn += 1;
                    // Its origin had a turn for each of its own before it, the others as many.
                    assert!(turn - since <= 8 * u32::try_from(each).unwrap());
                } else {
                    assert!(inside.is_empty());
                }
                assert_eq!(queue.len(), inside.len());
                assert!(inside.len() <= all && (0..8).all(|n| held(&inside, n) <= each));
            }
        });
    }
}
