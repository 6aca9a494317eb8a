//! A node's whole state in a MongoDB database, through the official driver: the log, the vote
//! and how far the state has come for the node; users, conversations, messages and cursors as
//! documents that a person can read and query. Nothing durable is kept beside it. It must not
//! know what a log entry means.
//!
//! No write needs a transaction: each may be done twice, the one that counts comes last, and
//! what does not count yet is not read. `owner` says who may write, `writer` writes the log,
//! `flush` the state behind the commits.

mod applied;
mod aside;
mod db;
mod documents;
mod exports;
mod fields;
mod flush;
mod history;
mod inspect;
mod install;
mod lease;
mod links;
mod log;
mod messages;
mod owner;
mod schema;
mod state;
#[cfg(test)]
mod tap;
#[cfg(test)]
pub(in crate::store) mod testing;
#[cfg(test)]
mod tests;
mod writer;

pub use aside::{copy_aside, is_empty, move_aside, remove};
pub(super) use inspect::look_inside;

use super::record::{LogBounds, LogEntry, LogId, Mark, Row, Vote};
use super::tables::Page;
use super::{Identity, OnDurable, Store, StoreError};
use crate::chat::ids::{ClusterId, ConversationId, DeviceId, Group};
use crate::chat::link::LinkNumber;
use crate::chat::write::{SentIndex, Write};
use crate::wire::stored;
use async_trait::async_trait;
use bytes::Bytes;
use db::Db;
use documents::Directory;
use fields::{int, log_id};
use flush::Flush;
use install::Importing;
use lease::{End, Lease, Moment};
use log::Log;
use mongodb::bson::{Document, doc};
use mongodb::options::ClientOptions;
use state::State;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Which database, and whose.
#[derive(Clone, Debug)]
pub struct Place {
    /// `mongodb://…`; with a database, or without.
    pub url: String,
    /// The cluster's name: with the seat it names the database where the URL does not.
    pub cluster_name: String,
    /// The id that `nodes.conf` gives, if any.
    pub cluster: Option<ClusterId>,
    /// The server's number in `nodes.conf`.
    pub seat: u32,
}

/// A store in a database.
pub struct Mongo {
    log: Log,
    flush: Arc<Flush>,
    importing: Importing,
    identity: Mutex<Identity>,
    hints: Arc<Mutex<Hints>>,
    closed: CancellationToken,
    tasks: TaskTracker,
}

/// What is written with the next beat: useful, but nothing rests on it.
#[derive(Debug, Default)]
struct Hints {
    committed: Option<LogId>,
    acknowledged: BTreeMap<u32, u64>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The database's name where the URL has none: what MongoDB allows in names, at most 63 bytes.
fn database_name(place: &Place) -> String {
    let allowed = |c: char| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' };
    let cluster: String = place.cluster_name.chars().map(allowed).take(40).collect();
    format!("rustchat_{cluster}_{}", place.seat)
}

/// Opens the node's database; makes it where there is none. Waits where another process may
/// hold it still.
///
/// # Errors
/// `NotOurs` where another process uses it, it belongs to another cluster or seat, or it
/// refuses user or password; `Unavailable` where it does not answer; `Corrupt` where it holds
/// less than this node promised.
pub async fn open(place: &Place) -> Result<Mongo, StoreError> {
    let options = Db::parse(&place.url).await?;
    open_with(options, place).await
}

async fn open_with(options: ClientOptions, place: &Place) -> Result<Mongo, StoreError> {
    let db = Arc::new(Db::new(options, &database_name(place))?);
    let asked = Moment::now();
    let node = owner::claim(&db, place.seat, place.cluster).await?;
    Mongo::start(db, &node, asked).await
}

impl Mongo {
    /// Starts the store that the node's document describes, claimed at `asked`.
    async fn start(db: Arc<Db>, node: &Document, asked: Moment) -> Result<Self, StoreError> {
        let epoch = fields::Reading { collection: fields::NODE, document: node }.number("epoch")?;
        let (end, lease) = (End::new(), Arc::new(Lease::new(epoch, asked)));
        let hints = Arc::new(Mutex::new(read_hints(node)?));
        let (closed, tasks) = (CancellationToken::new(), TaskTracker::new());
        // From here on others must see that the data is held, however long the rest takes.
        let told = Arc::clone(&hints);
        let hint = move || hint_fields(&lock(&told));
        let beat =
            lease::beat(Arc::clone(&db), Arc::clone(&lease), end.clone(), closed.clone(), hint);
        let guard = closed.clone().drop_guard();
        tasks.spawn(beat);

        schema::make(&db).await?;
        applied::take(&db, &lease).await?;
        let (log, writer) =
            log::open(Arc::clone(&db), Arc::clone(&lease), end.clone(), node).await?;
        // The others may have committed what had not come into this log when its process ended.
        let last = log.bounds().last;
        lock(&hints).committed.take_if(|committed| Some(*committed) > last);
        let flush = resume(db, lease, end).await?;
        tasks.spawn(writer.run());
        tasks.spawn(Arc::clone(&flush).run(closed.clone(), log.durable()));
        guard.disarm();
        Ok(Self {
            log,
            flush,
            importing: Importing::default(),
            identity: Mutex::new(owner::identity(node)?),
            hints,
            closed,
            tasks,
        })
    }

