//! Entries and states for the tests of the stores, made by the real apply.

use super::record::{LogEntry, LogId, Mark, Row};
use super::{Store, StoreError};
use crate::chat::command::{
    Advance, Command, Hear, Import, Meet, Register, Send, Target, Trusting,
};
use crate::chat::ids::{ClusterId, ConversationId, DeviceId, LoginId, UserId};
use crate::chat::link::{Export, LinkNumber, Messages};
use crate::chat::message::Body;
use crate::chat::state::State;
use crate::chat::write::Write;
use crate::wire::stored;
use bytes::Bytes;
use std::sync::mpsc;
use std::time::Duration;

/// An entry of the log with a payload that tells it from every other one.
pub(super) fn entry(term: u64, index: u64) -> LogEntry {
    let payload = format!("payload {term}/{index} {}", "x".repeat((index % 50) as usize));
    LogEntry { id: LogId { term, index }, payload: Bytes::from(payload) }
}

/// Appends entries and waits until they are durable.
pub(super) async fn append(store: &dyn Store, entries: Vec<LogEntry>) -> Result<(), StoreError> {
    let (done, wait) = tokio::sync::oneshot::channel();
    store.append(entries, Box::new(move |result| drop(done.send(result)))).await?;
    wait.await.expect("the callback is called")
}

/// Receives or fails with a message.
pub(super) fn receive<T>(wait: &mpsc::Receiver<T>, what: &str) -> T {
    wait.recv_timeout(Duration::from_secs(10)).unwrap_or_else(|_| panic!("waited for {what}"))
}

/// The device of the user with this number.
pub(super) fn device(user: u8) -> DeviceId {
    DeviceId([user; 16])
}

/// The number of the other cluster, once [`Sample::link`] was applied.
pub(super) const EAST: LinkNumber = 1;
const EAST_ID: ClusterId = ClusterId([2; 16]);
/// `carol`, whom the other cluster registered.
const CAROL: UserId = UserId { cluster: EAST_ID, number: 1 };

/// A user of the sample's own cluster.
fn user(number: u64) -> UserId {
    UserId { cluster: ClusterId([1; 16]), number }
}

/// A cluster of two users that writes entries.
#[derive(Clone)]
pub(super) struct Sample {
    pub(super) state: State,
    pub(super) mark: Mark,
    pub(super) term: u64,
    number: u64,
}

/// What an entry does to a store.
pub(super) struct Step {
    pub(super) commands: Vec<Command>,
    pub(super) entry: LogEntry,
    pub(super) mark: Mark,
    pub(super) writes: Vec<Write>,
    pub(super) rows: Vec<Row>,
}

impl Sample {
    pub(super) fn new() -> Self {
        Self { state: State::default(), mark: Mark::default(), term: 1, number: 0 }
    }

    /// The first entry: the cluster and its users, `alice` (1) and `bob` (2).
    pub(super) fn found(&mut self) -> Step {
        self.step(&Self::founding())
    }

    /// The commands of the first entry.
    pub(super) fn founding() -> Vec<Command> {
        let register = |name: &str, user: u8| {
            Command::Register(Register {
                name: name.to_owned(),
                password_hash: "$argon2id$".to_owned(),
                device: device(user),
                token_hash: [user; 32],
                device_key: Bytes::new(),
                session: LoginId([user; 16]),
                invite: None,
            })
        };
        let cluster = Command::Found { cluster: ClusterId([1; 16]), name: "west".to_owned() };
        vec![cluster, register("alice", 1), register("bob", 2)]
    }

    /// An entry with messages of alice to bob.
    pub(super) fn send(&mut self, texts: &[&str]) -> Step {
        let send = self.command(texts);
        self.number += texts.len() as u64;
        self.step(&[send])
    }

    /// An entry with which another cluster is trusted, and a user of it known.
    pub(super) fn link(&mut self) -> Step {
        let (cluster, key) = (EAST_ID, [7; 32]);
        let (name, address) = ("east".to_owned(), "127.0.0.1:7101".to_owned());
        let hear = Hear { cluster, name: name.clone(), key, address };
        let meet = Meet { cluster, user: CAROL, name: "carol".to_owned() };
        let trust = Trusting { cluster, key, alias: name };
        self.step(&[Command::Hear(hear), Command::Trust(trust), Command::Meet(meet)])
    }

