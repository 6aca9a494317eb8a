//! More than a server takes: it says so, and the cluster keeps its leader.

use crate::harness::{Cluster, Raw, wait_until};
use rustchat::chat::ids::DeviceId;
use rustchat::limits;
use rustchat::wire::message::ServerMsg;
use std::time::Duration;

/// Strangers take every place before the login; the next one is told to come back, nobody's
/// session ends, nobody is elected, and once they are gone there is room again.
#[test]
fn a_full_server_says_busy_and_the_cluster_keeps_its_leader() {
    let cluster = Cluster::start(3);
    let before = cluster.leader();
    let follower = cluster.seats().into_iter().find(|seat| *seat != before.seat).unwrap();
    let address = cluster.address(follower);
    let mut alice = Raw::connect(address, DeviceId([1; 16]));
    alice.register("alice", "a password of alice");
    alice.resume(vec![]);

    let device = DeviceId([2; 16]);
    let strangers: Vec<Raw> =
        (0..limits::SESSIONS_BEFORE_LOGIN).map(|_| Raw::open(address, device)).collect();
    let retry = wait_until(Duration::from_secs(5), "the server is full", || {
        let mut late = Raw::open(address, device);
        late.hello(true);
        match late.try_receive() {
            Ok(ServerMsg::Busy { retry_after_ms }) => Some(retry_after_ms),
            Ok(ServerMsg::Welcome(_)) => None,
            other => panic!("a full server answered {other:?}"),
        }
    });
    assert!(retry > 0, "it says when to come back");
    let me = rustchat::chat::command::Target::User(alice.user);
    alice.say(me, 1, &["while it is full"]);
    alice.ack(1);
    let after = cluster.leader();
    assert_eq!((after.seat, after.term), (before.seat, before.term));
    drop(strangers);
    let mut next = Raw::connect(address, device);
    next.register("bob", "a password of bob");
}
