//! The client's side of the protocol without any I/O: what happened goes in with
//! the time, what to do comes out. It outlives connections: own messages keep
//! their order and conversations stay dense from one to the next. It must not know
//! sockets, files, clocks or how servers are found.

use super::inbox::Inbox;
use super::key::DeviceKey;
use super::marks::Marks;
use super::pulse::{Beat, Pulse};
use super::requests::{Answer, Question, Requests};
use super::sends::Sends;
use super::{Account, ClientError, ClientEvent, Outgoing, Via};
use crate::chat::ids::{ClusterId, ConversationId, DeviceId, Position, UserId};
use crate::chat::message::Run;
use crate::limits;
use crate::wire::message::{
    CERTIFIES, Challenge, ClientMsg, Cursor, DeviceCertificate, ServerAddress, ServerMsg,
};
use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};

/// What to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this to the server.
    Send(ClientMsg),
    /// Tell the program.
    Event(ClientEvent),
    /// Every own message up to this number has its outcome.
    Confirmed(u64),
    /// Logged in; the server knows this many of the device's messages.
    Settle(u64),
    /// Keep the device's token, or forget it.
    Token(Option<Bytes>),
    /// Keep what the cluster says of the device.
    Certificate(DeviceCertificate),
    /// A server presents itself: nothing is told to it before its cluster was found to have the
    /// right key.
    Met {
        /// The cluster that it belongs to.
        cluster: ClusterId,
        /// Its name.
        name: String,
    },
    /// This cluster knows the device; keep its servers.
    Known(Known),
    /// Become a new device and connect again: this cluster does not know the old one.
    Renew,
    /// The cluster is no longer what this device knew: see [`ClientEvent::Restored`].
    Began {
        /// From a backup; else recovered from what one server had.
        restored: bool,
        /// When, in milliseconds of UNIX time.
        began_ms: u64,
    },
    /// What was printed stood in another generation: it says nothing about this one.
    ForgetHad,
    /// Own messages without an outcome are sent as a new device: numbers of the old one may have
    /// been used by messages that the cluster has lost, and that others have.
    RenewKeeping,
    /// Answers the question with this handle.
    Reply(u64, Result<Answer, ClientError>),
    /// Connect to this server instead.
    Redirect(ServerAddress),
    /// Drop the connection and find another one, not before `retry_ms`.
    Close {
        /// Milliseconds; `None`: as soon as the back-off allows.
        retry_ms: Option<u64>,
        /// For a person.
        why: String,
    },
    /// Nothing will help: end.
    Failed(ClientError),
}

/// A cluster, as its servers present themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its id.
    pub cluster: ClusterId,
    /// Its name.
    pub name: String,
    /// Its generation.
    pub generation: u64,
    /// Its servers.
    pub servers: Vec<ServerAddress>,
}

/// Who connects with what.
#[derive(Clone)]
pub struct Identity {
    /// Name, password, whether to register.
    pub account: Account,
    /// The device.
    pub device: DeviceId,
    /// Its token.
    pub token: Option<Bytes>,
    /// Its key, if it has one.
    pub key: Option<DeviceKey>,
    /// The cluster that knows it.
    pub cluster: Option<ClusterId>,
    /// In which generation of it the device was last used; `None`: in the first one.
    pub generation: Option<u64>,
    /// Own messages up to this number have their outcome.
    pub done: u64,
    /// Seqs that an earlier process had handed on for good.
    pub had: BTreeMap<ConversationId, u64>,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is none.
    Down,
    /// The hello is not answered.
    Hello,
    /// The token, the login or the registration is not answered.
    Door,
    /// Conversations are being told.
    Resuming,
    /// Messages flow.
    Live,
}

/// The client's side of the protocol.
pub struct Session {
    pub(super) identity: Identity,
    pub(super) phase: Phase,
    /// The connection has until then to become live.
    pub(super) deadline: u64,
    /// `host:port`.
    pub(super) server: String,
    pub(super) seat: u32,
    pub(super) cluster: ClusterId,
    pub(super) cluster_name: String,
    pub(super) generation: u64,
    /// What the server wants signed.
    pub(super) challenge: Challenge,
    /// What else it can do: bits.
    pub(super) features: u64,
    /// The other cluster that carries what is said.
    pub(super) via: Option<Via>,
    /// Set until messages flow in another generation, or restored cluster, than before: the
    /// latter is true.
    pub(super) began: Option<bool>,
    /// The cluster, to be kept once messages flow.
    pub(super) news: Option<Known>,
    pub(super) user: UserId,
    /// Highest log index seen, of `cluster` and `generation`.
    pub(super) index: u64,
    pub(super) redirects: u32,
    /// The user was to be registered and is not new.
    pub(super) name_was_taken: bool,
    /// Once live, the cluster does not change any more.
    pub(super) was_live: bool,
    pub(super) sends: Sends,
    pub(super) inbox: Inbox,
    pub(super) marks: Marks,
    pub(super) requests: Requests,
    pulse: Pulse,
    pings: u64,
    pub(super) out: VecDeque<Output>,
}

