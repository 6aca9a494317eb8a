//! What this server says about itself and about who leads.

use super::ready::Unready;
use super::shared::Shared;
use crate::raft::{PeerStatus, Role};
use crate::wire::message::{ServerMsg, Status, Where};
use bytes::Bytes;

/// Who leads, as far as this server knows.
#[must_use]
pub fn leader(shared: &Shared) -> ServerMsg {
    let status = shared.status();
    let (cluster, _) = shared.setup.state.identity().unwrap_or_default();
    ServerMsg::Where(Where {
        cluster,
        cluster_name: shared.setup.cluster_name.clone(),
        leader: status.leader.and_then(|seat| shared.address(seat)),
        servers: shared.setup.servers.clone(),
        term: status.term,
    })
}

/// The node's own statement.
#[must_use]
pub fn statement(shared: &Shared) -> Status {
    let node = shared.status();
    let unready = Unready::of(&node, shared.node.stop_reason().as_ref());
    let mark = shared.store.mark();
    let (cluster, generation) = shared.setup.state.identity().unwrap_or_default();
    let links = node.peers.iter().filter(|peer| peer.live).map(|PeerStatus { seat, .. }| *seat);
    let role = match node.role {
        Role::Learner => "learner",
        Role::Follower => "follower",
        Role::Candidate => "candidate",
        Role::Leader => "leader",
    };
    Status {
        seat: shared.setup.seat,
        role: role.to_owned(),
        term: node.term,
        vote: node.vote,
        last_term: node.last.map_or(0, |id| id.term),
        last_index: node.last.map_or(0, |id| id.index),
        commit: node.commit,
        // The state and its hash belong together: both are of the mark.
        applied: mark.applied.map_or(0, |id| id.index),
        leader: node.leader,
        sessions: u32::try_from(shared.hub.logged_in()).unwrap_or(u32::MAX),
        cluster,
        cluster_name: shared.setup.cluster_name.clone(),
        generation,
        servers: shared.setup.servers.clone(),
        voters: node.voters,
        live: node.live,
        store: shared.store.kind().to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        snapshot_index: node.snapshot,
        hash: Bytes::copy_from_slice(&mark.hash),
        heartbeat_age_ms: node.heartbeat_age_ms,
        quorum_ack_age_ms: node.quorum_ack_age_ms,
        raft_id: node.raft_id,
        links: links.collect(),
        fsyncs: shared.store.syncs(),
        resident_bytes: resident_bytes().unwrap_or(0),
        ready: Some(unready.reasons.is_empty()),
        reasons: unready.reasons.into_iter().map(str::to_owned).collect(),
        why: unready.why,
    }
}

/// Resident memory of this process, in bytes, where the system tells it.
fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
