//! Clusters of nodes in one process, over real loopback sockets.

use super::machine::{Journal, said};
use crate::raft::node::Node;
use crate::raft::{NodeConfig, NodeStatus, Role, Seat};
use crate::store::Store;
use crate::store::memory::Memory;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// What must happen happens within this time.
pub const DEADLINE: Duration = Duration::from_secs(10);
const PORT: u16 = 17_301;

/// A loopback network that no other test of this or another process uses.
fn network() -> [u8; 2] {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = std::process::id().wrapping_mul(61) + NEXT.fetch_add(1, Ordering::Relaxed);
    [1 + (n / 250 % 90) as u8, (1 + n % 250) as u8]
}

pub struct Cluster {
    pub seats: Vec<Seat>,
    pub stores: BTreeMap<u32, Arc<dyn Store>>,
    pub nodes: BTreeMap<u32, (Node, CancellationToken)>,
    pub snapshot_log_bytes: u64,
}

impl Cluster {
    pub fn new(n: u32) -> Self {
        let [a, b] = network();
        let seat = |seat| Seat { seat, host: format!("127.{a}.{b}.{seat}"), peer: PORT, client: 1 };
        let store = |seat| (seat, Arc::new(Memory::new(seat)) as Arc<dyn Store>);
        Self {
            seats: (1..=n).map(seat).collect(),
            stores: (1..=n).map(store).collect(),
            nodes: BTreeMap::new(),
            snapshot_log_bytes: 64 << 20,
        }
    }

    pub async fn start(&mut self, seat: u32) {
        self.start_with(seat, false).await;
    }

    pub async fn start_with(&mut self, seat: u32, rejoin: bool) {
        let store = Arc::clone(&self.stores[&seat]);
        let own = self.seats.iter().find(|s| s.seat == seat).unwrap();
        let config = NodeConfig {
            cluster_name: "west".into(),
            cluster: None,
            seat,
            seats: self.seats.clone(),
            listen: format!("{}:{}", own.host, own.peer).parse().unwrap(),
            incarnation: store.identity().incarnation,
            raft_id: store.identity().raft_id,
            rejoin,
            snapshot_log_bytes: self.snapshot_log_bytes,
        };
        let machine = Box::new(Journal::load(Arc::clone(&store)).await);
        let token = CancellationToken::new();
        let node = Node::start(config, store, machine, token.clone()).await.unwrap();
        self.nodes.insert(seat, (node, token));
    }

    pub async fn started(n: u32) -> Self {
        let mut cluster = Self::new(n);
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

    /// Ends a node without a hand-over, as a kill would.
    pub async fn kill(&mut self, seat: u32) {
        let (node, token) = self.nodes.remove(&seat).unwrap();
        token.cancel();
        node.stopped().await;
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
            tokio::time::sleep(Duration::from_millis(5)).await;
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
            drop(self.node(seat).submit(item.clone(), 1));
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
        loop {
            let marks: Vec<_> = self.nodes.keys().map(|s| self.store(*s).mark()).collect();
            if marks.iter().all(|m| *m == marks[0] && m.applied.is_some()) {
                break;
            }
            let statuses = || self.nodes.keys().map(|s| self.status(*s)).collect::<Vec<_>>();
            assert!(tokio::time::Instant::now() < deadline, "{marks:#?}\n{:#?}", statuses());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut all = Vec::new();
        for seat in self.nodes.keys() {
            all.push(said(self.store(*seat).as_ref()).await);
        }
        assert!(all.iter().all(|s| *s == all[0]), "the same hash, another history");
    }
}
