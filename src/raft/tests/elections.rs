//! When there is an election, and when there is none.

use super::cluster::{Backend, Cluster, look_again};
use crate::raft::Role;
use crate::raft::types::{EventKind, NodeEvent};
use std::time::{Duration, Instant};

/// Watches for `time` that nothing is asked and no term changes.
async fn nothing_happens(cluster: &Cluster, time: Duration) {
    let terms = || -> Vec<_> {
        cluster.nodes.keys().map(|s| (cluster.status(*s).term, cluster.status(*s).vote)).collect()
    };
    let asked = || -> usize {
        let asks = [EventKind::PreVoteRequested, EventKind::VoteRequested, EventKind::Timeout];
        let all = cluster.nodes.keys().flat_map(|s| cluster.node(*s).events());
        all.filter(|e| asks.contains(&e.kind)).count()
    };
    let (term, before) = (terms(), asked());
    let end = Instant::now() + time;
    while Instant::now() < end {
        assert_eq!(terms(), term, "the term or the vote changed");
        assert_eq!(asked(), before, "a vote was asked for");
        look_again().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_there_is_no_election_and_the_next_one_up_brings_it() {
    let mut cluster = Cluster::new(Backend::Memory, 5);
    cluster.start(2).await;
    cluster.start(5).await;
    cluster.until(2, "a connection", |s| s.live == 2).await;
    nothing_happens(&cluster, Duration::from_secs(3)).await;
    cluster.start(4).await;
    cluster.leader().await;
    cluster.say(5, "with three of five").await;
    cluster.start(1).await;
    cluster.start(3).await;
    cluster.say(1, "with all").await;
    cluster.agree().await;

    cluster.stop_all().await;
    cluster.start(1).await;
    cluster.start(2).await;
    cluster.until(1, "a connection", |s| s.live == 2).await;
    nothing_happens(&cluster, Duration::from_secs(3)).await;
    cluster.start(3).await;
    cluster.leader().await;
    cluster.say(1, "after a full stop").await;
    cluster.agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_dies_is_followed_by_another_and_comes_back_as_a_follower() {
    let mut cluster = Cluster::started(Backend::Memory, 3).await;
    let first = cluster.leader().await;
    cluster.say(first, "before").await;
    cluster.kill(first).await;
    let second = cluster.leader().await;
    assert_ne!(first, second);
    cluster.say(second, "between").await;
    cluster.start(first).await;
    cluster.say(first, "after").await;
    cluster.agree().await;
    assert_eq!(cluster.leader().await, second, "who came back disturbed nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lacks_something_committed_does_not_lead() {
    let mut cluster = Cluster::started(Backend::Memory, 3).await;
    cluster.say(1, "all have it").await;
    cluster.kill(1).await;
    cluster.leader().await;
    cluster.say(2, "the first does not").await;
    cluster.agree().await;
    cluster.stop_all().await;
    // The first campaigns before the second, by its rank.
    cluster.start(1).await;
    cluster.start(2).await;
    assert_eq!(cluster.leader().await, 2);
    cluster.say(1, "now all of it").await;
    cluster.agree().await;
    let refused = |e: &NodeEvent| e.text.contains("log is behind") && e.peer == Some(1);
    let events = cluster.node(2).events();
    assert!(events.iter().any(refused), "{events:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_leaves_hands_over_at_once() {
    let mut cluster = Cluster::started(Backend::Memory, 3).await;
    let first = cluster.leader().await;
    cluster.say(first, "before").await;
    let term = cluster.status(first).term;
    let begun = Instant::now();
    cluster.node(first).shutdown().await;
    cluster.nodes.remove(&first);
    let second = cluster.leader().await;
    assert!(begun.elapsed() < Duration::from_millis(1400), "nobody waited for a lease");
    assert_eq!(cluster.status(second).term, term + 1);
    cluster.say(second, "after").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_one_leads_at_once_also_after_a_restart() {
    let mut cluster = Cluster::new(Backend::Embedded, 1);
    for text in ["first", "second"] {
        let begun = Instant::now();
        cluster.start(1).await;
        cluster.until(1, "leadership", |s| s.leads_with_quorum).await;
        cluster.say(1, text).await;
        cluster.node(1).read_barrier().await.unwrap();
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        cluster.kill(1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_cut_off_no_longer_says_that_it_leads() {
    let mut cluster = Cluster::started(Backend::Memory, 3).await;
    let leader = cluster.leader().await;
    cluster.say(leader, "before").await;
    for seat in 1..=3 {
        if seat != leader {
            cluster.kill(seat).await;
        }
    }
    cluster.until(leader, "the loss of the lease", |s| !s.leads_with_quorum).await;
    assert_eq!(cluster.status(leader).role, Role::Leader);
    assert!(cluster.node(leader).read_barrier().await.is_err(), "no quorum, no quorum read");
}
