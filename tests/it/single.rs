//! A cluster of one: no file, no options, ready at once.

use crate::harness::{program, signal, texts, wait_until};
use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Contract: ready within this time, also after a restart.
const READY: Duration = Duration::from_secs(1);
/// Whoever tests with the default ports holds this one meanwhile.
const TURN: u16 = 7098;

fn start(home: &Path) -> (Child, String) {
    let out = home.join("out");
    let log = File::options().create(true).append(true).open(home.join("log")).unwrap();
    let mut command = program(home);
    command.args(["serve", "--until-stdin-closes"]).stdin(Stdio::piped());
    command.stdout(File::create(&out).unwrap()).stderr(log);
    let child = command.spawn().unwrap();
    let said = wait_until(READY, "a cluster of one leads itself", || {
        let said = std::fs::read_to_string(&out).unwrap();
        said.contains("leads in term").then_some(said)
    });
    (child, said)
}

#[test]
fn one_server_without_a_file_is_ready_at_once_and_after_a_restart() {
    let turn = wait_until(Duration::from_secs(120), "the default ports are ours", || {
        TcpListener::bind(("127.0.0.1", TURN)).ok()
    });
    let home = TempDir::with_prefix("rustchat-it-").unwrap();
    let (mut child, said) = start(home.path());
    let id = said.split("cluster_id = \"").nth(1).and_then(|rest| rest.split('"').next());
    let id = id.unwrap_or_else(|| panic!("no id in {said}"));
    assert!(home.path().join("data/rustchat/single/1").is_dir(), "in the user's data directory");
    child.kill().unwrap();
    child.wait().unwrap();

    let (mut child, said) = start(home.path());
    assert!(!said.contains("cluster_id"), "told once: {said}");
    let output = program(home.path()).args(["status", "--json"]).output().unwrap();
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    assert!(out.contains(id), "the cluster of before, {id}: {out}");
    signal(child.id(), "TERM");
    let ended = wait_until(Duration::from_secs(10), "it ends", || child.try_wait().unwrap());
    assert_eq!(ended.code(), Some(0));
    drop(turn);
}
