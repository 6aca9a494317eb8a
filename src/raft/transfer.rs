//! A snapshot on its way to a follower that lacks what the log no longer holds:
//! the history above the follower's own mark where its hash agrees, else all of
//! it, then the small state. It must not know when a snapshot is due.

use super::halt::Halt;
use super::kinds::{self, RaftVote, plain_vote};
use super::machine::{Snapshot, SnapshotData, stored_membership};
use super::mesh::Mesh;
use super::shared::{Shared, seat_of};
use crate::chat::ids::ConversationId;
use crate::limits;
use crate::store::{Store, StoreError};
use crate::wire::peer::MessageKind;
use crate::wire::raft::{Membership, SnapshotDone, SnapshotOffer, SnapshotRows, SnapshotWanted};
use crate::wire::record::{Mark, Row, Table};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;

/// A page is written by the receiver within this time.
const PAGE_TIME: Duration = Duration::from_secs(10);
/// The receiver installs the snapshot within this time.
const INSTALL_TIME: Duration = Duration::from_secs(60);

/// Sends this node's state, as it is now, to the member `target`; its vote afterwards.
///
/// # Errors
/// Why it was not delivered; nothing of it is visible there.
pub async fn send(
    shared: &Arc<Shared>,
    target: u64,
    vote: RaftVote,
    data: SnapshotData,
) -> Result<RaftVote, String> {
    let (mark, state) = match data {
        SnapshotData::Received(mark, rows) => (mark, rows),
        SnapshotData::Local(machine) => {
            let machine = machine.lock().await;
            (machine.mark(), machine.state_rows())
        }
    };
    let mesh = shared.mesh().ok_or("not connected")?;
    let seat = seat_of(target);
    if mesh.peers().borrow().get(&seat).map(|hello| hello.raft_id) != Some(target) {
        return Err("not connected".into());
    }
    let offer = offer(&mark, &vote)?;
    let kind = MessageKind::SnapshotOffer;
    let wanted = call(&mesh, seat, kind, offer.encode(), PAGE_TIME).await?;
    let wanted = SnapshotWanted::decode(wanted).map_err(|e| e.to_string())?;
    let store = Arc::clone(&shared.store);
    let halt = |e: StoreError| shared.halt.store(e).to_string();
    let mut pages = Pages::new(store, &wanted, offer.last.index, state).await.map_err(halt)?;
    tracing::info!(seat, upto = offer.last.index, all = pages.all, "sending a snapshot");
    loop {
        let page = pages.next().await.map_err(halt)?.ok_or("nothing was installed")?;
        let deadline = if page.last { INSTALL_TIME } else { PAGE_TIME };
        let done = call(&mesh, seat, MessageKind::SnapshotRows, page.encode(), deadline).await?;
        let done = SnapshotDone::decode(done).map_err(|e| e.to_string())?;
        if let Some(error) = done.error {
            return Err(error);
        }
        if let Some(vote) = done.vote {
            return Ok(kinds::vote(vote));
        }
    }
}

pub fn offer(mark: &Mark, vote: &RaftVote) -> Result<SnapshotOffer, String> {
    Ok(SnapshotOffer {
        vote: plain_vote(vote),
        last: mark.applied.ok_or("there is no state yet")?,
        membership: Membership::decode(mark.membership.clone()).map_err(|e| e.to_string())?,
        membership_id: mark.membership_id,
        hash: mark.hash,
    })
}

async fn call(
    mesh: &Mesh,
    seat: u32,
    kind: MessageKind,
    payload: Bytes,
    deadline: Duration,
) -> Result<Bytes, String> {
    mesh.call(seat, kind, payload, deadline).await.map_err(|e| e.to_string())
}

/// The pages of a snapshot, in order. Page 0 tells the receiver how to begin and brings
/// nothing; the last one brings the end of the small state.
pub struct Pages {
    store: Arc<dyn Store>,
    session: u64,
    number: u64,
    all: bool,
    /// Place of the last history row sent; `None` inside: from the beginning. `None` outside:
    /// all history is sent.
    history: Option<Option<(u64, ConversationId)>>,
    upto: u64,
    state: std::vec::IntoIter<Row>,
    ended: bool,
}

