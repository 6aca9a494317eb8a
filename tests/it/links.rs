//! Two clusters with keys and operators of their own: people of one write to people of the other.

use crate::harness::{Cluster, LEADER, Said, Stores, over_every_store, wait_until};
use crate::support::tcp_proxy::{Flow, TcpProxy};
use std::time::Duration;

over_every_store! {
    a_message_crosses_and_the_answer_comes_back,
    what_was_read_there_shows_here,
    both_clusters_lose_power_and_go_on_where_they_were,
}

/// Messages appear within this time, also over an election on either side.
const SOON: Duration = Duration::from_secs(20);

/// `west` and `east`, on one network, that trust each other.
fn linked(stores: Stores) -> (Cluster, Cluster) {
    // A database server for each of six servers is more than a small machine bears.
    let servers = if stores == Stores::Embedded { 3 } else { 1 };
    let west = stores.setup().named("west").start(servers);
    let east = stores.setup().named("east").beside(&west).start(servers);
    west.leader();
    east.leader();
    trust(&west, &east);
    trust(&east, &west);
    (west, east)
}

/// The operator of `one` knows the key of the `other` cluster.
fn trust(one: &Cluster, other: &Cluster) {
    one.trusts(other.address(other.leader().seat), &other.fingerprint());
}

fn texts(said: &[Said], by: &str) -> Vec<String> {
    said.iter().filter(|said| said.from == by).map(|said| said.text.clone()).collect()
}

fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("{prefix} {number}")).collect()
}

fn a_message_crosses_and_the_answer_comes_back(stores: Stores) {
    let (west, east) = linked(stores);
    let (alice, bob) = (west.person("alice"), east.person("bob"));
    bob.register();
    let hears_b = bob.tail();
    let sent = alice.send("bob@east", &["hello bob", "how is the east?"]);
    let heard = hears_b.wait_for(2, SOON);
    assert_eq!(texts(&heard, "alice@west"), ["hello bob", "how is the east?"]);
    let ids = |said: &[Said]| said.iter().map(|said| said.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&heard), ids(&sent), "a message has the same id everywhere");

    let hears_a = alice.tail();
    bob.send("alice@west", &["sunny"]);
    wait_until(SOON, "alice sees the answer", || {
        (texts(&hears_a.said(), "bob@east") == ["sunny"]).then_some(())
    });
    // Nobody is there who was never asked for.
    let output = alice.run(&["--send", "nobody@east"], &["x"]);
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    let output = alice.run(&["--send", "bob@north"], &["x"]);
    assert_eq!(output.status.code(), Some(64), "{output:?}");
    let why = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(why.contains("no link"), "{why}");
    west.same_state();
    east.same_state();
}

fn what_was_read_there_shows_here(stores: Stores) {
    let (west, east) = linked(stores);
    let (alice, bob) = (west.person("alice"), east.person("bob"));
    bob.register();
    alice.send("bob@east", &["first"]);
    let mut at_alice = alice.screen();
    at_alice.wait_for(SOON, "bob@east");
    at_alice.keys("/msg bob@east did you get it?\r");
    at_alice.wait_for(SOON, "✓     alice  did you get it?");
    let tail = bob.tail();
    tail.wait_for(2, SOON);
    at_alice.wait_for(SOON, "✓✓    alice  did you get it?");
}

/// Both sides lose their leaders, one after the other, while messages go both ways.
#[test]
fn nothing_is_lost_or_doubled_while_leaders_die_on_both_sides() {
    let (mut west, mut east) = linked(Stores::Embedded);
    let (alice, bob) = (west.person("alice"), east.person("bob"));
    bob.register();
    alice.register();
    let (hears_a, hears_b) = (alice.tail(), bob.tail());
    let count = if long() { 100_000 } else { 3_000 };
    let (there, back) = (numbered("there", count), numbered("back", count / 10));
    let sends_a = alice.start_sending("bob@east", &there);
    let sends_b = bob.start_sending("alice@west", &back);
    for round in 1..=2 {
        let want = round * count / 3;
        wait_until(SOON * 6, "messages flow", || {
            (texts(&hears_b.said(), "alice@west").len() >= want).then_some(())
        });
        for cluster in [&mut west, &mut east] {
            let old = cluster.leader();
            cluster.kill(old.seat);
            wait_until(LEADER, "another leader", || {
                cluster.agreed().filter(|new| new.term > old.term)
            });
            cluster.up(old.seat);
        }
    }
    sends_a.ended(SOON * 6);
    sends_b.ended(SOON * 6);
    for (tail, from, sent) in [(hears_b, "alice@west", &there), (hears_a, "bob@east", &back)] {
        wait_until(SOON * 6, "everything arrives", || {
            (texts(&tail.said(), from).len() >= sent.len()).then_some(())
        });
        assert_eq!(&texts(&tail.end(), from), sent, "once and in order");
    }
    west.leader();
    east.leader();
    west.same_state();
    east.same_state();
}