    /// For tests: what lets writes through, or not.
    #[cfg(test)]
    pub(in crate::store) fn tap(&self) -> &tap::Tap {
        &self.flush.db.tap
    }
}

/// Adds values that are not flushed yet, until the page is full.
fn extend(page: &mut Vec<(u64, Bytes)>, newer: Vec<(u64, Bytes)>, max_bytes: usize) {
    let mut bytes: usize = page.iter().map(|(_, value)| value.len()).sum();
    for (first, value) in newer {
        if bytes >= max_bytes && !page.is_empty() {
            break;
        }
        bytes += value.len();
        page.push((first, value));
    }
}

/// Does what an earlier process left undone, and takes the state up where it was.
async fn resume(db: Arc<Db>, lease: Arc<Lease>, end: End) -> Result<Arc<Flush>, StoreError> {
    let found = applied::read(&db).await?;
    let state = Arc::new(State::new(found.mark.clone(), end.clone()));
    let mut flush = Flush { db, lease, end, state, names: Directory::default().into() };
    let names = match found.install {
        Some(install) => flush.finish_install(install, &found.mark).await?,
        None => {
            if found.importing {
                flush.forget_import().await?;
            }
            let mut names = Directory::default();
            flush::load(&flush.db).await?.iter().for_each(|write| names.learn(write));
            for row in &found.pending {
                names.learn(&stored::write_of(row).map_err(super::tables::unreadable)?);
            }
            let entry = found.mark.applied.map_or(0, |id| id.index);
            flush.write_small(&found.pending, entry, &mut names).await?;
            names
        }
    };
    flush.names = names.into();
    Ok(Arc::new(flush))
}

fn read_hints(node: &Document) -> Result<Hints, StoreError> {
    let read = fields::Reading { collection: fields::NODE, document: node };
    let mut hints = Hints { committed: read.log_id("committed")?, ..Hints::default() };
    let acknowledged = node.get_document("acknowledged").map_err(|_| read.bad("acknowledged"))?;
    for seat in acknowledged.keys() {
        let number = seat.parse().map_err(|_| read.bad("acknowledged"))?;
        let index = fields::number(acknowledged, seat).ok_or_else(|| read.bad("acknowledged"))?;
        hints.acknowledged.insert(number, index);
    }
    Ok(hints)
}

fn hint_fields(hints: &Hints) -> Document {
    let acknowledged = hints.acknowledged.iter();
    let acknowledged = acknowledged.map(|(seat, index)| (seat.to_string(), int(*index)));
    doc! {
        "committed": log_id(hints.committed),
        "acknowledged": acknowledged.collect::<Document>(),
    }
}

#[async_trait]
impl Store for Mongo {
    fn kind(&self) -> &'static str {
        "mongodb"
    }

    fn identity(&self) -> Identity {
        *lock(&self.identity)
    }

    async fn save_identity(&self, identity: Identity) -> Result<(), StoreError> {
        self.log.save_fields(owner::identity_fields(&identity)).await?;
        *lock(&self.identity) = identity;
        Ok(())
    }

    fn bounds(&self) -> LogBounds {
        self.log.bounds()
    }

    async fn read(&self, from: u64, to: u64) -> Result<Vec<LogEntry>, StoreError> {
        self.log.read(from, to).await
    }

    async fn append(
        &self,
        entries: Vec<LogEntry>,
        on_durable: OnDurable,
    ) -> Result<(), StoreError> {
        self.log.append(entries, on_durable).await
    }

    async fn truncate(&self, from: u64) -> Result<(), StoreError> {
        self.log.truncate(from).await
    }

    async fn purge(&self, upto: LogId) -> Result<(), StoreError> {
        self.flush.state.persist().await?;
        self.log.purge(upto).await
    }

    fn vote(&self) -> Option<Vote> {
        self.log.vote()
    }

    async fn save_vote(&self, vote: Vote) -> Result<(), StoreError> {
        self.log.save_vote(vote).await
    }

    async fn save_committed(&self, id: Option<LogId>) -> Result<(), StoreError> {
        lock(&self.hints).committed = id;
        Ok(())
    }

    fn committed(&self) -> Option<LogId> {
        lock(&self.hints).committed
    }

    fn mark(&self) -> Mark {
        self.flush.state.mark()
    }

