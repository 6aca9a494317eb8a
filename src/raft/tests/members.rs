//! Data directories that were emptied or set back, and how they are replaced.

use super::cluster::{Backend, Cluster, DEADLINE};
use crate::raft::types::StopReason;

async fn stopped(cluster: &mut Cluster, seat: u32) -> StopReason {
    let node = cluster.node(seat).clone();
    let reason = tokio::time::timeout(DEADLINE, node.stopped()).await;
    cluster.nodes.remove(&seat);
    reason.unwrap_or_else(|_| panic!("node {seat} does not stop"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_directory_is_refused_and_rejoins_under_a_new_id() {
    for backend in super::cluster::BACKENDS {
        let mut cluster = Cluster::started(backend, 3).await;
        let leader = cluster.leader().await;
        let seat = cluster.follower().await;
        cluster.say(leader, "before").await;
        cluster.until_incarnations_are_known().await;
        cluster.kill(seat).await;
        cluster.empty(seat).await;

        cluster.start(seat).await;
        let reason = stopped(&mut cluster, seat).await;
        assert!(
            matches!(&reason, StopReason::Refused(text) if text.contains("--rejoin")),
            "{reason:?}"
        );
        assert!(cluster.store(seat).vote().is_none(), "it did not vote");

        cluster.start_with(seat, true).await;
        cluster.until(seat, "the new id", |s| s.raft_id == u64::from(seat) + 1000).await;
        cluster.until(seat, "its promotion", |s| s.role == crate::raft::Role::Follower).await;
        cluster.until(leader, "three voters", |s| s.voters == 3 && s.live == 3).await;
        cluster.say(seat, "after").await;
        cluster.agree().await;

        // The new id outlives a restart.
        cluster.kill(seat).await;
        cluster.start(seat).await;
        cluster.say(seat, "again").await;
        assert_eq!(cluster.status(seat).raft_id, u64::from(seat) + 1000);
        cluster.agree().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_that_was_set_back_is_told_by_those_who_remember() {
    let mut cluster = Cluster::started(Backend::Embedded, 3).await;
    let leader = cluster.leader().await;
    let seat = cluster.follower().await;
    cluster.say(leader, "one").await;
    cluster.until_incarnations_are_known().await;
    cluster.keep_a_copy(seat).await;
    cluster.start(seat).await;
    cluster.say(seat, "two").await;
    cluster.agree().await;
    let last = cluster.store(seat).bounds().last.unwrap().index;
    cluster.until_acknowledged(leader, seat, last).await;
    cluster.kill(seat).await;
    cluster.go_back_to_the_copy(seat).await;
    cluster.start(seat).await;
    let reason = stopped(&mut cluster, seat).await;
    assert!(
        matches!(&reason, StopReason::Refused(text) if text.contains("--rejoin")),
        "{reason:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflicting_tail_is_cut_and_not_held_against_the_node() {
    let mut cluster = Cluster::started(Backend::Memory, 3).await;
    let old = cluster.leader().await;
    cluster.say(old, "before").await;
    cluster.agree().await;
    for seat in 1..=3 {
        if seat != old {
            cluster.kill(seat).await;
        }
    }
    // Alone, it takes items into its log that nobody else will ever see.
    let before = cluster.store(old).bounds().last.unwrap().index;
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while cluster.store(old).bounds().last.unwrap().index < before + 5 {
        assert!(tokio::time::Instant::now() < deadline, "nothing is appended");
        cluster.node(old).submit("never committed".into(), 512).ok();
        tokio::task::yield_now().await;
    }
    cluster.kill(old).await;
    for seat in 1..=3 {
        if seat != old {
            cluster.start(seat).await;
        }
    }
    let new = cluster.leader().await;
    cluster.say(new, "after").await;
    cluster.start(old).await;
    cluster.say(old, "together again").await;
    cluster.agree().await;
    let said = super::machine::said(cluster.store(old).as_ref()).await;
    assert!(!said.contains(&"never committed".into()));
}
