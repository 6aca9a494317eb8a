//! What every store must do, run over each of them.

mod exports;

use super::memory::Memory;
use super::mongo::testing::Database;
use super::record::{LogBounds, LogEntry, LogId, Row, Vote};
use super::samples::{EAST, Sample, append, device, entry, receive, take, texts};
use super::{Store, embedded};
use crate::chat::ids::ConversationId;
use crate::chat::write::Write;
use exports::{what_a_cluster_is_told_comes_back, what_a_cluster_is_told_comes_in_pages};
use std::sync::{Arc, mpsc};

/// Where a store keeps its data over a restart.
enum Place {
    Memory(Arc<Memory>),
    Directory(tempfile::TempDir),
    Database(Database),
}

impl Place {
    fn memory() -> Self {
        Self::Memory(Arc::new(Memory::new(1)))
    }

    fn embedded() -> Self {
        Self::Directory(tempfile::tempdir().unwrap())
    }

    fn database() -> Self {
        Self::Database(Database::fresh())
    }

    async fn open(&self) -> Arc<dyn Store> {
        match self {
            Self::Memory(memory) => Arc::clone(memory) as Arc<dyn Store>,
            Self::Directory(temp) => {
                Arc::new(embedded::open(&temp.path().join("data"), 1, None).unwrap())
            }
            Self::Database(database) => Arc::new(database.open(1).await.unwrap()),
        }
    }

    async fn reopen(&self, store: Arc<dyn Store>) -> Arc<dyn Store> {
        store.close().await.unwrap();
        drop(store);
        self.open().await
    }
}

