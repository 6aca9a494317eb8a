//! The log as its users see it: what is appended is readable at once, from memory, and
//! queued for the database with votes, cuts and purges. It must not know what an entry holds,
//! nor how it is written.

use super::db::Db;
use super::fields::{LOG, NODE, Reading, int, log_id};
use super::lease::{End, Lease};
use super::writer::{self, Writer};
use crate::limits::{STORE_LOG_CACHE, STORE_QUEUE};
use crate::store::record::{LogBounds, LogEntry, LogId, Vote};
use crate::store::{OnDurable, StoreError};
use mongodb::bson::{Bson, Document, doc};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::{mpsc, oneshot, watch};

/// Entries read from the database at a time.
const PAGE: u64 = 512;

pub(super) type Done = oneshot::Sender<Result<(), StoreError>>;

/// What the log's task is asked, in order.
pub(super) enum Op {
    Append(Append),
    /// Sets fields of the node's document, then deletes entries that no longer count.
    Set(Document, Option<Document>, Done),
}

/// Entries that are in memory and wait for the database.
pub(super) struct Append {
    pub(super) entries: Vec<LogEntry>,
    pub(super) on_durable: Vec<OnDurable>,
    /// How often the log had been cut before.
    cuts: u64,
}

#[derive(Default)]
pub(super) struct Recent {
    bounds: LogBounds,
    /// Index of the first entry; after a snapshot an empty log goes on anywhere.
    first: u64,
    vote: Option<Vote>,
    /// The newest entries, without gaps up to the last one.
    entries: BTreeMap<u64, LogEntry>,
    bytes: usize,
    /// Index after the last durable entry; from here on all are in `entries`.
    durable: watch::Sender<u64>,
    log_bytes: u64,
    /// How often the log was cut.
    cuts: u64,
}

/// The log.
pub(super) struct Log {
    db: Arc<Db>,
    end: End,
    recent: Arc<Mutex<Recent>>,
    queue: mpsc::Sender<Op>,
    syncs: Arc<AtomicU64>,
}

pub(super) fn lock(recent: &Mutex<Recent>) -> MutexGuard<'_, Recent> {
    recent.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the node's document says of vote and log.
pub(super) fn read_head(node: &Document) -> Result<(Option<Vote>, LogBounds), StoreError> {
    let read = Reading { collection: NODE, document: node };
    let vote = match node.get_document("vote") {
        Ok(document) => {
            let read = Reading { collection: NODE, document };
            Some(Vote {
                term: read.number("term")?,
                node: read.number("node")?,
                committed: document.get_bool("committed").map_err(|_| read.bad("vote"))?,
            })
        }
        Err(_) => None,
    };
    Ok((vote, LogBounds { purged: read.log_id("purged")?, last: read.log_id("last")? }))
}

fn write_vote(vote: &Vote) -> Document {
    doc! { "term": int(vote.term), "node": int(vote.node), "committed": vote.committed }
}

/// Opens the log that the node's document describes, and drops entries that do not count.
///
/// # Errors
/// When the database does not answer, or holds less than the document says.
pub(super) async fn open(
    db: Arc<Db>,
    lease: Arc<Lease>,
    end: End,
    node: &Document,
) -> Result<(Log, Writer), StoreError> {
    let (vote, bounds) = read_head(node)?;
    let above = bounds.last.map_or(Bson::Int64(-1), |id| int(id.index));
    writer::forget(&db, &lease, doc! { "_id": { "$gt": above } }).await?;
    if let Some(purged) = bounds.purged {
        let below = doc! { "_id": { "$lte": int(purged.index) } };
        writer::forget(&db, &lease, below).await?;
    }
    let mut recent = Recent { bounds, vote, ..Recent::default() };
    let durable = bounds.last.map_or(0, |id| id.index + 1);
    recent.durable.send_replace(durable);
    recent.first = first(&db, bounds).await?;
    let mut from = recent.first;
    while from < durable {
        let to = durable.min(from + PAGE);
        for entry in read_entries(&db, from, to).await? {
            recent.log_bytes += entry.payload.len() as u64;
            recent.remember(entry);
        }
        from = to;
    }
    if let (Some(last), Some((_, entry))) = (bounds.last, recent.entries.last_key_value())
        && entry.id != last
    {
        return Err(missing(last.index));
    }
    let recent = Arc::new(Mutex::new(recent));
    let (send, receive) = mpsc::channel(STORE_QUEUE);
    let syncs = Arc::new(AtomicU64::new(0));
    let (shared, counter) = (Arc::clone(&recent), Arc::clone(&syncs));
    let log = Log { db: Arc::clone(&db), end: end.clone(), recent, queue: send, syncs };
    Ok((log, Writer { db, lease, end, recent: shared, queue: receive, syncs: counter }))
}

