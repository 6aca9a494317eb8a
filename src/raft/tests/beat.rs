//! The sign of life: it needs no leader, and stops when the loop of consensus does.

use super::cluster::{Backend, Cluster, DEADLINE};
use crate::limits;
use std::sync::mpsc;
use tokio::sync::watch;
use tokio::time::timeout;

async fn beats_on(beats: &mut watch::Receiver<u64>) {
    for _ in 0..3 {
        let changed = timeout(DEADLINE, beats.changed()).await;
        changed.expect("a beat in time").expect("a node that runs");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_a_majority_beats_and_one_that_has_stopped_does_not() {
    let mut cluster = Cluster::new(Backend::Memory, 3);
    cluster.start(1).await;
    let mut beats = cluster.node(1).beats();
    beats_on(&mut beats).await;
    assert_eq!(cluster.status(1).leader, None);
    cluster.kill(1).await;
    beats.mark_unchanged();
    assert!(timeout(DEADLINE, beats.changed()).await.unwrap().is_err(), "it beats after its end");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_loop_that_is_stuck_does_not_beat_until_it_goes_on() {
    let mut cluster = Cluster::new(Backend::Memory, 1);
    cluster.start(1).await;
    cluster.leader().await;
    let node = cluster.node(1);
    let mut beats = node.beats();
    beats_on(&mut beats).await;
    let (go_on, blocked) = mpsc::sync_channel::<()>(1);
    let (stuck, is_stuck) = tokio::sync::oneshot::channel();
    let raft = node.inner.shared.raft().unwrap();
    let block = raft.external_request(move |_| {
        stuck.send(()).unwrap();
        blocked.recv().unwrap();
    });
    block.await.unwrap();
    timeout(DEADLINE, is_stuck).await.unwrap().unwrap();
    // One may have been answered just before.
    drop(timeout(limits::BEAT * 2, beats.changed()).await);
    assert!(timeout(limits::BEAT * 4, beats.changed()).await.is_err(), "a stuck loop beats");
    go_on.send(()).unwrap();
    beats_on(&mut beats).await;
}
