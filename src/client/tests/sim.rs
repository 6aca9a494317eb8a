//! A client, a cluster and the link between them, in simulated time.

use super::model::{ALICE, Cluster};
use crate::chat::command::Target;
use crate::chat::ids::{ConversationId, MessageId};
use crate::chat::message::Body;
use crate::client::outbox::Outbox;
use crate::client::session::{Identity, Output, Session};
use crate::client::{Account, ClientEvent, Connection};
use crate::limits;
use crate::wire::message::{ClientMsg, ServerMsg};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;

/// What the link does to messages, as probabilities.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    pub lose: f64,
    pub repeat: f64,
    pub reorder: f64,
    /// Per step of 10 ms.
    pub cut: f64,
    /// Per step: the client's process dies and another takes the device.
    pub crash: f64,
}

/// One direction of the link: messages and when they arrive.
struct Way<T> {
    messages: Vec<(u64, T)>,
    last: u64,
}

impl<T: Clone> Way<T> {
    const fn new() -> Self {
        Self { messages: Vec::new(), last: 0 }
    }

    fn send(&mut self, now: u64, message: T, faults: Faults, rng: &mut StdRng) {
        if rng.random_bool(faults.lose) {
            return;
        }
        let copies = if rng.random_bool(faults.repeat) { 2 } else { 1 };
        for _ in 0..copies {
            let delay = rng.random_range(1..20);
            let at = if rng.random_bool(faults.reorder) {
                now + delay + rng.random_range(0..300)
            } else {
                self.last = self.last.max(now + delay);
                self.last
            };
            self.messages.push((at, message.clone()));
        }
    }

    fn arrive(&mut self, now: u64) -> Vec<T> {
        self.messages.sort_by_key(|(at, _)| *at);
        let split = self.messages.partition_point(|(at, _)| *at <= now);
        self.messages.drain(..split).map(|(_, message)| message).collect()
    }
}

/// Everything together.
pub struct Sim {
    pub rng: StdRng,
    pub cluster: Cluster,
    pub session: Session,
    pub outbox: Outbox,
    pub events: Vec<ClientEvent>,
    pub now: u64,
    pub faults: Faults,
    up: Way<ClientMsg>,
    down: Way<ServerMsg>,
    connected: bool,
    connect_at: u64,
    /// What the client has handed on, as `--tail` remembers it.
    had: BTreeMap<ConversationId, u64>,
    crashed: bool,
    /// Own messages by number.
    pub sent: BTreeMap<u64, (Target, Body)>,
}

impl Sim {
    pub fn new(seed: u64, faults: Faults) -> Self {
        let outbox = Outbox::memory(true);
        Self {
            rng: StdRng::seed_from_u64(seed),
            cluster: Cluster::new(),
            session: session(0, BTreeMap::new()),
            outbox,
            events: Vec::new(),
            now: 0,
            faults,
            up: Way::new(),
            down: Way::new(),
            connected: false,
            connect_at: 0,
            had: BTreeMap::new(),
            crashed: false,
            sent: BTreeMap::new(),
        }
    }

    pub fn say(&mut self, to: Target, count: u64) {
        let first = self.outbox.last() + 1;
        let bodies: Vec<_> = (first..first + count)
            .map(|n| {
                let length = self.rng.random_range(0..600);
                Body::text(format!("alice {n} {}", "x".repeat(length)))
            })
            .collect();
        for (number, body) in (first..).zip(&bodies) {
            self.sent.insert(number, (to, body.clone()));
        }
        assert_eq!(self.outbox.append(to, bodies).unwrap(), first);
    }

