//! A look changes nothing, shows everything, and finds what does not fit.

use super::*;
use crate::store::mongo::testing::{Database, doc};
use crate::store::samples::{Sample, append, entry, take};
use crate::store::{Store, embedded};
use std::fs;
use std::io;
use std::path::Path;

/// Every file with its content, but for the locks.
fn content(dir: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) {
    for file in fs::read_dir(dir).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            content(&path, into);
        } else if !path.to_string_lossy().to_lowercase().ends_with("lock") {
            into.insert(path.clone(), fs::read(path).unwrap());
        }
    }
}

#[tokio::test]
async fn a_dump_shows_everything_and_changes_nothing() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("data");
    let store = embedded::open(&dir, 1, None).unwrap();
    let place = Where::Directory(dir.clone());
    let look = || check(&place, &mut io::sink(), &|_| Ok((0, vec![])), false);
    assert!(matches!(look(), Err(StoreError::NotOurs(_))), "in use");
    store.save_vote(Vote { term: 1, node: 3, committed: true }).await.unwrap();
    let mut sample = Sample::new();
    take(&store, sample.found()).await.unwrap();
    take(&store, sample.send(&["first", "second\n\u{1b}[2J"])).await.unwrap();
    take(&store, sample.link()).await.unwrap();
    take(&store, sample.tell(&["over there"])).await.unwrap();
    append(&store, vec![entry(1, 4)]).await.unwrap();
    store.close().await.unwrap();
    drop(store);

    let mut before = BTreeMap::new();
    content(&dir, &mut before);
    let mut out = Vec::new();
    let third = sample.command(&["third"]);
    let decode = |entry: &LogEntry| {
        assert_eq!(entry.id.index, 4, "only what is not applied");
        Ok((0, vec![third.clone()]))
    };
    let report = check(&place, &mut out, &decode, false).unwrap();
    let mut after = BTreeMap::new();
    content(&dir, &mut after);
    assert!(before == after, "nothing is changed");

    let text = String::from_utf8(out).unwrap();
    assert_eq!((report.users, report.conversations, report.messages), (3, 2, 3));
    assert_eq!((report.pending, report.broken.clone()), (1, None));
    for part in [
        "seat 1",
        "vote term 1 for raft-id 3 which led",
        "name alice",
        "seq 1 from alice text first\n",
        "seq 2 from alice text second\\n\\u{1b}[2J\n",
        "seq 1 from alice text over there\n",
        "members alice,carol@east\n",
        "link 1 cluster 02020202020202020202020202020202 trust trusted imported 0 generation 0 \
         exported 1 turned-down 0 rows 1 alias east name east\n",
        "seq - from alice text third\n",
        "whole\n",
    ] {
        assert!(text.contains(part), "{part:?} in\n{text}");
    }
    assert_eq!(look().unwrap(), report);
}

/// What a story of entries leaves in both stores, and a decoder for its entries.
struct Story {
    sample: Sample,
    commands: Vec<(u64, Vec<Command>)>,
}

impl Story {
    async fn told_to(store: &dyn Store) -> Self {
        let mut sample = Sample::new();
        let steps = [
            sample.found(),
            sample.send(&["one"]),
            sample.send(&["two"]),
            sample.send(&["three"]),
            sample.link(),
            sample.tell(&["four", "five"]),
            sample.answered("six"),
            sample.send(&["seven"]),
        ];
        let mut commands = Vec::new();
        for (step, index) in steps.into_iter().zip(0..) {
            commands.push((1000 + index, step.commands.clone()));
            take(store, step).await.unwrap();
            // Rows of a flush come back at the next start, whatever becomes of their documents.
            store.persist().await.unwrap();
        }
        store.close().await.unwrap();
        Self { sample, commands }
    }

    fn check(&self, place: &Where) -> Result<Report, StoreError> {
        let decode = |entry: &LogEntry| Ok(self.commands[entry.id.index as usize].clone());
        check(place, &mut io::sink(), &decode, true)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_stores_are_found_whole_and_replayed() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("data");
    let database = Database::fresh();
    let stores: [(Box<dyn Store>, Where); 2] = [
        (Box::new(embedded::open(&dir, 1, None).unwrap()), Where::Directory(dir)),
        (Box::new(database.open(1).await.unwrap()), Where::Database(database.place(1))),
    ];
    for (store, place) in stores {
        let story = Story::told_to(&*store).await;
        drop(store);
        tokio::task::spawn_blocking(move || {
            let report = story.check(&place).unwrap();
            assert_eq!(report.broken, None, "{place:?}");
            assert_eq!(report.replay, Some(Replay::Whole));
            assert_eq!((report.users, report.messages), (3, 7));
            assert_eq!(report.mark, story.sample.mark);
        })
        .await
        .unwrap();
    }
}

/// What somebody may have done to a database, and what is found.
#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_in_a_database_is_found() {
    let edits = [
        ("log", doc! { "_id": 2_i64 }, None, "entry"),
        ("messages", doc! { "text": "two" }, None, "seq"),
        ("hashes", doc! { "_id": 7_i64 }, None, "hash"),
        ("applied", doc! {}, Some(doc! { "hash": "00".repeat(32) }), "hash"),
        ("messages", doc! { "text": "two" }, Some(doc! { "text": "forged" }), "messages"),
        ("users", doc! { "name": "bob" }, Some(doc! { "name": "eve" }), "state"),
        ("exports", doc! { "position": 1_i64 }, None, "predecessor"),
        ("exports", doc! { "position": 3_i64 }, None, "link 1 ends at position 2, not 3"),
        ("exports", doc! { "position": 2_i64 }, Some(doc! { "from": "eve" }), "another hash"),
        ("exports", doc! { "position": 3_i64 }, Some(doc! { "before": "00".repeat(32) }), "hash"),
        ("links", doc! {}, Some(doc! { "imported": 7_i64 }), "state"),
        ("conversations", doc! { "trail.count": 2_i64 }, Some(doc! { "trail": [] }), "state"),
        ("devices", doc! {}, Some(doc! { "token_hash": "00".repeat(32) }), "state"),
    ];
    for (collection, filter, change, found) in edits {
        let database = Database::fresh();
        let store = database.open(1).await.unwrap();
        let story = Story::told_to(&store).await;
        drop(store);
        database.edit(collection, filter.clone(), change.clone()).await;
        let place = Where::Database(database.place(1));
        let report = tokio::task::spawn_blocking(move || story.check(&place)).await.unwrap();
        // What cannot be read at all is told like what does not fit.
        let broken = report
            .map_or_else(|error| Some(error.to_string()), |report| report.broken)
            .unwrap_or_else(|| panic!("{collection} {filter} changed by {change:?} is not found"));
        assert!(broken.contains(found), "{collection} {filter}: {broken}");
    }
}
