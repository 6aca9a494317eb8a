//! A store that does not answer, or that another process has taken over: its node
//! makes way for the others, and is one of them again when the store is back.

use super::cluster::{Backend, Cluster, DEADLINE, look_again};
use super::machine::said;
use crate::raft::NodeStatus;
use crate::raft::node::Node;
use crate::raft::types::{EventKind, StopReason};
use crate::store::Store;
use crate::store::memory::Memory;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Within this time after its store is given up a leader is followed by another.
const CONTRACT: Duration = Duration::from_secs(5);

async fn cluster() -> (Cluster, BTreeMap<u32, Arc<Memory>>) {
    let mut cluster = Cluster::new(Backend::Memory, 3);
    let stores: BTreeMap<u32, _> =
        (1..=3).map(|seat| (seat, Arc::new(Memory::new(seat)))).collect();
    for (seat, store) in &stores {
        cluster.stores.insert(*seat, Arc::clone(store) as Arc<dyn Store>);
        cluster.start(*seat).await;
    }
    (cluster, stores)
}

/// Says things through a node until it is told to end, or the node takes nothing any more.
async fn talk(node: Node, name: u32, end: CancellationToken) {
    for n in 0.. {
        let item = Bytes::from(format!("{name} says {n}"));
        if end.is_cancelled() || node.stop_reason().is_some() {
            return;
        }
        // Nobody leads, or it is busy: another one is said later.
        node.submit(item, 1).ok();
        tokio::task::yield_now().await;
    }
}

async fn until_said(cluster: &Cluster, seat: u32, count: usize) {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while said(cluster.store(seat).as_ref()).await.len() < count {
        assert!(tokio::time::Instant::now() < deadline, "{seat} applies nothing under load");
        look_again().await;
    }
}

async fn stopped(cluster: &mut Cluster, seat: u32) -> Node {
    let (node, _) = cluster.nodes.remove(&seat).unwrap();
    let reason = timeout(DEADLINE, node.stopped()).await;
    assert!(matches!(reason, Ok(StopReason::Unavailable(_))), "{reason:?}");
    node
}

/// `hangs`: before the store fails, nothing that it is given becomes durable.
async fn a_leader_loses_its_store(hangs: bool) {
    let (mut cluster, stores) = cluster().await;
    let first = cluster.leader().await;
    cluster.say(first, "before").await;
    let term = cluster.status(first).term;
    if hangs {
        stores[&first].hold_syncs();
        let follower = cluster.follower().await;
        cluster.say(follower, "the others are a majority").await;
    }
    let end = CancellationToken::new();
    let talks: Vec<_> = (1..=3)
        .map(|seat| tokio::spawn(talk(cluster.node(seat).clone(), seat, end.clone())))
        .collect();
    until_said(&cluster, first, 100).await;
    stores[&first].set_unavailable(true);
    let old = stopped(&mut cluster, first).await;
    let second = timeout(CONTRACT, cluster.leader()).await.expect("another leader in time");
    end.cancel();
    for talk in talks {
        talk.await.unwrap();
    }
    let from = |node: &Node, peer| {
        node.events().iter().any(|e| e.kind == EventKind::Transfer && e.peer == Some(peer))
    };
    let heir = [second].into_iter().chain((1..=3).filter(|seat| *seat != first));
    let heir = heir.into_iter().find(|seat| from(&old, *seat));
    let heir = heir.unwrap_or_else(|| panic!("handed over to nobody: {:#?}", old.events()));
    // Where the third one had more of the log by then, it refused the heir and was elected.
    assert!(from(cluster.node(heir), first), "{:#?}", cluster.node(heir).events());
    assert_eq!(cluster.status(second).term, term + 1);
    cluster.say(second, "after").await;
    cluster.agree().await;
    let all = said(stores[&second].as_ref()).await;
    let acknowledged = said(stores[&first].as_ref()).await;
    assert!(acknowledged.len() >= 100 && all.starts_with(&acknowledged), "something is lost");

    stores[&first].set_unavailable(false);
    stores[&first].release_syncs();
    cluster.start(first).await;
    cluster.say(first, "back").await;
    cluster.agree().await;
    assert_eq!(cluster.leader().await, second, "who came back disturbed nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_store_fails_hands_over_and_nothing_is_lost() {
    a_leader_loses_its_store(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_whose_store_first_hangs_hands_over_and_nothing_is_lost() {
    a_leader_loses_its_store(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_follower_whose_store_fails_stops_and_the_others_go_on() {
    let (mut cluster, stores) = cluster().await;
    let leader = cluster.leader().await;
    let follower = cluster.follower().await;
    cluster.say(follower, "before").await;
    let term = cluster.status(leader).term;
    stores[&follower].set_unavailable(true);
    stopped(&mut cluster, follower).await;
    cluster.say(leader, "with two of three").await;
    assert_eq!((cluster.leader().await, cluster.status(leader).term), (leader, term));
    stores[&follower].set_unavailable(false);
    cluster.start(follower).await;
    cluster.say(follower, "back").await;
    cluster.agree().await;
    assert_eq!((cluster.leader().await, cluster.status(leader).term), (leader, term));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_one_stops_at_once_and_starts_again_with_everything() {
    let mut cluster = Cluster::new(Backend::Memory, 1);
    let store = Arc::new(Memory::new(1));
    cluster.stores.insert(1, Arc::clone(&store) as Arc<dyn Store>);
    cluster.start(1).await;
    cluster.say(1, "before").await;
    store.set_unavailable(true);
    stopped(&mut cluster, 1).await;
    store.set_unavailable(false);
    cluster.start(1).await;
    cluster.say(1, "after").await;
    let all = said(store.as_ref()).await;
    assert!(all.contains(&"before".into()) && all.contains(&"after".into()), "{all:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_speak_for_its_data_any_more_is_silent() {
    let (cluster, stores) = cluster().await;
    let leader = cluster.leader().await;
    let followers: Vec<u32> = (1..=3).filter(|seat| *seat != leader).collect();
    cluster.say(leader, "before").await;
    cluster.agree().await;
    stores[&followers[0]].set_taken(true);
    cluster.say(leader, "one of them is silent").await;
    let lacks = |s: &NodeStatus| {
        let matched = |seat| s.peers.iter().find(|p| p.seat == seat && p.live)?.matched;
        let last = s.last.map(|id| id.index);
        last == matched(followers[1]) && last > matched(followers[0])
    };
    cluster.until(leader, "an entry that one has not acknowledged", lacks).await;
    stores[&followers[1]].set_taken(true);
    cluster.until(leader, "the loss of its majority", |s| !s.leads_with_quorum).await;
    for follower in followers {
        stores[&follower].set_taken(false);
    }
    let leader = cluster.leader().await;
    cluster.say(leader, "after").await;
    cluster.agree().await;
}
