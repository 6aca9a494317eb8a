//! Drives one session: its socket, its mailbox, its questions and its clock.
//! What it does is decided in [`super::session`].

use super::hub::{Delivery, Mailbox};
use super::links::{self, Carried};
use super::queries;
use super::session::{Answer, Other, Output, Session};
use super::shared::{Shared, cluster_state, lock};
use super::strangers::{Guest, Out};
use super::visits::{self, Arrived};
use crate::chat::command::Command;
use crate::chat::event::Outcome;
use crate::chat::ids::UserId;
use crate::limits;
use crate::link::visit::distrusted;
use crate::raft::SubmitError;
use crate::tls::Stream;
use crate::wire::conn::{ConnError, Reader, Writer, frames};
use crate::wire::message::{Challenge, ClientMsg, ServerMsg};
use crate::wire::{client, log};
use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep_until, timeout};

/// So many frames or deliveries are taken in one go before the socket is written again.
const TURNS: usize = 16;
/// A client that is told to go takes its last message within this time.
const FAREWELL: Duration = Duration::from_secs(1);
/// A client that sends when the server holds too much comes back after this time.
const FULL_MS: u32 = 500;

/// Places that a session takes up.
pub struct Permits {
    /// Among all sessions; held until the end.
    pub _session: OwnedSemaphorePermit,
    /// Among those that have not logged in; given back at the login.
    pub before_login: Option<Guest>,
}

struct Driver {
    shared: Arc<Shared>,
    peer: SocketAddr,
    session: Session,
    reader: Reader,
    writer: Writer,
    mailbox: Mailbox,
    questions: FuturesUnordered<BoxFuture<'static, Answer>>,
    permits: Permits,
    closing: bool,
    held: usize,
    /// Who it is that does not chat, and has to sign this.
    other: Option<(Other, Challenge)>,
    heard: Instant,
    taken: Instant,
    /// Since when so much waits for the client that nothing is read from it.
    unread: Option<Instant>,
}

/// Serves a client until it goes or the server stops.
pub async fn serve(shared: Arc<Shared>, stream: Stream, peer: SocketAddr, permits: Permits) {
    if let Err(error) = serve_any(shared, stream, peer, permits).await {
        tracing::debug!(%peer, %error, "a client's connection ended");
    }
}

async fn serve_any(
    shared: Arc<Shared>,
    stream: Stream,
    peer: SocketAddr,
    permits: Permits,
) -> Result<(), ConnError> {
    let driver = Driver::new(Arc::clone(&shared), stream, peer, permits, None)?;
    let Some(Handed { to, challenge, line, mut permits }) = driver.run().await? else {
        return Ok(());
    };
    let Some(stranger) = permits.before_login.take() else { return Ok(()) };
    match to {
        // Apart, for few need it: the task of every other client would be as large.
        Other::Guest => Box::pin(visits::serve(&shared, line, challenge, stranger)).await,
        Other::Cluster => {
            let served = links::serve(&shared, line, challenge, || drop(stranger));
            match Box::pin(served).await? {
                Some(carried) => Box::pin(serve_carried(shared, carried, peer, permits)).await,
                None => Ok(()),
            }
        }
    }
}

/// Serves a device of a user here that has come by way of another cluster.
async fn serve_carried(
    shared: Arc<Shared>,
    carried: Carried,
    peer: SocketAddr,
    permits: Permits,
) -> Result<(), ConnError> {
    let (user, by) = (carried.user, carried.by.cluster);
    let Some(arrived) = visits::take_in(&shared, carried, peer).await? else { return Ok(()) };
    let Arrived { stream, stranger, seat } = arrived;
    let permits = Permits { before_login: Some(stranger), ..permits };
    let driver = Driver::new(Arc::clone(&shared), stream, peer, permits, Some(user))?;
    let served = tokio::select! {
        served = driver.run() => served.map(drop),
        () = distrusted(&*shared, by) => Ok(()),
    };
    drop(seat);
    served
}

/// A connection that is not for a session.
struct Handed {
    to: Other,
    challenge: Challenge,
    line: (Reader, Writer),
    permits: Permits,
}

/// In a box: a future that takes it would hold it twice.
impl Driver {
    fn new(
        shared: Arc<Shared>,
        stream: Stream,
        peer: SocketAddr,
        permits: Permits,
        carried: Option<UserId>,
    ) -> io::Result<Box<Self>> {
        let (mut reader, writer) = frames(stream, limits::FRAME_BEFORE_LOGIN)?;
        reader.hurry();
        let now = Instant::now();
        let cluster = cluster_state(&shared.status());
        let session = Session::new(shared.current_setup(), cluster, rand::random(), now);
        Ok(Box::new(Self {
            session: session.carried_for(carried),
            mailbox: shared.hub.attach(),
            questions: FuturesUnordered::new(),
            closing: false,
            held: 0,
            other: None,
            heard: now,
            taken: now,
            unread: None,
            shared,
            peer,
            reader,
            writer,
            permits,
        }))
    }

