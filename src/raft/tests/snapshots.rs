//! Snapshots: a follower that lacks what the log no longer holds.

use super::cluster::{BACKENDS, Backend, Cluster};

const MUCH: usize = 60;
const BYTES: usize = 8 * 1024;

/// A cluster whose leader has purged what a stopped follower lacks; leader and follower.
async fn purged(backend: Backend) -> (Cluster, u32, u32) {
    let mut cluster = Cluster::new(backend, 3);
    cluster.snapshot_log_bytes = 64 * 1024;
    for seat in 1..=3 {
        cluster.start(seat).await;
    }
    let leader = cluster.leader().await;
    let behind = cluster.follower().await;
    cluster.say(behind, "all there").await;
    cluster.agree().await;
    let last = cluster.store(behind).bounds().last.unwrap().index;
    cluster.kill(behind).await;
    cluster.say_much(leader, MUCH, BYTES).await;
    for seat in cluster.nodes.keys() {
        cluster.until_purged(*seat, last + 1).await;
    }
    (cluster, leader, behind)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_catches_up_by_a_snapshot() {
    for backend in BACKENDS {
        let (mut cluster, leader, behind) = purged(backend).await;
        let held = cluster.store(leader).bounds();
        let entries = held.last.unwrap().index - held.purged.unwrap().index;
        assert!(entries < MUCH as u64 / 2, "{entries} entries are left");
        assert!(entries > 2, "a tail is left, not {entries}");
        cluster.start(behind).await;
        cluster.say(behind, "caught up").await;
        cluster.agree().await;
        assert!(cluster.store(behind).bounds().purged.is_some(), "it came by a snapshot");

        // One that has nothing at all gets everything.
        cluster.kill(behind).await;
        cluster.empty(behind).await;
        cluster.start_with(behind, true).await;
        cluster.until(behind, "its promotion", |s| s.role == crate::raft::Role::Follower).await;
        cluster.say(behind, "from nothing").await;
        cluster.agree().await;
    }
}
