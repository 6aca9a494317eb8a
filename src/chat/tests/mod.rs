//! The state machine over many random logs: replicas agree, what is written is
//! all there is to know, and every message has one outcome.

mod account;
mod invitations;
mod links;
mod logins;
mod matrix;

use super::command::{Command, Register, Send, Target};
use super::event::{Event, Outcome};
use super::ids::{ConversationId, DeviceId, LoginId, UserId};
use super::message::Body;
use super::refusal::Refusal;
use super::scripts::{CLUSTER, Entry, device, log, seeds, user};
use super::state::State;
use super::write::{SentIndex, Write};
use crate::limits;
use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use std::collections::BTreeMap;

/// Identity of a row of the small state; its order is the order of tables.
fn key(write: &Write) -> Option<(u8, String)> {
    Some(match write {
        Write::Meta(_) => (0, String::new()),
        Write::User(u) => (1, format!("{}", u.id)),
        Write::Device(d) => (2, format!("{}", d.id)),
        Write::Conversation(c) => (3, format!("{}", c.id)),
        Write::Mark(m) => (4, format!("{} {}", m.conversation, m.user)),
        Write::Sent(s) => (5, format!("{} {}", s.device, s.group)),
        Write::Link(l) => (6, format!("{}", l.number)),
        Write::History { .. } | Write::SentIndex(_) | Write::Exports { .. } => return None,
    })
}

fn loaded(rows: impl Iterator<Item = Write>) -> State {
    let mut state = State::default();
    rows.for_each(|row| state.load(row));
    state
}

#[test]
fn two_replicas_with_the_same_log_agree() {
    seeds(100, |rng| {
        let log = log(rng, 60);
        let (mut a, mut b) = (State::default(), State::default());
        for (at_ms, commands) in &log {
            assert_eq!(a.apply(*at_ms, commands), b.apply(*at_ms, commands));
        }
        assert_eq!(a, b);
    });
}

#[test]
fn what_was_written_is_the_whole_state_at_any_entry() {
    seeds(60, |rng| {
        let mut state = State::default();
        let mut store = BTreeMap::new();
        for (k, (at_ms, commands)) in log(rng, 60).into_iter().enumerate() {
            for write in state.apply(at_ms, &commands).writes {
                if let Some(key) = key(&write) {
                    store.insert(key, write);
                }
            }
            let restarted = loaded(store.values().cloned());
            assert_eq!(restarted, state, "entry {k}: {commands:?}");
        }
    });
}

#[test]
fn snapshot_and_tail_equal_full_replay() {
    seeds(100, |rng| {
        let log = log(rng, 60);
        let cut = rng.random_range(0..log.len());
        let mut full = State::default();
        for (at_ms, commands) in &log[..cut] {
            full.apply(*at_ms, commands);
        }
        let mut other = loaded(full.rows());
        assert_eq!(other, full);
        for (at_ms, commands) in &log[cut..] {
            assert_eq!(other.apply(*at_ms, commands), full.apply(*at_ms, commands));
        }
        assert_eq!(other, full);
    });
}

#[test]
fn marks_only_move_forward_and_refusals_are_few() {
    seeds(100, |rng| {
        let mut state = State::default();
        let mut last = BTreeMap::new();
        let mut last_at_ms = 0;
        for (at_ms, commands) in log(rng, 80) {
            state.apply(at_ms, &commands);
            assert!(state.meta().last_at_ms > last_at_ms, "time went back");
            last_at_ms = state.meta().last_at_ms;
            for row in state.rows() {
                match row {
                    Write::Mark(m) => {
                        let room = state.conversation(m.conversation).unwrap();
                        assert!(m.read <= m.delivered && m.delivered <= room.row.last_seq);
                        let before = last.insert((m.conversation, m.user), (m.delivered, m.read));
                        let (delivered, read) = before.unwrap_or_default();
                        assert!(m.delivered >= delivered && m.read >= read, "{m:?} < {before:?}");
                    }
                    Write::Sent(s) => {
                        assert!(s.refusals.len() <= limits::REFUSALS);
                        assert!(s.refusals.is_sorted_by(|a, b| a.0 < b.0));
                        assert!(s.refusals.last().is_none_or(|r| r.0 <= s.last_number));
                    }
                    _ => {}
                }
            }
        }
    });
}

