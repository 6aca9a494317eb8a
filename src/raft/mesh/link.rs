//! One connection between two servers as a machine without sockets: messages are
//! cut into fragments, sent most urgent lane first and as far as the other side
//! has room, and put together again. It must not know sockets, tasks or clocks
//! (it is told the time), nor what a message means.
//!
//! Questions cost credit: a lane's window of bytes that are under way or wait for
//! the handler. The receiver gives credit back when the handler takes a message,
//! so a slow handler stops its own lane and nothing else, and memory is bounded.
//! Answers travel in their question's lane, ahead of its questions, and cost no
//! credit: the asker takes them at once. So a lane whose two handlers both wait for
//! room for an answer cannot come to a stand-still. What bounds answers is the
//! number of questions asked, and the answerer, who takes no further question
//! while it has no room for an answer.

use crate::limits::{PEER_FRAGMENT, PEER_FRAGMENT_COST, PEER_PING, PEER_SILENCE};
use crate::wire::peer::{Lane, MessageKind, PeerFrame};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What a message of `bytes` costs of its lane's window.
pub(super) fn cost(bytes: usize) -> usize {
    bytes + bytes.div_ceil(PEER_FRAGMENT).max(1) * PEER_FRAGMENT_COST
}

/// A question that has arrived whole.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub kind: MessageKind,
    /// 0: no answer is wanted.
    pub call: u64,
    pub payload: Bytes,
    /// What it cost, as the sender cut it.
    cost: usize,
}

/// What a frame brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// Nothing to hand on yet.
    Nothing,
    /// The lane has one more question to take.
    Question(Lane),
    /// The answer to the call of that number.
    Answer(u64, Bytes),
}

/// The other side broke the rules: the connection is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum LinkError {
    #[error("it sent more than it was given credit for")]
    Overdrawn,
    #[error("it gave more credit than it had taken")]
    Overpaid,
    #[error("it mixed the fragments of two messages")]
    Mixed,
    #[error("it sent an answer longer than any message")]
    TooLong,
}

/// `P` is kept until the last fragment of a message is handed out: the caller's claim on
/// the bounded queue.
pub(super) struct Link<P> {
    out: [Outgoing<P>; 4],
    inn: [Incoming; 4],
    next_ping: Instant,
    ping: u64,
    /// The oldest ping without an answer, and when it went out.
    pinged: Option<(u64, Instant)>,
    pong: Option<u64>,
    heard: Instant,
    round_trip: Option<Duration>,
}

struct Outgoing<P> {
    answers: VecDeque<Message<P>>,
    questions: VecDeque<Message<P>>,
    credit: usize,
}

struct Message<P> {
    kind: MessageKind,
    call: u64,
    rest: Bytes,
    started: bool,
    _room: P,
}

#[derive(Default)]
struct Incoming {
    question: Option<Partial>,
    answer: Option<Partial>,
    waiting: VecDeque<Question>,
    /// Cost of the partial question and of those waiting.
    held: usize,
    /// Cost of what was taken and not yet given back.
    owed: usize,
}

struct Partial {
    kind: MessageKind,
    call: u64,
    data: BytesMut,
    cost: usize,
}

/// What `poll_frame` sends next.
enum Next {
    Pong(u64),
    Grant(Lane),
    Ping,
    Fragment { lane: Lane, answer: bool },
}

impl<P> Link<P> {
    pub(super) fn new(now: Instant) -> Self {
        let outgoing = |lane: Lane| Outgoing {
            answers: VecDeque::new(),
            questions: VecDeque::new(),
            credit: lane.window(),
        };
        Self {
            out: Lane::ALL.map(outgoing),
            inn: Lane::ALL.map(|_| Incoming::default()),
            next_ping: now,
            ping: 0,
            pinged: None,
            pong: None,
            heard: now,
            round_trip: None,
        }
    }

    /// Queues a question; `call` 0 where no answer is wanted.
    pub(super) fn ask(&mut self, kind: MessageKind, call: u64, payload: Bytes, room: P) {
        let message = Message { kind, call, rest: payload, started: false, _room: room };
        self.out[kind.lane() as usize].questions.push_back(message);
    }

