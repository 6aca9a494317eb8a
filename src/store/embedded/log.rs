//! The Raft log on disk: entries, vote and commit mark, on `raft-log`, with the
//! guard around it. One queue and one sync thread, so what was queued first is
//! durable first. After a failed write or sync every later write fails. It must not
//! know the state.

use super::guard::Guard;
use super::records::{Ballot, Done, Payload, Records, config, id, pair};
use crate::limits::LOG_ENTRY_COST;
use crate::store::record::{LogBounds, LogEntry, LogId, Vote};
use crate::store::{OnDurable, StoreError, follows};
use raft_log::RaftLog;
use raft_log::api::raft_log_writer::RaftLogWriter as _;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, mpsc};
use tokio::sync::watch;

/// The log, in use. Its methods block for as long as a write to the page cache takes, those
/// that say so for a sync.
pub(super) struct Log {
    /// `None` once closed.
    inner: RwLock<Option<RaftLog<Records>>>,
    guard: Arc<Guard>,
    /// Index behind the last entry that is on disk. Changes also when a write failed.
    durable: Arc<watch::Sender<u64>>,
    broken: Arc<AtomicBool>,
    bytes: AtomicU64,
    /// Index of the first entry, where there is one.
    start: AtomicU64,
}

/// The error after a failed write.
fn broken() -> StoreError {
    StoreError::Io(io::Error::other("an earlier write or sync failed"))
}

fn closed() -> StoreError {
    StoreError::Io(io::Error::other("the store is closed"))
}

/// Opens the log's files. They must have been checked.
pub(super) fn open_files(dir: &Path, chunk_bytes: usize) -> io::Result<RaftLog<Records>> {
    RaftLog::open(config(dir, chunk_bytes)?)
}

impl Log {
    pub(super) fn new(log: RaftLog<Records>, guard: Guard, broken: Arc<AtomicBool>) -> Self {
        let next = |id: Option<&(u64, u64)>| id.map_or(0, |id| id.1 + 1);
        let state = log.log_state();
        let first = log.read(0, u64::MAX).next().and_then(Result::ok).map(|(id, _)| id.1);
        let start = first.unwrap_or_else(|| next(state.purged()));
        let count = next(state.last()).saturating_sub(start);
        let bytes = if count == 0 { 0 } else { log.on_disk_size() + count * LOG_ENTRY_COST };
        Self {
            guard: Arc::new(guard),
            durable: Arc::new(watch::Sender::new(next(state.last()))),
            broken,
            bytes: AtomicU64::new(bytes),
            start: AtomicU64::new(start),
            inner: RwLock::new(Some(log)),
        }
    }

    /// The guard of this log.
    pub(super) fn guard(&self) -> &Guard {
        &self.guard
    }

