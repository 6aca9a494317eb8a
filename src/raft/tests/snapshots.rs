//! Snapshots: a follower that lacks what the log no longer holds.

use super::cluster::{BACKENDS, Backend, Cluster, open};
use super::machine::{Journal, said};
use crate::raft::halt::Halt;
use crate::raft::machine::SnapshotData;
use crate::raft::transfer::{self, Pages, Receiver};
use crate::raft::{Committed, Machine as _, kinds};
use crate::store::Store;
use crate::wire::raft::Membership;
use crate::wire::record::{LogEntry, LogId, Vote};
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::oneshot;

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
        // What it lacked the leader no longer had, so it came by a snapshot; openraft purges the
        // receiver's log some time after that.
        cluster.until_purged(behind, 1).await;

        // One that has nothing at all gets everything.
        cluster.kill(behind).await;
        cluster.empty(behind).await;
        cluster.start_with(behind, true).await;
        cluster.until(behind, "its promotion", |s| s.role == crate::raft::Role::Follower).await;
        cluster.say(behind, "from nothing").await;
        cluster.agree().await;
    }
}

/// Entries of a leader of `term`, appended to the log and applied.
async fn grow(store: &Arc<dyn Store>, term: u64, indexes: std::ops::Range<u64>) {
    let mut journal = Journal::load(Arc::clone(store)).await;
    for index in indexes {
        let id = LogId { term, index };
        let item = Bytes::from(format!("{term}/{index} ").repeat(BYTES));
        let (tell, told) = oneshot::channel();
        let entry = LogEntry { id, payload: item.slice(..10) };
        let on_durable = Box::new(move |result| drop(tell.send(result)));
        store.append(vec![entry], on_durable).await.unwrap();
        told.await.unwrap().unwrap();
        let membership = (index == 0).then(|| Membership::default().encode());
        let committed = Committed { id, at_ms: index, items: vec![item], membership };
        journal.apply(vec![committed]).await.unwrap();
    }
}

/// Hands over the pages of `from`'s snapshot, at most `pages` of them; whether it was all.
async fn hand_over(from: &Arc<dyn Store>, to: &Arc<dyn Store>, pages: usize) -> bool {
    let (halt, mut receiver) = (Halt::new(), Receiver::default());
    let journal = Journal::load(Arc::clone(from)).await;
    let vote = kinds::vote(Vote { term: 9, node: 1, committed: true });
    let offer = transfer::offer(&journal.mark(), &vote).unwrap();
    let upto = offer.last.index;
    let wanted = receiver.offered(1, offer, &to.mark());
    let state = journal.state_rows();
    let mut sending = Pages::new(Arc::clone(from), &wanted, upto, state).await.unwrap();
    for _ in 0..pages {
        let page = sending.next().await.unwrap().expect("the last page ends it");
        if let Some((_, snapshot)) = receiver.page(to.as_ref(), &halt, 1, page).await.unwrap() {
            let SnapshotData::Received(mark, rows) = snapshot.snapshot else { unreachable!() };
            to.install(mark, rows).await.unwrap();
            return true;
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transfer_that_breaks_off_at_any_page_leaves_nothing_behind() {
    for backend in BACKENDS {
        let dir = tempfile::tempdir().unwrap();
        let from = open(backend, 1, &dir.path().join("from"));
        grow(&from, 1, 0..24).await;
        // What the receiver has: nothing, the same, something else.
        for (case, had, term) in [("nothing", 0, 1), ("the same", 6, 1), ("another", 6, 2)] {
            for pages in 0.. {
                let path = dir.path().join(format!("{case} {pages}"));
                let mut to = open(backend, 2, &path);
                grow(&to, term, 0..had).await;
                let before = (to.mark(), said(to.as_ref()).await);
                let whole = hand_over(&from, &to, pages).await;
                if !whole {
                    assert!((to.mark(), said(to.as_ref()).await) == before, "{case} {pages}");
                    if backend != Backend::Memory {
                        to.close().await.unwrap();
                        to = open(backend, 2, &path);
                        let after = (to.mark(), said(to.as_ref()).await);
                        assert!(after == before, "{case} {pages}, opened again");
                    }
                    assert!(hand_over(&from, &to, usize::MAX).await, "{case} {pages}");
                }
                assert_eq!(to.mark(), from.mark(), "{case} {pages}");
                let (ours, theirs) = (said(to.as_ref()).await, said(from.as_ref()).await);
                assert!(ours == theirs, "{case} {pages}: another history");
                to.close().await.unwrap();
                if whole {
                    assert!(pages >= 3, "{case}: one page alone tests nothing");
                    break;
                }
            }
        }
    }
}
