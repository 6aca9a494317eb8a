//! A cluster as one client sees it: the real state machine with a simple server
//! around it, which makes the choices that a server may make at random.

use crate::chat::command::{Advance, Command, Register, Send, Target};
use crate::chat::event::{Event, Outcome};
use crate::chat::ids::{ClusterId, ConversationId, DeviceId, LoginId, Position, UserId};
use crate::chat::message::{Body, Run};
use crate::chat::refusal::Refusal;
use crate::chat::state::{Room, State};
use crate::chat::write::Write;
use crate::wire::message::{
    Ack, ClientMsg, ConversationInfo, Cursor, Fetch, Member, OutcomeRun, Ready, SendRun,
    ServerAddress, ServerMsg, Welcome,
};
use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;
use std::collections::BTreeMap;

pub const CLUSTER: ClusterId = ClusterId([1; 16]);
pub const ALICE: DeviceId = DeviceId([0xa; 16]);
const BOB: DeviceId = DeviceId([0xb; 16]);
/// Messages in a page of history, so small that pages matter.
const PAGE: u64 = 7;

/// What a server knows of its one connection.
#[derive(Default)]
struct Conn {
    live: bool,
    /// Up to which seq was pushed, per conversation.
    pushed: BTreeMap<ConversationId, u64>,
}

/// The cluster.
pub struct Cluster {
    pub state: State,
    pub history: BTreeMap<ConversationId, Vec<Run>>,
    pub alice: UserId,
    pub bob: UserId,
    index: u64,
    now: u64,
    /// Bob's last send number.
    bob_sent: u64,
    /// Bytes that each of bob's messages has at least.
    pub bob_bytes: usize,
    conn: Conn,
    /// Commands of the client that wait for the next entry.
    waiting: Vec<Command>,
    /// Servers lose commands and are busy while this is true.
    pub unkind: bool,
    /// How many fetches were asked.
    pub fetches: u64,
    pub out: Vec<ServerMsg>,
}

impl Cluster {
    pub fn new() -> Self {
        let mut cluster = Self {
            state: State::default(),
            history: BTreeMap::new(),
            alice: UserId { cluster: CLUSTER, number: 1 },
            bob: UserId { cluster: CLUSTER, number: 2 },
            index: 0,
            now: 0,
            bob_sent: 0,
            bob_bytes: 0,
            conn: Conn::default(),
            waiting: Vec::new(),
            unkind: false,
            fetches: 0,
            out: Vec::new(),
        };
        let register = |name: &str, device| {
            Command::Register(Register {
                name: name.into(),
                password_hash: String::new(),
                device,
                token_hash: [0; 32],
                device_key: Bytes::new(),
                session: LoginId::default(),
                invite: None,
            })
        };
        let found = Command::Found { cluster: CLUSTER, name: "west".into() };
        cluster.apply(&[found, register("alice", ALICE), register("bob", BOB)], None);
        cluster
    }

    pub fn welcome(&self) -> ServerMsg {
        ServerMsg::Welcome(Welcome {
            version: 1,
            cluster: CLUSTER,
            cluster_name: "west".into(),
            generation: 1,
            seat: 1,
            servers: vec![ServerAddress::default()],
            ..Welcome::default()
        })
    }

    /// The connection is new, or gone.
    pub fn disconnect(&mut self) {
        self.conn = Conn::default();
        self.waiting.clear();
        self.out.clear();
    }

    pub fn on_msg(&mut self, message: ClientMsg, rng: &mut StdRng) {
        match message {
            ClientMsg::Hello(_) => self.out.push(self.welcome()),
            ClientMsg::Token { .. } | ClientMsg::Login(_) | ClientMsg::Register(_) => {
                let (user, name) = (self.alice, "alice".into());
                let token = Bytes::from_static(b"token");
                self.out.push(ServerMsg::Authenticated { user, name, token });
            }
            ClientMsg::Resume { have, .. } => self.resume(&have.into_iter().collect()),
            ClientMsg::Ping(token) => self.out.push(ServerMsg::Pong(token)),
            _ if !self.conn.live => {}
            ClientMsg::Send { runs, confirmed } => self.take(runs, confirmed, rng),
            ClientMsg::Mark(marks) => {
                let advance = marks.iter().map(|m| Advance {
                    user: self.alice,
                    conversation: m.conversation,
                    delivered: m.delivered,
                    read: m.read,
                });
                self.waiting.push(Command::Marks(advance.collect()));
            }
            ClientMsg::Fetch(fetch) => self.fetch(fetch),
            ClientMsg::Lookup { .. }
            | ClientMsg::Devices { .. }
            | ClientMsg::Revoke { .. }
            | ClientMsg::ChangePassword(_)
            | ClientMsg::Certify { .. }
            | ClientMsg::Visit { .. } => {}
        }
    }

