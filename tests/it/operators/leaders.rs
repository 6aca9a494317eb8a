//! Leadership that moves on an operator's order, and servers that are drained.

use super::{follower, get};
use crate::harness::{Cluster, wait_until};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(15);

#[test]
fn leadership_goes_where_it_is_told_and_success_means_that_it_is_there() {
    let cluster = Cluster::start(3);
    let before = cluster.healthy();
    let to = follower(&cluster);
    let said = cluster.done(&["leader", "transfer", &to.to_string()]);
    assert!(said.starts_with(&format!("node {to} leads in term ")), "{said}");
    // It may take a moment until the last one has heard of it.
    let after = cluster.leader();
    assert_eq!(after.seat, to);
    assert!(after.term > before.term);
    let shown = cluster.done(&["leader", "show"]);
    assert!(shown.starts_with(&format!("n{to} leads in term {}", after.term)), "{shown}");

    let said = cluster.fails(5, &["leader", "transfer", &to.to_string()]);
    assert!(said.contains("leads already"), "{said}");
    let said = cluster.fails(5, &["leader", "transfer", "9"]);
    assert!(said.contains("node 9 is no voter"), "{said}");

    cluster.done(&["leader", "step-down"]);
    assert_ne!(cluster.leader().seat, to);
    let cause = wait_until(SOON, "somebody tells why", || {
        let json = cluster.status_json();
        json["last_leader"]["cause"].as_str().map(str::to_owned)
    });
    assert_eq!(cause, "transfer");
}

#[test]
fn without_a_majority_orders_are_not_done_and_questions_are_answered() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader().seat;
    let gone: Vec<u32> = cluster.seats().into_iter().filter(|seat| *seat != leader).collect();
    gone.iter().for_each(|seat| cluster.kill(*seat));
    wait_until(SOON, "nobody leads", || {
        (cluster.rustchat(&["leader", "show"]).status.code() == Some(2)).then_some(())
    });
    let said = cluster.fails(2, &["leader", "show"]);
    assert!(said.contains(&format!("n{leader} led in term")), "{said}");
    let list = cluster.done(&["member", "list"]);
    assert_eq!(list.lines().count(), 4, "{list}");
    assert_eq!(list.matches("unreachable").count(), 2, "{list}");
    for order in [&["member", "remove", "--yes", "2"][..], &["leader", "step-down"]] {
        let said = cluster.fails(75, order);
        assert!(said.contains("no leader"), "{said}");
    }
    gone.iter().for_each(|seat| cluster.up(*seat));
    cluster.leader();
    assert_eq!(cluster.done(&["member", "list"]).matches(" yes ").count(), 3);
    cluster.seats().iter().for_each(|seat| cluster.kill(*seat));
    let said = cluster.fails(3, &["member", "remove", "--yes", "2"]);
    assert!(said.contains("no server on this machine takes orders"), "{said}");
}

#[test]
fn a_drained_server_sends_its_clients_elsewhere_and_leads_no_more() {
    let cluster = Cluster::start(3);
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    bob.register();
    let tail = bob.tail();
    alice.register();
    alice.send("bob", &["before"]);
    tail.wait_for(1, SOON);
    let leader = cluster.healthy().seat;
    // Whichever server bob's client is on: in the end it is the only one that is left.
    let other = follower(&cluster);
    for seat in [other, leader] {
        let said = cluster.done(&["drain", &seat.to_string(), "--wait"]);
        assert!(said.contains(&format!("node {seat} is drained")), "{said}");
        assert!(said.contains("it may stop"), "{said}");
        let (code, body) = get(cluster.admin(seat), "/readyz").unwrap();
        assert_eq!(code, 503);
        assert!(body.contains("[-]draining yes"), "{body}");
        if seat == other {
            cluster.done(&["undrain", &seat.to_string()]);
        }
    }
    assert_ne!(cluster.leader().seat, leader);
    alice.send("bob", &["after"]);
    tail.wait_for(2, SOON);
    let json = cluster.status_json();
    let id = leader.to_string();
    let own = json["nodes"].as_array().unwrap().iter().find(|n| n["id"] == id);
    let own = own.unwrap();
    assert_eq!(own["sessions"], 0, "{own}");
    assert!(own["reasons"].to_string().contains("\"draining\""), "{own}");
    cluster.done(&["undrain", &leader.to_string()]);
    wait_until(SOON, "all is well again", || cluster.well());
    tail.end();
}

#[test]
fn a_server_that_the_majority_needs_is_not_drained() {
    let mut cluster = Cluster::start(3);
    let seat = follower(&cluster);
    let leader = cluster.healthy().seat;
    let third = cluster.seats().into_iter().find(|s| ![seat, leader].contains(s)).unwrap();
    cluster.kill(third);
    let refused = || {
        let output = cluster.rustchat(&["drain", &seat.to_string()]);
        (output.status.code() == Some(5)).then(|| crate::harness::texts(&output).1)
    };
    let said = wait_until(SOON, "it is refused once the other one is missed", refused);
    assert!(said.contains("there would be no majority"), "{said}");
    cluster.up(third);
    let said = wait_until(SOON, "with all of them it is done", || {
        let output = cluster.rustchat(&["drain", &seat.to_string(), "--dry-run"]);
        output.status.success().then(|| crate::harness::texts(&output).0)
    });
    assert!(said.contains("would be drained"), "{said}");
    wait_until(SOON, "nothing was done", || cluster.well());
}
