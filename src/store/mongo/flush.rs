//! Writes applied entries to the database, behind the commits. Messages, exports and hashes first,
//! which nobody sees yet; then the mark, with which they count; then the documents of the
//! small state, which people read. Each write may be done twice: a process that ends anywhere
//! in between does them again. It must not know who waits for it.

use super::applied;
use super::db::Db;
use super::documents::{self, Directory};
use super::exports;
use super::fields::{EXPORTS, HASHES, MESSAGES, SMALL, hex, int};
use super::lease::{End, Lease};
use super::messages;
use super::state::{State, Step};
use crate::chat::write::{Mark as Cursor, Write};
use crate::limits::STORE_FLUSH_PAUSE;
use crate::store::StoreError;
use crate::store::record::{Mark, Row, Table};
use crate::store::tables::{is_small, unreadable};
use crate::wire::stored;
use bytes::Bytes;
use futures::future::try_join_all;
use mongodb::bson::{Document, doc};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{Mutex, watch};
use tokio_util::sync::CancellationToken;

/// Bytes of rows in one flush, unless one entry alone has more: the mark's document, which
/// holds rows, may have 16 MB.
const BYTES: usize = 4 << 20;

/// The flush; also used where a process finds unfinished work of an earlier one.
pub(super) struct Flush {
    pub(super) db: Arc<Db>,
    pub(super) lease: Arc<Lease>,
    pub(super) end: End,
    pub(super) state: Arc<State>,
    /// Held while documents are written.
    pub(super) names: Mutex<Directory>,
}

impl Flush {
    /// Flushes until `closed`, or until the database fails. `durable` is the index after the
    /// log's last durable entry.
    pub(super) async fn run(
        self: Arc<Self>,
        closed: CancellationToken,
        mut durable: watch::Receiver<u64>,
    ) {
        loop {
            let steps = self.state.next(BYTES);
            let Some(last) = steps.last() else {
                tokio::select! {
                    () = closed.cancelled() => return,
                    () = self.state.more.notified() => continue,
                }
            };
            // An entry can be committed by the others before it is in this log. The state waits
            // for it, so that a state ahead of its log always means that the log has lost entries.
            tokio::select! {
                () = closed.cancelled() => return,
                there = durable.wait_for(|next| *next > last.index()) => {
                    // The log is gone.
                    if there.is_err() {
                        return;
                    }
                }
            }
            if let Err(error) = self.flush(&steps).await {
                drop(self.end.note(error));
                return;
            }
            // Nobody waits for it: what comes meanwhile goes together.
            tokio::select! {
                () = tokio::time::sleep(STORE_FLUSH_PAUSE) => {}
                () = self.state.hurry.notified() => {}
            }
        }
    }

    async fn flush(&self, steps: &[Arc<Step>]) -> Result<(), StoreError> {
        self.end.check()?;
        let Some(last) = steps.last() else { return Ok(()) };
        let mut names = self.names.lock().await;
        steps.iter().flat_map(|step| &step.writes).for_each(|write| names.learn(write));
        let (messages, hashes) = (messages_of(steps, &names)?, hashes_of(steps));
        let told = exports::documents_in(steps.iter().flat_map(|step| &step.rows))?;
        futures::future::try_join3(
            self.db.insert(MESSAGES, messages),
            self.db.insert(EXPORTS, told),
            self.db.insert(HASHES, hashes),
        )
        .await?;
        let small = newest(steps.iter().flat_map(|step| &step.rows));
        let fields = applied::flush_fields(&last.mark, &small);
        applied::set(&self.db, &self.lease, fields).await?;
        self.state.flushed_first(steps.len());
        self.write_small(&small, last.index(), &mut names).await
    }

    /// Writes the documents of rows of the small state, unless newer ones are there.
    pub(super) async fn write_small(
        &self,
        rows: &[Row],
        entry: u64,
        names: &mut Directory,
    ) -> Result<(), StoreError> {
        let writes = rows.iter().map(|row| stored::write_of(row).map_err(unreadable));
        let writes: Vec<Write> = writes.collect::<Result<_, _>>()?;
        let mut statements: BTreeMap<&str, Vec<Document>> = BTreeMap::new();
        for write in &writes {
            let Some((collection, document)) = documents::document(write, entry, names) else {
                continue;
            };
            let id = document.get("_id").cloned();
            // Where a newer one is there, making it fails, as it should.
            let older = doc! { "_id": id, "entry": { "$lte": int(entry) } };
            let statement = doc! { "q": older, "u": document, "upsert": true };
            statements.entry(collection).or_default().push(statement);
        }
        let update = |(collection, all)| self.db.update(collection, all);
        try_join_all(statements.into_iter().map(update)).await?;
        self.mark_read(&writes, names).await
    }

