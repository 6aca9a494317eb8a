//! A complete store without a disk, for tests and simulation. Faults are
//! switched on from outside: the next append or commit fails, syncs are held back
//! until released, nothing can be written for a while, or the data is another's.
//! It must not know who uses it.

#[cfg(test)]
mod tests;

use super::record::{LogBounds, LogEntry, LogId, Mark, Row, Table, Vote};
use super::tables::{self, Tables, Visit, visit_all};
use super::{Identity, OnDurable, Store, StoreError};
use crate::chat::ids::{ConversationId, DeviceId, Group};
use crate::chat::link::LinkNumber;
use crate::chat::write::{SentIndex, Write};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::{oneshot, watch};

/// A store in memory. Dropping it loses everything; keep it to "restart" a node on it.
pub struct Memory {
    inner: Mutex<Inner>,
    /// As if a database did not answer.
    unavailable: watch::Sender<bool>,
}

type Rows = BTreeMap<Bytes, Bytes>;

#[derive(Clone, Default)]
struct Data {
    tables: BTreeMap<Table, Rows>,
    hashes: BTreeMap<u64, [u8; 32]>,
}

struct Inner {
    identity: Identity,
    log: BTreeMap<u64, LogEntry>,
    bounds: LogBounds,
    vote: Option<Vote>,
    committed: Option<LogId>,
    mark: Mark,
    data: Data,
    /// The history that a snapshot brings, and whether it replaces the old one.
    import: Option<(Data, bool)>,
    acknowledged: BTreeMap<u32, u64>,
    log_bytes: u64,
    syncs: u64,
    /// Waits for a sync that is held back; the flag says whether the sync will succeed.
    waiting: VecDeque<(OnDurable, bool)>,
    /// The end of the log when the store became unavailable: what came later is on no disk.
    reached: Option<LogBounds>,
    /// Another process has the data.
    taken: bool,
    /// One thread at a time calls back, so that the order is kept.
    calling: bool,
    hold: bool,
    fail_append: bool,
    fail_commit: bool,
    broken: bool,
}

impl Memory {
    /// An empty store for this seat.
    #[must_use]
    pub fn new(seat: u32) -> Self {
        Self::with_identity(Identity::fresh(seat))
    }

    /// An empty store with this identity, for runs that must repeat exactly.
    #[must_use]
    pub fn with_identity(identity: Identity) -> Self {
        let inner = Inner {
            identity,
            log: BTreeMap::new(),
            bounds: LogBounds::default(),
            vote: None,
            committed: None,
            mark: Mark::default(),
            data: Data::default(),
            import: None,
            acknowledged: BTreeMap::new(),
            log_bytes: 0,
            syncs: 0,
            waiting: VecDeque::new(),
            reached: None,
            taken: false,
            calling: false,
            hold: false,
            fail_append: false,
            fail_commit: false,
            broken: false,
        };
        Self { inner: Mutex::new(inner), unavailable: watch::Sender::new(false) }
    }

    /// The sync of the next append fails, and with it every later write.
    pub fn fail_next_append(&self) {
        self.lock().fail_append = true;
    }

    /// The next commit fails, and with it every later write.
    pub fn fail_next_commit(&self) {
        self.lock().fail_commit = true;
    }

    /// Holds syncs back: nothing becomes durable until [`Memory::release_syncs`].
    pub fn hold_syncs(&self) {
        self.lock().hold = true;
    }

    /// Lets held syncs happen, in order, and those to come at once.
    pub fn release_syncs(&self) {
        self.lock().hold = false;
        self.call_back();
    }

    /// While set, it is as if a database did not answer: [`Store::failed`] resolves, entries
    /// that are appended can be read but their callbacks fail, as do those that were held back,
    /// and every other write fails; all with [`StoreError::Unavailable`]. When it is available
    /// again, what was appended meanwhile is gone.
    pub fn set_unavailable(&self, unavailable: bool) {
        {
            let mut inner = self.lock();
            match (unavailable, inner.reached.take()) {
                (true, reached) => inner.reached = reached.or(Some(inner.bounds)),
                (false, None) => {}
                (false, Some(reached)) => {
                    let next = reached.last.map_or(0, |id| id.index + 1);
                    inner.log.split_off(&next);
                    inner.bounds = reached;
                }
            }
        }
        self.unavailable.send_replace(unavailable);
        self.call_back();
    }