impl Session {
    /// A session that is not connected yet.
    #[must_use]
    pub fn new(identity: Identity) -> Self {
        Self {
            sends: Sends::new(identity.done),
            inbox: Inbox::new(identity.had.clone()),
            identity,
            phase: Phase::Down,
            deadline: 0,
            server: String::new(),
            seat: 0,
            cluster: ClusterId::default(),
            cluster_name: String::new(),
            generation: 0,
            challenge: Challenge::default(),
            features: 0,
            via: None,
            began: None,
            news: None,
            user: UserId::default(),
            index: 0,
            redirects: 0,
            name_was_taken: false,
            was_live: false,
            marks: Marks::default(),
            requests: Requests::default(),
            pulse: Pulse::new(0),
            pings: 0,
            out: VecDeque::new(),
        }
    }

    /// The next thing to do.
    pub fn pop(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// True while messages flow.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.phase == Phase::Live
    }

    /// True once messages have flowed.
    #[must_use]
    pub const fn has_been_live(&self) -> bool {
        self.was_live
    }

    /// The user's name.
    #[must_use]
    pub fn user_name(&self) -> &str {
        &self.identity.account.name
    }

    /// `host:port` of the server.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// True while there is a connection.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.phase != Phase::Down
    }

    /// Nothing will help.
    pub fn on_hopeless(&mut self, error: ClientError) {
        self.out.push_back(Output::Failed(error));
    }

    /// Bytes held because something before them is missing.
    #[must_use]
    pub const fn held_bytes(&self) -> usize {
        self.inbox.held_bytes()
    }

    /// The next connection is by way of this other cluster; `None`: by way of none.
    pub fn comes_by(&mut self, via: Option<Via>) {
        self.via = via;
    }

    /// Asks for a certificate, where the server gives any.
    pub fn certify(&mut self, now: u64) {
        if self.features & CERTIFIES != 0 && self.identity.key.is_some() {
            self.requests.certify();
            self.pump(now);
        }
    }

    /// A connection to `server` (`host:port`) stands. `placed`: a redirect led here.
    pub fn on_connected(&mut self, now: u64, server: String, placed: bool) {
        self.server = server;
        self.redirects = if placed { self.redirects + 1 } else { 0 };
        self.pulse = Pulse::new(now);
        self.say_hello(now, placed);
    }

    /// The connection is gone.
    pub fn on_lost(&mut self) {
        self.phase = Phase::Down;
        self.sends.lost();
        self.inbox.lost();
        self.requests.lost();
    }

    /// Own messages, in order of their numbers.
    pub fn queue(&mut self, now: u64, messages: Vec<Outgoing>) {
        for message in messages {
            self.sends.queue(message.clone());
            self.event(ClientEvent::Queued(message));
        }
        self.pump(now);
    }

    /// A question, whose answer comes as [`Output::Reply`].
    pub fn ask(&mut self, now: u64, handle: u64, question: Question) {
        self.requests.ask(handle, question);
        self.pump(now);
    }

    /// Nobody waits for that answer any more.
    pub fn forget(&mut self, handle: u64) {
        self.requests.forget(handle);
    }

    /// The user's own marks.
    pub fn mark(&mut self, now: u64, id: ConversationId, delivered: u64, read: u64) {
        self.marks.want(id, delivered, read);
        self.pump(now);
    }

    /// True if nobody but this user wrote the run, so that delivery tells nobody anything.
    #[must_use]
    pub fn is_own(&self, run: &Run) -> bool {
        run.sender == self.user
    }

    /// Nothing can be heard because nobody reads.
    pub fn on_deaf(&mut self, now: u64) {
        self.pulse.heard(now);
    }

    /// Time passed.
    pub fn on_tick(&mut self, now: u64) {
        match self.phase {
            Phase::Down => {}
            Phase::Live => {
                self.sends.tick(now);
                for missing in self.inbox.tick(now) {
                    self.requests.fetch(missing);
                }
                self.beat(now);
                self.pump(now);
            }
            _ if now >= self.deadline => self.close(None, "the server does not answer"),
            _ => {}
        }
    }

    /// When [`Session::on_tick`] has something to do.
    #[must_use]
    pub fn wake(&self) -> Option<u64> {
        match self.phase {
            Phase::Down => None,
            Phase::Live => {
                let waits = [
                    Some(self.pulse.wake(self.outstanding())),
                    self.sends.wake(),
                    self.inbox.wake(),
                    self.marks.wake(),
                    self.requests.wake(),
                ];
                waits.into_iter().flatten().min()
            }
            _ => Some(self.deadline),
        }
    }

    fn outstanding(&self) -> bool {
        self.sends.is_waiting() || self.requests.is_waiting()
    }

    fn beat(&mut self, now: u64) {
        match self.pulse.beat(now, self.outstanding()) {
            Beat::Rest => {}
            Beat::Ping => {
                self.pings += 1;
                self.out.push_back(Output::Send(ClientMsg::Ping(self.pings)));
            }
            Beat::Dead => self.close(None, "the server does not answer"),
        }
    }

    /// Sends what may be sent now.
    fn pump(&mut self, now: u64) {
        if self.phase != Phase::Live {
            return;
        }
        let mut frames = self.sends.pump(now);
        frames.extend(self.marks.flush(now).map(ClientMsg::Mark));
        frames.extend(self.requests.pump(now));
        self.out.extend(frames.into_iter().map(Output::Send));
    }

    /// The server said something.
    pub fn on_msg(&mut self, now: u64, message: ServerMsg) {
        self.pulse.heard(now);
        match (self.phase, message) {
            (Phase::Down, _) | (_, ServerMsg::Pong(_)) => {}
            (_, ServerMsg::GoAway { retry_after_ms, text }) => {
                self.close(Some(u64::from(retry_after_ms)), text);
            }
            (_, ServerMsg::Cluster(state)) => self.event(ClientEvent::Cluster(state)),
            (Phase::Hello, message) => self.on_greeting(now, message),
            (Phase::Door, message) => self.at_the_door(now, message),
            // Before the conversations are told it is not known where they begin.
            (Phase::Resuming, ServerMsg::Push { .. } | ServerMsg::Ack(_)) => {}
            (_, message) => {
                self.inside(now, message);
                self.pump(now);
            }
        }
    }

    pub(super) fn on_redirect(&mut self, to: ServerAddress) {
        if self.redirects >= limits::REDIRECTS {
            return self.close(None, "sent from server to server without end");
        }
        self.on_lost();
        self.out.push_back(Output::Redirect(to));
    }

    /// A recovery begins a new generation, a restore a new cluster: what was seen of the old one
    /// means nothing there, for other messages may stand in the same places.
    pub(super) fn begin_again(&mut self, restored: bool, began_ms: u64) {
        self.index = 0;
        self.inbox = Inbox::new(BTreeMap::new());
        self.marks = Marks::default();
        self.began = Some(restored);
        self.out.push_back(Output::Began { restored, began_ms });
    }

    /// Asks for everything that this device lacks.
    pub(super) fn resume(&mut self) {
        self.phase = Phase::Resuming;
        let cursor = if self.was_live {
            let positions = vec![Position { group: 0, index: self.index }];
            Cursor { cluster: self.cluster, generation: self.generation, positions }
        } else {
            Cursor::default()
        };
        self.out.push_back(Output::Send(ClientMsg::Resume { cursor, have: self.inbox.have() }));
    }

    /// Gives the connection up.
    pub(super) fn close(&mut self, retry_ms: Option<u64>, why: impl Into<String>) {
        self.on_lost();
        self.out.push_back(Output::Close { retry_ms, why: why.into() });
    }

    pub(super) fn event(&mut self, event: ClientEvent) {
        self.out.push_back(Output::Event(event));
    }

    /// True while own messages have no outcome.
    pub(super) fn has_unsent(&self) -> bool {
        self.sends.is_waiting()
    }

    /// Everything of another cluster is forgotten; only before the first time live.
    pub fn renewed(&mut self, device: DeviceId, key: Option<DeviceKey>) {
        self.identity.device = device;
        self.identity.key = key;
        self.identity.token = None;
        self.identity.cluster = None;
        self.identity.generation = None;
        (self.began, self.news) = (None, None);
        self.sends = Sends::new(0);
        self.inbox = Inbox::new(BTreeMap::new());
        self.marks = Marks::default();
    }

    /// The same, with the own messages that have no outcome.
    pub fn renewed_keeping(&mut self, device: DeviceId, key: Option<DeviceKey>) {
        let sends = self.sends.renumbered(0);
        self.renewed(device, key);
        self.sends = sends;
        self.event(ClientEvent::Renumbered(self.sends.pending()));
    }
}
