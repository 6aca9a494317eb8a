//! Backups of a node that goes on meanwhile, and of every way in which one is damaged.

use super::{BackupError, Checked, NewCluster, check, inspect, of_stopped, restore, stream};
use crate::chat::command::Command;
use crate::chat::ids::ClusterId;
use crate::chat::scripts;
use crate::limits;
use crate::raft::node::Node;
use crate::raft::{Committed, Machine, NodeConfig, Seat};
use crate::server::hub::Hub;
use crate::server::replica::Replica;
use crate::store::memory::Memory;
use crate::store::record::{Mark, Row, Table};
use crate::store::{Store, StoreError};
use crate::wire::log::encode_command;
use async_trait::async_trait;
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(20);

fn seat(own: u8, seat: u32) -> Seat {
    Seat { seat, host: format!("127.95.{own}.{seat}"), peer: 24_201, client: 24_101 }
}

/// Founds the cluster of the random logs.
struct Founder(Replica);

#[async_trait]
impl Machine for Founder {
    async fn apply(&mut self, entries: Vec<Committed>) -> Result<(), StoreError> {
        self.0.apply(entries).await
    }

    fn mark(&self) -> Mark {
        self.0.mark()
    }

    fn state_rows(&self) -> Vec<Row> {
        self.0.state_rows()
    }

    async fn reload(&mut self) -> Result<(), StoreError> {
        self.0.reload().await
    }

    fn founding_item(&self) -> bytes::Bytes {
        encode_command(&Command::Found { cluster: scripts::CLUSTER, name: "west".into() })
    }

    fn identity(&self) -> Option<(ClusterId, u64)> {
        self.0.identity()
    }
}

/// A node of a cluster of `n` that keeps its data in `store`.
async fn node(own: u8, n: u32, store: &Arc<Memory>) -> Node {
    let store: Arc<dyn Store> = Arc::clone(store) as _;
    let replica = Replica::load(Arc::clone(&store), Hub::default(), "west".into());
    let (replica, _) = replica.await.unwrap();
    let identity = store.identity();
    let config = NodeConfig {
        cluster_name: "west".into(),
        cluster: None,
        seat: 1,
        seats: (1..=n).map(|number| seat(own, number)).collect(),
        listen: ([127, 95, own, 1], 24_201).into(),
        peers: None,
        incarnation: identity.incarnation,
        raft_id: identity.raft_id,
        rejoin: false,
        snapshot_log_bytes: limits::SNAPSHOT_LOG_BYTES,
        draining: false,
    };
    Node::start(config, store, Box::new(Founder(replica)), CancellationToken::new()).unwrap()
}

async fn leads(node: &Node) {
    let mut status = node.status();
    let leads = status.wait_for(|status| status.leads_with_quorum && status.applied > 1);
    tokio::time::timeout(DEADLINE, leads).await.expect("it leads in time").unwrap();
    let founded = async {
        let meta = |rows: Vec<Row>| rows.iter().find_map(super::source::meta_of);
        while node.state().await.and_then(|(_, rows)| meta(rows)).is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, founded).await.expect("the cluster is founded in time");
}

/// Random commands of `entries` entries, after some with which another cluster is told something.
fn commands(entries: usize) -> Vec<bytes::Bytes> {
    let mut rng = StdRng::seed_from_u64(7);
    let log = scripts::log(&mut rng, entries);
    let told = scripts::links::told(77);
    told.iter().chain(log.iter().flat_map(|(_, commands)| commands)).map(encode_command).collect()
}

async fn gather(mut source: super::Source) -> Vec<u8> {
    let mut all = Vec::new();
    while let Some(bytes) = source.next().await.unwrap() {
        all.extend_from_slice(&bytes);
    }
    all
}

fn rows_of(backup: &[u8]) -> (Checked, Vec<Row>) {
    let mut rows = Vec::new();
    let checked = inspect(backup, |_, page| {
        rows.extend(page);
        Ok(())
    });
    (checked.unwrap(), rows)
}

