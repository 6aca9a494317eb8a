//! People write to each other, through whatever happens to the servers.

use crate::harness::{LEADER, Said, Stores, over_every_store, wait_until};
use std::time::Duration;

over_every_store! {
    two_people_on_two_servers_hear_each_other,
    what_was_missed_comes_first_and_only_once,
    the_conversation_goes_on_when_the_leader_dies,
    all_servers_die_while_sending_and_nothing_acknowledged_is_lost,
}

/// Messages appear within this time, also over an election.
const SOON: Duration = Duration::from_secs(15);

fn lines(prefix: &str, count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("{prefix} {number}")).collect()
}

fn spoken<'a>(said: &'a [Said], by: &str) -> Vec<&'a str> {
    said.iter().filter(|said| said.from == by).map(|said| said.text.as_str()).collect()
}

fn two_people_on_two_servers_hear_each_other(stores: Stores) {
    let cluster = stores.start(3);
    let leader = cluster.leader();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    alice.register();
    bob.register();
    let (hears_a, hears_b) = (alice.tail(), bob.tail());
    // One client each on both followers: the leader sends clients on in turn.
    wait_until(SOON, "a session on each follower and none on the leader", || {
        let all = cluster.status();
        let sessions = |n: &crate::harness::NodeStatus| n.json["sessions"].as_u64();
        all.iter().all(|n| sessions(n) == Some(u64::from(n.seat != leader.seat))).then_some(())
    });
    let first = alice.send("bob", &["hello bob", "how are you?"]);
    let heard = hears_b.wait_for(2, SOON);
    assert_eq!(heard, first, "bob sees exactly what alice was told is committed");
    bob.send("alice", &["fine, \u{1b}[31mand you? ✓"]);
    wait_until(SOON, "alice sees bob's answer", || {
        (spoken(&hears_a.said(), "bob") == ["fine, \u{1b}[31mand you? ✓"]).then_some(())
    });
}

fn what_was_missed_comes_first_and_only_once(stores: Stores) {
    let cluster = stores.start(3);
    cluster.leader();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    bob.register();
    let missed = lines("missed", 5);
    alice.send("bob", &missed.iter().map(String::as_str).collect::<Vec<_>>());
    let tail = bob.tail();
    assert_eq!(spoken(&tail.wait_for(5, SOON), "alice"), missed);
    tail.end();
    let tail = bob.tail();
    alice.send("bob", &["live"]);
    assert_eq!(spoken(&tail.wait_for(1, SOON), "alice"), ["live"], "the read ones do not return");
}

fn the_conversation_goes_on_when_the_leader_dies(stores: Stores) {
    let mut cluster = stores.start(3);
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    cluster.leader();
    bob.register();
    let tail = bob.tail();
    let mut sent = alice.send("bob", &["before"]);
    for round in 1..=2 {
        let old = cluster.leader();
        cluster.kill(old.seat);
        sent.extend(alice.send("bob", &[&format!("after {round}")]));
        wait_until(LEADER, "another leader", || cluster.agreed().filter(|new| new.term > old.term));
        cluster.up(old.seat);
        cluster.leader();
    }
    assert_eq!(tail.wait_for(sent.len(), SOON), sent);
    cluster.same_state();
}

fn all_servers_die_while_sending_and_nothing_acknowledged_is_lost(stores: Stores) {
    let mut cluster = stores.start(3);
    cluster.leader();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    bob.register();
    alice.register();
    let texts = lines("line", 3000);
    let sending = alice.start_sending("bob", &texts);
    let before = sending.wait_for(300, SOON);
    assert!(before.len() < texts.len(), "it must still be sending");
    cluster.kill_all();
    let acknowledged = sending.said();
    cluster.start_all();
    cluster.leader();
    let sent = sending.ended(Duration::from_secs(60));
    assert_eq!(spoken(&sent, "alice"), texts, "all are committed in the end");
    assert_eq!(&sent[..acknowledged.len()], acknowledged);
    let heard = bob.tail().wait_for(texts.len(), Duration::from_secs(30));
    assert_eq!(heard, sent, "each once, in order, where it was acknowledged to be");
    cluster.same_state();
}
