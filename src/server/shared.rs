//! What the tasks of a server share. It must not know what any of them does.

use super::hub::Hub;
use super::marks::Marks;
use super::password::{Passwords, Throttle};
use super::placement::Placement;
use super::session::Setup;
use crate::raft::NodeStatus;
use crate::raft::node::Node;
use crate::store::Store;
use crate::wire::message::{ClusterState, ServerAddress};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

/// What the tasks of a server share.
pub struct Shared {
    /// What sessions know.
    pub setup: Arc<Setup>,
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
    /// Where data is on a disk of this machine.
    pub data: Option<PathBuf>,
    /// Who leads; changes only when it does.
    pub cluster: watch::Receiver<ClusterState>,
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
    /// The address of a seat.
    #[must_use]
    pub fn address(&self, seat: u32) -> Option<ServerAddress> {
        self.setup.servers.iter().find(|server| server.seat == seat).cloned()
    }

    /// The node's statement of now.
    #[must_use]
    pub fn status(&self) -> NodeStatus {
        self.node.status().borrow().clone()
    }
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
