//! A server is where its database is: it goes on from any machine that knows the URL, and
//! comes back anew where the database has lost what the others know.

use crate::harness::{Cluster, Documents, NodeStatus, Stores, wait_until};
use mongodb::bson::{Document, doc};
use std::path::Path;
use std::time::Duration;

/// Corrupt data, or refused by the others: sysexits' EX_DATAERR.
const DAMAGED: i32 = 65;
/// How long a server may take to find out that it must not run, or to end.
const FIND_OUT: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_secs(20);

fn names(dir: &Path) -> Vec<String> {
    let all = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> =
        all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn node(cluster: &Cluster, seat: u32) -> NodeStatus {
    let found = cluster.status().into_iter().find(|node| node.seat == seat && node.reachable);
    found.unwrap_or_else(|| panic!("server {seat} does not answer"))
}

/// What lies on a server's machine besides what this test puts there.
fn beside(cluster: &mut Cluster, seat: u32) -> Vec<String> {
    let mut found = names(cluster.node(seat).home());
    let outputs = ["out", "log"].map(|kind| format!("node-{seat}.{kind}"));
    assert!(outputs.iter().all(|name| found.contains(name)), "{found:?}");
    let known = |name: &str| {
        let of_others = name.starts_with("home-") || name.contains("-machine-");
        let given = ["nodes.conf", "keys"].contains(&name);
        of_others || given || name.ends_with(".out") || name.ends_with(".log")
    };
    found.retain(|name| !known(name));
    found
}

/// Who a server is: what must not change, whatever machine it runs on.
fn who(documents: &Documents) -> Document {
    let node = documents.only("node");
    let keep = ["seat", "raft_id", "incarnation", "cluster", "generation"];
    keep.iter().map(|field| ((*field).to_owned(), node.get(field).unwrap().clone())).collect()
}

/// Every server goes to a machine on which there is nothing, once after an orderly end and once
/// after SIGKILL, with only the URL and nodes.conf.
#[test]
fn a_server_goes_on_from_a_machine_on_which_there_is_nothing() {
    let mut cluster = Stores::Mongo.start(3);
    let leader = cluster.leader();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    bob.register();
    let mut sent = alice.send("bob", &["one", "two"]);
    cluster.same_state();
    let all = cluster.seats();
    for (end, machine) in [("TERM", "second"), ("KILL", "third")] {
        let before: Vec<_> =
            all.iter().map(|seat| who(&Documents::of(cluster.node(*seat)))).collect();
        for seat in &all {
            cluster.signal(*seat, end);
            let ended = cluster.node(*seat).ended(FIND_OUT);
            assert_eq!(ended.success(), end == "TERM", "{ended}");
            assert_eq!(beside(&mut cluster, *seat), [""; 0], "server {seat}");
            cluster.node(*seat).moved(&format!("{machine}-machine-{seat}"));
        }
        cluster.start_all();
        assert!(cluster.leader().term >= leader.term, "no term is forgotten");
        for (seat, before) in all.iter().zip(before) {
            assert_eq!(who(&Documents::of(cluster.node(*seat))), before);
            let raft_id = before.get_i64("raft_id").unwrap().to_string();
            assert_eq!(node(&cluster, *seat).json["raft_id"], raft_id.as_str());
        }
        sent.extend(alice.send("bob", &[&format!("from the {machine} machine")]));
    }
    assert_eq!(bob.tail().wait_for(sent.len(), SOON), sent);
    cluster.same_state();
    for seat in all {
        assert_eq!(beside(&mut cluster, seat), [""; 0], "server {seat}");
    }
}

/// What happens to a database, in words and in deed.
type Loss = (&'static str, fn(&Documents));

/// A voter whose database has lost what it promised does not vote; `--rejoin` moves what is
/// there aside and brings it back with everything, as a new voter.
#[test]
fn a_database_that_was_emptied_is_refused_and_rejoins() {
    let losses: [Loss; 2] = [
        ("the log is emptied", |documents| documents.empty("log")),
        ("the database is dropped", Documents::drop_all),
    ];
    let mut cluster = Stores::Mixed.setup().proxied().start(3);
    cluster.leader();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    bob.register();
    let mut sent = Vec::new();
    for (what, lose) in losses {
        sent.extend(alice.send("bob", &["before", what]));
        cluster.same_state();
        cluster.signal(1, "TERM");
        assert!(cluster.node(1).ended(FIND_OUT).success(), "{what}: an orderly end");
        cluster.leader();
        let documents = Documents::of(cluster.node(1));
        let old = who(&documents);
        lose(&documents);
        let votes = cluster.paths().votes_of(1);
        cluster.up(1);
        let status = cluster.node(1).ended(FIND_OUT);
        let log = cluster.node(1).wrote("log");
        assert_eq!(status.code(), Some(DAMAGED), "{what}: {log}");
        assert!(log.contains("--rejoin"), "{what}: the way out is named: {log}");
        assert_eq!(cluster.paths().votes_of(1), votes, "{what}: no vote");

        let before = documents.collections();
        cluster.node(1).start(&["--rejoin"]);
        voter(&cluster, what);
        assert_moved_aside(&documents, &before);
        let new = who(&documents);
        assert_ne!(new.get("raft_id"), old.get("raft_id"), "{what}");
        assert_ne!(new.get("incarnation"), old.get("incarnation"), "{what}");
        assert_eq!(new.get("cluster"), old.get("cluster"), "{what}");
        assert_eq!(cluster.same_state().len(), 3, "{what}");
        let there = || (documents.find("messages", doc! {}).len() == sent.len()).then_some(());
        wait_until(SOON, "the messages are there again", there);

        // From now on it is a server like any other.
        cluster.kill(1);
        cluster.up(1);
        voter(&cluster, what);
        assert_eq!(who(&documents), new, "{what}");
    }
    assert_eq!(bob.tail().wait_for(sent.len(), SOON), sent);
}

#[track_caller]
fn voter(cluster: &Cluster, what: &str) {
    wait_until(SOON, &format!("{what}: the server is a voter again"), || {
        let node = cluster.status().into_iter().find(|node| node.seat == 1)?;
        (node.reachable && node.json["voter"] == true).then_some(())
    });
}

/// Every collection of before is there under another name, all with one beginning.
fn assert_moved_aside(documents: &Documents, before: &[String]) {
    let after = documents.collections();
    let moved: Vec<_> = before.iter().filter(|name| !name.starts_with("aside_")).collect();
    let fresh: Vec<_> = after
        .iter()
        .filter(|name| name.starts_with("aside_") && !before.contains(name))
        .map(|name| name.splitn(3, '_').collect::<Vec<_>>())
        .collect();
    assert!(moved.len() >= 2, "{before:?}");
    assert_eq!(fresh.iter().map(|parts| parts[2]).collect::<Vec<_>>(), moved);
    let epoch = fresh[0][1];
    assert!(epoch.parse::<u64>().is_ok(), "{after:?}");
    assert!(fresh.iter().all(|parts| parts[1] == epoch), "{after:?}");
    let node = documents.only(&format!("aside_{epoch}_node"));
    assert_eq!(node.get_i64("epoch").unwrap().to_string(), epoch);
}
