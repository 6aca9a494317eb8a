//! What this node says of itself to the others, and whom it does not talk to: a
//! data directory that was emptied, copied or set back. Also when that must be looked
//! at anew. It must not know how hellos travel.

use super::boot;
use super::mesh::{Accept, MakeHello, When};
use super::shared::{Leader, Shared, seat_of};
use super::types::StopReason;
use crate::chat::ids::ClusterId;
use crate::store::Store;
use crate::wire;
use crate::wire::message::ServerAddress;
use crate::wire::peer::PeerHello;
use openraft::async_runtime::watch::WatchReceiver as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// In every refusal that only a new data directory cures; the refused node stops.
pub const CURE: &str = "start it with --rejoin";

/// Who was removed from the cluster is told so for this long.
const FORGET: Duration = Duration::from_secs(60);

/// Whether nothing was ever stored here.
pub fn pristine(store: &dyn Store) -> bool {
    store.bounds().last.is_none() && store.vote().is_none() && store.mark().applied.is_none()
}

/// Makes the hello for a seat.
pub fn hello(shared: &Arc<Shared>) -> MakeHello {
    let shared = Arc::clone(shared);
    let digest = boot::digest(&shared.config);
    Arc::new(move |to_seat| {
        let config = &shared.config;
        let (cluster, generation) = generation(&shared);
        let own = config.seats.iter().find(|seat| seat.seat == config.seat);
        let address = own.map_or_else(ServerAddress::default, |seat| ServerAddress {
            seat: seat.seat,
            host: seat.host.clone(),
            client: seat.client,
            peer: seat.peer,
        });
        PeerHello {
            min: wire::PEER_VERSION,
            max: wire::PEER_VERSION,
            features: 0,
            cluster,
            generation,
            seat: config.seat,
            raft_id: shared.raft_id(),
            incarnation: config.incarnation,
            membership_digest: digest.clone(),
            pristine: pristine(shared.store.as_ref()),
            cluster_name: config.cluster_name.clone(),
            to_seat,
            acknowledged: shared.acknowledged_by_seat(to_seat),
            rejoin: shared.asks_admission(),
            refusal: None,
            address,
        }
    })
}

/// The cluster, and its generation; 0 while none is known.
fn generation(shared: &Shared) -> (Option<ClusterId>, u64) {
    let stored = shared.store.identity();
    match shared.applied.known().identity {
        // One that was recovered, or that follows such a cluster's log from its beginning, is
        // of the later generation although its state has not come to it yet.
        Some((cluster, generation)) => (Some(cluster), generation.max(stored.generation)),
        None => (stored.cluster.or(shared.config.cluster), stored.generation),
    }
}

/// Says why there shall be no connection with a server.
pub fn accept(shared: &Arc<Shared>) -> Accept {
    let shared = Arc::clone(shared);
    Arc::new(move |theirs, when| {
        if theirs.rejoin {
            return Ok(());
        }
        same_generation(&shared, theirs)?;
        known(&shared, theirs)?;
        match when {
            When::Connecting => remembered(&shared, theirs),
            // What was acknowledged was there then. While a snapshot takes the place of the log
            // there may be less of that for a moment.
            When::Connected => Ok(()),
        }
    })
}

/// Both belong to the same generation of the cluster. Who is of an earlier one was left behind
/// by a recovery: two such servers could still be a majority among themselves, so they stop.
fn same_generation(shared: &Shared, theirs: &PeerHello) -> Result<(), String> {
    let (cluster, generation) = generation(shared);
    let seat = theirs.seat;
    let known = generation != 0 && theirs.generation != 0;
    if !known || cluster != theirs.cluster || generation == theirs.generation {
        return Ok(());
    }
    if generation > theirs.generation {
        return Err(format!(
            "generation_mismatch: node {seat} is of generation {} of the cluster, which was \
             recovered without it and is in generation {generation}: {CURE}",
            theirs.generation
        ));
    }
    let text = format!(
        "generation_mismatch: this node is of generation {generation} of the cluster, which was \
             recovered without it: node {seat} is of generation {}. {CURE}",
        theirs.generation
    );
    shared.halt.stop(StopReason::Refused(text));
    Err(format!("this node is of generation {generation} of the cluster, and stops"))
}