/// What a device wants to say: message `k` has number `k + 1`.
struct Sender {
    device: DeviceId,
    messages: Vec<(Target, Body)>,
}

impl Sender {
    fn new(rng: &mut StdRng, number: u8) -> Self {
        let mut to = Target::User(user(1));
        let mut messages = Vec::new();
        for k in 0..rng.random_range(1..120) {
            if rng.random_bool(0.2) {
                // User 9 does not exist.
                let other = if rng.random_bool(0.2) { 9 } else { rng.random_range(1..4) };
                to = Target::User(user(other));
            }
            let text = if rng.random_bool(0.05) { String::new() } else { format!("{number}:{k}") };
            messages.push((to, Body::text(text)));
        }
        Self { device: device(number), messages }
    }

    /// Messages from `first_number`, at most `count`, up to where the target changes.
    fn run(&self, first_number: u64, count: usize, confirmed: u64) -> Command {
        let tail = &self.messages[usize::try_from(first_number - 1).unwrap()..];
        let to = tail[0].0;
        let bodies = tail.iter().take(count).take_while(|m| m.0 == to).map(|m| m.1.clone());
        let (device, bodies) = (self.device, bodies.collect());
        Command::Send(Send { device, epoch: 1, group: 0, first_number, confirmed, to, bodies })
    }
}

/// Users 1 to 3, each with the device of the same number.
fn founded() -> Entry {
    let found = Command::Found { cluster: CLUSTER, name: "west".to_owned() };
    let register = |(k, name): (u8, &str)| {
        Command::Register(Register {
            name: name.to_owned(),
            password_hash: String::new(),
            device: device(k),
            token_hash: [k; 32],
            device_key: Bytes::new(),
            session: LoginId([k; 16]),
            invite: None,
        })
    };
    let names = [(1, "alice"), (2, "bob"), (3, "carol")];
    (1000, std::iter::once(found).chain(names.map(register)).collect())
}

/// Everything that came out of a log, by device and number or by conversation and seq.
#[derive(Default)]
struct Seen {
    outcomes: BTreeMap<(DeviceId, u64), Outcome>,
    posted: BTreeMap<(ConversationId, u64), (DeviceId, u64, Body)>,
    index: Vec<SentIndex>,
}

impl Seen {
    fn take(&mut self, applied: super::changes::Applied) {
        for event in applied.events {
            if let Event::Outcome { device, first_number, count, outcome, .. } = event {
                for k in 0..count {
                    let mut one = outcome;
                    if let Outcome::Committed { first_seq, .. } = &mut one {
                        *first_seq += k;
                    }
                    let before = self.outcomes.insert((device, first_number + k), one);
                    assert_eq!(before, None, "a second outcome of {}", first_number + k);
                }
            }
        }
        for write in applied.writes {
            match write {
                Write::History { conversation, runs } => {
                    for run in runs {
                        for (k, body) in (0..).zip(&run.bodies) {
                            let message = (run.device, run.first_number + k, body.clone());
                            let before =
                                self.posted.insert((conversation, run.first_seq + k), message);
                            assert_eq!(before, None, "a second message at one seq");
                        }
                    }
                }
                Write::SentIndex(index) => self.index.push(index),
                _ => {}
            }
        }
    }

    /// Where the send index says that a message stands.
    fn find(&self, device: DeviceId, number: u64) -> Option<(ConversationId, u64)> {
        let holds = |i: &&SentIndex| {
            i.device == device && (i.first_number..=i.last_number).contains(&number)
        };
        let mut found = self.index.iter().filter(holds);
        let first = found.next().map(|i| (i.conversation, i.first_seq + number - i.first_number));
        assert!(found.next().is_none(), "number {number} is indexed twice");
        first
    }
}

