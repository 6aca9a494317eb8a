//! Who trusts whom: servers each other, clients a cluster, and nobody a stranger. Run
//! again with `cargo test --test it trust -- --nocapture`.

use crate::harness::{Cluster, ends, texts, wait_until};
use rustchat::tls;
use serde_json::json;
use std::path::Path;
use std::time::{Duration, SystemTime};

const SOON: Duration = Duration::from_secs(20);

/// Other keys of the same name.
fn other_keys(dir: &Path) {
    std::fs::remove_dir_all(dir).unwrap();
    tls::make_keys(dir, "test", SystemTime::now()).unwrap();
    for seat in 1..=3 {
        tls::make_node(dir, seat, false, SystemTime::now()).unwrap();
    }
}

#[test]
fn a_changed_key_is_a_hard_stop_until_a_person_forgets_the_old_one() {
    let mut cluster = Cluster::start(1);
    cluster.leader();
    let (alice, keys) = (cluster.person("alice"), cluster.home().join("keys"));
    alice.send("alice", &["before"]);
    let first = tls::authority_of(&keys).unwrap().to_string();
    let known = std::fs::read_to_string(alice.state().join("clusters.json")).unwrap();
    assert!(known.contains(&first), "{known}");

    cluster.kill(1);
    other_keys(&keys);
    let second = tls::authority_of(&keys).unwrap().to_string();
    cluster.up(1);
    cluster.leader();
    let server = cluster.address(1).to_string();
    let said = ends(&alice.run(&["--send", "alice", "--server", &server], &["no"]), 77);
    assert!(said.contains("THE KEY HAS CHANGED"), "{said}");
    assert!(said.contains(&first) && said.contains(&second), "{said}");
    assert!(said.contains("keys forget"), "it says what to do: {said}");
    // Nor does it help to ask the network, nor another device.
    let other = alice.elsewhere("tablet");
    let named = ["--send", "alice", "--server", &server, "--fingerprint", &first];
    let said = ends(&other.run(&named, &["no"]), 77);
    assert!(said.contains("THE KEY HAS CHANGED"), "{said}");

    ends(&other.keys(&["forget", "test"]), 64);
    let alice = cluster.person("alice");
    ends(&alice.keys(&["forget", "test"]), 0);
    alice.send("alice", &["after"]);
    let shown = ends(&alice.keys(&["show"]), 0);
    assert!(shown.contains(&second) && !shown.contains(&first), "{shown}");
}

#[test]
fn plain_and_encrypted_never_meet_halfway() {
    let mut plain = Cluster::setup().plain().start(1);
    let encrypted = Cluster::start(1);
    plain.leader();
    encrypted.leader();
    let (bob, eve) = (encrypted.person("bob"), plain.person("eve"));
    let to = plain.address(1).to_string();
    // What waits for a server would wait on: `status` asks once and says why.
    let said = encrypted.fails(3, &["status", "--node", &to, "--json"]);
    assert!(said.contains("no TLS there"), "{said}");
    let to = encrypted.address(1).to_string();
    let said = plain.fails(3, &["status", "--node", &to, "--json"]);
    assert!(said.contains("speaks TLS") && said.contains("--insecure-plain"), "{said}");
    bob.send("bob", &["encrypted"]);
    eve.send("eve", &["plain"]);
    let log = plain.node(1).wrote("log");
    assert!(log.contains("no TLS"), "a server without TLS says so: {log}");
}

#[test]
fn a_server_with_keys_of_another_cluster_is_a_stranger_to_all() {
    let mut cluster = Cluster::of(3);
    let keys = cluster.home().join("other-keys");
    std::fs::create_dir(&keys).unwrap();
    other_keys(&keys);
    cluster.up(1);
    cluster.up(2);
    let dir = keys.to_str().unwrap().to_owned();
    cluster.node(3).start(&["--keys", &dir]);
    cluster.leader_among(&[1, 2]);
    for seat in [1, 2] {
        let what = format!("server {seat} says that it refuses the stranger");
        wait_until(SOON, &what, || {
            let log = cluster.node(seat).wrote("log");
            log.contains("does not prove to be of this cluster").then_some(())
        });
    }
    assert_eq!(cluster.node(3).wrote("out").matches("leads in term").count(), 0);
}

