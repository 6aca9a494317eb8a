//! When a snapshot is built, and how much of the log goes then. It must not know
//! what a snapshot is made of.

use super::shared::{Raft, Shared};
use openraft::ServerState;
use openraft::async_runtime::watch::WatchReceiver as _;
use std::sync::Arc;
use std::time::Duration;

/// How often to look whether one is due.
const LOOK: Duration = Duration::from_millis(100);
/// A snapshot that takes longer is built in vain: nothing is purged then.
const BUILD_TIME: Duration = Duration::from_secs(120);

/// Builds snapshots and purges for as long as the node runs.
pub async fn run(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(LOOK).await;
        let Some(raft) = shared.raft() else { continue };
        if !shared.tally.due() {
            continue;
        }
        let Some(applied) = shared.applied.last() else { continue };
        shared.tally.built();
        // An error means that openraft has ended, and everything else ends too.
        if raft.trigger().snapshot().await.is_err() {
            return;
        }
        if built(raft, applied.index).await {
            let Some(upto) = purge_upto(&shared, raft) else { continue };
            tracing::debug!(upto, "the log is purged");
            if raft.trigger().purge_log(upto).await.is_err() {
                return;
            }
        }
    }
}

async fn built(raft: &Raft, index: u64) -> bool {
    let mut metrics = raft.metrics();
    let wait = async {
        while metrics.borrow_watched().snapshot.is_none_or(|id| id.index < index) {
            if metrics.changed().await.is_err() {
                return false;
            }
        }
        true
    };
    tokio::time::timeout(BUILD_TIME, wait).await.unwrap_or(false)
}

/// Keeps a tail of half a threshold, and on the leader what a live follower needs, unless it
/// lacks more than a threshold.
fn purge_upto(shared: &Shared, raft: &Raft) -> Option<u64> {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    let tail = shared.tally.index_with_tail(shared.tally.tail())?;
    let mut upto = tail.min(metrics.snapshot?.index);
    if let (ServerState::Leader, Some(matched)) = (metrics.state, &metrics.replication) {
        let live = shared.live();
        let lost = shared.tally.index_with_tail(shared.tally.patience()).unwrap_or(0);
        for (_, matched) in matched.iter().filter(|(id, _)| live.contains(id)) {
            let matched = matched.map_or(0, |id| id.index);
            if matched >= lost {
                upto = upto.min(matched);
            }
        }
    }
    (upto > metrics.purged.map_or(0, |id| id.index)).then_some(upto)
}
