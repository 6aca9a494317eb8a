//! The connections between the servers of a cluster: exactly one for each pair,
//! dialled by the lower seat and used in both directions, watched, and made again
//! when it is lost. It carries messages and their answers; it must not know what
//! they mean.
//!
//! ```text
//! Mesh ── call, send ──→ Connection ── Link (fragments, lanes, credit) ──→ socket
//! Handler ←── a task for each lane ──┘
//! dial, door: make connections, hello: agree to talk, review: still agree to talk
//! ```
//!
//! Messages of the log, forward and snapshot lanes of one server are handed to the
//! handler one at a time, in the order in which they found room in the sender's
//! queue. Those of the control lane are handed over as they come, up to
//! `limits::PEER_CONTROL_HANDLERS` of each kind at once. An answer travels in its
//! question's lane; why that cannot come to a stand-still is told in `link`.

mod connection;
mod dial;
mod door;
mod hello;
mod link;
mod review;
#[cfg(test)]
mod tests;

use super::Seat;
use crate::limits::PEER_STRANGERS_LOG;
use crate::tls::Peers;
use crate::wire::peer::{MessageKind, PeerHello};
use async_trait::async_trait;
use bytes::Bytes;
use connection::{Connection, Turns};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// What a mesh needs to start.
#[derive(Clone, Debug)]
pub struct MeshConfig {
    /// This server.
    pub seat: u32,
    /// All servers; this one may be among them.
    pub seats: Vec<Seat>,
    /// Where to listen for the lower seats.
    pub listen: SocketAddr,
    /// Makes connections that prove who is who; `None`: plain ones, that prove nothing.
    pub peers: Option<Peers>,
}

/// Makes the hello for the server of a seat, also for a seat that is not in the
/// configuration: it then carries the refusal.
pub type MakeHello = Arc<dyn Fn(u32) -> PeerHello + Send + Sync>;

/// Says why there shall be no connection with a server, after the mesh's own checks
/// (seat, cluster name and id, versions) have passed. The reason is told to the other side.
pub type Accept = Arc<dyn Fn(&PeerHello, When) -> Result<(), String> + Send + Sync>;

/// When a hello is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// It was said just now.
    Connecting,
    /// It was said when the connection was made, which lives; see [`Mesh::judge_again`].
    Connected,
}

/// Takes the messages of the other servers.
#[async_trait]
pub trait Handler: Send + Sync {
    /// A message of the server at seat `from`. `None`: there is no answer, and a call there
    /// runs into its deadline. The future is run to its end also when the connection is
    /// lost meanwhile, and dropped at shutdown; as long as it runs, no other message of that
    /// server in that lane is handed over (control lane excepted), so it must end.
    async fn on_message(&self, from: u32, kind: MessageKind, payload: Bytes) -> Option<Bytes>;
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// No connection: nothing was sent.
    #[error("no connection")]
    NotConnected,
    /// The connection was lost: whether the message was handled is unknown.
    #[error("the connection was lost")]
    Lost,
    /// The deadline passed: whether the message was or will be handled is unknown.
    #[error("no answer in time")]
    Timeout,
    /// The queue is full: nothing was sent, try again later.
    #[error("the queue is full")]
    Full,
    /// Longer than the lane's window (`Lane::window`): nothing was sent, nor ever will be.
    #[error("the message is too long")]
    TooLong,
}

/// A connection as it was last seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerHealth {
    /// When a frame last arrived.
    pub heard: Instant,
    /// The last round trip measured.
    pub round_trip: Option<Duration>,
}

/// Why two servers do not talk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRefusal {
    /// This server refuses the other one, rather than the other way round.
    pub by_us: bool,
    /// Why, for an operator.
    pub reason: String,
}

/// The connections of one server; a handle that is cheap to clone. Everything ends when
/// the token given at the start is cancelled.
#[derive(Clone)]
pub struct Mesh {
    shared: Arc<Shared>,
    seats: Arc<watch::Sender<Vec<Seat>>>,
}

/// What tasks and handles share. It does not hold the handler, which may hold a handle.
struct Shared {
    seat: u32,
    slots: RwLock<BTreeMap<u32, Arc<Slot>>>,
    peers: watch::Sender<BTreeMap<u32, PeerHello>>,
    refusals: watch::Sender<BTreeMap<u32, PeerRefusal>>,
    numbers: AtomicU64,
    established: AtomicU64,
    review: Notify,
    stranger_logged: Mutex<Option<Instant>>,
    tasks: TaskTracker,
    shutdown: CancellationToken,
}

/// Another server.
struct Slot {
    seat: Seat,
    current: Mutex<Option<Arc<Connection>>>,
    turns: Turns,
    gone: CancellationToken,
}