/// Where the log begins.
pub(super) async fn first(db: &Db, bounds: LogBounds) -> Result<u64, StoreError> {
    if let Some(purged) = bounds.purged {
        return Ok(purged.index + 1);
    }
    let lowest = db.one(LOG, doc! {}, doc! { "_id": 1 }).await?;
    lowest.map_or(Ok(0), |document| Reading { collection: LOG, document: &document }.number("_id"))
}

fn missing(index: u64) -> StoreError {
    StoreError::Corrupt(format!(
        "entry {index} of the log is missing in the database, or is another one than was \
         acknowledged; bring this node back with `rustchat serve --rejoin`"
    ))
}

/// Entries `from..to` of the database, all of which must be there.
pub(super) async fn read_entries(db: &Db, from: u64, to: u64) -> Result<Vec<LogEntry>, StoreError> {
    let range = doc! { "_id": { "$gte": int(from), "$lt": int(to) } };
    let found = db.find(LOG, range, doc! { "_id": 1 }).await?;
    let mut entries = Vec::with_capacity(found.len());
    for (document, index) in found.iter().zip(from..) {
        let read = Reading { collection: LOG, document };
        let id = LogId { term: read.number("term")?, index: read.number("_id")? };
        if id.index != index {
            return Err(missing(index));
        }
        entries.push(LogEntry { id, payload: read.bytes("payload")? });
    }
    if entries.len() as u64 == to - from { Ok(entries) } else { Err(missing(to - 1)) }
}

impl Recent {
    fn remember(&mut self, entry: LogEntry) {
        self.bytes += entry.payload.len();
        self.entries.insert(entry.id.index, entry);
        self.evict();
    }

    /// Forgets the oldest durable entries where there are too many bytes.
    fn evict(&mut self) {
        while self.bytes > STORE_LOG_CACHE {
            let Some(oldest) = self.entries.first_entry() else { return };
            if *oldest.key() >= *self.durable.borrow() {
                return;
            }
            self.bytes -= oldest.remove().payload.len();
        }
    }

    fn drop_from(&mut self, index: u64) {
        let cut = self.entries.split_off(&index);
        self.bytes -= cut.values().map(|entry| entry.payload.len()).sum::<usize>();
        self.durable.send_modify(|durable| *durable = index.min(*durable));
        self.cuts += 1;
    }

    /// Notes that everything up to `last` is durable, unless the log was cut since.
    pub(super) fn written(&mut self, last: u64, append: &Append) {
        if append.cuts == self.cuts {
            self.durable.send_modify(|durable| *durable = (last + 1).max(*durable));
            self.evict();
        }
    }

    fn drop_upto(&mut self, index: u64) {
        let rest = self.entries.split_off(&(index + 1));
        self.entries = rest;
        self.bytes = self.entries.values().map(|entry| entry.payload.len()).sum();
    }
}

impl Log {
    pub(super) fn bounds(&self) -> LogBounds {
        lock(&self.recent).bounds
    }

    pub(super) fn vote(&self) -> Option<Vote> {
        lock(&self.recent).vote
    }

    pub(super) fn log_bytes(&self) -> u64 {
        lock(&self.recent).log_bytes
    }

    /// Index after the last durable entry.
    pub(super) fn durable(&self) -> watch::Receiver<u64> {
        lock(&self.recent).durable.subscribe()
    }

    pub(super) fn syncs(&self) -> u64 {
        self.syncs.load(Ordering::Relaxed)
    }

    /// See [`crate::store::Store::read`].
    pub(super) async fn read(&self, from: u64, to: u64) -> Result<Vec<LogEntry>, StoreError> {
        let (first, mut recent) = {
            let recent = lock(&self.recent);
            let begin = recent.first.max(from);
            let end = recent.bounds.last.map_or(0, |id| id.index + 1).min(to);
            if begin >= end {
                return Ok(Vec::new());
            }
            let entries = recent.entries.range(begin..end).map(|(_, entry)| entry.clone());
            let entries: Vec<LogEntry> = entries.collect();
            let cached = entries.first().map_or(end, |entry| entry.id.index);
            ((begin, cached), entries)
        };
        if first.0 >= first.1 {
            return Ok(recent);
        }
        let mut entries = read_entries(&self.db, first.0, first.1).await?;
        entries.append(&mut recent);
        Ok(entries)
    }

