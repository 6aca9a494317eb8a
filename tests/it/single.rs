//! A cluster of one: no file, no options, ready at once.

use crate::harness::{Stores, over_every_store, program, signal, texts, wait_until};
use std::fs::File;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;
use tempfile::TempDir;

over_every_store! {
    one_server_without_a_file_is_ready_at_once_and_after_a_restart,
}

/// Contract: ready within this time, also after a restart.
const READY: Duration = Duration::from_secs(1);
/// The same on a database, which is asked a few dozen times until then.
const READY_ON_A_DATABASE: Duration = Duration::from_secs(5);
/// Whoever tests with the default ports holds this one meanwhile.
const TURN: u16 = 7098;

fn start(home: &Path, store: Option<&str>) -> (Child, String) {
    let out = home.join("out");
    let log = File::options().create(true).append(true).open(home.join("log")).unwrap();
    let mut command = program(home);
    command.args(["serve", "--until-stdin-closes"]).stdin(Stdio::piped());
    command.args(store.iter().flat_map(|url| ["--store", url]));
    command.stdout(File::create(&out).unwrap()).stderr(log);
    let child = command.spawn().unwrap();
    let ready = if store.is_some() { READY_ON_A_DATABASE } else { READY };
    let said = wait_until(ready, "a cluster of one leads itself", || {
        let said = std::fs::read_to_string(&out).unwrap();
        said.contains("leads in term").then_some(said)
    });
    (child, said)
}

fn one_server_without_a_file_is_ready_at_once_and_after_a_restart(stores: Stores) {
    let turn = wait_until(Duration::from_secs(120), "the default ports are ours", || {
        TcpListener::bind(("127.0.0.1", TURN)).ok()
    });
    let home = TempDir::with_prefix("rustchat-it-").unwrap();
    let store = stores.fresh(1);
    let (mut child, said) = start(home.path(), store.as_deref());
    let id = said.split("cluster_id = \"").nth(1).and_then(|rest| rest.split('"').next());
    let id = id.unwrap_or_else(|| panic!("no id in {said}"));
    let in_the_users_directory = home.path().join("data/rustchat/single/1").is_dir();
    assert_eq!(in_the_users_directory, store.is_none());
    child.kill().unwrap();
    child.wait().unwrap();

    let (mut child, said) = start(home.path(), store.as_deref());
    // Of a database it is told until nodes.conf says it.
    assert_eq!(said.contains("cluster_id"), store.is_some(), "{said}");
    let output = program(home.path()).args(["status", "--json"]).output().unwrap();
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{out}{err}");
    assert!(out.contains(id), "the cluster of before, {id}: {out}");
    signal(child.id(), "TERM");
    let ended = wait_until(Duration::from_secs(10), "it ends", || child.try_wait().unwrap());
    assert_eq!(ended.code(), Some(0));
    drop(turn);
}