    /// While set, another process has the data: [`Store::holds`] answers false.
    pub fn set_taken(&self, taken: bool) {
        self.lock().taken = taken;
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writable(&self) -> Result<MutexGuard<'_, Inner>, StoreError> {
        let inner = self.lock();
        match (inner.broken, inner.reached) {
            (true, _) => Err(failed()),
            (false, Some(_)) => Err(unavailable()),
            (false, None) => Ok(inner),
        }
    }

    /// Calls what waits for a sync, in order, without holding the lock.
    fn call_back(&self) {
        let mut inner = self.lock();
        if inner.calling {
            return;
        }
        inner.calling = true;
        while !inner.hold || inner.reached.is_some() {
            let Some((on_durable, works)) = inner.waiting.pop_front() else { break };
            let result = inner.sync(works);
            drop(inner);
            on_durable(result);
            inner = self.lock();
        }
        inner.calling = false;
    }

    /// Queues a change that must be durable on return.
    async fn durable(&self, change: impl FnOnce(&mut Inner) + Send) -> Result<(), StoreError> {
        let (done, wait) = oneshot::channel();
        {
            let mut inner = self.writable()?;
            change(&mut inner);
            let call = Box::new(move |result| drop(done.send(result)));
            inner.waiting.push_back((call, true));
        }
        self.call_back();
        wait.await.unwrap_or_else(|_| Err(failed()))
    }
}

impl Inner {
    /// What becomes of the next sync, which would succeed if `works`.
    fn sync(&mut self, works: bool) -> Result<(), StoreError> {
        if self.reached.is_some() {
            return Err(unavailable());
        }
        self.syncs += 1;
        self.broken |= !works;
        if self.broken { Err(failed()) } else { Ok(()) }
    }
}

fn failed() -> StoreError {
    StoreError::Io(io::Error::other("a fault was injected"))
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("a fault was injected".into())
}

fn put(tables: &mut BTreeMap<Table, Rows>, rows: Vec<Row>) {
    for row in rows {
        tables.entry(row.table).or_default().insert(row.key, row.value);
    }
}

impl Tables for Inner {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.data.tables.get(&table).and_then(|rows| rows.get(key)).cloned())
    }

    fn scan(
        &self,
        table: Table,
        range: (Bound<Bytes>, Bound<Bytes>),
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        let Some(rows) = self.data.tables.get(&table) else { return Ok(()) };
        let rows = rows.range(range);
        visit_all(rows.map(|(key, value)| Ok((key.clone(), value.clone()))), visit)
    }

    fn last(
        &self,
        table: Table,
        from: Bytes,
        to: Bytes,
    ) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        let rows = self.data.tables.get(&table);
        let found = rows.and_then(|rows| rows.range(from..=to).next_back());
        Ok(found.map(|(key, value)| (key.clone(), value.clone())))
    }
}

