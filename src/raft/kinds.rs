//! openraft's types as this program fills them in, and the way between them and
//! the plain records of `wire`. It must not know sockets or stores.

use crate::wire::raft::{Entry, Member, Membership, Payload};
use crate::wire::record::{LogId, Vote};
use bytes::Bytes;
use openraft::alias;
use openraft::impls::leader_id_std;
use openraft::vote::RaftLeaderId;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// An encoded batch: what openraft carries through the log for us.
#[derive(Clone, PartialEq, Eq)]
pub struct Data(pub Bytes);

impl fmt::Debug for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Standard Raft: one leader a term; Raft ids are never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Kinds;

impl openraft::RaftTypeConfig for Kinds {
    type D = Data;
    type R = ();
    type NodeId = u64;
    type Node = Member;
    type Term = u64;
    type LeaderId = leader_id_std::LeaderId<u64, u64>;
    type Vote = openraft::Vote<Self::LeaderId>;
    type Payload = openraft::EntryPayload<Data, u64, Member>;
    type Entry = openraft::Entry<<Self::LeaderId as RaftLeaderId>::Committed, Self::Payload>;
    type Responder<T>
        = super::batch::Done<T>
    where
        T: Send + 'static;
    type Batch<T>
        = openraft::impls::InlineBatch<T>
    where
        T: Send + 'static;
    type AsyncRuntime = openraft::TokioRuntime;
    type ErrorSource = openraft::impls::BoxedErrorSource;
}

/// openraft's log id.
pub type RaftLogId = alias::LogIdOf<Kinds>;
/// openraft's vote.
pub type RaftVote = alias::VoteOf<Kinds>;
/// openraft's entry.
pub type RaftEntry = alias::EntryOf<Kinds>;
/// openraft's membership.
pub type RaftMembership = openraft::Membership<u64, Member>;
/// openraft's membership and where it stands in the log.
pub type RaftStoredMembership = alias::StoredMembershipOf<Kinds>;
/// What openraft knows of a snapshot.
pub type RaftSnapshotMeta = alias::SnapshotMetaOf<Kinds>;

/// To openraft's log id.
pub fn log_id(id: LogId) -> RaftLogId {
    RaftLogId::new_term_index(id.term, id.index)
}

/// From openraft's log id.
pub fn plain_id(id: &RaftLogId) -> LogId {
    LogId { term: id.leader_id.term, index: id.index }
}

/// To openraft's vote.
pub fn vote(vote: Vote) -> RaftVote {
    let leader_id = leader_id_std::LeaderId::new(vote.term, vote.node);
    RaftVote { leader_id, committed: vote.committed }
}

/// From openraft's vote.
pub fn plain_vote(vote: &RaftVote) -> Vote {
    Vote { term: vote.leader_id.term, node: vote.leader_id.voted_for, committed: vote.committed }
}

/// To openraft's membership, where a member's Raft id is the key and nowhere else. One that openraft calls invalid (a voter that is no member) is
/// completed with a member that nobody can reach, so that this cannot fail.
pub fn membership(m: &Membership) -> RaftMembership {
    let configs: Vec<BTreeSet<u64>> =
        m.configs.iter().map(|ids| ids.iter().copied().collect()).collect();
    let mut nodes: BTreeMap<u64, Member> =
        m.members.iter().map(|m| (m.raft_id, Member { raft_id: 0, ..m.clone() })).collect();
    for id in configs.iter().flatten() {
        nodes.entry(*id).or_default();
    }
    RaftMembership::new(configs, nodes).unwrap_or_default()
}

/// From openraft's membership.
pub fn plain_membership(m: &RaftMembership) -> Membership {
    let member = |(id, node): (&u64, &Member)| Member { raft_id: *id, ..node.clone() };
    Membership {
        configs: m.get_joint_config().iter().map(|ids| ids.iter().copied().collect()).collect(),
        members: m.nodes().map(member).collect(),
    }
}

/// To openraft's entry.
pub fn entry(entry: Entry) -> RaftEntry {
    let payload = match entry.payload {
        Payload::Blank => openraft::EntryPayload::Blank,
        Payload::Batch(bytes) => openraft::EntryPayload::Normal(Data(bytes)),
        Payload::Membership(m) => openraft::EntryPayload::Membership(membership(&m)),
    };
    RaftEntry { log_id: log_id(entry.id), payload }
}

/// From openraft's entry.
pub fn plain_entry(entry: &RaftEntry) -> Entry {
    let payload = match &entry.payload {
        openraft::EntryPayload::Blank => Payload::Blank,
        openraft::EntryPayload::Normal(data) => Payload::Batch(data.0.clone()),
        openraft::EntryPayload::Membership(m) => Payload::Membership(plain_membership(m)),
    };
    Entry { id: plain_id(&entry.log_id), payload }
}
