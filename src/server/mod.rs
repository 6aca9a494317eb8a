//! A server: takes clients in, puts what they want through the log, and tells
//! them what was applied. It must not know terminals or the command line.
//!
//! ```text
//! accept → session_task ⇄ session (sans-IO) → Node::submit
//! Node → replica → chat::apply → store, then hub → session_task
//! ```

pub mod config;
pub mod session;

mod accept;
mod hub;
mod marks;
mod password;
mod placement;
mod queries;
mod replica;
mod session_task;
mod shared;
mod status;
mod watchers;

#[cfg(test)]
mod tests;

pub use config::{ServeError, ServerConfig, StoreSpec};

use crate::chat::ids::ClusterId;
use crate::raft::NodeConfig;
use crate::raft::node::Node;
use crate::store::embedded::{self, Embedded};
use crate::store::{Store, StoreError};
use crate::wire::message::ServerAddress;
use hub::Hub;
use password::Passwords;
use replica::Replica;
use session::Setup;
use shared::{Shared, cluster_state};
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Sessions and other tasks end within this time after the server was told to stop.
const ENDING: Duration = Duration::from_secs(3);

/// Runs a server until `stop` is cancelled, or until it cannot go on. `ready` is told once it
/// listens and its node runs; whether there is a leader is another matter.
///
/// # Errors
/// See [`ServeError`]. Nothing is left running then, and the store is closed.
pub async fn run(
    config: ServerConfig,
    stop: CancellationToken,
    ready: oneshot::Sender<()>,
) -> Result<(), ServeError> {
    let store = open(&config).await?;
    let served = serve(&config, Arc::clone(&store), stop, ready).await;
    let closed = store.close().await;
    served?;
    Ok(closed?)
}

/// Opens the store, away from the tasks that must not wait for the disk.
async fn open(config: &ServerConfig) -> Result<Arc<dyn Store>, ServeError> {
    match &config.store {
        StoreSpec::Open(store) => Ok(Arc::clone(store)),
        StoreSpec::Embedded => {
            let (dir, seat, cluster) = (config.data.clone(), config.seat, config.cluster);
            let rejoin = config.rejoin;
            let opened = spawn_blocking(move || open_embedded(&dir, seat, cluster, rejoin)).await;
            let failed = |why| ServeError::Failed(format!("opening the store: {why}"));
            Ok(Arc::new(opened.map_err(failed)??))
        }
        StoreSpec::Mongo(_) => {
            let text = "this program cannot keep its data in MongoDB yet: use --store embedded";
            Err(ServeError::Config(text.to_owned()))
        }
    }
}

/// To rejoin, what is there is moved aside first: it must not be trusted with a vote.
fn open_embedded(
    dir: &Path,
    seat: u32,
    cluster: Option<ClusterId>,
    rejoin: bool,
) -> Result<Embedded, StoreError> {
    if rejoin && dir.try_exists()? {
        let moved = embedded::move_aside(dir)?;
        tracing::warn!(to = %moved.to.display(), "moved the old data aside; joining anew");
    }
    embedded::open(dir, seat, cluster)
}

async fn serve(
    config: &ServerConfig,
    store: Arc<dyn Store>,
    stop: CancellationToken,
    ready: oneshot::Sender<()>,
) -> Result<(), ServeError> {
    let listener = listen(config).await?;
    let hub = Hub::default();
    let name = config.cluster_name.clone();
    let (replica, state) = Replica::load(Arc::clone(&store), hub.clone(), name).await?;
    let (passwords, thread) = Passwords::start()
        .map_err(|error| ServeError::Failed(format!("no thread for passwords: {error}")))?;
    let own = CancellationToken::new();
    let node =
        Node::start(node_config(config, &*store), Arc::clone(&store), Box::new(replica), own)
            .map_err(|error| ServeError::of_start(error, config.peer_listen))?;
    let first = cluster_state(&node.status().borrow());
    let (cluster_now, cluster) = watch::channel(first);
    let setup = Setup {
        cluster_name: config.cluster_name.clone(),
        seat: config.seat,
        servers: addresses(config),
        state,
    };
    let shared = Arc::new(Shared {
        setup: Arc::new(setup),
        node: node.clone(),
        store,
        hub,
        passwords,
        throttle: Default::default(),
        placement: Default::default(),
        marks: Default::default(),
        held: Default::default(),
        cluster,
        stop: stop.child_token(),
    });
    let tasks = TaskTracker::new();
    tasks.spawn(accept::accept(Arc::clone(&shared), listener, tasks.clone()));
    tasks.spawn(watchers::marks(Arc::clone(&shared)));
    tasks.spawn(watchers::cluster(Arc::clone(&shared), cluster_now));
    if let Some(port) = config.discovery_port {
        tasks.spawn(watchers::discovery(Arc::clone(&shared), port));
    }
    if ready.send(()).is_err() {
        tracing::debug!("nobody waits for the server to be ready");
    }
    let reason = tokio::select! {
        () = stop.cancelled() => None,
        reason = node.stopped() => ServeError::of_stop(reason),
    };
    end(shared, tasks, &node, thread).await;
    reason.map_or(Ok(()), Err)
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

async fn listen(config: &ServerConfig) -> Result<TcpListener, ServeError> {
    let address = config.client_listen;
    TcpListener::bind(address).await.map_err(|error| ServeError::Listen {
        what: "clients",
        address,
        error,
    })
}

fn node_config(config: &ServerConfig, store: &dyn Store) -> NodeConfig {
    let identity = store.identity();
    NodeConfig {
        cluster_name: config.cluster_name.clone(),
        cluster: config.cluster,
        seat: config.seat,
        seats: config.seats.clone(),
        listen: config.peer_listen,
        incarnation: identity.incarnation,
        raft_id: identity.raft_id,
        rejoin: config.rejoin,
        snapshot_log_bytes: config.snapshot_log_bytes,
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
