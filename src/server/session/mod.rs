//! One client's session, sans-IO: frames, events and answers go in, outputs come
//! out. It reads the replicated state, and asks for everything that takes time.
//! It must not know sockets, tasks, Raft or how anything is encoded.

mod asks;
mod changes;
mod door;
mod flow;
mod live;
mod place;
mod proof;
mod sends;
#[cfg(test)]
mod tests;

pub use asks::{Answer, NewPassword, Other, Output, Proven, Query, Trouble};
pub use flow::{PageWanted, info};
pub use sends::refused;

use super::hub::{Delivery, Note};
use super::replica::StateReader;
use crate::chat::command::Command;
use crate::chat::event::Event;
use crate::chat::ids::{ChangeId, ConversationId, DeviceId, UserId};
use crate::chat::refusal::Refusal;
use crate::limits;
use crate::raft::SubmitError;
use crate::wire::message::{ClientMsg, ClusterState, OutcomeRun, ServerAddress, ServerMsg};
use changes::Change;
use door::Attempt;
use flow::Flow;
use sends::Sends;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A client that could not be served now comes back after this time, in milliseconds.
const COME_BACK_MS: u32 = 300;
/// While Raft takes nothing, it is asked again after this time.
const HOLD: Duration = Duration::from_millis(100);

/// What every session of a server knows.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The cluster's name.
    pub cluster_name: String,
    /// This server's seat.
    pub seat: u32,
    /// All servers.
    pub servers: Vec<ServerAddress>,
    /// Of the welcome.
    pub features: u64,
    /// The replicated state.
    pub state: StateReader,
}

/// How far a client has come.
#[derive(Debug)]
enum Phase {
    /// Nothing is known yet.
    Hello,
    /// It was welcomed and must say who it is.
    Door(Attempt),
    /// It said who it is and must say what it has.
    Entered,
    /// It has seen more than this server.
    Waiting { have: Vec<(ConversationId, u64)> },
    /// Its conversations are being told.
    Starting,
    /// Messages flow.
    Live,
    /// Nothing more is done.
    Closed,
}

/// Who a session speaks for.
#[derive(Clone, Debug)]
struct Account {
    user: UserId,
    device: DeviceId,
    epoch: u64,
}

/// The session.
#[derive(Debug)]
pub struct Session {
    setup: Arc<Setup>,
    /// Random, and told to nobody; what must be told is made from it.
    seed: [u8; 32],
    /// Ids that were made from it.
    made: u64,
    phase: Phase,
    device: Option<DeviceId>,
    /// Another cluster carries what is said, for a device of this user alone.
    carried: Option<UserId>,
    account: Option<Account>,
    sends: Option<Sends>,
    flow: Option<Flow>,
    /// Marks to tell, merged.
    marked: BTreeMap<(ConversationId, UserId), (u64, u64)>,
    cluster: ClusterState,
    /// Requests that are not answered, and those of them that are on their way through the log.
    requests: usize,
    changes: BTreeMap<ChangeId, Change>,
    /// Messages pushed and not told yet.
    pushed: u64,
    /// Until then the client must be in.
    deadline: Instant,
    /// Raft is not asked before.
    hold: Option<Instant>,
    /// Lookups that found nothing yet are not repeated before.
    look_again: Option<Instant>,
    /// Pages that were not in the store yet are not read again before.
    read_again: Option<Instant>,
    out: Vec<Output>,
}

impl Session {
    /// A connection that was just made; `seed` is random.
    #[must_use]
    pub fn new(setup: Arc<Setup>, cluster: ClusterState, seed: [u8; 32], now: Instant) -> Self {
        Self {
            setup,
            seed,
            made: 0,
            phase: Phase::Hello,
            device: None,
            carried: None,
            account: None,
            sends: None,
            flow: None,
            marked: BTreeMap::new(),
            cluster,
            requests: 0,
            changes: BTreeMap::new(),
            pushed: 0,
            deadline: now + limits::LOGIN_TIME,
            hold: None,
            look_again: None,
            read_again: None,
            out: Vec::new(),
        }
    }

    /// One whose client comes by way of another cluster, which says that it is a device of this
    /// user.
    #[must_use]
    pub fn carried_for(self, user: Option<UserId>) -> Self {
        Self { carried: user, ..self }
    }

