//! A process that ends between two writes, at every one of them: what starts again has kept
//! its promises, and comes to the same end.

use crate::chat::ids::ConversationId;
use crate::store::memory::Memory;
use crate::store::mongo::Mongo;
use crate::store::mongo::testing::Database;
use crate::store::record::{LogId, Row, Vote};
use crate::store::samples::{EAST, Sample, append, entry, texts};
use crate::store::{Store, StoreError};
use std::sync::Mutex;

/// Kill points that are tried at the same time.
const AT_ONCE: usize = 6;
const VOTE: Vote = Vote { term: 2, node: 1, committed: true };
/// Entries before the snapshot, and entries in all.
const OWN: u64 = 8;
const ALL: u64 = 14;

/// What a node is to come to, and what its peers hold.
struct Story {
    /// The states after each entry.
    samples: Vec<Sample>,
    steps: Vec<Box<dyn Fn() -> crate::store::samples::Step + Send + Sync>>,
    peer: Memory,
    /// The snapshot replaces another history.
    replaced: bool,
}

/// What a store promised before it was killed.
#[derive(Default)]
struct Promised {
    vote: Option<Vote>,
    last: Option<LogId>,
}

impl Story {
    async fn new(replaced: bool) -> Self {
        let (mut sample, peer) = (Sample::new(), Memory::new(2));
        sample.term = 2;
        let (mut samples, mut steps): (Vec<Sample>, Vec<Box<dyn Fn() -> _ + Send + Sync>>) =
            (Vec::new(), Vec::new());
        for index in 0..ALL {
            let before = Mutex::new(sample.clone());
            let make = move |sample: &mut Sample| match index {
                0 => sample.found(),
                1 => sample.link(),
                3 | 9 | 11 => sample.tell(&["told", "elsewhere"]),
                5 | 12 => sample.answered("from elsewhere"),
                n => sample.send(&vec![format!("message {n}").as_str(); 1 + (n % 3) as usize]),
            };
            crate::store::samples::take(&peer, make(&mut sample)).await.unwrap();
            steps.push(Box::new(move || make(&mut before.lock().unwrap().clone())));
            samples.push(sample.clone());
        }
        Self { samples, steps, peer, replaced }
    }

    /// Brings a store to the end of the story, from wherever it is.
    async fn go_on(&self, store: &dyn Store, promised: &Mutex<Promised>) -> Result<(), StoreError> {
        if store.vote() != Some(VOTE) {
            store.save_vote(VOTE).await?;
        }
        promised.lock().unwrap().vote = Some(VOTE);
        self.write_log(store, promised).await?;
        let next = |store: &dyn Store| store.mark().applied.map_or(0, |id| id.index + 1);
        while next(store) < OWN {
            let step = self.steps[next(store) as usize]();
            store.commit(step.mark, step.writes, step.rows).await?;
            if next(store).is_multiple_of(3) {
                store.persist().await?;
            }
        }
        store.persist().await?;
        let end = self.samples[ALL as usize - 1].clone();
        if store.mark() != end.mark {
            store.begin_import(self.replaced).await?;
            let after = (OWN - 1, ConversationId(u64::MAX));
            let mut place = (!self.replaced).then_some(after);
            while let Some((rows, last)) = self.peer.export(place, u64::MAX, 200).await? {
                store.import(rows).await?;
                place = Some(last);
            }
            store.install(end.mark.clone(), end.rows()).await?;
        }
        store.purge(end.mark.applied.unwrap()).await
    }

    /// The log: a tail that an older leader left is cut first.
    async fn write_log(
        &self,
        store: &dyn Store,
        promised: &Mutex<Promised>,
    ) -> Result<(), StoreError> {
        if store.bounds().last.is_none() {
            append(store, (0..3).map(|index| entry(1, index)).collect()).await?;
        }
        let stale = store.bounds().last.is_some_and(|last| last.term == 1);
        if stale {
            store.truncate(0).await?;
        }
        while store.bounds().last.map_or(0, |last| last.index + 1) < OWN {
            let index = store.bounds().last.map_or(0, |last| last.index + 1);
            append(store, vec![self.steps[index as usize]().entry]).await?;
            promised.lock().unwrap().last = store.bounds().last;
        }
        Ok(())
    }

    /// What must hold at every start.
    async fn check(&self, store: &dyn Store, promised: &Promised, at: u64) {
        if let Some(vote) = promised.vote {
            assert_eq!(store.vote(), Some(vote), "killed after {at} writes");
        }
        assert!(store.bounds().last >= promised.last, "killed after {at} writes: the log");
        let rows = match store.mark().applied {
            Some(id) => {
                let sample = &self.samples[id.index as usize];
                assert_eq!(store.mark(), sample.mark, "killed after {at} writes");
                sample.state.rows().collect()
            }
            None => Vec::new(),
        };
        assert_eq!(store.load().await.unwrap(), rows, "killed after {at} writes: the state");
        let expected = match store.mark().applied {
            Some(id) => exported(&self.peer, id.index).await,
            None => Vec::new(),
        };
        let found = exported(store, u64::MAX).await;
        assert_eq!(found, expected, "killed after {at} writes: the history");
        let told = async |store: &dyn Store| store.exports(EAST, 1, 1 << 20).await.unwrap();
        let mut expected = told(&self.peer).await;
        let upto = match store.mark().applied {
            Some(id) => self.samples[id.index as usize].exported(),
            None => 0,
        };
        expected.retain(|(first, _)| *first <= upto);
        assert_eq!(told(store).await, expected, "killed after {at} writes: the exports");
    }
}

async fn exported(store: &dyn Store, upto: u64) -> Vec<Row> {
    let (mut all, mut place) = (Vec::new(), None);
    while let Some((rows, last)) = store.export(place, upto, 1 << 20).await.unwrap() {
        all.extend(rows);
        place = Some(last);
    }
    all
}

/// Runs the story until it is killed after `at` writes, then again to its end; false when it
/// was not killed, for it has fewer writes.
async fn killed_after(story: &Story, at: u64) -> bool {
    let database = Database::fresh();
    let promised = Mutex::new(Promised::default());
    let store: Mongo = database.open(1).await.unwrap();
    store.tap().kill_after(at);
    let was_killed = story.go_on(&store, &promised).await.is_err();
    store.tap().kill_after(0);
    drop(store);

    database.declare_free().await;
    let store = database.open(1).await.unwrap();
    let promised = promised.into_inner().unwrap();
    story.check(&store, &promised, at).await;
    story.go_on(&store, &Mutex::default()).await.unwrap();
    let end = Promised { vote: Some(VOTE), last: story.samples.last().unwrap().mark.applied };
    story.check(&store, &end, at).await;
    let conversation = story.samples[0].conversation();
    let page = async |store: &dyn Store| {
        texts(store.history(conversation, 1, u64::MAX, 1 << 20).await.unwrap())
    };
    assert_eq!(page(&store).await, page(&story.peer).await, "killed after {at} writes");
    store.close().await.unwrap();
    was_killed
}

async fn killed_everywhere(replaced: bool) {
    let story = Story::new(replaced).await;
    let mut at = 0;
    loop {
        let many = (at..at + AT_ONCE as u64).map(|at| killed_after(&story, at));
        let killed = futures::future::join_all(many).await;
        at += AT_ONCE as u64;
        if !killed.contains(&true) {
            break;
        }
    }
    assert!(at > 40, "the story has more writes than {at}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_any_two_writes_it_comes_to_the_same_end() {
    killed_everywhere(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_while_a_snapshot_replaces_everything_it_comes_to_the_same_end() {
    killed_everywhere(true).await;
}
