//! What the program says to wrong input, and with which exit code it ends.

use crate::harness::{Cluster, program, texts};
use std::time::Duration;
use tempfile::TempDir;

/// Runs the program with these words; returns its exit code and both outputs.
fn run(words: &[&str]) -> (i32, String, String) {
    let home = TempDir::new().unwrap();
    std::fs::write(home.path().join("bad.conf"), "cluster = \"west\"\n[[node]]\nidd = 1\n")
        .unwrap();
    let three = include_str!("../../nodes.conf");
    std::fs::write(home.path().join("three.conf"), three).unwrap();
    let far = "cluster = \"west\"\n[[node]]\nid = 1\nhost = \"192.0.2.1\"\nclient = 1\npeer = 2\n";
    std::fs::write(home.path().join("far.conf"), far).unwrap();
    std::fs::write(home.path().join("pw"), "secret\n").unwrap();
    std::fs::write(home.path().join("empty"), "").unwrap();
    let output = program(home.path()).args(words).output().unwrap();
    let (out, err) = texts(&output);
    (output.status.code().unwrap_or(-1), out, err)
}

#[test]
fn every_mistake_has_its_code_and_a_word_that_helps() {
    let table: &[(&[&str], i32, &str)] = &[
        (&[], 64, "Usage"),
        (&["sreve"], 64, "serve"),
        (&["serve", "--nod", "1"], 64, "--node"),
        (&["serve", "--node", "x"], 64, "invalid value"),
        (&["serve", "--nodes", "none.conf"], 78, "none.conf"),
        (&["serve", "--nodes", "bad.conf"], 78, "bad.conf:3: unknown key \"idd\""),
        (&["serve", "--nodes", "three.conf"], 78, "--node SEAT"),
        (&["serve", "--nodes", "three.conf", "--node", "9"], 78, "--node 9"),
        (&["serve", "--nodes", "far.conf"], 78, "--node SEAT"),
        (&["serve", "--nodes", "three.conf", "--node", "1"], 78, "keys init"),
        (&["config", "check", "--nodes", "three.conf", "--node", "1"], 78, "keys init"),
        (&["keys", "init"], 64, "--cluster"),
        (&["keys", "node", "1", "--nodes", "three.conf"], 78, "keys init"),
        (&["keys", "node", "0", "--nodes", "three.conf"], 64, "1 to 999"),
        (&["keys", "forget", "nobody"], 64, "keys show"),
        (
            &["serve", "--nodes", "three.conf", "--node", "1", "--store", "redis://x"],
            64,
            "embedded",
        ),
        (&["serve", "--log-level", "debgu"], 64, "did you mean \"debug\"?"),
        (&["serve", "--shutdown-grace", "soon"], 64, "write it like 2s"),
        (&["serve", "--config", "none.toml"], 78, "none.toml"),
        (&["serve", "--config", "bad.conf"], 78, "bad.conf:1: unknown key \"cluster\""),
        (&["config", "check", "--nodes", "bad.conf"], 78, "bad.conf:3"),
        (&["config", "show", "--admin", "7301"], 64, "127.0.0.1:7301"),
        (&["completions", "klingon"], 64, "bash"),
        (&["chat"], 64, "--user"),
        (&["chat", "--user", "1x", "--tail"], 64, "must start with a letter"),
        (&["chat", "--user", "a", "--send", "b", "--tail"], 64, "cannot be used with"),
        (&["chat", "--user", "a", "--tail", "--server", "nowhere"], 64, "HOST:PORT"),
        (&["chat", "--user", "a", "--tail", "--fingerprint", "MD5:1"], 64, "keys show"),
        (&["chat", "--user", "a", "--tail", "--password-file", "no"], 78, "password file no"),
        (&["chat", "--user", "a", "--tail", "--password-file", "empty"], 78, "first line"),
        (&["status", "--timeout", "soon"], 64, "soon"),
        (&["status", "--nodes", "bad.conf"], 78, "bad.conf:3"),
        (&["demo", "--user", "#"], 64, "must start with a letter"),
    ];
    for (words, code, part) in table {
        let (got, out, err) = run(words);
        assert_eq!(got, *code, "{words:?}: {out}{err}");
        assert!(err.contains(part), "{words:?} should say {part:?}: {err}");
        assert_eq!(out, "", "{words:?}: complaints belong on standard error");
    }
}

#[test]
fn help_and_version_are_no_mistakes() {
    for words in [&["--help"][..], &["serve", "--help"], &["--version"], &["chat", "-h"]] {
        let (code, out, err) = run(words);
        assert_eq!((code, err.as_str()), (0, ""), "{words:?}");
        assert!(out.contains("rustchat"), "{words:?}: {out}");
    }
    let (_, out, _) = run(&["--version"]);
    assert_eq!(out, concat!("rustchat ", env!("CARGO_PKG_VERSION"), "\n"));
}

#[test]
fn status_says_how_bad_it_is() {
    let mut cluster = Cluster::of(3);
    let status = |cluster: &Cluster| {
        let mut command = cluster.program();
        command.args(["status", "--timeout", "1s", "--nodes"]).arg(cluster.conf());
        command.output().unwrap().status.code()
    };
    assert_eq!(status(&cluster), Some(3), "nobody answers");
    cluster.up(1);
    crate::harness::wait_until(Duration::from_secs(5), "one server answers", || {
        (status(&cluster) == Some(2)).then_some(())
    });
    cluster.up(2);
    cluster.leader();
    assert_eq!(status(&cluster), Some(1), "a server is missing");
    cluster.up(3);
    crate::harness::wait_until(Duration::from_secs(5), "all is well", || {
        (status(&cluster) == Some(0)).then_some(())
    });
}

#[test]
fn a_server_ends_in_order_on_sigterm() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader().seat;
    cluster.signal(leader, "TERM");
    let status = cluster.node(leader).ended(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0));
    cluster.leader();
}

#[test]
fn two_servers_do_not_share_a_data_directory() {
    let mut cluster = Cluster::of(1);
    cluster.up(1);
    cluster.leader();
    let data = cluster.node(1).data.clone();
    let mut second = cluster.program();
    second.args(["serve", "--node", "1", "--nodes"]).arg(cluster.conf());
    second.arg("--data").arg(&data);
    let output = second.output().unwrap();
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(78), "{err}");
    assert!(err.contains(&*data.to_string_lossy()), "{err}");
}
