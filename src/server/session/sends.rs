//! A session's share of "exactly once": it keeps what the client sent until this
//! server has applied it, submits it again when it seems lost, and acknowledges
//! in order. Doing so is safe because apply knows what it has seen. Sans-IO.

use crate::chat::command::Send;
use crate::chat::event::Outcome;
use crate::chat::ids::DeviceId;
use crate::chat::write::Sent;
use crate::limits;
use crate::wire::message::{Ack, OutcomeRun, SendRun};
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// A command without an outcome after this time is submitted again; doubles up to
/// [`RESUBMIT_MAX`] while nothing moves.
const RESUBMIT: Duration = Duration::from_secs(1);
const RESUBMIT_MAX: Duration = Duration::from_secs(8);
/// A gap that is reported again within this time is the one that was just filled.
const GAP_PAUSE: Duration = Duration::from_millis(200);
/// So many times a gap is filled from here; then the client is asked.
const GAP_TRIES: u32 = 3;

/// Answers that wait for the store or for the client: twice a window of single messages, since a
/// client may know outcomes before they are acknowledged.
const ANSWERS: usize = 2 * limits::WINDOW_MESSAGES as usize;

/// The client sent more than the window allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowExceeded;

#[derive(Clone, Debug)]
struct Pending {
    send: Send,
    /// True once it was handed to Raft since the last loss.
    submitted: bool,
}

impl Pending {
    fn last(&self) -> u64 {
        self.send.first_number + self.send.bodies.len() as u64 - 1
    }

    fn bytes(&self) -> usize {
        self.send.bodies.iter().map(|body| body.data.len()).sum()
    }
}

/// What is to be acknowledged, in order of numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Known(OutcomeRun),
    /// The outcome is in the store.
    Wanted {
        from: u64,
        to: u64,
    },
}

