//! After the login: messages, outcomes and marks that come in, and what they mean
//! for the program. A part of the session; it must not know how one logs in.

use super::requests::Reply;
use super::sends::Settled;
use super::session::{Output, Phase, Session};
use super::{ClientError, ClientEvent, Connection};
use crate::chat::ids::Group;
use crate::chat::message::Run;
use crate::chat::refusal::Refusal;
use crate::wire::message::{Ack, ConversationInfo, MarkEntry, Ready, ServerMsg};

impl Session {
    pub(super) fn inside(&mut self, now: u64, message: ServerMsg) {
        match message {
            ServerMsg::Conversations(infos) => {
                infos.into_iter().for_each(|info| self.on_conversation(now, info));
            }
            ServerMsg::Ready(ready) => self.on_ready(now, ready),
            ServerMsg::Push { runs, index } => {
                self.index = self.index.max(index);
                self.on_runs(now, runs);
            }
            ServerMsg::Ack(ack) => self.on_ack(now, &ack),
            ServerMsg::Marked(marks) => marks.into_iter().for_each(|mark| self.on_marked(mark)),
            ServerMsg::Busy { retry_after_ms } => {
                self.sends.busy(now, u64::from(retry_after_ms));
            }
            // Somebody revoked this device: it does not come back by itself, although it may know
            // the password.
            ServerMsg::Refused { request: 0, refusal: Refusal::UnknownDevice, .. } => {
                self.identity.token = None;
                self.out.push_back(Output::Token(None));
                self.fail(ClientError::Refused(Refusal::UnknownDevice));
            }
            // Of the connection: what it refuses is told by the text.
            ServerMsg::Refused { request: 0, refusal, text } => {
                let why = if text.is_empty() { refusal.to_string() } else { text };
                self.close(None, why);
            }
            message @ (ServerMsg::Found { .. }
            | ServerMsg::History { .. }
            | ServerMsg::Devices { .. }
            | ServerMsg::Done { .. }
            | ServerMsg::Certified { .. }
            | ServerMsg::Refused { .. }) => self.on_answer(now, message),
            _ => {}
        }
    }

    fn on_ready(&mut self, now: u64, ready: Ready) {
        if self.phase == Phase::Live {
            return;
        }
        let group = |sends: &[(Group, u64)]| sends.iter().find(|s| s.0 == 0).map_or(0, |s| s.1);
        let last = group(&ready.sends);
        if last < self.sends.acked() && !self.on_lost_sends() {
            return;
        }
        if let Some(known) = self.news.take() {
            self.began = None;
            self.out.push_back(Output::ForgetHad);
            self.out.push_back(Output::Known(known));
        }
        self.redirects = 0;
        self.out.push_back(Output::Settle(last));
        self.sends.ready(now, last, ready.window, ready.window_bytes);
        let index = ready.cursor.positions.iter().filter(|p| p.group == 0).map(|p| p.index).max();
        self.index = self.index.max(index.unwrap_or(0));
        self.phase = Phase::Live;
        self.was_live = true;
        self.redirects = 0;
        self.inbox.ready(now);
        self.marks.ready();
        self.event(ClientEvent::Connection(Connection::Ready {
            server: self.server.clone(),
            seat: self.seat,
            cluster: self.cluster_name.clone(),
            user: self.user,
            via: self.via.clone(),
        }));
    }

    /// The cluster has lost messages of this device that it had acknowledged. Those that wait
    /// here are sent under numbers that it can take; true where they can be sent at once.
    fn on_lost_sends(&mut self) -> bool {
        match self.began {
            // The outbox refuses it: nothing explains it.
            None => true,
            Some(_) if self.was_live => {
                let text = "the cluster has lost messages that were shown here as sent: it went \
                            on from an earlier time; start again to go on with it";
                self.on_lost();
                self.out.push_back(Output::Failed(ClientError::State(text.to_owned())));
                false
            }
            // Other clusters may have the messages that were lost, by this device's numbers.
            Some(_) => {
                self.on_lost();
                self.out.push_back(Output::RenewKeeping);
                false
            }
        }
    }

    fn on_conversation(&mut self, now: u64, info: ConversationInfo) {
        let own = info.members.iter().find(|m| m.user == self.user);
        let (delivered, read) = own.map_or((0, 0), |m| (m.delivered, m.read));
        let (id, last) = (info.id, info.last_seq);
        self.marks.learn(id, delivered, read);
        self.event(ClientEvent::Conversation(info));
        self.inbox.known(now, id, read, last);
    }

    fn on_marked(&mut self, mark: MarkEntry) {
        if mark.user == Some(self.user) {
            self.marks.learn(mark.conversation, mark.delivered, mark.read);
        }
        self.event(ClientEvent::Marked(mark));
    }

    fn on_ack(&mut self, now: u64, ack: &Ack) {
        self.index = self.index.max(ack.index);
        let settled = self.sends.ack(now, ack);
        self.on_settled(now, settled);
    }

    /// Outcomes of own messages; the committed ones join their conversation.
    fn on_settled(&mut self, now: u64, settled: Vec<Settled>) {
        if settled.is_empty() {
            return;
        }
        for one in settled {
            let mut run = match one {
                Settled::Refused(number, refusal) => {
                    self.event(ClientEvent::Refused { number, refusal });
                    continue;
                }
                Settled::Committed(run) => run,
            };
            run.sender = self.user;
            run.origin = self.cluster;
            run.device = self.identity.device;
            self.event(ClientEvent::Committed {
                first_number: run.first_number,
                count: run.count(),
                id: run.id(0),
                conversation: run.conversation,
                first_seq: run.first_seq,
                at_ms: run.at_ms,
            });
            self.insert(now, run);
        }
        self.out.push_back(Output::Confirmed(self.sends.acked()));
    }

    /// Messages that stand in conversations, from a push or from history.
    fn on_runs(&mut self, now: u64, runs: Vec<Run>) {
        for run in runs {
            if run.bodies.is_empty() || run.first_seq == 0 {
                continue;
            }
            if run.device == self.identity.device && run.group == 0 {
                let mut settled = Vec::new();
                let in_turn = self.sends.seen(now, &run, &mut settled);
                self.on_settled(now, settled);
                if !in_turn {
                    // Its outcome will come behind those of smaller numbers, and with it this.
                    continue;
                }
            }
            self.insert(now, run);
        }
    }

    fn insert(&mut self, now: u64, run: Run) {
        let mut runs = Vec::new();
        self.inbox.insert(now, run, &mut runs);
        for run in runs {
            if self.is_own(&run) {
                self.marks.wrote(run.conversation, run.first_seq, run.last_seq());
            }
            self.event(ClientEvent::Messages(run));
        }
    }

    fn on_answer(&mut self, now: u64, message: ServerMsg) {
        match self.requests.answer(now, message) {
            None => {}
            Some(Reply::To(handle, result)) => self.out.push_back(Output::Reply(handle, result)),
            Some(Reply::Gap(id, runs)) => {
                let before = self.inbox.next(id);
                self.on_runs(now, runs);
                self.inbox.fetched(now, id, self.inbox.next(id) != before);
            }
            Some(Reply::Certificate(said)) => self.out.push_back(Output::Certificate(said)),
        }
    }
}
