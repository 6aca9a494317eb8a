//! The task that writes the log: appends, votes, cuts and purges in order, and as many
//! entries together as wait. It must not know what an entry holds.
//!
//! Entries go first, then the node's document says how far the log reaches: that one write,
//! which only the owner of the epoch can make, is what makes them durable. Entries above it
//! are void, whoever wrote them: one that lies there is replaced by the next one with its
//! index.

use super::db::Db;
use super::fields::{LOG, bytes, int, log_id};
use super::lease::{self, End, Lease};
use super::log::{Append, Op, Recent, lock};
use crate::limits::{STORE_GROUP, STORE_GROUP_BYTES};
use crate::store::StoreError;
use crate::store::record::LogEntry;
use mongodb::bson::{Bson, Document, doc};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;

/// The log's task.
pub(super) struct Writer {
    pub(super) db: Arc<Db>,
    pub(super) lease: Arc<Lease>,
    pub(super) end: End,
    pub(super) recent: Arc<Mutex<Recent>>,
    pub(super) queue: mpsc::Receiver<Op>,
    pub(super) syncs: Arc<AtomicU64>,
}

impl Writer {
    /// Writes until the log is dropped, or until the database fails: then everything that
    /// waits, and everything to come, fails too.
    pub(super) async fn run(mut self) {
        let mut next = None;
        loop {
            let op = match next.take() {
                Some(op) => op,
                None => match self.queue.recv().await {
                    Some(op) => op,
                    None => return,
                },
            };
            match op {
                Op::Append(mut group) => {
                    next = self.gather(&mut group);
                    self.append(group).await;
                }
                Op::Set(fields, delete, done) => {
                    let result = self.set(fields, delete).await;
                    // Who asked may have gone away.
                    drop(done.send(result));
                }
            }
        }
    }

    /// Adds appends that wait; gives back the first that is something else.
    fn gather(&mut self, group: &mut Append) -> Option<Op> {
        let size = |entries: &[LogEntry]| entries.iter().map(|e| e.payload.len()).sum::<usize>();
        let mut bytes = size(&group.entries);
        while group.entries.len() < STORE_GROUP && bytes < STORE_GROUP_BYTES {
            match self.queue.try_recv() {
                Ok(Op::Append(more)) => {
                    bytes += size(&more.entries);
                    group.entries.extend(more.entries);
                    group.on_durable.extend(more.on_durable);
                }
                Ok(other) => return Some(other),
                Err(_) => break,
            }
        }
        None
    }

    async fn append(&self, mut append: Append) {
        let calls = std::mem::take(&mut append.on_durable);
        let result = self.write(&append.entries).await.map_err(|error| self.end.note(error));
        if let (Ok(()), Some(last)) = (&result, append.entries.last()) {
            lock(&self.recent).written(last.id.index, &append);
        }
        for call in calls {
            call(match &result {
                Ok(()) => Ok(()),
                Err(error) => Err(lease::again(error)),
            });
        }
    }

    /// The entries, then how far the log reaches.
    async fn write(&self, entries: &[LogEntry]) -> Result<(), StoreError> {
        self.end.check()?;
        let Some(last) = entries.last().map(|entry| entry.id) else { return Ok(()) };
        let document = |entry: &LogEntry| {
            doc! {
                "_id": int(entry.id.index), "term": int(entry.id.term),
                "epoch": int(self.lease.epoch), "payload": bytes(&entry.payload),
            }
        };
        let documents: Vec<Document> = entries.iter().map(document).collect();
        let there = self.db.insert(LOG, documents).await?;
        let left: Vec<Document> =
            there.iter().filter_map(|at| entries.get(*at)).map(document).collect();
        self.replace(left).await?;
        let reaches = doc! { "$set": { "last": log_id(Some(last)) } };
        self.lease.write(&self.db, reaches).await?;
        self.syncs.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// Replaces entries that an earlier attempt, a cut or an earlier owner left. One of a later
    /// owner stays.
    async fn replace(&self, documents: Vec<Document>) -> Result<(), StoreError> {
        if documents.is_empty() {
            return Ok(());
        }
        let count = documents.len() as u64;
        let older = doc! { "$lte": int(self.lease.epoch) };
        let statement = |document: Document| {
            let id = document.get("_id").cloned().unwrap_or(Bson::Null);
            doc! { "q": { "_id": id, "epoch": older.clone() }, "u": document }
        };
        let statements = documents.into_iter().map(statement).collect();
        let matched = self.db.update(LOG, statements).await?.matched;
        if matched == count { Ok(()) } else { Err(lease::taken_over(self.db.name())) }
    }

    async fn set(&self, fields: Document, delete: Option<Document>) -> Result<(), StoreError> {
        let set = async {
            self.end.check()?;
            self.lease.write(&self.db, doc! { "$set": fields }).await?;
            self.syncs.fetch_add(1, Ordering::Relaxed);
            match delete {
                Some(filter) => forget(&self.db, &self.lease, filter).await,
                None => Ok(()),
            }
        };
        set.await.map_err(|error| self.end.note(error))
    }
}

/// Deletes entries that do not count any more. Those of a later owner stay, however late this
/// arrives.
pub(super) async fn forget(db: &Db, lease: &Lease, filter: Document) -> Result<(), StoreError> {
    let mut filter = filter;
    filter.insert("epoch", doc! { "$lte": int(lease.epoch) });
    db.delete(LOG, filter).await
}
