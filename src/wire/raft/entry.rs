//! What lies in the log: payloads, batches and memberships. It must not know
//! what a batch's items mean, nor how entries travel.

use crate::wire::record::{LogId, Vote};
use crate::wire::{WireError, convert, pb};
use bytes::Bytes;

/// A server as the membership in the log describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Member {
    /// seat + 1000 · g.
    pub raft_id: u64,
    /// Its seat in `nodes.conf`.
    pub seat: u32,
    /// Where it is reached.
    pub host: String,
    /// TCP port for the other servers.
    pub peer: u16,
    /// TCP port for clients.
    pub client: u16,
    /// Of its data directory; `None` until a leader has heard it.
    pub incarnation: Option<[u8; 16]>,
    /// An operator added it, and promotes it too.
    pub held: bool,
}

/// Who belongs to the cluster: one set of voters, or two while it changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// Raft ids of the voters.
    pub configs: Vec<Vec<u64>>,
    /// Voters and learners.
    pub members: Vec<Member>,
}

/// What an entry of the log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Payload {
    /// Nothing: a new leader's first entry.
    Blank,
    /// An encoded [`Batch`].
    Batch(Bytes),
    /// A new membership.
    Membership(Membership),
}

/// What a leader put into one entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The leader's time, in milliseconds of UNIX time.
    pub at_ms: u64,
    /// Opaque, in order.
    pub items: Vec<Bytes>,
}

/// An entry on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its place.
    pub id: LogId,
    /// What it holds.
    pub payload: Payload,
}

impl From<LogId> for pb::LogId {
    fn from(id: LogId) -> Self {
        Self { term: id.term, index: id.index }
    }
}

impl From<pb::LogId> for LogId {
    fn from(id: pb::LogId) -> Self {
        Self { term: id.term, index: id.index }
    }
}

impl From<Vote> for pb::Vote {
    fn from(vote: Vote) -> Self {
        Self { term: vote.term, node: vote.node, granted_by_quorum: vote.committed }
    }
}

impl From<pb::Vote> for Vote {
    fn from(vote: pb::Vote) -> Self {
        Self { term: vote.term, node: vote.node, committed: vote.granted_by_quorum }
    }
}

impl From<&Member> for pb::NodeInfo {
    fn from(m: &Member) -> Self {
        Self {
            raft_id: m.raft_id,
            seat: m.seat,
            address: Some(pb::ServerAddress {
                seat: m.seat,
                host: m.host.clone(),
                client: m.client.into(),
                peer: m.peer.into(),
            }),
            incarnation: m.incarnation.map_or_else(Bytes::new, |i| convert::bytes(&i)),
            held: m.held,
        }
    }
}

impl TryFrom<pb::NodeInfo> for Member {
    type Error = WireError;

    fn try_from(node: pb::NodeInfo) -> Result<Self, WireError> {
        let address = convert::need(node.address, "address")?;
        Ok(Self {
            raft_id: node.raft_id,
            seat: node.seat,
            host: address.host,
            peer: convert::port(address.peer)?,
            client: convert::port(address.client)?,
            incarnation: convert::fixed_or_none(&node.incarnation, "incarnation")?,
            held: node.held,
        })
    }
}

impl From<&Membership> for pb::Membership {
    fn from(m: &Membership) -> Self {
        let set = |ids: &Vec<u64>| pb::VoterSet { raft_ids: ids.clone() };
        Self {
            configs: m.configs.iter().map(set).collect(),
            nodes: m.members.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::Membership> for Membership {
    type Error = WireError;

    fn try_from(m: pb::Membership) -> Result<Self, WireError> {
        Ok(Self {
            configs: m.configs.into_iter().map(|set| set.raft_ids).collect(),
            members: convert::all(m.nodes)?,
        })
    }
}

pub(super) fn payload_to(payload: &Payload) -> pb::log_entry::Payload {
    match payload {
        Payload::Blank => pb::log_entry::Payload::Blank(true),
        Payload::Batch(bytes) => pb::log_entry::Payload::Batch(bytes.clone()),
        Payload::Membership(m) => pb::log_entry::Payload::Membership(m.into()),
    }
}

pub(super) fn payload_from(payload: Option<pb::log_entry::Payload>) -> Result<Payload, WireError> {
    match payload {
        Some(pb::log_entry::Payload::Blank(_)) => Ok(Payload::Blank),
        Some(pb::log_entry::Payload::Batch(bytes)) => Ok(Payload::Batch(bytes)),
        Some(pb::log_entry::Payload::Membership(m)) => Ok(Payload::Membership(m.try_into()?)),
        None => Err(WireError::Unknown("kind of log entry")),
    }
}

impl Membership {
    /// As it lies in a mark.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        convert::write(&pb::Membership::from(self))
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// When the bytes are no membership.
    pub fn decode(bytes: Bytes) -> Result<Self, WireError> {
        convert::read::<pb::Membership>(bytes)?.try_into()
    }
}

impl Payload {
    /// As it lies in the log.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        convert::write(&pb::LogEntry { id: None, payload: Some(payload_to(self)) })
    }

    /// Reads what [`Self::encode`] wrote; a batch shares `bytes`.
    ///
    /// # Errors
    /// When the bytes are no payload, or one of a newer build.
    pub fn decode(bytes: Bytes) -> Result<Self, WireError> {
        payload_from(convert::read::<pb::LogEntry>(bytes)?.payload)
    }
}

impl Batch {
    /// As it lies in an entry.
    #[must_use]
    pub fn encode(self) -> Bytes {
        convert::write(&pb::Batch { at_ms: self.at_ms, items: self.items })
    }

    /// Reads what [`Self::encode`] wrote; items share `bytes`.
    ///
    /// # Errors
    /// When the bytes are no batch.
    pub fn decode(bytes: Bytes) -> Result<Self, WireError> {
        let batch: pb::Batch = convert::read(bytes)?;
        Ok(Self { at_ms: batch.at_ms, items: batch.items })
    }
}
