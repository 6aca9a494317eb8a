//! Members that come and go.

use crate::harness::{Cluster, Path, wait_until};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_fourth_server_learns_then_votes_then_goes() {
    let mut cluster = Cluster::start(3);
    cluster.healthy();
    let alice = cluster.person("alice");
    alice.register();
    alice.send("alice", &["before"]);
    cluster.extra(4);
    let host = cluster.host(4).to_string();
    let said = cluster.done(&["member", "add", "4", &host, "--dry-run"]);
    assert!(said.contains("it would be done: 3 voters, 2 needed"), "{said}");
    assert!(!cluster.done(&["member", "list"]).contains("n4"), "nothing was done");

    let said = cluster.done(&["member", "add", "4", &host]);
    assert!(said.contains("node 4 is a learner"), "{said}");
    let list = cluster.done(&["member", "list"]);
    assert!(list.contains("n4   learner") && list.contains("waits for `member promote`"), "{list}");
    let said = cluster.fails(5, &["member", "promote", "4"]);
    assert!(said.contains("node 4 is not connected"), "{said}");
    let json = cluster.status_json();
    assert_eq!(json["quorum"]["voters"], 3, "{json}");

    cluster.node(4).start(&["--rejoin"]);
    let said = wait_until(SOON, "it has caught up and is promoted", || {
        let output = cluster.rustchat(&["member", "promote", "4"]);
        output.status.success().then(|| crate::harness::texts(&output).0)
    });
    assert!(said.contains("node 4 votes: 4 voters, 3 needed, 4 up"), "{said}");
    let state = cluster.same_state();
    assert_eq!(state.len(), 4);
    wait_until(SOON, "all is well with four", || {
        cluster.well().filter(|json| json["quorum"]["voters"] == 4)
    });
    // It counts: with one of the four gone, the other three go on, it among them.
    cluster.kill(1);
    cluster.leader();
    alice.send("alice", &["while the first is away"]);
    cluster.up(1);
    cluster.same_state();

    let said = cluster.fails(64, &["member", "remove", "4"]);
    assert!(said.contains("add --yes"), "{said}");
    let said = cluster.done(&["member", "remove", "4", "--yes"]);
    assert!(said.contains("node 4 is no member any more"), "{said}");
    let status = cluster.node(4).ended(SOON);
    assert_eq!(status.code(), Some(65), "{}", cluster.node(4).wrote("log"));
    assert!(cluster.node(4).wrote("log").contains("is no member any more"));
    let list = cluster.done(&["member", "list"]);
    assert!(!list.contains("n4"), "{list}");
    alice.send("alice", &["after"]);
}

#[test]
fn a_member_with_a_wrong_address_changes_no_majority() {
    let cluster = Cluster::start(3);
    cluster.healthy();
    let alice = cluster.person("alice");
    alice.register();
    cluster.done(&["member", "add", "5", "127.0.0.9", "--client", "1", "--peer", "2"]);
    let json = cluster.status_json();
    assert_eq!(json["quorum"]["voters"], 3, "{json}");
    assert_eq!(json["quorum"]["needed"], 2);
    alice.send("alice", &["writes go on"]);
    let said = cluster.fails(5, &["member", "add", "5", "127.0.0.9"]);
    assert!(said.contains("there is a node 5 already"), "{said}");
    cluster.done(&["member", "remove", "5", "--yes"]);
    alice.send("alice", &["and on"]);
}

#[test]
fn a_member_that_the_majority_needs_is_not_removed_and_a_dead_one_is() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.healthy().seat;
    let others: Vec<u32> = cluster.seats().into_iter().filter(|seat| *seat != leader).collect();
    cluster.kill(others[0]);
    let refused = || {
        let output = cluster.rustchat(&["member", "remove", "--yes", &others[1].to_string()]);
        (output.status.code() == Some(5)).then(|| crate::harness::texts(&output).1)
    };
    let said = wait_until(SOON, "the one that is needed stays", refused);
    assert!(said.contains("there would be no majority"), "{said}");
    let said = cluster.done(&["member", "remove", "--yes", &others[0].to_string()]);
    assert!(said.contains("is no member any more"), "{said}");
    let json = cluster.status_json();
    assert_eq!(json["quorum"]["voters"], 2, "{json}");
    // Two of two: either may go, and the other one is a cluster of one.
    let said = cluster.done(&["member", "remove", "--yes", &leader.to_string()]);
    assert!(said.contains("is no member any more"), "{said}");
    let said = cluster.fails(5, &["member", "remove", "--yes", &others[1].to_string()]);
    assert!(said.contains("the only voter"), "{said}");
}

#[test]
fn the_leader_is_removed_after_it_has_handed_over() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.healthy().seat;
    let said = cluster.done(&["member", "remove", "--yes", &leader.to_string()]);
    assert!(said.contains(&format!("node {leader} is no member any more")), "{said}");
    assert_eq!(cluster.node(leader).ended(SOON).code(), Some(65));
    let left: Vec<u32> = cluster.seats().into_iter().filter(|seat| *seat != leader).collect();
    wait_until(SOON, "the other two have a leader", || cluster.agreed_among(&left));
    let alice = cluster.person("alice");
    alice.register();
    alice.send("alice", &["it goes on"]);
}

/// A leader that is cut off does not know it at once, and takes the order: it is not done, and
/// nobody is told that it was.
#[test]
fn an_order_that_is_not_committed_is_not_called_done() {
    let cluster = Cluster::setup().proxied().start(3);
    let old = cluster.healthy().seat;
    let (admin, host) = (cluster.admin(old).to_string(), cluster.host(1).to_string());
    cluster.paths().part(&[old], 3, Path::Swallow);
    let order = ["member", "add", "7", &host, "--client", "1", "--peer", "2", "--admin", &admin];
    let said = cluster.fails(75, &order);
    assert!(said.contains("not committed in time") || said.contains("no leader"), "{said}");
    let others: Vec<u32> = cluster.seats().into_iter().filter(|seat| *seat != old).collect();
    wait_until(SOON, "the other two have a leader", || cluster.agreed_among(&others));
    cluster.paths().part(&[old], 3, Path::Open);
    let after = cluster.leader();
    cluster.same_state();
    assert_ne!(after.seat, old);
    let list = cluster.done(&["member", "list"]);
    assert!(!list.contains("n7"), "what a majority never had is gone: {list}");
}