fn long() -> bool {
    std::env::var_os("RUSTCHAT_TEST_LONG").is_some()
}

/// How far each side has taken over the other's messages is in its own log.
fn both_clusters_lose_power_and_go_on_where_they_were(stores: Stores) {
    let (mut west, mut east) = linked(stores);
    let (alice, bob) = (west.person("alice"), east.person("bob"));
    bob.register();
    let tail = bob.tail();
    alice.send("bob@east", &["before"]);
    tail.wait_for(1, SOON);
    east.kill_all();
    alice.send("bob@east", &["while the east was away"]);
    west.kill_all();
    east.start_all();
    west.start_all();
    west.leader();
    east.leader();
    alice.send("bob@east", &["after"]);
    wait_until(SOON, "what was missed comes first", || (tail.said().len() >= 3).then_some(()));
    assert_eq!(texts(&tail.end(), "alice@west"), ["before", "while the east was away", "after"]);
    west.same_state();
    east.same_state();
}

/// A line that is cut, or that nothing comes through any more, is made again.
#[test]
fn a_line_that_is_cut_or_swallows_everything_is_made_again() {
    let west = Cluster::setup().named("west").start(1);
    // On other networks: each is found at its address alone.
    let east = Cluster::setup().named("east").start(1);
    west.leader();
    east.leader();
    let line = TcpProxy::start(west.address(1));
    east.trusts(line.address(), &west.fingerprint());
    trust(&west, &east);
    let (alice, bob) = (west.person("alice"), east.person("bob"));
    bob.register();
    let tail = bob.tail();
    let mut want = Vec::new();
    for (round, flow) in [Flow::Cut, Flow::Swallow].into_iter().cycle().take(4).enumerate() {
        line.set(flow);
        let text = format!("round {round}");
        alice.send("bob@east", &[&text]);
        want.push(text);
        line.set(Flow::Open);
        wait_until(SOON, "the line is made again", || {
            (tail.said().len() >= want.len()).then_some(())
        });
    }
    assert_eq!(texts(&tail.end(), "alice@west"), want);
}

/// `west` loses all servers and is restored from a backup that lacks the last messages. Its users
/// stay who they are, what the east has is not taken twice, and numbers that its devices give once
/// more are other messages.
#[test]
fn a_cluster_that_is_restored_from_a_backup_goes_on_once_it_is_trusted_again() {
    let west = Cluster::setup().named("west").start(1);
    let east = Cluster::setup().named("east").start(1);
    west.leader();
    east.leader();
    trust(&west, &east);
    trust(&east, &west);
    let mut west = west;
    let (alice, bob) = (west.person("alice"), east.person("bob"));
    bob.register();
    let tail = bob.tail();
    alice.send("bob@east", &["one", "two"]);
    tail.wait_for(2, SOON);
    let backup = west.home().join("west.backup").display().to_string();
    west.done(&["backup", "create", "--out", &backup]);
    alice.send("bob@east", &["three", "four"]);
    tail.wait_for(4, SOON);
    bob.send("alice@west", &["before the fire"]);

    west.kill(1);
    std::fs::remove_dir_all(&west.node(1).data).unwrap();
    let data = west.node(1).data.display().to_string();
    let conf = west.conf().display().to_string();
    west.done(&["backup", "restore", &backup, "--data", &data, "--node", "1", "--nodes", &conf]);
    west.up(1);
    west.leader();
    wait_until(SOON, "the east sees that the west has gone back", || {
        (east.link("west")?["state"] == "stopped").then_some(())
    });
    trust(&east, &west);
    // What the west had lost of the east's comes once more.
    let hears_a = alice.tail();
    wait_until(SOON, "what bob wrote is told again", || {
        texts(&hears_a.said(), "bob@east").contains(&"before the fire".to_owned()).then_some(())
    });
    alice.send("bob@east", &["three again", "four again", "five"]);
    wait_until(SOON, "the west's new messages come", || (tail.said().len() >= 7).then_some(()));
    let all = ["one", "two", "three", "four", "three again", "four again", "five"];
    assert_eq!(texts(&tail.end(), "alice@west"), all);
    assert_eq!(texts(&hears_a.end(), "bob@east"), ["before the fire"]);
    let kept = east.home().join("east.backup").display().to_string();
    east.done(&["backup", "create", "--out", &kept]);
    east.done(&["backup", "verify", &kept]);
}
