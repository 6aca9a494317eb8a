//! The faults that can be switched on.

use super::*;
use crate::store::samples::{Sample, append, entry, take};
use std::sync::Arc;

#[tokio::test]
async fn held_syncs_come_in_order_when_released() {
    let store = Arc::new(Memory::new(1));
    store.hold_syncs();
    let (done, mut wait) = tokio::sync::mpsc::channel(10);
    for index in 0..3 {
        let done = done.clone();
        let call = Box::new(move |result: Result<(), StoreError>| {
            result.unwrap();
            done.try_send(index).unwrap();
        });
        store.append(vec![entry(1, index)], call).await.unwrap();
    }
    let voter = Arc::clone(&store);
    let vote = Vote { term: 2, node: 1, committed: false };
    let voted = tokio::spawn(async move { voter.save_vote(vote).await });
    tokio::task::yield_now().await;
    assert!(wait.try_recv().is_err() && !voted.is_finished(), "nothing is durable yet");
    assert_eq!(store.bounds().last, Some(LogId { term: 1, index: 2 }), "but readable");
    store.release_syncs();
    voted.await.unwrap().unwrap();
    for index in 0..3 {
        assert_eq!(wait.recv().await, Some(index));
    }
}

#[tokio::test]
async fn a_fault_comes_once_and_lasts() {
    let store = Memory::new(1);
    append(&store, vec![entry(1, 0)]).await.unwrap();
    store.fail_next_append();
    assert!(append(&store, vec![entry(1, 1)]).await.is_err());
    assert!(append(&store, vec![entry(1, 2)]).await.is_err());
    assert!(store.persist().await.is_err());

    let (store, mut sample) = (Memory::new(1), Sample::new());
    take(&store, sample.found()).await.unwrap();
    let before = store.mark();
    store.fail_next_commit();
    assert!(take(&store, sample.send(&["lost"])).await.is_err());
    assert_eq!(store.mark(), before, "nothing of it is visible");
    assert!(take(&store, sample.send(&["later"])).await.is_err());
}

#[tokio::test]
async fn while_it_is_unavailable_nothing_becomes_durable_and_nothing_is_kept() {
    let store = Memory::new(1);
    append(&store, vec![entry(1, 0)]).await.unwrap();
    store.hold_syncs();
    let (tell, told) = oneshot::channel();
    let call = Box::new(move |result| drop(tell.send(result)));
    store.append(vec![entry(1, 1)], call).await.unwrap();
    store.set_unavailable(true);
    let gone = |result| matches!(result, Err(StoreError::Unavailable(_)));
    assert!(gone(told.await.unwrap()), "the held one fails");
    assert!(gone(append(&store, vec![entry(1, 2)]).await));
    assert_eq!(store.read(2, 3).await.unwrap().len(), 1, "but it can be read");
    assert!(gone(store.save_vote(Vote::default()).await) && gone(store.persist().await));
    assert!(matches!(store.failed().await, StoreError::Unavailable(_)));
    store.set_unavailable(false);
    store.release_syncs();
    assert_eq!(store.bounds().last, Some(LogId { term: 1, index: 1 }));
    append(&store, vec![entry(1, 2)]).await.unwrap();
    assert!(store.vote().is_none() && store.holds());
    store.set_taken(true);
    assert!(!store.holds());
}
