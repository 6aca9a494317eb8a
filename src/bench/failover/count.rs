//! What one sender's only receiver gets: whether every message comes, and once. It must not know
//! what happens to the servers.

use crate::bench::people::{DEADLINE, Person};
use crate::client::{ClientEvent, Connection};
use anyhow::Context;
use tokio::sync::watch::Receiver;
use tokio::time::timeout;

/// What was received.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Messages in all.
    pub messages: u64,
    /// Messages that had been there before.
    pub repeated: u64,
    /// Messages that were passed over.
    pub missing: u64,
    /// The highest number.
    pub last: u64,
}

impl Received {
    /// Counts in messages of these numbers.
    fn take(&mut self, first: u64, count: u64) {
        let last = (first + count).saturating_sub(1);
        self.messages += count;
        self.repeated += (last.min(self.last) + 1).saturating_sub(first);
        self.missing += first.saturating_sub(self.last + 1);
        self.last = self.last.max(last);
    }
}

/// Takes messages until as many are there as are known to have been sent, or none come any more.
pub async fn receive(
    mut person: Person,
    mut total: Receiver<Option<u64>>,
) -> anyhow::Result<(Received, Person)> {
    let mut got = Received::default();
    loop {
        let sent = *total.borrow_and_update();
        if sent.is_some_and(|sent| got.last >= sent) {
            return Ok((got, person));
        }
        let event = tokio::select! {
            // Dropped: the sender has failed, and says why.
            changed = total.changed() => { changed.context("the sender failed")?; continue }
            event = timeout(DEADLINE, person.events.recv()) => event,
        };
        match (event, sent) {
            (Ok(Some(ClientEvent::Messages(run))), _) => got.take(run.first_number, run.count()),
            (Ok(Some(ClientEvent::Connection(Connection::Failed(error)))), _) => {
                return Err(error).context("the receiver");
            }
            (Ok(Some(_)), _) => {}
            (Err(_), Some(sent)) => {
                got.missing += sent.saturating_sub(got.last);
                return Ok((got, person));
            }
            (Ok(None), _) => anyhow::bail!("the receiver ended"),
            (Err(_), None) => anyhow::bail!("nothing was received for {DEADLINE:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::scripts::seeds;
    use rand::Rng;
    use std::collections::BTreeMap;

    #[test]
    fn what_is_missing_or_comes_twice_is_counted() {
        let mut got = Received::default();
        got.take(1, 10);
        got.take(11, 1);
        assert_eq!(got, Received { messages: 11, last: 11, ..Received::default() });
        got.take(15, 2);
        assert_eq!((got.missing, got.repeated), (3, 0));
        got.take(14, 4);
        assert_eq!((got.missing, got.repeated, got.last), (3, 3, 17));
    }

    #[test]
    fn it_counts_as_a_list_of_all_numbers_would() {
        seeds(300, |rng| {
            let (mut got, mut seen, mut high) = (Received::default(), BTreeMap::new(), 0_u64);
            for _ in 0..rng.random_range(1..30) {
                // Runs that continue, leave a gap, or begin again a little before.
                let first = (high + 1).saturating_add_signed(rng.random_range(-2..3)).max(1);
                let count = rng.random_range(1..6);
                got.take(first, count);
                for number in first..first + count {
                    *seen.entry(number).or_insert(0_u64) += 1;
                }
                high = high.max(first + count - 1);
            }
            assert_eq!(got.messages, seen.values().sum::<u64>());
            assert_eq!(got.last, high);
            // A hole that is filled later counts both ways: out of order is no better.
            let apart = i128::from(got.messages) - i128::from(got.repeated);
            assert_eq!(apart, i128::from(high) - i128::from(got.missing));
        });
    }
}
