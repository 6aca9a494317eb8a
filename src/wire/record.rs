//! The records that travel between servers and lie in their stores, in plain
//! form: log entries, votes, marks and rows.

use bytes::Bytes;

/// Term and index of an entry. Standard Raft: one leader a term, so this names an entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LogId {
    /// The term.
    pub term: u64,
    /// The index, from 0 (openraft's first entry, the membership, has index 0).
    pub index: u64,
}

/// An entry of the log; the payload is what `raft` encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Its place.
    pub id: LogId,
    /// Opaque.
    pub payload: Bytes,
}

/// What the log holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogBounds {
    /// The last entry that was purged.
    pub purged: Option<LogId>,
    /// The last entry; at least `purged`.
    pub last: Option<LogId>,
}

/// Raft's current term and vote (Raft paper, figure 2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vote {
    /// The term.
    pub term: u64,
    /// Raft id of the candidate voted for.
    pub node: u64,
    /// True once a majority granted it: that node is the term's leader.
    pub committed: bool,
}

/// How far the state has come: written last, after the rows it covers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// The last entry applied; `None` before the first.
    pub applied: Option<LogId>,
    /// Rolling BLAKE3 over every entry's writes; all zero before the first.
    pub hash: [u8; 32],
    /// The last membership applied, as `raft` encoded it, and where it stands.
    pub membership: Bytes,
    /// Place of that membership.
    pub membership_id: Option<LogId>,
}

/// Tables. Numbers are part of the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum Table {
    /// One row: the cluster.
    Meta = 1,
    /// Users by id.
    Users = 2,
    /// Devices by id.
    Devices = 3,
    /// Conversations by id.
    Conversations = 4,
    /// Marks by conversation and user.
    Marks = 5,
    /// Sends by device and group.
    Sent = 6,
    /// Encoded `Runs` by conversation and first seq, big-endian.
    History = 7,
    /// Runs by device, group and last number, big-endian.
    SentIndex = 8,
    /// First seq by log index and conversation, big-endian: finds what an entry wrote. What it
    /// told to another cluster stands there as [`ConversationId::of_link`], with its position.
    ///
    /// [`ConversationId::of_link`]: crate::chat::ids::ConversationId::of_link
    HistoryIndex = 9,
    /// Other clusters by number.
    Links = 10,
    /// Encoded `ExportsRow` by number of the cluster and first position, big-endian.
    Exports = 11,
}

impl Table {
    /// All tables, in the order of their numbers.
    pub const ALL: [Self; 11] = [
        Self::Meta,
        Self::Users,
        Self::Devices,
        Self::Conversations,
        Self::Marks,
        Self::Sent,
        Self::History,
        Self::SentIndex,
        Self::HistoryIndex,
        Self::Links,
        Self::Exports,
    ];

    /// The table with this number.
    #[must_use]
    pub fn from_number(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|t| *t as u32 == number)
    }
}

/// A row: the whole value, so that writing it twice is writing it once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Which table.
    pub table: Table,
    /// Big-endian parts, so that a range scan is in order.
    pub key: Bytes,
    /// An encoded row of `proto/log.proto`; of history an encoded `Runs`.
    pub value: Bytes,
}
