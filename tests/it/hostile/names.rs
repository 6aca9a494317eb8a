//! Names that look like another one are none, wherever they come in.

use crate::harness::{Cluster, Raw};
use crate::support::hostile::NAMES;
use rustchat::chat::command::{Command, Register};
use rustchat::chat::event::Event;
use rustchat::chat::ids::{DeviceId, LoginId};
use rustchat::chat::name::UserName;
use rustchat::chat::refusal::Refusal;
use rustchat::chat::state::State;
use rustchat::chat::write::Write as Row;
use rustchat::wire::message::{ClientMsg, Credentials, ServerMsg};

/// In other letters, or between blanks, the name is that of the same user, not a second one.
const SAME: [&str; 5] = ["ALICE", "Alice", "aLiCe", "alice\n", " alice\u{3000}"];

#[test]
fn no_name_can_pass_for_another_one() {
    for name in NAMES {
        assert!(UserName::fold(name).is_err(), "{name:?} is a name");
    }
    for name in SAME {
        assert_eq!(UserName::fold(name).unwrap().as_str(), "alice");
    }
}

/// Nor can a server that is not as it should be put one into the log: each of them checks again.
#[test]
fn no_entry_of_the_log_registers_such_a_name() {
    let register = |name: &str| {
        let mut state = State::default();
        let applied = state.apply(
            1,
            &[Command::Register(Register {
                name: name.to_owned(),
                password_hash: "$argon2id$".to_owned(),
                device: DeviceId([1; 16]),
                token_hash: [2; 32],
                device_key: Default::default(),
                session: LoginId([3; 16]),
                invite: None,
            })],
        );
        let ready = |event: &Event| matches!(event, Event::Attached { .. });
        (applied.events.iter().any(ready), state.rows().into_iter().any(is_user))
    };
    assert_eq!(register("alice"), (true, true));
    for name in NAMES.iter().chain(&SAME) {
        assert_eq!(register(name), (false, false), "{name:?}");
    }
}

fn is_user(row: Row) -> bool {
    matches!(row, Row::User(_))
}

/// Whatever a client sends: the server refuses at the door and goes on, and its log stays one line
/// for each event.
#[test]
fn a_server_registers_nobody_who_looks_like_somebody_else() {
    let mut cluster = Cluster::setup().variable("RUSTCHAT_LOG", "trace").start(1);
    cluster.leader();
    let mut alice = Raw::connect(cluster.address(1), DeviceId([1; 16]));
    alice.register("alice", "the password of alice");
    let refused = |name: &str, password: &str| {
        let mut raw = Raw::connect(cluster.address(1), DeviceId([2; 16]));
        let (name, password) = (name.to_owned(), password.to_owned());
        raw.send(&ClientMsg::Register(Credentials {
            name,
            password,
            key: None,
            invite: String::new(),
        }));
        raw.until("the refusal", |message| match message {
            ServerMsg::Refused { refusal, .. } => Some(refusal),
            ServerMsg::Authenticated { name, .. } => panic!("{name:?} was let in"),
            _ => None,
        })
    };
    for name in NAMES {
        assert_eq!(refused(name, "another password"), Refusal::NameInvalid, "{name:?}");
    }
    for name in SAME {
        assert_eq!(refused(name, "another password"), Refusal::NameTaken, "{name:?}");
    }
    alice.resume(Vec::new());
    for name in NAMES {
        alice.send(&ClientMsg::Lookup { request: 5, name: (*name).to_owned() });
        alice.until("no such user", |message| match message {
            ServerMsg::Refused { request: 5, .. } => Some(()),
            ServerMsg::Found { name, .. } => panic!("{name:?} was found"),
            _ => None,
        });
    }
    let log = cluster.node(1).wrote("log");
    assert_eq!(crate::support::terminal::lines(log.as_bytes()), Ok(()));
    for line in log.lines() {
        serde_json::from_str::<serde_json::Value>(line)
            .unwrap_or_else(|why| panic!("{why}: {line}"));
    }
}
