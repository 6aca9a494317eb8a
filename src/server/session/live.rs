//! After the login: what is missing is pushed, then messages flow both ways.

use super::flow::Flow;
use super::sends::{Sends, WindowExceeded};
use super::{Account, Output, Phase, Query, Session, Trouble};
use crate::chat::command::{Advance, Command};
use crate::chat::ids::{ConversationId, Position};
use crate::chat::name::FullName;
use crate::chat::refusal::Refusal;
use crate::limits;
use crate::wire::message::{
    ClientMsg, Cursor, Fetch, MarkEntry, OutcomeRun, Ready, SendRun, ServerMsg,
};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// What was applied is in the store within a moment.
const SOON: Duration = Duration::from_millis(20);
/// Send numbers above this are no numbers a device has counted to.
const LAST_NUMBER: u64 = 1 << 62;

impl Session {
    /// This server has applied what the client has seen.
    pub(super) fn start(&mut self) {
        let Phase::Waiting { have } = &mut self.phase else { return };
        let have = std::mem::take(have);
        let Some(account) = &self.account else { return };
        self.flow = Some(Flow::new(account.user, account.device, have));
        self.phase = Phase::Starting;
    }

    /// Goes on telling and reading, a piece at a time; the driver calls this while the client
    /// takes what it is sent, until it returns false.
    pub fn go_on(&mut self, now: Instant) -> bool {
        self.ask_for_outcomes(now);
        let Some(flow) = &mut self.flow else { return false };
        if flow.is_walking() {
            let infos = self.setup.state.read(|r| flow.step(&r.state));
            let over = !flow.is_walking();
            if !infos.is_empty() {
                self.send(ServerMsg::Conversations(infos));
            }
            if over && matches!(self.phase, Phase::Starting) {
                self.ready(now);
            }
            if over {
                self.tell_marks();
            }
            return true;
        }
        match flow.page() {
            Some(page) => {
                self.ask(Query::Page(page));
                true
            }
            None => false,
        }
    }

    fn ready(&mut self, now: Instant) {
        let Some(account) = &self.account else { return };
        let (device, epoch) = (account.device, account.epoch);
        let (last, cursor) = self.setup.state.read(|r| {
            let last = r.state.sent(device, 0).map_or(0, |sent| sent.last_number);
            let meta = r.state.meta();
            let positions = vec![Position { group: 0, index: r.applied }];
            (last, Cursor { cluster: meta.cluster, generation: meta.generation, positions })
        });
        self.sends = Some(Sends::new(device, epoch, last, now));
        self.phase = Phase::Live;
        self.send(ServerMsg::Ready(Ready {
            sends: vec![(0, last)],
            window: limits::WINDOW_MESSAGES,
            window_bytes: limits::WINDOW_BYTES,
            cursor,
        }));
    }

    pub(super) fn inside(&mut self, message: ClientMsg, now: Instant) {
        match message {
            ClientMsg::Send { runs, confirmed } => self.on_send(runs, confirmed, now),
            ClientMsg::Mark(marks) => self.on_mark(&marks),
            ClientMsg::Fetch(fetch) => self.on_fetch(fetch),
            ClientMsg::Lookup { request, name } => self.on_lookup(request, &name),
            ClientMsg::Devices { request } => self.on_devices(request),
            ClientMsg::Revoke { request, device } => self.on_revoke(request, device, now),
            ClientMsg::Certify { request } => self.on_certify(request),
            ClientMsg::ChangePassword(wanted) => self.on_change_password(wanted),
            _ => self.reject("this message is not allowed at this point"),
        }
    }

    fn on_send(&mut self, runs: Vec<SendRun>, confirmed: u64, now: Instant) {
        let Some(sends) = &mut self.sends else {
            return self.reject("messages may be sent once the server is ready");
        };
        let bad = |run: &SendRun| {
            run.group != 0 || run.first_number == 0 || run.first_number > LAST_NUMBER
        };
        if runs.iter().any(bad) {
            return self.reject("a run with a group or a number that cannot be");
        }
        match sends.take(runs, confirmed, now) {
            Ok(()) => self.pump(now),
            Err(WindowExceeded) => self.reject("more was sent than the window allows"),
        }
    }

    fn on_mark(&mut self, marks: &[MarkEntry]) {
        let Some(user) = self.account.as_ref().map(|account| account.user) else { return };
        let advances: Vec<Advance> = self.setup.state.read(|r| {
            let advance = |mark: &MarkEntry| {
                let room = r.state.conversation(mark.conversation)?;
                room.row.members.binary_search(&user).ok()?;
                let last = room.row.last_seq;
                let (delivered, read) = (mark.delivered.min(last), mark.read.min(last));
                let (had, seen) = room.marks.get(&user).copied().unwrap_or_default();
                let news = delivered > had || read > seen;
                news.then_some(Advance { user, conversation: mark.conversation, delivered, read })
            };
            marks.iter().filter_map(advance).collect()
        });
        if !advances.is_empty() {
            self.out.push(Output::Marks(advances));
        }
    }

