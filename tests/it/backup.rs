//! A backup holds everything, shows every damage, and becomes a new cluster, in which those who
//! knew the old one neither miss nor repeat anything.

use crate::harness::{Cluster, Person, Said, Stores, ends, over_every_store, wait_until};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

over_every_store!(
    a_backup_becomes_a_cluster_that_old_clients_find_their_way_in,
    a_stopped_server_is_backed_up_and_nothing_is_overwritten,
    a_running_cluster_is_backed_up_while_it_goes_on,
);

/// Refused by a safety check.
const REFUSED: i32 = 5;
/// Try again: sysexits' EX_TEMPFAIL.
const AGAIN: i32 = 75;
/// Damaged: sysexits' EX_DATAERR.
const DAMAGED: i32 = 65;
const SOON: Duration = Duration::from_secs(20);

fn rustchat(cluster: &Cluster, words: &[&str], file: &Path) -> Output {
    cluster.program().args(words).arg(file).output().unwrap()
}

/// Backs a stopped server up.
#[track_caller]
fn create(cluster: &mut Cluster, seat: u32, name: &str, code: i32) -> (PathBuf, String) {
    let file = cluster.home().join(name);
    let out = file.to_str().unwrap().to_owned();
    let said = ends(&cluster.node(seat).tool(&["backup", "create", "--out", &out]), code);
    (file, said)
}

/// Stops a server in order.
#[track_caller]
fn stop(cluster: &mut Cluster, seat: u32) {
    cluster.signal(seat, "TERM");
    assert!(cluster.node(seat).ended(SOON).success(), "a clean stop");
}

fn inspect(cluster: &Cluster, file: &Path) -> Value {
    let said = ends(&rustchat(cluster, &["backup", "inspect", "--json"], file), 0);
    serde_json::from_str(&said).unwrap()
}

#[track_caller]
fn restore(cluster: &mut Cluster, seat: u32, file: &Path, more: &[&str], code: i32) -> String {
    let (file, conf) = (file.to_str().unwrap().to_owned(), cluster.conf());
    let mut words = vec!["backup", "restore", &file];
    let (seat_text, conf) = (seat.to_string(), conf.to_str().unwrap().to_owned());
    if cluster.node(seat).store().is_none() {
        words.extend(["--node", &seat_text, "--nodes", &conf]);
    }
    words.extend(more);
    ends(&cluster.node(seat).tool(&words), code)
}

fn a_stopped_server_is_backed_up_and_nothing_is_overwritten(stores: Stores) {
    let mut cluster = stores.start(1);
    cluster.leader();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    bob.register();
    let lines: Vec<_> = (0..300).map(|n| format!("line {n}")).collect();
    alice.send("bob", &lines.iter().map(String::as_str).collect::<Vec<_>>());
    let (running, said) = create(&mut cluster, 1, "running.backup", REFUSED);
    assert!(!running.exists() && said.contains("rustchat process"), "{said}");
    // Also of what was not stopped in order everything that was acknowledged is there.
    cluster.kill(1);
    let (file, said) = create(&mut cluster, 1, "cluster.backup", 0);
    assert!(said.contains(": ok, ") && said.contains("300 messages"), "{said}");
    let mode = file.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "{mode:o}");
    let said = ends(&rustchat(&cluster, &["backup", "verify"], &file), 0);
    assert!(said.contains("whole"), "{said}");
    let head = inspect(&cluster, &file);
    assert_eq!(head["counts"]["messages"], 300);
    assert_eq!((&head["counts"]["users"], &head["offline"]), (&2.into(), &true.into()));
    assert_eq!(head["cluster"]["name"], "test");

    let whole = std::fs::read(&file).unwrap();
    let (_, said) = create(&mut cluster, 1, "cluster.backup", REFUSED);
    assert!(said.contains("is not overwritten"), "{said}");
    assert_eq!(std::fs::read(&file).unwrap(), whole);
    let said = restore(&mut cluster, 1, &file, &[], REFUSED);
    assert!(said.contains("--move-aside"), "{said}");

    let bad = cluster.home().join("bad.backup");
    let step = whole.len() / 12;
    for at in (0..whole.len()).step_by(step).chain([10, 20, 25, whole.len() - 1]) {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&bad, bytes).unwrap();
        ends(&rustchat(&cluster, &["backup", "verify"], &bad), DAMAGED);
    }
    for cut in [0, 1, 17, 100, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&bad, &whole[..cut]).unwrap();
        ends(&rustchat(&cluster, &["backup", "verify"], &bad), DAMAGED);
    }
    std::fs::write(&bad, [whole, b"more".to_vec()].concat()).unwrap();
    ends(&rustchat(&cluster, &["backup", "verify"], &bad), DAMAGED);
    ends(&rustchat(&cluster, &["backup", "inspect"], &bad), DAMAGED);
    // What is damaged is not restored, and nothing is moved for it.
    restore(&mut cluster, 1, &bad, &["--move-aside"], DAMAGED);
    cluster.up(1);
    cluster.leader();
    assert_eq!(bob.tail().wait_for(300, SOON).len(), 300);
}

