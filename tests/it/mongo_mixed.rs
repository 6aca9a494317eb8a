//! One server on MongoDB and two with data directories: whoever leads, and whoever has to catch
//! up from whom.

use crate::harness::{Cluster, LEADER, Node, Person, Said, Stores, wait_until};
use serde_json::Value;
use std::time::Duration;

/// The server on MongoDB.
const MONGO: u32 = 1;
/// The servers with data directories.
const FILES: [u32; 2] = [2, 3];
/// Log bytes that bring a snapshot.
const SNAPSHOT: &str = "65536";
/// Far more than a log keeps then, sent in several goes: one entry is never purged in part.
const GOES: usize = 4;
/// Messages of a thousand bytes, in each.
const MUCH: usize = 100;
const SOON: Duration = Duration::from_secs(20);

/// A leader on each kind, one after the other, each killed; what is said under each arrives
/// once, and all have the same state.
#[test]
fn each_kind_of_server_leads_in_turn() {
    let mut cluster = Stores::Mixed.start(3);
    cluster.leader();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    bob.register();
    let tail = bob.tail();
    let mut sent = Vec::new();
    for round in 1..=2 {
        for seat in [MONGO, FILES[round % 2]] {
            make_lead(&mut cluster, seat, &alice, &mut sent);
            sent.extend(alice.send("bob", &[&format!("server {seat} leads")]));
            cluster.kill(seat);
            wait_until(LEADER, "another one leads", || cluster.agreed());
            sent.extend(alice.send("bob", &[&format!("server {seat} has died")]));
            cluster.up(seat);
            with_all(&cluster);
        }
    }
    assert_eq!(tail.wait_for(sent.len(), SOON), sent, "each once, in order");
    assert_eq!(cluster.same_state().len(), 3);
    assert_eq!(tail.end(), sent, "nothing came twice");
}

/// A server on MongoDB is sent a snapshot by one with a directory, and the other way round.
#[test]
fn snapshots_go_from_each_kind_of_server_to_the_other() {
    let mut cluster = Stores::Mixed.setup().option("--snapshot-log-bytes", SNAPSHOT).start(3);
    cluster.leader();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    bob.register();
    let mut sent = Vec::new();

    cluster.kill(MONGO);
    let from = cluster.leader().seat;
    assert!(FILES.contains(&from));
    catch_up(&mut cluster, from, MONGO, &alice, &mut sent);

    // Server 3 is away, and lacks what makes the first one lead.
    make_lead(&mut cluster, MONGO, &alice, &mut sent);
    cluster.kill(FILES[1]);
    let leader = cluster.leader().seat;
    assert_eq!(leader, MONGO, "the loss of a follower changes no leader");
    catch_up(&mut cluster, MONGO, FILES[1], &alice, &mut sent);

    // Either can stand in for the others.
    cluster.kill(FILES[0]);
    cluster.leader();
    assert_eq!(bob.tail().wait_for(sent.len(), SOON), sent, "each once, in order");
    cluster.up(FILES[0]);
    with_all(&cluster);
    assert_eq!(cluster.same_state().len(), 3);
}

/// Waits until so many servers answer and agree on who leads.
fn with(cluster: &Cluster, count: usize) -> u32 {
    let leader = wait_until(LEADER, &format!("{count} servers agree on a leader"), || {
        let up = cluster.status().iter().filter(|node| node.reachable).count();
        cluster.agreed().filter(|_| up == count)
    });
    leader.seat
}

fn with_all(cluster: &Cluster) -> u32 {
    with(cluster, cluster.seats().len())
}

/// Makes a server lead, with all three up before and after: another one misses a message, the
/// third one dies, and of the two that remain only one has it.
fn make_lead(cluster: &mut Cluster, seat: u32, alice: &Person, sent: &mut Vec<Said>) {
    let others: Vec<_> = cluster.seats().into_iter().filter(|other| *other != seat).collect();
    cluster.kill(others[0]);
    with(cluster, 2);
    sent.extend(alice.send("bob", &["not for all"]));
    cluster.kill(others[1]);
    cluster.up(others[0]);
    assert_eq!(with(cluster, 2), seat, "who has the message leads");
    cluster.up(others[1]);
    assert_eq!(with_all(cluster), seat);
}

/// The lines of a server's log with a message.
fn said(node: &Node, message: &str) -> Vec<Value> {
    let log = node.wrote("log");
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines.filter(|line| line["msg"] == message).collect()
}

/// `to` is down and misses so much that `from`, which leads, has to send it a snapshot.
fn catch_up(cluster: &mut Cluster, from: u32, to: u32, alice: &Person, sent: &mut Vec<Said>) {
    let text = "x".repeat(1000);
    let tries = said(cluster.node(from), "a snapshot was not delivered").len();
    for _ in 0..GOES {
        sent.extend(alice.send("bob", &vec![text.as_str(); MUCH]));
    }
    wait_until(SOON, "what the other one misses is purged: only a snapshot helps", || {
        let now = said(cluster.node(from), "a snapshot was not delivered");
        now[tries..].iter().any(|line| line["seat"] == to).then_some(())
    });
    let before = said(cluster.node(from), "sending a snapshot").len();
    cluster.up(to);
    wait_until(SOON, &format!("server {from} sends a snapshot to {to}"), || {
        let now = said(cluster.node(from), "sending a snapshot");
        now[before..].iter().any(|line| line["seat"] == to).then_some(())
    });
    assert_eq!(with_all(cluster), from);
    assert_eq!(cluster.same_state().len(), 3, "a snapshot from {from} to {to}");
}
