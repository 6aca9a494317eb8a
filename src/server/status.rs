//! What this server says about itself and about who leads.

use super::link_view;
use super::process::{self, Disk};
use super::ready::Standing;
use super::shared::Shared;
use crate::clock::now_ms;
use crate::raft::types::{Cause, ElectionCounts, NodeEvent};
use crate::raft::{Reading, Role};
use crate::wire::message::{ServerMsg, Where};
use crate::wire::statement::{Elections, Event, LastLeader, Load, Status};
use bytes::Bytes;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Who leads, as far as this server knows.
#[must_use]
pub fn leader(shared: &Shared) -> ServerMsg {
    let status = shared.status();
    let (cluster, generation) = shared.setup.state.identity().unwrap_or_default();
    ServerMsg::Where(Where {
        cluster,
        cluster_name: shared.setup.cluster_name.clone(),
        leader: status.leader.and_then(|seat| shared.address(seat)),
        servers: shared.servers(),
        term: status.term,
        generation,
    })
}

/// The node's own statement.
#[must_use]
pub fn statement(shared: &Shared) -> Status {
    let node = shared.status();
    let disk = shared.data.as_deref().and_then(process::disk);
    let syncs = shared.node.syncs();
    let standing = Standing::of(&node, shared.node.stop_reason().as_ref(), disk, syncs);
    let mark = shared.store.mark();
    let (cluster, generation) = shared.setup.state.identity().unwrap_or_default();
    let links = node.peers.iter().filter(|peer| peer.live).map(|peer| peer.seat);
    let role = match node.role {
        Role::Learner => "learner",
        Role::Follower => "follower",
        Role::PreCandidate => "precandidate",
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
        servers: shared.servers(),
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
        resident_bytes: process::resident_bytes().unwrap_or(0),
        ready: Some(standing.ready),
        reasons: standing.reasons.iter().map(|reason| reason.code().to_owned()).collect(),
        why: standing.why,
        now_ms: now_ms(),
        uptime_ms: ms(shared.begun.elapsed()),
        draining: node.draining,
        elections: elections(&node.elections),
        load: load(shared, node.log_bytes, syncs, disk.unwrap_or_default()),
        peers: node.peers,
        members: node.members,
        events: Vec::new(),
        build: process::build().to_owned(),
        certificate_until_ms: shared.keys.as_ref().map(|identity| identity.keys().until_ms),
        clusters: link_view::all(shared),
    }
}

/// The same with the events after the one with this id, as many as go into one answer.
#[must_use]
pub fn answer(shared: &Shared, events_after: Option<u64>) -> Status {
    let mut status = statement(shared);
    if let Some(after) = events_after {
        let events = shared.node.events();
        let new = events.iter().filter(|event| event.id > after);
        status.events = new.map(|e| event(shared.setup.seat, e)).collect();
    }
    status
}

/// An event as it is told.
#[must_use]
pub fn event(seat: u32, e: &NodeEvent) -> Event {
    Event {
        id: e.id,
        at_ms: e.at_ms,
        seat,
        term: e.term,
        kind: e.kind.code().to_owned(),
        peer: e.peer,
        granted: e.granted,
        cause: e.cause.map_or("", Cause::code).to_owned(),
        took_ms: e.took.map(ms),
        text: e.text.clone(),
    }
}

fn elections(e: &ElectionCounts) -> Elections {
    Elections {
        started: e.started.values().sum(),
        won: e.won,
        changes: e.changes,
        changes_15m: e.changes_15m,
        leaderless_ms: e.leaderless.map(ms),
        leaderless_total_ms: ms(e.leaderless_total),
        last_leader: e.last_leader.map(|last| LastLeader {
            seat: last.seat,
            term: last.term,
            lost_at_ms: last.lost_at_ms,
            cause: last.cause.code().to_owned(),
        }),
    }
}

fn load(shared: &Shared, log_bytes: u64, syncs: Reading, disk: Disk) -> Load {
    let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    Load {
        cpu_ms: process::cpu_ms().unwrap_or(0),
        disk_free: disk.free,
        disk_total: disk.total,
        fsync_p99_us: syncs.p99.map(us),
        fsync_pending_ms: syncs.pending.map(ms),
        commit_p99_us: shared.node.commits().p99.map(us),
        log_bytes,
        snapshot_at_ms: None,
        accepted: shared.counts.accepted.load(Ordering::Relaxed),
        delivered: shared.counts.delivered.load(Ordering::Relaxed),
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