    /// Ten milliseconds pass.
    pub fn step(&mut self) {
        self.now += 10;
        if self.connected && self.rng.random_bool(self.faults.cut) {
            self.cut();
        }
        if self.rng.random_bool(self.faults.crash) {
            self.crash();
        }
        if !self.connected && self.now >= self.connect_at {
            self.connected = true;
            self.session.on_connected(self.now, "there:1".into(), true);
        }
        let fresh = self.outbox.take();
        if !fresh.is_empty() {
            self.session.queue(self.now, fresh);
        }
        self.session.on_tick(self.now);
        self.act();
        for message in self.up.arrive(self.now) {
            self.cluster.on_msg(message, &mut self.rng);
        }
        if self.rng.random_bool(0.5) {
            self.cluster.commit(self.now, &mut self.rng);
        }
        for message in std::mem::take(&mut self.cluster.out) {
            if self.connected {
                self.down.send(self.now, message, self.faults, &mut self.rng);
            }
        }
        for message in self.down.arrive(self.now) {
            self.session.on_msg(self.now, message);
            self.act();
        }
        assert!(self.session.held_bytes() <= limits::CLIENT_HELD_BYTES);
    }

    /// Does what the session says.
    fn act(&mut self) {
        while let Some(output) = self.session.pop() {
            match output {
                Output::Send(message) => {
                    self.up.send(self.now, message, self.faults, &mut self.rng);
                }
                Output::Event(event) => {
                    if let ClientEvent::Messages(run) = &event {
                        self.had.insert(run.conversation, run.last_seq());
                    }
                    self.events.push(event);
                }
                Output::Confirmed(upto) => self.outbox.confirm(upto).unwrap(),
                Output::Settle(last) => self.outbox.settle(last).unwrap(),
                Output::Close { retry_ms, .. } => {
                    self.cut();
                    self.connect_at = self.now + retry_ms.unwrap_or(50);
                }
                Output::Token(_) | Output::Known(_) | Output::Met { .. } => {}
                other => panic!("unexpected: {other:?}"),
            }
        }
    }

    fn cut(&mut self) {
        self.session.on_lost();
        self.cluster.disconnect();
        self.up = Way::new();
        self.down = Way::new();
        self.connected = false;
        self.connect_at = self.now + self.rng.random_range(0..500);
    }

    /// The process dies; the next one has only the outbox and what was remembered.
    fn crash(&mut self) {
        self.cut();
        self.crashed = true;
        let mut outbox = Outbox::memory(true);
        // As a file would give it back.
        let mut rest = self.outbox.done();
        outbox.settle(rest).unwrap();
        while rest < self.outbox.last() {
            rest += 1;
            let (to, body) = self.sent[&rest].clone();
            outbox.append(to, vec![body]).unwrap();
        }
        self.outbox = outbox;
        self.session = session(self.outbox.done(), self.had.clone());
    }

    /// No more faults; runs until everything has come through.
    pub fn heal(&mut self) {
        self.faults = Faults::default();
        self.cluster.unkind = false;
        self.cut();
        let deadline = self.now + 120_000;
        while !self.is_done() {
            assert!(self.now < deadline, "not done: {}", self.state_of_things());
            self.step();
        }
    }

    /// No more faults, but the connection stays: timers alone must bring what was lost.
    pub fn calm(&mut self) {
        self.faults = Faults::default();
        self.cluster.unkind = false;
        let deadline = self.now + 60_000;
        while self.outbox.pending() > 0 {
            assert!(self.now < deadline, "own messages hang: {}", self.state_of_things());
            self.step();
        }
        // The last push may be lost without a trace; the next one shows it.
        self.cluster.bob_says(1);
        while !self.is_done() {
            assert!(self.now < deadline, "a gap is left: {}", self.state_of_things());
            self.step();
        }
    }

    fn is_done(&self) -> bool {
        let mut all = self.cluster.state.conversations_of(self.cluster.alice);
        self.session.is_live()
            && self.outbox.pending() == 0
            && all.all(|room| {
                let heard = self.had.get(&room.row.id).copied().unwrap_or(0);
                let read = room.marks.get(&self.cluster.alice).map_or(0, |mark| mark.1);
                // A later process does not repeat what its user wrote.
                heard.max(if self.crashed { read } else { 0 }) >= room.row.last_seq
            })
    }

    fn state_of_things(&self) -> String {
        let all = self.cluster.state.conversations_of(self.cluster.alice);
        let rooms: Vec<_> = all.map(|room| (room.row.id, room.row.last_seq)).collect();
        format!(
            "{} own without outcome of {}, heard {:?} of {rooms:?}, live {}",
            self.outbox.pending(),
            self.outbox.last(),
            self.had,
            self.session.is_live()
        )
    }

