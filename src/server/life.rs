//! The life of a server: it opens its store, serves with a node on it, and where
//! the database goes away it waits until that is back and serves again, in the same
//! process and on the same port. It must not know what is said to clients.

use super::accept::{self, Door};
use super::config::{ServeError, ServerConfig, StoreSpec};
use super::hub::Hub;
use super::opening::open;
use super::password::Passwords;
use super::pulse::{self, Pulse};
use super::replica::Replica;
use super::seek::{self, Seek};
use super::session::Setup;
use super::shared::{Shared, cluster_state};
use super::waiting::Room;
use super::{admin, links, status, watchers};
use crate::client::security::Security;
use crate::limits;
use crate::raft::NodeConfig;
use crate::raft::node::Node;
use crate::raft::types::{EventKind, StopReason};
use crate::store::Store;
use crate::tls::{self, Identity};
use crate::wire::message::{CERTIFIES, ClusterState, ServerAddress};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Sessions and other tasks end within this time after the server was told to stop.
const ENDING: Duration = Duration::from_secs(3);

/// Runs a server until `stop` is cancelled, or until it cannot go on. `ready` is told once it
/// listens and its node runs; whether there is a leader is another matter. From then on a
/// database that does not answer ends nothing: the server waits for it and serves again.
/// `pulse` shows from then on that it lives.
///
/// # Errors
/// See [`ServeError`]. Nothing is left running then, and the store is closed.
pub async fn run(
    config: ServerConfig,
    stop: CancellationToken,
    ready: oneshot::Sender<()>,
    pulse: watch::Sender<Pulse>,
) -> Result<(), ServeError> {
    // Who holds the database, or does not answer, may be waited for.
    let Some(opened) = stop.run_until_cancelled(open(&config, false)).await else { return Ok(()) };
    let store = opened?;
    let door = match listen(&config).await {
        Ok(listener) => listener,
        Err(error) => {
            drop(store.close().await);
            return Err(error);
        }
    };
    let door = Door::new(door).securing(tls(config.keys.as_ref(), tls::Server::new)?);
    let (now, desk) = watch::channel(admin::Now::default());
    let done = CancellationToken::new();
    let admin = match open_admin(&config, desk, pulse.subscribe(), done.clone()).await {
        Ok(admin) => admin,
        Err(error) => {
            drop(store.close().await);
            return Err(error);
        }
    };
    let ready = Some(ready);
    let (begun, pause) = (Instant::now(), limits::REOPEN_MIN);
    let mut life =
        Life { config, stop, door, now, ready, pulse, room: None, begun, draining: false, pause };
    let ended = life.go_on(store).await;
    if let Some(room) = life.room.take() {
        room.close().await;
    }
    done.cancel();
    if timeout(ENDING, admin).await.is_err() {
        tracing::warn!("some HTTP connections did not end in time");
    }
    ended
}

/// Listens for probes, metrics and orders, where the server is to; resolves when that has ended.
async fn open_admin(
    config: &ServerConfig,
    now: watch::Receiver<admin::Now>,
    pulse: watch::Receiver<Pulse>,
    stop: CancellationToken,
) -> Result<impl Future<Output = ()> + use<>, ServeError> {
    let tasks = TaskTracker::new();
    if let Some(address) = config.admin_listen {
        let listener = TcpListener::bind(address).await.map_err(|error| {
            let what = "probes and operators";
            ServeError::Listen { what, address, error }
        })?;
        let own = addresses(config).into_iter().find(|server| server.seat == config.seat);
        let client = own.map(|own| own.for_clients()).unwrap_or_default();
        let own = config.keys.as_ref().map(|identity| identity.keys().fingerprint);
        let security = own.map_or(Security::PLAIN, |key| Security::of(Some(key)));
        let desk = admin::Desk::new(now, pulse, client, security);
        tasks.spawn(admin::serve(Door::new(listener), desk, stop.clone()));
        tasks.spawn(async move {
            stop.run_until_cancelled(admin::keep()).await;
        });
    }
    tasks.close();
    Ok(async move { tasks.wait().await })
}

struct Life {
    config: ServerConfig,
    stop: CancellationToken,
    door: Door,
    now: watch::Sender<admin::Now>,
    /// To be told, once.
    ready: Option<oneshot::Sender<()>>,
    pulse: watch::Sender<Pulse>,
    /// Open while there is no node, from the first time that one was given up.
    room: Option<Room>,
    begun: Instant,
    /// The last node was drained.
    draining: bool,
    /// The wait before the store is opened next.
    pause: Duration,
}

