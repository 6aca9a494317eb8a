//! Nodes in one process, over real loopback sockets and stores in memory.

mod cluster;
mod machine;

use super::types::EventKind;
use super::{Role, SubmitError};
use bytes::Bytes;
use cluster::{Cluster, DEADLINE};
use machine::said;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn three_nodes_elect_commit_apply_and_forward() {
    let cluster = Cluster::started(3).await;
    let leader = cluster.leader().await;
    cluster.say(leader, "at the leader").await;
    let follower = cluster.follower().await;
    cluster.say(follower, "at a follower").await;
    cluster.agree().await;
    let index = cluster.node(follower).read_barrier().await.unwrap();
    assert!(
        cluster.status(follower).commit >= index
            || cluster.store(follower).mark().applied.unwrap().index >= index
    );
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