macro_rules! over_every_store {
    ($($case:ident),* $(,)?) => {
        mod in_memory {
            $(#[tokio::test] async fn $case() { super::$case(&super::Place::memory()).await })*
        }
        mod on_disk {
            $(#[tokio::test] async fn $case() { super::$case(&super::Place::embedded()).await })*
        }
        mod in_mongo {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $case() { super::$case(&super::Place::database()).await })*
        }
    };
}

over_every_store![
    a_fresh_store_is_empty,
    entries_are_read_back_in_order,
    a_cut_log_goes_on,
    a_purged_log_goes_on,
    the_vote_is_kept,
    the_committed_mark_is_a_hint,
    callbacks_come_in_order,
    a_commit_counts_once,
    the_state_comes_back,
    history_comes_in_pages,
    messages_are_found_by_their_number,
    what_a_cluster_is_told_comes_in_pages,
    what_a_cluster_is_told_comes_back,
    a_snapshot_makes_an_equal_store,
    a_snapshot_adds_to_history,
    a_snapshot_replaces_history,
    an_unfinished_snapshot_leaves_nothing,
    the_identity_is_kept,
    acknowledgements_are_kept,
];

fn id(term: u64, index: u64) -> LogId {
    LogId { term, index }
}

fn entries(term: u64, range: std::ops::Range<u64>) -> Vec<LogEntry> {
    range.map(|index| entry(term, index)).collect()
}

async fn a_fresh_store_is_empty(place: &Place) {
    let store = place.open().await;
    assert_eq!(store.bounds(), LogBounds::default());
    assert_eq!((store.vote(), store.committed()), (None, None));
    assert_eq!(store.mark().applied, None);
    assert_eq!(store.read(0, 10).await.unwrap(), []);
    assert_eq!(store.load().await.unwrap(), []);
    assert_eq!(store.log_bytes(), 0);
    assert!(store.export(None, u64::MAX, 1000).await.unwrap().is_none());
    assert_eq!(store.exports(EAST, 1, 1000).await.unwrap(), []);
    store.truncate(0).await.unwrap();
}

async fn entries_are_read_back_in_order(place: &Place) {
    let store = place.open().await;
    append(&*store, entries(1, 0..5)).await.unwrap();
    append(&*store, entries(2, 5..8)).await.unwrap();
    assert!(store.log_bytes() > 0);
    let all: Vec<_> = entries(1, 0..5).into_iter().chain(entries(2, 5..8)).collect();
    let reads_all = async |store: &dyn Store| {
        assert_eq!(store.read(0, 100).await.unwrap(), all);
        assert_eq!(store.read(3, 6).await.unwrap(), all[3..6]);
        assert_eq!(store.read(6, 6).await.unwrap(), []);
        assert_eq!(store.read(8, 9).await.unwrap(), []);
        assert_eq!(store.bounds(), LogBounds { purged: None, last: Some(id(2, 7)) });
    };
    reads_all(&*store).await;
    let store = place.reopen(store).await;
    reads_all(&*store).await;
    let drop_it = || Box::new(|_| ());
    assert!(store.append(entries(2, 9..10), drop_it()).await.is_err(), "a gap");
    assert!(store.append(entries(1, 8..9), drop_it()).await.is_err(), "an older term");
}

async fn a_cut_log_goes_on(place: &Place) {
    let store = place.open().await;
    append(&*store, entries(1, 0..10)).await.unwrap();
    store.truncate(10).await.unwrap();
    store.truncate(500).await.unwrap();
    assert_eq!(store.bounds().last, Some(id(1, 9)));
    store.truncate(4).await.unwrap();
    assert_eq!(store.bounds().last, Some(id(1, 3)));
    append(&*store, entries(2, 4..6)).await.unwrap();
    let store = place.reopen(store).await;
    let all: Vec<_> = entries(1, 0..4).into_iter().chain(entries(2, 4..6)).collect();
    assert_eq!(store.read(0, 100).await.unwrap(), all);
    store.truncate(0).await.unwrap();
    assert_eq!(store.bounds(), LogBounds::default());
    append(&*store, entries(3, 0..2)).await.unwrap();
    let store = place.reopen(store).await;
    assert_eq!(store.read(0, 100).await.unwrap(), entries(3, 0..2));
}

async fn a_purged_log_goes_on(place: &Place) {
    let store = place.open().await;
    let mut sample = Sample::new();
    take(&*store, sample.found()).await.unwrap();
    for n in 1..10 {
        take(&*store, sample.send(&[&n.to_string()])).await.unwrap();
    }
    store.purge(id(1, 3)).await.unwrap();
    store.purge(id(1, 2)).await.unwrap();
    assert_eq!(store.bounds(), LogBounds { purged: Some(id(1, 3)), last: Some(id(1, 9)) });
    assert_eq!(store.read(0, 100).await.unwrap(), entries(1, 4..10));
    let store = place.reopen(store).await;
    assert_eq!(store.read(0, 100).await.unwrap(), entries(1, 4..10));
    store.truncate(0).await.unwrap();
    assert_eq!(store.bounds().last, Some(id(1, 3)), "what is purged is never cut");
}

async fn the_vote_is_kept(place: &Place) {
    let store = place.open().await;
    for (term, committed) in [(1, false), (1, true), (7, false)] {
        let vote = Vote { term, node: 1002, committed };
        store.save_vote(vote).await.unwrap();
        assert_eq!(store.vote(), Some(vote));
    }
    append(&*store, entries(7, 0..1)).await.unwrap();
    let store = place.reopen(store).await;
    assert_eq!(store.vote(), Some(Vote { term: 7, node: 1002, committed: false }));
}

async fn the_committed_mark_is_a_hint(place: &Place) {
    let store = place.open().await;
    append(&*store, entries(1, 0..5)).await.unwrap();
    for committed in [Some(id(1, 2)), Some(id(1, 3)), None] {
        store.save_committed(committed).await.unwrap();
    }
    append(&*store, entries(1, 5..6)).await.unwrap();
    let store = place.reopen(store).await;
    assert!(store.committed() <= Some(id(1, 3)));
}

async fn callbacks_come_in_order(place: &Place) {
    let store = place.open().await;
    let (done, wait) = mpsc::sync_channel(1000);
    for n in 0..200 {
        let done = done.clone();
        let on_durable = Box::new(move |result: Result<(), _>| {
            result.unwrap();
            done.send(n).unwrap();
        });
        store.append(entries(1, n..n + 1), on_durable).await.unwrap();
        assert_eq!(store.bounds().last, Some(id(1, n)), "readable on return");
    }
    for n in 0..200 {
        assert_eq!(receive(&wait, "a callback"), n);
    }
    assert!(store.syncs() >= 1);
}

async fn a_commit_counts_once(place: &Place) {
    let store = place.open().await;
    let mut sample = Sample::new();
    take(&*store, sample.found()).await.unwrap();
    let first = sample.send(&["one", "two"]);
    let (mark, writes, rows) = (first.mark.clone(), first.writes.clone(), first.rows.clone());
    take(&*store, first).await.unwrap();
    take(&*store, sample.send(&["three"])).await.unwrap();
    let after = (store.mark(), store.load().await.unwrap());
    // The same entry again, later, changes nothing.
    store.commit(mark.clone(), writes, rows).await.unwrap();
    assert_eq!((store.mark(), store.load().await.unwrap()), after);
    assert_eq!(store.hash_at(1).await.unwrap(), Some(mark.hash));
    assert_eq!(store.hash_at(2).await.unwrap(), Some(sample.mark.hash));
    assert_eq!(store.hash_at(3).await.unwrap(), None);
}

async fn the_state_comes_back(place: &Place) {
    let store = place.open().await;
    let mut sample = Sample::new();
    take(&*store, sample.found()).await.unwrap();
    for n in 0..20 {
        take(&*store, sample.send(&[&n.to_string()])).await.unwrap();
    }
    // Several entries in one commit, so that rows of the same key meet.
    let (one, two) = (sample.send(&["21"]), sample.send(&["22"]));
    append(&*store, vec![one.entry, two.entry]).await.unwrap();
    let writes = one.writes.into_iter().chain(two.writes).collect();
    let rows = one.rows.into_iter().chain(two.rows).collect();
    store.commit(two.mark, writes, rows).await.unwrap();
    store.persist().await.unwrap();
    let store = place.reopen(store).await;
    assert_eq!(store.mark(), sample.mark);
    assert_eq!(store.load().await.unwrap(), sample.state.rows().collect::<Vec<Write>>());
    let page = store.history(sample.conversation(), 1, u64::MAX, 1 << 20).await.unwrap();
    assert_eq!(texts(page).len(), 22);
}

async fn history_comes_in_pages(place: &Place) {
    let store = place.open().await;
    let mut sample = Sample::new();
    take(&*store, sample.found()).await.unwrap();
    for texts in [&["1"][..], &["2", "3", "4"], &["5", "6"]] {
        take(&*store, sample.send(texts)).await.unwrap();
    }
    let conversation = sample.conversation();
    let page = async |from, to, bytes| {
        let page = store.history(conversation, from, to, bytes).await.unwrap();
        texts(page).into_iter().map(|(seq, _)| seq).collect::<Vec<_>>()
    };
    assert_eq!(page(1, 6, 1 << 20).await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(page(3, 3, 1 << 20).await, [2, 3, 4], "runs are not cut");
    assert_eq!(page(4, 5, 1 << 20).await, [2, 3, 4, 5, 6]);
    assert_eq!(page(5, 100, 1 << 20).await, [5, 6]);
    assert_eq!(page(1, 6, 1).await, [1], "at least one value");
    assert_eq!(page(2, 6, 1).await, [2, 3, 4]);
    assert_eq!(page(7, 100, 1 << 20).await, [0; 0]);
    assert_eq!(page(5, 4, 1 << 20).await, [0; 0]);
    let nobody = store.history(ConversationId(9), 1, 9, 1 << 20).await.unwrap();
    assert_eq!(nobody, []);
}

async fn messages_are_found_by_their_number(place: &Place) {
    let store = place.open().await;
    let mut sample = Sample::new();
    take(&*store, sample.found()).await.unwrap();
    take(&*store, sample.send(&["1", "2", "3"])).await.unwrap();
    take(&*store, sample.send(&["4"])).await.unwrap();
    for number in 1..5 {
        let found = store.sent_index(device(1), 0, number).await.unwrap().unwrap();
        assert!((found.first_number..=found.last_number).contains(&number));
        assert_eq!(found.first_seq - found.first_number, 0);
        assert_eq!(found.conversation, sample.conversation());
    }
    assert_eq!(store.sent_index(device(1), 0, 5).await.unwrap(), None);
    assert_eq!(store.sent_index(device(1), 1, 1).await.unwrap(), None);
    assert_eq!(store.sent_index(device(2), 0, 1).await.unwrap(), None);
}

async fn filled(store: &dyn Store, sample: &mut Sample, from: u64, to: u64) {
    for n in from..to {
        let text = format!("message {n}");
        let texts = vec![text.as_str(); 1 + (n % 3) as usize];
        let step = match n {
            0 => sample.found(),
            2 => sample.link(),
            n if n > 2 && n % 4 == 3 => sample.tell(&texts),
            n if n > 4 && n % 4 == 1 => sample.answered(&text),
            _ => sample.send(&texts),
        };
        take(store, step).await.unwrap();
    }
}

/// Everything that `export` gives, in small pages.
async fn exported(store: &dyn Store, mut after: Option<(u64, ConversationId)>) -> Vec<Row> {
    let mut all = Vec::new();
    while let Some((rows, place)) = store.export(after, u64::MAX, 300).await.unwrap() {
        assert!(Some(place) > after, "goes forward");
        after = Some(place);
        all.extend(rows);
    }
    all
}

async fn same(one: &dyn Store, two: &dyn Store, sample: &Sample) {
    assert_eq!(one.mark(), two.mark());
    assert_eq!(one.load().await.unwrap(), two.load().await.unwrap());
    assert_eq!(exported(one, None).await, exported(two, None).await);
    let page = async |store: &dyn Store| {
        texts(store.history(sample.conversation(), 1, u64::MAX, 1 << 20).await.unwrap())
    };
    assert_eq!(page(one).await, page(two).await);
    for from in [1, sample.exported() / 2 + 1, sample.exported()] {
        let page = async |store: &dyn Store| store.exports(EAST, from, 1 << 20).await.unwrap();
        assert_eq!(page(one).await, page(two).await);
        assert!(sample.exported() == 0 || !page(one).await.is_empty());
    }
    let number = sample.state.sent(device(1), 0).map_or(0, |sent| sent.last_number);
    for number in 1..=number {
        let found = one.sent_index(device(1), 0, number).await.unwrap();
        assert!(found.is_some(), "number {number}");
        assert_eq!(found, two.sent_index(device(1), 0, number).await.unwrap());
    }
}

async fn a_snapshot_makes_an_equal_store(place: &Place) {
    let (source, target) = (Memory::new(2), place.open().await);
    let mut sample = Sample::new();
    filled(&source, &mut sample, 0, 30).await;
    target.begin_import(false).await.unwrap();
    target.import(exported(&source, None).await).await.unwrap();
    assert_eq!((target.mark().applied, target.load().await.unwrap()), (None, vec![]));
    target.install(sample.mark.clone(), sample.rows()).await.unwrap();
    target.purge(sample.mark.applied.unwrap()).await.unwrap();
    same(&source, &*target, &sample).await;
    let target = place.reopen(target).await;
    same(&source, &*target, &sample).await;
    assert_eq!(target.hash_at(29).await.unwrap(), Some(sample.mark.hash));
    for store in [&source as &dyn Store, &*target] {
        let mut more = sample.clone();
        filled(store, &mut more, 30, 35).await;
    }
    assert_eq!(source.mark(), target.mark());
}

async fn a_snapshot_adds_to_history(place: &Place) {
    let (source, target) = (Memory::new(2), place.open().await);
    let mut sample = Sample::new();
    filled(&source, &mut sample, 0, 10).await;
    filled(&*target, &mut Sample::new(), 0, 10).await;
    let after = (target.mark().applied.unwrap().index, ConversationId(u64::MAX));
    filled(&source, &mut sample, 10, 20).await;
    target.begin_import(false).await.unwrap();
    target.import(exported(&source, Some(after)).await).await.unwrap();
    target.install(sample.mark.clone(), sample.rows()).await.unwrap();
    target.purge(sample.mark.applied.unwrap()).await.unwrap();
    same(&source, &*target, &sample).await;
    assert!(target.hash_at(9).await.unwrap().is_some(), "older hashes stay");
}

async fn a_snapshot_replaces_history(place: &Place) {
    let (source, target) = (Memory::new(2), place.open().await);
    let mut sample = Sample::new();
    filled(&source, &mut sample, 0, 10).await;
    // The target has another history, and a longer one.
    let mut other = Sample::new();
    other.term = 2;
    filled(&*target, &mut other, 0, 40).await;
    sample.term = 9;
    filled(&source, &mut sample, 10, 12).await;
    for _ in 0..2 {
        target.begin_import(true).await.unwrap();
        target.import(exported(&source, None).await).await.unwrap();
    }
    let old = target.history(other.conversation(), 1, u64::MAX, 1 << 20).await.unwrap();
    assert!(texts(old).len() > 30, "the old history stays until the new one is whole");
    target.install(sample.mark.clone(), sample.rows()).await.unwrap();
    target.purge(sample.mark.applied.unwrap()).await.unwrap();
    assert_eq!(target.bounds().last, sample.mark.applied, "the other log is gone");
    same(&source, &*target, &sample).await;
    assert_eq!(target.hash_at(39).await.unwrap(), None);
    let target = place.reopen(target).await;
    same(&source, &*target, &sample).await;
}

async fn an_unfinished_snapshot_leaves_nothing(place: &Place) {
    let (source, target) = (Memory::new(2), place.open().await);
    let mut sample = Sample::new();
    filled(&source, &mut sample, 0, 10).await;
    let mut mine = Sample::new();
    filled(&*target, &mut mine, 0, 3).await;
    let before = (target.mark(), exported(&*target, None).await);
    target.begin_import(true).await.unwrap();
    target.import(exported(&source, None).await).await.unwrap();
    let target = place.reopen(target).await;
    target.begin_import(false).await.unwrap();
    assert_eq!((target.mark(), exported(&*target, None).await), before);
    filled(&*target, &mut mine, 3, 10).await;
    same(&source, &*target, &sample).await;
}

async fn the_identity_is_kept(place: &Place) {
    let store = place.open().await;
    let mut identity = store.identity();
    assert_eq!((identity.seat, identity.raft_id, identity.cluster), (1, 1, None));
    assert_ne!(identity.incarnation, [0; 16]);
    identity.cluster = Some(crate::chat::ids::ClusterId([4; 16]));
    identity.generation = 3;
    identity.raft_id = 2001;
    store.save_identity(identity).await.unwrap();
    assert_eq!(place.reopen(store).await.identity(), identity);
}

async fn acknowledgements_are_kept(place: &Place) {
    let store = place.open().await;
    store.note_acknowledged(2, 70);
    store.note_acknowledged(2, 60);
    store.note_acknowledged(3, 1);
    let store = place.reopen(store).await;
    assert_eq!([1, 2, 3].map(|seat| store.acknowledged(seat)), [None, Some(70), Some(1)]);
}
