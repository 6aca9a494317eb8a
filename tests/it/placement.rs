//! Clients are spread over the followers in turn.

use crate::harness::{Cluster, Raw, wait_until};
use rustchat::chat::ids::DeviceId;
use rustchat::wire::message::ServerMsg;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Over a hundred clients, the sessions per server are even within one; also with one server
/// killed, and after a change of leader.
#[test]
fn a_hundred_clients_are_spread_evenly() {
    let mut cluster = Cluster::start(5);
    let leader = cluster.leader().seat;
    let spread = place(&cluster, leader, 100);
    assert_eq!(spread.len(), 4, "the followers alone serve: {spread:?}");
    assert!(!spread.contains_key(&leader), "{spread:?}");
    even(&spread);

    let gone = cluster.seats().into_iter().find(|seat| *seat != leader).unwrap();
    cluster.kill(gone);
    wait_until(Duration::from_secs(5), "the loss is noticed", || {
        let all = cluster.status();
        let node = all.iter().find(|node| node.seat == leader)?;
        (node.json["peers"].as_array()?.len() == 3).then_some(())
    });
    let spread = place(&cluster, leader, 99);
    assert!(!spread.contains_key(&gone), "{spread:?}");
    assert_eq!(spread.len(), 3, "{spread:?}");
    even(&spread);

    cluster.up(gone);
    cluster.kill(leader);
    let next = cluster.leader().seat;
    cluster.same_state();
    all_take_part(&cluster, next, 3);
    let spread = place(&cluster, next, 99);
    assert_eq!(spread.len(), 3, "{spread:?}");
    even(&spread);
}

/// Asks the leader for a server `count` times; how often each was named.
fn place(cluster: &Cluster, leader: u32, count: u8) -> BTreeMap<u32, u32> {
    let mut spread = BTreeMap::new();
    for n in 0..count {
        *spread.entry(placed(cluster, leader, n)).or_default() += 1;
    }
    spread
}

/// The server that the leader names for one more client.
fn placed(cluster: &Cluster, leader: u32, n: u8) -> u32 {
    wait_until(Duration::from_secs(5), "the leader places a client", || {
        let mut raw = Raw::open(cluster.address(leader), DeviceId([n; 16]));
        raw.hello(false);
        match raw.receive() {
            ServerMsg::Redirect(to) => Some(to.seat),
            ServerMsg::GoAway { .. } => None,
            other => panic!("the leader answered {other:?}"),
        }
    })
}

/// A hundred people who stay: what the servers themselves count is even within one.
#[test]
fn the_sessions_of_a_hundred_clients_are_even() {
    let cluster = Cluster::start(3);
    let leader = cluster.leader().seat;
    all_take_part(&cluster, leader, 2);
    let people: Vec<Raw> = (0..100)
        .map(|n| {
            let seat = placed(&cluster, leader, n);
            let mut raw = Raw::connect(cluster.address(seat), DeviceId([n; 16]));
            raw.register(&format!("user{n}"), "a password");
            raw
        })
        .collect();
    let sessions: BTreeMap<u32, u64> = cluster
        .status()
        .iter()
        .map(|node| (node.seat, node.json["sessions"].as_u64().unwrap()))
        .collect();
    assert_eq!(sessions.values().sum::<u64>(), people.len() as u64, "{sessions:?}");
    assert_eq!(sessions[&leader], 0, "the leader serves nobody while others do: {sessions:?}");
    assert!(
        sessions.values().filter(|count| **count > 0).all(|count| *count == 50),
        "{sessions:?}"
    );
}

/// Waits until a new leader has heard how far its `count` followers are, and uses them all.
fn all_take_part(cluster: &Cluster, leader: u32, count: usize) {
    wait_until(Duration::from_secs(5), "the new leader uses every follower", || {
        let named: BTreeSet<u32> = (0..5).map(|n| placed(cluster, leader, n)).collect();
        (named.len() == count).then_some(())
    });
}

fn even(spread: &BTreeMap<u32, u32>) {
    let (low, high) = (spread.values().min().unwrap(), spread.values().max().unwrap());
    assert!(high - low <= 1, "{spread:?}");
}
