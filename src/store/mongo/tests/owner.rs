//! One owner: the second process is refused, and one that was thought dead is fenced.

use crate::store::mongo::tap::Stall;
use crate::store::mongo::testing::Database;
use crate::store::record::Vote;
use crate::store::samples::{Sample, append, entry, take};
use crate::store::{Store, StoreError};
use std::sync::Arc;

#[tokio::test(flavor = "multi_thread")]
async fn a_second_process_is_refused_while_the_first_is_alive() {
    let database = Database::fresh();
    let first = database.open(1).await.unwrap();
    let Err(StoreError::NotOurs(why)) = database.open(1).await else { panic!("not refused") };
    let pid = std::process::id().to_string();
    assert!(why.contains("used by another rustchat process") && why.contains(&pid), "{why}");
    append(&first, vec![entry(1, 0)]).await.unwrap();
    first.close().await.unwrap();
    let second = database.open(1).await.unwrap();
    assert_eq!(second.read(0, 9).await.unwrap(), [entry(1, 0)]);
    second.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_another_seat_or_cluster_is_refused() {
    let database = Database::fresh();
    let store = database.open(1).await.unwrap();
    let mut identity = store.identity();
    identity.cluster = Some(crate::chat::ids::ClusterId([7; 16]));
    store.save_identity(identity).await.unwrap();
    store.close().await.unwrap();
    let Err(StoreError::NotOurs(why)) = database.open(2).await else { panic!("not refused") };
    assert!(why.contains("node 1") && why.contains("node 2"), "{why}");
    let other = crate::chat::ids::ClusterId([8; 16]);
    let place = crate::store::mongo::Place { cluster: Some(other), ..database.place(1) };
    let Err(StoreError::NotOurs(why)) = crate::store::mongo::open(&place).await else {
        panic!("not refused")
    };
    assert!(why.contains("cluster"), "{why}");
}

/// The first stalls without knowing it; the second takes over; nothing that the first still
/// does counts, and the first hears of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_stalled_owner_that_comes_back_is_fenced() {
    let database = Database::fresh();
    let first = database.open(1).await.unwrap();
    let mut sample = Sample::new();
    take(&first, sample.found()).await.unwrap();
    take(&first, sample.send(&["kept"])).await.unwrap();
    first.persist().await.unwrap();
    assert!(first.holds());
    first.tap().stall(Stall::Everything);
    let second = database.open(1).await.unwrap();
    assert!(!first.holds(), "the first must not speak for the data any more");
    assert_eq!(second.mark(), sample.mark);
    first.tap().stall(Stall::Nothing);

    // One of each kind of write that the first might have been about to do.
    let voted = first.save_vote(Vote { term: 9, node: 1, committed: false }).await;
    assert!(matches!(voted, Err(StoreError::NotOurs(_))), "{voted:?}");
    assert!(matches!(append(&first, vec![entry(9, 2)]).await, Err(StoreError::NotOurs(_))));
    assert!(matches!(first.failed().await, StoreError::NotOurs(_)));

    assert_eq!(second.vote(), None);
    append(&second, vec![entry(2, 2)]).await.unwrap();
    second.close().await.unwrap();
    drop(second);
    let third = database.open(1).await.unwrap();
    assert_eq!(third.read(2, 9).await.unwrap(), [entry(2, 2)], "the entry of the first is void");
    assert_eq!((third.vote(), third.mark()), (None, sample.mark.clone()));
}

/// An entry that the first wrote, but that it was not told counts, before and after the second
/// writes its own.
#[tokio::test(flavor = "multi_thread")]
async fn an_entry_of_an_older_epoch_is_void() {
    for late in [false, true] {
        let database = Database::fresh();
        let first = database.open(1).await.unwrap();
        append(&first, vec![entry(1, 0)]).await.unwrap();
        if late {
            first.tap().stall(Stall::Everything);
        } else {
            // The entry goes out, the write that makes it count does not.
            first.tap().kill_after(1);
        }
        let (_, second) = tokio::join!(append(&first, vec![entry(1, 1)]), async {
            let second = database.open(1).await.unwrap();
            assert_eq!(second.bounds().last, Some(entry(1, 0).id), "late: {late}");
            append(&second, vec![entry(2, 1)]).await.unwrap();
            first.tap().stall(Stall::Nothing);
            second
        });
        assert!(first.failed().await.to_string().contains(if late { "taken" } else { "killed" }));
        second.close().await.unwrap();
        drop(second);
        let third = database.open(1).await.unwrap();
        assert_eq!(third.read(0, 9).await.unwrap(), [entry(1, 0), entry(2, 1)], "late: {late}");
    }
}

/// The first cuts its log, and is stopped before it deletes what it cut; the second has written
/// there when the delete arrives.
#[tokio::test(flavor = "multi_thread")]
async fn a_delete_that_comes_late_does_not_touch_entries_of_a_later_owner() {
    let database = Database::fresh();
    let first = Arc::new(database.open(1).await.unwrap());
    append(&*first, (0..4).map(|index| entry(1, index)).collect()).await.unwrap();
    let before = first.syncs();
    first.tap().stall(Stall::Deletes);
    let cutter = Arc::clone(&first);
    let cut = tokio::spawn(async move { cutter.truncate(2).await });
    let counts = async {
        while first.syncs() == before {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(10), counts).await.expect("the cut counts");

    database.declare_free().await;
    let second = database.open(1).await.unwrap();
    let new = vec![entry(2, 2), entry(2, 3)];
    append(&second, new.clone()).await.unwrap();
    first.tap().stall(Stall::Nothing);
    drop(cut.await.unwrap());
    second.close().await.unwrap();
    drop(second);
    let third = database.open(1).await.unwrap();
    assert_eq!(third.read(2, 9).await.unwrap(), new);
}
