//! openraft's own storage suite over every store.

use super::cluster::{Backend, open};
use super::machine::Journal;
use crate::raft::halt::Halt;
use crate::raft::kinds::Kinds;
use crate::raft::log_store::Log;
use crate::raft::machine::StateMachine;
use crate::raft::tally::Tally;
use openraft::StorageError;
use openraft::testing::log::{StoreBuilder, Suite};
use std::sync::Arc;
use tempfile::TempDir;

struct Fresh(Backend);

impl StoreBuilder<Kinds, Log, StateMachine, TempDir> for Fresh {
    async fn build(&self) -> Result<(TempDir, Log, StateMachine), StorageError<Kinds>> {
        let dir = tempfile::tempdir().unwrap();
        let store = open(self.0, 1, &dir.path().join("data"));
        let halt = Halt::new();
        // The suite applies entries that it never appended. The embedded store would wait for
        // ever until its log holds them, so there the state lies beside it.
        let state = match self.0 {
            Backend::Memory => Arc::clone(&store),
            Backend::Embedded => open(Backend::Memory, 1, dir.path()),
        };
        let machine = Box::new(Journal::load(Arc::clone(&state)).await);
        let machine = StateMachine::new(machine, state, halt.clone());
        let tally = Arc::new(Tally::new(1 << 20, 0, store.bounds()));
        Ok((dir, Log::new(store, tally, halt), machine))
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
async fn the_embedded_store_passes_the_suite_of_openraft() {
    passes(Backend::Embedded).await;
}
