//! The applied state: what the database holds, and on top of it, in memory, the entries that
//! it has not taken yet. A commit returns once it is readable; the flush follows behind, and
//! what a failure takes from memory comes back from the log. It must not know how the flush
//! is done.

use super::lease::End;
use crate::chat::ids::{ConversationId, DeviceId, Group};
use crate::chat::link::LinkNumber;
use crate::chat::write::{SentIndex, Write};
use crate::limits::{STORE_BACKLOG, STORE_BACKLOG_BYTES};
use crate::store::StoreError;
use crate::store::record::{Mark, Row, Table};
use crate::wire::stored;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{Notify, watch};

/// What one entry did.
pub(super) struct Step {
    /// How far the state has come with it.
    pub(super) mark: Mark,
    /// What it wrote.
    pub(super) writes: Vec<Write>,
    /// The same, encoded.
    pub(super) rows: Vec<Row>,
    bytes: usize,
}

impl Step {
    /// Its log index.
    pub(super) fn index(&self) -> u64 {
        self.mark.applied.map_or(0, |id| id.index)
    }
}

struct Inner {
    /// With all entries.
    mark: Mark,
    /// Without those of the backlog.
    flushed: Mark,
    backlog: VecDeque<Arc<Step>>,
    bytes: usize,
}

/// The state; shared by the store and the flush.
pub(super) struct State {
    inner: Mutex<Inner>,
    end: End,
    /// Wakes the flush.
    pub(super) more: Notify,
    /// Somebody waits for the flush.
    pub(super) hurry: Notify,
    /// Log index of the last entry that is flushed, and counts every flush.
    done: watch::Sender<Option<u64>>,
}

