//! What this node says of itself to the others, and whom it does not talk to: a
//! data directory that was emptied, copied or set back. It must not know how
//! hellos travel.

use super::boot;
use super::mesh::{Accept, MakeHello};
use super::shared::{Shared, seat_of};
use super::types::StopReason;
use crate::store::Store;
use crate::wire;
use crate::wire::message::ServerAddress;
use crate::wire::peer::PeerHello;
use std::sync::Arc;

/// In every refusal that only a new data directory cures; the refused node stops.
pub const CURE: &str = "start it with --rejoin";

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
        let known = shared.applied.known().identity;
        let stored = shared.store.identity();
        let (cluster, generation) = match known {
            Some((cluster, generation)) => (Some(cluster), generation),
            None => (stored.cluster.or(config.cluster), stored.generation),
        };
        let own = config.seats.iter().find(|seat| seat.seat == config.seat);
        let address = own.map_or_else(ServerAddress::default, |seat| ServerAddress {
            seat: seat.seat,
            host: seat.host.clone(),
            client: seat.client,
            peer: seat.peer,
        });
        PeerHello {
            min: wire::VERSION,
            max: wire::VERSION,
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

/// Says why there shall be no connection with a server.
pub fn accept(shared: &Arc<Shared>) -> Accept {
    let shared = Arc::clone(shared);
    Arc::new(move |theirs| {
        if theirs.rejoin {
            return Ok(());
        }
        known(&shared, theirs)?;
        remembered(&shared, theirs)
    })
}

/// The membership in the log knows their data directory.
fn known(shared: &Shared, theirs: &PeerHello) -> Result<(), String> {
    let Some(membership) = shared.membership() else { return Ok(()) };
    let seat = theirs.seat;
    if let Some(member) = membership.get_node(&theirs.raft_id) {
        return match member.incarnation {
            Some(known) if known != theirs.incarnation => Err(format!(
                "the data directory of node {seat} is not the one that it joined the cluster \
                 with: {CURE}"
            )),
            _ => Ok(()),
        };
    }
    let newer = |(id, _): (&u64, _)| seat_of(*id) == seat && *id > theirs.raft_id;
    if membership.nodes().any(newer) {
        return Err(format!(
            "node {seat} was replaced by a newer data directory than this one: {CURE}"
        ));
    }
    Ok(())
}

/// They remember that this node acknowledged more than it has.
fn remembered(shared: &Shared, theirs: &PeerHello) -> Result<(), String> {
    let last = shared.store.bounds().last.map_or(0, |id| id.index);
    if theirs.acknowledged <= last || shared.asks_admission() {
        return Ok(());
    }
    let text = format!(
        "node {} remembers that this node had acknowledged log entry {}, but its data directory \
         ends at {last}, so it was set back: {CURE}",
        theirs.seat, theirs.acknowledged
    );
    shared.halt.stop(StopReason::Refused(text));
    Err("the data directory of this node was set back".into())
}
