//! A majority is lost for good: the cluster goes on with what one server has, the others'
//! old data is refused, and new servers join.

use crate::harness::{
    Cluster, Documents, LEADER, Person, Raw, Stores, copy, ends, over_every_store, wait_until,
};
use rustchat::chat::command::Target;
use rustchat::chat::ids::DeviceId;
use rustchat::wire::message::ServerMsg;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

over_every_store!(
    one_of_three_goes_on_with_everything_that_it_acknowledged,
    a_recovery_is_refused_wherever_it_could_lose_more,
    clients_of_a_recovered_cluster_neither_miss_nor_repeat,
);

/// Refused by a safety check.
const REFUSED: i32 = 5;
/// Refused by the other servers: sysexits' EX_DATAERR.
const DAMAGED: i32 = 65;
const SOON: Duration = Duration::from_secs(20);

/// Makes a server's plan.
#[track_caller]
fn plan(cluster: &mut Cluster, seat: u32, name: &str) -> PathBuf {
    let file = cluster.home().join(name);
    let out = file.to_str().unwrap().to_owned();
    ends(&cluster.node(seat).tool(&["recover", "plan", "--out", &out]), 0);
    file
}

fn read(plan: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(plan).unwrap()).unwrap()
}

#[track_caller]
fn merge(cluster: &Cluster, plans: &[&Path], out: &str) -> (PathBuf, String) {
    let file = cluster.home().join(out);
    let mut command = cluster.program();
    command.args(["recover", "plan", "--out"]).arg(&file).arg("--merge").args(plans);
    let said = ends(&command.output().unwrap(), 0);
    (file, said)
}

#[track_caller]
fn recover(cluster: &mut Cluster, seat: u32, plan: &Path, accept: &str, code: i32) -> String {
    let plan = plan.to_str().unwrap().to_owned();
    let words = ["recover", "quorum", "--plan", &plan, "--accept-data-loss", accept];
    ends(&cluster.node(seat).tool(&words), code)
}

/// The server's disk is gone: a new one is in its place.
fn new_disk(cluster: &mut Cluster, seat: u32) {
    let node = cluster.node(seat);
    if node.store().is_some() {
        Documents::of(node).drop_all();
    } else {
        std::fs::remove_dir_all(&node.data).unwrap();
    }
}

#[track_caller]
fn wait_for_voters(cluster: &Cluster, count: u64) {
    wait_until(SOON, &format!("{count} voters"), || {
        let leader = cluster.agreed()?;
        let all = cluster.status();
        let voters = all.iter().filter(|node| node.reachable && node.json["voter"] == true);
        (voters.count() as u64 == count && leader.reachable).then_some(())
    });
}

