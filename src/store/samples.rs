//! Entries and states for the tests of the stores, made by the real apply.

use super::record::{LogEntry, LogId, Mark, Row};
use super::{Store, StoreError};
use crate::chat::command::{Advance, Command, Register, Send, Target};
use crate::chat::ids::{ClusterId, ConversationId, DeviceId, LoginId};
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

    /// An entry in which bob has read alice's messages up to `seq`.
    pub(super) fn read_by_bob(&mut self, seq: u64) -> Step {
        let user = crate::chat::ids::UserId { cluster: ClusterId([1; 16]), number: 2 };
        let conversation = self.conversation();
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
            to: Target::User(crate::chat::ids::UserId { cluster: ClusterId([1; 16]), number: 2 }),
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
        Step { entry: entry(self.term, index), mark, writes, rows }
    }

    /// The rows of the small state.
    pub(super) fn rows(&self) -> Vec<Row> {
        self.state.rows().flat_map(|write| stored::rows(0, &write)).collect()
    }

    /// The only conversation.
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
