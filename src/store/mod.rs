//! Where a node keeps its log, its vote and its state. One trait, several
//! backends, one conformance suite for all. It must not know openraft, sessions
//! or what a log entry means: payloads are bytes.

pub mod check;
pub mod embedded;
pub mod identity;
pub mod memory;
pub mod mongo;

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod samples;
mod tables;

pub use crate::wire::record;
pub use identity::Identity;

use crate::chat::ids::{ConversationId, DeviceId, Group};
use crate::chat::link::LinkNumber;
use crate::chat::write::{SentIndex, Write};
use async_trait::async_trait;
use bytes::Bytes;
use record::{LogBounds, LogEntry, LogId, Mark, Row, Vote};

/// Called once, in order, when what was queued is on disk, or when it failed.
pub type OnDurable = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// What went wrong, sorted by what the caller must do.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A write or sync failed: the node must stop (exit 74); it is never retried.
    #[error("the disk failed: {0}")]
    Io(#[from] std::io::Error),
    /// What is on disk is less, or other, than what was acknowledged: the node must not
    /// vote (exit 65) and is brought back with `serve --rejoin`.
    #[error("{0}")]
    Corrupt(String),
    /// Another process uses the directory, or it belongs to another cluster or seat (exit 78).
    #[error("{0}")]
    NotOurs(String),
    /// The database cannot be reached now.
    #[error("the database cannot be reached: {0}")]
    Unavailable(String),
}

