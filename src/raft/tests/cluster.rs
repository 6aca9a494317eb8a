//! Clusters of nodes in one process, over real loopback sockets.

use super::machine::{Journal, said};
use crate::raft::node::Node;
use crate::raft::{NodeConfig, NodeStatus, Role, Seat};
use crate::store::memory::Memory;
use crate::store::{Store, embedded, mongo};
use crate::support::mongod;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What must happen happens within this time.
pub const DEADLINE: Duration = Duration::from_secs(10);
const PORT: u16 = 17_301;
/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(10);

/// A loopback network that no other test of this or another process uses.
fn network() -> [u8; 2] {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = std::process::id().wrapping_mul(61) + NEXT.fetch_add(1, Ordering::Relaxed);
    [1 + (n / 250 % 90) as u8, (1 + n % 250) as u8]
}

/// Where the nodes of a cluster keep their data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Memory,
    Embedded,
    Mongo,
}

pub const BACKENDS: [Backend; 3] = [Backend::Memory, Backend::Embedded, Backend::Mongo];

/// Makes a store, in `dir` where it needs one, or in the database that stands for it.
pub fn open(backend: Backend, seat: u32, dir: &Path) -> Arc<dyn Store> {
    match backend {
        Backend::Memory => Arc::new(Memory::new(seat)),
        Backend::Embedded => Arc::new(embedded::open(dir, seat, None).unwrap()),
        Backend::Mongo => Arc::new(wait(mongo::open(&place(seat, dir))).unwrap()),
    }
}

/// The database that stands for a directory.
fn place(seat: u32, dir: &Path) -> mongo::Place {
    let name = format!("raft_{:016x}", xxhash_rust::xxh3::xxh3_64(dir.as_os_str().as_bytes()));
    let url = mongod::in_database(mongod::mongo_uri(), &name);
    mongo::Place { url, cluster_name: "test".into(), cluster: None, seat }
}

fn wait<T>(work: impl Future<Output = T>) -> T {
    tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(work))
}