impl State {
    /// The state as the database holds it.
    pub(super) fn new(mark: Mark, end: End) -> Self {
        let done = watch::Sender::new(mark.applied.map(|id| id.index));
        let inner = Inner { flushed: mark.clone(), mark, backlog: VecDeque::new(), bytes: 0 };
        Self { inner: Mutex::new(inner), end, more: Notify::new(), hurry: Notify::new(), done }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn mark(&self) -> Mark {
        self.lock().mark.clone()
    }

    /// Log index up to which messages in the database count; `None`: none do.
    pub(super) fn flushed(&self) -> Option<u64> {
        self.lock().flushed.applied.map(|id| id.index)
    }

    /// See [`crate::store::Store::commit`].
    pub(super) async fn commit(
        &self,
        mark: Mark,
        writes: Vec<Write>,
        rows: Vec<Row>,
    ) -> Result<(), StoreError> {
        self.wait(|inner| inner.backlog.len() < STORE_BACKLOG && inner.bytes < STORE_BACKLOG_BYTES)
            .await?;
        let mut inner = self.lock();
        if mark.applied <= inner.mark.applied {
            return Ok(());
        }
        let bytes = rows.iter().map(|row| row.key.len() + row.value.len()).sum();
        inner.mark = mark.clone();
        inner.bytes += bytes;
        inner.backlog.push_back(Arc::new(Step { mark, writes, rows, bytes }));
        drop(inner);
        self.more.notify_one();
        Ok(())
    }

    /// Waits until everything that is committed now is flushed.
    pub(super) async fn persist(&self) -> Result<(), StoreError> {
        let applied = self.mark().applied;
        self.wait(|inner| inner.flushed.applied >= applied).await
    }

    async fn wait(&self, enough: impl Fn(&Inner) -> bool + Send) -> Result<(), StoreError> {
        let mut done = self.done.subscribe();
        loop {
            done.mark_unchanged();
            if enough(&self.lock()) {
                return self.end.check();
            }
            self.hurry.notify_one();
            tokio::select! {
                _ = done.changed() => {}
                error = self.end.wait() => return Err(error),
            }
        }
    }

    /// The oldest entries that are not flushed, at most `bytes` of them (at least one).
    pub(super) fn next(&self, bytes: usize) -> Vec<Arc<Step>> {
        let inner = self.lock();
        let mut taken = 0;
        let fits = |step: &&Arc<Step>| {
            let fits = taken == 0 || taken + step.bytes <= bytes;
            taken += step.bytes.max(1);
            fits
        };
        inner.backlog.iter().take_while(fits).cloned().collect()
    }

    /// The oldest `count` entries are flushed.
    pub(super) fn flushed_first(&self, count: usize) {
        let mut inner = self.lock();
        for _ in 0..count {
            let Some(step) = inner.backlog.pop_front() else { break };
            inner.bytes -= step.bytes;
            inner.flushed = step.mark.clone();
        }
        let index = inner.flushed.applied.map(|id| id.index);
        drop(inner);
        self.done.send_replace(index);
    }

    /// The state was replaced by a snapshot.
    pub(super) fn replaced(&self, mark: Mark) {
        let mut inner = self.lock();
        let index = mark.applied.map(|id| id.index);
        *inner = Inner { flushed: mark.clone(), mark, backlog: VecDeque::new(), bytes: 0 };
        drop(inner);
        self.done.send_replace(index);
    }

    /// Up to where the database counts, and values of a conversation's history above that, each
    /// with its first seq, that hold seqs of `from..=to`.
    pub(super) fn history(
        &self,
        conversation: ConversationId,
        from: u64,
        to: u64,
    ) -> (Option<u64>, Vec<(u64, Bytes)>) {
        let inner = self.lock();
        let mut values = Vec::new();
        for step in &inner.backlog {
            for (write, row) in histories(step) {
                let Write::History { conversation: of, runs } = write else { continue };
                let (Some(first), Some(last)) = (runs.first(), runs.last()) else { continue };
                if *of == conversation && last.last_seq() >= from && first.first_seq <= to {
                    values.push((first.first_seq, row.value.clone()));
                }
            }
        }
        (inner.flushed.applied.map(|id| id.index), values)
    }

    /// Up to where the database must be asked for what a cluster is told from position `from` on,
    /// and the values above that, each with its first position.
    pub(super) fn exports(&self, link: LinkNumber, from: u64) -> (Option<u64>, Vec<(u64, Bytes)>) {
        let inner = self.lock();
        let rows = inner.backlog.iter().flat_map(|step| &step.rows);
        let rows = rows.filter(|row| row.table == Table::Exports).filter_map(|row| {
            let (of, first) = stored::parse_exports_key(&row.key).ok()?;
            (of == link).then(|| (first, row.value.clone()))
        });
        let mut values: Vec<(u64, Bytes)> = rows.collect();
        match values.iter().rposition(|(first, _)| *first <= from) {
            Some(at) => (None, values.split_off(at)),
            None => (inner.flushed.applied.map(|id| id.index), values),
        }
    }

    /// A row of the send index that is not flushed yet.
    pub(super) fn sent_index(
        &self,
        device: DeviceId,
        group: Group,
        number: u64,
    ) -> Option<SentIndex> {
        let inner = self.lock();
        let writes = inner.backlog.iter().flat_map(|step| &step.writes);
        let mut rows = writes.filter_map(|write| match write {
            Write::SentIndex(row) => Some(*row),
            _ => None,
        });
        rows.find(|row| {
            (row.device, row.group) == (device, group)
                && (row.first_number..=row.last_number).contains(&number)
        })
    }

    /// The hash after an entry that is not flushed yet.
    pub(super) fn hash_at(&self, index: u64) -> Option<[u8; 32]> {
        let inner = self.lock();
        inner.backlog.iter().find(|step| step.index() == index).map(|step| step.mark.hash)
    }
}

/// The history that an entry wrote, each with its encoded row.
fn histories(step: &Step) -> impl Iterator<Item = (&Write, &Row)> {
    step.writes.iter().filter_map(|write| {
        let Write::History { conversation, runs } = write else { return None };
        let key = stored::history_key(*conversation, runs.first()?.first_seq);
        let row = step.rows.iter().find(|row| row.table == Table::History && row.key == key)?;
        Some((write, row))
    })
}