    /// Gives the connection back if the client does not chat.
    async fn run(mut self: Box<Self>) -> Result<Option<Handed>, ConnError> {
        let ended = self.turn_until_closed().await;
        self.shared.held.fetch_sub(self.held, Ordering::Relaxed);
        if let Some((to, challenge)) = self.other.filter(|_| ended.is_ok()) {
            self.writer.flush_all().await?;
            let Self { reader, writer, permits, .. } = *self;
            return Ok(Some(Handed { to, challenge, line: (reader, writer), permits }));
        }
        drop(self.permits.before_login.take());
        if ended.is_ok() && self.closing {
            drop(timeout(FAREWELL, self.farewell()).await);
        }
        ended.map(|()| None)
    }

    async fn turn_until_closed(&mut self) -> Result<(), ConnError> {
        let mut cluster = self.shared.cluster.clone();
        let mut draining = self.shared.draining.clone();
        let stop = self.shared.stop.clone();
        // Who asks about the node is answered by a drained one too.
        let mut drained = false;
        while !self.closing {
            let room = self.writer.pending() < limits::SESSION_OUT_BYTES;
            let tick = self.next_tick(room);
            self.note_reading(room);
            tokio::select! {
                () = stop.cancelled() => self.session.on_shutdown(),
                out = out(self.permits.before_login.as_ref()) => return self.show_out(out),
                frame = self.reader.next(), if room => match frame? {
                    Some(frame) => self.take_frames(frame)?,
                    None => return Ok(()),
                },
                Some(answer) = self.questions.next(), if room && !self.questions.is_empty() => {
                    self.session.on_answer(answer, Instant::now());
                }
                delivery = self.mailbox.next(room) => {
                    self.take_deliveries(delivery);
                }
                written = self.writer.flush_some(), if self.writer.pending() > 0 => {
                    written?;
                    self.taken = Instant::now();
                }
                Ok(()) = cluster.changed() => {
                    let state = *cluster.borrow_and_update();
                    self.session.on_cluster(state, Instant::now());
                }
                Ok(_) = draining.wait_for(|draining| *draining), if !drained => {
                    drained = true;
                    self.session.on_drain();
                }
                () = sleep_until(tick.into()) => self.on_tick(room)?,
            }
            self.look_at_flags();
            self.act();
            self.go_on();
            self.account_for_held();
        }
        Ok(())
    }

    /// The client is told why it must go. One whose place is somebody else's already is not
    /// waited for.
    fn show_out(&mut self, out: Out) -> Result<(), ConnError> {
        self.push(&out.farewell());
        self.closing = true;
        if out == Out::Displaced {
            drop(self.writer.finish().now_or_never());
            return Err(io::Error::other("its place is needed for somebody else").into());
        }
        Ok(())
    }

    /// While nothing is read, a frame that has begun cannot be finished.
    fn note_reading(&mut self, room: bool) {
        if !room {
            self.unread.get_or_insert_with(Instant::now);
        } else if let Some(since) = self.unread.take() {
            self.reader.excuse(since.elapsed());
        }
    }

    /// When a client that takes nothing, or next to nothing, is given up.
    fn stuck_at(&self) -> Instant {
        let nothing = self.taken + limits::CLIENT_STUCK;
        self.unread.map_or(nothing, |since| nothing.min(since + limits::CLIENT_SLOW))
    }

    fn next_tick(&self, room: bool) -> Instant {
        let patience = if room { self.heard + limits::CLIENT_SILENCE } else { self.stuck_at() };
        self.session.next_tick().map_or(patience, |tick| tick.min(patience))
    }

    fn on_tick(&mut self, room: bool) -> Result<(), ConnError> {
        let now = Instant::now();
        let silent = room && now >= self.heard + limits::CLIENT_SILENCE;
        let stuck = !room && now >= self.stuck_at();
        if silent || stuck {
            return Err(io::Error::from(io::ErrorKind::TimedOut).into());
        }
        self.session.on_tick(now);
        Ok(())
    }

    fn look_at_flags(&mut self) {
        if self.mailbox.revoked() {
            self.session.on_revoked();
        }
        if self.mailbox.replaced() {
            self.session.on_replaced();
        }
        let room = self.writer.pending() < limits::SESSION_OUT_BYTES;
        if room && self.mailbox.take_behind() {
            self.session.on_behind(Instant::now());
        }
    }

    /// Takes a delivery and what is queued behind it.
    fn take_deliveries(&mut self, first: Option<Delivery>) {
        let mut next = first;
        for _ in 0..TURNS {
            let Some(delivery) = next else { return };
            if self.mailbox.revoked() || self.mailbox.replaced() {
                // What came to be after its end is not this session's any more.
                return self.look_at_flags();
            }
            self.session.on_delivery(delivery, Instant::now());
            self.act();
            if self.writer.pending() >= limits::SESSION_OUT_BYTES {
                return;
            }
            next = self.mailbox.try_next();
        }
    }

