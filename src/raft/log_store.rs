//! openraft's log on top of a [`Store`]. It must not know what an entry holds.
//!
//! Where the store becomes unavailable, openraft must be able to hand leadership
//! over before it hears of it: then entries are kept in memory and can be read, so
//! that the followers get them, but their callbacks are never called. Nothing of
//! that counts as stored.

use super::halt::Halt;
use super::kinds::{self, Kinds, RaftEntry, RaftLogId, RaftVote};
use super::tally::Tally;
use super::timing::Timing;
use crate::limits;
use crate::store::{OnDurable, Store, StoreError};
use crate::wire::raft::{Entry, Payload};
use crate::wire::record::LogEntry;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of entries that are read for one message to a follower, in encoded form; one entry
/// alone may be larger. Well below `limits::MESSAGE_PEER`.
const READ_BYTES: usize = 1024 * 1024;
/// Entries that are asked of the store at once.
const READ_ENTRIES: u64 = 32;

/// The log; cheap to clone.
#[derive(Clone)]
pub struct Log {
    store: Arc<dyn Store>,
    tally: Arc<Tally>,
    halt: Halt,
    syncs: Timing,
    /// What an unavailable store did not take; not more than is in flight until the node stops.
    adrift: Arc<Mutex<Vec<LogEntry>>>,
}

impl Log {
    /// The log in `store`, whose bytes `tally` counts; `syncs` times how long entries take to
    /// become durable.
    pub fn new(store: Arc<dyn Store>, tally: Arc<Tally>, halt: Halt, syncs: Timing) -> Self {
        Self { store, tally, halt, syncs, adrift: Arc::default() }
    }

    /// Reads from `from` until `to` (excluded) or until `max_bytes` are there.
    async fn read(&self, from: u64, to: u64, max_bytes: usize) -> io::Result<Vec<RaftEntry>> {
        let (mut entries, mut bytes, mut at) = (Vec::new(), 0, from);
        while at < to && bytes < max_bytes {
            let page = to.min(at.saturating_add(READ_ENTRIES));
            let found = self.page(at, page).await?;
            let complete = found.len() as u64 == page - at;
            for entry in found {
                if bytes >= max_bytes {
                    break;
                }
                bytes += entry.payload.len();
                entries.push(self.decode(entry)?);
            }
            if !complete {
                break;
            }
            at = page;
        }
        Ok(entries)
    }

    /// Entries `from..to`, those that exist.
    async fn page(&self, from: u64, to: u64) -> io::Result<Vec<LogEntry>> {
        let mut found = match self.store.read(from, to).await {
            Ok(found) => found,
            Err(error) => return Err(self.halt.store_in_the_end(error).await),
        };
        let next = found.last().map_or(from, |entry| entry.id.index + 1);
        if next < to {
            let adrift = self.adrift.lock().unwrap_or_else(PoisonError::into_inner);
            let follow = adrift.iter().skip_while(|entry| entry.id.index < next);
            let follow = (next..to).zip(follow).take_while(|(at, entry)| entry.id.index == *at);
            found.extend(follow.map(|(_, entry)| entry.clone()));
        }
        Ok(found)
    }

    /// Hands entries to the store, unless it is unavailable.
    async fn store(&self, entries: Vec<LogEntry>, on_durable: OnDurable) -> io::Result<()> {
        if self.halt.check_store().is_err() {
            self.adrift.lock().unwrap_or_else(PoisonError::into_inner).extend(entries);
            return Ok(());
        }
        let kept = entries.clone();
        match self.store.append(entries, on_durable).await {
            Err(error @ StoreError::Unavailable(_)) => {
                drop(self.halt.store(error));
                self.adrift.lock().unwrap_or_else(PoisonError::into_inner).extend(kept);
                Ok(())
            }
            result => result.map_err(|e| self.halt.store(e)),
        }
    }

    /// Of a write that nothing depends on: it may be lost where the store is unavailable.
    fn forgive(&self, result: Result<(), StoreError>) -> io::Result<()> {
        match result {
            Err(error @ StoreError::Unavailable(_)) => {
                drop(self.halt.store(error));
                Ok(())
            }
            result => result.map_err(|e| self.halt.store(e)),
        }
    }

    fn decode(&self, entry: LogEntry) -> io::Result<RaftEntry> {
        let index = entry.id.index;
        let payload = Payload::decode(entry.payload).map_err(|e| {
            self.halt.store(StoreError::Corrupt(format!("log entry {index} holds {e}")))
        })?;
        Ok(kinds::entry(Entry { id: entry.id, payload }))
    }
}

impl RaftLogReader<Kinds> for Log {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<RaftEntry>, io::Error> {
        let from = match range.start_bound() {
            Bound::Included(at) => *at,
            Bound::Excluded(at) => at.saturating_add(1),
            Bound::Unbounded => 0,
        };
        let end = || {
            let adrift = self.adrift.lock().unwrap_or_else(PoisonError::into_inner);
            let last = adrift.last().map(|entry| entry.id).or(self.store.bounds().last);
            last.map_or(0, |id| id.index + 1)
        };
        let to = match range.end_bound() {
            Bound::Included(at) => at.saturating_add(1),
            Bound::Excluded(at) => *at,
            Bound::Unbounded => end(),
        };
        self.read(from, to, usize::MAX).await
    }

