//! Questions to the server and their answers: history, look-ups, and the gaps of
//! the inbox. A question survives the connection it was asked on. It must not know
//! who asked, only by which handle.

use super::inbox::Missing;
use super::{ClientError, FoundUser};
use crate::chat::ids::{ConversationId, DeviceId};
use crate::chat::message::Run;
use crate::chat::refusal::Refusal;
use crate::wire::message::{
    ChangePassword, ClientMsg, DeviceCertificate, DeviceInfo, Fetch, ServerMsg,
};
use std::collections::{BTreeMap, VecDeque};

/// Questions that are with the server at a time; a server takes no more of one client.
const IN_FLIGHT: usize = 8;
/// A question that the server was too busy for is asked again after this time.
const AGAIN_MS: u64 = 500;

/// A question without an answer is asked again after this time; a quorum read may take 5 s.
const LOST_MS: u64 = 10_000;

/// A question of the program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// Who has this name?
    Lookup(String),
    /// Which devices does the user have?
    Devices,
    /// Revoke one of them.
    Revoke(DeviceId),
    /// Another password.
    ChangePassword(NewPassword),
    /// What the cluster says of this device, for others.
    Certify,
    /// The messages of a conversation, both seqs included.
    History {
        /// Where.
        conversation: ConversationId,
        /// First seq.
        from: u64,
        /// Last seq.
        to: u64,
        /// A quorum read.
        current: bool,
    },
}

/// Another password for the old one.
#[derive(Clone, PartialEq, Eq)]
pub struct NewPassword {
    /// Never logged.
    pub old: String,
    /// Never logged.
    pub new: String,
    /// False: every other device of the user is revoked.
    pub keep_devices: bool,
}

impl std::fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "NewPassword(keep {})", self.keep_devices)
    }
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A user.
    Found(FoundUser),
    /// In order of seq.
    History(Vec<Run>),
    /// As the server lists them.
    Devices(Vec<DeviceInfo>),
    /// It is committed.
    Done,
}

/// Something that an answer brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// For the one with this handle.
    To(u64, Result<Answer, ClientError>),
    /// For the inbox.
    Gap(ConversationId, Vec<Run>),
    /// For the device.
    Certificate(DeviceCertificate),
}

#[derive(Clone, Debug)]
enum Asker {
    Handle(u64),
    Inbox,
    Device,
}

#[derive(Clone, Debug)]
struct Asked {
    asker: Asker,
    question: Question,
    /// Pages that have come.
    runs: Vec<Run>,
}

/// All open questions.
#[derive(Debug, Default)]
pub struct Requests {
    last: u32,
    /// With the time when they were asked.
    in_flight: BTreeMap<u32, (u64, Asked)>,
    waiting: VecDeque<(u64, Asked)>,
}

impl Requests {
    /// Takes a question of the program.
    pub fn ask(&mut self, handle: u64, question: Question) {
        let asker = Asker::Handle(handle);
        self.waiting.push_back((0, Asked { asker, question, runs: Vec::new() }));
    }

    /// Takes a gap of the inbox.
    pub fn fetch(&mut self, missing: Missing) {
        let Missing { conversation, from, to } = missing;
        let question = Question::History { conversation, from, to, current: false };
        self.waiting.push_front((0, Asked { asker: Asker::Inbox, question, runs: Vec::new() }));
    }

    /// Asks for a certificate, unless that is asked for already.
    pub fn certify(&mut self) {
        let asks = |asked: &Asked| matches!(asked.asker, Asker::Device);
        let mut all = self.waiting.iter().chain(self.in_flight.values());
        if !all.any(|(_, asked)| asks(asked)) {
            let (asker, question) = (Asker::Device, Question::Certify);
            self.waiting.push_back((0, Asked { asker, question, runs: Vec::new() }));
        }
    }

    /// Nobody waits for the answers to `handle` any more.
    pub fn forget(&mut self, handle: u64) {
        let other = |asked: &Asked| !matches!(asked.asker, Asker::Handle(h) if h == handle);
        self.waiting.retain(|(_, asked)| other(asked));
        self.in_flight.retain(|_, (_, asked)| other(asked));
    }

    /// The connection is gone: the program's questions are asked on the next one.
    pub fn lost(&mut self) {
        let asked = std::mem::take(&mut self.in_flight).into_values();
        let all = asked.chain(std::mem::take(&mut self.waiting)).map(|(_, asked)| asked);
        let program = all.filter(|asked| matches!(asked.asker, Asker::Handle(_)));
        self.waiting = program.map(|asked| (0, asked)).collect();
    }

