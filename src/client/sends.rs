//! Own messages on their way: what may be sent now, what to send again, and what
//! became of it, each outcome once and in order. It must not know files, sockets
//! or conversations.

use super::Outgoing;
use crate::chat::event::Outcome;
use crate::chat::message::{Body, Run};
use crate::chat::refusal::Refusal;
use crate::limits;
use crate::wire::message::{Ack, ClientMsg, OutcomeRun, SendRun};
use std::collections::{BTreeMap, VecDeque};

/// Silence about messages in flight that brings them again, in milliseconds; doubles.
const PATIENCE_MS: u64 = 2000;
/// Longest such silence, in milliseconds.
const PATIENCE_MAX_MS: u64 = 8000;
/// The same gap told again within this time belongs to frames that were already on the way.
const SAME_GAP_MS: u64 = 500;
/// Pause after an answer that decides nothing, in milliseconds.
const UNDECIDED_MS: u64 = 500;
/// Bytes of bodies in one frame.
const FRAME_BODIES: usize = 128 * 1024;

/// What became of messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// They stand in a conversation. Only what the sends know: no sender, no origin.
    Committed(Run),
    /// One was refused.
    Refused(u64, Refusal),
}

/// Own messages of group 0, the only one today.
#[derive(Debug)]
pub struct Sends {
    /// Without an outcome; the first has number `acked + 1`.
    pending: VecDeque<Outgoing>,
    acked: u64,
    /// The next number to send on this connection.
    next: u64,
    /// Bytes of the bodies in flight: `acked + 1` to `next - 1`.
    flying: usize,
    /// Outcomes that came before those of smaller numbers.
    early: BTreeMap<u64, OutcomeRun>,
    /// `(messages, bytes)` that may be in flight; `None` while not connected.
    window: Option<(u64, usize)>,
    paused_until: u64,
    progress_at: u64,
    patience: u64,
    /// The last gap told, and when.
    gap: Option<(u64, u64)>,
}

impl Sends {
    /// Sends of a device whose numbers up to `acked` have their outcome.
    #[must_use]
    pub const fn new(acked: u64) -> Self {
        Self {
            pending: VecDeque::new(),
            acked,
            next: acked + 1,
            flying: 0,
            early: BTreeMap::new(),
            window: None,
            paused_until: 0,
            progress_at: 0,
            patience: PATIENCE_MS,
            gap: None,
        }
    }

    /// Every number up to this one has its outcome.
    #[must_use]
    pub const fn acked(&self) -> u64 {
        self.acked
    }

    /// The highest number that was queued.
    #[must_use]
    pub fn last(&self) -> u64 {
        self.acked + self.pending.len() as u64
    }

    /// What has no outcome, numbered from the one after `acked` on.
    #[must_use]
    pub fn renumbered(&mut self, acked: u64) -> Self {
        let mut sends = Self::new(acked);
        for message in std::mem::take(&mut self.pending) {
            sends.queue(Outgoing { number: sends.last() + 1, ..message });
        }
        sends
    }

    /// What has no outcome.
    #[must_use]
    pub fn pending(&self) -> Vec<Outgoing> {
        self.pending.iter().cloned().collect()
    }

    /// True while something has no outcome.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Takes a new message; its number must be the next one.
    pub fn queue(&mut self, message: Outgoing) {
        if message.number == self.last() + 1 {
            self.pending.push_back(message);
        }
    }

    /// The connection may be used. `last` is the highest number that the server knows.
    pub fn ready(&mut self, now: u64, last: u64, window: u32, bytes: u32) {
        if last > self.last() {
            // Sent by an earlier process whose outbox lost them; the outbox checks that.
            self.pending.clear();
            self.early.clear();
            self.acked = last;
        }
        self.window = Some((u64::from(window.max(1)), bytes as usize));
        self.paused_until = 0;
        self.patience = PATIENCE_MS;
        self.gap = None;
        self.rewind(now);
    }

    /// The connection is gone.
    pub fn lost(&mut self) {
        self.window = None;
    }

    /// Nothing may be sent for a while, and what was sent last may not have been taken.
    pub fn busy(&mut self, now: u64, ms: u64) {
        self.rewind(now);
        self.paused_until = now + ms.max(1);
    }

    /// Starts again behind the last outcome.
    fn rewind(&mut self, now: u64) {
        self.next = self.acked + 1;
        self.flying = 0;
        self.progress_at = now;
    }

    /// The frames that may be sent now.
    pub fn pump(&mut self, now: u64) -> Vec<ClientMsg> {
        let mut frames = Vec::new();
        if now < self.paused_until {
            return frames;
        }
        while let Some(frame) = self.frame(now) {
            frames.push(frame);
        }
        frames
    }