    /// What must hold in the end, whatever happened.
    pub fn check(&self) {
        self.check_outcomes();
        self.check_messages();
    }

    /// Every own message has one outcome, in order, and the right one.
    fn check_outcomes(&self) {
        let mut next = 1;
        for event in &self.events {
            match event {
                ClientEvent::Committed {
                    first_number, count, id, conversation, first_seq, ..
                } => {
                    assert_eq!(*first_number, next, "outcomes come once and in order");
                    let number = *first_number;
                    let origin = super::model::CLUSTER;
                    assert_eq!(*id, MessageId { origin, device: ALICE, group: 0, number });
                    for offset in 0..*count {
                        let run = &self.cluster.history[conversation];
                        let seq = first_seq + offset;
                        let stands = run.iter().find_map(|r| super::model::cut(r, seq, seq));
                        let stands = stands.expect("it stands there");
                        assert_eq!((stands.device, stands.first_number), (ALICE, number + offset));
                        assert_eq!(stands.bodies[0], self.sent[&(number + offset)].1);
                    }
                    next += count;
                }
                ClientEvent::Refused { number, .. } => {
                    assert_eq!(*number, next, "outcomes come once and in order");
                    assert_eq!(self.cluster.committed(*number), None);
                    next += 1;
                }
                _ => {}
            }
        }
        assert_eq!(next - 1, self.sent.len() as u64, "every message has an outcome");
    }

    /// Every conversation is dense, each message once, as it stands in history; own messages
    /// come after their outcome.
    fn check_messages(&self) {
        let mut at: BTreeMap<ConversationId, u64> = BTreeMap::new();
        let mut settled = 0;
        for event in &self.events {
            match event {
                ClientEvent::Committed { first_number, count, .. } => {
                    settled = first_number + count - 1;
                }
                ClientEvent::Refused { number, .. } => settled = *number,
                ClientEvent::Messages(run) => {
                    let last = at.entry(run.conversation).or_default();
                    let history = &self.cluster.history[&run.conversation];
                    let before = |r| super::model::cut(r, *last + 1, run.first_seq - 1);
                    for skipped in history.iter().filter_map(before) {
                        // What a user wrote counts as read: the next process starts behind it.
                        assert!(self.crashed && skipped.device == ALICE, "dense: {skipped:?}");
                    }
                    assert!(run.first_seq > *last, "once");
                    *last = run.last_seq();
                    let stands: Vec<_> = history
                        .iter()
                        .filter_map(|r| super::model::cut(r, run.first_seq, run.last_seq()))
                        .collect();
                    let bodies: Vec<_> = stands.iter().flat_map(|r| &r.bodies).collect();
                    assert_eq!(run.bodies.iter().collect::<Vec<_>>(), bodies);
                    assert_eq!(run.sender, stands[0].sender);
                    if run.device == ALICE {
                        assert_eq!(run.first_number, stands[0].first_number);
                        assert!(run.first_number + run.count() - 1 <= settled, "committed first");
                    }
                }
                _ => {}
            }
        }
        for room in self.cluster.state.conversations_of(self.cluster.alice) {
            let heard = at.get(&room.row.id).copied().unwrap_or(0);
            let history = self.cluster.history[&room.row.id].iter();
            for unheard in history.filter_map(|r| super::model::cut(r, heard + 1, u64::MAX)) {
                assert!(self.crashed && unheard.device == ALICE, "unheard: {unheard:?}");
            }
        }
    }

    pub fn times_live(&self) -> usize {
        let ready =
            |e: &&ClientEvent| matches!(e, ClientEvent::Connection(Connection::Ready { .. }));
        self.events.iter().filter(ready).count()
    }
}

pub fn session(done: u64, had: BTreeMap<ConversationId, u64>) -> Session {
    Session::new(Identity {
        account: Account {
            name: "alice".into(),
            password: Some("pw".into()),
            register: false,
            invite: None,
        },
        device: ALICE,
        token: None,
        key: None,
        cluster: None,
        generation: None,
        done,
        had,
    })
}
