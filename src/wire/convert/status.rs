//! A node's own statement.

use super::{all, bytes_or_empty, cluster_or_zero, each};
use crate::wire::message::Status;
use crate::wire::{WireError, pb};

impl From<&Status> for pb::Status {
    fn from(s: &Status) -> Self {
        Self {
            seat: s.seat,
            role: s.role.clone(),
            term: s.term,
            vote: s.vote,
            last_term: s.last_term,
            last_index: s.last_index,
            commit: s.commit,
            applied: s.applied,
            leader: s.leader,
            sessions: s.sessions,
            cluster: bytes_or_empty(&s.cluster.0),
            cluster_name: s.cluster_name.clone(),
            generation: s.generation,
            servers: each(&s.servers),
            voters: s.voters,
            live: s.live,
            store: s.store.clone(),
            version: s.version.clone(),
            snapshot_index: s.snapshot_index,
            hash: s.hash.clone(),
            heartbeat_age_ms: s.heartbeat_age_ms,
            quorum_ack_age_ms: s.quorum_ack_age_ms,
            raft_id: s.raft_id,
            links: s.links.clone(),
            fsyncs: s.fsyncs,
            resident_bytes: s.resident_bytes,
            ready: s.ready,
            reasons: s.reasons.clone(),
            why: s.why.clone(),
        }
    }
}

impl TryFrom<pb::Status> for Status {
    type Error = WireError;

    fn try_from(s: pb::Status) -> Result<Self, WireError> {
        Ok(Self {
            seat: s.seat,
            role: s.role,
            term: s.term,
            vote: s.vote,
            last_term: s.last_term,
            last_index: s.last_index,
            commit: s.commit,
            applied: s.applied,
            leader: s.leader,
            sessions: s.sessions,
            cluster: cluster_or_zero(&s.cluster)?,
            cluster_name: s.cluster_name,
            generation: s.generation,
            servers: all(s.servers)?,
            voters: s.voters,
            live: s.live,
            store: s.store,
            version: s.version,
            snapshot_index: s.snapshot_index,
            hash: s.hash,
            heartbeat_age_ms: s.heartbeat_age_ms,
            quorum_ack_age_ms: s.quorum_ack_age_ms,
            raft_id: s.raft_id,
            links: s.links,
            fsyncs: s.fsyncs,
            resident_bytes: s.resident_bytes,
            ready: s.ready,
            reasons: s.reasons,
            why: s.why,
        })
    }
}
