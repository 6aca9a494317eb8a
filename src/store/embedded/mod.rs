//! The default store: everything in one directory, nothing else to install. The
//! log is `raft-log` with a guard around it, the state is `fjall`. It must not know
//! what a log entry means.
//!
//! Reads of the log, appends and commits run where they are called: they take
//! microseconds, and block for longer only where the disk is far behind. Everything
//! that may wait for the disk (votes, cuts, and questions to the state) runs on the
//! blocking pool, and what is committed is written by a thread of its own, for such
//! writes stall while tables are compacted: heartbeats never wait for that.

mod aside;
mod behind;
#[cfg(test)]
mod damage;
mod dir;
mod guard;
mod guard_file;
mod history;
mod inspect;
mod journal;
#[cfg(test)]
mod kill;
mod layered;
mod log;
#[cfg(test)]
mod memory_use;
mod records;
mod recover;
mod state;

pub use aside::copy_aside;
pub use dir::{MovedAside, move_aside};
pub(super) use inspect::look_inside;

use super::record::{LogBounds, LogEntry, LogId, Mark, Row, Vote};
use super::tables::{self, Page};
use super::{Identity, OnDurable, Store, StoreError};
use crate::chat::ids::{ClusterId, ConversationId, DeviceId, Group};
use crate::chat::link::LinkNumber;
use crate::chat::write::{SentIndex, Write};
use crate::limits;
use async_trait::async_trait;
use bytes::Bytes;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A store in a directory.
pub struct Embedded {
    inner: Arc<Inner>,
}

struct Inner {
    dir: PathBuf,
    identity: Mutex<Identity>,
    log: log::Log,
    state: state::State,
    /// Held until the store is closed.
    lock: Mutex<Option<dir::Lock>>,
}

/// Opens the store in `dir` for this seat; makes it where there is none. Blocks while the log
/// is read. `cluster` is the id that `nodes.conf` gives, if any. See also [`open_with`].
///
/// # Errors
/// `NotOurs` where another process uses the directory or it belongs to another cluster or
/// seat, `Corrupt` where it holds less than this node promised, `Io` where the disk fails.
pub fn open(dir: &Path, seat: u32, cluster: Option<ClusterId>) -> Result<Embedded, StoreError> {
    open_with(dir, seat, cluster, limits::LOG_FILE_BYTES)
}

/// The same with files of the log that are about `log_file_bytes` long.
///
/// # Errors
/// As [`open`].
pub fn open_with(
    dir: &Path,
    seat: u32,
    cluster: Option<ClusterId>,
    log_file_bytes: usize,
) -> Result<Embedded, StoreError> {
    recover::open(dir, seat, cluster, log_file_bytes)
}

impl Embedded {
    /// Runs what may wait for the disk.
    async fn blocking<T: Send + 'static>(
        &self,
        act: impl FnOnce(&Inner) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let inner = Arc::clone(&self.inner);
        let done = tokio::task::spawn_blocking(move || act(&inner)).await;
        done.unwrap_or_else(|error| Err(StoreError::Io(io::Error::other(error))))
    }
}

impl Inner {
    fn identity(&self) -> Identity {
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save_identity(&self, identity: Identity) -> Result<(), StoreError> {
        dir::save(&self.dir, &identity)?;
        self.log.guard().save_identity(&identity)?;
        *self.identity.lock().unwrap_or_else(PoisonError::into_inner) = identity;
        Ok(())
    }

    fn close(&self) -> Result<(), StoreError> {
        let (log, state) = (self.log.close(), self.state.close());
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
        log.and(state)
    }
}

#[async_trait]
impl Store for Embedded {
    fn kind(&self) -> &'static str {
        "embedded"
    }

    fn identity(&self) -> Identity {
        self.inner.identity()
    }

    async fn save_identity(&self, identity: Identity) -> Result<(), StoreError> {
        self.blocking(move |inner| inner.save_identity(identity)).await
    }

    fn bounds(&self) -> LogBounds {
        self.inner.log.bounds()
    }

    async fn read(&self, from: u64, to: u64) -> Result<Vec<LogEntry>, StoreError> {
        self.inner.log.read(from, to)
    }

    async fn append(
        &self,
        entries: Vec<LogEntry>,
        on_durable: OnDurable,
    ) -> Result<(), StoreError> {
        self.inner.log.append(entries, on_durable)
    }

