//! openraft's state machine on top of a [`Machine`]: entries in, snapshots out
//! and in. It must not know what an item means.

use super::halt::Halt;
use super::kinds::{
    self, Kinds, RaftEntry, RaftLogId, RaftMembership, RaftSnapshotMeta, RaftStoredMembership,
};
use super::{Committed, Machine};
use crate::chat::ids::ClusterId;
use crate::limits;
use crate::store::{Store, StoreError};
use crate::wire::raft::{Batch, Membership};
use crate::wire::record::{LogId, Mark, Row};
use futures::{Stream, TryStreamExt as _};
use openraft::storage::{ApplyResponder, EntryResponder, RaftStateMachine};
use openraft::{EntryPayload, OptionalSend, RaftSnapshotBuilder, alias};
use std::io;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Instant;
use tokio::sync::{Mutex, MutexGuard, watch};

/// A snapshot as openraft carries it around: a reference, or what was received.
pub enum SnapshotData {
    /// This node's own state, taken when it is needed.
    Local(Arc<Mutex<Box<dyn Machine>>>),
    /// A received one, whose history the store already holds, invisible.
    Received(Mark, Vec<Row>),
}

/// openraft's snapshot of ours.
pub type Snapshot = alias::SnapshotOf<Kinds, SnapshotData>;

/// What the rest of the node sees of the applied state.
#[derive(Debug)]
pub struct Applied {
    last: watch::Sender<Option<LogId>>,
    known: StdMutex<Known>,
}

/// Facts that change only when entries are applied.
#[derive(Clone, Copy, Debug, Default)]
pub struct Known {
    /// The cluster and its generation, once founded.
    pub identity: Option<(ClusterId, u64)>,
    /// The time in the last batch, and when this node applied it.
    pub stamped: Option<(u64, Instant)>,
}

impl Applied {
    /// The last entry applied.
    pub fn last(&self) -> Option<LogId> {
        *self.last.borrow()
    }

    /// The facts.
    pub fn known(&self) -> Known {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when `index` is applied; false when the node is gone.
    pub async fn wait(&self, index: u64) -> bool {
        let mut last = self.last.subscribe();
        last.wait_for(|id| id.is_some_and(|id| id.index >= index)).await.is_ok()
    }

    fn set(&self, machine: &dyn Machine, stamped: Option<(u64, Instant)>) {
        {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.identity = machine.identity();
            known.stamped = stamped.or(known.stamped);
        }
        self.last.send_replace(machine.mark().applied);
    }
}

/// The state machine that openraft drives.
pub struct StateMachine {
    machine: Arc<Mutex<Box<dyn Machine>>>,
    applied: Arc<Applied>,
    store: Arc<dyn Store>,
    halt: Halt,
}

impl StateMachine {
    /// Drives `machine`, whose state lies in `store`.
    pub fn new(machine: Box<dyn Machine>, store: Arc<dyn Store>, halt: Halt) -> Self {
        let known = Known { identity: machine.identity(), stamped: None };
        let applied = Applied {
            last: watch::Sender::new(machine.mark().applied),
            known: StdMutex::new(known),
        };
        Self { machine: Arc::new(Mutex::new(machine)), applied: Arc::new(applied), store, halt }
    }

    /// What the rest of the node sees.
    pub fn applied(&self) -> Arc<Applied> {
        Arc::clone(&self.applied)
    }

    /// Waits for a write that is under way. After [`Halt::end`] it is the last one.
    pub fn quiet(&self) -> impl Future<Output = ()> + Send + use<> {
        let machine = Arc::clone(&self.machine);
        async move { drop(machine.lock().await) }
    }

    /// The machine, unless its store was found unavailable or the node has stopped. The state
    /// must not get ahead of a log that takes nothing any more.
    async fn writable(&self) -> io::Result<MutexGuard<'_, Box<dyn Machine>>> {
        let machine = self.machine.lock().await;
        if self.halt.is_over() {
            return Err(io::Error::other("the node has stopped"));
        }
        if let Err(error) = self.halt.check_store() {
            drop(machine);
            self.halt.wait_for_end().await;
            return Err(error);
        }
        Ok(machine)
    }

    /// Applies `entries` as one write, then answers whoever waits for them.
    async fn apply_page(&self, page: &mut Page) -> io::Result<()> {
        let entries = std::mem::take(&mut page.entries);
        if entries.is_empty() {
            return Ok(());
        }
        let mut machine = self.writable().await?;
        if let Err(error) = machine.apply(entries).await {
            drop(machine);
            return Err(self.halt.store_in_the_end(error).await);
        }
        let stamped = page.at_ms.take().map(|at| (at, Instant::now()));
        self.applied.set(machine.as_ref(), stamped);
        drop(machine);
        page.responders.drain(..).for_each(|responder| responder.send(()));
        page.bytes = 0;
        Ok(())
    }

