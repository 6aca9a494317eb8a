//! A new cluster from a backup: its rows go into an empty store, whose node is then the
//! cluster's only member. It must not know which store, or how it was found to be empty.

use super::check::inspect;
use super::manifest::{Place, unhex};
use super::source::meta_of;
use super::{BackupError, Checked, damaged};
use crate::chat::ids::ClusterId;
use crate::chat::write::Write;
use crate::clock::now_ms;
use crate::limits;
use crate::raft::{Seat, rescue};
use crate::store::record::{Row, Table};
use crate::store::{Identity, Store, StoreError};
use crate::wire::raft::Member;
use crate::wire::stored;
use std::io::Read;
use tokio::runtime::Handle;

/// The cluster that a backup becomes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCluster {
    /// Its id, a new one: whoever knows the old one must not take it for that.
    pub id: ClusterId,
    /// Its name.
    pub name: String,
    /// Its only member.
    pub own: Seat,
    /// Numbers of users and conversations that are left out: the old cluster may have given
    /// them away after the backup.
    pub skip: u64,
}

/// Puts a backup into an empty store; a start of its server finds the new cluster there. Blocks,
/// within a runtime. The backup must have been checked.
///
/// # Errors
/// It is damaged or cannot be read, or the store failed; nothing is visible there then.
pub fn restore(
    from: impl Read,
    store: &dyn Store,
    new: &NewCluster,
) -> Result<Checked, BackupError> {
    let wait = Handle::current();
    wait.block_on(store.begin_import(true))?;
    let mut state = Vec::new();
    let checked = inspect(from, |_, rows| {
        let (small, history): (Vec<_>, Vec<_>) = rows.into_iter().partition(is_small);
        state.extend(small);
        if history.is_empty() {
            return Ok(());
        }
        Ok(wait.block_on(store.import(history))?)
    })?;
    let hash = unhex(&checked.head.hash).ok_or_else(|| damaged("its hash is unreadable"))?;
    let meta = rename(&mut state, new)?;
    // No longer the hash of the old cluster at that index: the state is another one.
    let hash = stored::next_hash(&hash, std::slice::from_ref(&meta));
    wait.block_on(found(store, new, checked.head.applied, hash, state))?;
    Ok(checked)
}

const fn is_small(row: &Row) -> bool {
    !matches!(row.table, Table::History | Table::SentIndex | Table::HistoryIndex | Table::Exports)
}

/// Gives the state the new cluster's identity; returns the row that says so.
fn rename(state: &mut [Row], new: &NewCluster) -> Result<Row, BackupError> {
    let row = state.iter_mut().find(|row| row.table == Table::Meta);
    let row = row.ok_or_else(|| damaged("it names no cluster"))?;
    let mut meta = meta_of(row).ok_or_else(|| damaged("it names no cluster"))?;
    meta.former.push(meta.cluster);
    let many = meta.former.len().saturating_sub(limits::FORMER_CLUSTERS);
    meta.former.drain(..many);
    meta.cluster = new.id;
    new.name.clone_into(&mut meta.name);
    let at_ms = now_ms().max(meta.last_at_ms + 1);
    meta.begin(1, at_ms, new.skip);
    meta.last_at_ms = at_ms;
    let rows = stored::rows(0, &Write::Meta(meta));
    *row = rows.into_iter().next().ok_or_else(|| damaged("it names no cluster"))?;
    Ok(row.clone())
}

async fn found(
    store: &dyn Store,
    new: &NewCluster,
    applied: Place,
    hash: [u8; 32],
    state: Vec<Row>,
) -> Result<(), StoreError> {
    let fresh = store.identity();
    let identity = Identity { cluster: Some(new.id), generation: 1, ..fresh };
    let own = Member {
        raft_id: fresh.raft_id,
        seat: new.own.seat,
        host: new.own.host.clone(),
        peer: new.own.peer,
        client: new.own.client,
        incarnation: Some(fresh.incarnation),
        held: false,
    };
    rescue::found_with(store, identity, own, (applied.into(), hash), state).await
}
