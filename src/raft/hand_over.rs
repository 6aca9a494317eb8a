//! A leader that leaves gives its place to a follower that has its log, so that
//! nobody waits for a lease to run out. It must not know why the leader leaves.

use super::events::Note;
use super::shared::{Raft, Shared, seat_of};
use super::types::EventKind;
use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver as _;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A hand-over takes at most this long; then the node stops as it is.
const HAND_OVER: Duration = Duration::from_secs(2);
/// One follower has this long to get the end of the log and to be elected; then the next
/// one is asked.
const TURN: Duration = Duration::from_secs(1);

/// Gives leadership to the live voter that has most of the log; where that one does not take
/// it, to the next. Nothing happens where this node does not lead.
pub async fn hand_over(shared: &Shared) {
    let Some(raft) = shared.raft() else { return };
    let until = Instant::now() + HAND_OVER;
    let mut asked = BTreeSet::new();
    while let Some(to) = heir(shared, raft, &asked) {
        asked.insert(to);
        let turn = until.min(Instant::now() + TURN);
        if give_until(shared, raft, to, turn).await || turn == until {
            return;
        }
    }
}

/// Gives leadership to one voter; false where it has not taken it in time.
pub async fn give(shared: &Shared, raft: &Raft, to: u64) -> bool {
    give_until(shared, raft, to, Instant::now() + HAND_OVER).await
}

async fn give_until(shared: &Shared, raft: &Raft, to: u64, until: Instant) -> bool {
    let term = raft.metrics().borrow_watched().current_term;
    let text = format!("this node hands leadership over to node {}", seat_of(to));
    let note = Note::new(term, EventKind::Transfer).peer(seat_of(to)).text(text);
    shared.events.note(note);
    shared.note_hand_over(term);
    if raft.trigger().transfer_leader(to).await.is_err() {
        // openraft has ended.
        return true;
    }
    timeout_at(until, no_longer_leads(raft)).await.is_ok()
}

/// Who is to lead; nobody where this node does not.
fn heir(shared: &Shared, raft: &Raft, asked: &BTreeSet<u64>) -> Option<u64> {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    if metrics.state != ServerState::Leader {
        return None;
    }
    let live = shared.live();
    let voters: BTreeSet<u64> = metrics.membership_config.voter_ids().collect();
    let matched = metrics.replication.iter().flatten();
    matched
        .filter(|(id, _)| **id != shared.raft_id() && !asked.contains(id))
        .filter(|(id, _)| live.contains(id) && voters.contains(id))
        .max_by_key(|(_, at)| at.map(|at| at.index))
        .map(|(id, _)| *id)
}

async fn no_longer_leads(raft: &Raft) {
    let mut metrics = raft.metrics();
    while metrics.borrow_watched().state == ServerState::Leader {
        // An error means that openraft has ended.
        if metrics.changed().await.is_err() {
            return;
        }
    }
}