    /// Takes a frame and what has arrived behind it.
    fn take_frames(&mut self, first: Bytes) -> Result<(), ConnError> {
        let mut next = Some(first);
        for _ in 0..TURNS {
            let Some(frame) = next else { break };
            self.heard = Instant::now();
            let message = client::decode_client(frame)?;
            if self.is_too_much(&message) {
                self.push(&ServerMsg::Busy { retry_after_ms: FULL_MS });
            } else {
                self.session.on_frame(message, self.heard);
            }
            self.act();
            self.account_for_held();
            if self.closing || self.writer.pending() >= limits::SESSION_OUT_BYTES {
                break;
            }
            next = self.reader.buffered()?;
        }
        Ok(())
    }

    fn is_too_much(&self, message: &ClientMsg) -> bool {
        matches!(message, ClientMsg::Send { .. })
            && self.shared.held.load(Ordering::Relaxed) > limits::HELD_BYTES
    }

    fn account_for_held(&mut self) {
        let held = self.session.held_bytes();
        if held > self.held {
            self.shared.held.fetch_add(held - self.held, Ordering::Relaxed);
        } else {
            self.shared.held.fetch_sub(self.held - held, Ordering::Relaxed);
        }
        self.held = held;
    }

    /// Lets the session go on while the client takes what it is sent.
    fn go_on(&mut self) {
        while !self.closing
            && self.writer.pending() < limits::SESSION_OUT_BYTES
            && self.session.go_on(Instant::now())
        {
            self.act();
        }
        self.act();
    }

    fn count(&self, message: &ServerMsg) {
        if let ServerMsg::Ack(ack) = message {
            let taken =
                ack.outcomes.iter().filter(|run| matches!(run.outcome, Outcome::Committed { .. }));
            let messages = taken.map(|run| u64::from(run.count)).sum();
            self.shared.counts.accepted.fetch_add(messages, Ordering::Relaxed);
        }
    }

    fn push(&mut self, message: &ServerMsg) {
        self.push_encoded(client::encode_server(message));
    }

    fn push_encoded(&mut self, payload: Bytes) {
        if self.writer.pending() == 0 {
            // From now on something waits for the client.
            self.taken = Instant::now();
        }
        self.writer.push_shared(payload);
    }

    /// Does what the session wants done.
    fn act(&mut self) {
        let pushed = self.session.take_pushed();
        if pushed > 0 {
            self.shared.counts.delivered.fetch_add(pushed, Ordering::Relaxed);
        }
        loop {
            let outputs = self.session.outputs();
            if outputs.is_empty() {
                if let Some(guest) = &mut self.permits.before_login {
                    guest.turn(!self.questions.is_empty());
                }
                return;
            }
            let mut busy = false;
            for output in outputs {
                match output {
                    Output::Send(message) => {
                        self.count(&message);
                        if let Some(guest) = &mut self.permits.before_login {
                            guest.told(&message);
                        }
                        self.push(&message);
                    }
                    Output::Encoded(payload) => self.push_encoded(payload),
                    Output::Submit(command) => busy = self.submit(&command, busy),
                    Output::Ask(query) => {
                        let shared = Arc::clone(&self.shared);
                        let answer = queries::answer(shared, self.peer.ip(), query);
                        self.questions.push(Box::pin(answer));
                    }
                    Output::Arrive(device) => self.mailbox.arrive(device),
                    Output::Join { user, device, epoch } => {
                        self.mailbox.join(user, device, epoch);
                        self.reader.set_limit(limits::FRAME_CLIENT);
                        drop(self.permits.before_login.take());
                    }
                    Output::Marks(advances) => {
                        lock(&self.shared.marks.0).advance(&advances);
                        self.shared.marks.1.notify_one();
                    }
                    Output::HandOver { to, challenge } => {
                        self.other = Some((to, challenge));
                        self.closing = true;
                    }
                    Output::Close => self.closing = true,
                }
            }
        }
    }

    /// Hands a command to Raft. Once it is too busy, what follows would only leave a gap.
    fn submit(&mut self, command: &Command, busy: bool) -> bool {
        if let Some(guest) = &mut self.permits.before_login {
            guest.enters();
        }
        let messages = match command {
            Command::Send(_) if busy => return true,
            Command::Send(send) => send.bodies.len(),
            _ => 1,
        };
        match self.shared.node.submit(log::encode_command(command), messages) {
            Ok(()) => busy,
            Err(error) => {
                self.session.on_not_taken(command, error, Instant::now());
                // What else is busy leaves no gap among the sends.
                busy || (error == SubmitError::Busy && matches!(command, Command::Send(_)))
            }
        }
    }

    /// Sends what is left and waits until the client has closed too: closing while it still
    /// sends would take the last message from it.
    async fn farewell(&mut self) -> Result<(), ConnError> {
        self.writer.finish().await?;
        while self.reader.next().await?.is_some() {}
        Ok(())
    }
}

/// Resolves when a client that has not logged in must go.
async fn out(guest: Option<&Guest>) -> Out {
    match guest {
        Some(guest) => guest.out().await,
        None => std::future::pending().await,
    }
}