    async fn limited_get_log_entries(
        &mut self,
        start: u64,
        end: u64,
    ) -> Result<Vec<RaftEntry>, io::Error> {
        self.read(start, end, READ_BYTES).await
    }

    async fn read_vote(&mut self) -> Result<Option<RaftVote>, io::Error> {
        Ok(self.store.vote().map(kinds::vote))
    }
}

impl RaftLogStorage<Kinds> for Log {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Kinds>, io::Error> {
        let bounds = self.store.bounds();
        Ok(LogState {
            last_purged_log_id: bounds.purged.map(kinds::log_id),
            last_log_id: bounds.last.map(kinds::log_id),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &RaftVote) -> Result<(), io::Error> {
        self.halt.check_store()?;
        let vote = kinds::plain_vote(vote);
        self.store.save_vote(vote).await.map_err(|e| self.halt.store(e))
    }

    async fn save_committed(&mut self, committed: Option<RaftLogId>) -> Result<(), io::Error> {
        if self.halt.check_store().is_err() {
            return Ok(());
        }
        let id = committed.as_ref().map(kinds::plain_id);
        self.forgive(self.store.save_committed(id).await)
    }

    async fn read_committed(&mut self) -> Result<Option<RaftLogId>, io::Error> {
        Ok(self.store.committed().map(kinds::log_id))
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Kinds>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = RaftEntry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let encode = |entry: RaftEntry| {
            let Entry { id, payload } = kinds::plain_entry(&entry);
            LogEntry { id, payload: payload.encode() }
        };
        let entries: Vec<LogEntry> = entries.into_iter().map(encode).collect();
        for entry in &entries {
            let cost = entry.payload.len() + limits::LOG_ENTRY_COST as usize;
            self.tally.appended(entry.id.index, cost);
        }
        let halt = self.halt.clone();
        let running = self.syncs.begin();
        let on_durable = move |result: Result<(), StoreError>| {
            drop(running);
            match result {
                // Whether the entries are stored is not known, and openraft is told nothing.
                Err(error @ StoreError::Unavailable(_)) => drop(halt.store(error)),
                result => callback.io_completed(result.map_err(|e| halt.store(e))),
            }
        };
        self.store(entries, Box::new(on_durable)).await
    }

    async fn truncate_after(&mut self, last: Option<RaftLogId>) -> Result<(), io::Error> {
        self.halt.check_store()?;
        let from = last.map_or(0, |id| id.index + 1);
        self.tally.truncated(from);
        self.store.truncate(from).await.map_err(|e| self.halt.store(e))
    }

    async fn purge(&mut self, upto: RaftLogId) -> Result<(), io::Error> {
        if self.halt.check_store().is_err() {
            return Ok(());
        }
        self.forgive(self.store.purge(kinds::plain_id(&upto)).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::types::StopReason;
    use crate::store::memory::Memory;
    use crate::wire::record::{LogId, Vote};
    use futures::FutureExt;
    use openraft::type_config::TypeConfigExt;

    fn entry(index: u64) -> RaftEntry {
        kinds::entry(Entry { id: LogId { term: 1, index }, payload: Payload::Blank })
    }

    #[tokio::test]
    async fn what_an_unavailable_store_did_not_take_can_be_read_but_never_counts_as_stored() {
        let store = Arc::new(Memory::new(1));
        let halt = Halt::new();
        let tally = Arc::new(Tally::new(1 << 20, 0, store.bounds()));
        let mut log = Log::new(
            Arc::clone(&store) as Arc<dyn Store>,
            tally,
            halt.clone(),
            Timing::new("of_a_test"),
        );
        log.append([entry(0)], IOFlushed::noop()).await.unwrap();
        store.set_unavailable(true);
        for index in 1..4 {
            let (tell, told) = Kinds::oneshot();
            log.append([entry(index)], IOFlushed::signal(tell)).await.unwrap();
            let told = told.now_or_never();
            assert!(!matches!(told, Some(Ok(_))), "openraft hears nothing of entry {index}");
        }
        assert!(matches!(halt.reason(), Some(StopReason::Unavailable(_))));
        let read = log.limited_get_log_entries(0, 4).await.unwrap();
        let indexes: Vec<u64> = read.iter().map(|entry| entry.log_id.index).collect();
        assert_eq!(indexes, [0, 1, 2, 3]);
        assert_eq!(log.try_get_log_entries(2..).await.unwrap().len(), 2);
        // That nothing is noted as committed, or purged, is no harm; a vote would be.
        log.save_committed(Some(entry(3).log_id)).await.unwrap();
        log.purge(entry(0).log_id).await.unwrap();
        // Also when it answers again: by then the store may be open anew.
        store.set_unavailable(false);
        let vote = kinds::vote(Vote { term: 2, node: 2, committed: false });
        assert!(log.save_vote(&vote).await.is_err() && log.truncate_after(None).await.is_err());
        log.append([entry(4)], IOFlushed::noop()).await.unwrap();
        assert_eq!(store.bounds().last, Some(LogId { term: 1, index: 0 }));
        assert_eq!((store.committed(), store.vote(), store.bounds().purged), (None, None, None));
    }
}