    /// Queues the answer to a question.
    pub(super) fn answer(&mut self, kind: MessageKind, call: u64, payload: Bytes, room: P) {
        let message = Message { kind, call, rest: payload, started: false, _room: room };
        self.out[kind.lane() as usize].answers.push_back(message);
    }

    /// Nobody waits for the answer any more: drops the question if nothing of it was sent.
    pub(super) fn forget(&mut self, kind: MessageKind, call: u64) {
        let questions = &mut self.out[kind.lane() as usize].questions;
        questions.retain(|message| message.call != call || message.started);
    }

    /// The next question of a lane of a kind that `wanted` accepts. Taking it gives its
    /// credit back.
    pub(super) fn take(
        &mut self,
        lane: Lane,
        wanted: impl Fn(MessageKind) -> bool,
    ) -> Option<Question> {
        let lane = &mut self.inn[lane as usize];
        let at = lane.waiting.iter().position(|question| wanted(question.kind))?;
        let question = lane.waiting.remove(at)?;
        lane.held -= question.cost;
        lane.owed += question.cost;
        Some(question)
    }

    /// Something to send is there.
    pub(super) fn has_frame(&self, now: Instant) -> bool {
        self.next(now).is_some()
    }

    /// When `has_frame` becomes true by itself.
    pub(super) const fn next_ping(&self) -> Instant {
        self.next_ping
    }

    /// When the connection is dead unless a frame arrives before.
    pub(super) fn dead_at(&self) -> Instant {
        self.heard + PEER_SILENCE
    }

    /// When the last frame arrived.
    pub(super) const fn heard(&self) -> Instant {
        self.heard
    }

    /// The last round trip measured.
    pub(super) const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    fn next(&self, now: Instant) -> Option<Next> {
        if let Some(ping) = self.pong {
            return Some(Next::Pong(ping));
        }
        if let Some(lane) =
            Lane::ALL.into_iter().find(|lane| self.inn[*lane as usize].must_pay(*lane))
        {
            return Some(Next::Grant(lane));
        }
        if now >= self.next_ping {
            return Some(Next::Ping);
        }
        Lane::ALL.into_iter().find_map(|lane| {
            let out = &self.out[lane as usize];
            if !out.answers.is_empty() {
                return Some(Next::Fragment { lane, answer: true });
            }
            let first = out.questions.front()?;
            let needs = first.rest.len().min(PEER_FRAGMENT) + PEER_FRAGMENT_COST;
            (needs <= out.credit).then_some(Next::Fragment { lane, answer: false })
        })
    }

    /// The next frame to send, if there is one.
    pub(super) fn poll_frame(&mut self, now: Instant) -> Option<PeerFrame> {
        let empty = PeerFrame {
            lane: Lane::Control,
            kind: None,
            call: 0,
            answer: false,
            more: false,
            credit: None,
            payload: Bytes::new(),
        };
        let mut pays = None;
        let mut frame = match self.next(now)? {
            Next::Pong(ping) => {
                self.pong = None;
                PeerFrame { call: ping, answer: true, ..empty }
            }
            Next::Grant(lane) => {
                pays = Some(lane);
                empty
            }
            Next::Ping => {
                self.ping += 1;
                self.pinged = self.pinged.or(Some((self.ping, now)));
                self.next_ping = now + PEER_PING;
                PeerFrame { call: self.ping, ..empty }
            }
            Next::Fragment { lane, answer } => self.out[lane as usize].cut(lane, answer)?,
        };
        let owes = |lane: &Lane| self.inn[*lane as usize].owed > 0;
        if let Some(lane) = pays.or_else(|| Lane::ALL.into_iter().find(owes)) {
            frame.credit = self.inn[lane as usize].pay().map(|bytes| (lane, bytes));
        }
        Some(frame)
    }

