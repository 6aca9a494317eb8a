//! A disk that fills up: the server ends with the code for a failed write, says
//! why, and what it had acknowledged is there once there is room.

use crate::harness::{Cluster, Said, inside, wait_until};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::Duration;

/// A failed write: sysexits' `EX_IOERR`.
const DISK_FAILED: i32 = 74;

/// On a file system of 24 MiB, inside a mount namespace.
#[test]
fn a_full_disk_ends_the_server_and_loses_nothing_acknowledged() {
    if !inside::is() {
        return inside::run_again(
            "full_disk::a_full_disk_ends_the_server_and_loses_nothing_acknowledged",
        );
    }
    inside::sh("mount --make-rprivate / && ip link set lo up");
    let mut cluster = Cluster::of(1);
    let data = cluster.node(1).data.clone();
    std::fs::create_dir_all(&data).unwrap();
    inside::sh(&format!("mount -t tmpfs -o size=24m tmpfs {}", data.display()));
    cluster.up(1);
    cluster.leader();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    bob.register();
    alice.register();

    let mut sender = alice.chat(&["--send", "bob", "--json"]);
    sender.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = sender.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writing = std::thread::spawn(move || {
        for n in 1..=20_000 {
            if writeln!(stdin, "{n} {}", "z".repeat(8000)).is_err() {
                break;
            }
        }
    });
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let reading = std::thread::spawn(move || {
        lines.map_while(Result::ok).map(|line| Said::read(&line)).collect::<Vec<_>>()
    });
    let status = cluster.node(1).ended(Duration::from_secs(60));
    child.kill().unwrap();
    child.wait().unwrap();
    writing.join().unwrap();
    let acknowledged = reading.join().unwrap();
    let log = cluster.node(1).wrote("log");
    assert_eq!(status.code(), Some(DISK_FAILED), "{log}");
    assert!(log.contains("No space left on device"), "{log}");
    assert!(!acknowledged.is_empty(), "the disk was not full from the start");

    inside::sh(&format!("mount -o remount,size=400m {}", data.display()));
    cluster.up(1);
    cluster.leader();
    let tail = bob.tail();
    wait_until(Duration::from_secs(30), "everything acknowledged is there", || {
        (tail.said().len() >= acknowledged.len()).then_some(())
    });
    for (said, got) in acknowledged.iter().zip(tail.said()) {
        assert_eq!((said.seq, &said.id), (got.seq, &got.id));
    }
}
