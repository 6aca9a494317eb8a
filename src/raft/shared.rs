//! What the parts of a node share. It decides nothing: it holds handles and the
//! few facts that several parts look at.

use super::events::Events;
use super::halt::Halt;
use super::kinds::{Kinds, RaftStoredMembership};
use super::machine::{Applied, StateMachine};
use super::mesh::Mesh;
use super::tally::Tally;
use super::timing::Timing;
use super::types::Cause;
use super::{NodeConfig, Seat};
use crate::store::Store;
use crate::wire::peer::PeerHello;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::{Instant as _, RaftMetrics, ServerState};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// openraft's handle.
pub type Raft = openraft::Raft<Kinds, StateMachine>;

/// How long a leader may lead on the word of a majority: three heartbeats.
pub const LEASE: Duration = Duration::from_millis(1500);

/// Who was removed from the cluster is talked to for so long.
const FAREWELL: Duration = Duration::from_secs(1);

/// The seat behind a Raft id.
pub fn seat_of(raft_id: u64) -> u32 {
    u32::try_from(raft_id % 1000).unwrap_or_default()
}

/// Where an item or a question goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leader {
    /// This node leads and has applied an entry of its own term.
    Me,
    /// This node was elected; what its predecessors left is not applied yet.
    Soon,
    /// The server on this seat.
    Other(u32),
    /// Nobody is known.
    Nobody,
}

/// See the module.
pub struct Shared {
    /// What the node was started with.
    pub config: NodeConfig,
    /// The node's memory.
    pub store: Arc<dyn Store>,
    /// Why the node stops.
    pub halt: Halt,
    /// The election history.
    pub events: Events,
    /// How far the state has come.
    pub applied: Arc<Applied>,
    /// Bytes of the log.
    pub tally: Arc<Tally>,
    /// How long entries take to become durable here.
    pub syncs: Timing,
    /// How long this leader's entries take from the queue until they are applied.
    pub commits: Timing,
    raft_id: AtomicU64,
    admitted: AtomicBool,
    mesh: Mutex<Option<Mesh>>,
    raft: OnceLock<Raft>,
    running: watch::Sender<bool>,
    heard: Mutex<Option<Instant>>,
    acknowledged: Mutex<BTreeMap<u64, u64>>,
    met: Mutex<BTreeMap<u32, Met>>,
    led_by: Mutex<Option<u32>>,
    pre_votes: AtomicUsize,
    draining: AtomicBool,
    handed_over: AtomicU64,
    membership_since: Mutex<Instant>,
}

/// Who was met on a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Met {
    raft_id: u64,
    incarnation: [u8; 16],
}

impl Shared {
    /// Nothing runs yet.
    pub fn new(
        config: NodeConfig,
        store: Arc<dyn Store>,
        halt: Halt,
        applied: Arc<Applied>,
        tally: Arc<Tally>,
    ) -> Self {
        Self {
            raft_id: AtomicU64::new(config.raft_id),
            admitted: AtomicBool::new(false),
            store,
            halt,
            events: Events::default(),
            applied,
            tally,
            syncs: Timing::new("rustchat_storage_fsync_duration_seconds"),
            commits: Timing::new("rustchat_raft_commit_duration_seconds"),
            mesh: Mutex::new(None),
            raft: OnceLock::new(),
            running: watch::Sender::new(false),
            heard: Mutex::new(None),
            acknowledged: Mutex::new(BTreeMap::new()),
            met: Mutex::new(BTreeMap::new()),
            led_by: Mutex::new(None),
            pre_votes: AtomicUsize::new(0),
            draining: AtomicBool::new(config.draining),
            handed_over: AtomicU64::new(0),
            membership_since: Mutex::new(Instant::now()),
            config,
        }
    }

    /// This node's Raft id.
    pub fn raft_id(&self) -> u64 {
        self.raft_id.load(Ordering::Relaxed)
    }