    /// An entry with messages of alice to carol: the other cluster is told them, in one or more
    /// exports.
    pub(super) fn tell(&mut self, texts: &[&str]) -> Step {
        let mut all = Vec::new();
        for text in texts {
            let Command::Send(send) = self.command(&[text]) else { unreachable!() };
            self.number += 1;
            all.push(Command::Send(Send { to: Target::User(CAROL), ..send }));
        }
        self.step(&all)
    }

    /// An entry in which carol writes to alice, who reads it: the other cluster is told that.
    pub(super) fn answered(&mut self, text: &str) -> Step {
        let imported = self.state.links().next().expect("a link").imported;
        let messages = Messages {
            sender: CAROL,
            name: "carol".to_owned(),
            to: user(1),
            origin: EAST_ID,
            device: device(9),
            first_number: imported.position + 1,
            at_ms: 900,
            bodies: vec![Body::text(text)],
        };
        let import = Import {
            cluster: EAST_ID,
            generation: 0,
            first: imported.position + 1,
            before: imported.hash,
            items: vec![Export::Messages(messages)],
        };
        let mut after = self.state.clone();
        after.apply(0, &[Command::Import(import.clone())]);
        let conversation = after.direct(user(1), CAROL).expect("they talk");
        let seq = after.conversation(conversation).map_or(0, |room| room.row.last_seq);
        let read = Advance { conversation, user: user(1), delivered: seq, read: seq };
        self.step(&[Command::Import(import), Command::Marks(vec![read])])
    }

    /// How far the exports to the other cluster have come.
    pub(super) fn exported(&self) -> u64 {
        self.state.links().next().map_or(0, |link| link.exported.position)
    }

    /// An entry in which bob has read alice's messages up to `seq`.
    pub(super) fn read_by_bob(&mut self, seq: u64) -> Step {
        let (user, conversation) = (user(2), self.conversation());
        self.step(&[Command::Marks(vec![Advance {
            conversation,
            user,
            delivered: seq,
            read: seq,
        }])])
    }

    /// The command that [`Sample::send`] applies.
    pub(super) fn command(&self, texts: &[&str]) -> Command {
        let bodies: Vec<Body> = texts.iter().map(|text| Body::text(*text)).collect();
        Command::Send(Send {
            device: device(1),
            epoch: 1,
            group: 0,
            first_number: self.number + 1,
            confirmed: self.number,
            to: Target::User(user(2)),
            bodies,
        })
    }

    fn step(&mut self, commands: &[Command]) -> Step {
        let index = self.mark.applied.map_or(0, |applied| applied.index + 1);
        let applied = self.state.apply(1000 + index, commands);
        let rows: Vec<Row> =
            applied.writes.iter().flat_map(|write| stored::rows(index, write)).collect();
        self.mark.applied = Some(LogId { term: self.term, index });
        self.mark.hash = stored::next_hash(&self.mark.hash, &rows);
        let (mark, writes) = (self.mark.clone(), applied.writes);
        Step { commands: commands.to_vec(), entry: entry(self.term, index), mark, writes, rows }
    }

    /// The rows of the small state.
    pub(super) fn rows(&self) -> Vec<Row> {
        self.state.rows().flat_map(|write| stored::rows(0, &write)).collect()
    }

    /// The conversation of alice and bob.
    pub(super) fn conversation(&self) -> ConversationId {
        ConversationId::new(0, 1)
    }
}

/// Appends the entry of a step durably, and commits it.
pub(super) async fn take(store: &dyn Store, step: Step) -> Result<(), StoreError> {
    append(store, vec![step.entry]).await?;
    store.commit(step.mark, step.writes, step.rows).await
}

/// The texts of a page of history, with their seqs.
pub(super) fn texts(page: Vec<(u64, Bytes)>) -> Vec<(u64, String)> {
    let runs = page.into_iter().flat_map(|(first, value)| {
        let runs = stored::decode_runs(value).expect("a history value").0;
        assert_eq!(runs[0].first_seq, first);
        runs
    });
    runs.flat_map(|run| {
        let first = run.first_seq;
        run.bodies
            .into_iter()
            .zip(first..)
            .map(|(body, seq)| (seq, String::from_utf8(body.data.to_vec()).expect("text")))
    })
    .collect()
}