    fn take(&mut self, runs: Vec<SendRun>, confirmed: u64, rng: &mut StdRng) {
        if self.unkind && rng.random_bool(0.05) {
            return self.out.push(ServerMsg::Busy { retry_after_ms: rng.random_range(0..400) });
        }
        for run in runs {
            // A forwarded command may be lost with a leader.
            if self.unkind && rng.random_bool(0.1) {
                continue;
            }
            self.waiting.push(Command::Send(Send {
                device: ALICE,
                epoch: 0,
                group: run.group,
                first_number: run.first_number,
                confirmed,
                to: run.to,
                bodies: run.bodies,
            }));
        }
    }

    /// Bob writes, as part of the next entry.
    pub fn bob_says(&mut self, count: u64) {
        let width = self.bob_bytes;
        let text = |n| format!("{:width$}", format!("bob {}", self.bob_sent + n + 1));
        let bodies = (0..count).map(|n| Body::text(text(n)));
        self.waiting.push(Command::Send(Send {
            device: BOB,
            epoch: 0,
            group: 0,
            first_number: self.bob_sent + 1,
            confirmed: self.bob_sent,
            to: Target::User(self.alice),
            bodies: bodies.collect(),
        }));
        self.bob_sent += count;
    }

    /// Commits what waits.
    pub fn commit(&mut self, now: u64, rng: &mut StdRng) {
        self.now = now;
        let commands = std::mem::take(&mut self.waiting);
        if !commands.is_empty() {
            self.apply(&commands, Some(rng));
        }
    }

    fn apply(&mut self, commands: &[Command], rng: Option<&mut StdRng>) {
        self.index += 1;
        let applied = self.state.apply(self.now, commands);
        for write in applied.writes {
            if let Write::History { conversation, runs } = write {
                self.history.entry(conversation).or_default().extend(runs);
            }
        }
        if let Some(rng) = rng
            && self.conn.live
        {
            applied.events.into_iter().for_each(|event| self.tell(event, rng));
        }
    }

    fn tell(&mut self, event: Event, rng: &mut StdRng) {
        match event {
            Event::Outcome { device: ALICE, first_number, count, outcome, .. } => {
                let count = u32::try_from(count).unwrap();
                self.ack(vec![OutcomeRun { first_number, count, outcome }], None);
            }
            Event::Repeated { device: ALICE, first_number, count, .. } => {
                let outcomes = self.outcomes(first_number, count);
                self.ack(outcomes, None);
            }
            Event::Expected { device: ALICE, next, .. } => self.ack(Vec::new(), Some(next)),
            Event::Opened { conversation } => self.tell_conversation(conversation),
            Event::Posted { conversation, runs } => {
                let pushed = self.conn.pushed.entry(conversation).or_default();
                let own = runs.iter().all(|run| run.device == ALICE);
                let last = runs.last().unwrap().last_seq();
                *pushed = (*pushed).max(last);
                if !own || rng.random_bool(0.1) {
                    self.out.push(ServerMsg::Push { runs, index: self.index });
                }
            }
            Event::Marked { .. } => {}
            _ => {}
        }
    }

    fn tell_conversation(&mut self, id: ConversationId) {
        let infos = self.state.conversation(id).map(info).into_iter().collect();
        self.out.push(ServerMsg::Conversations(infos));
    }

