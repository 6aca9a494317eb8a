//! Who leads, and above all when nobody may: fewer servers than a majority of
//! those configured never hold an election, fresh or after a full stop.

use crate::harness::{Cluster, LEADER, Path, Stores, over_every_store, wait_until, watch};
use rustchat::wire::peer::MessageKind;
use std::time::Duration;

over_every_store! {
    a_leader_that_dies_or_stops_is_replaced,
    a_leader_that_is_cut_off_is_replaced_and_comes_back_as_a_follower,
}

/// Contract: for this long nothing happens.
const QUIET: Duration = Duration::from_secs(20);

/// The terms of the servers that answer, and a complaint if one of them knows a leader.
fn terms(cluster: &Cluster) -> Result<Vec<(u32, u64)>, String> {
    let all = cluster.status();
    match all.iter().find(|node| node.reachable && node.role != "follower") {
        Some(node) => Err(format!("server {} is a {}", node.seat, node.role)),
        None => Ok(all.iter().filter(|n| n.reachable).map(|n| (n.seat, n.term)).collect()),
    }
}

/// Requests for a vote and for a pre-vote on the wire so far.
fn asked(cluster: &Cluster) -> [u64; 2] {
    [MessageKind::Vote, MessageKind::PreVote].map(|kind| cluster.paths().seen(kind))
}

/// Starts servers 1 to `up` of every cluster and watches that nothing moves.
fn stay_quiet(clusters: &mut [(Cluster, u32)]) {
    let mut before = Vec::new();
    for (cluster, up) in clusters.iter_mut() {
        let asked = asked(cluster);
        (1..=*up).for_each(|seat| cluster.up(seat));
        let count = *up as usize;
        let terms = wait_until(Duration::from_secs(5), "the servers answer", || {
            terms(cluster).ok().filter(|terms| terms.len() == count)
        });
        before.push((terms, asked));
    }
    watch(QUIET, "no server asks for a vote and no term moves", || {
        for ((cluster, up), (terms_then, votes_then)) in clusters.iter().zip(&before) {
            let votes = asked(cluster);
            let now = terms(cluster)?;
            if (&now, &votes) != (terms_then, votes_then) {
                return Err(format!(
                    "{up} of {} up: terms {terms_then:?} then, {now:?} now; requests for votes \
                     and pre-votes {votes_then:?} then, {votes:?} now",
                    cluster.seats().len(),
                ));
            }
        }
        Ok(())
    });
}

/// Starts further servers up to a majority, the last of which brings a leader.
fn complete(clusters: &mut [(Cluster, u32)]) {
    for (cluster, up) in clusters {
        (*up + 1..=3).for_each(|seat| cluster.up(seat));
        let leader = cluster.leader().seat;
        let others = cluster.seats().into_iter().filter(|seat| *seat != leader);
        let granted: u64 = others.map(|seat| cluster.paths().granted_by(seat)).sum();
        assert!(granted > 0, "votes are seen on the wire");
    }
}

#[test]
fn no_election_without_a_majority_and_one_with_it() {
    let cluster = |n, up| (Cluster::setup().proxied().of(n), up);
    let mut clusters = [cluster(5, 2), cluster(5, 1), cluster(4, 2)];
    stay_quiet(&mut clusters);
    complete(&mut clusters);
    for (cluster, _) in &mut clusters {
        cluster.start_all();
        cluster.leader();
        cluster.kill_all();
    }
    stay_quiet(&mut clusters);
    complete(&mut clusters);
}

fn a_leader_that_dies_or_stops_is_replaced(stores: Stores) {
    let mut cluster = stores.start(3);
    let mut old = cluster.leader();
    for round in 0..4 {
        let what = if round % 2 == 0 { "KILL" } else { "STOP" };
        cluster.signal(old.seat, what);
        let new = wait_until(LEADER, &format!("another leader after SIG{what}"), || {
            cluster.agreed().filter(|new| new.seat != old.seat && new.term > old.term)
        });
        match what {
            "KILL" => {
                cluster.kill(old.seat);
                cluster.up(old.seat);
            }
            _ => cluster.signal(old.seat, "CONT"),
        }
        let seats = cluster.seats().len();
        wait_until(LEADER, "the old leader follows again", || {
            let up = cluster.status().iter().filter(|node| node.reachable).count();
            (up == seats).then(|| cluster.agreed()).flatten()
        });
        assert!(cluster.leader().term >= new.term);
        old = cluster.leader();
    }
}

fn a_leader_that_is_cut_off_is_replaced_and_comes_back_as_a_follower(stores: Stores) {
    let cluster = stores.setup().proxied().start(3);
    for path in [Path::Cut, Path::Swallow] {
        let old = cluster.leader();
        cluster.paths().part(&[old.seat], 3, path);
        let others: Vec<_> = cluster.seats().into_iter().filter(|s| *s != old.seat).collect();
        let new = wait_until(LEADER, &format!("another leader ({path:?})"), || {
            cluster.agreed_among(&others).filter(|new| new.term > old.term)
        });
        cluster.paths().part(&[old.seat], 3, Path::Open);
        let now = cluster.leader();
        assert_eq!((now.seat, now.term), (new.seat, new.term), "the return brings no election");
    }
}
