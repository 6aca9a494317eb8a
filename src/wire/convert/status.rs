//! A node's own statement.

use super::{all, bytes_or_empty, cluster_or_zero, each, need};
use crate::wire::statement::{
    Elections, Event, LastLeader, LinkView, Load, MemberView, PeerView, Status,
};
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
            now_ms: s.now_ms,
            uptime_ms: s.uptime_ms,
            draining: s.draining,
            peers: each(&s.peers),
            members: each(&s.members),
            elections: Some((&s.elections).into()),
            load: Some((&s.load).into()),
            events: each(&s.events),
            build: s.build.clone(),
            certificate_until_ms: s.certificate_until_ms,
            clusters: each(&s.clusters),
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
            now_ms: s.now_ms,
            uptime_ms: s.uptime_ms,
            draining: s.draining,
            peers: s.peers.into_iter().map(Into::into).collect(),
            members: all(s.members)?,
            elections: s.elections.unwrap_or_default().into(),
            load: s.load.unwrap_or_default().into(),
            events: s.events.into_iter().map(Into::into).collect(),
            build: s.build,
            certificate_until_ms: s.certificate_until_ms,
            clusters: all(s.clusters)?,
        })
    }
}

/// Both directions of a record whose fields have the same names and types on both sides.
macro_rules! same {
    ($name:ident { $($field:ident),* $(,)? }) => {
        impl From<&$name> for pb::$name {
            fn from(v: &$name) -> Self {
                let v = v.clone();
                Self { $($field: v.$field),* }
            }
        }

        impl From<pb::$name> for $name {
            fn from(v: pb::$name) -> Self {
                Self { $($field: v.$field),* }
            }
        }
    };
}

same!(PeerView { seat, live, heard_ms, round_trip_us, matched, refusal });
same!(LastLeader { seat, term, lost_at_ms, cause });
same!(Load {
    cpu_ms,
    disk_free,
    disk_total,
    fsync_p99_us,
    fsync_pending_ms,
    commit_p99_us,
    log_bytes,
    snapshot_at_ms,
    accepted,
    delivered,
});
same!(Event { id, at_ms, seat, term, kind, peer, granted, cause, took_ms, text });

impl From<&LinkView> for pb::LinkView {
    fn from(v: &LinkView) -> Self {
        Self {
            name: v.name.clone(),
            announced: v.announced.clone(),
            cluster: bytes_or_empty(&v.cluster.0),
            key: v.key.clone(),
            address: v.address.clone(),
            heard_at_ms: v.heard_at_ms,
            trust: v.trust.clone(),
            line: v.line.clone(),
            why: v.why.clone(),
            round_trip_us: v.round_trip_us,
            imported: v.imported,
            theirs: v.theirs,
            exported: v.exported,
            taken: v.taken,
            taken_ms: v.taken_ms,
            turned_down: v.turned_down,
            broken: v.broken,
        }
    }
}

impl TryFrom<pb::LinkView> for LinkView {
    type Error = WireError;

    fn try_from(v: pb::LinkView) -> Result<Self, WireError> {
        Ok(Self {
            name: v.name,
            announced: v.announced,
            cluster: cluster_or_zero(&v.cluster)?,
            key: v.key,
            address: v.address,
            heard_at_ms: v.heard_at_ms,
            trust: v.trust,
            line: v.line,
            why: v.why,
            round_trip_us: v.round_trip_us,
            imported: v.imported,
            theirs: v.theirs,
            exported: v.exported,
            taken: v.taken,
            taken_ms: v.taken_ms,
            turned_down: v.turned_down,
            broken: v.broken,
        })
    }
}

impl From<&MemberView> for pb::MemberView {
    fn from(m: &MemberView) -> Self {
        Self { raft_id: m.raft_id, server: Some((&m.server).into()), voter: m.voter, held: m.held }
    }
}

impl TryFrom<pb::MemberView> for MemberView {
    type Error = WireError;

    fn try_from(m: pb::MemberView) -> Result<Self, WireError> {
        let server = need(m.server, "server")?.try_into()?;
        Ok(Self { raft_id: m.raft_id, server, voter: m.voter, held: m.held })
    }
}

impl From<&Elections> for pb::Elections {
    fn from(e: &Elections) -> Self {
        Self {
            started: e.started,
            won: e.won,
            changes: e.changes,
            changes_15m: e.changes_15m,
            leaderless_ms: e.leaderless_ms,
            leaderless_total_ms: e.leaderless_total_ms,
            last_leader: e.last_leader.as_ref().map(Into::into),
        }
    }
}

impl From<pb::Elections> for Elections {
    fn from(e: pb::Elections) -> Self {
        Self {
            started: e.started,
            won: e.won,
            changes: e.changes,
            changes_15m: e.changes_15m,
            leaderless_ms: e.leaderless_ms,
            leaderless_total_ms: e.leaderless_total_ms,
            last_leader: e.last_leader.map(Into::into),
        }
    }
}