/// Submits items; some are applied before the next ones come.
async fn submit(node: &Node, items: Vec<bytes::Bytes>) {
    for some in items.chunks(8) {
        for item in some {
            while node.submit(item.clone(), 1).is_err() {
                tokio::task::yield_now().await;
            }
        }
        let before = node.status().borrow().applied;
        node.wait_applied(before + 1, DEADLINE).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_is_backed_up_at_one_index_while_it_goes_on() {
    let store = Arc::new(Memory::new(1));
    let node = node(1, 1, &store).await;
    leads(&node).await;
    let busy = tokio::spawn({
        let node = node.clone();
        async move { submit(&node, commands(400)).await }
    });
    let mut last = 0;
    loop {
        let ended = busy.is_finished();
        let source = stream(&node, Arc::clone(&store) as _, false).await.unwrap();
        let backup = gather(source).await;
        let checked = check(&backup[..]).unwrap();
        assert!(checked.head.applied.index >= last, "never older than the one before");
        assert!(!checked.head.stale && !checked.head.offline);
        last = checked.head.applied.index;
        if ended {
            assert!(checked.counts.messages > 20, "{checked:?}");
            break;
        }
    }
    busy.await.unwrap();
    // What was acknowledged before it was asked for is in it.
    let index = node.read_barrier().await.unwrap();
    assert!(node.wait_applied(index, DEADLINE).await);
    let backup = gather(stream(&node, Arc::clone(&store) as _, false).await.unwrap()).await;
    assert!(rows_of(&backup).0.head.applied.index >= index);
    node.shutdown().await;
    let stopped = gather(of_stopped(Arc::clone(&store) as _).await.unwrap()).await;
    assert_eq!(rows_of(&stopped).1, rows_of(&backup).1, "the same, running or stopped");
    assert!(rows_of(&stopped).0.head.offline);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_only_a_stale_backup_is_made() {
    let store = Arc::new(Memory::new(1));
    let node = node(2, 3, &store).await;
    let refused = stream(&node, Arc::clone(&store) as _, false).await;
    assert!(matches!(refused, Err(BackupError::NoQuorum)));
    let nothing = stream(&node, Arc::clone(&store) as _, true).await;
    assert!(matches!(nothing, Err(BackupError::Refused(_))), "there is no cluster yet");
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_node_leads_a_cluster_of_its_own_with_everything() {
    let store = Arc::new(Memory::new(1));
    let old = node(3, 1, &store).await;
    leads(&old).await;
    submit(&old, commands(60)).await;
    let index = old.read_barrier().await.unwrap();
    assert!(old.wait_applied(index, DEADLINE).await);
    let backup = gather(stream(&old, Arc::clone(&store) as _, false).await.unwrap()).await;
    old.shutdown().await;

    let fresh = Arc::new(Memory::new(1));
    let id = ClusterId([0xd5; 16]);
    let new = NewCluster { id, name: "west".into(), own: seat(3, 1), skip: 1_000_000 };
    let (into, bytes) = (Arc::clone(&fresh), backup.clone());
    tokio::task::spawn_blocking(move || restore(&bytes[..], into.as_ref(), &new).unwrap())
        .await
        .unwrap();
    let node = node(3, 1, &fresh).await;
    leads(&node).await;
    let index = node.read_barrier().await.unwrap();
    assert!(node.wait_applied(index, DEADLINE).await);
    let again = gather(stream(&node, Arc::clone(&fresh) as _, false).await.unwrap()).await;
    node.shutdown().await;
    let (before, rows) = rows_of(&backup);
    for table in [Table::Links, Table::Exports] {
        assert!(rows.iter().any(|row| row.table == table), "no {table:?} in it");
    }
    let (after, restored) = rows_of(&again);
    assert_eq!((after.head.cluster.clone(), after.head.generation), (id.to_string(), 1));
    assert_ne!(after.head.hash, before.head.hash);
    assert!(after.head.applied.index > before.head.applied.index, "the log goes on");
    assert!(after.head.applied.term > before.head.applied.term);
    let rest = |rows: &[Row]| -> Vec<Row> {
        rows.iter().filter(|row| row.table != Table::Meta).cloned().collect()
    };
    assert_eq!(rest(&restored), rest(&rows), "all but the cluster's own row is what it was");
}

/// The bytes of a small backup.
async fn small() -> Vec<u8> {
    let store = Arc::new(Memory::new(1));
    let node = node(4, 1, &store).await;
    leads(&node).await;
    submit(&node, commands(40)).await;
    let index = node.read_barrier().await.unwrap();
    assert!(node.wait_applied(index, DEADLINE).await);
    let backup = gather(stream(&node, Arc::clone(&store) as _, false).await.unwrap()).await;
    node.shutdown().await;
    backup
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_flipped_bit_and_every_cut_is_found() {
    let whole = small().await;
    assert!(check(&whole[..]).unwrap().counts.messages > 0);
    assert!(rows_of(&whole).1.iter().any(|row| row.table == Table::Exports));
    for at in 0..whole.len() {
        let mut bad = whole.clone();
        bad[at] ^= 1 << (at % 8);
        let found = check(&bad[..]);
        assert!(matches!(found, Err(BackupError::Damaged(_))), "byte {at}: {found:?}");
        let cut = check(&whole[..at]);
        assert!(matches!(cut, Err(BackupError::Damaged(_))), "cut at {at}: {cut:?}");
    }
    let more = [whole, vec![0]].concat();
    assert!(matches!(check(&more[..]), Err(BackupError::Damaged(_))));
}