fn a_running_cluster_is_backed_up_while_it_goes_on(stores: Stores) {
    let mut cluster = stores.start(3);
    cluster.leader();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    bob.register();
    let lines: Vec<_> = (0..2000).map(|n| format!("line {n}")).collect();
    let talk = alice.start_sending("bob", &lines);
    let acked = talk.wait_for(100, SOON).len();
    let conf = cluster.conf();
    let words = ["backup", "create", "--nodes", conf.to_str().unwrap()];
    let (file, lost) = (cluster.home().join("one.backup"), cluster.home().join("two.backup"));
    let create = |cluster: &Cluster, more: &[&str], file: &Path| {
        rustchat(cluster, &[&words, more, &["--out"]].concat(), file)
    };
    ends(&create(&cluster, &[], &file), 0);
    let head = inspect(&cluster, &file);
    assert!(head["counts"]["messages"].as_u64().unwrap() >= acked as u64, "{head}");
    assert_eq!((&head["stale"], &head["offline"]), (&false.into(), &false.into()));
    assert_eq!(head["members"].as_array().unwrap().len(), 3);
    talk.ended(SOON);

    // Without a majority nobody knows whether a server is up to date.
    cluster.kill(1);
    cluster.kill(2);
    ends(&create(&cluster, &[], &lost), 69);
    ends(&create(&cluster, &["--stale-ok"], &lost), 0);
    let head = inspect(&cluster, &lost);
    assert_eq!((&head["stale"], &head["seat"]), (&true.into(), &"3".into()));
    ends(&rustchat(&cluster, &["backup", "verify"], &lost), 0);
    cluster.kill(3);
    ends(&create(&cluster, &[], &cluster.home().join("three.backup")), 3);
}

/// A server whose admin port gives one answer, whatever it is asked.
fn answers(answer: Vec<u8>) -> (String, std::thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = [0; 1024];
        let count = stream.read(&mut asked).unwrap();
        // Who has heard enough may close the connection.
        drop(stream.write_all(&answer));
        String::from_utf8_lossy(&asked[..count]).into_owned()
    });
    (address, asked)
}

/// What `create` makes of the answer of a running server.
#[test]
fn what_a_running_server_sends_counts_only_when_it_is_whole() {
    let mut cluster = Cluster::start(1);
    cluster.leader();
    cluster.person("alice").send("alice", &["a note"]);
    cluster.kill(1);
    let (file, _) = create(&mut cluster, 1, "cluster.backup", 0);
    let whole = std::fs::read(&file).unwrap();
    let ok = [b"HTTP/1.0 200 OK\r\nserver: x\r\n\r\n".as_slice(), &whole].concat();
    let late = b"HTTP/1.1 503 Service Unavailable\r\n\r\nno majority answers".to_vec();
    let cut = ok[..ok.len() - 5].to_vec();
    let fetched = cluster.home().join("fetched.backup");
    for (answer, stale, code) in [(late, false, 69), (cut, true, AGAIN), (ok, true, 0)] {
        let (address, asked) = answers(answer);
        let mut words = vec!["backup", "create", "--node", &address];
        words.extend(stale.then_some("--stale-ok"));
        words.push("--out");
        ends(&rustchat(&cluster, &words, &fetched), code);
        let asked = asked.join().unwrap();
        let query = if stale { "?stale=1" } else { "" };
        assert!(asked.starts_with(&format!("GET /v1/backup{query} HTTP/1.")), "{asked}");
        assert_eq!(fetched.exists(), code == 0);
    }
    assert_eq!(std::fs::read(&fetched).unwrap(), whole);
    let parts = std::fs::read_dir(cluster.home()).unwrap().map(Result::unwrap);
    let parts = parts.filter(|file| file.file_name().to_string_lossy().ends_with(".part"));
    assert_eq!(parts.count(), 0, "nothing half-written is left");
    let nobody = cluster.address(1).to_string();
    let words = ["backup", "create", "--node", &nobody, "--out"];
    ends(&rustchat(&cluster, &words, &cluster.home().join("no.backup")), 3);
}

/// What the person hears until `last` is among it.
#[track_caller]
fn hears(person: &Person, last: &str) -> Vec<Said> {
    let tail = person.tail();
    let what = format!("{} hears {last:?}", person.name);
    wait_until(SOON, &what, || tail.said().iter().any(|said| said.text == last).then_some(()));
    tail.end()
}

fn said(all: &[Said]) -> Vec<&str> {
    all.iter().map(|said| said.text.as_str()).collect()
}

