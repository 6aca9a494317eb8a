//! Batch commits: whatever is queued when the log is free goes into one entry. On
//! a follower the same queue goes to the leader. No timer waits for more. It must
//! not know what an item means.

use super::kinds::Data;
use super::machine::Known;
use super::mesh::{CallError, Mesh};
use super::shared::{Leader, Shared};
use super::timing::Running;
use super::{SubmitError, kinds::Kinds};
use crate::clock::now_ms;
use crate::limits;
use crate::wire::peer::MessageKind;
use crate::wire::raft::{Batch, Forward, decode_taken};
use bytes::Bytes;
use openraft::raft::responder::Responder;
use std::marker::PhantomData;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// The leader takes forwarded items into its queue within this time, or they are lost.
const FORWARD_TIME: Duration = Duration::from_secs(5);
/// Before one that takes nothing is asked again.
const NOT_YET: Duration = Duration::from_millis(5);
/// All places in flight.
const ALL_IN_FLIGHT: u32 = limits::ENTRIES_IN_FLIGHT as u32;

/// An item on its way into the log.
struct Proposal {
    item: Bytes,
    messages: usize,
    _room: OwnedSemaphorePermit,
}

/// The queue in front of the log; cheap to clone.
#[derive(Clone)]
pub struct Proposals {
    queue: mpsc::Sender<Proposal>,
    room: Arc<Semaphore>,
}

/// The other end of the queue.
pub struct Queue {
    queue: mpsc::Receiver<Proposal>,
    /// Did not fit into the last entry.
    held: Option<Proposal>,
}

/// A queue for `limits::PROPOSALS` items of `limits::PROPOSAL_BYTES` together.
pub fn queue() -> (Proposals, Queue) {
    let (send, receive) = mpsc::channel(limits::PROPOSALS);
    let room = Arc::new(Semaphore::new(limits::PROPOSAL_BYTES));
    (Proposals { queue: send, room }, Queue { queue: receive, held: None })
}

/// What an item costs of the queue's room.
fn cost(item: &Bytes) -> u32 {
    let cost = item.len().clamp(1, limits::PROPOSAL_BYTES);
    u32::try_from(cost).unwrap_or(u32::MAX)
}

/// What goes into one entry.
struct Gathered {
    items: Vec<Proposal>,
    messages: usize,
    bytes: usize,
}

impl Gathered {
    fn of(first: Proposal) -> Self {
        Self { messages: first.messages, bytes: first.item.len(), items: vec![first] }
    }

    /// Gives it back where it does not fit.
    fn push(&mut self, next: Proposal) -> Option<Proposal> {
        let (messages, bytes) = (self.messages + next.messages, self.bytes + next.item.len());
        if messages > limits::ENTRY_MESSAGES || bytes > limits::ENTRY_BYTES {
            return Some(next);
        }
        (self.messages, self.bytes) = (messages, bytes);
        self.items.push(next);
        None
    }
}

impl Proposals {
    /// Queues an item of this node.
    ///
    /// # Errors
    /// [`SubmitError::Busy`] or [`SubmitError::Stopped`].
    pub fn submit(&self, item: Bytes, messages: usize) -> Result<(), SubmitError> {
        let room = Arc::clone(&self.room).try_acquire_many_owned(cost(&item));
        let room = room.map_err(|_| SubmitError::Busy)?;
        self.queue.try_send(Proposal { item, messages, _room: room }).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => SubmitError::Busy,
            mpsc::error::TrySendError::Closed(_) => SubmitError::Stopped,
        })
    }

    /// Queues a forwarded item as soon as there is room; false when the node has stopped.
    pub async fn wait_and_submit(&self, item: Bytes, messages: usize) -> bool {
        let room = Arc::clone(&self.room).acquire_many_owned(cost(&item)).await;
        let Ok(room) = room else { return false };
        self.queue.send(Proposal { item, messages, _room: room }).await.is_ok()
    }
}

impl Queue {
    async fn first(&mut self) -> Option<Proposal> {
        match self.held.take() {
            Some(proposal) => Some(proposal),
            None => self.queue.recv().await,
        }
    }

    /// `first` and what is queued behind it, as far as one entry holds it.
    fn gather(&mut self, first: Proposal) -> Vec<Proposal> {
        let mut batch = Gathered::of(first);
        self.add(&mut batch);
        batch.items
    }

