//! The sign of life of consensus: a number that rises for as long as its loop
//! answers, with a leader or without one. It must not change anything.

use super::shared::Shared;
use crate::limits;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// Asks the loop again and again. Before it runs, while a majority is waited for, this task
/// speaks for the node.
pub async fn run(shared: Arc<Shared>, beats: watch::Sender<u64>) {
    let mut every = tokio::time::interval(limits::BEAT);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        if let Some(raft) = shared.raft()
            && raft.with_raft_state(|_| ()).await.is_err()
        {
            return;
        }
        beats.send_modify(|beats| *beats += 1);
    }
}