#[test]
fn servers_at_swapped_addresses_are_not_taken_for_each_other() {
    let mut cluster = Cluster::of(3);
    cluster.up(2);
    cluster.up(3);
    cluster.leader_among(&[2, 3]);
    let text = std::fs::read_to_string(cluster.conf()).unwrap();
    let (two, three) = (cluster.host(2).to_string(), cluster.host(3).to_string());
    let text = text.replace(&two, "TWO").replace(&three, &two).replace("TWO", &three);
    std::fs::write(cluster.conf(), text).unwrap();
    cluster.up(1);
    for seat in [2, 3] {
        wait_until(SOON, "server 1 says whom it does not take for whom", || {
            let log = cluster.node(1).wrote("log");
            log.contains(&format!("node {seat} does not prove to be of this cluster")).then_some(())
        });
    }
    cluster.leader_among(&[2, 3]);
}

#[test]
fn a_key_is_renewed_while_the_server_runs_and_its_end_is_seen_coming() {
    let mut cluster = Cluster::of(3);
    let (keys, now) = (cluster.home().join("keys"), SystemTime::now());
    // Of the same authority, for nine days.
    let part = |name: &str| {
        let text = std::fs::read_to_string(keys.join(name)).unwrap();
        pem_contents(&text)
    };
    let authority = tls::Authority::new(part("cluster.crt"), part("cluster.key")).unwrap();
    let file = tls::node_file(&keys, 2);
    std::fs::write(&file, authority.node(2, now, 9).unwrap()).unwrap();
    cluster.start_all();
    cluster.leader();
    let is_expiring = |cluster: &Cluster| {
        let json = cluster.status_json();
        json["nodes"][1]["reasons"]
            .as_array()
            .is_some_and(|all| all.contains(&json!("cert_expiring")))
    };
    assert!(is_expiring(&cluster), "{}", cluster.status_json());
    let pid = cluster.node(2).pid();
    cluster.done(&["keys", "node", "2", "--renew"]);
    wait_until(SOON, "the renewed key counts", || (!is_expiring(&cluster)).then_some(()));
    assert_eq!(cluster.node(2).pid(), pid);
    // With it the others talk to it: also after they have started anew.
    cluster.kill(1);
    cluster.kill(3);
    cluster.up(1);
    cluster.up(3);
    cluster.leader();
    wait_until(SOON, "all three are well", || cluster.well());
}

fn pem_contents(text: &str) -> Vec<u8> {
    pem::parse(text).unwrap().into_contents()
}

#[test]
fn who_calls_itself_by_a_known_name_is_told_nothing() {
    let (cluster, other) = (Cluster::start(1), Cluster::start(1));
    let plain = Cluster::setup().plain().start(1);
    for cluster in [&cluster, &other, &plain] {
        cluster.leader();
    }
    let (alice, bob) = (cluster.person("alice"), other.person("bob"));
    alice.send("alice", &["known from now on"]);
    let key = tls::authority_of(&cluster.home().join("keys")).unwrap().to_string();
    let state = alice.state();
    let state = state.to_str().unwrap();
    // Another user on the same machine, whose device no cluster knows; another id, the same name.
    let to = other.address(1).to_string();
    for more in [&[][..], &["--trust-new"]] {
        let words = [&["--send", "bob", "--state", state, "--server", &to], more].concat();
        let said = ends(&bob.run(&words, &["a secret"]), 77);
        assert!(said.contains("THE KEY HAS CHANGED") && said.contains(&key), "{said}");
    }
    let to = plain.address(1).to_string();
    let words = ["--send", "bob", "--state", state, "--server", &to, "--insecure-plain"];
    let said = ends(&bob.run(&words, &["a secret"]), 77);
    assert!(said.contains("uses no TLS") && said.contains(&key), "{said}");
    for cluster in [other, plain] {
        assert_eq!(cluster.status_json()["nodes"][0]["sessions"], 0);
        let words = ["--send", "bob", "--server", &cluster.address(1).to_string()];
        let said = cluster.person("eve").run(&words, &["x"]);
        assert_eq!(said.status.code(), Some(64), "nobody of that name was registered");
    }
}

#[test]
fn only_the_key_that_was_named_will_do() {
    let cluster = Cluster::start(1);
    cluster.leader();
    let alice = cluster.person("alice");
    let wrong = tls::Authority::make("test", SystemTime::now()).unwrap().fingerprint().to_string();
    let output = alice.run(
        &["--send", "alice", "--server", &cluster.address(1).to_string(), "--fingerprint", &wrong],
        &["x"],
    );
    let said = ends(&output, 77);
    assert!(said.contains("THE KEY HAS CHANGED"), "{said}");
    let right = tls::authority_of(&cluster.home().join("keys")).unwrap().to_string();
    let output = alice.run(&["--send", "alice", "--fingerprint", &right], &["x"]);
    assert!(output.status.success(), "{}", texts(&output).1);
}