#[async_trait]
impl Store for Memory {
    fn kind(&self) -> &'static str {
        "memory"
    }

    fn identity(&self) -> Identity {
        self.lock().identity
    }

    async fn save_identity(&self, identity: Identity) -> Result<(), StoreError> {
        self.durable(|inner| inner.identity = identity).await
    }

    fn bounds(&self) -> LogBounds {
        self.lock().bounds
    }

    async fn read(&self, from: u64, to: u64) -> Result<Vec<LogEntry>, StoreError> {
        let inner = self.lock();
        if from >= to {
            return Ok(Vec::new());
        }
        Ok(inner.log.range(from..to).map(|(_, entry)| entry.clone()).collect())
    }

    async fn append(
        &self,
        entries: Vec<LogEntry>,
        on_durable: OnDurable,
    ) -> Result<(), StoreError> {
        {
            let mut inner = self.lock();
            if inner.broken {
                return Err(failed());
            }
            super::follows(inner.bounds, &entries)?;
            for entry in entries {
                inner.bounds.last = Some(entry.id);
                inner.log_bytes += entry.payload.len() as u64;
                inner.log.insert(entry.id.index, entry);
            }
            let works = !std::mem::take(&mut inner.fail_append);
            inner.waiting.push_back((on_durable, works));
        }
        self.call_back();
        Ok(())
    }

    async fn truncate(&self, from: u64) -> Result<(), StoreError> {
        self.durable(|inner| {
            inner.log.split_off(&from);
            let last = inner.log.last_key_value().map(|(_, entry)| entry.id);
            inner.bounds.last = last.or(inner.bounds.purged);
        })
        .await
    }

    async fn purge(&self, upto: LogId) -> Result<(), StoreError> {
        self.durable(|inner| {
            if inner.bounds.purged.is_some_and(|purged| purged.index >= upto.index) {
                return;
            }
            let ours = inner.log.get(&upto.index).is_none_or(|entry| entry.id == upto);
            let rest = inner.log.split_off(&(upto.index + 1));
            // Behind another entry than `upto`, what follows belongs to another history.
            inner.log = if ours { rest } else { BTreeMap::new() };
            inner.bounds.purged = Some(upto);
            let last = inner.log.last_key_value().map(|(_, entry)| entry.id);
            inner.bounds.last = last.or(Some(upto));
            inner.log_bytes = 0;
        })
        .await
    }

    fn vote(&self) -> Option<Vote> {
        self.lock().vote
    }

    async fn save_vote(&self, vote: Vote) -> Result<(), StoreError> {
        self.durable(|inner| inner.vote = Some(vote)).await
    }

    async fn save_committed(&self, id: Option<LogId>) -> Result<(), StoreError> {
        self.writable()?.committed = id;
        Ok(())
    }

    fn committed(&self) -> Option<LogId> {
        self.lock().committed
    }

    fn mark(&self) -> Mark {
        self.lock().mark.clone()
    }

    async fn commit(
        &self,
        mark: Mark,
        _writes: Vec<Write>,
        rows: Vec<Row>,
    ) -> Result<(), StoreError> {
        let mut inner = self.writable()?;
        if std::mem::take(&mut inner.fail_commit) {
            inner.broken = true;
            return Err(failed());
        }
        if mark.applied <= inner.mark.applied {
            return Ok(());
        }
        put(&mut inner.data.tables, rows);
        if let Some(applied) = mark.applied {
            inner.data.hashes.insert(applied.index, mark.hash);
        }
        inner.mark = mark;
        Ok(())
    }

    async fn persist(&self) -> Result<(), StoreError> {
        self.writable().map(drop)
    }

    async fn load(&self) -> Result<Vec<Write>, StoreError> {
        tables::load(&*self.lock())
    }

    async fn history(
        &self,
        conversation: ConversationId,
        from: u64,
        to: u64,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Bytes)>, StoreError> {
        tables::history(&*self.lock(), conversation, (from, to), max_bytes)
    }

    async fn exports(
        &self,
        link: LinkNumber,
        from: u64,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Bytes)>, StoreError> {
        tables::exports(&*self.lock(), link, from, max_bytes)
    }

    async fn sent_index(
        &self,
        device: DeviceId,
        group: Group,
        number: u64,
    ) -> Result<Option<SentIndex>, StoreError> {
        tables::sent_index(&*self.lock(), device, group, number)
    }

    async fn hash_at(&self, index: u64) -> Result<Option<[u8; 32]>, StoreError> {
        Ok(self.lock().data.hashes.get(&index).copied())
    }

    async fn export(
        &self,
        after: Option<(u64, ConversationId)>,
        upto: u64,
        max_bytes: usize,
    ) -> Result<Option<tables::Page>, StoreError> {
        tables::export(&*self.lock(), after, upto, max_bytes)
    }

    async fn begin_import(&self, all: bool) -> Result<(), StoreError> {
        self.writable()?.import = Some((Data::default(), all));
        Ok(())
    }

    async fn import(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        let mut inner = self.writable()?;
        let (data, _) = inner.import.get_or_insert_default();
        put(&mut data.tables, rows);
        Ok(())
    }

    async fn install(&self, mark: Mark, state: Vec<Row>) -> Result<(), StoreError> {
        let mut inner = self.writable()?;
        match inner.import.take() {
            Some((history, true)) => inner.data = history,
            Some((history, false)) => {
                for (table, rows) in history.tables {
                    inner.data.tables.entry(table).or_default().extend(rows);
                }
            }
            None => {}
        }
        inner.data.tables.retain(|table, _| !tables::is_small(*table));
        put(&mut inner.data.tables, state);
        if let Some(applied) = mark.applied {
            inner.data.hashes.insert(applied.index, mark.hash);
        }
        inner.mark = mark;
        Ok(())
    }

    fn log_bytes(&self) -> u64 {
        self.lock().log_bytes
    }

    fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    fn note_acknowledged(&self, seat: u32, index: u64) {
        let mut inner = self.lock();
        let known = inner.acknowledged.entry(seat).or_default();
        *known = index.max(*known);
    }

    fn acknowledged(&self, seat: u32) -> Option<u64> {
        self.lock().acknowledged.get(&seat).copied()
    }

    async fn failed(&self) -> StoreError {
        let mut now = self.unavailable.subscribe();
        // The sender is as old as the store: there is no error.
        drop(now.wait_for(|unavailable| *unavailable).await);
        unavailable()
    }

    fn holds(&self) -> bool {
        !self.lock().taken
    }

    async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