    /// Sets `read` in the messages up to each reader's cursor.
    pub(super) async fn mark_read(
        &self,
        writes: &[Write],
        names: &mut Directory,
    ) -> Result<(), StoreError> {
        let cursors = writes.iter().filter_map(|write| match write {
            Write::Mark(cursor) if cursor.read > names.marked(cursor) => Some(*cursor),
            _ => None,
        });
        let cursors: Vec<Cursor> = cursors.collect();
        let statement = |cursor: &Cursor| {
            let key = |seq| messages::key(cursor.conversation, seq);
            let writer = names.writer(cursor.conversation, cursor.user)?;
            let unread = doc! {
                "_id": { "$gt": key(names.marked(cursor)), "$lte": key(cursor.read) },
                "from_id": writer.to_string(), "read": false,
            };
            Some(doc! { "q": unread, "u": { "$set": { "read": true } }, "multi": true })
        };
        let statements = cursors.iter().filter_map(statement).collect();
        self.db.update(MESSAGES, statements).await?;
        cursors.iter().for_each(|cursor| names.set_marked(cursor));
        Ok(())
    }

    /// The small state as the database holds it, in the order in which it is loaded.
    pub(super) async fn load(&self) -> Result<Vec<Write>, StoreError> {
        let _quiet = self.names.lock().await;
        load(&self.db).await
    }
}

/// The rows of the small state, in the order in which it is loaded.
pub(super) async fn load(db: &Db) -> Result<Vec<Write>, StoreError> {
    let mut all = Vec::new();
    for collection in SMALL {
        let mut rows = BTreeMap::new();
        for document in db.find(collection, doc! {}, doc! {}).await? {
            let write = documents::write_of(collection, &document)?;
            for row in stored::rows(0, &write) {
                rows.insert(row.key, write.clone());
            }
        }
        all.extend(rows.into_values());
    }
    Ok(all)
}

/// The last one of rows of the small state with the same key, in order of tables.
pub(super) fn newest<'a>(rows: impl Iterator<Item = &'a Row>) -> Vec<Row> {
    let mut newest: BTreeMap<(Table, Bytes), Bytes> = BTreeMap::new();
    for row in rows.filter(|row| is_small(row.table)) {
        newest.insert((row.table, row.key.clone()), row.value.clone());
    }
    newest.into_iter().map(|((table, key), value)| Row { table, key, value }).collect()
}

/// The documents of all messages in rows of history.
pub(super) fn messages_in<'a>(
    rows: impl Iterator<Item = &'a Row>,
    names: &Directory,
) -> Result<Vec<Document>, StoreError> {
    let mut all = Vec::new();
    for row in rows.filter(|row| row.table == Table::History) {
        let (runs, entry) = stored::decode_runs(row.value.clone()).map_err(unreadable)?;
        let senders =
            runs.iter().flat_map(|run| run.bodies.iter().map(|_| (run.conversation, run.sender)));
        let documents = messages::documents(&runs, entry);
        for (mut document, (room, sender)) in documents.into_iter().zip(senders) {
            messages::address(&mut document, room, sender, names);
            all.push(document);
        }
    }
    Ok(all)
}

fn messages_of(steps: &[Arc<Step>], names: &Directory) -> Result<Vec<Document>, StoreError> {
    messages_in(steps.iter().flat_map(|step| &step.rows), names)
}

fn hashes_of(steps: &[Arc<Step>]) -> Vec<Document> {
    steps.iter().filter_map(|step| hash_document(&step.mark)).collect()
}

/// The document of the hash after an entry.
pub(super) fn hash_document(mark: &Mark) -> Option<Document> {
    let id = mark.applied?;
    Some(doc! { "_id": int(id.index), "term": int(id.term), "hash": hex(&mark.hash) })
}
