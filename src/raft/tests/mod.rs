//! Nodes in one process, over real loopback sockets, with every store.

mod beat;
mod cluster;
mod elections;
mod greet;
mod machine;
mod members;
mod snapshots;
mod suite;
mod unavailable;

use super::SubmitError;
use super::types::{EventKind, StopReason};
use crate::store::Store;
use crate::store::memory::Memory;
use cluster::{BACKENDS, Cluster};
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_elect_commit_apply_and_forward() {
    for backend in BACKENDS {
        let cluster = Cluster::started(backend, 3).await;
        let leader = cluster.leader().await;
        cluster.say(leader, "at the leader").await;
        let follower = cluster.follower().await;
        cluster.say(follower, "at a follower").await;
        cluster.agree().await;

        let index = cluster.node(follower).read_barrier().await.unwrap();
        let applied = cluster.store(follower).mark().applied.unwrap();
        assert!(applied.index >= index);

        let events = cluster.node(leader).events();
        for kind in [
            EventKind::Timeout,
            EventKind::PreVoteAnswered,
            EventKind::VoteAnswered,
            EventKind::Elected,
        ] {
            assert!(events.iter().any(|e| e.kind == kind), "no {kind:?} in {events:#?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn much_that_is_said_at_once_is_batched_and_stays_in_order() {
    let cluster = Cluster::started(cluster::Backend::Memory, 3).await;
    let follower = cluster.follower().await;
    let count = 20_000;
    for n in 0..count {
        let item = bytes::Bytes::from(format!("{n}"));
        while cluster.node(follower).submit(item.clone(), 1).is_err() {
            tokio::task::yield_now().await;
        }
    }
    let store = cluster.store(follower);
    let deadline = tokio::time::Instant::now() + cluster::DEADLINE;
    let mut said = Vec::new();
    while said.len() < count {
        assert!(tokio::time::Instant::now() < deadline, "only {} arrived", said.len());
        let next = cluster.status(follower).applied + 1;
        cluster.node(follower).wait_applied(next, std::time::Duration::from_millis(50)).await;
        said = machine::said(store.as_ref()).await;
    }
    let expected: Vec<_> = (0..count).map(|n| bytes::Bytes::from(format!("{n}"))).collect();
    assert_eq!(said, expected, "in the order in which they were said");
    let entries = store.mark().applied.unwrap().index;
    assert!(entries < count as u64 / 4, "{entries} entries for {count} items");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_whose_disk_fails_stops_and_the_others_go_on() {
    let mut cluster = Cluster::new(cluster::Backend::Memory, 3);
    let broken = Arc::new(Memory::new(1));
    cluster.stores.insert(1, Arc::clone(&broken) as Arc<dyn Store>);
    for seat in 1..=3 {
        cluster.start(seat).await;
    }
    let leader = cluster.leader().await;
    cluster.say(leader, "before").await;
    broken.fail_next_append();
    cluster.node(leader).submit("breaks it".into(), 1).unwrap();
    let node = cluster.node(1).clone();
    let reason = tokio::time::timeout(cluster::DEADLINE, node.stopped()).await;
    assert!(matches!(reason, Ok(StopReason::Disk(_))), "{reason:?}");
    assert_eq!(node.submit("too late".into(), 1), Err(SubmitError::Stopped));
    cluster.nodes.remove(&1);
    let leader = cluster.leader().await;
    cluster.say(leader, "after").await;
    cluster.agree().await;
}
