//! What the tasks of a server share. It must not know what any of them does.

use super::hub::Hub;
use super::marks::Marks;
use super::password::{Passwords, Throttle};
use super::placement::Placement;
use super::session::Setup;
use super::strangers::Strangers;
use crate::link::Board;
use crate::link::guests::Guests;
use crate::raft::NodeStatus;
use crate::raft::node::Node;
use crate::store::Store;
use crate::tls::Identity;
use crate::wire::message::{ClusterState, ServerAddress};
use crate::wire::statement::MemberView;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// What the tasks of a server share.
pub struct Shared {
    /// What sessions know, with the servers that `nodes.conf` has.
    pub setup: Arc<Setup>,
    /// The same with the servers there are now.
    pub current: Mutex<Arc<Setup>>,
    /// Consensus.
    pub node: Node,
    /// History.
    pub store: Arc<dyn Store>,
    /// Who is connected.
    pub hub: Hub,
    /// The hashing thread.
    pub passwords: Passwords,
    /// Failed logins.
    pub throttle: Mutex<Throttle>,
    /// Whom the last client was sent to.
    pub placement: Mutex<Placement>,
    /// Marks on their way into the log, and what wakes their task.
    pub marks: (Mutex<Marks>, Notify),
    /// Bytes of bodies that all sessions hold.
    pub held: AtomicUsize,
    /// Messages, in numbers.
    pub counts: Counts,
    /// When this process started.
    pub begun: Instant,
    /// This server's keys, where connections are encrypted.
    pub keys: Option<Arc<Identity>>,
    /// Where data is on a disk of this machine.
    pub data: Option<PathBuf>,
    /// Who leads; changes only when it does.
    pub cluster: watch::Receiver<ClusterState>,
    /// Clients go elsewhere.
    pub draining: watch::Receiver<bool>,
    /// What this node knows of its links to other clusters.
    pub board: Board,
    /// Clients that have not logged in.
    pub strangers: Strangers,
    /// Other clusters' devices that are guests here.
    pub guests: Guests,
    /// This cluster's devices that others carry to this server.
    pub carried: Guests,
    /// Ends everything.
    pub stop: CancellationToken,
}

/// Messages, since the server started.
#[derive(Debug, Default)]
pub struct Counts {
    /// Sent by clients of this server, and committed.
    pub accepted: AtomicU64,
    /// Pushed to clients of this server.
    pub delivered: AtomicU64,
}

impl Shared {
    /// The servers of the cluster: its members, and before there are any, those of `nodes.conf`.
    #[must_use]
    pub fn servers(&self) -> Vec<ServerAddress> {
        let status = self.node.status();
        servers(&self.setup.servers, &status.borrow().members)
    }

    /// What a new session shall know.
    #[must_use]
    pub fn current_setup(&self) -> Arc<Setup> {
        let servers = self.servers();
        let mut current = lock(&self.current);
        if current.servers != servers {
            *current = Arc::new(Setup { servers, ..Setup::clone(&current) });
        }
        Arc::clone(&current)
    }

    /// The address of a seat.
    #[must_use]
    pub fn address(&self, seat: u32) -> Option<ServerAddress> {
        self.servers().into_iter().find(|server| server.seat == seat)
    }

    /// The node's statement of now.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        self.node.status().borrow().clone()
    }
}

/// The members' addresses: as `nodes.conf` has them, for it is what an operator changes when a
/// server moves, else as the log has them.
fn servers(configured: &[ServerAddress], members: &[MemberView]) -> Vec<ServerAddress> {
    if members.is_empty() {
        return configured.to_vec();
    }
    let mut servers: Vec<ServerAddress> = Vec::new();
    for member in members {
        let seat = member.server.seat;
        if servers.iter().all(|server| server.seat != seat) {
            let known = configured.iter().find(|server| server.seat == seat);
            servers.push(known.unwrap_or(&member.server).clone());
        }
    }
    servers.sort_by_key(|server| server.seat);
    servers
}

/// A lock that a panic elsewhere does not close: what it guards is never half changed.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What clients are told of a node's statement.
#[must_use]
pub fn cluster_state(status: &NodeStatus) -> ClusterState {
    ClusterState {
        leader: status.leader,
        term: status.term,
        live: status.live,
        voters: status.voters,
    }
}
