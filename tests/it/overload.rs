//! More than a server takes: it says so, and the cluster keeps its leader.

use crate::harness::{Cluster, Raw, wait_until};
use rustchat::chat::ids::DeviceId;
use rustchat::limits;
use rustchat::wire::message::ServerMsg;
use std::time::Duration;

/// Strangers from many addresses take every place before the login. Who comes alone takes the
/// place of the one that has had one for longest, and that one is told to come back; nobody's
/// session ends, and nobody is elected.
#[test]
fn a_full_server_makes_room_and_the_cluster_keeps_its_leader() {
    // Without TLS, so that who is displaced can be told why.
    let cluster = Cluster::setup().plain().start(3);
    let before = cluster.leader();
    let follower = cluster.seats().into_iter().find(|seat| *seat != before.seat).unwrap();
    let address = cluster.address(follower);
    let mut alice = Raw::connect(address, DeviceId([1; 16]));
    alice.register("alice", "a password of alice");
    alice.resume(vec![]);

    let device = DeviceId([2; 16]);
    let addresses = limits::SESSIONS_BEFORE_LOGIN / limits::STRANGERS_PER_ADDRESS;
    let sources = (0..addresses).map(|n| cluster.elsewhere(u8::try_from(n).unwrap()));
    let mut strangers: Vec<Raw> = sources
        .flat_map(|source| std::iter::repeat_n(source, limits::STRANGERS_PER_ADDRESS))
        .map(|source| Raw::open_from(source, address, device))
        .collect();
    let me = rustchat::chat::command::Target::User(alice.user);
    alice.say(me, 1, &["while it is full"]);
    alice.ack(1);
    let mut bob = Raw::connect(address, device);
    bob.register("bob", "a password of bob");
    let told = strangers.remove(0).try_receive();
    assert!(matches!(told, Ok(ServerMsg::Busy { retry_after_ms: 1.. })), "{told:?}");
    let after = cluster.leader();
    assert_eq!((after.seat, after.term), (before.seat, before.term));
}

/// One address has so many places and no more: it takes its own away from itself, and nothing
/// from anybody else.
#[test]
fn an_address_that_has_its_share_displaces_itself_alone() {
    let cluster = Cluster::setup().plain().start(1);
    let address = cluster.address(cluster.leader().seat);
    let (greedy, modest) = (cluster.elsewhere(0), cluster.elsewhere(1));
    let device = DeviceId([2; 16]);
    let mut other = Raw::open_from(modest, address, device);
    let mut crowd: Vec<Raw> = (0..limits::STRANGERS_PER_ADDRESS)
        .map(|_| Raw::open_from(greedy, address, device))
        .collect();
    wait_until(Duration::from_secs(10), "the oldest of them gives way", || {
        let mut late = Raw::open_from(greedy, address, device);
        late.hello(true);
        match late.try_receive() {
            Ok(ServerMsg::Busy { retry_after_ms: 1.. }) => None,
            Ok(ServerMsg::Welcome(_)) => Some(()),
            said => panic!("a full server answered {said:?}"),
        }
    });
    let told = crowd.remove(0).try_receive();
    assert!(matches!(told, Ok(ServerMsg::Busy { retry_after_ms: 1.. })), "{told:?}");
    other.hello(true);
    let said = other.try_receive();
    assert!(matches!(said, Ok(ServerMsg::Welcome(_))), "{said:?}");
}