    fn reading(&self) -> RwLockReadGuard<'_, Option<RaftLog<Records>>> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock must not be held over a sync: the thread that syncs also calls back.
    fn writing(&self) -> RwLockWriteGuard<'_, Option<RaftLog<Records>>> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn writable(&self) -> Result<(), StoreError> {
        if self.broken.load(Ordering::Acquire) { Err(broken()) } else { Ok(()) }
    }

    /// Any failed write is the last one.
    fn check<T>(&self, result: io::Result<T>) -> Result<T, StoreError> {
        result.map_err(|error| {
            fail(&self.broken, &self.durable);
            StoreError::Io(error)
        })
    }

    pub(super) fn bounds(&self) -> LogBounds {
        let inner = self.reading();
        let Some(log) = inner.as_ref() else { return LogBounds::default() };
        bounds(log)
    }

    pub(super) fn vote(&self) -> Option<Vote> {
        self.reading().as_ref()?.log_state().vote().map(|vote| vote.0)
    }

    pub(super) fn committed(&self) -> Option<LogId> {
        self.reading().as_ref()?.log_state().committed().copied().map(id)
    }

    /// Reads entries, from the disk where they are no longer in memory.
    pub(super) fn read(&self, from: u64, to: u64) -> Result<Vec<LogEntry>, StoreError> {
        if from >= to {
            return Ok(Vec::new());
        }
        let inner = self.reading();
        let log = inner.as_ref().ok_or_else(closed)?;
        let entries = log.read(from, to).map(|entry| {
            entry.map(|(entry, payload)| LogEntry { id: id(entry), payload: payload.0 })
        });
        Ok(entries.collect::<io::Result<_>>()?)
    }

    /// Queues entries; `on_durable` is called from the sync thread.
    pub(super) fn append(
        &self,
        entries: Vec<LogEntry>,
        on_durable: OnDurable,
    ) -> Result<(), StoreError> {
        let mut inner = self.writing();
        self.writable()?;
        let log = inner.as_mut().ok_or_else(closed)?;
        let before = bounds(log);
        follows(before, &entries)?;
        if let (None, Some(first)) = (before.last, entries.first()) {
            self.start.store(first.id.index, Ordering::Release);
        }
        let mut bytes = 0;
        let records = entries.iter().map(|entry| {
            bytes += entry.payload.len() as u64 + LOG_ENTRY_COST;
            (pair(entry.id), Payload(entry.payload.clone()))
        });
        self.check(log.append(records))?;
        self.bytes.fetch_add(bytes, Ordering::AcqRel);
        let done = self.when_durable(entries.last().map(|entry| entry.id), on_durable);
        self.check(log.flush(true, Some(done)))
    }

    fn when_durable(&self, last: Option<LogId>, on_durable: OnDurable) -> Done {
        let (guard, durable) = (Arc::clone(&self.guard), Arc::clone(&self.durable));
        let broken = Arc::clone(&self.broken);
        let (epoch, start) = (self.guard.epoch(), self.start.load(Ordering::Acquire));
        Done::new(move |result| {
            if result.is_err() {
                fail(&broken, &durable);
            } else if let Some(last) = last {
                guard.note_durable(epoch, start, last);
                raise(&durable, last.index + 1);
            }
            on_durable(result.map_err(StoreError::Io));
        })
    }

    /// Resolves once the entry at `index` is on disk.
    pub(super) async fn wait_durable(&self, index: u64) -> Result<(), StoreError> {
        let mut durable = self.durable.subscribe();
        let there = durable.wait_for(|next| *next > index || self.writable().is_err());
        drop(there.await.map_err(|_| closed())?);
        self.writable()
    }

    /// Queues a change and hands back what says when it is durable.
    fn queue(
        &self,
        change: impl FnOnce(&mut RaftLog<Records>) -> io::Result<()>,
    ) -> Result<mpsc::Receiver<io::Result<()>>, StoreError> {
        let mut inner = self.writing();
        self.writable()?;
        let log = inner.as_mut().ok_or_else(closed)?;
        let (done, wait) = mpsc::sync_channel(1);
        self.check(change(log))?;
        self.check(log.flush(true, Some(Done::new(move |result| drop(done.send(result))))))?;
        Ok(wait)
    }

    fn wait(&self, wait: &mpsc::Receiver<io::Result<()>>) -> Result<(), StoreError> {
        let result = wait.recv().unwrap_or_else(|_| Err(io::Error::other("no sync thread")));
        self.check(result)
    }

    /// Saves the vote: first in the log, then in the guard. Blocks for two syncs.
    pub(super) fn save_vote(&self, vote: Vote) -> Result<(), StoreError> {
        let wait = self.queue(|log| log.save_vote(Ballot(vote)).map(drop))?;
        self.wait(&wait)?;
        self.guard.save_vote(vote)
    }

    /// Notes the commit mark, which rides with the next sync. One that the log would not take
    /// (beyond its end, or backwards) is left out: it is only a hint.
    pub(super) fn save_committed(&self, committed: LogId) -> Result<(), StoreError> {
        let mut inner = self.writing();
        self.writable()?;
        let log = inner.as_mut().ok_or_else(closed)?;
        let state = log.log_state();
        let (committed, known) = (pair(committed), state.committed());
        if Some(&committed) > state.last() || Some(&committed) <= known {
            return Ok(());
        }
        self.check(log.commit(committed).map(drop))
    }

    /// Cuts the log: the guard is lowered first, durably. Blocks for two syncs.
    pub(super) fn truncate(&self, from: u64) -> Result<(), StoreError> {
        let mut inner = self.writing();
        self.writable()?;
        let log = inner.as_mut().ok_or_else(closed)?;
        let held = bounds(log);
        let first = held.purged.map_or(0, |purged| purged.index + 1);
        let start = self.start.load(Ordering::Acquire);
        if held.last.is_none_or(|last| last.index < from.max(first)) {
            return Ok(());
        }
        // `raft-log` wants the entry before the cut, or the index behind the last one purged.
        let (from, keep) = if from <= start.max(first) {
            (first, held.purged)
        } else {
            let before = log.read(from - 1, from).next();
            let before =
                self.check(before.unwrap_or_else(|| Err(io::ErrorKind::NotFound.into())))?;
            (from, Some(id(before.0)))
        };
        self.guard.lower(keep)?;
        self.durable.send_modify(|next| *next = (*next).min(from));
        self.check(log.truncate(from).map(drop))?;
        let (done, wait) = mpsc::sync_channel(1);
        self.check(log.flush(true, Some(Done::new(move |result| drop(done.send(result))))))?;
        drop(inner);
        self.wait(&wait)
    }

    /// Drops entries up to `upto`; what stands behind another entry of that index goes too.
    /// Blocks for a sync.
    pub(super) fn purge(&self, upto: LogId) -> Result<(), StoreError> {
        let held = self.bounds();
        if held.purged.is_some_and(|purged| purged.index >= upto.index) {
            return Ok(());
        }
        let ours = self.read(upto.index, upto.index + 1)?.first().map(|entry| entry.id);
        if ours.is_some_and(|ours| ours != upto) {
            self.truncate(held.purged.map_or(0, |purged| purged.index + 1))?;
        }
        let wait = self.queue(|log| {
            self.start.store(upto.index + 1, Ordering::Release);
            log.purge(pair(upto)).map(drop)
        })?;
        self.wait(&wait)?;
        self.bytes.store(0, Ordering::Release);
        self.guard.note_purged(upto);
        raise(&self.durable, upto.index + 1);
        Ok(())
    }

    /// See [`crate::store::Store::log_bytes`].
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// Times the log was synced.
    pub(super) fn syncs(&self) -> u64 {
        self.reading().as_ref().map_or(0, |log| log.stat().flush_metrics.sync_batch_count)
    }

    /// Syncs what is queued, brings the guard up to date, and ends the threads. Blocks.
    pub(super) fn close(&self) -> Result<(), StoreError> {
        if self.reading().is_none() {
            return Ok(());
        }
        let flushed = self.queue(|_| Ok(())).and_then(|wait| self.wait(&wait));
        drop(self.writing().take());
        self.guard.close()?;
        flushed
    }
}

fn bounds(log: &RaftLog<Records>) -> LogBounds {
    let state = log.log_state();
    LogBounds { purged: state.purged().copied().map(id), last: state.last().copied().map(id) }
}

fn raise(durable: &watch::Sender<u64>, to: u64) {
    durable.send_if_modified(|next| {
        let raised = to > *next;
        *next = to.max(*next);
        raised
    });
}

/// Remembers the failure and wakes who waits for a sync.
fn fail(broken: &AtomicBool, durable: &watch::Sender<u64>) {
    broken.store(true, Ordering::Release);
    durable.send_modify(|_| ());
}