    /// True while an answer is awaited.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.in_flight.is_empty()
    }

    /// The frames that may be sent now.
    pub fn pump(&mut self, now: u64) -> Vec<ClientMsg> {
        let old = |(_, (at, _)): &(&u32, &(u64, Asked))| now >= at + LOST_MS;
        let lost: Vec<u32> = self.in_flight.iter().filter(old).map(|(id, _)| *id).collect();
        for id in lost {
            self.waiting.extend(self.in_flight.remove(&id).map(|(_, asked)| (now, asked)));
        }
        let mut frames = Vec::new();
        let mut later = VecDeque::new();
        while self.in_flight.len() < IN_FLIGHT
            && let Some((at, asked)) = self.waiting.pop_front()
        {
            if now < at {
                later.push_back((at, asked));
                continue;
            }
            self.last = self.last.wrapping_add(1).max(1);
            frames.push(frame(self.last, &asked.question));
            self.in_flight.insert(self.last, (now, asked));
        }
        self.waiting.append(&mut later);
        frames
    }

    /// When [`Requests::pump`] has something to send.
    #[must_use]
    pub fn wake(&self) -> Option<u64> {
        let room = self.in_flight.len() < IN_FLIGHT;
        let next = self.waiting.iter().map(|(at, _)| *at).min().filter(|_| room);
        let lost = self.in_flight.values().map(|(at, _)| at + LOST_MS).min();
        next.into_iter().chain(lost).min()
    }

    /// The server answered.
    pub fn answer(&mut self, now: u64, message: ServerMsg) -> Option<Reply> {
        match message {
            ServerMsg::Found { request, user, name, conversation } => {
                let (_, asked) = self.in_flight.remove(&request)?;
                let found = FoundUser { user, name, conversation };
                reply(asked.asker, Ok(Answer::Found(found)))
            }
            ServerMsg::Devices { request, devices } => {
                let (_, asked) = self.in_flight.remove(&request)?;
                reply(asked.asker, Ok(Answer::Devices(devices)))
            }
            ServerMsg::Certified { request, certificate } => {
                self.in_flight.remove(&request)?;
                Some(Reply::Certificate(certificate))
            }
            ServerMsg::Done { request } => {
                let (_, asked) = self.in_flight.remove(&request)?;
                reply(asked.asker, Ok(Answer::Done))
            }
            ServerMsg::History { request, to, runs, .. } => self.page(request, to, runs),
            ServerMsg::Refused { request, refusal, .. } => {
                let (_, asked) = self.in_flight.remove(&request)?;
                match (refusal, &asked.asker, &asked.question) {
                    (_, Asker::Inbox, Question::History { conversation, .. }) => {
                        Some(Reply::Gap(*conversation, Vec::new()))
                    }
                    (Refusal::Overloaded, ..) => {
                        self.waiting.push_back((now + AGAIN_MS, asked));
                        None
                    }
                    _ => reply(asked.asker, Err(ClientError::Refused(refusal))),
                }
            }
            _ => None,
        }
    }

    /// A page of history; a full one is followed by the next.
    fn page(&mut self, request: u32, upto: u64, mut runs: Vec<Run>) -> Option<Reply> {
        let (_, mut asked) = self.in_flight.remove(&request)?;
        let Question::History { conversation, from, to, .. } = &mut asked.question else {
            return None;
        };
        if matches!(asked.asker, Asker::Inbox) {
            return Some(Reply::Gap(*conversation, runs));
        }
        let more = upto < *to && upto >= *from && !runs.is_empty();
        *from = upto.saturating_add(1);
        asked.runs.append(&mut runs);
        if more {
            self.waiting.push_front((0, asked));
            return None;
        }
        reply(asked.asker, Ok(Answer::History(asked.runs)))
    }
}

fn reply(asker: Asker, result: Result<Answer, ClientError>) -> Option<Reply> {
    match asker {
        Asker::Handle(handle) => Some(Reply::To(handle, result)),
        Asker::Inbox | Asker::Device => None,
    }
}

fn frame(request: u32, question: &Question) -> ClientMsg {
    match question {
        Question::Lookup(name) => ClientMsg::Lookup { request, name: name.clone() },
        Question::Devices => ClientMsg::Devices { request },
        Question::Certify => ClientMsg::Certify { request },
        Question::Revoke(device) => ClientMsg::Revoke { request, device: *device },
        Question::ChangePassword(p) => ClientMsg::ChangePassword(ChangePassword {
            request,
            old: p.old.clone(),
            new: p.new.clone(),
            keep_devices: p.keep_devices,
        }),
        Question::History { conversation, from, to, current } => ClientMsg::Fetch(Fetch {
            request,
            conversation: *conversation,
            from: *from,
            to: *to,
            current: *current,
        }),
    }
}
