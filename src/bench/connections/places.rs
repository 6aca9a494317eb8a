//! Which server each client is on, and since when. It must not know how clients get there.

use std::time::{Duration, Instant};

/// The clients, by the order of their coming.
#[derive(Debug, Default)]
pub struct Places {
    rows: Vec<Row>,
}

#[derive(Clone, Copy, Debug)]
struct Row {
    /// `None` while it has none.
    seat: Option<u32>,
    /// When that became so.
    since: Instant,
}

impl Places {
    /// One more has come to this seat; its number.
    pub fn come(&mut self, seat: u32, now: Instant) -> usize {
        self.rows.push(Row { seat: Some(seat), since: now });
        self.rows.len() - 1
    }

    /// It is on this seat now; `None`: on none.
    pub fn moved(&mut self, number: usize, seat: Option<u32>, now: Instant) {
        // Looking on for a server is no news.
        let news = |row: &&mut Row| row.seat.is_some() || seat.is_some();
        if let Some(row) = self.rows.get_mut(number).filter(news) {
            *row = Row { seat, since: now };
        }
    }

    /// Those on this seat.
    pub fn on(&self, seat: u32) -> Vec<usize> {
        let here = self.rows.iter().enumerate().filter(|(_, row)| row.seat == Some(seat));
        here.map(|(number, _)| number).collect()
    }

    /// How long each of these took that have come to a server after `begin`.
    pub fn back(&self, who: &[usize], begin: Instant) -> Vec<Duration> {
        let rows = who.iter().filter_map(|number| self.rows.get(*number));
        let back = rows.filter(|row| row.seat.is_some() && row.since > begin);
        back.map(|row| row.since - begin).collect()
    }

    /// How many of all have lost a server after `begin`, whether or not they have another one now.
    pub fn disturbed(&self, begin: Instant) -> usize {
        self.rows.iter().filter(|row| row.since > begin).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_lost_a_server_is_back_once_it_has_another_one() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut places = Places::default();
        for seat in [1, 2, 2] {
            places.come(seat, start);
        }
        let (who, begin) = (places.on(2), start + second);
        assert_eq!(who, [1, 2]);
        assert!(places.back(&who, begin).is_empty(), "nobody has left");
        places.moved(1, None, begin + second);
        assert!(places.back(&who, begin).is_empty(), "on the way");
        assert_eq!(places.disturbed(begin), 1);
        places.moved(1, None, begin + second * 2);
        places.moved(1, Some(1), begin + second * 3);
        assert_eq!(places.back(&who, begin), [second * 3]);
        places.moved(2, None, begin + second);
        places.moved(2, Some(3), begin + second * 2);
        assert_eq!(places.back(&who, begin), [second * 3, second * 2]);
        assert_eq!((places.on(1), places.on(2), places.on(3)), (vec![0, 1], vec![], vec![2]));
        assert_eq!(places.disturbed(begin), 2);
    }
}
