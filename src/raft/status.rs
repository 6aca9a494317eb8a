//! The node's own statement, kept fresh, and the turns of leadership for the
//! election history. It must not change anything.

use super::shared::{LEASE, Shared, seat_of};
use super::types::EventKind;
use super::{NodeStatus, PeerStatus, Role};
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::{Instant as _, RaftMetrics, ServerState};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The status is at most this old.
const REFRESH: Duration = Duration::from_millis(50);
/// It is made anew at most this often, whatever happens.
const REST: Duration = Duration::from_millis(5);

/// Keeps `status` fresh for as long as the node runs.
pub async fn run(shared: Arc<Shared>, status: watch::Sender<NodeStatus>) {
    let mut before = NodeStatus::default();
    loop {
        let now = statement(&shared);
        turns(&shared, &before, &now);
        note_acknowledged(&shared);
        before.clone_from(&now);
        status.send_if_modified(|old| {
            let changed = *old != now;
            *old = now;
            changed
        });
        tokio::time::sleep(REST).await;
        match shared.raft() {
            None => tokio::time::sleep(REFRESH).await,
            Some(raft) => {
                let mut metrics = raft.server_metrics();
                // An error means that openraft has ended: nothing changes any more.
                drop(tokio::time::timeout(REFRESH, metrics.changed()).await);
            }
        }
    }
}

/// What the node says of itself now.
pub fn statement(shared: &Shared) -> NodeStatus {
    let mut status = NodeStatus {
        // Until the cluster is founded `nodes.conf` says who votes.
        role: if shared.config.rejoin { Role::Learner } else { Role::Follower },
        vote: shared.store.vote().filter(|v| v.term > 0).map(|v| seat_of(v.node)),
        term: shared.store.vote().map_or(0, |v| v.term),
        last: shared.store.bounds().last,
        applied: shared.applied.last().map_or(0, |id| id.index),
        raft_id: shared.raft_id(),
        stopped: shared.halt.reason().map(|reason| reason.to_string()),
        voters: u32::try_from(shared.config.seats.len()).unwrap_or_default(),
        ..NodeStatus::default()
    };
    let live = shared.live();
    status.live = u32::try_from(live.len()).unwrap_or_default();
    let seats = shared.config.seats.iter().filter(|seat| seat.seat != shared.config.seat);
    status.peers = seats
        .map(|seat| PeerStatus {
            seat: seat.seat,
            live: live.iter().any(|id| seat_of(*id) == seat.seat),
            matched: None,
        })
        .collect();
    if let Some(metrics) = shared.metrics() {
        running(shared, &metrics, &mut status);
    }
    status
}

fn running(shared: &Shared, metrics: &RaftMetrics<super::kinds::Kinds>, status: &mut NodeStatus) {
    let index = |id: &Option<super::kinds::RaftLogId>| id.map_or(0, |id| id.index);
    status.term = status.term.max(metrics.current_term);
    let voters: Vec<u64> = metrics.membership_config.voter_ids().collect();
    if !voters.is_empty() {
        status.role = match metrics.state {
            ServerState::Leader => Role::Leader,
            ServerState::Candidate => Role::Candidate,
            ServerState::Follower => Role::Follower,
            ServerState::Learner | ServerState::Shutdown => Role::Learner,
        };
        let live = shared.live();
        let heard = voters.iter().filter(|id| live.contains(id)).count();
        status.voters = u32::try_from(voters.len()).unwrap_or_default();
        status.live = u32::try_from(heard).unwrap_or_default();
    }
    status.commit = index(&metrics.local_committed);
    status.snapshot = index(&metrics.snapshot);
    for peer in &mut status.peers {
        let matched = metrics.replication.as_ref().and_then(|all| {
            let of_seat = all.iter().rfind(|(id, _)| seat_of(**id) == peer.seat)?;
            of_seat.1.map(|id| id.index)
        });
        peer.matched = matched;
    }
    let ms = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    if status.role == Role::Leader {
        let age = if voters.len() == 1 {
            Some(Duration::ZERO)
        } else {
            metrics.last_quorum_acked.map(|at| at.elapsed())
        };
        status.quorum_ack_age_ms = age.map(ms);
        status.leads_with_quorum = age.is_some_and(|age| age < LEASE);
        status.leader = Some(shared.config.seat);
    } else {
        let silence = shared.silence();
        status.heartbeat_age_ms = silence.map(ms);
        let fresh = silence.is_some_and(|age| age < LEASE);
        let other = metrics.current_leader.filter(|id| *id != shared.raft_id());
        status.leader = other.filter(|_| fresh).map(seat_of);
    }
}

/// Writes down who leads now.
fn turns(shared: &Shared, before: &NodeStatus, now: &NodeStatus) {
    let events = &shared.events;
    let (led, leads) = (before.role == Role::Leader, now.role == Role::Leader);
    if !led && leads {
        events.add(now.term, EventKind::Elected, None, "this node leads");
    }
    if led && !leads {
        events.add(now.term, EventKind::SteppedDown, None, "this node no longer leads");
    }
    if before.leader == now.leader {
        return;
    }
    match (before.leader, now.leader) {
        (_, Some(seat)) if seat != shared.config.seat => {
            let text = format!("node {seat} leads");
            events.add(now.term, EventKind::NewLeader, Some(seat), text);
        }
        (Some(seat), None) if !led => {
            let text = format!("node {seat} was not heard for {} ms", LEASE.as_millis());
            events.add(now.term, EventKind::LostLeader, Some(seat), text);
        }
        _ => {}
    }
}

/// The leader remembers what others acknowledged of what is committed, to tell them should
/// they come back with less.
fn note_acknowledged(shared: &Shared) {
    let Some(raft) = shared.raft() else { return };
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    let (Some(all), Some(commit)) = (&metrics.replication, metrics.cluster_committed) else {
        return;
    };
    for (id, matched) in all {
        if let Some(matched) = matched {
            shared.note_acknowledged(*id, matched.index.min(commit.index));
        }
    }
}