    fn on_fetch(&mut self, fetch: Fetch) {
        if fetch.request == 0 {
            return self.reject("a request has a number from 1");
        }
        let Some(user) = self.account.as_ref().map(|account| account.user) else { return };
        let allowed = self.setup.state.read(|r| match r.state.conversation(fetch.conversation) {
            None => Err(Refusal::NoSuchConversation),
            Some(room) if room.row.members.binary_search(&user).is_err() => Err(Refusal::NotMember),
            Some(_) => Ok(()),
        });
        match allowed {
            Err(refusal) => self.refuse(fetch.request, refusal, ""),
            Ok(()) => self.request(fetch.request, Query::History(fetch)),
        }
    }

    fn on_lookup(&mut self, request: u32, name: &str) {
        if request == 0 {
            return self.reject("a request has a number from 1");
        }
        let Some(user) = self.account.as_ref().map(|account| account.user) else { return };
        match FullName::fold(name) {
            Err(error) => self.refuse(request, Refusal::NameInvalid, error.to_string()),
            Ok(name) => self.request(request, Query::Lookup { request, name, user }),
        }
    }

    fn on_certify(&mut self, request: u32) {
        let Some(Account { user, device, .. }) = self.account.clone() else { return };
        self.request(request, Query::Certify { request, user, device });
    }

    fn request(&mut self, request: u32, query: Query) {
        if self.admit(request) {
            self.ask(query);
        }
    }

    /// Counts a request in, unless there are too many already.
    pub(super) fn admit(&mut self, request: u32) -> bool {
        if request == 0 {
            self.reject("a request has a number from 1");
            return false;
        }
        if self.requests >= limits::REQUESTS {
            self.refuse(request, Refusal::Overloaded, "");
            return false;
        }
        self.requests += 1;
        true
    }

    pub(super) fn on_page(
        &mut self,
        conversation: ConversationId,
        result: Result<(Vec<Bytes>, u64), Trouble>,
        now: Instant,
    ) {
        let Some(flow) = &mut self.flow else { return };
        match result {
            Ok((pushes, upto)) => {
                self.pushed += flow.on_page(conversation, upto);
                if flow.has_dry() {
                    self.read_again = Some(now + SOON);
                }
                self.out.extend(pushes.into_iter().map(Output::Encoded));
            }
            Err(_) => self.go_away("this server cannot read its store now"),
        }
    }

    pub(super) fn on_opened(&mut self, conversation: ConversationId) {
        let Some(flow) = &mut self.flow else { return };
        let info = self.setup.state.read(|r| flow.on_opened(&r.state, conversation));
        if let Some(info) = info {
            self.send(ServerMsg::Conversations(vec![info]));
        }
    }

    pub(super) fn on_expected(&mut self, next: u64, index: u64, now: Instant) {
        let (Some(account), Some(sends)) = (&self.account, &mut self.sends) else { return };
        let device = account.device;
        let full = self.setup.state.read(|r| {
            r.state.sent(device, 0).is_some_and(|sent| sent.refusals.len() >= limits::REFUSALS)
        });
        sends.on_expected(next, full, index, now);
    }

    /// Looks outcomes up that this session did not see happen.
    fn ask_for_outcomes(&mut self, now: Instant) {
        let (Some(account), Some(sends)) = (&self.account, &mut self.sends) else { return };
        if self.look_again.is_some_and(|at| now < at) {
            return;
        }
        self.look_again = None;
        let device = account.device;
        if let Some((from, to)) = sends.wanted() {
            self.ask(Query::Outcomes { device, from, to });
        }
    }

    pub(super) fn on_outcomes(
        &mut self,
        result: Result<(Vec<OutcomeRun>, u64, u64), Trouble>,
        now: Instant,
    ) {
        let Some(sends) = &mut self.sends else { return };
        match result {
            Ok((runs, upto, index)) => {
                if !sends.on_looked_up(runs, upto, index) {
                    self.look_again = Some(now + SOON);
                }
                self.pump(now);
            }
            Err(_) => self.go_away("this server cannot read its store now"),
        }
    }

    /// Submits what is due and acknowledges what is decided.
    pub(super) fn pump(&mut self, now: Instant) {
        self.ask_for_outcomes(now);
        let Some(sends) = &mut self.sends else { return };
        if self.hold.is_none_or(|at| now >= at) {
            self.hold = None;
            let commands = sends.submissions(now).into_iter().map(Command::Send);
            self.out.extend(commands.map(Output::Submit));
        }
        if let Some(ack) = sends.ack(0) {
            self.send(ServerMsg::Ack(ack));
        }
    }

    /// Tells whose marks moved, once the client knows the conversations.
    pub(super) fn tell_marks(&mut self) {
        let walking = self.flow.as_ref().is_none_or(Flow::is_walking);
        if walking || self.marked.is_empty() || !matches!(self.phase, Phase::Live) {
            return;
        }
        let marks = std::mem::take(&mut self.marked).into_iter();
        let marks = marks.map(|((conversation, user), (delivered, read))| MarkEntry {
            conversation,
            user: Some(user),
            delivered,
            read,
        });
        let marks: Vec<MarkEntry> = marks.collect();
        for part in marks.chunks(limits::MARKS_PER_COMMAND) {
            self.send(ServerMsg::Marked(part.to_vec()));
        }
    }
}
