//! Entries that the others have committed before they are in this node's own log.

use crate::store::Store;
use crate::store::mongo::testing::Database;
use crate::store::samples::{Sample, append, take};
use std::time::Duration;

/// Longer than a beat, with which it is noted how far the log is committed.
const BEATS: Duration = Duration::from_millis(1500);

#[tokio::test(flavor = "multi_thread")]
async fn the_state_in_the_database_and_the_committed_mark_wait_for_the_log() {
    let database = Database::fresh();
    let store = database.open(1).await.unwrap();
    let mut sample = Sample::new();
    take(&store, sample.found()).await.unwrap();
    store.persist().await.unwrap();
    let before = store.mark();
    let step = sample.send(&["not in the log yet"]);
    let id = step.entry.id;
    store.commit(step.mark.clone(), step.writes, step.rows).await.unwrap();
    store.save_committed(Some(id)).await.unwrap();
    assert_eq!(store.mark(), step.mark, "who reads sees it");
    let flushed = tokio::time::timeout(BEATS, store.persist()).await;
    assert!(flushed.is_err(), "the state is ahead of the log: {flushed:?}");

    // The process ends here, and is started again.
    drop(store);
    database.declare_free().await;
    let store = database.open(1).await.unwrap();
    assert_eq!(store.mark(), before);
    let last = store.bounds().last;
    assert!(store.committed() <= last, "{:?} is not in a log up to {last:?}", store.committed());

    let again = step.entry.clone();
    append(&store, vec![again]).await.unwrap();
    let mut sample = Sample::new();
    sample.found();
    let step = sample.send(&["not in the log yet"]);
    store.commit(step.mark.clone(), step.writes, step.rows).await.unwrap();
    store.persist().await.unwrap();
    store.close().await.unwrap();
    assert_eq!(database.open(1).await.unwrap().mark(), step.mark);
}