    /// A frame has arrived.
    ///
    /// # Errors
    /// The rule that the other side broke.
    pub(super) fn on_frame(
        &mut self,
        frame: PeerFrame,
        now: Instant,
    ) -> Result<Arrival, LinkError> {
        self.heard = now;
        if let Some((lane, bytes)) = frame.credit {
            let out = &mut self.out[lane as usize];
            out.credit = out.credit.saturating_add(bytes as usize);
            if out.credit > lane.window() {
                return Err(LinkError::Overpaid);
            }
        }
        let Some(kind) = frame.kind else {
            self.on_ping(frame.call, frame.answer, now);
            return Ok(Arrival::Nothing);
        };
        self.inn[frame.lane as usize].fragment(kind, frame)
    }
}

impl<P> Link<P> {
    fn on_ping(&mut self, ping: u64, answer: bool, now: Instant) {
        if !answer && ping != 0 {
            self.pong = Some(ping);
        }
        // Only the last of several pings may be answered.
        if let Some((_, sent)) = self.pinged.filter(|(oldest, _)| answer && ping >= *oldest) {
            self.round_trip = Some(now.saturating_duration_since(sent));
            self.pinged = None;
        }
    }
}

impl<P> Outgoing<P> {
    /// Cuts the next fragment off the first answer or question.
    fn cut(&mut self, lane: Lane, answer: bool) -> Option<PeerFrame> {
        let queue = if answer { &mut self.answers } else { &mut self.questions };
        let message = queue.front_mut()?;
        let payload = message.rest.split_to(message.rest.len().min(PEER_FRAGMENT));
        let more = !message.rest.is_empty();
        let (kind, call) = (Some(message.kind), message.call);
        message.started = true;
        if !more {
            queue.pop_front();
        }
        if !answer {
            self.credit -= payload.len() + PEER_FRAGMENT_COST;
        }
        Some(PeerFrame { lane, kind, call, answer, more, credit: None, payload })
    }
}

impl Incoming {
    /// Credit must not wait for a frame that would carry it: the other side may stand
    /// still for want of it. That is so when much is owed, and when it is in the middle of
    /// a message and nothing but this debt can let it go on.
    fn must_pay(&self, lane: Lane) -> bool {
        self.owed >= lane.window() / 8
            || (self.owed > 0 && self.question.is_some() && self.waiting.is_empty())
    }

    fn pay(&mut self) -> Option<u32> {
        let bytes = u32::try_from(self.owed).ok().filter(|bytes| *bytes > 0)?;
        self.owed = 0;
        Some(bytes)
    }

    fn fragment(&mut self, kind: MessageKind, frame: PeerFrame) -> Result<Arrival, LinkError> {
        let PeerFrame { lane, call, answer, more, payload, .. } = frame;
        let cost = payload.len() + PEER_FRAGMENT_COST;
        if !answer {
            self.held += cost;
            if self.held + self.owed > lane.window() {
                return Err(LinkError::Overdrawn);
            }
        }
        let open = if answer { &mut self.answer } else { &mut self.question };
        let (payload, cost) = match open.take() {
            None if more => {
                *open = Some(Partial { kind, call, data: payload.into(), cost });
                return Ok(Arrival::Nothing);
            }
            None => (payload, cost),
            Some(mut partial) => {
                partial.extend(kind, call, &payload, lane)?;
                if more {
                    *open = Some(partial);
                    return Ok(Arrival::Nothing);
                }
                (partial.data.freeze(), partial.cost)
            }
        };
        if answer {
            return Ok(Arrival::Answer(call, payload));
        }
        self.waiting.push_back(Question { kind, call, payload, cost });
        Ok(Arrival::Question(lane))
    }
}

impl Partial {
    fn extend(
        &mut self,
        kind: MessageKind,
        call: u64,
        payload: &[u8],
        lane: Lane,
    ) -> Result<(), LinkError> {
        if self.kind != kind || self.call != call {
            return Err(LinkError::Mixed);
        }
        if self.data.len() + payload.len() > lane.window() {
            return Err(LinkError::TooLong);
        }
        self.data.extend_from_slice(payload);
        self.cost += payload.len() + PEER_FRAGMENT_COST;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