    /// What is to be done; to be asked for after every input.
    #[must_use]
    pub fn outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.out)
    }

    /// True once the client has proven who it is.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.account.is_some()
    }

    /// True once nothing more will be done.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        matches!(self.phase, Phase::Closed)
    }

    /// True when everything that is known was pushed and acknowledged.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        matches!(self.phase, Phase::Live)
            && self.sends.as_ref().is_none_or(Sends::is_idle)
            && self.flow.as_ref().is_none_or(Flow::is_even)
    }

    /// Messages pushed since this was last asked.
    pub const fn take_pushed(&mut self) -> u64 {
        std::mem::replace(&mut self.pushed, 0)
    }

    /// Bytes of bodies that wait to be committed.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.sends.as_ref().map_or(0, Sends::bytes)
    }

    /// The client sent something.
    pub fn on_frame(&mut self, message: ClientMsg, now: Instant) {
        if let ClientMsg::Ping(token) = message {
            self.send(ServerMsg::Pong(token));
            return;
        }
        match &self.phase {
            Phase::Closed => {}
            Phase::Hello | Phase::Door(_) | Phase::Entered => self.at_the_door(message, now),
            Phase::Waiting { .. } | Phase::Starting | Phase::Live => self.inside(message, now),
        }
    }

    /// What was asked for was found out.
    pub fn on_answer(&mut self, answer: Answer, now: Instant) {
        match answer {
            Answer::Place(place, address) => self.on_place(place, address),
            Answer::Message(message) => self.send(*message),
            Answer::Hashed(result) => self.on_hashed(result, now),
            Answer::Verified(result) => self.on_verified(result, now),
            Answer::Barrier(result) => self.on_barrier(result, now),
            Answer::Applied(true) => self.start(),
            Answer::Applied(false) => self.go_away("this server is behind: try another one"),
            Answer::Page(conversation, result) => self.on_page(conversation, result, now),
            Answer::Outcomes(result) => self.on_outcomes(result, now),
            Answer::NewPassword { request, keep_devices, result } => {
                self.on_new_password(request, keep_devices, result, now);
            }
            Answer::Request(message) => {
                self.requests = self.requests.saturating_sub(1);
                self.out.push(Output::Encoded(message));
            }
        }
    }

    /// Something was applied that concerns this client.
    pub fn on_delivery(&mut self, delivery: Delivery, now: Instant) {
        for note in delivery.notes {
            match note {
                Note::Posted(posted) => {
                    let messages = posted.last_seq + 1 - posted.first_seq;
                    let push = self.flow.as_mut().and_then(|flow| flow.on_posted(posted));
                    if let Some(push) = push {
                        self.pushed += messages;
                        self.out.push(Output::Encoded(push));
                    }
                }
                Note::Event(event) => self.on_event(event, delivery.index, now),
            }
        }
        self.tell_marks();
        self.pump(now);
    }

    fn on_event(&mut self, event: Event, index: u64, now: Instant) {
        match event {
            Event::Attached { session, user, epoch, .. } => self.on_attached(session, user, epoch),
            Event::DeviceRefused { session, refusal, .. } => {
                self.on_device_refused(session, refusal);
            }
            Event::Outcome { first_number, count, outcome, .. } => {
                let count = u32::try_from(count).unwrap_or(u32::MAX);
                if let Some(sends) = &mut self.sends {
                    sends.on_outcome(OutcomeRun { first_number, count, outcome }, index, now);
                }
            }
            Event::Repeated { first_number, count, .. } => {
                if let Some(sends) = &mut self.sends {
                    sends.on_state((first_number + count).saturating_sub(1), index, now);
                }
            }
            Event::Expected { next, .. } => self.on_expected(next, index, now),
            Event::Opened { conversation } => self.on_opened(conversation),
            Event::Marked { conversation, user, delivered, read } => {
                if self.flow.is_some() {
                    let mark = self.marked.entry((conversation, user)).or_default();
                    *mark = (mark.0.max(delivered), mark.1.max(read));
                }
            }
            Event::Changed { change, result, .. } => self.on_changed(change, result),
            // The hub has told already.
            Event::Revoked { .. }
            | Event::Founded
            | Event::Posted { .. }
            | Event::Linked { .. } => {}
        }
    }

    /// Events were lost: the state says what became of things.
    pub fn on_behind(&mut self, now: Instant) {
        self.look_for_entry();
        self.look_for_changes();
        self.look_for_end();
        if let Some(account) = self.account.clone()
            && let Some(sends) = &mut self.sends
        {
            let (last, applied) = self.setup.state.read(|r| {
                let sent = r.state.sent(account.device, 0);
                (sent.map_or(0, |sent| sent.last_number), r.applied)
            });
            sends.on_state(last, applied, now);
        }
        if let Some(flow) = &mut self.flow {
            flow.catch_up();
        }
        self.pump(now);
    }

    /// The consensus changed.
    pub fn on_cluster(&mut self, cluster: ClusterState, now: Instant) {
        let before = std::mem::replace(&mut self.cluster, cluster);
        if before == cluster || matches!(self.phase, Phase::Hello | Phase::Closed) {
            return;
        }
        self.send(ServerMsg::Cluster(cluster));
        if cluster.leader.is_some()
            && (before.leader, before.term) != (cluster.leader, cluster.term)
        {
            // What the old leader had not committed is lost.
            self.hold = None;
            if let Some(sends) = &mut self.sends {
                sends.again();
            }
            self.submit_entry_at(now);
            self.submit_entry(now);
            self.submit_changes_at(now);
            self.submit_changes(now);
        }
        self.pump(now);
    }

    /// Raft did not take a command.
    pub fn on_not_taken(&mut self, command: &Command, error: SubmitError, now: Instant) {
        match (command, error) {
            (_, SubmitError::Stopped) => self.go_away("this server stops"),
            (Command::Send(send), SubmitError::Busy) => {
                if let Some(sends) = &mut self.sends {
                    sends.drop_from(send.first_number);
                }
                self.send(ServerMsg::Busy { retry_after_ms: COME_BACK_MS });
            }
            (Command::Send(send), SubmitError::NoLeader) => {
                self.hold = Some(now + HOLD);
                if let Some(sends) = &mut self.sends {
                    sends.not_taken(send.first_number);
                }
            }
            _ => {
                self.submit_entry_at(now + HOLD);
                self.submit_changes_at(now + HOLD);
            }
        }
    }

    /// Time has passed.
    pub fn on_tick(&mut self, now: Instant) {
        let in_time = matches!(self.phase, Phase::Starting | Phase::Live | Phase::Closed);
        if !in_time && now >= self.deadline {
            self.go_away("the login took too long");
            return;
        }
        self.look_for_entry();
        self.submit_entry(now);
        self.submit_changes(now);
        if self.read_again.is_some_and(|at| now >= at) {
            self.read_again = None;
            if let Some(flow) = &mut self.flow {
                flow.retry();
            }
        }
        self.pump(now);
    }

    /// When [`Session::on_tick`] is wanted next.
    #[must_use]
    pub fn next_tick(&self) -> Option<Instant> {
        let in_time = matches!(self.phase, Phase::Starting | Phase::Live | Phase::Closed);
        let deadline = (!in_time).then_some(self.deadline);
        let sends = self.sends.as_ref().and_then(Sends::next);
        let (entry, change) = (self.entry_tick(), self.changes_tick());
        [deadline, sends, entry, change, self.hold, self.look_again, self.read_again]
            .into_iter()
            .flatten()
            .min()
    }

    /// The server stops.
    pub fn on_shutdown(&mut self) {
        self.go_away("this server stops");
    }

    /// The server takes no clients any more. Who has not logged in is placed elsewhere.
    pub fn on_drain(&mut self) {
        if self.is_known() {
            self.go_away("this server is drained");
        }
    }

    /// Ends where the state shows that another session speaks for the device now, or none may.
    fn look_for_end(&mut self) {
        let Some(own) = self.account.clone() else { return };
        let known = self
            .setup
            .state
            .read(|r| r.state.device(own.device).map(|known| (known.row.epoch, known.row.revoked)));
        match known {
            Some((epoch, false)) if epoch == own.epoch => {}
            Some((_, false)) => self.on_replaced(),
            // A device that is not known any more: the state is another cluster's.
            Some((_, true)) | None => self.on_revoked(),
        }
    }

    /// The device was revoked.
    pub fn on_revoked(&mut self) {
        // It may have asked for that itself.
        self.look_for_changes();
        let text = "this device was logged out".to_owned();
        self.end(ServerMsg::Refused { request: 0, refusal: Refusal::UnknownDevice, text });
    }

    /// Random bytes, made from the seed: other ones each time.
    fn unique(&mut self) -> [u8; 16] {
        self.made += 1;
        let hash = blake3::keyed_hash(&self.seed, &self.made.to_be_bytes());
        let mut id = [0; 16];
        id.iter_mut().zip(hash.as_bytes()).for_each(|(to, from)| *to = *from);
        id
    }

    /// A newer connection of the device has taken over.
    pub fn on_replaced(&mut self) {
        let text = "this device has connected again".to_owned();
        self.end(ServerMsg::GoAway { retry_after_ms: 10_000, text });
    }

    fn send(&mut self, message: ServerMsg) {
        self.out.push(Output::Send(message));
    }

    fn ask(&mut self, query: Query) {
        self.out.push(Output::Ask(query));
    }

    fn refuse(&mut self, request: u32, refusal: Refusal, text: impl Into<String>) {
        self.send(ServerMsg::Refused { request, refusal, text: text.into() });
    }

    /// Refuses what breaks the protocol, and closes.
    fn reject(&mut self, text: &str) {
        let refusal = Refusal::Protocol;
        self.end(ServerMsg::Refused { request: 0, refusal, text: text.to_owned() });
    }

    fn go_away(&mut self, text: &str) {
        self.end(ServerMsg::GoAway { retry_after_ms: COME_BACK_MS, text: text.to_owned() });
    }

    fn end(&mut self, last: ServerMsg) {
        if matches!(self.phase, Phase::Closed) {
            return;
        }
        self.send(last);
        self.out.push(Output::Close);
        self.phase = Phase::Closed;
        self.sends = None;
        self.flow = None;
    }
}
