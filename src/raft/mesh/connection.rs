//! One living connection: a task that reads and writes, a task for each lane that
//! hands questions to the handler, and the calls that wait for an answer. It must
//! not know how connections are made or which servers exist.

use super::hello::Ends;
use super::link::{Arrival, Link, LinkError, Question, cost};
use super::{CallError, Handler};
use crate::limits::{FRAME_PEER, PEER_CALLS, PEER_CONTROL_HANDLERS, PEER_FRAGMENT};
use crate::wire::conn::{ConnError, Reader, Writer};
use crate::wire::peer::{Lane, MessageKind, PeerFrame, PeerHello};
use bytes::Bytes;
use futures::stream::{FuturesUnordered, StreamExt as _};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    #[error("closed here")]
    Here,
    #[error("nothing was heard for {} ms", crate::limits::PEER_SILENCE.as_millis())]
    Silent,
    #[error("the other side closed it")]
    There,
    #[error(transparent)]
    Conn(#[from] ConnError),
    #[error(transparent)]
    Link(#[from] LinkError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// One at a time and in order, for the messages of one server in one lane, also while a
/// new connection takes the place of an old one whose last message is still being handled.
pub(super) type Turns = [Arc<tokio::sync::Mutex<()>>; 4];

/// A connection over which both sides have agreed to talk.
pub(super) struct Connection {
    /// The server at the other end.
    pub seat: u32,
    /// What it said of itself.
    pub hello: PeerHello,
    /// A later connection has a higher number.
    pub number: u64,
    state: Mutex<State>,
    /// Something may be there to write.
    write: Notify,
    /// A question has arrived, by lane.
    arrived: [Notify; 4],
    /// Room in the queues for questions and for answers, by lane, in bytes of cost.
    questions: [Arc<Semaphore>; 4],
    answers: [Arc<Semaphore>; 4],
    closed: CancellationToken,
}

struct State {
    link: Link<OwnedSemaphorePermit>,
    calls: BTreeMap<u64, oneshot::Sender<Bytes>>,
    last_call: u64,
    ended: bool,
}

/// Cancelled or timed out: nobody waits for the answer any more.
struct Waiting<'a> {
    connection: &'a Connection,
    kind: MessageKind,
    call: u64,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut state = self.connection.lock();
        if state.calls.remove(&self.call).is_some() {
            state.link.forget(self.kind, self.call);
        }
    }
}