/// The membership in the log knows their data directory.
fn known(shared: &Shared, theirs: &PeerHello) -> Result<(), String> {
    let Some(membership) = shared.membership() else { return Ok(()) };
    let seat = theirs.seat;
    if let Some(member) = membership.get_node(&theirs.raft_id) {
        // Until the membership says it, the first one that was met counts.
        return match member.incarnation.or_else(|| shared.met(theirs.raft_id)) {
            Some(known) if known != theirs.incarnation => Err(format!(
                "the data directory of node {seat} is not the one that it joined the cluster \
                 with: {CURE}"
            )),
            _ => Ok(()),
        };
    }
    // What is not committed may still be undone, and nobody is to stop for that.
    if !shared.membership_is_committed() {
        return Ok(());
    }
    let newer = |(id, _): (&u64, _)| seat_of(*id) == seat && *id > theirs.raft_id;
    if membership.nodes().any(newer) {
        return Err(format!(
            "node {seat} was replaced by a newer data directory than this one: {CURE}"
        ));
    }
    // Others may not have heard of it yet.
    if shared.leader() == Leader::Me && Instant::now() >= shared.farewell() {
        return Err(format!("node {seat} is no member any more; to make it one again, {CURE}"));
    }
    Ok(())
}

/// Has live connections judged again whenever the membership changes, and remembers whom this
/// node has met, for as long as the node runs. `life::found` does so for the cluster's id.
pub async fn review(shared: Arc<Shared>) {
    let Some(mesh) = shared.mesh() else { return };
    let Some(raft) = shared.wait_for_raft().await else { return };
    let (mut peers, mut metrics) = (mesh.peers(), raft.server_metrics());
    let (mut before, mut judged, mut forget) = (None, true, None);
    let own = shared.config.seat;
    let others = || shared.seats().into_iter().filter(|seat| seat.seat != own).collect::<Vec<_>>();
    let mut known = others();
    loop {
        // Not before there are members: who has promised nothing may start anew as it likes.
        let membership = *metrics.borrow_watched().membership_config.log_id();
        if membership.is_some() {
            shared.meet(peers.borrow_and_update().values());
        }
        if membership != before {
            before = membership;
            shared.note_membership();
            judged = false;
            // Who was removed is told so when it connects, for a while.
            let now = others();
            known.retain(|old| now.iter().all(|seat| seat.seat != old.seat));
            known.extend(now);
            mesh.set_seats(known.clone());
            forget = Some(Instant::now() + FORGET);
            mesh.judge_again();
        }
        tokio::select! {
            changed = peers.changed() => if changed.is_err() { return },
            changed = metrics.changed() => if changed.is_err() { return },
            () = tokio::time::sleep_until(shared.farewell().into()), if !judged => {
                judged = true;
                mesh.judge_again();
            }
            () = tokio::time::sleep_until(forget.unwrap_or_else(Instant::now).into()),
                if forget.is_some() =>
            {
                forget = None;
                known = others();
                mesh.set_seats(known.clone());
            }
        }
    }
}

/// They remember that this node acknowledged more than it has.
fn remembered(shared: &Shared, theirs: &PeerHello) -> Result<(), String> {
    let last = shared.store.bounds().last.map_or(0, |id| id.index);
    if theirs.acknowledged <= last || shared.asks_admission() {
        return Ok(());
    }
    if !shared.store.holds() {
        // Another process may have the data by now, and have acknowledged that.
        return Err("this process may no longer be the one that has the data".into());
    }
    let text = format!(
        "node {} remembers that this node had acknowledged log entry {}, but its data directory \
         ends at {last}, so it was set back: {CURE}",
        theirs.seat, theirs.acknowledged
    );
    shared.halt.stop(StopReason::Refused(text));
    Err("the data directory of this node was set back".into())
}