/// Alice sends while every server is killed: what she says after that stays in her outbox. Gives
/// how many lines were acknowledged.
#[track_caller]
fn interrupted(cluster: &mut Cluster, alice: &Person, lines: &[String]) -> usize {
    let mut command = alice.chat(&["--send", "bob", "--json"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let answers = BufReader::new(child.stdout.take().unwrap());
    let (first, rest) = lines.split_at(lines.len() / 10);
    let (first, rest) = (first.join("\n") + "\n", rest.join("\n") + "\n");
    // Beside the reader: a client whose answers nobody takes takes no more lines.
    let (go_on, may) = std::sync::mpsc::sync_channel::<()>(1);
    let writer = std::thread::spawn(move || {
        stdin.write_all(first.as_bytes()).unwrap();
        // The rest ends with the client, which may not take everything.
        if may.recv().is_ok() {
            drop(stdin.write_all(rest.as_bytes()));
        }
    });
    let acked = answers.lines().take(lines.len() / 10).map_while(Result::ok).count();
    cluster.kill_all();
    let before = bytes(alice.home());
    go_on.send(()).unwrap();
    wait_until(SOON, "much waits in the outbox", || {
        (bytes(alice.home()) > before + 200_000).then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    writer.join().unwrap();
    acked
}

/// Bytes of the files in a directory.
fn bytes(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).into_iter().flatten().map_while(Result::ok);
    let size = |entry: std::fs::DirEntry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => bytes(&entry.path()),
        _ => entry.metadata().map_or(0, |file| file.len()),
    };
    entries.map(size).sum()
}

fn a_backup_becomes_a_cluster_that_old_clients_find_their_way_in(stores: Stores) {
    let mut cluster = stores.start(3);
    cluster.leader();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    let carol = cluster.person("carol");
    bob.register();
    let before = alice.send("bob", &["before 1", "before 2", "before 3"]);
    assert_eq!(said(&hears(&bob, "before 3")), ["before 1", "before 2", "before 3"]);
    alice.send("bob", &["before 4"]);
    cluster.same_state();
    stop(&mut cluster, 3);
    let (file, _) = create(&mut cluster, 3, "cluster.backup", 0);
    cluster.up(3);

    // What happens after the backup is lost with the old cluster: bob has printed it under seqs
    // that other messages will have, and carol's conversation has a number that is given anew.
    alice.send("bob", &["lost 1", "lost 2"]);
    carol.send("bob", &["lost too"]);
    hears(&bob, "lost too");
    // More than are acknowledged before the servers die; a database takes fewer of them.
    let many = if stores == Stores::Embedded { 8000 } else { 2000 };
    let filler = "x".repeat(1000);
    let lines: Vec<_> = (1..=many).map(|n| format!("late {n} {filler}")).collect();
    let acked = interrupted(&mut cluster, &alice, &lines);

    let told = restore(&mut cluster, 1, &file, &["--move-aside"], 0);
    let id = told.split("cluster_id = \"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert_ne!(inspect(&cluster, &file)["cluster"]["id"], *id, "a new cluster");
    cluster.up(1);
    for seat in [2, 3] {
        cluster.node(seat).start(&["--rejoin"]);
    }
    wait_until(SOON, "three voters", || {
        let all = cluster.status();
        let voters = all.iter().filter(|node| node.reachable && node.json["voter"] == true);
        (voters.count() == 3 && cluster.agreed().is_some()).then_some(())
    });
    assert_eq!(cluster.status_json()["cluster"]["id"], *id);
    assert_eq!(cluster.same_state().len(), 3);

    // Alice's next chat first sends what waits in her outbox: once, under numbers that are new.
    let sent = alice.send("bob", &["after 1"]);
    assert!(sent[0].id.starts_with(&id), "an id of the new cluster: {sent:?}");
    let heard = hears(&bob, "after 1");
    let log = std::fs::read_to_string(bob.home().join("tail.log")).unwrap();
    assert!(log.contains("restored from a backup"), "{log}");
    let late: Vec<&str> =
        said(&heard).into_iter().filter(|text| text.starts_with("late")).collect();
    // As many as had come into the outbox; the last ones of those that were not acknowledged.
    let first = lines.iter().position(|line| Some(line.as_str()) == late.first().copied());
    let first = first.expect("some waited");
    let waited = &lines[first..first + late.len()];
    assert!(late == waited, "what was not acknowledged, in order and once");
    assert!(first >= acked, "{first} of {acked}");
    // Bob had printed `before 4`, and the backup did not know; he does not see it again.
    let others: Vec<&str> =
        said(&heard).into_iter().filter(|text| !text.starts_with("late")).collect();
    assert_eq!(others, ["after 1"], "no lost one comes back, none comes twice");
    assert_eq!(heard[0].seq, before[2].seq + 2, "in the place of a lost one");

    // Carol is registered anew; her conversation is not the one that was lost.
    carol.send("bob", &["carol again"]);
    assert_eq!(said(&hears(&bob, "carol again")), ["carol again"]);
}
