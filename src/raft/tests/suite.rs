//! openraft's own storage suite over every store.

use super::cluster::{BACKENDS, Backend, open};
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
        let machine = Box::new(Journal::load(Arc::clone(&store)).await);
        let machine = StateMachine::new(machine, Arc::clone(&store), halt.clone());
        Ok((dir, Log::new(store, Arc::new(Tally::new(1 << 20, 0)), halt), machine))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_store_passes_the_suite_of_openraft() {
    for backend in BACKENDS {
        let passed = Suite::<Kinds, Log, StateMachine, Fresh, TempDir>::test_all(Fresh(backend));
        if let Err(error) = passed.await {
            panic!("{backend:?}: {error}");
        }
    }
}
