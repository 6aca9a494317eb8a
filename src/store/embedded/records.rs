//! The log's records as `raft-log` keeps them: their types, their encoding, and
//! reading them all without opening the log. It must not know what a payload is.

use crate::limits;
use crate::store::record::{LogEntry, LogId, Vote};
use bytes::Bytes;
use raft_log::chunked_wal::WALRecord;
use raft_log::codeq::{Decode, Encode, OffsetSize as _};
use raft_log::{Callback, Config, Dump, DumpApi as _, RaftLogAction, RaftLogRecord};
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Appends that arrive within this time share a sync. Zero would give each its own.
const GROUP_WAIT: Duration = Duration::from_micros(20);
/// Payload bytes of older chunks kept in memory.
const CACHE_BYTES: usize = 8 << 20;
/// Buffer for reading a chunk at start.
const READ_BYTES: usize = 1 << 20;
/// Bytes that wait for the sync thread before appends wait for it.
const QUEUE_BYTES: usize = 8 << 20;

/// The types of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Records;

impl raft_log::Types for Records {
    /// Term and index: ordered like [`LogId`].
    type LogId = (u64, u64);
    type LogPayload = Payload;
    type Vote = Ballot;
    type Callback = Done;
    type UserData = ();

    fn log_index(id: &(u64, u64)) -> u64 {
        id.1
    }

    fn payload_size(payload: &Payload) -> u64 {
        payload.0.len() as u64
    }
}

/// What `raft-log` keeps of a [`LogId`].
pub(super) const fn pair(id: LogId) -> (u64, u64) {
    (id.term, id.index)
}

/// The [`LogId`] of such a pair.
pub(super) const fn id((term, index): (u64, u64)) -> LogId {
    LogId { term, index }
}

/// The payload of an entry.
#[derive(Clone, Debug)]
pub(super) struct Payload(pub(super) Bytes);

impl Encode for Payload {
    fn encode<W: io::Write>(&self, mut out: W) -> io::Result<usize> {
        let length = u32::try_from(self.0.len()).map_err(io::Error::other)?;
        out.write_all(&length.to_be_bytes())?;
        out.write_all(&self.0)?;
        Ok(4 + self.0.len())
    }
}

impl Decode for Payload {
    fn decode<R: io::Read>(input: R) -> io::Result<Self> {
        // This implementation takes no memory ahead of the bytes that are there.
        Vec::<u8>::decode(input).map(|bytes| Self(bytes.into()))
    }
}

/// A [`Vote`]. The order is `raft-log`'s check that none is replaced by an older one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ballot(pub(super) Vote);

impl PartialOrd for Ballot {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let key = |vote: &Vote| (vote.term, vote.committed);
        Some(key(&self.0).cmp(&key(&other.0)))
    }
}

impl Encode for Ballot {
    fn encode<W: io::Write>(&self, mut out: W) -> io::Result<usize> {
        let n = self.0.term.encode(&mut out)? + self.0.node.encode(&mut out)?;
        Ok(n + u8::from(self.0.committed).encode(&mut out)?)
    }
}

impl Decode for Ballot {
    fn decode<R: io::Read>(mut input: R) -> io::Result<Self> {
        let (term, node) = (u64::decode(&mut input)?, u64::decode(&mut input)?);
        Ok(Self(Vote { term, node, committed: u8::decode(&mut input)? == 1 }))
    }
}

/// Called once when a sync is over. Where the sync thread has died it drops what is queued,
/// and that counts as a failed sync.
pub(super) struct Done(Option<Box<dyn FnOnce(io::Result<()>) + Send>>);

impl Done {
    pub(super) fn new(call: impl FnOnce(io::Result<()>) + Send + 'static) -> Self {
        Self(Some(Box::new(call)))
    }
}

impl Callback for Done {
    fn send(mut self, result: io::Result<()>) {
        if let Some(call) = self.0.take() {
            call(result);
        }
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        if let Some(call) = self.0.take() {
            call(Err(io::Error::other("an earlier sync of the log failed")));
        }
    }
}

