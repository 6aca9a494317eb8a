//! The node's own statement, kept fresh, and the turns of leadership for the
//! election history. It must not change anything.

use super::events::Note;
use super::shared::{LEASE, Shared, seat_of};
use super::turns::{Facts, Turns};
use super::types::{ElectionCounts, EventKind};
use super::{NodeStatus, Role};
use crate::clock::now_ms;
use crate::wire::message::ServerAddress;
use crate::wire::raft::Member;
use crate::wire::statement::{MemberView, PeerView};
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::{Instant as _, RaftMetrics, ServerState};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// The status is at most this old.
const REFRESH: Duration = Duration::from_millis(50);
/// It is made anew at most this often, whatever happens.
const REST: Duration = Duration::from_millis(5);

/// Keeps `status` fresh for as long as the node runs.
pub async fn run(shared: Arc<Shared>, status: watch::Sender<NodeStatus>) {
    let mut turns = Turns::default();
    let mut members = Vec::new();
    loop {
        let mut now = statement(&shared);
        follow(&shared, &mut turns, &mut now);
        if now.members != members {
            note_members(&shared, &members, &now);
            members.clone_from(&now.members);
        }
        note_acknowledged(&shared);
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
    status.peers = peers(shared, &live);
    status.draining = shared.draining();
    status.log_bytes = shared.tally.since_snapshot();
    if let Some(metrics) = shared.metrics() {
        running(shared, &metrics, &mut status);
    }
    status
}

/// The other servers, as the mesh has them.
fn peers(shared: &Shared, live: &BTreeSet<u64>) -> Vec<PeerView> {
    let mesh = shared.mesh();
    let refusals = mesh.as_ref().map(|mesh| mesh.refusals().borrow().clone()).unwrap_or_default();
    let ms = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    let us = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let view = |seat: u32| {
        let health = mesh.as_ref().and_then(|mesh| mesh.health(seat));
        PeerView {
            seat,
            live: live.iter().any(|id| seat_of(*id) == seat),
            heard_ms: health.map(|health| ms(health.heard.elapsed())),
            round_trip_us: health.and_then(|health| health.round_trip).map(us),
            matched: None,
            refusal: refusals.get(&seat).map(|r| r.reason.clone()).unwrap_or_default(),
        }
    };
    // One that is in nodes.conf alone counts only while it is there.
    let members = shared.membership();
    let member = |view: &PeerView| match &members {
        Some(members) if members.nodes().next().is_some() => {
            view.live || members.nodes().any(|(id, _)| seat_of(*id) == view.seat)
        }
        _ => true,
    };
    let seats = shared.seats().into_iter().map(|seat| seat.seat);
    seats.filter(|seat| *seat != shared.config.seat).map(view).filter(member).collect()
}

fn running(shared: &Shared, metrics: &RaftMetrics<super::kinds::Kinds>, status: &mut NodeStatus) {
    let index = |id: &Option<super::kinds::RaftLogId>| id.map_or(0, |id| id.index);
    // openraft tells of a change a moment after it has voted.
    let voted_since = status.term > metrics.current_term;
    status.term = status.term.max(metrics.current_term);
    let voters: Vec<u64> = metrics.membership_config.voter_ids().collect();
    if !voters.is_empty() {
        status.role = match metrics.state {
            // It has voted in a newer term since openraft told what it is.
            ServerState::Leader | ServerState::Candidate if voted_since => Role::Follower,
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
    status.members = members(metrics);
    if status.role == Role::Follower && shared.is_pre_candidate() {
        status.role = Role::PreCandidate;
    }
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
        // One that no majority answers leads nobody.
        status.leader = Some(shared.config.seat).filter(|_| status.leads_with_quorum);
    } else {
        let silence = shared.silence();
        status.heartbeat_age_ms = silence.map(ms);
        let fresh = silence.is_some_and(|age| age < LEASE);
        let other = metrics.current_leader.filter(|id| *id != shared.raft_id());
        status.leader = other.filter(|_| fresh && !voted_since).map(seat_of);
    }
}

fn members(metrics: &RaftMetrics<super::kinds::Kinds>) -> Vec<MemberView> {
    let voters: BTreeSet<u64> = metrics.membership_config.voter_ids().collect();
    let view = |(id, node): (&u64, &Member)| MemberView {
        raft_id: *id,
        server: ServerAddress {
            seat: node.seat,
            host: node.host.clone(),
            client: node.client,
            peer: node.peer,
        },
        voter: voters.contains(id),
        held: node.held,
    };
    metrics.membership_config.nodes().map(view).collect()
}

/// Writes down who leads now, and adds the numbers to the statement.
fn follow(shared: &Shared, turns: &mut Turns, now: &mut NodeStatus) {
    let events = &shared.events;
    let facts = Facts {
        now_ms: now_ms(),
        silence: shared.silence(),
        why: shared.why_no_leader(),
        campaigned: events.campaigned(now.term),
    };
    if let Some(term) = shared.handed_over() {
        turns.hand_over(term);
    }
    let (notes, counts) = turns.on_status(shared.config.seat, now, facts, Instant::now());
    if let Some(seat) = now.leader {
        shared.note_leader(seat);
    }
    if now.role == Role::Leader {
        // One that votes alone asks nobody.
        events.asks_for_votes(now.term);
    }
    if notes.iter().any(Note::is_new_leader) {
        events.end_campaign();
    }
    for note in notes {
        events.note(note);
    }
    let (started, refused) = events.counts();
    now.elections = ElectionCounts { started, refused, ..counts };
}

/// Writes down what has changed in the membership.
fn note_members(shared: &Shared, before: &[MemberView], now: &NodeStatus) {
    let of = |members: &[MemberView], id| members.iter().find(|m| m.raft_id == id).cloned();
    let note = |member: &MemberView, what: &str| {
        let text = format!("node {} (id {}) {what}", member.server.seat, member.raft_id);
        let note = Note::new(now.term, EventKind::Member).peer(member.server.seat);
        shared.events.note(note.text(text));
    };
    // What was there when this node started is no news.
    for member in now.members.iter().filter(|_| !before.is_empty()) {
        match of(before, member.raft_id) {
            None if member.voter => note(member, "is a voter"),
            None => note(member, "is a learner"),
            Some(old) if !old.voter && member.voter => note(member, "was promoted: it votes"),
            Some(old) if old.voter && !member.voter => note(member, "does not vote any more"),
            Some(_) => {}
        }
    }
    for member in before.iter().filter(|member| of(&now.members, member.raft_id).is_none()) {
        note(member, "is no member any more");
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