/// Repeats, overlaps and reorderings, as lost acknowledgements and two servers at once make them.
fn storm(rng: &mut StdRng, state: &mut State, senders: &[Sender], seen: &mut Seen) {
    let mut commands = Vec::new();
    for sender in senders {
        let total = sender.messages.len() as u64;
        for first in (1..=total).step_by(3) {
            for _ in 0..rng.random_range(1..3) {
                let from = rng.random_range(first.saturating_sub(4).max(1)..=first);
                commands.push(sender.run(from, rng.random_range(1..9), 0));
            }
        }
    }
    // Mixed, but only so far that some arrive in time.
    let width = rng.random_range(1..40);
    commands.chunks_mut(width).for_each(|part| part.shuffle(rng));
    for entry in commands.chunks(rng.random_range(1..6)) {
        seen.take(state.apply(0, entry));
    }
}

/// What a device does in the end: it asks what comes next and sends from there.
fn finish(state: &mut State, senders: &[Sender], seen: &mut Seen) {
    for sender in senders {
        let total = sender.messages.len() as u64;
        for _ in 0..=total {
            let last = state.sent(sender.device, 0).map_or(0, |s| s.last_number);
            if last == total {
                break;
            }
            seen.take(state.apply(0, &[sender.run(last + 1, 7, last)]));
            let now = state.sent(sender.device, 0).map_or(0, |s| s.last_number);
            assert!(now > last, "the device is stuck at {last}");
        }
    }
}

#[test]
fn any_mix_of_sends_gives_each_number_one_outcome_in_order() {
    seeds(200, |rng| {
        let (mut state, mut seen) = (State::default(), Seen::default());
        let (at_ms, commands) = founded();
        state.apply(at_ms, &commands);
        let senders: Vec<_> = (1..4).map(|number| Sender::new(rng, number)).collect();
        storm(rng, &mut state, &senders, &mut seen);
        finish(&mut state, &senders, &mut seen);
        storm(rng, &mut state, &senders, &mut seen);
        check(&state, &senders, &seen);
    });
}

fn check(state: &State, senders: &[Sender], seen: &Seen) {
    let mut committed = 0;
    for sender in senders {
        let mut last_seq = BTreeMap::new();
        for (number, (to, body)) in (1..).zip(&sender.messages) {
            let found = seen.find(sender.device, number);
            match seen.outcomes.get(&(sender.device, number)) {
                Some(Outcome::Committed { conversation, first_seq: seq, .. }) => {
                    committed += 1;
                    let posted = seen.posted.get(&(*conversation, *seq));
                    assert_eq!(posted, Some(&(sender.device, number, body.clone())));
                    assert_eq!(found, Some((*conversation, *seq)));
                    let before = last_seq.insert(*conversation, *seq).unwrap_or(0);
                    assert!(*seq > before, "{number} stands before an earlier one");
                }
                Some(Outcome::Refused(refusal)) => {
                    let nobody = *to == Target::User(user(9));
                    let why = if nobody { Refusal::NoSuchUser } else { Refusal::BodySize };
                    assert!(nobody || body.data.is_empty(), "{number} was refused");
                    assert_eq!((*refusal, found), (why, None));
                }
                None => panic!("{number} has no outcome"),
            }
        }
        assert_eq!(
            seen.outcomes
                .range((sender.device, last(sender) + 1)..)
                .next()
                .filter(|o| o.0.0 == sender.device),
            None
        );
    }
    assert_eq!(seen.posted.len(), committed, "a message nobody sent");
    for number in 1..4 {
        for room in state.conversations_of(user(number)) {
            let seqs = seen.posted.range((room.row.id, 0)..=(room.row.id, u64::MAX));
            let dense = seqs.map(|(key, _)| key.1).eq(1..=room.row.last_seq);
            assert!(dense, "the seqs of {} have gaps", room.row.id);
        }
    }
}