/// What the tasks that make connections need besides.
#[derive(Clone)]
struct Company {
    shared: Arc<Shared>,
    hello: MakeHello,
    accept: Accept,
    handler: Arc<dyn Handler>,
    peers: Option<Peers>,
}

impl Mesh {
    /// Listens and starts to dial; within a tokio runtime.
    ///
    /// # Errors
    /// The address cannot be listened on.
    pub fn start(
        config: MeshConfig,
        hello: MakeHello,
        accept: Accept,
        handler: Arc<dyn Handler>,
        shutdown: CancellationToken,
    ) -> Result<Self, std::io::Error> {
        let listener = std::net::TcpListener::bind(config.listen)?;
        listener.set_nonblocking(true)?;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let others = config.seats.into_iter().filter(|seat| seat.seat != config.seat);
        let shared = Arc::new(Shared {
            seat: config.seat,
            slots: RwLock::default(),
            peers: watch::Sender::default(),
            refusals: watch::Sender::default(),
            numbers: AtomicU64::new(0),
            established: AtomicU64::new(0),
            review: Notify::new(),
            stranger_logged: Mutex::new(None),
            tasks: TaskTracker::new(),
            shutdown,
        });
        let peers = config.peers;
        let company = Company { shared: Arc::clone(&shared), hello, accept, handler, peers };
        company.spawn(door::keep(company.clone(), listener));
        company.spawn(review::keep(company.clone()));
        let (seats, wanted) = watch::channel(others.collect::<Vec<_>>());
        // At once, so that nobody is a stranger for a moment.
        company.set_seats(&seats.borrow());
        company.spawn(follow_seats(company.clone(), wanted));
        shared.tasks.close();
        Ok(Self { shared, seats: Arc::new(seats) })
    }

    /// These are the other servers from now on: there are connections with new ones, soon, and
    /// none any more with those that are not among them.
    pub fn set_seats(&self, seats: Vec<Seat>) {
        self.seats.send_if_modified(|known| {
            let changed = *known != seats;
            *known = seats;
            changed
        });
    }

    /// Asks the server at `seat` and waits for the answer, also for room in the queue. The
    /// kind decides the lane. When the future is dropped, a question that waits is not sent.
    ///
    /// # Errors
    /// See [`CallError`].
    pub async fn call(
        &self,
        seat: u32,
        kind: MessageKind,
        payload: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, CallError> {
        let connection = self.shared.connection(seat).ok_or(CallError::NotConnected)?;
        let answer = tokio::time::timeout(deadline, connection.call(kind, payload)).await;
        answer.unwrap_or(Err(CallError::Timeout))
    }

    /// Sends to the server at `seat` without waiting and without an answer.
    ///
    /// # Errors
    /// [`CallError::NotConnected`], [`CallError::Full`] or [`CallError::TooLong`].
    pub fn send(&self, seat: u32, kind: MessageKind, payload: Bytes) -> Result<(), CallError> {
        self.shared.connection(seat).ok_or(CallError::NotConnected)?.send(kind, payload)
    }

    /// Live connections, and what the other side said in its hello when it was made.
    #[must_use]
    pub fn peers(&self) -> watch::Receiver<BTreeMap<u32, PeerHello>> {
        self.shared.peers.subscribe()
    }

    /// Which servers refuse this one or are refused by it, as long as there is no
    /// connection; under 0 one that claims a seat which is not in the configuration.
    #[must_use]
    pub fn refusals(&self) -> watch::Receiver<BTreeMap<u32, PeerRefusal>> {
        self.shared.refusals.subscribe()
    }

    /// Something has changed by which hellos are judged: those of the live connections are
    /// judged again, soon, and who is refused now is disconnected. The other side hears why when
    /// it says its next hello.
    pub fn judge_again(&self) {
        self.shared.review.notify_one();
    }

    /// There is a connection with `seat`.
    #[must_use]
    pub fn is_connected(&self, seat: u32) -> bool {
        self.shared.slot(seat).is_some_and(|slot| slot.current().is_some())
    }

    /// How the connection with `seat` is doing; `None` where there is none.
    #[must_use]
    pub fn health(&self, seat: u32) -> Option<PeerHealth> {
        let (heard, round_trip) = self.shared.connection(seat)?.health();
        Some(PeerHealth { heard, round_trip })
    }

    /// Connections established since the start, lost ones included.
    #[must_use]
    pub fn established(&self) -> u64 {
        self.shared.established.load(Ordering::Relaxed)
    }

    /// Resolves when the token is cancelled and every task has ended.
    pub async fn ended(&self) {
        self.shared.tasks.wait().await;
    }
}

impl Company {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.shared.shutdown.clone();
        self.shared.tasks.spawn(async move {
            shutdown.run_until_cancelled(task).await;
        });
    }
}