    async fn meta(&self) -> io::Result<Option<RaftSnapshotMeta>> {
        let mark = self.machine.lock().await.mark();
        let Some(id) = mark.applied else { return Ok(None) };
        let last_membership = stored_membership(&mark, &self.halt)?;
        Ok(Some(RaftSnapshotMeta { last_log_id: Some(kinds::log_id(id)), last_membership }))
    }
}

/// Entries that are applied together.
#[derive(Default)]
struct Page {
    entries: Vec<Committed>,
    responders: Vec<ApplyResponder<Kinds>>,
    bytes: usize,
    at_ms: Option<u64>,
}

impl Page {
    fn add(
        &mut self,
        entry: &RaftEntry,
        responder: Option<ApplyResponder<Kinds>>,
        halt: &Halt,
    ) -> io::Result<()> {
        let id = kinds::plain_id(&entry.log_id);
        let mut committed = Committed { id, at_ms: 0, items: Vec::new(), membership: None };
        match &entry.payload {
            EntryPayload::Blank => {}
            EntryPayload::Normal(data) => {
                let batch = Batch::decode(data.0.clone()).map_err(|e| {
                    halt.store(StoreError::Corrupt(format!("log entry {} holds {e}", id.index)))
                })?;
                self.bytes += data.0.len();
                self.at_ms = Some(batch.at_ms);
                (committed.at_ms, committed.items) = (batch.at_ms, batch.items);
            }
            EntryPayload::Membership(m) => {
                committed.membership = Some(kinds::plain_membership(m).encode());
            }
        }
        self.entries.push(committed);
        self.responders.extend(responder);
        Ok(())
    }

    fn full(&self) -> bool {
        self.entries.len() >= limits::APPLY_ENTRIES || self.bytes >= limits::APPLY_BYTES
    }
}

/// The membership that a mark holds.
pub fn stored_membership(mark: &Mark, halt: &Halt) -> io::Result<RaftStoredMembership> {
    let Some(id) = mark.membership_id else { return Ok(RaftStoredMembership::default()) };
    let plain = Membership::decode(mark.membership.clone()).map_err(|e| {
        halt.store(StoreError::Corrupt(format!("the membership in the state is {e}")))
    })?;
    let membership: RaftMembership = kinds::membership(&plain);
    Ok(RaftStoredMembership::new(Some(kinds::log_id(id)), membership))
}

impl RaftStateMachine<Kinds> for StateMachine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Builder;

    async fn applied_state(
        &mut self,
    ) -> Result<(Option<RaftLogId>, RaftStoredMembership), io::Error> {
        let mark = self.machine.lock().await.mark();
        Ok((mark.applied.map(kinds::log_id), stored_membership(&mark, &self.halt)?))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<Kinds>, io::Error>> + Unpin + OptionalSend,
    {
        let mut page = Page::default();
        while let Some((entry, responder)) = entries.try_next().await? {
            page.add(&entry, responder, &self.halt)?;
            if page.full() {
                self.apply_page(&mut page).await?;
            }
        }
        self.apply_page(&mut page).await
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            meta: self.meta().await,
            machine: Arc::clone(&self.machine),
            store: Arc::clone(&self.store),
            halt: self.halt.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        _: &RaftSnapshotMeta,
        snapshot: SnapshotData,
    ) -> Result<(), io::Error> {
        let (mark, rows) = match snapshot {
            SnapshotData::Received(mark, rows) => (mark, rows),
            SnapshotData::Local(machine) => {
                let machine = machine.lock().await;
                (machine.mark(), machine.state_rows())
            }
        };
        let mut machine = self.writable().await?;
        let installed = match self.store.install(mark, rows).await {
            Ok(()) => machine.reload().await,
            failed => failed,
        };
        if let Err(error) = installed {
            drop(machine);
            return Err(self.halt.store_in_the_end(error).await);
        }
        self.applied.set(machine.as_ref(), None);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        let snapshot = SnapshotData::Local(Arc::clone(&self.machine));
        Ok(self.meta().await?.map(|meta| Snapshot { meta, snapshot }))
    }
}

/// Makes the state durable; that is all a snapshot needs.
pub struct Builder {
    meta: io::Result<Option<RaftSnapshotMeta>>,
    machine: Arc<Mutex<Box<dyn Machine>>>,
    store: Arc<dyn Store>,
    halt: Halt,
}

impl RaftSnapshotBuilder<Kinds> for Builder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let meta = std::mem::replace(&mut self.meta, Ok(None))?.unwrap_or_default();
        if let Err(error) = self.store.persist().await {
            return Err(self.halt.store_in_the_end(error).await);
        }
        Ok(Snapshot { meta, snapshot: SnapshotData::Local(Arc::clone(&self.machine)) })
    }
}
