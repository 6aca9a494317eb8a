//! People who write to each other, for the benchmarks of single parts: the entries that a leader
//! would make of what they send, and what these do to a store. Always the same ones, by the real
//! apply. It must not know what is measured.

use bytes::Bytes;
use rustchat::chat::changes::Applied;
use rustchat::chat::command::{Command, Register, Send, Target};
use rustchat::chat::ids::{ClusterId, DeviceId, LoginId, UserId};
use rustchat::chat::message::Body;
use rustchat::chat::state::State;
use rustchat::limits;
use rustchat::store::record::{LogEntry, LogId, Mark, Row, Table};
use rustchat::store::{Store, embedded};
use rustchat::wire::raft::{Batch, Payload};
use rustchat::wire::{log, stored};
use std::sync::Arc;
use tempfile::TempDir;

/// Messages of an entry: as many as the leader puts into one.
pub const MESSAGES: usize = limits::ENTRY_MESSAGES;
/// Bytes of a message, as in `rustchat bench`.
pub const SIZE: usize = 100;

const CLUSTER: ClusterId = ClusterId([1; 16]);
const BEGIN_MS: u64 = 1_700_000_000_000;

/// Senders and as many receivers, one for each, and how far their log has come.
pub struct Town {
    senders: usize,
    state: State,
    mark: Mark,
    number: u64,
}

/// An entry of the log with what its commands do.
pub struct Step {
    pub id: LogId,
    pub at_ms: u64,
    pub commands: Vec<Command>,
    /// The commands, encoded.
    pub items: Vec<Bytes>,
    pub mark: Mark,
    pub applied: Applied,
    pub rows: Vec<Row>,
}

impl Town {
    /// A cluster in which all of them are registered, and the entry that did it.
    pub fn founded(senders: usize) -> (Self, Step) {
        let (state, mark) = (State::default(), Mark::default());
        let mut town = Self { senders, state, mark, number: 0 };
        let mut commands = vec![Command::Found { cluster: CLUSTER, name: "west".to_owned() }];
        commands.extend((0..2 * senders).map(registers));
        let step = town.step(commands);
        (town, step)
    }

    /// The state before the next entry.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The next entry: `MESSAGES` messages, each sender's share to their own receiver.
    pub fn talk(&mut self) -> Step {
        let commands = self.sends();
        self.step(commands)
    }

    /// The commands of the next entry.
    pub fn sends(&mut self) -> Vec<Command> {
        let share = MESSAGES / self.senders;
        let first_number = self.number + 1;
        self.number += share as u64;
        let send = |sender: usize| {
            let device = device(sender);
            Command::Send(Send {
                device,
                epoch: self.state.device(device).map_or(0, |known| known.row.epoch),
                group: 0,
                first_number,
                confirmed: first_number - 1,
                to: Target::User(user(self.senders + sender)),
                bodies: (first_number..).take(share).map(body).collect(),
            })
        };
        (0..self.senders).map(send).collect()
    }

    /// Applies an entry with these commands.
    fn step(&mut self, commands: Vec<Command>) -> Step {
        let index = self.mark.applied.map_or(1, |id| id.index + 1);
        let (id, at_ms) = (LogId { term: 1, index }, BEGIN_MS + index);
        let applied = self.state.apply(at_ms, &commands);
        let rows: Vec<Row> = applied.writes.iter().flat_map(|w| stored::rows(index, w)).collect();
        self.mark.hash = stored::next_hash(&self.mark.hash, &rows);
        self.mark.applied = Some(id);
        let items = commands.iter().map(log::encode_command).collect();
        Step { id, at_ms, commands, items, mark: self.mark.clone(), applied, rows }
    }
}

impl Step {
    /// As it lies in the log.
    pub fn entry(&self) -> LogEntry {
        let batch = Batch { at_ms: self.at_ms, items: self.items.clone() };
        LogEntry { id: self.id, payload: Payload::Batch(batch.encode()).encode() }
    }

    /// The values of history that it writes.
    pub fn history(&self) -> impl Iterator<Item = &Bytes> {
        let rows = self.rows.iter().filter(|row| row.table == Table::History);
        rows.map(|row| &row.value)
    }
}

/// An embedded store in a directory of its own, which goes with the guard.
pub fn opened() -> (TempDir, Arc<dyn Store>) {
    let dir = TempDir::with_prefix("rustchat-bench-").unwrap();
    let store = embedded::open(&dir.path().join("data"), 1, None).unwrap();
    (dir, Arc::new(store))
}

/// Appends entries and waits until the last one is on the disk.
pub async fn append(store: &dyn Store, entries: Vec<LogEntry>) {
    let (done, wait) = tokio::sync::oneshot::channel();
    store.append(entries, Box::new(move |result| drop(done.send(result)))).await.unwrap();
    wait.await.unwrap().unwrap();
}

/// A runtime like a server's.
pub fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

fn device(person: usize) -> DeviceId {
    DeviceId((person as u128 + 1).to_be_bytes())
}

fn user(person: usize) -> UserId {
    UserId { cluster: CLUSTER, number: person as u64 + 1 }
}

fn registers(person: usize) -> Command {
    Command::Register(Register {
        name: format!("user-{person}"),
        password_hash: format!("$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ${person:043}"),
        device: device(person),
        token_hash: [7; 32],
        device_key: Bytes::from_static(&[8; 32]),
        session: LoginId(device(person).0),
        invite: None,
    })
}

fn body(number: u64) -> Body {
    let text = format!("message {number}, and what one says when there is nothing else to say, ");
    Body::text(text.chars().cycle().take(SIZE).collect::<String>())
}