    /// See [`crate::store::Store::append`].
    pub(super) async fn append(
        &self,
        entries: Vec<LogEntry>,
        on_durable: OnDurable,
    ) -> Result<(), StoreError> {
        self.end.check()?;
        let place = self.queue.reserve().await.map_err(|_| self.gone())?;
        let mut recent = lock(&self.recent);
        crate::store::follows(recent.bounds, &entries)?;
        if let (None, Some(first)) = (recent.bounds.last, entries.first()) {
            recent.first = first.id.index;
        }
        for entry in &entries {
            recent.bounds.last = Some(entry.id);
            recent.log_bytes += entry.payload.len() as u64;
            recent.remember(entry.clone());
        }
        let cuts = recent.cuts;
        place.send(Op::Append(Append { entries, on_durable: vec![on_durable], cuts }));
        Ok(())
    }

    /// Queues a change that is durable on return. `change` makes it in memory and says what to
    /// set and what to delete; `None` where there is nothing to do.
    async fn set(
        &self,
        change: impl FnOnce(&mut Recent) -> Option<(Document, Option<Document>)> + Send,
    ) -> Result<(), StoreError> {
        self.end.check()?;
        let place = self.queue.reserve().await.map_err(|_| self.gone())?;
        let (done, wait) = oneshot::channel();
        {
            let mut recent = lock(&self.recent);
            let Some((fields, delete)) = change(&mut recent) else { return Ok(()) };
            place.send(Op::Set(fields, delete, done));
        }
        wait.await.unwrap_or_else(|_| Err(self.gone()))
    }

    fn gone(&self) -> StoreError {
        let gone = || StoreError::Io(std::io::Error::other("the store is closed"));
        self.end.check().err().unwrap_or_else(gone)
    }

    /// See [`crate::store::Store::save_vote`].
    pub(super) async fn save_vote(&self, vote: Vote) -> Result<(), StoreError> {
        self.set(|recent| {
            recent.vote = Some(vote);
            Some((doc! { "vote": write_vote(&vote) }, None))
        })
        .await
    }

    /// Sets fields that say whose data it is.
    pub(super) async fn save_fields(&self, fields: Document) -> Result<(), StoreError> {
        self.set(|_| Some((fields, None))).await
    }

    /// See [`crate::store::Store::truncate`].
    pub(super) async fn truncate(&self, from: u64) -> Result<(), StoreError> {
        let mut before = None;
        if let Some(index) = from.checked_sub(1) {
            before = self.read(index, from).await?.first().map(|entry| entry.id);
        }
        self.set(|recent| {
            let last = recent.bounds.last?;
            if last.index < from || recent.bounds.purged.is_some_and(|id| id.index >= last.index) {
                return None;
            }
            recent.drop_from(from);
            recent.bounds.last = before.or(recent.bounds.purged);
            let above = doc! { "_id": { "$gte": int(from) } };
            Some((doc! { "last": log_id(recent.bounds.last) }, Some(above)))
        })
        .await
    }

    /// See [`crate::store::Store::purge`].
    pub(super) async fn purge(&self, upto: LogId) -> Result<(), StoreError> {
        let next = self.read(upto.index, upto.index + 1).await?;
        // Behind another entry than `upto`, what follows belongs to another history.
        let other = next.first().is_some_and(|entry| entry.id != upto);
        self.set(|recent| {
            if recent.bounds.purged.is_some_and(|id| id.index >= upto.index) {
                return None;
            }
            let behind = recent.bounds.last.is_none_or(|last| last.index <= upto.index);
            let delete = if other {
                recent.drop_from(0);
                doc! {}
            } else {
                recent.drop_upto(upto.index);
                doc! { "_id": { "$lte": int(upto.index) } }
            };
            if other || behind {
                recent.bounds.last = Some(upto);
            }
            recent.bounds.purged = Some(upto);
            recent.first = upto.index + 1;
            recent.log_bytes = 0;
            let LogBounds { purged, last } = recent.bounds;
            Some((doc! { "purged": log_id(purged), "last": log_id(last) }, Some(delete)))
        })
        .await
    }
}