    /// What the state still knows about numbers that had their outcome before.
    fn outcomes(&self, first: u64, count: u64) -> Vec<OutcomeRun> {
        let number = |n: u64| -> Option<OutcomeRun> {
            let refused = self.state.sent(ALICE, 0)?.refusals.iter().find(|r| r.0 == n);
            let outcome = match refused {
                Some((_, refusal)) => Outcome::Refused(*refusal),
                None => self.committed(n)?,
            };
            Some(OutcomeRun { first_number: n, count: 1, outcome })
        };
        (first..first + count).filter_map(number).collect()
    }

    pub fn committed(&self, number: u64) -> Option<Outcome> {
        let mut runs = self.history.values().flatten().filter(|run| run.device == ALICE);
        let within =
            |run: &&Run| (run.first_number..run.first_number + run.count()).contains(&number);
        runs.find(within).map(|run| Outcome::Committed {
            conversation: run.conversation,
            first_seq: run.first_seq + number - run.first_number,
            at_ms: run.at_ms,
        })
    }

    fn ack(&mut self, outcomes: Vec<OutcomeRun>, expected: Option<u64>) {
        let upto = self.state.sent(ALICE, 0).map_or(0, |sent| sent.last_number);
        let index = self.index;
        self.out.push(ServerMsg::Ack(Ack { group: 0, upto, outcomes, expected, index }));
    }

    fn resume(&mut self, have: &BTreeMap<ConversationId, u64>) {
        self.conn.live = true;
        let rooms: Vec<_> = self.state.conversations_of(self.alice).map(info).collect();
        let last = self.state.sent(ALICE, 0).map_or(0, |sent| sent.last_number);
        if !rooms.is_empty() {
            self.out.push(ServerMsg::Conversations(rooms.clone()));
        }
        self.out.push(ServerMsg::Ready(Ready {
            sends: vec![(0, last)],
            window: 16,
            window_bytes: 4096,
            cursor: Cursor {
                cluster: CLUSTER,
                generation: 1,
                positions: vec![Position { group: 0, index: self.index }],
            },
        }));
        for room in rooms {
            let read = room.members.iter().find(|m| m.user == self.alice).map_or(0, |m| m.read);
            let mut from = have.get(&room.id).copied().unwrap_or(read) + 1;
            while from <= room.last_seq {
                let to = room.last_seq.min(from + PAGE - 1);
                let runs = self.page(room.id, from, to);
                self.out.push(ServerMsg::Push { runs, index: self.index });
                from = to + 1;
            }
        }
    }

    fn fetch(&mut self, fetch: Fetch) {
        self.fetches += 1;
        let Fetch { request, conversation, from, to, .. } = fetch;
        let Some(room) = self.state.conversation(conversation) else {
            let (refusal, text) = (Refusal::NoSuchConversation, String::new());
            return self.out.push(ServerMsg::Refused { request, refusal, text });
        };
        let to = to.min(from + PAGE - 1).min(room.row.last_seq);
        let runs = self.page(conversation, from, to);
        self.out.push(ServerMsg::History { request, conversation, from, to, runs });
    }

    fn page(&self, id: ConversationId, from: u64, to: u64) -> Vec<Run> {
        let runs = self.history.get(&id).into_iter().flatten();
        runs.filter_map(|run| cut(run, from, to)).collect()
    }
}

/// The part of a run within `from..=to`.
pub fn cut(run: &Run, from: u64, to: u64) -> Option<Run> {
    let (first, last) = (run.first_seq.max(from), run.last_seq().min(to));
    if first > last {
        return None;
    }
    let skip = usize::try_from(first - run.first_seq).unwrap();
    let count = usize::try_from(last - first + 1).unwrap();
    let bodies = run.bodies[skip..skip + count].to_vec();
    let first_number = run.first_number + first - run.first_seq;
    Some(Run { first_seq: first, first_number, bodies, ..run.clone() })
}

fn info(room: &Room) -> ConversationInfo {
    let member = |user: &UserId| {
        let (delivered, read) = room.marks.get(user).copied().unwrap_or_default();
        Member { user: *user, name: user.number.to_string(), delivered, read }
    };
    ConversationInfo {
        id: room.row.id,
        kind: room.row.kind,
        members: room.row.members.iter().map(member).collect(),
        last_seq: room.row.last_seq,
        title: String::new(),
    }
}
