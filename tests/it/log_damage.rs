//! Every damage that a log's files may suffer, done to the files of a server of a
//! real cluster: it starts with everything or not at all.

use crate::harness::{Cluster, Raw, copy, wait_until};
use rustchat::chat::command::Target;
use rustchat::chat::ids::DeviceId;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Corrupt data: sysexits' EX_DATAERR.
const DAMAGED: i32 = 65;
/// How long a server may take to find out that it must not run, or to follow again.
const FIND_OUT: Duration = Duration::from_secs(20);
/// Bytes of one file of the log: so few that there are several.
const FILE_BYTES: &str = "6000";
/// Where the payload's length is in the record of an entry, four bytes, and the payload.
const LENGTH: usize = 20;
const PAYLOAD: usize = 24;

/// The files of the log in a data directory, oldest first.
fn files(data: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(data.join("log")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = all.filter(|path| path.extension().is_some()).collect();
    files.sort();
    files
}

/// Where the records of entries are in a file: number 1, term, index, length of the payload,
/// payload, checksum.
fn entries(bytes: &[u8]) -> Vec<Range<usize>> {
    let number = |at: usize| Some(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().unwrap()));
    let entry = |at: usize| {
        let sum = at + PAYLOAD + number(at + LENGTH)? as usize;
        let fits = number(at)? == 1 && number(sum)? == 0;
        let whole = fits && number(sum + 4)? == crc32fast::hash(&bytes[at..sum]);
        whole.then_some(at..sum + 8)
    };
    let (mut all, mut at) = (Vec::<Range<usize>>::new(), 0);
    while at < bytes.len() {
        let found = entry(at);
        at = found.as_ref().map_or(at + 1, |range| range.end);
        all.extend(found);
    }
    all
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Outcome {
    Refused,
    AllData,
}
use Outcome::{AllData, Refused};

/// Changes the bytes of one file; told where an entry in the middle and the last one are.
type Change = fn(&mut Vec<u8>, Range<usize>, Range<usize>);

/// What is done to one file of the log.
const CHANGES: [(&str, Outcome, Change); 17] = [
    ("a payload bit", Refused, |b, e, _| b[e.start + PAYLOAD + 6] ^= 1),
    ("a type bit", Refused, |b, e, _| b[e.start + 3] ^= 2),
    ("a length bit: +64", Refused, |b, e, _| b[e.start + LENGTH + 3] ^= 64),
    ("a length bit: past the end", Refused, |b, e, _| b[e.start + LENGTH] ^= 64),
    ("512 bytes zeroed", Refused, |b, e, _| b[e.start..e.start + 512].fill(0)),
    ("zeroed from an entry on", Refused, |b, e, _| b[e.start..].fill(0)),
    ("zeroed from within an entry on", Refused, |b, e, _| b[e.start + 9..].fill(0)),
    ("all zero", Refused, |b, _, _| b.fill(0)),
    ("the last entry: a payload bit", Refused, |b, _, e| b[e.start + PAYLOAD + 6] ^= 1),
    ("the last entry: a length bit", Refused, |b, _, e| b[e.start + LENGTH] ^= 1),
    ("the last entry zeroed", Refused, |b, _, e| b[e.start..].fill(0)),
    ("cut within the last entry", Refused, |b, _, e| b.truncate(e.start + 30)),
    ("cut before the last entry", Refused, |b, _, e| b.truncate(e.start)),
    ("cut to half", Refused, |b, _, _| b.truncate(b.len() / 2)),
    ("cut to nothing", Refused, |b, _, _| b.clear()),
    ("4 KiB of garbage appended", AllData, |b, _, _| {
        b.extend((0..4096_u32).map(|n| (n * 7 + 1) as u8));
    }),
    ("4 KiB of zeros appended", AllData, |b, _, _| b.extend([0; 4096])),
];

fn change(file: &Path, change: Change) {
    let mut bytes = fs::read(file).unwrap();
    let entries = entries(&bytes);
    let (middle, last) = (entries[entries.len() / 2].clone(), entries[entries.len() - 1].clone());
    change(&mut bytes, middle, last);
    fs::write(file, bytes).unwrap();
}

/// One case: what it is, what must come of it, and the damage.
type Case = (String, Outcome, Box<dyn Fn(&Path)>);

/// Every change of an older and of the newest file, and the files that may be missing.
/// What stays harmless comes last.
fn cases() -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for (what, outcome, how) in CHANGES {
        let newest = move |data: &Path| change(files(data).last().unwrap(), how);
        cases.push((format!("newest file: {what}"), outcome, Box::new(newest)));
        // After an older file others follow: there it is never the end of a torn write.
        let older = move |data: &Path| change(&files(data)[1], how);
        cases.push((format!("older file: {what}"), Refused, Box::new(older)));
    }
    type Missing = (&'static str, fn(&[PathBuf]) -> &[PathBuf]);
    let missing: [Missing; 4] = [
        ("the first file", |all| &all[..1]),
        ("a file in the middle", |all| &all[2..3]),
        ("the newest file", |all| &all[all.len() - 1..]),
        ("every file", |all| all),
    ];
    for (what, which) in missing {
        let delete = move |data: &Path| {
            which(&files(data)).iter().for_each(|file| fs::remove_file(file).unwrap());
        };
        cases.push((format!("{what} deleted"), Refused, Box::new(delete)));
    }
    cases.sort_by_key(|(_, outcome, _)| *outcome == AllData);
    cases
}

/// Fills the log until the server at `data` has enough files, the newest with some entries.
fn fill(cluster: &Cluster, leader: u32, data: &Path) {
    let mut alice = Raw::connect(cluster.address(leader), DeviceId([1; 16]));
    alice.register("alice", "a long password");
    alice.resume(vec![]);
    let mut bob = Raw::connect(cluster.address(leader), DeviceId([2; 16]));
    bob.register("bob", "a long password");
    drop(bob);
    let bob = Target::User(alice.lookup("bob"));
    let mut number = 0;
    wait_until(Duration::from_secs(60), "the log has four files", || {
        number += 1;
        alice.say(bob, number, &[&"one message for each entry ".repeat(8)]);
        alice.ack(number);
        let files = files(data);
        let newest = entries(&fs::read(files.last()?).unwrap()).len();
        (files.len() >= 4 && newest >= 6).then_some(())
    });
}

#[test]
fn every_damage_of_a_log_is_refused_or_harmless() {
    let mut cluster = Cluster::setup().proxied().option("--log-file-bytes", FILE_BYTES).start(3);
    let leader = cluster.leader().seat;
    let victim = cluster.seats().into_iter().find(|seat| *seat != leader).unwrap();
    let data = cluster.node(victim).data.clone();
    fill(&cluster, leader, &data);
    let whole = cluster.same_state();
    // The guard is written within 100 ms of the log going quiet; a clean stop waits for it.
    cluster.signal(victim, "TERM");
    assert!(cluster.node(victim).ended(FIND_OUT).success(), "a clean stop");
    let kept = cluster.home().join("kept");
    copy(&data, &kept);
    for (what, outcome, damage) in cases() {
        fs::remove_dir_all(&data).unwrap();
        copy(&kept, &data);
        damage(&data);
        let (sent, log) = (cluster.paths().frames_of(victim), cluster.node(victim).wrote("log"));
        cluster.up(victim);
        if outcome == AllData {
            follows_with_everything(&mut cluster, victim, &whole[0].json["hash"], &what);
            continue;
        }
        let status = cluster.node(victim).ended(FIND_OUT);
        let log = cluster.node(victim).wrote("log")[log.len()..].to_owned();
        assert_eq!(status.code(), Some(DAMAGED), "{what}: {log}");
        assert!(log.contains("--rejoin"), "{what}: the way out is named: {log}");
        assert_eq!(cluster.paths().frames_of(victim), sent, "{what}: it said something");
    }
}

/// It runs, agrees with the others, and ends when it is told to.
fn follows_with_everything(
    cluster: &mut Cluster,
    victim: u32,
    hash: &serde_json::Value,
    what: &str,
) {
    wait_until(FIND_OUT, &format!("{what}: it follows with everything"), || {
        assert!(cluster.node(victim).runs(), "{what}: {}", cluster.node(victim).wrote("log"));
        let node = cluster.status().into_iter().find(|node| node.seat == victim)?;
        (node.reachable && node.json["leader"].is_string() && node.json["hash"] == *hash)
            .then_some(())
    });
    cluster.signal(victim, "TERM");
    assert!(cluster.node(victim).ended(FIND_OUT).success(), "{what}: a clean stop");
}