    async fn commit(
        &self,
        mark: Mark,
        writes: Vec<Write>,
        rows: Vec<Row>,
    ) -> Result<(), StoreError> {
        self.flush.state.commit(mark, writes, rows).await
    }

    async fn persist(&self) -> Result<(), StoreError> {
        self.flush.state.persist().await
    }

    async fn load(&self) -> Result<Vec<Write>, StoreError> {
        self.flush.state.persist().await?;
        self.flush.load().await
    }

    async fn history(
        &self,
        conversation: ConversationId,
        from: u64,
        to: u64,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Bytes)>, StoreError> {
        let (upto, newer) = self.flush.state.history(conversation, from, to);
        let (mut page, more) = match upto {
            Some(upto) if from <= to => {
                history::history(&self.flush.db, upto, conversation, (from, to), max_bytes).await?
            }
            _ => (Vec::new(), false),
        };
        if !more || page.is_empty() {
            extend(&mut page, newer, max_bytes);
        }
        Ok(page)
    }

    async fn exports(
        &self,
        link: LinkNumber,
        from: u64,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Bytes)>, StoreError> {
        let (flushed, newer) = self.flush.state.exports(link, from);
        let (mut page, more) = match flushed {
            Some(upto) => history::exports(&self.flush.db, upto, link, from, max_bytes).await?,
            None => (Vec::new(), false),
        };
        let begins = page.first().or(newer.first()).is_some_and(|(first, _)| *first <= from);
        if begins && !more {
            extend(&mut page, newer, max_bytes);
        }
        Ok(page)
    }

    async fn sent_index(
        &self,
        device: DeviceId,
        group: Group,
        number: u64,
    ) -> Result<Option<SentIndex>, StoreError> {
        if let Some(found) = self.flush.state.sent_index(device, group, number) {
            return Ok(Some(found));
        }
        match self.flush.state.flushed() {
            Some(upto) => history::sent_index(&self.flush.db, upto, device, group, number).await,
            None => Ok(None),
        }
    }

    async fn hash_at(&self, index: u64) -> Result<Option<[u8; 32]>, StoreError> {
        match self.flush.state.hash_at(index) {
            Some(hash) => Ok(Some(hash)),
            None if self.flush.state.flushed() < Some(index) => Ok(None),
            None => history::hash_at(&self.flush.db, index).await,
        }
    }

    async fn export(
        &self,
        after: Option<(u64, ConversationId)>,
        upto: u64,
        max_bytes: usize,
    ) -> Result<Option<Page>, StoreError> {
        self.flush.state.persist().await?;
        let Some(flushed) = self.flush.state.flushed() else { return Ok(None) };
        history::export(&self.flush.db, after, upto.min(flushed), max_bytes).await
    }

    async fn begin_import(&self, all: bool) -> Result<(), StoreError> {
        self.flush.begin_import(&self.importing, all).await
    }

    async fn import(&self, rows: Vec<Row>) -> Result<(), StoreError> {
        self.flush.import(&self.importing, &rows).await
    }

    async fn install(&self, mark: Mark, state: Vec<Row>) -> Result<(), StoreError> {
        self.flush.install(&self.importing, mark, &state).await
    }

    fn log_bytes(&self) -> u64 {
        self.log.log_bytes()
    }

    fn syncs(&self) -> u64 {
        self.log.syncs()
    }

    fn note_acknowledged(&self, seat: u32, index: u64) {
        let mut hints = lock(&self.hints);
        let known = hints.acknowledged.entry(seat).or_default();
        *known = index.max(*known);
    }

    fn acknowledged(&self, seat: u32) -> Option<u64> {
        lock(&self.hints).acknowledged.get(&seat).copied()
    }

    async fn failed(&self) -> StoreError {
        self.flush.end.wait().await
    }

    fn holds(&self) -> bool {
        self.flush.lease.holds()
    }

    /// Ends the tasks; what is not flushed comes back from the log. Documents for people follow what
    /// is flushed: they are waited for, as long as one attempt may take.
    async fn close(&self) -> Result<(), StoreError> {
        if self.closed.is_cancelled() {
            return Ok(());
        }
        let flushed = self.flush.state.persist().await;
        let mut fields = hint_fields(&lock(&self.hints));
        fields.insert("released", true);
        let released = match flushed {
            Ok(()) => self.log.save_fields(fields).await,
            Err(error) => Err(error),
        };
        self.closed.cancel();
        self.tasks.close();
        // Held until the documents of the last flush are written.
        let writing = self.flush.names.lock();
        if tokio::time::timeout(crate::limits::STORE_ATTEMPT, writing).await.is_err() {
            tracing::debug!("closed while the database still takes documents");
        }
        released
    }
}

impl Drop for Mongo {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}