    /// The node was admitted under another Raft id.
    pub fn admit(&self, id: u64) {
        self.raft_id.store(id, Ordering::Relaxed);
        self.admitted.store(true, Ordering::Relaxed);
    }

    /// The connections, while there are any.
    pub fn mesh(&self) -> Option<Mesh> {
        self.mesh.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The connections were opened, or are gone.
    pub fn set_mesh(&self, mesh: Option<Mesh>) {
        *self.mesh.lock().unwrap_or_else(PoisonError::into_inner) = mesh;
    }

    /// openraft, once it runs.
    pub fn raft(&self) -> Option<&Raft> {
        self.raft.get()
    }

    /// openraft runs. Only the first one counts.
    pub fn set_raft(&self, raft: Raft) {
        drop(self.raft.set(raft));
        self.running.send_replace(true);
    }

    /// openraft, as soon as it runs.
    pub async fn wait_for_raft(&self) -> Option<&Raft> {
        let mut running = self.running.subscribe();
        running.wait_for(|runs| *runs).await.ok()?;
        self.raft()
    }

    /// openraft's view of itself.
    pub fn metrics(&self) -> Option<RaftMetrics<Kinds>> {
        self.raft().map(|raft| raft.metrics().borrow_watched().clone())
    }

    /// The leader was heard just now.
    pub fn hear_leader(&self) {
        *self.heard.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    /// How long ago the leader was heard.
    pub fn silence(&self) -> Option<Duration> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).map(|at| at.elapsed())
    }

    /// Who leads, as far as this node knows. One that it is not connected with leads others.
    pub fn leader(&self) -> Leader {
        let Some(raft) = self.raft() else { return Leader::Nobody };
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        if metrics.state == ServerState::Leader {
            // Cut off: openraft takes nothing, and nobody should wait for it.
            let alone = metrics.membership_config.voter_ids().count() <= 1;
            if !alone && metrics.last_quorum_acked.is_some_and(|at| at.elapsed() >= LEASE) {
                return Leader::Nobody;
            }
            let own = self.applied.last().is_some_and(|id| id.term == metrics.current_term);
            return if own { Leader::Me } else { Leader::Soon };
        }
        match metrics.current_leader {
            Some(id) if id != self.raft_id() && self.hears(seat_of(id)) => {
                Leader::Other(seat_of(id))
            }
            _ => Leader::Nobody,
        }
    }

    /// The leader, on this seat, was heard lately, and is connected.
    fn hears(&self, seat: u32) -> bool {
        self.silence().is_some_and(|silence| silence < LEASE)
            && self.mesh().is_some_and(|mesh| mesh.is_connected(seat))
    }

    /// The server on this seat leads.
    pub fn note_leader(&self, seat: u32) {
        *self.led_by.lock().unwrap_or_else(PoisonError::into_inner) = Some(seat);
    }

