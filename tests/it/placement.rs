//! Clients are spread over the followers in turn.

use crate::harness::{Cluster, Raw, wait_until};
use bytes::Bytes;
use rustchat::chat::ids::DeviceId;
use rustchat::wire::message::ServerMsg;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Over a hundred clients, the sessions per server are even within one; also with one server
/// killed, and after a change of leader.
#[test]
fn a_hundred_clients_are_spread_evenly() {
    let mut cluster = Cluster::start(5);
    let leader = all_take_part(&cluster, 4);
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
    cluster.same_state();
    let next = all_take_part(&cluster, 3);
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

/// A hundred people who stay: what the servers themselves count is even within one; also when
/// those of a server that was killed have come back, and when all have after a change of leader.
#[test]
fn the_sessions_of_a_hundred_clients_are_even() {
    let mut cluster = Cluster::start(5);
    let leader = all_take_part(&cluster, 4);
    let mut people: Vec<Member> = (0..100).map(|n| Member::register(&cluster, leader, n)).collect();
    even_sessions(&cluster, leader, 4, 100);

    let gone = cluster.seats().into_iter().find(|seat| *seat != leader).unwrap();
    cluster.kill(gone);
    assert_eq!(all_take_part(&cluster, 3), leader);
    for person in people.iter_mut().filter(|person| person.seat == gone) {
        person.come_back(&cluster, leader);
    }
    even_sessions(&cluster, leader, 3, 100);

    cluster.up(gone);
    cluster.leader();
    cluster.kill(leader);
    cluster.leader();
    let next = all_take_part(&cluster, 3);
    people.iter_mut().for_each(|person| person.leave());
    wait_until(Duration::from_secs(5), "all have left", || {
        (sessions(&cluster).values().sum::<u64>() == 0).then_some(())
    });
    people.iter_mut().for_each(|person| person.come_back(&cluster, next));
    even_sessions(&cluster, next, 3, 100);
}

/// Somebody with one device, who goes where the leader says.
struct Member {
    name: String,
    device: u8,
    token: Bytes,
    seat: u32,
    raw: Option<Raw>,
}

impl Member {
    fn register(cluster: &Cluster, leader: u32, device: u8) -> Self {
        let name = format!("user{device}");
        let seat = placed(cluster, leader, device);
        let mut raw = Raw::connect(cluster.address(seat), DeviceId([device; 16]));
        raw.register(&name, "a password");
        raw.resume(vec![]);
        Self { name, device, token: raw.token.clone(), seat, raw: Some(raw) }
    }

    fn come_back(&mut self, cluster: &Cluster, leader: u32) {
        self.seat = placed(cluster, leader, self.device);
        let mut raw = Raw::connect(cluster.address(self.seat), DeviceId([self.device; 16]));
        raw.token_login(&self.name, self.token.clone());
        raw.resume(vec![]);
        self.raw = Some(raw);
    }

    fn leave(&mut self) {
        self.raw = None;
    }
}

/// How many sessions each server that runs says it has.
fn sessions(cluster: &Cluster) -> BTreeMap<u32, u64> {
    let all = cluster.status();
    let running = all.iter().filter(|node| node.reachable);
    running.map(|node| (node.seat, node.json["sessions"].as_u64().unwrap())).collect()
}

/// Waits until all `clients` are counted, and then looks how they are spread over the `count`
/// followers: connections that were only redirected may still be closing.
fn even_sessions(cluster: &Cluster, leader: u32, count: usize, clients: u64) {
    let mut all = wait_until(Duration::from_secs(5), "every client is counted once", || {
        Some(sessions(cluster)).filter(|all| all.values().sum::<u64>() == clients)
    });
    let own = all.remove(&leader);
    assert_eq!(own, Some(0), "the leader serves nobody while others do: {all:?}");
    assert_eq!(all.len(), count, "{all:?}");
    even(&all);
}

/// Waits until a leader has heard how far its `count` followers are, and uses them all. Which
/// one leads may change while the servers start.
fn all_take_part(cluster: &Cluster, count: usize) -> u32 {
    wait_until(Duration::from_secs(5), "the leader uses every follower", || {
        let leader = cluster.agreed()?.seat;
        let named: BTreeSet<u32> = (0..5).map(|n| placed(cluster, leader, n)).collect();
        (named.len() == count).then_some(leader)
    })
}

fn even<T: Copy + Ord + Into<u64>>(spread: &BTreeMap<u32, T>) {
    let spread: BTreeMap<_, u64> = spread.iter().map(|(seat, n)| (seat, (*n).into())).collect();
    let (low, high) = (spread.values().min().unwrap(), spread.values().max().unwrap());
    assert!(high - low <= 1, "{spread:?}");
}
