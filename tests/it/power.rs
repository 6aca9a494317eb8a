//! What was acknowledged survives: all servers killed at once, and with a
//! majority of the disks as the only witness.

use crate::harness::{Cluster, Said, Stores, over_every_store, texts, wait_until};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::Duration;

over_every_store! {
    what_was_acknowledged_survives_the_death_of_all_servers,
    an_acknowledged_message_lies_on_the_disks_of_a_majority,
    a_server_whose_log_is_gone_catches_up_by_snapshot,
}

/// All servers die while somebody sends; every acknowledged message is there once, in order,
/// on every server, after the restart.
fn what_was_acknowledged_survives_the_death_of_all_servers(stores: Stores) {
    let mut cluster = stores.start(3);
    cluster.leader();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    bob.register();
    alice.register();

    let mut sender = alice.chat(&["--send", "bob", "--json"]);
    sender.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = sender.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let feeding = std::thread::spawn(move || {
        for n in 1..=100_000 {
            if writeln!(stdin, "message {n}").is_err() {
                break;
            }
        }
    });
    let mut acknowledged = Vec::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    while acknowledged.len() < 2000 {
        acknowledged.push(Said::read(&lines.next().expect("a line a message").unwrap()));
    }
    cluster.kill_all();
    child.kill().unwrap();
    acknowledged
        .extend(lines.map_while(Result::ok).filter(|l| l.ends_with('}')).map(|l| Said::read(&l)));
    child.wait().unwrap();
    feeding.join().unwrap();

    cluster.start_all();
    cluster.leader();
    let tail = bob.tail();
    tail.wait_for(acknowledged.len(), Duration::from_secs(30));
    let got = tail.said();
    for (n, said) in acknowledged.iter().enumerate() {
        assert_eq!(said.text, format!("message {}", n + 1), "acknowledged in order");
        assert_eq!((got[n].seq, &got[n].id, &got[n].text), (said.seq, &said.id, &said.text));
    }
    let unique: std::collections::BTreeSet<_> = got.iter().map(|said| &said.text).collect();
    assert_eq!(unique.len(), got.len(), "nothing twice");
    cluster.same_state();
}

/// With the third server down from the start, an acknowledged message lies on both other disks.
fn an_acknowledged_message_lies_on_the_disks_of_a_majority(stores: Stores) {
    let mut cluster = stores.of(3);
    cluster.up(1);
    cluster.up(2);
    cluster.leader();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    bob.register();
    let said = alice.send("bob", &["a word for the disks"]);
    cluster.kill_all();

    for seat in [1, 2] {
        let output = cluster.node(seat).check(&["--dump"]);
        let (text, err) = texts(&output);
        assert!(output.status.success(), "server {seat}: {}: {err}", output.status);
        assert!(text.contains("a word for the disks"), "server {seat}:\n{text}");
        assert!(text.contains(&said[0].id), "server {seat}: {} in\n{text}", said[0].id);
    }
    cluster.start_all();
    cluster.leader();
    assert_eq!(bob.tail().wait_for(1, Duration::from_secs(10))[0].id, said[0].id);
}

/// A server that missed more than the log keeps catches up by a snapshot.
fn a_server_whose_log_is_gone_catches_up_by_snapshot(stores: Stores) {
    let mut cluster = stores.setup().option("--snapshot-log-bytes", "65536").start(3);
    let leader = cluster.leader().seat;
    let away = cluster.seats().into_iter().find(|seat| *seat != leader).unwrap();
    cluster.kill(away);
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    bob.register();
    let text = "x".repeat(1000);
    let lines = vec![text.as_str(); 1000];
    alice.send("bob", &lines);
    let snapshot = |cluster: &Cluster| {
        let all = cluster.status();
        all.iter().filter_map(|node| node.json["snapshot"]["index"].as_u64()).max().unwrap_or(0)
    };
    let taken = wait_until(Duration::from_secs(10), "a snapshot is taken", || {
        Some(snapshot(&cluster)).filter(|index| *index > 0)
    });
    cluster.up(away);
    wait_until(Duration::from_secs(20), "the one that was away has caught up", || {
        let node = cluster.status().into_iter().find(|node| node.seat == away)?;
        (node.applied >= taken).then_some(())
    });
    assert_eq!(cluster.same_state().len(), 3);
    // It can stand in for the others: with one of them gone, it serves what it was sent.
    cluster.kill(leader);
    cluster.leader();
    assert_eq!(bob.tail().wait_for(1000, Duration::from_secs(20)).len(), 1000);
}
