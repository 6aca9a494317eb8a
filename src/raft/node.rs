//! The handle to a Raft node: what the server part uses.

use super::batch::{self, Proposals};
use super::events::Note;
use super::halt::Halt;
use super::inbound::Inbound;
use super::machine::{SnapshotData, StateMachine};
use super::members::Admissions;
use super::mesh::{Handler, Mesh};
use super::read::{self, Reader};
use super::shared::{Leader, Shared};
use super::tally::Tally;
use super::types::{EventKind, NodeEvent, StartError, StopReason};
use super::{Machine, NodeConfig, NodeStatus, ReadError, Reading, SubmitError};
use super::{beat, compact, greet, hand_over, life, members, orders, status};
use crate::store::Store;
use crate::wire::raft::{OrderAnswer, Ordered};
use crate::wire::record::{Mark, Row};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A handle to a running node; cheap to clone.
#[derive(Clone)]
pub struct Node {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) shared: Arc<Shared>,
    proposals: Proposals,
    reader: Reader,
    admissions: Admissions,
    status: watch::Receiver<NodeStatus>,
    beats: watch::Receiver<u64>,
    tasks: TaskTracker,
    token: CancellationToken,
}

/// What the node's life needs besides the handle.
struct Parts {
    machine: StateMachine,
    founding: Bytes,
    handler: Arc<dyn Handler>,
    knocked: Arc<Notify>,
    mesh: Mesh,
    mesh_token: CancellationToken,
}

impl Node {
    /// Starts a node; within a tokio runtime. It returns before there is a leader, and before
    /// the log is replayed: `status` tells. `token` cancelled is the same as
    /// [`Node::shutdown`] without the hand-over. The store stays open when the node stops.
    ///
    /// # Errors
    /// When the configuration makes no sense, or the address cannot be listened on.
    pub fn start(
        config: NodeConfig,
        store: Arc<dyn Store>,
        machine: Box<dyn Machine>,
        token: CancellationToken,
    ) -> Result<Self, StartError> {
        if !config.seats.iter().any(|seat| seat.seat == config.seat) {
            return Err(StartError::Config(format!("seat {} is not configured", config.seat)));
        }
        let halt = Halt::new();
        let founding = machine.founding_item();
        let machine = StateMachine::new(machine, Arc::clone(&store), halt.clone());
        let tally = Tally::new(config.snapshot_log_bytes, store.log_bytes(), store.bounds());
        let shared = Shared::new(config, store, halt, machine.applied(), Arc::new(tally));
        let shared = Arc::new(shared);
        let token = token.child_token();
        let term = shared.store.vote().map_or(0, |vote| vote.term);
        shared.events.note(Note::new(term, EventKind::Started).text("the node starts"));

        let (proposals, queue) = batch::queue();
        let (reader, rounds) = read::reader(Arc::clone(&shared));
        let (admissions, upkeep) = members::upkeep(Arc::clone(&shared));
        let knocked = Arc::new(Notify::new());
        let handler: Arc<dyn Handler> = Arc::new(Inbound::new(
            Arc::clone(&shared),
            proposals.clone(),
            reader.clone(),
            admissions.clone(),
            Arc::clone(&knocked),
        ));
        let mesh_token = token.child_token();
        let mesh = life::connect(&shared, &handler, mesh_token.clone())?;
        let (say, status) = watch::channel(status::statement(&shared));
        let (beat, beats) = watch::channel(0);
        let tasks = TaskTracker::new();
        let inner = Inner { shared, proposals, reader, admissions, status, beats, tasks, token };
        let node = Self { inner: Arc::new(inner) };
        let inner = &node.inner;
        inner.spawn(batch::run(Arc::clone(&inner.shared), queue));
        inner.spawn(rounds.run());
        inner.spawn(upkeep.run());
        inner.spawn(status::run(Arc::clone(&inner.shared), say));
        inner.spawn(beat::run(Arc::clone(&inner.shared), beat));
        inner.spawn(compact::run(Arc::clone(&inner.shared)));
        inner.spawn(life::heed_raft(Arc::clone(&inner.shared)));
        inner.spawn(life::heed_store(Arc::clone(&inner.shared)));
        let parts = Parts { machine, founding, handler, knocked, mesh, mesh_token };
        inner.tasks.spawn(Arc::clone(inner).live(parts));
        inner.tasks.close();
        Ok(node)
    }

    /// Takes an item that holds `messages` messages (at least 1) for the log; fire and forget.
    /// The leader puts it into an entry, a follower forwards it. It may be lost without a word:
    /// the caller submits it again.
    ///
    /// # Errors
    /// When it was not even queued.
    pub fn submit(&self, item: Bytes, messages: usize) -> Result<(), SubmitError> {
        if self.inner.shared.halt.reason().is_some() {
            return Err(SubmitError::Stopped);
        }
        if self.inner.shared.leader() == Leader::Nobody {
            return Err(SubmitError::NoLeader);
        }
        self.inner.proposals.submit(item, messages)
    }

    /// A quorum read (ReadIndex): the log index that a reader must see, once this node has
    /// applied it. At most 5 s.
    ///
    /// # Errors
    /// When no majority answered in time.
    pub async fn read_barrier(&self) -> Result<u64, ReadError> {
        self.inner.reader.barrier().await
    }

    /// Waits until this node has applied `index`; false when that took longer than `deadline`.
    pub async fn wait_applied(&self, index: u64, deadline: Duration) -> bool {
        let applied = self.inner.shared.applied.wait(index);
        tokio::time::timeout(deadline, applied).await.unwrap_or(false)
    }

