//! What servers write into their logs, and what they never do.

use crate::harness::{Cluster, wait_until};
use serde_json::Value;
use std::path::Path;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(15);

/// Every file below `dir` of this name, read.
fn found(dir: &Path, name: &str, into: &mut Vec<Vec<u8>>) {
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            found(&entry.path(), name, into);
        } else if entry.file_name() == name {
            into.push(std::fs::read(entry.path()).unwrap());
        }
    }
}

/// The ways in which bytes may come into a log.
fn shapes(secret: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(secret).into_owned();
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let list: Vec<String> = secret.iter().map(u8::to_string).collect();
    let escaped = secret.escape_ascii().to_string();
    vec![hex.to_uppercase(), hex, list.join(", "), list.join(","), escaped, text]
}

#[test]
fn the_most_verbose_log_has_no_message_no_password_and_no_token() {
    let setup = Cluster::setup().variable("RUSTCHAT_LOG", "trace");
    let mut cluster = setup.variable("RUSTCHAT_LOG__DIR", "files").start(3);
    cluster.leader();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    bob.register();
    let texts = ["the reactor is at 4711", "nobody else shall read this"];
    alice.send("bob", &texts);
    // Once more, now by token, from another server after the leader is gone.
    let leader = cluster.leader().seat;
    cluster.kill(leader);
    let tail = bob.tail();
    tail.wait_for(2, SOON);
    alice.send("bob", &["and this went over an election"]);
    tail.wait_for(3, SOON);
    drop(tail);
    let stranger = cluster.person("alice").elsewhere("cafe").with_password("a wrong guess 0815\n");
    assert!(!stranger.run(&["--send", "bob"], &["never said"]).status.success());
    cluster.up(leader);
    cluster.leader();

    let mut tokens = Vec::new();
    found(cluster.home(), "token", &mut tokens);
    assert!(tokens.len() >= 2, "{} tokens", tokens.len());
    let mut secrets: Vec<Vec<u8>> = tokens;
    secrets.extend(
        ["the password of alice", "the password of bob", "a wrong guess 0815"].map(Into::into),
    );
    secrets.extend(texts.map(Into::into));
    secrets.extend(["and this went over an election", "never said"].map(Into::into));
    let mut logs = Vec::new();
    for seat in cluster.seats() {
        logs.push(cluster.node(seat).wrote("log"));
    }
    for file in std::fs::read_dir(cluster.home().join("files")).unwrap() {
        logs.push(std::fs::read_to_string(file.unwrap().path()).unwrap());
    }
    assert_eq!(logs.len(), 6, "three outputs and three files");
    for log in &logs {
        assert!(log.contains("\"level\":\"debug\""), "it is not verbose: {log}");
        for secret in &secrets {
            assert!(secret.len() >= 8, "too short to look for: {secret:?}");
            for shape in shapes(secret) {
                let at = log.find(&shape);
                assert_eq!(at, None, "{shape:?} is in a log");
            }
        }
    }
}

#[test]
fn a_server_logs_objects_to_its_output_and_to_a_file_a_day() {
    let mut cluster = Cluster::setup().option("--log-dir", "files").option("--log-keep", "3").of(1);
    let dir = cluster.home().join("files");
    std::fs::create_dir(&dir).unwrap();
    // Of days long gone; three stay, today's among them.
    let old = (1..=5).map(|day| dir.join(format!("rustchat-1.2020-01-0{day}.log")));
    for file in old.clone() {
        std::fs::write(file, "old\n").unwrap();
    }
    cluster.up(1);
    cluster.leader();
    let files = || std::fs::read_dir(&dir).unwrap().map(|file| file.unwrap().path());
    let today = files().find(|file| !old.clone().any(|old| old == *file)).unwrap();
    let told = "the cluster is founded";
    let in_file = wait_until(SOON, "the file has it too", || {
        let text = std::fs::read_to_string(&today).unwrap();
        text.contains(told).then_some(text)
    });
    assert!(files().count() <= 3, "{:?}", files().collect::<Vec<_>>());
    for line in in_file.lines().chain(cluster.node(1).wrote("log").lines()) {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}"));
        let text = |key: &str| line[key].as_str().unwrap_or_else(|| panic!("{key} in {line}"));
        assert!(text("ts").len() == 27 && text("ts").ends_with('Z'), "{line}");
        assert!(["trace", "debug", "info", "warn", "error"].contains(&text("level")), "{line}");
        assert!(!text("target").is_empty() && text("cluster") == "test" && line["node"] == 1);
        text("msg");
    }
}