impl Life {
    /// Serves, and where the store is unavailable it waits and serves again.
    async fn go_on(&mut self, mut store: Arc<dyn Store>) -> Result<(), ServeError> {
        loop {
            let begun = Instant::now();
            let served = self.serve(Arc::clone(&store)).await;
            let closed = store.close().await;
            match served {
                Err(ServeError::Unavailable(why)) if self.room.is_some() => {
                    if begun.elapsed() > limits::REOPEN_MAX {
                        self.pause = limits::REOPEN_MIN;
                    }
                    // What could not be written before cannot be written now.
                    tracing::debug!(?closed, "the store is given up");
                    drop(store);
                    let Some(back) = self.wait(why).await? else { return Ok(()) };
                    store = back;
                }
                served => {
                    served?;
                    return Ok(closed?);
                }
            }
        }
    }

    /// Tries until the store can be opened; `None` when the server was told to stop.
    async fn wait(&mut self, mut why: String) -> Result<Option<Arc<dyn Store>>, ServeError> {
        tracing::warn!(%why, "clients are sent away until the database is back");
        loop {
            if let Some(room) = &self.room {
                room.set_why(&why);
            }
            let again = async {
                sleep(self.pause).await;
                open(&self.config, true).await
            };
            let again = pulse::during(&self.pulse, again);
            let Some(opened) = self.stop.run_until_cancelled(again).await else { return Ok(None) };
            self.pause = (self.pause * 2).min(limits::REOPEN_MAX);
            match opened {
                Ok(store) => {
                    tracing::info!("the database is back");
                    return Ok(Some(store));
                }
                Err(ServeError::Unavailable(text)) => {
                    if text != why {
                        tracing::warn!(why = %text, "the database is still not back");
                    }
                    why = text;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Serves until the node stops or the server is told to stop.
    async fn serve(&mut self, store: Arc<dyn Store>) -> Result<(), ServeError> {
        let hub = Hub::default();
        let name = self.config.cluster_name.clone();
        let loaded = Replica::load(Arc::clone(&store), hub.clone(), name);
        let (replica, state) = pulse::during(&self.pulse, loaded).await?;
        let (passwords, thread) = Passwords::start()
            .map_err(|error| ServeError::Failed(format!("no thread for passwords: {error}")))?;
        let again = self.ready.is_none();
        let peers = tls(self.config.keys.as_ref(), tls::Peers::new)?;
        let config = node_config(&self.config, &*store, again, self.draining);
        let config = NodeConfig { peers, ..config };
        let own = CancellationToken::new();
        let node = Node::start(config, Arc::clone(&store), Box::new(replica), own)
            .map_err(|error| ServeError::of_start(error, self.config.peer_listen))?;
        let first = cluster_state(&node.status().borrow());
        let (cluster_now, cluster) = watch::channel(first);
        let (drained, draining) = watch::channel(false);
        let setup = Setup {
            cluster_name: self.config.cluster_name.clone(),
            seat: self.config.seat,
            servers: addresses(&self.config),
            features: if self.config.keys.is_some() { CERTIFIES } else { 0 },
            state,
        };
        let setup = Arc::new(setup);
        let shared = Arc::new(Shared {
            current: Mutex::new(Arc::clone(&setup)),
            setup,
            node: node.clone(),
            store,
            hub,
            passwords,
            throttle: Default::default(),
            placement: Default::default(),
            marks: Default::default(),
            held: Default::default(),
            counts: Default::default(),
            begun: self.begun,
            keys: self.config.keys.clone(),
            data: matches!(self.config.store, StoreSpec::Embedded)
                .then(|| self.config.data.clone()),
            cluster,
            draining,
            board: Default::default(),
            strangers: Default::default(),
            guests: Default::default(),
            carried: Default::default(),
            stop: self.stop.child_token(),
        });
        let tasks = TaskTracker::new();
        self.take_in(&shared, &tasks, cluster_now, drained).await;
        let reason = tokio::select! {
            () = self.stop.cancelled() => None,
            reason = node.stopping() => Some(reason),
        };
        if let Some(StopReason::Unavailable(_)) = &reason {
            shared.stop.cancel();
            self.room = Some(Room::open(self.door.clone(), status::statement(&shared)));
        }
        self.now.send_replace(match &self.room {
            Some(room) => admin::Now::Waiting(room.known()),
            None => admin::Now::Starting,
        });
        self.draining = node.status().borrow().draining;
        end(shared, tasks, &node, thread).await;
        if let Some(room) = &self.room {
            room.set_leader(leader_after(&node, self.config.seat));
        }
        reason.and_then(ServeError::of_stop).map_or(Ok(()), Err)
    }

    /// From now on clients are served.
    async fn take_in(
        &mut self,
        shared: &Arc<Shared>,
        tasks: &TaskTracker,
        cluster_now: watch::Sender<ClusterState>,
        drained: watch::Sender<bool>,
    ) {
        if let Some(room) = self.room.take() {
            room.close().await;
        }
        self.now.send_replace(admin::Now::Serving(Arc::clone(shared)));
        tasks.spawn(accept::accept(Arc::clone(shared), self.door.clone(), tasks.clone()));
        tasks.spawn(links::pull_all(Arc::clone(shared), tasks.clone()));
        tasks.spawn(watchers::marks(Arc::clone(shared)));
        tasks.spawn(pulse::follow(Arc::clone(shared), self.pulse.clone()));
        tasks.spawn(watchers::cluster(Arc::clone(shared), cluster_now));
        tasks.spawn(watchers::keys(Arc::clone(shared)));
        tasks.spawn(watchers::drained(Arc::clone(shared), drained));
        let seek = Seek {
            port: self.config.discovery_port,
            addresses: self.config.links.clone(),
            trust_new: self.config.trust_new_links,
        };
        tasks.spawn(seek::run(Arc::clone(shared), seek));
        if let Some(port) = self.config.discovery_port {
            tasks.spawn(watchers::discovery(Arc::clone(shared), port));
        }
        if let Some(ready) = self.ready.take()
            && ready.send(()).is_err()
        {
            tracing::debug!("nobody waits for the server to be ready");
        }
    }
}

/// Who leads after a node has stopped: whom it followed, or handed leadership over to.
fn leader_after(node: &Node, own: u32) -> Option<u32> {
    let (leader, term) = {
        let status = node.status();
        let status = status.borrow();
        (status.leader, status.term)
    };
    let given = || {
        let events = node.events();
        let last = events.iter().rev().find(|event| event.kind == EventKind::Transfer)?;
        last.peer.filter(|_| last.term + 1 >= term)
    };
    leader.filter(|seat| *seat != own).or_else(given)
}

/// Tells the clients, hands leadership over, and waits until nothing runs any more.
async fn end(shared: Arc<Shared>, tasks: TaskTracker, node: &Node, thread: JoinHandle<()>) {
    shared.stop.cancel();
    tasks.close();
    let handed_over = node.shutdown();
    let (ended, ()) = tokio::join!(timeout(ENDING, tasks.wait()), handed_over);
    if ended.is_err() {
        tracing::warn!("some clients' connections did not end in time");
    }
    drop(shared);
    let joined = tokio::task::spawn_blocking(move || thread.join());
    if !matches!(timeout(ENDING, joined).await, Ok(Ok(Ok(())))) {
        tracing::warn!("the password thread did not end in time");
    }
}

/// What is made of the server's keys, where it has any.
fn tls<T>(
    keys: Option<&Arc<Identity>>,
    make: impl FnOnce(&Arc<Identity>) -> std::io::Result<T>,
) -> Result<Option<T>, ServeError> {
    let made = keys.map(make).transpose();
    made.map_err(|error| ServeError::Failed(format!("TLS cannot be set up: {error}")))
}

async fn listen(config: &ServerConfig) -> Result<TcpListener, ServeError> {
    let address = config.client_listen;
    TcpListener::bind(address).await.map_err(|error| ServeError::Listen {
        what: "clients",
        address,
        error,
    })
}

/// `again`: this process had a node before. What that one was admitted with it has then.
fn node_config(
    config: &ServerConfig,
    store: &dyn Store,
    again: bool,
    draining: bool,
) -> NodeConfig {
    let identity = store.identity();
    let has_joined = again && store.bounds().last.is_some();
    NodeConfig {
        cluster_name: config.cluster_name.clone(),
        cluster: config.cluster,
        seat: config.seat,
        seats: config.seats.clone(),
        listen: config.peer_listen,
        peers: None,
        incarnation: identity.incarnation,
        raft_id: identity.raft_id,
        rejoin: config.rejoin && !has_joined,
        snapshot_log_bytes: config.snapshot_log_bytes,
        draining,
    }
}

fn addresses(config: &ServerConfig) -> Vec<ServerAddress> {
    let address = |seat: &crate::raft::Seat| ServerAddress {
        seat: seat.seat,
        host: seat.host.clone(),
        client: seat.client,
        peer: seat.peer,
    };
    config.seats.iter().map(address).collect()
}