fn last(sender: &Sender) -> u64 {
    sender.messages.len() as u64
}

fn send_to_nobody(first_number: u64, count: usize, confirmed: u64) -> Command {
    let nobody = UserId { cluster: CLUSTER, number: 77 };
    let bodies = vec![Body::text("hello?"); count];
    let to = Target::User(nobody);
    Command::Send(Send {
        device: device(1),
        epoch: 1,
        group: 0,
        first_number,
        confirmed,
        to,
        bodies,
    })
}

#[test]
fn a_device_that_confirms_nothing_is_told_to_wait() {
    let mut state = State::default();
    let (at_ms, commands) = founded();
    state.apply(at_ms, &commands);
    let cap = limits::REFUSALS as u64;
    let events = state.apply(0, &[send_to_nobody(1, limits::REFUSALS + 10, 0)]).events;
    let outcome = Outcome::Refused(Refusal::NoSuchUser);
    let (device, group) = (device(1), 0);
    let refused = Event::Outcome { device, group, first_number: 1, count: cap, outcome };
    let expected = Event::Expected { device, group, next: cap + 1 };
    assert_eq!(events, [refused, expected.clone()], "the rest was not taken: say so");
    let events = state.apply(0, &[send_to_nobody(cap + 1, 10, 0)]).events;
    assert_eq!(events, [expected]);
    let events = state.apply(0, &[send_to_nobody(cap + 1, 10, cap)]).events;
    assert_eq!(
        events,
        [Event::Outcome { device, group, first_number: cap + 1, count: 10, outcome }]
    );
    assert_eq!(state.sent(device, group).unwrap().refusals.len(), 10);
}

#[test]
fn a_group_that_does_not_exist_leaves_no_trace() {
    let mut state = State::default();
    let (at_ms, commands) = founded();
    state.apply(at_ms, &commands);
    for group in 1..5 {
        let (device, bodies) = (device(1), vec![Body::text("hi")]);
        let to = Target::User(user(2));
        let send = Send { device, epoch: 1, group, first_number: 1, confirmed: 0, to, bodies };
        let events = state.apply(0, &[Command::Send(send)]).events;
        let outcome = Outcome::Refused(Refusal::Protocol);
        assert_eq!(events, [Event::Outcome { device, group, first_number: 1, count: 1, outcome }]);
        assert_eq!(state.sent(device, group), None);
    }
}

#[test]
fn a_recovery_begins_a_generation_once_and_leaves_numbers_out() {
    let mut state = State::default();
    state.apply(1000, &[Command::Found { cluster: CLUSTER, name: "west".into() }]);
    let register = |name: &str, number| {
        Command::Register(Register {
            name: name.into(),
            password_hash: "hash".into(),
            device: device(number),
            token_hash: [number; 32],
            device_key: Bytes::new(),
            session: LoginId([number; 16]),
            invite: None,
        })
    };
    state.apply(2000, &[register("alice", 1)]);
    let recover = Command::Recover { generation: 2, skip: 1_000_000 };
    let applied = state.apply(500, std::slice::from_ref(&recover));
    assert!(matches!(&applied.writes[..], [Write::Meta(_)]), "{applied:?}");
    let meta = state.meta().clone();
    assert_eq!(
        (meta.generation, meta.last_user, meta.last_conversation),
        (2, 1_000_001, 1_000_000)
    );
    assert_eq!(meta.began_ms, meta.last_at_ms, "by the time of the log, which never goes back");
    // The same entry again, as after a recovery that was begun twice, and an older one.
    state.apply(3000, &[recover, Command::Recover { generation: 1, skip: 7 }]);
    let again = state.meta();
    assert_eq!((again.last_user, again.began_ms), (meta.last_user, meta.began_ms));
    state.apply(4000, &[register("bob", 2)]);
    assert_eq!(state.meta().last_user, 1_000_002);
}
