//! What is read from files that a person or a failing disk may have changed.

use super::{bytes, fuzz};
use crate::chat::command::Target;
use crate::chat::ids::{ClusterId, ConversationId};
use crate::chat::message::Body;
use crate::client::device::Device;
use crate::config;
use crate::report::Row;
use crate::report::judge::Verdict;
use crate::ui::dash::record::{self, Round};
use crate::wire::message::ServerMsg;
use crate::wire::random;
use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;
use std::fs;
use std::path::Path;

const CONF: &str = include_str!("../../nodes.conf");

#[test]
fn nodes_conf() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("nodes.conf");
    fuzz("fuzz::files::nodes_conf", |rng| {
        let bytes = bytes(rng, |_| CONF.into());
        fs::write(&file, &bytes).unwrap();
        match config::read_whole(&file) {
            Ok(nodes) => assert!((1..=crate::limits::NODES).contains(&nodes.nodes.len())),
            Err(wrong) => assert!(!wrong.is_empty(), "refused without a reason"),
        }
        let lines = bytes.iter().filter(|byte| **byte == b'\n').count() + 1;
        let line = config::nodes_line(&file, Some(rng.random_range(0..5)), "host");
        assert!(line.is_none_or(|line| (1..=lines).contains(&line)), "no such line: {line:?}");
    });
}

fn round(rng: &mut StdRng) -> Round {
    let statement = loop {
        if let ServerMsg::Status(status) = random::server_msg(rng) {
            break status;
        }
    };
    let row = Row { addr: "127.0.0.1:7101".to_owned(), status: Some(statement), ..Row::default() };
    Round { at_ms: rng.random(), rows: vec![row] }
}

#[test]
fn recordings() {
    fuzz("fuzz::files::recordings", |rng| {
        let valid = |rng: &mut StdRng| Bytes::from(record::write(&round(rng), Verdict::Healthy));
        let bytes = bytes(rng, valid);
        let text = String::from_utf8_lossy(&bytes);
        if let Ok(rounds) = record::read_all(&text) {
            for round in rounds {
                let again = record::read(&record::write(&round, Verdict::Healthy));
                assert_eq!(again.as_ref(), Ok(&round), "it does not come back");
            }
        }
    });
}

/// A directory with a device that has messages to send.
fn device(state: &Path) {
    let (mut device, mut outbox) = Device::take(state, "alice", None).unwrap();
    device.bind(ClusterId([7; 16]), 3, "west").unwrap();
    device.set_token(Some(Bytes::from_static(&[9; 32]))).unwrap();
    device.save_have([(ConversationId(4), 5)].into()).unwrap();
    let bodies = ["one", "two", "three"].map(Body::text);
    outbox.append(Target::Conversation(ConversationId(4)), bodies.into()).unwrap();
}

/// Whatever a device's files hold: the next process begins, and what it takes from them is sane.
#[test]
fn a_devices_files() {
    let home = tempfile::tempdir().unwrap();
    device(home.path());
    let files = home.path().join("alice/devices/1");
    let names: Vec<_> = fs::read_dir(&files)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file() && !path.ends_with("lock"))
        .map(|path| (path.clone(), Bytes::from(fs::read(&path).unwrap())))
        .collect();
    assert!(names.len() >= 4, "{names:?}");
    fuzz("fuzz::files::a_devices_files", |rng| {
        for (path, whole) in &names {
            let damaged = rng.random_bool(0.5);
            let bytes = if damaged { bytes(rng, |_| whole.clone()) } else { whole.clone() };
            fs::write(path, bytes).unwrap();
        }
        // An error says what is wrong; that is for a person.
        if let Ok((_, outbox)) = Device::take(home.path(), "alice", None) {
            assert!(outbox.pending() <= 3, "messages from nowhere");
        }
    });
}
