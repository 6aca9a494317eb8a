//! A client that follows the protocol and checks everything it is told.

use crate::chat::command::Target;
use crate::chat::event::Outcome;
use crate::chat::ids::{ConversationId, DeviceId, UserId};
use crate::chat::message::{Body, Run};
use crate::wire::message::{Ack, ClientMsg, Cursor, Hello, Purpose, SendRun, ServerMsg};
use bytes::Bytes;
use std::collections::BTreeMap;

#[derive(Debug)]
pub struct Client {
    pub name: String,
    pub device: DeviceId,
    pub user: Option<UserId>,
    token: Option<Bytes>,
    last_number: u64,
    /// Messages without an outcome.
    pub outbox: BTreeMap<u64, (Target, Body)>,
    pub outcomes: BTreeMap<u64, Outcome>,
    /// Who wrote what stands at a seq: device and number.
    pub seen: BTreeMap<ConversationId, BTreeMap<u64, (DeviceId, u64)>>,
    cursor: Cursor,
    /// Numbers up to this one were sent on the connection.
    sent: u64,
    pub ready: bool,
    /// Frames with messages since the connection was made.
    pub pushes: u64,
    pub ended: Option<ServerMsg>,
}

impl Client {
    pub fn new(name: &str, device: u8) -> Self {
        Self {
            name: name.to_owned(),
            device: DeviceId([device; 16]),
            user: None,
            token: None,
            last_number: 0,
            outbox: BTreeMap::new(),
            outcomes: BTreeMap::new(),
            seen: BTreeMap::new(),
            cursor: Cursor::default(),
            sent: 0,
            ready: false,
            pushes: 0,
            ended: None,
        }
    }

    pub fn connect(&mut self) -> ClientMsg {
        (self.ready, self.ended, self.pushes) = (false, None, 0);
        ClientMsg::Hello(Hello {
            min: 1,
            max: 1,
            features: 0,
            purpose: Purpose::Chat,
            device: Some(self.device),
            placed: true,
            cluster: None,
            events_after: None,
        })
    }

    pub fn write(&mut self, to: Target) {
        self.last_number += 1;
        let body = Body::text(format!("{} {}", self.name, self.last_number));
        self.outbox.insert(self.last_number, (to, body));
    }

    /// Every outcome up to this number is known.
    fn confirmed(&self) -> u64 {
        self.outbox.keys().next().map_or(self.last_number, |first| first - 1)
    }

    /// What waits to be sent, in runs of one target.
    pub fn flush(&mut self) -> Option<ClientMsg> {
        let mut runs: Vec<SendRun> = Vec::new();
        for (&number, (to, body)) in self.outbox.range(self.sent + 1..) {
            match runs.last_mut() {
                Some(run) if run.to == *to => run.bodies.push(body.clone()),
                _ => runs.push(SendRun {
                    group: 0,
                    first_number: number,
                    to: *to,
                    bodies: vec![body.clone()],
                }),
            }
            self.sent = number;
        }
        (self.ready && !runs.is_empty())
            .then(|| ClientMsg::Send { runs, confirmed: self.confirmed() })
    }

    /// Sends again from this number on.
    pub fn rewind(&mut self, number: u64) {
        self.sent = self.sent.min(number - 1);
    }

    /// The highest seq up to which nothing is missing.
    pub fn have(&self, conversation: ConversationId) -> Option<u64> {
        let seen = self.seen.get(&conversation)?;
        let (&first, _) = seen.first_key_value()?;
        (first..).take_while(|seq| seen.contains_key(seq)).last()
    }

    pub fn on(&mut self, message: ServerMsg) -> Option<ClientMsg> {
        match message {
            ServerMsg::Welcome(_) => return Some(self.introduce()),
            ServerMsg::Authenticated { user, token, .. } => {
                assert_eq!(*self.user.get_or_insert(user), user);
                if !token.is_empty() {
                    self.token = Some(token);
                }
                let seen = self.seen.keys().copied();
                let have = seen.filter_map(|id| Some((id, self.have(id)?))).collect();
                return Some(ClientMsg::Resume { cursor: self.cursor.clone(), have });
            }
            ServerMsg::Ready(ready) => {
                assert!(!self.ready, "ready twice");
                self.ready = true;
                let index = |c: &Cursor| c.positions.first().map_or(0, |p| p.index);
                assert!(index(&ready.cursor) >= index(&self.cursor), "back in time");
                self.cursor = ready.cursor;
                self.sent = self.confirmed();
                let last = ready.sends.first().map_or(0, |s| s.1);
                assert!(last >= self.confirmed() && last <= self.last_number);
            }
            ServerMsg::Push { runs, index } => {
                assert!(self.ready, "a push before the server is ready");
                self.pushes += 1;
                self.cursor.positions[0].index = self.cursor.positions[0].index.max(index);
                runs.iter().for_each(|run| self.see_run(run));
            }
            ServerMsg::Ack(ack) => self.on_ack(&ack),
            ServerMsg::Busy { .. } => self.rewind(self.confirmed() + 1),
            ServerMsg::GoAway { .. } | ServerMsg::Refused { .. } => self.ended = Some(message),
            _ => {}
        }
        None
    }

    fn introduce(&self) -> ClientMsg {
        let name = self.name.clone();
        match &self.token {
            Some(token) => ClientMsg::Token { name, token: token.clone(), signature: Bytes::new() },
            None => ClientMsg::Register(crate::wire::message::Credentials {
                password: format!("the word of {name}"),
                name,
                key: None,
                invite: String::new(),
            }),
        }
    }

    fn on_ack(&mut self, ack: &Ack) {
        for run in &ack.outcomes {
            for k in 0..u64::from(run.count) {
                let number = run.first_number + k;
                let outcome = match run.outcome {
                    Outcome::Committed { conversation, first_seq, at_ms } => {
                        self.see(conversation, first_seq + k, (self.device, number));
                        Outcome::Committed { conversation, first_seq: first_seq + k, at_ms }
                    }
                    refused => refused,
                };
                let before = self.outcomes.insert(number, outcome);
                assert!(before.is_none_or(|b| b == outcome), "{number}: {before:?}, {outcome:?}");
                self.outbox.remove(&number);
            }
        }
        let first = self.outbox.keys().next().copied().unwrap_or(u64::MAX);
        assert!(ack.upto < first, "{ack:?} covers {first}, whose outcome was not told");
        if let Some(next) = ack.expected {
            self.rewind(next);
        }
    }

    fn see_run(&mut self, run: &Run) {
        for k in 0..run.count() {
            self.see(run.conversation, run.first_seq + k, (run.device, run.first_number + k));
        }
    }

    fn see(&mut self, conversation: ConversationId, seq: u64, id: (DeviceId, u64)) {
        let before = self.seen.entry(conversation).or_default().insert(seq, id);
        assert!(before.is_none_or(|b| b == id), "two messages at {seq}: {before:?} and {id:?}");
    }
}