    async fn truncate(&self, from: u64) -> Result<(), StoreError> {
        self.blocking(move |inner| inner.log.truncate(from)).await
    }

    async fn purge(&self, upto: LogId) -> Result<(), StoreError> {
        let purge = move |inner: &Inner| {
            inner.state.persist_upto(upto)?;
            inner.log.purge(upto)
        };
        self.blocking(purge).await
    }

    fn vote(&self) -> Option<Vote> {
        self.inner.log.vote()
    }

    async fn save_vote(&self, vote: Vote) -> Result<(), StoreError> {
        self.blocking(move |inner| inner.log.save_vote(vote)).await
    }

    async fn save_committed(&self, id: Option<LogId>) -> Result<(), StoreError> {
        id.map_or(Ok(()), |id| self.inner.log.save_committed(id))
    }

    fn committed(&self) -> Option<LogId> {
        self.inner.log.committed()
    }

    fn mark(&self) -> Mark {
        self.inner.state.mark()
    }

    async fn commit(
        &self,
        mark: Mark,
        _writes: Vec<Write>,
        rows: Vec<Row>,
    ) -> Result<(), StoreError> {
        // An entry can be committed by the others before it is on this disk. The state waits
        // for it, so that a state ahead of its log always means that the log has lost entries.
        if let Some(applied) = mark.applied {
            self.inner.log.wait_durable(applied.index).await?;
        }
        if !self.inner.state.has_room() {
            self.blocking(|inner| {
                inner.state.wait_for_room();
                Ok(())
            })
            .await?;
        }
        self.inner.state.commit(mark, rows)
    }

    async fn persist(&self) -> Result<(), StoreError> {
        self.blocking(|inner| inner.state.persist()).await
    }

    async fn load(&self) -> Result<Vec<Write>, StoreError> {
        self.blocking(|inner| inner.state.ask(tables::load)).await
    }

    async fn history(
        &self,
        conversation: ConversationId,
        from: u64,
        to: u64,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Bytes)>, StoreError> {
        self.blocking(move |inner| {
            let page =
                |t: &dyn tables::Tables| tables::history(t, conversation, (from, to), max_bytes);
            inner.state.ask(page)
        })
        .await
    }

    async fn exports(
        &self,
        link: LinkNumber,
        from: u64,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Bytes)>, StoreError> {
        self.blocking(move |inner| {
            inner.state.ask(|t: &dyn tables::Tables| tables::exports(t, link, from, max_bytes))
        })
        .await
    }

    async fn sent_index(
        &self,
        device: DeviceId,
        group: Group,
        number: u64,
    ) -> Result<Option<SentIndex>, StoreError> {
        self.blocking(move |inner| {
            inner.state.ask(|tables| tables::sent_index(tables, device, group, number))
        })
        .await
    }

    async fn hash_at(&self, index: u64) -> Result<Option<[u8; 32]>, StoreError> {
        self.blocking(move |inner| inner.state.hash_at(index)).await
    }

    async fn export(
        &self,
        after: Option<(u64, ConversationId)>,
        upto: u64,
        max_bytes: usize,
    ) -> Result<Option<Page>, StoreError> {
        self.blocking(move |inner| {
            inner.state.ask(|tables| tables::export(tables, after, upto, max_bytes))
        })
        .await
    }

    async fn begin_import(&self, all: bool) -> Result<(), StoreError> {
        self.blocking(move |inner| inner.state.begin_import(all)).await
    }

    async fn import(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        self.blocking(move |inner| inner.state.import(&rows)).await
    }

    async fn install(&self, mark: Mark, state: Vec<Row>) -> Result<(), StoreError> {
        self.blocking(move |inner| inner.state.install(mark, &state)).await
    }

    fn log_bytes(&self) -> u64 {
        self.inner.log.bytes()
    }

    fn syncs(&self) -> u64 {
        self.inner.log.syncs()
    }

    fn note_acknowledged(&self, seat: u32, index: u64) {
        self.inner.log.guard().note_acknowledged(seat, index);
    }

    fn acknowledged(&self, seat: u32) -> Option<u64> {
        self.inner.log.guard().acknowledged(seat)
    }

    async fn close(&self) -> Result<(), StoreError> {
        self.blocking(Inner::close).await
    }
}