/// Follows who the other servers are.
async fn follow_seats(company: Company, mut wanted: watch::Receiver<Vec<Seat>>) {
    while wanted.changed().await.is_ok() {
        let seats = wanted.borrow_and_update().clone();
        company.set_seats(&seats);
    }
}

impl Company {
    fn set_seats(&self, seats: &[Seat]) {
        let mut slots = self.shared.slots.write().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| {
            let stays = seats.contains(&slot.seat);
            if !stays {
                slot.close();
                self.shared.peers.send_modify(|all| drop(all.remove(&slot.seat.seat)));
                self.shared.refusals.send_modify(|all| drop(all.remove(&slot.seat.seat)));
            }
            stays
        });
        for seat in seats.iter().filter(|seat| seat.seat != self.shared.seat) {
            if slots.contains_key(&seat.seat) {
                continue;
            }
            let slot = Arc::new(Slot::new(seat.clone()));
            slots.insert(seat.seat, Arc::clone(&slot));
            if seat.seat > self.shared.seat {
                let (company, gone) = (self.clone(), slot.gone.clone());
                self.spawn(async move {
                    gone.run_until_cancelled(dial::keep(company, slot)).await;
                });
            }
        }
    }
}

impl Slot {
    fn new(seat: Seat) -> Self {
        let turns = std::array::from_fn(|_| Arc::new(tokio::sync::Mutex::new(())));
        Self { seat, current: Mutex::new(None), turns, gone: CancellationToken::new() }
    }

    /// Its server is none of ours any more.
    fn close(&self) {
        self.gone.cancel();
        if let Some(connection) = self.current().as_ref() {
            connection.close();
        }
    }

    fn current(&self) -> std::sync::MutexGuard<'_, Option<Arc<Connection>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn slot(&self, seat: u32) -> Option<Arc<Slot>> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner).get(&seat).cloned()
    }

    fn connection(&self, seat: u32) -> Option<Arc<Connection>> {
        self.slot(seat)?.current().clone()
    }

    /// A number for a connection, in the order in which they came about.
    fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Makes it the connection of its seat, in place of an older one. Says whether it is: it
    /// is not where a newer one came first.
    fn admit(&self, connection: &Arc<Connection>) -> bool {
        let Some(slot) = self.slot(connection.seat) else { return false };
        let mut current = slot.current();
        if slot.gone.is_cancelled() {
            return false;
        }
        if current.as_ref().is_some_and(|other| other.number > connection.number) {
            return false;
        }
        if let Some(older) = current.replace(Arc::clone(connection)) {
            older.close();
        }
        self.established.fetch_add(1, Ordering::Relaxed);
        self.refusals.send_if_modified(|all| all.remove(&connection.seat).is_some());
        self.peers.send_modify(|all| drop(all.insert(connection.seat, connection.hello.clone())));
        drop(current);
        // What has changed since its hello was judged could not find it yet.
        self.review.notify_one();
        true
    }

    /// The connection has ended.
    fn dismiss(&self, connection: &Arc<Connection>) {
        let Some(slot) = self.slot(connection.seat) else { return };
        let mut current = slot.current();
        if current.as_ref().is_some_and(|other| Arc::ptr_eq(other, connection)) {
            *current = None;
            self.peers.send_modify(|all| drop(all.remove(&connection.seat)));
        }
    }

    /// Strangers choose how often they come: not how much is written.
    fn may_log_stranger(&self) -> bool {
        let mut last = self.stranger_logged.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let due = last.is_none_or(|last| now.duration_since(last) >= PEER_STRANGERS_LOG);
        if due {
            *last = Some(now);
        }
        due
    }

    /// Remembers why two servers do not talk; logged when it changes, not with every try.
    fn refused(&self, seat: u32, by_us: bool, reason: String) {
        let known = if self.slot(seat).is_some() { seat } else { 0 };
        let refusal = PeerRefusal { by_us, reason };
        if self.refusals.borrow().get(&known) == Some(&refusal) {
            return;
        }
        let who = if by_us { "this server refuses" } else { "this server is refused by" };
        match seat {
            0 if !self.may_log_stranger() => {}
            0 => tracing::warn!(reason = %refusal.reason, "{who} a stranger"),
            seat => tracing::warn!(seat, reason = %refusal.reason, "{who} node {seat}"),
        }
        self.refusals.send_modify(|all| drop(all.insert(known, refusal)));
    }
}