impl Answer {
    fn range(&self) -> (u64, u64) {
        match self {
            Self::Known(run) => (run.first_number, last(run)),
            Self::Wanted { from, to } => (*from, *to),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Gap {
    next: u64,
    tries: u32,
    at: Instant,
}

/// The sends of one device in one group.
#[derive(Debug)]
pub struct Sends {
    device: DeviceId,
    epoch: u64,
    /// By first number; they do not overlap.
    pending: BTreeMap<u64, Pending>,
    messages: u64,
    bytes: usize,
    confirmed: u64,
    /// Every number up to this one has an outcome.
    known: u64,
    answers: VecDeque<Answer>,
    asked: bool,
    upto: u64,
    index: u64,
    expected: Option<u64>,
    gap: Option<Gap>,
    moved: Instant,
    patience: Duration,
}

impl Sends {
    /// Nothing is pending, and nothing was acknowledged on this connection, whose login has this
    /// epoch. Every number up to `known` has an outcome.
    #[must_use]
    pub fn new(device: DeviceId, epoch: u64, known: u64, now: Instant) -> Self {
        Self {
            device,
            epoch,
            pending: BTreeMap::new(),
            messages: 0,
            bytes: 0,
            confirmed: 0,
            known,
            answers: VecDeque::new(),
            asked: false,
            upto: 0,
            index: 0,
            expected: None,
            gap: None,
            moved: now,
            patience: RESUBMIT,
        }
    }

    /// Bytes of bodies held.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes runs from the client. What is already pending is not taken twice, and of what has an
    /// outcome that is looked up: a client that sends it again may have heard it meanwhile, and
    /// fill its window anew.
    ///
    /// # Errors
    /// When more is pending than the window allows.
    pub fn take(
        &mut self,
        runs: Vec<SendRun>,
        confirmed: u64,
        now: Instant,
    ) -> Result<(), WindowExceeded> {
        self.confirmed = self.confirmed.max(confirmed);
        if self.pending.is_empty() {
            self.moved = now;
            self.patience = RESUBMIT;
        }
        for run in runs {
            self.take_run(run);
            let full = self.messages > u64::from(limits::WINDOW_MESSAGES)
                || self.bytes > limits::WINDOW_BYTES as usize
                || self.answers.len() > ANSWERS;
            if full {
                return Err(WindowExceeded);
            }
        }
        Ok(())
    }

    fn take_run(&mut self, run: SendRun) {
        let mut number = run.first_number;
        let mut bodies = run.bodies;
        while !bodies.is_empty() {
            if let Some(covered) = self.covered(number) {
                let skip = usize::try_from(covered - number + 1).unwrap_or(usize::MAX);
                bodies.drain(..skip.min(bodies.len()));
                number = covered + 1;
                continue;
            }
            if number <= self.known {
                let last = self.known.min(number.saturating_add(bodies.len() as u64 - 1));
                self.want(number, last);
                continue;
            }
            let room = self.pending.range(number..).next().map_or(u64::MAX, |(n, _)| n - number);
            let rest =
                bodies.split_off(bodies.len().min(usize::try_from(room).unwrap_or(usize::MAX)));
            let count = bodies.len() as u64;
            self.insert(Pending {
                send: Send {
                    device: self.device,
                    epoch: self.epoch,
                    group: run.group,
                    first_number: number,
                    confirmed: 0,
                    to: run.to,
                    bodies,
                },
                submitted: false,
            });
            bodies = rest;
            number = number.saturating_add(count);
        }
    }

    /// The last number of a stretch around this one that needs nothing from the client: it is
    /// pending, about to be acknowledged, or known to the client.
    fn covered(&self, number: u64) -> Option<u64> {
        let pending = self.pending.range(..=number).next_back().map(|(_, p)| p.last());
        let answered = self.answers.iter().map(Answer::range);
        let answered = answered.filter(|(from, _)| *from <= number).map(|(_, to)| to);
        answered.chain(pending).chain([self.confirmed]).max().filter(|last| *last >= number)
    }

    fn insert(&mut self, pending: Pending) {
        self.messages += pending.send.bodies.len() as u64;
        self.bytes += pending.bytes();
        self.pending.insert(pending.send.first_number, pending);
    }

    fn remove(&mut self, first: u64) -> Option<Pending> {
        let pending = self.pending.remove(&first)?;
        self.messages -= pending.send.bodies.len() as u64;
        self.bytes -= pending.bytes();
        Some(pending)
    }

    /// The commands to submit now, in order.
    pub fn submissions(&mut self, now: Instant) -> Vec<Send> {
        if !self.pending.is_empty() && now >= self.moved + self.patience {
            self.again();
            self.moved = now;
            self.patience = (self.patience * 2).min(RESUBMIT_MAX);
        }
        let confirmed = self.confirmed;
        let waiting = self.pending.values_mut().filter(|p| !p.submitted);
        let submit = waiting.map(|p| {
            p.submitted = true;
            Send { confirmed, ..p.send.clone() }
        });
        submit.collect()
    }

    /// Everything pending may be lost: it is submitted again.
    pub fn again(&mut self) {
        self.pending.values_mut().for_each(|p| p.submitted = false);
    }

    /// Raft took nothing from this number on, for now; it is submitted again.
    pub fn not_taken(&mut self, number: u64) {
        self.pending.range_mut(number..).for_each(|(_, p)| p.submitted = false);
    }

    /// Gives up what is pending from this number on: the client sends it again.
    pub fn drop_from(&mut self, number: u64) {
        let firsts: Vec<u64> = self.pending.range(number..).map(|(first, _)| *first).collect();
        for first in firsts {
            self.remove(first);
        }
    }

    /// Numbers have an outcome; so has, then, everything before them.
    pub fn on_outcome(&mut self, run: OutcomeRun, index: u64, now: Instant) {
        self.on_state(run.first_number.saturating_sub(1), index, now);
        for (from, to) in self.settle(run.first_number, u64::from(run.count), now) {
            self.answers.push_back(Answer::Known(part(run, from, to)));
        }
        self.known = self.known.max(last(&run));
        self.index = self.index.max(index);
    }

    /// Every number up to this one had an outcome before: those that are pending are looked up.
    pub fn on_state(&mut self, last_number: u64, index: u64, now: Instant) {
        for (from, to) in self.settle(0, last_number.saturating_add(1), now) {
            self.want(from, to);
        }
        self.known = self.known.max(last_number);
        self.index = self.index.max(index);
    }

    fn want(&mut self, from: u64, to: u64) {
        match self.answers.back_mut() {
            // The front one may be under way with its own bounds.
            Some(Answer::Wanted { to: last, .. }) if *last + 1 == from && !self.asked => *last = to,
            _ => self.answers.push_back(Answer::Wanted { from, to }),
        }
    }

    /// Apply did nothing, since it was not given `next`: something before was lost, or, where
    /// the device's refusals are `full`, the client must confirm some first.
    pub fn on_expected(&mut self, next: u64, full: bool, index: u64, now: Instant) {
        self.on_state(next.saturating_sub(1), index, now);
        let Some(first) = self.pending.keys().next().copied() else { return };
        let gap = self.gap.filter(|gap| gap.next == next);
        let tries = gap.map_or(0, |gap| gap.tries);
        if first > next || full || tries >= GAP_TRIES {
            self.gap = None;
            self.drop_from(next);
            self.expected = Some(next);
        } else if gap.is_none_or(|gap| now >= gap.at + GAP_PAUSE) {
            self.gap = Some(Gap { next, tries: tries + 1, at: now });
            self.again();
        }
    }

    /// Takes numbers out of what is pending; gives the parts that were.
    fn settle(&mut self, first: u64, count: u64, now: Instant) -> Vec<(u64, u64)> {
        let last = first.saturating_add(count).saturating_sub(1);
        let before = self.pending.range(..first).next_back().map(|(n, _)| *n);
        let within = self.pending.range(first..=last.max(first)).map(|(n, _)| *n);
        let touched: Vec<u64> = before.into_iter().chain(within).collect();
        let mut parts = Vec::new();
        for key in touched {
            let Some(pending) = self.pending.get(&key) else { continue };
            let (from, to) = (key.max(first), pending.last().min(last));
            if count == 0 || from > to {
                continue;
            }
            let Some(pending) = self.remove(key) else { continue };
            self.keep_rest(pending, from, to);
            parts.push((from, to));
        }
        if !parts.is_empty() {
            self.moved = now;
            self.patience = RESUBMIT;
            self.gap = None;
        }
        parts
    }

    fn keep_rest(&mut self, pending: Pending, from: u64, to: u64) {
        let first = pending.send.first_number;
        let mut bodies = pending.send.bodies.clone();
        let at = |number: u64| usize::try_from(number - first).unwrap_or(usize::MAX);
        let tail = bodies.split_off(bodies.len().min(at(to + 1)));
        bodies.truncate(at(from));
        for (number, bodies) in [(first, bodies), (to + 1, tail)] {
            if !bodies.is_empty() {
                let send = Send { first_number: number, bodies, ..pending.send.clone() };
                self.insert(Pending { send, submitted: pending.submitted });
            }
        }
    }

    /// Numbers whose outcomes must be looked up now, if any: asked for once.
    pub fn wanted(&mut self) -> Option<(u64, u64)> {
        // What the client knows is not looked up; of a refusal nothing may be left by then.
        while !self.asked
            && let Some(Answer::Wanted { from, to }) = self.answers.front_mut()
            && *from <= self.confirmed
        {
            *from = self.confirmed + 1;
            if *from > *to {
                self.answers.pop_front();
            }
        }
        let Some(Answer::Wanted { from, to }) = self.answers.front() else { return None };
        if self.asked {
            return None;
        }
        self.asked = true;
        Some((*from, *to))
    }

    /// Outcomes that were looked up, in order, from the first wanted one on, up to the number
    /// `covered`; where that is not all, the rest is wanted still. False if nothing was found.
    pub fn on_looked_up(&mut self, runs: Vec<OutcomeRun>, covered: u64, index: u64) -> bool {
        self.asked = false;
        let Some(&Answer::Wanted { from, to }) = self.answers.front() else { return true };
        self.index = self.index.max(index);
        if covered < from {
            return false;
        }
        self.answers.pop_front();
        if covered < to {
            self.answers.push_front(Answer::Wanted { from: covered + 1, to });
        }
        self.upto = self.upto.max(covered.min(to));
        for run in runs.into_iter().rev() {
            self.answers.push_front(Answer::Known(run));
        }
        true
    }

    /// The acknowledgement that can be given now, if there is anything to say.
    pub fn ack(&mut self, group: crate::chat::ids::Group) -> Option<Ack> {
        let mut outcomes: Vec<OutcomeRun> = Vec::new();
        while let Some(&Answer::Known(run)) = self.answers.front() {
            self.answers.pop_front();
            self.upto = self.upto.max(last(&run));
            match outcomes.last_mut().and_then(|last| joined(*last, run).map(|j| (last, j))) {
                Some((last, joined)) => *last = joined,
                None => outcomes.push(run),
            }
        }
        let expected = self.expected.take();
        if outcomes.is_empty() && expected.is_none() {
            return None;
        }
        Some(Ack { group, upto: self.upto, outcomes, expected, index: self.index })
    }

    /// When [`Sends::submissions`] must be asked again, if nothing happens before.
    #[must_use]
    pub fn next(&self) -> Option<Instant> {
        (!self.pending.is_empty()).then(|| self.moved + self.patience)
    }

    /// True when nothing waits for an outcome or to be acknowledged.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.pending.is_empty() && self.answers.is_empty()
    }
}

/// The last number of an outcome.
fn last(run: &OutcomeRun) -> u64 {
    (run.first_number + u64::from(run.count)).saturating_sub(1)
}

/// The part of an outcome for `from..=to`, which must lie within it.
fn part(run: OutcomeRun, from: u64, to: u64) -> OutcomeRun {
    let skip = from - run.first_number;
    let outcome = match run.outcome {
        Outcome::Committed { conversation, first_seq, at_ms } => {
            Outcome::Committed { conversation, first_seq: first_seq + skip, at_ms }
        }
        refused @ Outcome::Refused(_) => refused,
    };
    let count = u32::try_from(to - from + 1).unwrap_or(u32::MAX);
    OutcomeRun { first_number: from, count, outcome }
}

/// Two outcomes as one, where the second goes on with the first.
fn joined(a: OutcomeRun, b: OutcomeRun) -> Option<OutcomeRun> {
    let count = u64::from(a.count);
    let same = match (a.outcome, b.outcome) {
        (Outcome::Refused(a), Outcome::Refused(b)) => a == b,
        (
            Outcome::Committed { conversation, first_seq, at_ms },
            Outcome::Committed { conversation: other, first_seq: next, at_ms: then },
        ) => conversation == other && first_seq + count == next && at_ms == then,
        _ => false,
    };
    let count = a.count.checked_add(b.count)?;
    let follows = a.first_number + u64::from(a.count) == b.first_number;
    (same && follows).then_some(OutcomeRun { count, ..a })
}

/// The outcomes of numbers that the state still remembers as refused, of `from..=to`.
#[must_use]
pub fn refused(sent: &Sent, from: u64, to: u64) -> Vec<OutcomeRun> {
    let within = sent.refusals.iter().filter(|(number, _)| (from..=to).contains(number));
    within
        .map(|(number, refusal)| OutcomeRun {
            first_number: *number,
            count: 1,
            outcome: Outcome::Refused(*refusal),
        })
        .collect()
}
