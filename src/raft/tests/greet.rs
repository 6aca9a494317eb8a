//! Servers that turn out not to belong here only after they are connected.

use super::cluster::{Backend, Cluster, DEADLINE};
use crate::chat::ids::ClusterId;
use crate::raft::mesh::{Handler, MakeHello, Mesh, MeshConfig};
use crate::raft::types::StopReason;
use crate::raft::{Seat, boot, greet};
use crate::store::memory::Memory;
use crate::store::{Identity, Store};
use crate::wire::peer::{MessageKind, PeerHello};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

/// Another cluster.
const OTHER: ClusterId = ClusterId([0xab; 16]);

/// Hears everything and answers nothing.
struct Mute;

#[async_trait]
impl Handler for Mute {
    async fn on_message(&self, _: u32, _: MessageKind, _: Bytes) -> Option<Bytes> {
        None
    }
}

/// A server on seat 1 that keeps its connections and never takes part.
struct Fake {
    mesh: Mesh,
    token: CancellationToken,
}

impl Fake {
    /// Talks to the servers at `to`; `say` changes what it says to them.
    fn start(cluster: &Cluster, to: &[u32], say: fn(&mut PeerHello)) -> Self {
        let known = |seat: &&Seat| seat.seat == 1 || to.contains(&seat.seat);
        let seats: Vec<_> = cluster.seats.iter().filter(known).cloned().collect();
        let listen = format!("{}:{}", seats[0].host, seats[0].peer).parse().unwrap();
        let digest = boot::digest(&cluster.config(2, false));
        let hello: MakeHello = Arc::new(move |to_seat| {
            let mut hello = PeerHello {
                min: crate::wire::PEER_VERSION,
                max: crate::wire::PEER_VERSION,
                seat: 1,
                raft_id: 1,
                to_seat,
                cluster_name: "west".into(),
                membership_digest: digest.clone(),
                pristine: true,
                ..PeerHello::default()
            };
            say(&mut hello);
            hello
        });
        let token = CancellationToken::new();
        let config = MeshConfig { seat: 1, seats, listen, peers: None };
        let accept = Arc::new(|_: &PeerHello, _| Ok(()));
        let mesh = Mesh::start(config, hello, accept, Arc::new(Mute), token.clone()).unwrap();
        Self { mesh, token }
    }

    async fn until_connected(&self, seat: u32) {
        let mut peers = self.mesh.peers();
        let there = peers.wait_for(|all| all.contains_key(&seat));
        let there = tokio::time::timeout(DEADLINE, there).await.map(|found| found.is_ok());
        assert_eq!(there, Ok(true), "connected with {seat}");
    }

    /// Waits until one of `seats` refuses it, and returns which and why.
    async fn until_refused(&self, seats: &[u32]) -> (u32, String) {
        let mut refusals = self.mesh.refusals();
        let refused = refusals.wait_for(|all| all.keys().any(|seat| seats.contains(seat)));
        let refused = tokio::time::timeout(DEADLINE, refused).await.expect("it is refused");
        let refused = refused.unwrap();
        let (seat, refusal) = refused.iter().find(|(seat, _)| seats.contains(seat)).unwrap();
        assert!(!refusal.by_us, "{refusal:?}");
        (*seat, refusal.reason.clone())
    }