    /// The state as it is now, and how far it has come: consistent, while applying goes on. `None`
    /// before the node runs, or after it has stopped.
    pub async fn state(&self) -> Option<(Mark, Vec<Row>)> {
        let snapshot = self.inner.shared.raft()?.get_snapshot().await.ok()??;
        match snapshot.snapshot {
            SnapshotData::Received(mark, rows) => Some((mark, rows)),
            SnapshotData::Local(machine) => {
                let machine = machine.lock().await;
                Some((machine.mark(), machine.state_rows()))
            }
        }
    }

    /// The node's own statement, kept fresh.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<NodeStatus> {
        self.inner.status.clone()
    }

    /// How long entries take to become durable here, of late. Adds up ten seconds: to be asked
    /// when somebody wants to know, not with every change.
    #[must_use]
    pub fn syncs(&self) -> Reading {
        self.inner.shared.syncs.reading()
    }

    /// How long this leader's entries take until they are applied; as [`Node::syncs`].
    #[must_use]
    pub fn commits(&self) -> Reading {
        self.inner.shared.commits.reading()
    }

    /// Rises while consensus takes part in life, about every `limits::BEAT`, whoever leads; it
    /// stops when the loop of consensus does not answer any more, or has ended.
    #[must_use]
    pub fn beats(&self) -> watch::Receiver<u64> {
        self.inner.beats.clone()
    }

    /// What happened in elections, oldest first; a bounded number of events.
    #[must_use]
    pub fn events(&self) -> Vec<NodeEvent> {
        self.inner.shared.events.all()
    }

    /// Does what an operator wants, here or on the server that can. Takes up to 20 s.
    pub async fn order(&self, ordered: Ordered) -> OrderAnswer {
        orders::route(&self.inner.shared, &self.inner.admissions, ordered).await
    }

    /// Hands leadership over if this node leads, then stops everything but the store.
    pub async fn shutdown(&self) {
        let shared = &self.inner.shared;
        // One that stops already does it by itself, where it can.
        if shared.halt.reason().is_none() {
            hand_over::hand_over(shared).await;
        }
        shared.halt.stop(StopReason::Shutdown);
        self.inner.tasks.wait().await;
    }

    /// Resolves when the node begins to stop, and says why. From then on it takes nothing; one
    /// whose store is unavailable hands leadership over before it has stopped.
    pub async fn stopping(&self) -> StopReason {
        self.inner.shared.halt.wait().await
    }

    /// The reason, if the node stops or has stopped.
    #[must_use]
    pub fn stop_reason(&self) -> Option<StopReason> {
        self.inner.shared.halt.reason()
    }

    /// Resolves when the node has stopped, and says why.
    pub async fn stopped(&self) -> StopReason {
        let reason = self.inner.shared.halt.wait().await;
        self.inner.tasks.wait().await;
        reason
    }
}

impl Inner {
    /// Runs a task until the node stops.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let token = self.token.clone();
        self.tasks.spawn(async move {
            token.run_until_cancelled(task).await;
        });
    }

    /// From the first connection to the end.
    async fn live(self: Arc<Self>, parts: Parts) {
        let halt = self.shared.halt.clone();
        let quiet = parts.machine.quiet();
        tokio::select! {
            () = self.run(parts) => {}
            reason = halt.wait() => tracing::debug!(%reason, "stopping"),
            () = self.token.cancelled() => halt.stop(StopReason::Shutdown),
        }
        if let Some(reason) = halt.reason() {
            let term = self.shared.store.vote().map_or(0, |vote| vote.term);
            let note = Note::new(term, EventKind::Stopping).text(reason.to_string());
            self.shared.events.note(note);
        }
        if matches!(halt.reason(), Some(StopReason::Unavailable(_))) {
            self.token.run_until_cancelled(hand_over::hand_over(&self.shared)).await;
        }
        halt.end();
        if let Some(raft) = self.shared.raft() {
            // An error means that it has ended already.
            drop(raft.shutdown().await);
        }
        self.token.cancel();
        if let Some(mesh) = self.shared.mesh() {
            mesh.ended().await;
        }
        self.shared.set_mesh(None);
        // openraft does not wait for its last write, and the store may be opened anew now.
        quiet.await;
    }

    /// Runs until somebody stops it; returns earlier only where it cannot start.
    async fn run(&self, parts: Parts) {
        let Parts { machine, founding, handler, knocked, mesh, mesh_token } = parts;
        let shared = &self.shared;
        self.spawn(life::heed_refusals(Arc::clone(shared), mesh.clone()));
        let belongs = if shared.config.rejoin {
            self.rejoin(&handler, mesh, mesh_token).await
        } else {
            life::belong(shared, &knocked).await.map_err(|e| drop(shared.halt.store(e)))
        };
        if belongs.is_err() {
            return;
        }
        if let Err(error) = life::start_raft(shared, machine).await {
            shared.halt.stop(StopReason::Raft(error));
            return;
        }
        self.spawn(greet::review(Arc::clone(shared)));
        self.spawn(life::campaign(Arc::clone(shared)));
        self.spawn(life::found(Arc::clone(shared), founding, self.proposals.clone()));
        std::future::pending::<()>().await;
    }

    /// Gets a Raft id, then connects anew under it. The reason of a failure is with `halt`.
    async fn rejoin(
        &self,
        handler: &Arc<dyn Handler>,
        mesh: Mesh,
        mesh_token: CancellationToken,
    ) -> Result<(), ()> {
        let shared = &self.shared;
        life::be_admitted(shared).await.map_err(|e| drop(shared.halt.store(e)))?;
        mesh_token.cancel();
        shared.set_mesh(None);
        mesh.ended().await;
        let mesh = life::connect(shared, handler, self.token.child_token())
            .map_err(|e| shared.halt.stop(StopReason::Raft(e.to_string())))?;
        self.spawn(life::heed_refusals(Arc::clone(shared), mesh));
        Ok(())
    }
}