    /// Why nobody leads, if nobody does.
    pub fn why_no_leader(&self) -> Cause {
        match *self.led_by.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Cause::NoLeader,
            Some(seat) if seat == self.config.seat => Cause::QuorumAckLost,
            Some(seat) if self.live().iter().any(|id| seat_of(*id) == seat) => Cause::Timeout,
            Some(_) => Cause::ConnectionLost,
        }
    }

    /// Counts as a pre-candidate until what it returns is dropped.
    pub fn pre_vote(&self) -> impl Drop + '_ {
        struct Round<'a>(&'a AtomicUsize);
        impl Drop for Round<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.pre_votes.fetch_add(1, Ordering::Relaxed);
        Round(&self.pre_votes)
    }

    /// It asks others whether they would vote for it.
    pub fn is_pre_candidate(&self) -> bool {
        self.pre_votes.load(Ordering::Relaxed) > 0
    }

    /// Leadership of this term is handed over, by this node or to it.
    pub fn note_hand_over(&self, term: u64) {
        self.handed_over.store(term, Ordering::Relaxed);
    }

    /// The last term whose leadership was handed over.
    pub fn handed_over(&self) -> Option<u64> {
        Some(self.handed_over.load(Ordering::Relaxed)).filter(|term| *term > 0)
    }

    /// It was told to take no new clients and not to lead.
    pub fn draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// It is told so, or taken back. Says whether that changes anything.
    pub fn set_draining(&self, draining: bool) -> bool {
        self.draining.swap(draining, Ordering::Relaxed) != draining
    }

    /// The membership that counts now is committed.
    pub fn membership_is_committed(&self) -> bool {
        let Some(raft) = self.raft() else { return false };
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.log_id() == metrics.committed_membership_config.log_id()
    }

    /// The membership changed just now.
    pub fn note_membership(&self) {
        *self.membership_since.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// When who was removed is no longer talked to: until then it may hear what became of that.
    pub fn farewell(&self) -> Instant {
        *self.membership_since.lock().unwrap_or_else(PoisonError::into_inner) + FAREWELL
    }

    /// All servers, this one included: those of `nodes.conf`, and members that are not in it.
    pub fn seats(&self) -> Vec<Seat> {
        let mut seats = self.config.seats.clone();
        let Some(membership) = self.membership() else { return seats };
        for (_, node) in membership.nodes() {
            let new = || Seat {
                seat: node.seat,
                host: node.host.clone(),
                peer: node.peer,
                client: node.client,
            };
            if node.seat > 0 && seats.iter().all(|seat| seat.seat != node.seat) {
                seats.push(new());
            }
        }
        seats
    }

    /// The peer with this Raft id acknowledged `index`, which is committed.
    pub fn note_acknowledged(&self, raft_id: u64, index: u64) {
        let mut all = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry(raft_id).or_default();
        *known = index.max(*known);
    }

    /// The highest committed index that the newest member on this seat acknowledged to us.
    pub fn acknowledged_by_seat(&self, seat: u32) -> u64 {
        let Some(membership) = self.membership() else { return 0 };
        let newest = membership.nodes().map(|(id, _)| *id).filter(|id| seat_of(*id) == seat).max();
        let all = self.acknowledged.lock().unwrap_or_else(PoisonError::into_inner);
        newest.and_then(|id| all.get(&id)).copied().unwrap_or_default()
    }

    /// Remembers the data directories of live peers, the first one under each Raft id: only
    /// that one can have kept what was promised under it. For as long as this process runs.
    pub fn meet<'a>(&self, peers: impl Iterator<Item = &'a PeerHello>) {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        for hello in peers.filter(|hello| !hello.rejoin) {
            let new = Met { raft_id: hello.raft_id, incarnation: hello.incarnation };
            let known = met.entry(hello.seat).or_insert(new);
            if known.raft_id < new.raft_id {
                *known = new;
            }
        }
    }

    /// The data directory that was met under a Raft id.
    pub fn met(&self, raft_id: u64) -> Option<[u8; 16]> {
        let met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        let met = met.get(&seat_of(raft_id)).filter(|met| met.raft_id == raft_id)?;
        Some(met.incarnation)
    }

    /// This node wants to be admitted and is not yet.
    pub fn asks_admission(&self) -> bool {
        self.config.rejoin && self.raft().is_none() && !self.admitted.load(Ordering::Relaxed)
    }

    /// Raft ids that are live: this node's own, and those of live connections.
    pub fn live(&self) -> BTreeSet<u64> {
        let mut live = BTreeSet::from([self.raft_id()]);
        if let Some(mesh) = self.mesh() {
            let peers = mesh.peers();
            let peers = peers.borrow();
            live.extend(peers.values().filter(|hello| !hello.rejoin).map(|hello| hello.raft_id));
        }
        live
    }

    /// The membership that counts now, committed or not.
    pub fn membership(&self) -> Option<Arc<RaftStoredMembership>> {
        // The same watch that `greet::review` waits for: another one may lag behind it.
        let metrics = self.raft()?.server_metrics();
        let membership = Arc::clone(&metrics.borrow_watched().membership_config);
        Some(membership)
    }
}
