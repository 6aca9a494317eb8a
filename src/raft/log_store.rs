//! openraft's log on top of a [`Store`]. It must not know what an entry holds.

use super::halt::Halt;
use super::kinds::{self, Kinds, RaftEntry, RaftLogId, RaftVote};
use super::tally::Tally;
use crate::limits;
use crate::store::{Store, StoreError};
use crate::wire::raft::{Entry, Payload};
use crate::wire::record::LogEntry;
use openraft::storage::{IOFlushed, RaftLogStorage};
use openraft::{LogState, OptionalSend, RaftLogReader};
use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::Arc;

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
}

impl Log {
    /// The log in `store`, whose bytes `tally` counts.
    pub fn new(store: Arc<dyn Store>, tally: Arc<Tally>, halt: Halt) -> Self {
        Self { store, tally, halt }
    }

    /// Reads from `from` until `to` (excluded) or until `max_bytes` are there.
    async fn read(&self, from: u64, to: u64, max_bytes: usize) -> io::Result<Vec<RaftEntry>> {
        let (mut entries, mut bytes, mut at) = (Vec::new(), 0, from);
        while at < to && bytes < max_bytes {
            let page = to.min(at.saturating_add(READ_ENTRIES));
            let found = self.store.read(at, page).await.map_err(|e| self.halt.store(e))?;
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
        let end = || self.store.bounds().last.map_or(0, |id| id.index + 1);
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
        let vote = kinds::plain_vote(vote);
        self.store.save_vote(vote).await.map_err(|e| self.halt.store(e))
    }

    async fn save_committed(&mut self, committed: Option<RaftLogId>) -> Result<(), io::Error> {
        let id = committed.as_ref().map(kinds::plain_id);
        self.store.save_committed(id).await.map_err(|e| self.halt.store(e))
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
        let on_durable = move |result: Result<(), StoreError>| {
            callback.io_completed(result.map_err(|e| halt.store(e)));
        };
        self.store.append(entries, Box::new(on_durable)).await.map_err(|e| self.halt.store(e))
    }

    async fn truncate_after(&mut self, last: Option<RaftLogId>) -> Result<(), io::Error> {
        let from = last.map_or(0, |id| id.index + 1);
        self.tally.truncated(from);
        self.store.truncate(from).await.map_err(|e| self.halt.store(e))
    }

    async fn purge(&mut self, upto: RaftLogId) -> Result<(), io::Error> {
        self.store.purge(kinds::plain_id(&upto)).await.map_err(|e| self.halt.store(e))
    }
}
