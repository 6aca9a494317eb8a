//! The backup of a stopped server's store. It must not know how the store was opened.

use super::BackupError;
use super::source::{About, Source};
use crate::clock::now_ms;
use crate::limits;
use crate::raft::{Committed, Machine};
use crate::server::hub::Hub;
use crate::server::replica::Replica;
use crate::store::record::{LogEntry, LogId};
use crate::store::{Store, StoreError};
use crate::wire::raft::{Batch, Payload};
use std::sync::Arc;

/// The backup of a stopped server's store, with all that is known there to be committed: like
/// the server's next start it takes that into the state first. Whether others have more, nobody
/// was asked.
///
/// # Errors
/// The store cannot be read, or belongs to no cluster yet.
pub async fn of_stopped(store: Arc<dyn Store>) -> Result<Source, BackupError> {
    let (mut replica, _) = Replica::load(Arc::clone(&store), Hub::default(), String::new()).await?;
    let next = |id: Option<LogId>| id.map_or(0, |id| id.index + 1);
    let mut from = next(replica.mark().applied);
    let to = next(store.committed().min(store.bounds().last));
    while from < to {
        let until = to.min(from + limits::APPLY_ENTRIES as u64);
        let entries = store.read(from, until).await?;
        replica.apply(entries.into_iter().map(committed).collect::<Result<_, _>>()?).await?;
        from = until;
    }
    store.persist().await?;
    let about = About { at_ms: now_ms(), offline: true, stale: true };
    Source::new(store, &replica.mark(), replica.state_rows(), &about)
}

fn committed(entry: LogEntry) -> Result<Committed, StoreError> {
    let id = entry.id;
    let wrong = |why| StoreError::Corrupt(format!("entry {} of the log: {why}", id.index));
    let mut committed = Committed { id, at_ms: 0, items: Vec::new(), membership: None };
    match Payload::decode(entry.payload).map_err(wrong)? {
        Payload::Blank => {}
        Payload::Batch(batch) => {
            let batch = Batch::decode(batch).map_err(wrong)?;
            (committed.at_ms, committed.items) = (batch.at_ms, batch.items);
        }
        Payload::Membership(membership) => committed.membership = Some(membership.encode()),
    }
    Ok(committed)
}