    fn frame(&mut self, now: u64) -> Option<ClientMsg> {
        let (messages, bytes) = self.window?;
        let mut runs: Vec<SendRun> = Vec::new();
        let (mut count, mut size) = (0, 0);
        let start = usize::try_from(self.next - self.acked - 1).ok()?;
        for message in self.pending.range(start.min(self.pending.len())..) {
            let in_flight = self.next - self.acked - 1;
            let length = message.body.data.len();
            let fits = in_flight < messages && self.flying + length <= bytes;
            let frame_full = count == limits::ENTRY_MESSAGES || size + length > FRAME_BODIES;
            if (in_flight > 0 && !fits) || (count > 0 && frame_full) {
                break;
            }
            match runs.last_mut() {
                Some(run) if run.to == message.to => run.bodies.push(message.body.clone()),
                _ => runs.push(SendRun {
                    group: 0,
                    first_number: message.number,
                    to: message.to,
                    bodies: vec![message.body.clone()],
                }),
            }
            if in_flight == 0 {
                self.progress_at = now;
            }
            self.next += 1;
            self.flying += length;
            count += 1;
            size += length;
        }
        (count > 0).then_some(ClientMsg::Send { runs, confirmed: self.acked })
    }

    /// Takes outcomes in.
    pub fn ack(&mut self, now: u64, ack: &Ack) -> Vec<Settled> {
        let mut settled = Vec::new();
        if ack.group != 0 {
            return settled;
        }
        for run in &ack.outcomes {
            match run.outcome {
                // Nothing was decided.
                Outcome::Refused(Refusal::Overloaded | Refusal::UnknownDevice) => {
                    self.busy(now, UNDECIDED_MS);
                }
                _ => self.settle(now, *run, &mut settled),
            }
        }
        if let Some(next) = ack.expected
            && next > self.acked
            && self.gap.is_none_or(|(n, at)| n != next || now >= at + SAME_GAP_MS)
        {
            self.gap = Some((next, now));
            self.rewind(now);
        }
        settled
    }

    /// Messages of this device stand in a conversation: that is an outcome too. False if
    /// smaller numbers must have their outcome first.
    pub fn seen(&mut self, now: u64, run: &Run, settled: &mut Vec<Settled>) -> bool {
        if run.first_number + run.count() - 1 <= self.acked || run.first_number > self.last() {
            return true;
        }
        if run.first_number > self.acked + 1 {
            return false;
        }
        let (conversation, first_seq, at_ms) = (run.conversation, run.first_seq, run.at_ms);
        let outcome = Outcome::Committed { conversation, first_seq, at_ms };
        let count = u32::try_from(run.count()).unwrap_or(u32::MAX);
        let first_number = run.first_number;
        self.settle(now, OutcomeRun { first_number, count, outcome }, settled);
        true
    }

    fn settle(&mut self, now: u64, outcome: OutcomeRun, settled: &mut Vec<Settled>) {
        let first = outcome.first_number;
        let end = first.saturating_add(u64::from(outcome.count));
        if first == 0 || end <= self.acked + 1 || first > self.last() {
            return;
        }
        let room = self.early.len() < limits::WINDOW_MESSAGES as usize;
        let longer = self.early.get(&first).is_none_or(|known| known.count < outcome.count);
        if longer && (room || first <= self.acked + 1) {
            self.early.insert(first, outcome);
        }
        while let Some(entry) = self.early.first_entry()
            && *entry.key() <= self.acked + 1
        {
            let outcome = entry.remove();
            self.finish(now, outcome, settled);
        }
    }

    /// Gives messages at the front their outcome.
    fn finish(&mut self, now: u64, outcome: OutcomeRun, settled: &mut Vec<Settled>) {
        let skip = self.acked + 1 - outcome.first_number;
        let first_number = self.acked + 1;
        let count = u64::from(outcome.count).saturating_sub(skip).min(self.pending.len() as u64);
        let mut bodies: Vec<Body> = Vec::new();
        for _ in 0..count {
            let Some(message) = self.pending.pop_front() else { break };
            self.acked += 1;
            if self.next > self.acked {
                self.flying -= message.body.data.len();
            }
            if let Outcome::Refused(refusal) = outcome.outcome {
                settled.push(Settled::Refused(message.number, refusal));
            }
            bodies.push(message.body);
        }
        self.next = self.next.max(self.acked + 1);
        self.progress_at = now;
        self.patience = PATIENCE_MS;
        if let Outcome::Committed { conversation, first_seq, at_ms } = outcome.outcome
            && !bodies.is_empty()
        {
            settled.push(Settled::Committed(Run {
                conversation,
                first_seq: first_seq + skip,
                at_ms,
                sender: crate::chat::ids::UserId::default(),
                origin: crate::chat::ids::ClusterId::default(),
                device: crate::chat::ids::DeviceId::default(),
                group: 0,
                first_number,
                bodies,
            }));
        }
    }

    /// Sends again what has been in flight for too long without a word.
    pub fn tick(&mut self, now: u64) {
        if self.next > self.acked + 1 && now >= self.progress_at + self.patience {
            self.patience = (self.patience * 2).min(PATIENCE_MAX_MS);
            self.rewind(now);
        }
    }

    /// When [`Sends::tick`] or [`Sends::pump`] has something to do next.
    #[must_use]
    pub fn wake(&self) -> Option<u64> {
        self.window?;
        if !self.is_waiting() {
            return None;
        }
        let paused = self.next == self.acked + 1;
        Some(if paused { self.paused_until } else { self.progress_at + self.patience })
    }
}