impl Connection {
    pub(super) fn new(
        seat: u32,
        hello: PeerHello,
        number: u64,
        shutdown: &CancellationToken,
    ) -> Self {
        let room = || Lane::ALL.map(|lane| Arc::new(Semaphore::new(lane.window())));
        Self {
            seat,
            hello,
            number,
            state: Mutex::new(State {
                link: Link::new(Instant::now()),
                calls: BTreeMap::new(),
                last_call: 0,
                ended: false,
            }),
            write: Notify::new(),
            arrived: [const { Notify::const_new() }; 4],
            questions: room(),
            answers: room(),
            closed: shutdown.child_token(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends it: what waits for an answer is told, the tasks end.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.ended = true;
        let calls = std::mem::take(&mut state.calls);
        drop(state);
        drop(calls);
        self.questions.iter().chain(&self.answers).for_each(|room| room.close());
        self.closed.cancel();
    }

    /// When it was last heard, and the last round trip measured.
    pub(super) fn health(&self) -> (Instant, Option<Duration>) {
        let state = self.lock();
        (state.link.heard(), state.link.round_trip())
    }

    /// Calls that wait for an answer.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.lock().calls.len()
    }

    /// Asks and waits for the answer, without a deadline of its own.
    pub(super) async fn call(&self, kind: MessageKind, payload: Bytes) -> Result<Bytes, CallError> {
        let room = Arc::clone(&self.questions[kind.lane() as usize]);
        let room = room
            .acquire_many_owned(fitting(kind, &payload)?)
            .await
            .map_err(|_| CallError::NotConnected)?;
        let (tell, told) = oneshot::channel();
        let call = {
            let mut state = self.lock();
            if state.ended {
                return Err(CallError::NotConnected);
            }
            if state.calls.len() >= PEER_CALLS {
                return Err(CallError::Full);
            }
            state.last_call += 1;
            let call = state.last_call;
            state.calls.insert(call, tell);
            state.link.ask(kind, call, payload, room);
            call
        };
        self.write.notify_one();
        let waiting = Waiting { connection: self, kind, call };
        let answer = told.await;
        drop(waiting);
        answer.map_err(|_| CallError::Lost)
    }

    /// Sends without an answer.
    pub(super) fn send(&self, kind: MessageKind, payload: Bytes) -> Result<(), CallError> {
        let room = Arc::clone(&self.questions[kind.lane() as usize]);
        let room = room.try_acquire_many_owned(fitting(kind, &payload)?).map_err(|e| match e {
            tokio::sync::TryAcquireError::Closed => CallError::NotConnected,
            tokio::sync::TryAcquireError::NoPermits => CallError::Full,
        })?;
        let mut state = self.lock();
        if state.ended {
            return Err(CallError::NotConnected);
        }
        state.link.ask(kind, 0, payload, room);
        drop(state);
        self.write.notify_one();
        Ok(())
    }

    /// Reads, writes and serves until it ends, and says why it did. Calls of the handler
    /// that are under way then are finished, unless the server shuts down.
    pub(super) async fn run(self: &Arc<Self>, (mut read, write): Ends, serving: Serving) -> Ended {
        read.set_limit(FRAME_PEER);
        for lane in Lane::ALL {
            let (this, serving) = (Arc::clone(self), serving.clone());
            let shutdown = serving.shutdown.clone();
            serving.tasks.clone().spawn(async move {
                shutdown.run_until_cancelled(this.serve(lane, serving)).await;
            });
        }
        let ended = tokio::select! {
            () = self.closed.cancelled() => Ended::Here,
            ended = self.read(read) => ended,
            ended = self.write(write) => Ended::Io(ended),
        };
        self.close();
        ended
    }

    async fn read(&self, mut frames: Reader) -> Ended {
        loop {
            let dead_at = self.lock().link.dead_at();
            match tokio::time::timeout_at(dead_at.into(), frames.next()).await {
                Err(_) => return Ended::Silent,
                Ok(Err(error)) => return error.into(),
                Ok(Ok(None)) => return Ended::There,
                Ok(Ok(Some(payload))) => {
                    if let Err(ended) = self.on_frame(&payload) {
                        return ended;
                    }
                }
            }
        }
    }

    fn on_frame(&self, payload: &[u8]) -> Result<(), Ended> {
        let frame = PeerFrame::decode(payload).map_err(ConnError::Wire)?;
        let now = Instant::now();
        let mut state = self.lock();
        let arrival = state.link.on_frame(frame, now)?;
        let writes = state.link.has_frame(now);
        let answered = match &arrival {
            Arrival::Answer(call, _) => state.calls.remove(call),
            _ => None,
        };
        drop(state);
        if writes {
            self.write.notify_one();
        }
        match arrival {
            Arrival::Question(lane) => self.arrived[lane as usize].notify_one(),
            // Where nobody waits any more, the answer is of no use.
            Arrival::Answer(_, payload) => drop(answered.map(|tell| tell.send(payload))),
            Arrival::Nothing => {}
        }
        Ok(())
    }

    async fn write(&self, mut to: Writer) -> std::io::Error {
        loop {
            let next_ping = self.fill(&mut to);
            if to.pending() == 0 {
                tokio::select! {
                    () = self.write.notified() => {}
                    () = tokio::time::sleep_until(next_ping.into()) => {}
                }
            } else if let Err(error) = to.flush_some().await {
                return error;
            }
        }
    }

    /// Takes frames up to about one fragment: more would only delay what is more urgent.
    fn fill(&self, to: &mut Writer) -> Instant {
        let now = Instant::now();
        let mut state = self.lock();
        while to.pending() < PEER_FRAGMENT {
            let Some(frame) = state.link.poll_frame(now) else { break };
            to.push(&frame.encode());
        }
        state.link.next_ping()
    }

    async fn serve(&self, lane: Lane, serving: Serving) {
        match lane {
            Lane::Control => self.serve_at_once(lane, &serving).await,
            Lane::Log | Lane::Forward | Lane::Snapshot => self.serve_in_turn(lane, &serving).await,
        }
    }

    async fn serve_in_turn(&self, lane: Lane, serving: &Serving) {
        loop {
            let turn = tokio::select! {
                turn = serving.turns[lane as usize].lock() => turn,
                () = self.closed.cancelled() => return,
            };
            // The turn is kept while waiting: nobody but a newer connection wants it, and
            // that closes this one first.
            let question = loop {
                if self.closed.is_cancelled() {
                    return;
                }
                if let Some(question) = self.take(lane, |_| true) {
                    break question;
                }
                tokio::select! {
                    () = self.arrived[lane as usize].notified() => {}
                    () = self.closed.cancelled() => return,
                }
            };
            self.handle(question, serving).await;
            drop(turn);
        }
    }

    async fn serve_at_once(&self, lane: Lane, serving: &Serving) {
        let mut running = FuturesUnordered::new();
        let mut counts = BTreeMap::<MessageKind, usize>::new();
        loop {
            let free = |kind| counts.get(&kind).is_none_or(|n| *n < PEER_CONTROL_HANDLERS);
            if let Some(question) = self.take(lane, free) {
                *counts.entry(question.kind).or_default() += 1;
                running.push(self.handle(question, serving));
                continue;
            }
            tokio::select! {
                () = self.arrived[lane as usize].notified() => {}
                Some(kind) = running.next() => *counts.entry(kind).or_default() -= 1,
                () = self.closed.cancelled() => break,
            }
        }
        while running.next().await.is_some() {}
    }

    fn take(&self, lane: Lane, wanted: impl Fn(MessageKind) -> bool) -> Option<Question> {
        let mut state = self.lock();
        if state.ended {
            return None;
        }
        let question = state.link.take(lane, wanted)?;
        if state.link.has_frame(Instant::now()) {
            self.write.notify_one();
        }
        Some(question)
    }

    async fn handle(&self, question: Question, serving: &Serving) -> MessageKind {
        let Question { kind, call, payload, .. } = question;
        let answer = serving.handler.on_message(self.seat, kind, payload).await;
        let Some(answer) = answer.filter(|_| call != 0) else { return kind };
        let Ok(cost) = fitting(kind, &answer) else {
            tracing::error!(?kind, bytes = answer.len(), "an answer is too long to be sent");
            return kind;
        };
        let room = Arc::clone(&self.answers[kind.lane() as usize]);
        // Closed: nobody waits for the answer any more.
        if let Ok(room) = room.acquire_many_owned(cost).await {
            self.lock().link.answer(kind, call, answer, room);
            self.write.notify_one();
        }
        kind
    }
}

/// What a connection serves its questions with.
#[derive(Clone)]
pub(super) struct Serving {
    pub handler: Arc<dyn Handler>,
    pub turns: Turns,
    pub tasks: TaskTracker,
    pub shutdown: CancellationToken,
}

/// The cost of a message, if it fits into its lane.
fn fitting(kind: MessageKind, payload: &Bytes) -> Result<u32, CallError> {
    let cost = cost(payload.len());
    u32::try_from(cost).ok().filter(|_| cost <= kind.lane().window()).ok_or(CallError::TooLong)
}