/// The settings with which a log is opened. It never decides itself what of its tail to drop.
pub(super) fn config(dir: &Path, chunk_bytes: usize) -> io::Result<Arc<Config>> {
    let text = dir.to_str().ok_or_else(|| io::Error::other("a path that is no UTF-8"))?;
    let mut config = Config::new(text);
    config.wal.read_buffer_size = Some(READ_BYTES);
    config.wal.chunk_max_size = Some(chunk_bytes);
    config.wal.truncate_incomplete_record = Some(false);
    config.wal.flush_batch_wait = Some(GROUP_WAIT);
    config.wal.flush_queue_max_bytes = Some(QUEUE_BYTES);
    config.log_cache_capacity = Some(CACHE_BYTES);
    config.log_cache_max_items = Some(CACHE_BYTES / 64);
    Ok(Arc::new(config))
}

/// What the records of a log add up to, as far as they can be read.
#[derive(Debug, Default)]
pub(in crate::store) struct Scan {
    /// The vote saved last.
    pub(in crate::store) vote: Option<Vote>,
    /// How far the log is known to be committed.
    pub(in crate::store) committed: Option<LogId>,
    /// The last entry purged.
    pub(in crate::store) purged: Option<LogId>,
    /// The entries, with their payload where it was asked for.
    pub(in crate::store) entries: BTreeMap<u64, LogEntry>,
    /// The first place that cannot be read.
    pub(in crate::store) damage: Option<Damage>,
}

/// A place in the log's files that cannot be read.
#[derive(Debug)]
pub(in crate::store) struct Damage {
    /// The file.
    pub(in crate::store) path: PathBuf,
    /// Bytes before it that can be read.
    pub(in crate::store) good: u64,
    /// What is wrong.
    pub(in crate::store) what: String,
    /// True in the newest file, where a crash may leave such a place.
    pub(in crate::store) newest: bool,
}

impl Scan {
    /// The last entry, or the last one purged.
    pub(in crate::store) fn last(&self) -> Option<LogId> {
        self.entries.last_key_value().map(|(_, entry)| entry.id).max(self.purged)
    }

    /// Reads all records of the log in `dir`, which must not be open.
    pub(in crate::store) fn read(dir: &Path, payloads: bool) -> io::Result<Self> {
        let config = config(dir, limits::LOG_FILE_BYTES)?;
        let mut scan = Self::default();
        let mut chunk_end = None;
        Dump::<Records>::new(Arc::clone(&config))?.write_with(|chunk, number, record| {
            let path = || PathBuf::from(config.wal.chunk_path(chunk));
            if let Some(damage) = &mut scan.damage {
                // What follows in a later file was written after the damaged place was synced.
                damage.newest &= damage.path == path();
                return Ok(());
            }
            let start = chunk.offset();
            if number == 0 && chunk_end.is_some_and(|end| end != start) {
                let what = "a file before this one is missing or cut".to_owned();
                scan.damage = Some(Damage { path: path(), good: 0, what, newest: false });
                return Ok(());
            }
            match record {
                Ok((segment, record)) => {
                    chunk_end = Some(start + segment.end().0);
                    scan.apply(record, payloads);
                }
                Err(error) => {
                    let good = chunk_end.filter(|_| number > 0).map_or(0, |end| end - start);
                    let what = error.to_string();
                    scan.damage = Some(Damage { path: path(), good, what, newest: true });
                }
            }
            Ok(())
        })?;
        Ok(scan)
    }

    fn apply(&mut self, record: RaftLogRecord<Records>, payloads: bool) {
        match record {
            WALRecord::Action(RaftLogAction::SaveVote(vote)) => self.vote = Some(vote.0),
            WALRecord::Action(RaftLogAction::Append(entry, payload)) => {
                let payload = if payloads { payload.0 } else { Bytes::new() };
                self.entries.insert(entry.1, LogEntry { id: id(entry), payload });
            }
            WALRecord::Action(RaftLogAction::Commit(entry)) => self.committed = Some(id(entry)),
            WALRecord::Action(RaftLogAction::TruncateAfter(keep)) => {
                self.entries.split_off(&keep.map_or(0, |keep| keep.1 + 1));
            }
            WALRecord::Action(RaftLogAction::PurgeUpto(upto)) => {
                self.entries = self.entries.split_off(&(upto.1 + 1));
                self.purged = self.purged.max(Some(id(upto)));
            }
            WALRecord::Checkpoint(state) => {
                self.vote = state.vote().map(|vote| vote.0);
                self.committed = state.committed().copied().map(id);
                self.purged = state.purged().copied().map(id);
            }
        }
    }
}