    async fn stop(self) {
        self.token.cancel();
        self.mesh.ended().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_another_cluster_is_refused_as_soon_as_ours_is_known() {
    let mut cluster = Cluster::new(Backend::Memory, 3);
    let fake = Fake::start(&cluster, &[2, 3], |hello| hello.cluster = Some(OTHER));
    // Alone, the second one learns nothing; then it may be too late for a first hello.
    cluster.start(2).await;
    fake.until_connected(2).await;
    cluster.start(3).await;
    for seat in [2, 3] {
        let (_, reason) = fake.until_refused(&[seat]).await;
        let expected = format!("it belongs to the cluster {OTHER}, this server to ");
        assert!(reason.contains(&expected), "{reason}");
        cluster.until(seat, "the loss of it", |s| s.live == 2).await;
    }
    fake.stop().await;
}

/// Its own identity file says otherwise than the log that it was given.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_finds_itself_in_another_cluster_stops() {
    let mut cluster = Cluster::new(Backend::Memory, 1);
    let store = Arc::clone(cluster.store(1));
    store.save_identity(Identity { cluster: Some(OTHER), ..store.identity() }).await.unwrap();
    cluster.start(1).await;
    let reason = tokio::time::timeout(DEADLINE, cluster.node(1).stopped()).await;
    assert!(
        matches!(&reason, Ok(StopReason::NotOurs(text)) if text.contains(&OTHER.to_string())),
        "{reason:?}"
    );
    assert_eq!(store.identity().cluster, Some(OTHER), "it stays what it was");
}

/// Two servers see different data directories under one Raft id. Which is the right one is
/// known when the leader has noted it; the other server is connected by then.
#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_that_the_membership_does_not_know_is_refused_later_too() {
    let mut cluster = Cluster::new(Backend::Memory, 3);
    let fake =
        Fake::start(&cluster, &[2, 3], |hello| hello.incarnation = [hello.to_seat as u8; 16]);
    // Alone, the second one learns nothing; then it may be too late for a first hello.
    cluster.start(2).await;
    fake.until_connected(2).await;
    cluster.start(3).await;
    let (seat, reason) = fake.until_refused(&[2, 3]).await;
    assert!(reason.contains("the data directory of node 1 is not the one"), "{reason}");
    assert!(reason.contains(greet::CURE), "{reason}");
    let right = 5 - seat;
    let noted = || {
        let membership = cluster.node(right).inner.shared.membership();
        membership.and_then(|m| m.get_node(&1)?.incarnation)
    };
    assert_eq!(noted(), Some([right as u8; 16]));
    assert!(fake.mesh.peers().borrow().contains_key(&right), "the right one stays connected");
    fake.stop().await;
}

/// The leader never sees it, so the membership does not know it: who met it remembers.
#[tokio::test(flavor = "multi_thread")]
async fn an_emptied_directory_is_known_by_who_met_it_before_it_is_noted() {
    let mut cluster = Cluster::new(Backend::Memory, 3);
    for seat in [2, 3] {
        cluster.start(seat).await;
    }
    let leader = cluster.leader().await;
    let seat = 5 - leader;
    let first = Fake::start(&cluster, &[seat], |hello| hello.incarnation = [1; 16]);
    let shared = Arc::clone(&cluster.node(seat).inner.shared);
    cluster.wait("it is not met", || shared.met(1).is_some()).await;
    first.stop().await;

    let same = Fake::start(&cluster, &[seat], |hello| hello.incarnation = [1; 16]);
    same.until_connected(seat).await;
    same.stop().await;

    let emptied = Fake::start(&cluster, &[seat], |hello| hello.incarnation = [2; 16]);
    let (by, reason) = emptied.until_refused(&[seat]).await;
    assert_eq!(by, seat);
    assert!(reason.contains(greet::CURE), "{reason}");
    let noted = shared.membership().and_then(|m| m.get_node(&1)?.incarnation);
    assert_eq!(noted, None, "the membership does not know it");
    emptied.stop().await;
}

/// What the other one remembers may be what a process acknowledged that has the data now.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_may_have_lost_its_data_to_another_process_does_not_say_that_it_was_set_back() {
    let mut cluster = Cluster::new(Backend::Memory, 3);
    let store = Arc::new(Memory::new(2));
    cluster.stores.insert(2, Arc::clone(&store) as Arc<dyn Store>);
    store.set_taken(true);
    cluster.start(2).await;
    let fake = Fake::start(&cluster, &[2], |hello| hello.acknowledged = 9);
    let (_, reason) = fake.until_refused(&[2]).await;
    assert!(reason.contains("no longer"), "{reason}");
    assert_eq!(cluster.node(2).stop_reason(), None, "it waits for its store");

    store.set_taken(false);
    let stopped = tokio::time::timeout(DEADLINE, cluster.node(2).stopped()).await;
    assert!(matches!(&stopped, Ok(StopReason::Refused(why)) if why.contains("set back")));
    fake.stop().await;
}
