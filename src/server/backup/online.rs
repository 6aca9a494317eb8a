//! The backup of a running node. It must not know who asked for it.

use super::BackupError;
use super::source::{About, Source};
use crate::clock::now_ms;
use crate::limits;
use crate::raft::node::Node;
use crate::store::Store;
use std::sync::Arc;

/// The backup of a running node, at an index that a majority has confirmed to be current; with
/// `stale` at whatever the node has, for when there is no majority. The node goes on meanwhile.
///
/// # Errors
/// `NoQuorum` where no majority answers or the node does not catch up within
/// [`limits::READ_TIME`]; `Refused` where it does not run, or knows no cluster yet.
pub async fn stream(
    node: &Node,
    store: Arc<dyn Store>,
    stale: bool,
) -> Result<Source, BackupError> {
    if !stale {
        let index = node.read_barrier().await.map_err(|_| BackupError::NoQuorum)?;
        if !node.wait_applied(index, limits::READ_TIME).await {
            return Err(BackupError::NoQuorum);
        }
    }
    let state = node.state().await;
    let (mark, rows) =
        state.ok_or_else(|| BackupError::Refused("this server does not run yet".into()))?;
    Source::new(store, &mark, rows, &About { at_ms: now_ms(), offline: false, stale })
}
