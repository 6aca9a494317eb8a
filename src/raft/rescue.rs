//! What a stopped node's store is given so that it goes on alone: a membership with one
//! voter. After the loss of a majority the log is kept and continued; after a restore from a
//! backup there is none. It must not know who decides that, nor what an item means.

use crate::store::{Identity, Store, StoreError};
use crate::wire::raft::{Batch, Member, Membership, Payload};
use crate::wire::record::{LogBounds, LogEntry, LogId, Mark, Row, Vote};
use bytes::Bytes;
use tokio::sync::oneshot;

/// A directory under such an incarnation does not exist: whoever comes under that Raft id is
/// told to join anew.
const NOBODY: [u8; 16] = [0; 16];

/// Why a node cannot go on alone.
#[derive(Debug, thiserror::Error)]
pub enum RescueError {
    /// The store failed, or holds what cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is nothing to go on with, or the node is no member.
    #[error("{0}")]
    Refused(String),
}

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rescued {
    /// The last entry that was there before.
    pub last: LogId,
    /// Entries behind the last one that is known to be committed; they are kept.
    pub uncommitted: u64,
    /// The last entry now.
    pub end: LogId,
}

/// The membership that counts for a log: the last one in it, else that of the state.
///
/// # Errors
/// One of them cannot be read.
pub fn membership<'a>(
    entries: impl DoubleEndedIterator<Item = &'a LogEntry>,
    mark: &Mark,
) -> Result<Membership, StoreError> {
    let corrupt = |what: &str, why| StoreError::Corrupt(format!("{what} is unreadable: {why}"));
    for entry in entries.rev() {
        let payload = Payload::decode(entry.payload.clone())
            .map_err(|why| corrupt(&format!("entry {} of the log", entry.id.index), why))?;
        if let Payload::Membership(membership) = payload {
            return Ok(membership);
        }
    }
    if mark.membership_id.is_none() {
        return Ok(Membership::default());
    }
    Membership::decode(mark.membership.clone()).map_err(|why| corrupt("the membership", why))
}

/// Makes the node the only voter of its cluster, in a new generation. `item` tells the state of
/// it, at `at_ms`. Done before its cluster starts again, and on one node alone.
///
/// The log is kept, with entries of which nobody knows any more whether they were committed.
/// The other members stay as learners, so that their Raft ids are not given away again.
///
/// # Errors
/// See [`RescueError`]. Where it fails half-way the node starts with what it had, or alone.
pub async fn recover(
    store: &dyn Store,
    generation: u64,
    item: Bytes,
    at_ms: u64,
) -> Result<Rescued, RescueError> {
    let identity = store.identity();
    let LogBounds { purged, last } = store.bounds();
    let refused = |text: &str| RescueError::Refused(text.to_owned());
    let last =
        last.ok_or_else(|| refused("the log is empty: this node has nothing to go on with"))?;
    let mark = store.mark();
    let entries = store.read(purged.map_or(0, |id| id.index + 1), last.index + 1).await?;
    let old = membership(entries.iter(), &mark)?;
    if !old.members.iter().any(|member| member.raft_id == identity.raft_id) {
        return Err(refused("this node is no member of the cluster"));
    }
    let committed = store.committed().max(mark.applied).map_or(0, |id| id.index + 1);
    let uncommitted = (last.index + 1).saturating_sub(committed);
    let term = store.vote().map_or(0, |vote| vote.term).max(last.term) + 1;
    let id = |offset| LogId { term, index: last.index + offset };
    let payload = Payload::Membership(alone(old, &identity)).encode();
    let told = Payload::Batch(Batch { at_ms, items: vec![item] }.encode()).encode();
    let entries = vec![LogEntry { id: id(1), payload }, LogEntry { id: id(2), payload: told }];
    store.save_vote(Vote { term, node: identity.raft_id, committed: false }).await?;
    append(store, entries).await?;
    store.save_identity(Identity { generation, ..identity }).await?;
    Ok(Rescued { last, uncommitted, end: id(2) })
}

/// One voter; the others' places are known, but nobody's directory is theirs. So two servers that
/// were both made the only voter, by mistake, refuse each other.
fn alone(old: Membership, own: &Identity) -> Membership {
    let members = old.members.into_iter().map(|member| {
        let own_place = member.raft_id == own.raft_id;
        Member { incarnation: Some(if own_place { own.incarnation } else { NOBODY }), ..member }
    });
    Membership { configs: vec![vec![own.raft_id]], members: members.collect() }
}

async fn append(store: &dyn Store, entries: Vec<LogEntry>) -> Result<(), StoreError> {
    let (tell, told) = oneshot::channel();
    store.append(entries, Box::new(move |result| drop(tell.send(result)))).await?;
    told.await.unwrap_or_else(|_| Err(StoreError::Io(std::io::Error::other("no answer"))))
}

/// Ends a restore: the history was imported; `state` at `applied` becomes what the node holds,
/// and `own` the only member of the cluster that `identity` names.
///
/// # Errors
/// The store failed; nothing is visible then, or the node can start.
pub async fn found_with(
    store: &dyn Store,
    identity: Identity,
    own: Member,
    (applied, hash): (LogId, [u8; 32]),
    state: Vec<Row>,
) -> Result<(), StoreError> {
    let configs = vec![vec![own.raft_id]];
    let membership = Membership { configs, members: vec![own] }.encode();
    let membership_id = Some(applied);
    store.save_vote(Vote { term: applied.term, node: identity.raft_id, committed: false }).await?;
    store.save_identity(identity).await?;
    let mark = Mark { applied: membership_id, hash, membership, membership_id };
    store.install(mark, state).await?;
    store.purge(applied).await
}