impl Pages {
    /// The pages that a receiver who wants `wanted` needs of a snapshot at `upto`.
    ///
    /// # Errors
    /// The store failed.
    pub async fn new(
        store: Arc<dyn Store>,
        wanted: &SnapshotWanted,
        upto: u64,
        state: Vec<Row>,
    ) -> Result<Self, StoreError> {
        let ours = match wanted.above {
            Some(above) => store.hash_at(above).await?,
            None => None,
        };
        let same = wanted.above.filter(|_| ours == Some(wanted.hash));
        let after = same.map(|above| (above, ConversationId(u64::MAX)));
        Ok(Self {
            store,
            session: wanted.session,
            number: 0,
            all: after.is_none(),
            history: Some(after),
            upto,
            state: state.into_iter(),
            ended: false,
        })
    }

    /// The next page; `None` after the last.
    ///
    /// # Errors
    /// The store failed.
    pub async fn next(&mut self) -> Result<Option<SnapshotRows>, StoreError> {
        if self.ended {
            return Ok(None);
        }
        let rows = if self.number == 0 { Vec::new() } else { self.rows().await? };
        self.ended = self.history.is_none() && self.state.len() == 0;
        let page = SnapshotRows {
            session: self.session,
            number: self.number,
            rows,
            all: self.all,
            last: self.ended,
        };
        self.number += 1;
        Ok(Some(page))
    }

    async fn rows(&mut self) -> Result<Vec<Row>, StoreError> {
        if let Some(after) = self.history {
            let page = self.store.export(after, self.upto, limits::SNAPSHOT_PAGE).await?;
            if let Some((rows, place)) = page {
                self.history = Some(Some(place));
                return Ok(rows);
            }
            self.history = None;
        }
        let (mut rows, mut bytes) = (Vec::new(), 0);
        while bytes < limits::SNAPSHOT_PAGE {
            let Some(row) = self.state.next() else { break };
            bytes += row.key.len() + row.value.len();
            rows.push(row);
        }
        Ok(rows)
    }
}

/// The receiving side: at most one transfer at a time, the newest.
#[derive(Default)]
pub struct Receiver {
    sessions: u64,
    current: Option<Receiving>,
}

struct Receiving {
    session: u64,
    from: u32,
    offer: SnapshotOffer,
    next: u64,
    state: Vec<Row>,
}

impl Receiver {
    /// A leader offers a snapshot: says what this node has. Ends an older transfer.
    pub fn offered(&mut self, from: u32, offer: SnapshotOffer, mark: &Mark) -> SnapshotWanted {
        self.sessions += 1;
        let session = self.sessions;
        self.current = Some(Receiving { session, from, offer, next: 0, state: Vec::new() });
        SnapshotWanted { above: mark.applied.map(|id| id.index), hash: mark.hash, session }
    }

    /// A page arrives: history goes into the store, invisible; with the last page the
    /// snapshot is returned, to be installed.
    ///
    /// # Errors
    /// The reason, for the sender; the transfer is over. An error of the store ends the node.
    pub async fn page(
        &mut self,
        store: &dyn Store,
        halt: &Halt,
        from: u32,
        page: SnapshotRows,
    ) -> Result<Option<(RaftVote, Snapshot)>, String> {
        let mut receiving = self.current.take().ok_or("no transfer is open")?;
        let expected = (receiving.session, receiving.from, receiving.next);
        if expected != (page.session, from, page.number) {
            return Err("the transfer was replaced by another".into());
        }
        receiving.next += 1;
        let failed = |e: StoreError| halt.store(e).to_string();
        if page.number == 0 {
            store.begin_import(page.all).await.map_err(failed)?;
        }
        let (history, state): (Vec<_>, Vec<_>) =
            page.rows.into_iter().partition(|row| is_history(row.table));
        if !history.is_empty() {
            store.import(history).await.map_err(failed)?;
        }
        receiving.state.extend(state);
        if page.last {
            return receiving.finish(halt).map(Some);
        }
        self.current = Some(receiving);
        Ok(None)
    }
}

impl Receiving {
    fn finish(self, halt: &Halt) -> Result<(RaftVote, Snapshot), String> {
        let mark = Mark {
            applied: Some(self.offer.last),
            hash: self.offer.hash,
            membership: self.offer.membership.encode(),
            membership_id: self.offer.membership_id,
        };
        let last_membership = stored_membership(&mark, halt).map_err(|e| e.to_string())?;
        let last_log_id = Some(kinds::log_id(self.offer.last));
        let meta = kinds::RaftSnapshotMeta { last_log_id, last_membership };
        let snapshot = Snapshot { meta, snapshot: SnapshotData::Received(mark, self.state) };
        Ok((kinds::vote(self.offer.vote), snapshot))
    }
}

fn is_history(table: Table) -> bool {
    matches!(table, Table::History | Table::SentIndex | Table::HistoryIndex | Table::Exports)
}
