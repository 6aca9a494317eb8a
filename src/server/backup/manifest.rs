//! What a backup says of itself: a head before the rows, counts behind them. It must not know
//! how they lie in the file.

use crate::store::record::{LogId, Mark};
use crate::wire::raft::Membership;
use serde::{Deserialize, Serialize};

/// The format of the file; an older program cannot read a newer one's.
pub const FORMAT: u32 = 1;

/// Place of an entry of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Its index.
    pub index: u64,
    /// Its term.
    pub term: u64,
}

/// A member of the cluster that was backed up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Where it was.
    pub host: String,
    /// Its seat.
    pub id: String,
    /// Its Raft id.
    pub raft_id: u64,
    /// Whether it voted.
    pub voter: bool,
}

/// What stands before the rows. Keys are sorted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The last entry of the log that is in it.
    pub applied: Place,
    /// When it was made, in milliseconds of UNIX time.
    pub at_ms: u64,
    /// The cluster's id.
    pub cluster: String,
    /// Its name.
    pub cluster_name: String,
    /// The format of the file.
    pub format: u32,
    /// The cluster's generation.
    pub generation: u64,
    /// The rolling hash at that entry, in hexadecimal.
    pub hash: String,
    /// The members of the cluster.
    pub members: Vec<Member>,
    /// Made from the store of a stopped server.
    pub offline: bool,
    /// The seat of the server that it is from.
    pub seat: u32,
    /// Nobody asked a majority whether there was more.
    pub stale: bool,
    /// Where that server kept its data: `embedded`, `mongodb`.
    pub store: String,
    /// The program that made it.
    pub version: String,
}

/// What stands behind the rows. Keys are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Conversations.
    pub conversations: u64,
    /// Devices.
    pub devices: u64,
    /// Rows of history and what finds them.
    pub history_rows: u64,
    /// Messages.
    pub messages: u64,
    /// Pieces of the file before this one.
    pub pieces: u64,
    /// Rows of the small state.
    pub state_rows: u64,
    /// Users.
    pub users: u64,
}

impl From<LogId> for Place {
    fn from(id: LogId) -> Self {
        Self { index: id.index, term: id.term }
    }
}

impl From<Place> for LogId {
    fn from(place: Place) -> Self {
        Self { index: place.index, term: place.term }
    }
}

/// Bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads the rolling hash.
#[must_use]
pub fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut out = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

/// The members that a mark knows; none where it cannot be read, for nothing rests on them.
#[must_use]
pub fn members(mark: &Mark) -> Vec<Member> {
    let membership = Membership::decode(mark.membership.clone()).unwrap_or_default();
    let voters = membership.configs;
    let member = |m: crate::wire::raft::Member| Member {
        voter: voters.iter().any(|set| set.contains(&m.raft_id)),
        host: m.host,
        id: m.seat.to_string(),
        raft_id: m.raft_id,
    };
    membership.members.into_iter().map(member).collect()
}