    /// Adds what is queued, as far as one entry holds it.
    fn add(&mut self, batch: &mut Gathered) {
        while self.held.is_none()
            && let Ok(next) = self.queue.try_recv()
        {
            self.held = batch.push(next);
        }
    }

    /// The same, and as long as it is a small one while others are in flight, what comes
    /// meanwhile (RFC 896 does so with segments).
    async fn fill(&mut self, first: Proposal, in_flight: &Semaphore) -> Vec<Proposal> {
        let mut batch = Gathered::of(first);
        let mut idle = pin!(in_flight.acquire_many(ALL_IN_FLIGHT));
        loop {
            self.add(&mut batch);
            if batch.messages >= limits::ENTRY_WORTH || self.held.is_some() {
                return batch.items;
            }
            tokio::select! {
                _ = &mut idle => return batch.items,
                next = self.queue.recv() => match next {
                    Some(next) => self.held = batch.push(next),
                    None => return batch.items,
                }
            }
        }
    }
}

/// Takes items from the queue for as long as the node runs.
pub async fn run(shared: Arc<Shared>, mut queue: Queue) {
    let in_flight = Arc::new(Semaphore::new(limits::ENTRIES_IN_FLIGHT));
    let mut clock = Clock::default();
    while let Some(first) = queue.first().await {
        if shared.halt.reason().is_some() {
            // What waits is lost: whoever submitted it submits it again.
            return;
        }
        match shared.leader() {
            Leader::Me => {
                let batch = queue.fill(first, &in_flight).await;
                let Ok(permit) = Arc::clone(&in_flight).acquire_owned().await else { return };
                let at_ms = clock.stamp(now_ms(), Instant::now(), &shared.applied.known());
                let items = batch.into_iter().map(|p| p.item).collect();
                let data = Data(Batch { at_ms, items }.encode());
                let Some(raft) = shared.raft() else { continue };
                if raft
                    .write(data)
                    .responder(Done::new(permit, shared.commits.begin()))
                    .await
                    .is_err()
                {
                    return;
                }
            }
            Leader::Soon => {
                queue.held = Some(first);
                wait_for_own_entry(&shared).await;
            }
            Leader::Other(seat) => {
                let batch = queue.gather(first);
                forward(&shared, seat, batch).await;
            }
            // Lost: whoever submitted it submits it again.
            Leader::Nobody => drop(queue.gather(first)),
        }
    }
}

/// One message at a time: so items stay in order, and the next message is the larger the
/// longer the leader takes.
async fn forward(shared: &Shared, seat: u32, batch: Vec<Proposal>) {
    let Some(mesh) = shared.mesh() else { return };
    let item = |p: Proposal| (p.item, u32::try_from(p.messages).unwrap_or(u32::MAX));
    let payload = Forward { items: batch.into_iter().map(item).collect() }.encode();
    let ask = || forwarded(mesh.clone(), seat, payload.clone());
    if let Err(error) = until_taken(|| shared.leader() == Leader::Other(seat), ask).await {
        tracing::debug!(seat, %error, "items were perhaps not forwarded");
    }
}

/// Whether they were taken; an answer that cannot be read says no more than none.
async fn forwarded(mesh: Mesh, seat: u32, payload: Bytes) -> Result<bool, CallError> {
    let answer = mesh.call(seat, MessageKind::Forward, payload, FORWARD_TIME).await?;
    decode_taken(answer).map_err(|_| CallError::Lost)
}

/// Asks until it is taken, for as long as the one who is asked leads. Who was elected just now may
/// be known here before it knows itself, and takes nothing then; those who submitted the items were
/// told of it as well, and will not submit them again soon.
async fn until_taken<F: Future<Output = Result<bool, CallError>>>(
    leads: impl Fn() -> bool,
    mut ask: impl FnMut() -> F,
) -> Result<(), CallError> {
    while !ask().await? {
        tokio::time::sleep(NOT_YET).await;
        if !leads() {
            return Err(CallError::NotConnected);
        }
    }
    Ok(())
}

async fn wait_for_own_entry(shared: &Shared) {
    let next = shared.applied.last().map_or(0, |id| id.index + 1);
    let applied = shared.applied.wait(next);
    drop(tokio::time::timeout(Duration::from_millis(50), applied).await);
}