/// Says texts through one server until it cannot acknowledge any more; the number of the last
/// one that it acknowledged.
fn say_until_lost(cluster: &mut Cluster, raw: &mut Raw, to: Target) -> u64 {
    let texts: Vec<_> = (1..=600).map(|number| format!("m{number}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    raw.say(to, 1, &texts[..200]);
    let mut acked = raw.ack(200).upto;
    for at in (200..600).step_by(20) {
        raw.say(to, at as u64 + 1, &texts[at..at + 20]);
    }
    cluster.kill(1);
    cluster.kill(2);
    while let Ok(message) = raw.try_receive() {
        if let ServerMsg::Ack(ack) = message {
            acked = ack.upto.max(acked);
        }
    }
    acked
}

/// The texts that a person receives, once there are as many.
#[track_caller]
fn receives(person: &Person, at_least: usize) -> Vec<String> {
    let tail = person.tail();
    let said = tail.wait_for(at_least, SOON);
    drop(tail.end());
    said.into_iter().map(|said| said.text).collect()
}

/// Servers 1 and 2 wake up with their old data: refused, and they stop before they could agree
/// with each other.
fn old_servers_are_refused(cluster: &mut Cluster, term: u64) {
    for seat in [1, 2] {
        let old = cluster.node(seat).data.with_extension("old");
        if old.exists() {
            copy(&old, &cluster.node(seat).data.clone());
        }
        cluster.up(seat);
    }
    for seat in [1, 2] {
        let status = cluster.node(seat).ended(SOON);
        let log = cluster.node(seat).wrote("log");
        assert_eq!(status.code(), Some(DAMAGED), "{log}");
        assert!(log.contains("generation_mismatch"), "{log}");
        assert!(log.contains("generation 1") && log.contains("generation 2"), "{log}");
        assert!(log.contains("--rejoin"), "{log}");
    }
    let now = wait_until(LEADER, "seat 3 leads still", || cluster.agreed_among(&[3]));
    assert_eq!((now.seat, now.term), (3, term), "the old servers changed nothing");
}

fn one_of_three_goes_on_with_everything_that_it_acknowledged(stores: Stores) {
    let mut cluster = stores.start(3);
    cluster.leader();
    let bob = cluster.person("bob");
    bob.register();
    let mut alice = Raw::connect(cluster.address(3), DeviceId([7; 16]));
    alice.register("alice", "the password of alice");
    alice.resume(Vec::new());
    let to = Target::User(alice.lookup("bob"));
    let acked = say_until_lost(&mut cluster, &mut alice, to);
    drop(alice);
    cluster.kill(3);

    // The disks of 1 and 2 are gone, except for old copies of them.
    for seat in [1, 2] {
        if cluster.node(seat).store().is_none() {
            let data = cluster.node(seat).data.clone();
            std::fs::rename(&data, data.with_extension("old")).unwrap();
        }
    }

    let file = plan(&mut cluster, 3, "n3.plan");
    let (merged, said) = merge(&cluster, &[&file], "merged.plan");
    assert!(said.contains("go on with seat 3") && said.contains("no plan of seats 1, 2"), "{said}");
    let id = read(&file)["cluster"].as_str().unwrap().to_owned();
    let said = recover(&mut cluster, 3, &merged, &id, 0);
    assert!(said.contains("uncommitted entries kept: "), "{said}");
    assert!(said.contains("generation 2"), "{said}");

    cluster.up(3);
    let leader = wait_until(LEADER, "seat 3 leads alone", || {
        cluster.agreed_among(&[3]).filter(|node| node.seat == 3)
    });
    assert!(leader.term > read(&file)["term"].as_u64().unwrap(), "{leader:?}");
    let texts = receives(&bob, usize::try_from(acked).unwrap());
    let had: BTreeSet<_> = texts.iter().cloned().collect();
    for number in 1..=acked {
        assert!(had.contains(&format!("m{number}")), "{number} of {acked} acknowledged");
    }
    assert_eq!(had.len(), texts.len(), "none twice");

    old_servers_are_refused(&mut cluster, leader.term);

    // New disks join, and the cluster is one of three voters again.
    for seat in [1, 2] {
        new_disk(&mut cluster, seat);
        cluster.node(seat).start(&["--rejoin"]);
    }
    wait_for_voters(&cluster, 3);
    assert_eq!(cluster.status_json()["cluster"]["generation"], 2);
    let carol = cluster.person("carol");
    let sent = carol.send("bob", &["and on it goes"]);
    assert_eq!(sent.len(), 1);
    cluster.same_state();
    // Each of them carries it: one that was there before may go.
    cluster.kill(3);
    cluster.leader();
    assert_eq!(receives(&bob, 1), ["and on it goes"]);
}

fn a_recovery_is_refused_wherever_it_could_lose_more(stores: Stores) {
    let mut cluster = stores.start(3);
    let leader = cluster.leader();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    bob.register();
    alice.send("bob", &["one"]);
    cluster.same_state();
    let busy = cluster.home().join("busy.plan");
    let words = ["recover", "plan", "--out", busy.to_str().unwrap()];
    let said = ends(&cluster.node(1).tool(&words), REFUSED);
    assert!(said.contains("rustchat process") && !busy.exists(), "{said}");

    // One stays behind while the others go on.
    let behind = if leader.seat == 1 { 2 } else { 1 };
    let ahead = (1..=3).find(|seat| *seat != behind).unwrap();
    cluster.kill(behind);
    alice.send("bob", &["two", "three"]);
    cluster.kill_all();
    let (less, more) =
        (plan(&mut cluster, behind, "less.plan"), plan(&mut cluster, ahead, "more.plan"));
    let again = plan(&mut cluster, behind, "again.plan");
    assert_eq!(read(&less)["last"], read(&again)["last"], "a plan changes nothing");
    assert_eq!(read(&less)["id"], behind.to_string());
    let id = read(&less)["cluster"].as_str().unwrap().to_owned();
    let (merged, said) = merge(&cluster, &[&less, &more], "merged.plan");
    assert!(said.contains(&format!("go on with seat {ahead}")), "{said}");
    assert!(said.contains("are a majority"), "{said}");

    let said = recover(&mut cluster, behind, &merged, &id, REFUSED);
    assert!(said.contains(&format!("seat {ahead} has more")), "{said}");
    let said = recover(&mut cluster, behind, &more, &id, REFUSED);
    assert!(said.contains("does not know the data here"), "{said}");
    let said = recover(&mut cluster, behind, &less, &"0".repeat(32), REFUSED);
    assert!(said.contains("another cluster"), "{said}");

    // Nothing was changed by all that: the three are the cluster that they were.
    cluster.start_all();
    cluster.leader();
    wait_for_voters(&cluster, 3);
    alice.send("bob", &["four"]);
    assert_eq!(cluster.same_state().len(), 3);
    cluster.kill_all();
    let said = recover(&mut cluster, behind, &less, &id, REFUSED);
    assert!(said.contains("has changed since the plan was made"), "{said}");
}

fn clients_of_a_recovered_cluster_neither_miss_nor_repeat(stores: Stores) {
    let mut cluster = stores.start(3);
    cluster.leader();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    bob.register();
    let kept = alice.send("bob", &["kept 1", "kept 2", "kept 3"]);
    assert_eq!(receives(&bob, 3), ["kept 1", "kept 2", "kept 3"]);
    // Dave stays where he is, through all that follows.
    let dave = cluster.person("dave");
    dave.register();
    let live = dave.tail();
    alice.send("dave", &["kept 4"]);
    live.wait_for(1, SOON);
    cluster.same_state();
    // What two servers acknowledge without the third is lost with them.
    cluster.kill(3);
    cluster.leader();
    let lost = alice.send("bob", &["lost 1", "lost 2"]);
    assert_eq!(receives(&bob, 2), ["lost 1", "lost 2"]);
    alice.send("dave", &["lost 3"]);
    live.wait_for(2, SOON);
    let carol = cluster.person("carol");
    carol.send("bob", &["lost too"]);
    cluster.kill_all();

    let file = plan(&mut cluster, 3, "n3.plan");
    let id = read(&file)["cluster"].as_str().unwrap().to_owned();
    recover(&mut cluster, 3, &file, &id, 0);
    cluster.up(3);
    wait_until(LEADER, "seat 3 leads alone", || cluster.agreed_among(&[3]));
    // Alice's device had numbers that the cluster does not know any more: they are not used for
    // other messages, not even in the same place.
    let sent = alice.send("bob", &["new 1", "new 2"]);
    assert_eq!(sent[0].seq, lost[0].seq, "in the place of a lost one");
    assert!(lost.iter().all(|lost| sent.iter().all(|new| new.id != lost.id)), "{sent:?} {lost:?}");
    assert_eq!(kept.len(), 3);
    assert_eq!(receives(&bob, 2), ["new 1", "new 2"]);
    alice.send("dave", &["new 3"]);
    live.wait_for(3, SOON);
    let heard: Vec<_> = live.end().into_iter().map(|said| said.text).collect();
    assert_eq!(heard, ["kept 4", "lost 3", "new 3"]);
    for home in [bob.home(), dave.home()] {
        let log = std::fs::read_to_string(home.join("tail.log")).unwrap();
        assert!(log.contains("recovered from what one server had"), "{log}");
    }
    // Carol was registered by servers that are lost: she is again, and her conversation is new.
    carol.send("bob", &["carol again"]);
    assert_eq!(receives(&bob, 1), ["carol again"]);
}

/// Each of two servers was made the only voter: they never become one cluster.
#[test]
fn two_servers_that_were_recovered_by_mistake_refuse_each_other() {
    let mut cluster = Cluster::start(3);
    cluster.leader();
    cluster.person("alice").send("alice", &["a note"]);
    cluster.same_state();
    cluster.kill_all();
    for seat in [1, 3] {
        let file = plan(&mut cluster, seat, &format!("n{seat}.plan"));
        let id = read(&file)["cluster"].as_str().unwrap().to_owned();
        recover(&mut cluster, seat, &file, &id, 0);
        cluster.up(seat);
    }
    let down = wait_until(SOON, "one of them ends", || {
        [1, 3].into_iter().find(|seat| !cluster.node(*seat).runs())
    });
    let status = cluster.node(down).ended(SOON);
    let log = cluster.node(down).wrote("log");
    assert_eq!(status.code(), Some(DAMAGED), "{log}");
    assert!(log.contains("--rejoin"), "{log}");
    cluster.node(down).start(&["--rejoin"]);
    wait_for_voters(&cluster, 2);
}
