//! A stopped server's database, open to be looked at and not changed. It must not know what
//! is looked for.

use super::db::Db;
use super::fields::{self, NODE, Reading};
use super::{Place, applied, database_name, flush, history, log, owner};
use crate::chat::ids::ConversationId;
use crate::chat::write::Write;
use crate::limits::STORE_BEAT;
use crate::store::StoreError;
use crate::store::check::{Head, Left};
use crate::store::record::{LogEntry, Row};
use crate::store::tables::{Page, unreadable};
use crate::wire::stored;
use mongodb::bson::{Document, doc};
use std::collections::BTreeMap;
use tokio::runtime::Runtime;
use tokio::time::sleep;

/// Bytes of history read at a time.
const PAGE: usize = 1 << 20;

/// What a stopped node's database holds.
pub(in crate::store) struct Inside {
    runtime: Runtime,
    db: Db,
    head: Head,
    entries: BTreeMap<u64, LogEntry>,
    /// Rows whose documents the server would write at its next start.
    pending: Vec<Row>,
}

/// Reads a database without changing it. Blocks.
///
/// # Errors
/// `NotOurs` where a process uses it or it holds no data, `Unavailable` where it does not
/// answer, or a snapshot waits in it to be installed.
pub(in crate::store) fn look_inside(place: &Place) -> Result<Inside, StoreError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (db, node) = runtime.block_on(async {
        let db = Db::new(Db::parse(&place.url).await?, &database_name(place))?;
        let node = at_rest(&db).await?;
        Ok::<_, StoreError>((db, node))
    })?;
    let (head, entries, pending) = runtime.block_on(read(&db, &node))?;
    Ok(Inside { runtime, db, head, entries, pending })
}

/// The node's document, if no process changes it.
async fn at_rest(db: &Db) -> Result<Document, StoreError> {
    let look = || db.one(NODE, doc! { "_id": owner::ID }, doc! {});
    let nothing = || StoreError::NotOurs(format!("database {} holds no rustchat data", db.name()));
    let before = look().await?.ok_or_else(nothing)?;
    if fields::flag(&before, "released") {
        return Ok(before);
    }
    // Its process may have been killed: then the beat stands still. One move may be the last one
    // of a process that has just ended.
    let mut before = before;
    for _ in 0..2 {
        sleep(STORE_BEAT * 3).await;
        let now = look().await?.ok_or_else(nothing)?;
        if now == before {
            return Ok(now);
        }
        before = now;
    }
    Err(StoreError::NotOurs(format!(
        "a rustchat process uses database {}: stop it first",
        db.name()
    )))
}

async fn read(
    db: &Db,
    node: &Document,
) -> Result<(Head, BTreeMap<u64, LogEntry>, Vec<Row>), StoreError> {
    let (vote, bounds) = log::read_head(node)?;
    let state = applied::read(db).await?;
    if state.install.is_some() {
        return Err(StoreError::Unavailable(
            "a snapshot waits to be installed: start the server once, stop it, and look again"
                .to_owned(),
        ));
    }
    let (from, to) = (log::first(db, bounds).await?, bounds.last.map_or(0, |id| id.index + 1));
    let (entries, broken) = match log::read_entries(db, from, to.max(from)).await {
        Ok(entries) => (entries, None),
        Err(StoreError::Corrupt(why)) => (Vec::new(), Some(why)),
        Err(other) => return Err(other),
    };
    let head = Head {
        identity: owner::identity(node)?,
        bounds,
        vote,
        committed: Reading { collection: NODE, document: node }.log_id("committed")?,
        mark: state.mark,
        broken,
    };
    let entries = entries.into_iter().map(|entry| (entry.id.index, entry)).collect();
    Ok((head, entries, state.pending))
}

impl Left for Inside {
    fn head(&self) -> Head {
        self.head.clone()
    }

    fn entries(&self) -> &BTreeMap<u64, LogEntry> {
        &self.entries
    }

    fn load(&self) -> Result<Vec<Write>, StoreError> {
        let stored = self.runtime.block_on(flush::load(&self.db))?;
        let rows = stored.iter().flat_map(|write| stored::rows(0, write));
        let rows: Vec<Row> = rows.chain(self.pending.iter().cloned()).collect();
        let newest = flush::newest(rows.iter());
        newest.iter().map(|row| stored::write_of(row).map_err(unreadable)).collect()
    }

    fn export(
        &self,
        after: Option<(u64, ConversationId)>,
        upto: u64,
    ) -> Result<Option<Page>, StoreError> {
        self.runtime.block_on(history::export(&self.db, after, upto, PAGE))
    }

    fn hash_at(&self, index: u64) -> Result<Option<[u8; 32]>, StoreError> {
        self.runtime.block_on(history::hash_at(&self.db, index))
    }
}