/// Tells nobody: an item's fate is seen in what is applied. It gives the place in flight
/// back when the entry is applied or will not be, and then its time is taken.
pub struct Done<T> {
    _place: OwnedSemaphorePermit,
    _running: Running,
    result: PhantomData<fn(T)>,
}

impl<T> Done<T> {
    fn new(place: OwnedSemaphorePermit, running: Running) -> Self {
        Self { _place: place, _running: running, result: PhantomData }
    }
}

impl<T: Send + 'static> Responder<Kinds, T> for Done<T> {
    fn on_complete(self, _: T) {}
}

/// Stamps entries.
#[derive(Debug, Default)]
struct Clock {
    last: Option<(u64, Instant)>,
}

impl Clock {
    fn stamp(&mut self, wall_ms: u64, now: Instant, known: &Known) -> u64 {
        let before = self.last.max(known.stamped);
        let at_ms = match before {
            None => wall_ms,
            Some((at, when)) => {
                let passed = now.saturating_duration_since(when);
                stamp(at, u64::try_from(passed.as_millis()).unwrap_or(u64::MAX), wall_ms)
            }
        };
        self.last = Some((at_ms, now));
        at_ms
    }
}

/// The time for the entry after one of `before`, stamped `passed_ms` ago by a clock that
/// never jumps: the wall clock, but always later than the entry before, and where the wall
/// clock has jumped ahead, at most `limits::CLOCK_JUMP` later.
fn stamp(before: u64, passed_ms: u64, wall_ms: u64) -> u64 {
    let jump = u64::try_from(limits::CLOCK_JUMP.as_millis()).unwrap_or(u64::MAX);
    let expected = before.saturating_add(passed_ms);
    let jumped = wall_ms > expected.saturating_add(jump);
    let at = if jumped { before.saturating_add(jump).max(expected.min(wall_ms)) } else { wall_ms };
    at.max(before.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::ready;

    #[test]
    fn time_never_goes_back_and_a_jump_ahead_is_cut() {
        assert_eq!(stamp(1_000, 10, 1_010), 1_010);
        assert_eq!(stamp(1_000, 10, 500), 1_001, "the clock was set back");
        assert_eq!(stamp(1_000, 0, 1_000), 1_001, "two entries in one millisecond");
        assert_eq!(stamp(1_000, 3_600_000, 3_601_000), 3_601_000, "a quiet hour is no jump");
        assert_eq!(stamp(1_000, 10, 86_400_000), 6_000, "a jump of a day");
        assert_eq!(stamp(1_000, 60_000, 86_400_000), 61_000, "a jump in a quiet minute");
    }

    #[test]
    fn an_entry_takes_what_is_queued_within_its_limits() {
        let (send, mut queue) = queue();
        for _ in 0..10 {
            send.submit(Bytes::from_static(b"x"), 100).unwrap();
        }
        let first = queue.queue.try_recv().unwrap();
        assert_eq!(queue.gather(first).len(), limits::ENTRY_MESSAGES / 100);
        assert!(queue.held.is_some(), "what did not fit is kept for the next one");
        let first = queue.held.take().unwrap();
        assert_eq!(queue.gather(first).len(), 5);
    }

    #[tokio::test]
    async fn a_leader_that_does_not_know_it_yet_is_asked_again() {
        let mut asked = 0;
        let ask = || {
            asked += 1;
            ready(Ok(asked == 3))
        };
        assert_eq!(until_taken(|| true, ask).await, Ok(()));
        assert_eq!(asked, 3);
        let left = until_taken(|| false, || ready(Ok(false))).await;
        assert_eq!(left, Err(CallError::NotConnected), "it leads no longer");
        let lost = until_taken(|| true, || ready(Err(CallError::Lost))).await;
        assert_eq!(lost, Err(CallError::Lost));
    }

    #[test]
    fn a_full_queue_says_busy() {
        let (send, queue) = queue();
        let item = Bytes::from(vec![0; limits::PROPOSAL_BYTES / 4]);
        for _ in 0..4 {
            send.submit(item.clone(), 1).unwrap();
        }
        assert_eq!(send.submit(item.clone(), 1), Err(SubmitError::Busy));
        drop(queue);
        assert_eq!(send.submit(Bytes::new(), 1), Err(SubmitError::Stopped));
    }
}
