//! A snapshot on its way to a follower that lacks what the log no longer holds:
//! the history above the follower's own mark where its hash agrees, else all of
//! it, then the small state. It must not know when a snapshot is due.

use super::kinds::{self, RaftVote, plain_vote};
use super::machine::{Snapshot, SnapshotData, stored_membership};
use super::mesh::Mesh;
use super::shared::{Shared, seat_of};
use crate::chat::ids::ConversationId;
use crate::limits;
use crate::store::StoreError;
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
    let mut sending = Sending { mesh, seat, session: wanted.session, number: 0, all: false };
    sending.history(shared, &wanted, offer.last.index).await.map_err(|e| match e {
        SendError::Store(e) => shared.halt.store(e).to_string(),
        SendError::Peer(why) => why,
    })?;
    tracing::info!(seat, upto = offer.last.index, all = sending.all, "sending a snapshot");
    sending.state(state).await
}

fn offer(mark: &Mark, vote: &RaftVote) -> Result<SnapshotOffer, String> {
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

/// A transfer, as its sender sees it.
struct Sending {
    mesh: Mesh,
    seat: u32,
    session: u64,
    number: u64,
    all: bool,
}

/// Why a transfer broke off.
enum SendError {
    Store(StoreError),
    Peer(String),
}

impl From<StoreError> for SendError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl Sending {
    async fn history(
        &mut self,
        shared: &Shared,
        wanted: &SnapshotWanted,
        upto: u64,
    ) -> Result<(), SendError> {
        let mut after = None;
        if let Some(above) = wanted.above {
            let ours = shared.store.hash_at(above).await?;
            if ours == Some(wanted.hash) {
                after = Some((above, ConversationId(u64::MAX)));
            }
        }
        self.all = after.is_none();
        // Page 0 tells the receiver how to begin, also where it brings nothing.
        self.page(Vec::new(), false, PAGE_TIME).await.map_err(SendError::Peer)?;
        while let Some((rows, place)) =
            shared.store.export(after, upto, limits::SNAPSHOT_PAGE).await?
        {
            self.page(rows, false, PAGE_TIME).await.map_err(SendError::Peer)?;
            after = Some(place);
        }
        Ok(())
    }

    async fn state(&mut self, state: Vec<Row>) -> Result<RaftVote, String> {
        let (mut page, mut bytes) = (Vec::new(), 0);
        for row in state {
            bytes += row.key.len() + row.value.len();
            page.push(row);
            if bytes >= limits::SNAPSHOT_PAGE {
                self.page(std::mem::take(&mut page), false, PAGE_TIME).await?;
                bytes = 0;
            }
        }
        let done = self.page(page, true, INSTALL_TIME).await?;
        done.vote.map(kinds::vote).ok_or_else(|| "the receiver did not install it".into())
    }

    async fn page(
        &mut self,
        rows: Vec<Row>,
        last: bool,
        deadline: Duration,
    ) -> Result<SnapshotDone, String> {
        let Self { session, number, all, .. } = *self;
        self.number += 1;
        let payload = SnapshotRows { session, number, rows, all, last }.encode();
        let answer = call(&self.mesh, self.seat, MessageKind::SnapshotRows, payload, deadline);
        let done = SnapshotDone::decode(answer.await?).map_err(|e| e.to_string())?;
        done.error.clone().map_or(Ok(done), Err)
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
        shared: &Shared,
        from: u32,
        page: SnapshotRows,
    ) -> Result<Option<(RaftVote, Snapshot)>, String> {
        let mut receiving = self.current.take().ok_or("no transfer is open")?;
        let expected = (receiving.session, receiving.from, receiving.next);
        if expected != (page.session, from, page.number) {
            return Err("the transfer was replaced by another".into());
        }
        receiving.next += 1;
        let store = |e: StoreError| shared.halt.store(e).to_string();
        if page.number == 0 {
            shared.store.begin_import(page.all).await.map_err(store)?;
        }
        let (history, state): (Vec<_>, Vec<_>) =
            page.rows.into_iter().partition(|row| is_history(row.table));
        if !history.is_empty() {
            shared.store.import(history).await.map_err(store)?;
        }
        receiving.state.extend(state);
        if page.last {
            return receiving.finish(shared).map(Some);
        }
        self.current = Some(receiving);
        Ok(None)
    }
}

impl Receiving {
    fn finish(self, shared: &Shared) -> Result<(RaftVote, Snapshot), String> {
        let mark = Mark {
            applied: Some(self.offer.last),
            hash: self.offer.hash,
            membership: self.offer.membership.encode(),
            membership_id: self.offer.membership_id,
        };
        let last_membership = stored_membership(&mark, &shared.halt).map_err(|e| e.to_string())?;
        let last_log_id = Some(kinds::log_id(self.offer.last));
        let meta = kinds::RaftSnapshotMeta { last_log_id, last_membership };
        let snapshot = Snapshot { meta, snapshot: SnapshotData::Received(mark, self.state) };
        Ok((kinds::vote(self.offer.vote), snapshot))
    }
}

fn is_history(table: Table) -> bool {
    matches!(table, Table::History | Table::SentIndex | Table::HistoryIndex)
}
