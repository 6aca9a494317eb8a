//! The connections between servers, seen from outside.

use crate::harness::{Cluster, Path, wait_until, watch};
use std::time::Duration;

/// Exactly one connection per pair of servers.
#[test]
fn every_pair_of_servers_has_exactly_one_connection() {
    for n in [2_u32, 3, 5] {
        let cluster = Cluster::setup().proxied().start(n);
        cluster.leader();
        let pairs = usize::try_from(n * (n - 1) / 2).unwrap();
        let what = format!("{n} servers have {pairs} connections");
        wait_until(Duration::from_secs(5), &what, || {
            (cluster.paths().connections().len() == pairs).then_some(())
        });
        watch(Duration::from_secs(2), &what, || {
            let mut open = cluster.paths().connections();
            let count = open.len();
            open.dedup();
            if count == pairs && open.len() == pairs { Ok(()) } else { Err(format!("{open:?}")) }
        });
    }
}

/// A path that swallows everything is noticed, and used again once it is back.
#[test]
fn a_black_holed_path_is_noticed_and_used_again() {
    let cluster = Cluster::setup().proxied().start(3);
    let leader = cluster.leader();
    let other = cluster.seats().into_iter().find(|seat| *seat != leader.seat).unwrap();
    let hears = |cluster: &Cluster| {
        let all = cluster.status();
        let node = all.iter().find(|node| node.seat == leader.seat)?;
        Some(
            node.json["peers"]
                .as_array()?
                .iter()
                .any(|seat| seat.as_str() == Some(&*other.to_string())),
        )
    };
    wait_until(Duration::from_secs(5), "the link is up", || hears(&cluster).filter(|up| *up));
    cluster.paths().link(leader.seat, other, Path::Swallow);
    wait_until(Duration::from_secs(2), "the silence is noticed", || {
        hears(&cluster).filter(|up| !*up)
    });
    cluster.paths().link(leader.seat, other, Path::Open);
    wait_until(Duration::from_secs(2), "the link is used again", || {
        hears(&cluster).filter(|up| *up)
    });
    // One follower was cut off from the leader alone: that deposes nobody.
    assert_eq!(cluster.leader().term, leader.term);
}
