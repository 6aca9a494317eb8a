//! openraft's own storage suite over every store.

use super::cluster::{Backend, open};
use super::machine::Journal;
use crate::chat::ids::ClusterId;
use crate::raft::halt::Halt;
use crate::raft::kinds::Kinds;
use crate::raft::log_store::Log;
use crate::raft::machine::StateMachine;
use crate::raft::tally::Tally;
use crate::raft::timing::Timing;
use crate::raft::{Committed, Machine};
use crate::store::{Store, StoreError};
use crate::wire::record::{LogEntry, LogId, Mark, Row};
use async_trait::async_trait;
use bytes::Bytes;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use std::sync::Arc;
use tempfile::TempDir;
use tokio::sync::oneshot;

/// A machine whose store holds every entry in its log, durably, before it is applied.
struct Filling {
    journal: Journal,
    store: Arc<dyn Store>,
}

impl Filling {
    async fn fill(&self, upto: LogId) -> Result<(), StoreError> {
        let next = self.store.bounds().last.map_or(0, |last| last.index + 1);
        let entry = |index| LogEntry { id: LogId { index, ..upto }, payload: Bytes::new() };
        let entries: Vec<_> = (next..=upto.index).map(entry).collect();
        if entries.is_empty() {
            return Ok(());
        }
        let (tell, told) = oneshot::channel();
        self.store.append(entries, Box::new(move |done| drop(tell.send(done)))).await?;
        told.await.unwrap()
    }
}

#[async_trait]
impl Machine for Filling {
    async fn apply(&mut self, entries: Vec<Committed>) -> Result<(), StoreError> {
        if let Some(last) = entries.last() {
            self.fill(last.id).await?;
        }
        self.journal.apply(entries).await
    }

    fn mark(&self) -> Mark {
        self.journal.mark()
    }

    fn state_rows(&self) -> Vec<Row> {
        self.journal.state_rows()
    }

    async fn reload(&mut self) -> Result<(), StoreError> {
        self.journal.reload().await?;
        // After a snapshot openraft has the log purged to where the state is.
        match self.journal.mark().applied {
            Some(applied) => self.store.purge(applied).await,
            None => Ok(()),
        }
    }

    fn founding_item(&self) -> Bytes {
        self.journal.founding_item()
    }

    fn identity(&self) -> Option<(ClusterId, u64)> {
        self.journal.identity()
    }
}

struct Fresh(Backend);

impl StoreBuilder<Kinds, Log, StateMachine, TempDir> for Fresh {
    async fn build(&self) -> Result<(TempDir, Log, StateMachine), StorageError<Kinds>> {
        let dir = tempfile::tempdir().unwrap();
        let store = open(self.0, 1, &dir.path().join("data"));
        let halt = Halt::new();
        // The suite applies entries that it never appended, where a durable store waits until
        // its log holds them: there the state has a log of its own, which is filled up first.
        let (state, machine) = match self.0 {
            Backend::Memory => {
                let machine: Box<dyn Machine> = Box::new(Journal::load(Arc::clone(&store)).await);
                (Arc::clone(&store), machine)
            }
            Backend::Embedded | Backend::Mongo => {
                let state = open(self.0, 1, &dir.path().join("state"));
                let journal = Journal::load(Arc::clone(&state)).await;
                let machine: Box<dyn Machine> =
                    Box::new(Filling { journal, store: Arc::clone(&state) });
                (state, machine)
            }
        };
        let machine = StateMachine::new(machine, state, halt.clone());
        let tally = Arc::new(Tally::new(1 << 20, 0, store.bounds()));
        Ok((dir, Log::new(store, tally, halt, Timing::new("of_a_test")), machine))
    }
}

async fn passes(backend: Backend) {
    let passed = Suite::<Kinds, Log, StateMachine, Fresh, TempDir>::test_all(Fresh(backend));
    if let Err(error) = passed.await {
        panic!("{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_store_passes_the_suite_of_openraft() {
    passes(Backend::Memory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_mongodb_store_passes_the_suite_of_openraft() {
    passes(Backend::Mongo).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_store_passes_the_suite_of_openraft() {
    passes(Backend::Embedded).await;
}