/// A node's memory. All methods may be called from several tasks at once.
///
/// Order: vote, append, truncate and purge share one queue; what was queued first is durable first.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// The kind of store, for status: `embedded`, `mongodb`, `memory`.
    fn kind(&self) -> &'static str;

    /// Whose data this is.
    fn identity(&self) -> Identity;

    /// Replaces the identity; durable on return.
    async fn save_identity(&self, identity: Identity) -> Result<(), StoreError>;

    /// What the log holds.
    fn bounds(&self) -> LogBounds;

    /// Entries `from..to` (`to` excluded), those that exist; in order, without gaps.
    async fn read(&self, from: u64, to: u64) -> Result<Vec<LogEntry>, StoreError>;

    /// Appends entries that follow on the last one: readable on return; `on_durable` is called,
    /// in order, after the sync. Payloads may be kept as they are, so none should be a slice of
    /// something larger.
    async fn append(&self, entries: Vec<LogEntry>, on_durable: OnDurable)
    -> Result<(), StoreError>;

    /// Drops every entry from index `from` on; durable on return. Nothing there is no error.
    async fn truncate(&self, from: u64) -> Result<(), StoreError>;

    /// Drops entries up to and including `upto`, which the state must have applied durably.
    async fn purge(&self, upto: LogId) -> Result<(), StoreError>;

    /// The vote that was saved last.
    fn vote(&self) -> Option<Vote>;

    /// Saves the vote; durable on return.
    async fn save_vote(&self, vote: Vote) -> Result<(), StoreError>;

    /// Notes how far the log is committed; rides with the next sync.
    async fn save_committed(&self, id: Option<LogId>) -> Result<(), StoreError>;

    /// What `save_committed` noted last, or something earlier.
    fn committed(&self) -> Option<LogId>;

    /// How far the state has come.
    fn mark(&self) -> Mark;

    /// Writes the rows of some entries and then the mark; idempotent, and all or nothing as
    /// seen through [`Store::mark`]. Durable no later than the next [`Store::persist`].
    /// `rows` are `writes`, encoded, in the same order: a backend uses the form it likes.
    async fn commit(
        &self,
        mark: Mark,
        writes: Vec<Write>,
        rows: Vec<Row>,
    ) -> Result<(), StoreError>;

    /// Makes everything committed durable. Called before a snapshot counts.
    async fn persist(&self) -> Result<(), StoreError>;

    /// The rows of the small state (neither history nor send index), in the order of tables.
    async fn load(&self) -> Result<Vec<Write>, StoreError>;

    /// Encoded history values (`Runs`) that hold seqs of `from..=to`, in order, until
    /// `max_bytes` are reached (at least one value). Each with its first seq. The first may
    /// begin before `from`, the last may end after `to`: runs are never cut here.
    async fn history(
        &self,
        conversation: ConversationId,
        from: u64,
        to: u64,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Bytes)>, StoreError>;

    /// Encoded values of what another cluster is told (`ExportsRow`), in order, until `max_bytes`
    /// are reached (at least one), each with its first position. The first one holds position
    /// `from`, or ends before it where that does not exist yet.
    async fn exports(
        &self,
        link: LinkNumber,
        from: u64,
        max_bytes: usize,
    ) -> Result<Vec<(u64, Bytes)>, StoreError>;

    /// Where the device's message `number` stands, if it was committed.
    async fn sent_index(
        &self,
        device: DeviceId,
        group: Group,
        number: u64,
    ) -> Result<Option<SentIndex>, StoreError>;

    /// The rolling hash after the entry at `index`, if it is still known.
    async fn hash_at(&self, index: u64) -> Result<Option<[u8; 32]>, StoreError>;

    /// A page of history for a snapshot: the rows of `History`, `HistoryIndex`, `SentIndex` and `Exports` of
    /// entries after the place `after` = (log index, conversation), in that order, never beyond
    /// `upto`, about `max_bytes` of them. With it the place of the last one; `None`: the end.
    async fn export(
        &self,
        after: Option<(u64, ConversationId)>,
        upto: u64,
        max_bytes: usize,
    ) -> Result<Option<(Vec<Row>, (u64, ConversationId))>, StoreError>;

    /// A snapshot begins to arrive: forgets what an unfinished one left. With `all`, `install`
    /// also drops every history row that was not imported since, for the sender's history is
    /// another one than ours.
    async fn begin_import(&self, all: bool) -> Result<(), StoreError>;

    /// Writes history rows of a snapshot that is being received; invisible until `install`.
    async fn import(&self, rows: Vec<Row>) -> Result<(), StoreError>;

    /// Replaces the small state by `state` and the mark by `mark`, and makes the imported
    /// history visible: atomically and durably.
    async fn install(&self, mark: Mark, state: Vec<Row>) -> Result<(), StoreError>;

    /// Bytes appended to the log since the start or the last purge; after a start it counts
    /// what the log then held. A measure for when a snapshot is due, no more.
    fn log_bytes(&self) -> u64;

    /// Times the log was synced since the start.
    fn syncs(&self) -> u64;

    /// Notes that this node acknowledged `index` to the peer on `seat`, or heard that it did.
    fn note_acknowledged(&self, seat: u32, index: u64);

    /// The highest index noted for `seat`, also after a restart (then perhaps a lower one).
    fn acknowledged(&self, seat: u32) -> Option<u64>;

    /// Resolves when the store has found by itself that it cannot go on (another process owns
    /// the data, the database does not answer); never for stores that only fail when asked.
    async fn failed(&self) -> StoreError {
        std::future::pending().await
    }

    /// Whether this process may still speak for the data: a store that another process may
    /// take over answers false when it has not renewed its claim in time. Asked before every
    /// answer to another server.
    fn holds(&self) -> bool {
        true
    }

    /// Makes everything durable and ends the store's own threads.
    async fn close(&self) -> Result<(), StoreError>;
}

/// Says whether `entries` follow on what the log holds, one on the other.
fn follows(bounds: LogBounds, entries: &[LogEntry]) -> Result<(), StoreError> {
    let mut last = bounds.last;
    for entry in entries {
        // An empty log may begin anywhere: after a snapshot it does.
        let fits =
            last.is_none_or(|last| entry.id.index == last.index + 1 && entry.id.term >= last.term);
        if !fits {
            let message = format!("entry {:?} does not follow on {last:?}", entry.id);
            return Err(StoreError::Io(std::io::Error::other(message)));
        }
        last = Some(entry.id);
    }
    Ok(())
}