fn copy_all(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_all(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

pub struct Cluster {
    pub backend: Backend,
    pub seats: Vec<Seat>,
    pub dir: tempfile::TempDir,
    pub stores: BTreeMap<u32, Arc<dyn Store>>,
    pub nodes: BTreeMap<u32, (Node, CancellationToken)>,
    pub snapshot_log_bytes: u64,
}

impl Cluster {
    pub fn new(backend: Backend, n: u32) -> Self {
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let log = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer();
        drop(log.try_init());
        let dir = tempfile::tempdir().unwrap();
        let [a, b] = network();
        let seat = |seat| Seat { seat, host: format!("127.{a}.{b}.{seat}"), peer: PORT, client: 1 };
        let path = |seat: u32| dir.path().join(seat.to_string());
        let store = |seat| (seat, open(backend, seat, &path(seat)));
        Self {
            backend,
            seats: (1..=n).map(seat).collect(),
            stores: (1..=n).map(store).collect(),
            dir,
            nodes: BTreeMap::new(),
            snapshot_log_bytes: 64 << 20,
        }
    }

    fn path(&self, seat: u32) -> PathBuf {
        self.dir.path().join(seat.to_string())
    }

    /// What was on disk is gone: the seat gets a new store.
    pub async fn empty(&mut self, seat: u32) {
        self.stores[&seat].close().await.unwrap();
        self.stores.remove(&seat);
        match self.backend {
            Backend::Memory => {}
            Backend::Embedded => std::fs::remove_dir_all(self.path(seat)).unwrap(),
            Backend::Mongo => mongo::remove(&place(seat, &self.path(seat))).await.unwrap(),
        }
        self.stores.insert(seat, open(self.backend, seat, &self.path(seat)));
    }

    /// Stops a node and copies its directory.
    pub async fn keep_a_copy(&mut self, seat: u32) {
        self.kill(seat).await;
        self.swap(seat, copy_all).await;
    }

    /// A stopped node's directory is replaced by the copy.
    pub async fn go_back_to_the_copy(&mut self, seat: u32) {
        self.swap(seat, |path, copy| {
            std::fs::remove_dir_all(path).unwrap();
            copy_all(copy, path);
        })
        .await;
    }

    async fn swap(&mut self, seat: u32, act: impl FnOnce(&Path, &Path)) {
        self.stores.remove(&seat).unwrap().close().await.unwrap();
        act(&self.path(seat), &self.dir.path().join(format!("{seat}.copy")));
        self.stores.insert(seat, open(self.backend, seat, &self.path(seat)));
    }

    pub async fn start(&mut self, seat: u32) {
        self.start_with(seat, false).await;
    }

    pub fn config(&self, seat: u32, rejoin: bool) -> NodeConfig {
        let store = &self.stores[&seat];
        let own = self.seats.iter().find(|s| s.seat == seat).unwrap();
        NodeConfig {
            cluster_name: "west".into(),
            cluster: None,
            seat,
            seats: self.seats.clone(),
            listen: format!("{}:{}", own.host, own.peer).parse().unwrap(),
            peers: None,
            incarnation: store.identity().incarnation,
            raft_id: store.identity().raft_id,
            rejoin,
            snapshot_log_bytes: self.snapshot_log_bytes,
            draining: false,
        }
    }

    pub async fn start_with(&mut self, seat: u32, rejoin: bool) {
        let store = Arc::clone(&self.stores[&seat]);
        let config = self.config(seat, rejoin);
        let machine = Box::new(Journal::load(Arc::clone(&store)).await);
        let token = CancellationToken::new();
        let node = Node::start(config, store, machine, token.clone()).unwrap();
        self.nodes.insert(seat, (node, token));
    }

    pub async fn started(backend: Backend, n: u32) -> Self {
        let mut cluster = Self::new(backend, n);
        for seat in 1..=n {
            cluster.start(seat).await;
        }
        cluster
    }

    pub fn node(&self, seat: u32) -> &Node {
        &self.nodes[&seat].0
    }

    pub fn store(&self, seat: u32) -> &Arc<dyn Store> {
        &self.stores[&seat]
    }

    /// Ends a node without a hand-over.
    pub async fn kill(&mut self, seat: u32) {
        let (node, token) = self.nodes.remove(&seat).unwrap();
        token.cancel();
        node.stopped().await;
        if self.backend != Backend::Memory {
            self.stores.remove(&seat).unwrap().close().await.unwrap();
            self.stores.insert(seat, open(self.backend, seat, &self.path(seat)));
        }
    }

    pub async fn stop_all(&mut self) {
        for seat in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.kill(seat).await;
        }
    }

    pub fn status(&self, seat: u32) -> NodeStatus {
        self.node(seat).status().borrow().clone()
    }

    /// Waits until the node's statement satisfies `ready`.
    pub async fn until(&self, seat: u32, what: &str, ready: impl FnMut(&NodeStatus) -> bool) {
        let mut status = self.node(seat).status();
        let last = status.clone();
        let wait = tokio::time::timeout(DEADLINE, status.wait_for(ready)).await;
        assert!(
            matches!(wait, Ok(Ok(_))),
            "node {seat}: {what} did not come about: {:?}\n{:#?}",
            *last.borrow(),
            self.node(seat).events().iter().rev().take(12).collect::<Vec<_>>()
        );
    }

    /// Waits for a leader that all running nodes follow; its seat.
    pub async fn leader(&self) -> u32 {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let statuses: Vec<_> = self.nodes.keys().map(|seat| self.status(*seat)).collect();
            let leaders: Vec<_> = statuses.iter().map(|s| s.leader).collect();
            if let Some(Some(leader)) = leaders.first() {
                let all = leaders.iter().all(|l| l.as_ref() == Some(leader));
                let leads = self.nodes.get(leader).map(|_| self.status(*leader));
                let leads = leads.is_some_and(|s| s.role == Role::Leader && s.leads_with_quorum);
                if all && leads {
                    return *leader;
                }
            }
            assert!(tokio::time::Instant::now() < deadline, "no leader: {statuses:#?}");
            look_again().await;
        }
    }

    /// A running node that does not lead.
    pub async fn follower(&self) -> u32 {
        let leader = self.leader().await;
        *self.nodes.keys().find(|seat| **seat != leader).unwrap()
    }

    /// Says something through a node, again and again until it is applied there.
    pub async fn say(&self, seat: u32, text: &str) {
        let item = Bytes::from(text.to_owned());
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while !said(self.store(seat).as_ref()).await.contains(&item) {
            assert!(tokio::time::Instant::now() < deadline, "\"{text}\" is not committed");
            // No leader, perhaps: it is said again.
            self.node(seat).submit(item.clone(), 1).ok();
            let next = self.status(seat).applied + 1;
            self.node(seat).wait_applied(next, Duration::from_millis(300)).await;
        }
    }

    /// Says `count` things of `bytes` each through a node, and waits for all.
    pub async fn say_much(&self, seat: u32, count: usize, bytes: usize) {
        let before = said(self.store(seat).as_ref()).await.len();
        for n in 0..count {
            let mut item = format!("{n} ").into_bytes();
            item.resize(bytes, b'.');
            while self.node(seat).submit(item.clone().into(), 512).is_err() {
                tokio::task::yield_now().await;
            }
        }
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while said(self.store(seat).as_ref()).await.len() < before + count {
            assert!(tokio::time::Instant::now() < deadline, "not all is committed");
            let next = self.status(seat).applied + 1;
            self.node(seat).wait_applied(next, Duration::from_millis(100)).await;
        }
    }

    /// Waits until all running nodes have applied the same, with the same hash.
    pub async fn agree(&self) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        let marks = || self.nodes.keys().map(|s| self.store(*s).mark()).collect::<Vec<_>>();
        loop {
            let before = marks();
            if before.iter().all(|m| *m == before[0] && m.applied.is_some()) {
                let mut all = Vec::new();
                for seat in self.nodes.keys() {
                    all.push(said(self.store(*seat).as_ref()).await);
                }
                if marks() == before {
                    let same = all.iter().all(|said| *said == all[0]);
                    assert!(same, "the same hash, another history");
                    return;
                }
            }
            let statuses = || self.nodes.keys().map(|s| self.status(*s)).collect::<Vec<_>>();
            assert!(tokio::time::Instant::now() < deadline, "{before:#?}\n{:#?}", statuses());
            look_again().await;
        }
    }

    /// Waits until something is so.
    pub async fn wait(&self, what: &str, mut ready: impl FnMut() -> bool) {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        while !ready() {
            let statuses = || self.nodes.keys().map(|s| self.status(*s)).collect::<Vec<_>>();
            assert!(tokio::time::Instant::now() < deadline, "{what}: {:#?}", statuses());
            look_again().await;
        }
    }

    /// Waits until the leader has written down every member's incarnation.
    pub async fn until_incarnations_are_known(&self) {
        let known = || {
            self.nodes.values().all(|(node, _)| {
                let membership = node.inner.shared.membership();
                membership.is_some_and(|m| m.nodes().all(|(_, n)| n.incarnation.is_some()))
            })
        };
        self.wait("incarnations are not known", known).await;
    }

    /// Waits until `leader` remembers that `seat` acknowledged `index`.
    pub async fn until_acknowledged(&self, leader: u32, seat: u32, index: u64) {
        let shared = &self.node(leader).inner.shared;
        let remembers = || shared.acknowledged_by_seat(seat) >= index;
        self.wait("the acknowledgement is not remembered", remembers).await;
    }

    /// Waits until the log of a node no longer holds `index`.
    pub async fn until_purged(&self, seat: u32, index: u64) {
        let purged = || self.store(seat).bounds().purged.is_some_and(|id| id.index >= index);
        self.wait("the log is not purged", purged).await;
    }
}

/// Between two looks at a condition, which has a deadline of its own.
pub async fn look_again() {
    drop(tokio::time::timeout(LOOK, std::future::pending::<()>()).await);
}
