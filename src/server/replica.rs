//! The chat as Raft's state machine: decodes what is committed, applies it,
//! writes it down and then tells the hub. The only writer of the state. It must
//! not know sessions, sockets or elections.

use super::hub::{Audience, Hub, Note, Posted};
use crate::chat::changes::Applied;
use crate::chat::command::Command;
use crate::chat::event::Event;
use crate::chat::ids::{ClusterId, ConversationId, DeviceId, UserId};
use crate::chat::state::{FORMAT, State};
use crate::chat::write::Write;
use crate::raft::{Committed, Machine};
use crate::store::record::{Mark, Row, Table};
use crate::store::{Store, StoreError};
use crate::wire::{client, log, stored};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;
use tokio::sync::watch;

/// The state and how far it has come.
#[derive(Clone, Debug, Default)]
pub struct Replicated {
    /// Everything that apply knows.
    pub state: State,
    /// Index of the last entry applied.
    pub applied: u64,
}

/// Reads the state. A read is short: nothing waits while it is open.
#[derive(Clone, Debug, Default)]
pub struct StateReader {
    inner: Arc<RwLock<Replicated>>,
    /// Counts what is new about other clusters.
    linked: Arc<watch::Sender<u64>>,
}

impl StateReader {
    /// A reader of a state that nobody changes any more.
    #[must_use]
    pub fn fixed(state: State, applied: u64) -> Self {
        let inner = Arc::new(RwLock::new(Replicated { state, applied }));
        Self { inner, linked: Arc::default() }
    }

    /// Looks at the state.
    pub fn read<R>(&self, look: impl FnOnce(&Replicated) -> R) -> R {
        look(&self.inner.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The cluster's id and generation, once founded.
    #[must_use]
    pub fn identity(&self) -> Option<(ClusterId, u64)> {
        self.read(|r| {
            let meta = r.state.meta();
            (meta.cluster != ClusterId::default()).then_some((meta.cluster, meta.generation))
        })
    }

    /// Changes whenever something about another cluster does, once it can be read in the store.
    #[must_use]
    pub fn linked(&self) -> watch::Receiver<u64> {
        self.linked.subscribe()
    }

    pub(super) fn write<R>(&self, change: impl FnOnce(&mut Replicated) -> R) -> R {
        change(&mut self.inner.write().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The machine that a node applies its log to.
pub struct Replica {
    reader: StateReader,
    store: Arc<dyn Store>,
    hub: Hub,
    mark: Mark,
    cluster_name: String,
    /// How long batches of entries take.
    times: metrics::Histogram,
}

impl Replica {
    /// Loads the state from the store.
    ///
    /// # Errors
    /// When the store cannot be read, or was written by a newer program.
    pub async fn load(
        store: Arc<dyn Store>,
        hub: Hub,
        cluster_name: String,
    ) -> Result<(Self, StateReader), StoreError> {
        let reader = StateReader::default();
        let mark = Mark::default();
        let times = metrics::histogram!("rustchat_raft_apply_duration_seconds");
        let mut replica = Self { reader: reader.clone(), store, hub, mark, cluster_name, times };
        replica.reload().await?;
        Ok((replica, reader))
    }

    /// Applies one entry to the state; nothing is written or told yet.
    fn step(&mut self, entry: &Committed) -> Result<Step, StoreError> {
        let index = entry.id.index;
        let commands = decode(index, &entry.items)?;
        let (mut notes, mut linked) = (Vec::new(), false);
        let applied = self.reader.write(|r| {
            r.applied = index;
            // Raft's own entries change nothing, not even the time.
            let applied = if commands.is_empty() {
                Applied::default()
            } else {
                r.state.apply(entry.at_ms, &commands)
            };
            linked = applied.events.iter().any(|event| matches!(event, Event::Linked { .. }));
            audiences(&r.state, applied.events, &mut notes);
            applied.writes
        });
        let rows: Vec<Row> = applied.iter().flat_map(|write| stored::rows(index, write)).collect();
        let pushes = rows.iter().filter(|row| row.table == Table::History);
        let pushes = pushes.filter_map(|row| {
            let (conversation, _) = stored::parse_history_key(&row.key).ok()?;
            Some((conversation, client::encode_push(&row.value)))
        });
        fill_in(&mut notes, &pushes.collect());
        self.mark.applied = Some(entry.id);
        self.mark.hash = stored::next_hash(&self.mark.hash, &rows);
        if let Some(membership) = &entry.membership {
            self.mark.membership = membership.clone();
            self.mark.membership_id = Some(entry.id);
        }
        Ok(Step { index, writes: applied, rows, notes, linked })
    }
}

/// What an entry did.
struct Step {
    index: u64,
    writes: Vec<Write>,
    rows: Vec<Row>,
    notes: Vec<(Audience, Note)>,
    /// Something about another cluster is new.
    linked: bool,
}

#[async_trait]
impl Machine for Replica {
    async fn apply(&mut self, entries: Vec<Committed>) -> Result<(), StoreError> {
        let begin = Instant::now();
        for entry in &entries {
            let step = self.step(entry)?;
            self.store.commit(self.mark.clone(), step.writes, step.rows).await?;
            self.hub.publish(step.index, step.notes);
            if step.linked {
                self.reader.linked.send_modify(|count| *count += 1);
            }
        }
        self.times.record(begin.elapsed().as_secs_f64());
        Ok(())
    }

    fn mark(&self) -> Mark {
        self.mark.clone()
    }

    fn state_rows(&self) -> Vec<Row> {
        let index = self.mark.applied.map_or(0, |id| id.index);
        self.reader.read(|r| r.state.rows().flat_map(|w| stored::rows(index, &w)).collect())
    }

    async fn reload(&mut self) -> Result<(), StoreError> {
        let mut state = State::default();
        for row in self.store.load().await? {
            state.load(row);
        }
        let format = state.meta().format;
        if format > FORMAT {
            return Err(StoreError::Corrupt(format!(
                "the state has format {format}, and this program knows formats up to {FORMAT}: \
                 run the newer program"
            )));
        }
        self.mark = self.store.mark();
        let applied = self.mark.applied.map_or(0, |id| id.index);
        self.reader.write(|r| *r = Replicated { state, applied });
        self.hub.all_behind();
        self.reader.linked.send_modify(|count| *count += 1);
        Ok(())
    }

    fn founding_item(&self) -> Bytes {
        let cluster = ClusterId(rand::random());
        let name = self.cluster_name.clone();
        log::encode_command(&Command::Found { cluster, name })
    }

    fn identity(&self) -> Option<(ClusterId, u64)> {
        self.reader.identity()
    }
}

fn decode(index: u64, items: &[Bytes]) -> Result<Vec<Command>, StoreError> {
    let read = |item: &Bytes| {
        log::decode_command(item.clone()).map_err(|error| {
            StoreError::Corrupt(format!(
                "entry {index} of the log holds {error}: it was written by a newer program, or \
                 is damaged; it is not skipped, since the servers' states would differ"
            ))
        })
    };
    items.iter().map(read).collect()
}

/// Who must hear of which event; the pushes are filled in later.
fn audiences(state: &State, events: Vec<Event>, notes: &mut Vec<(Audience, Note)>) {
    let members = |conversation: ConversationId| {
        let room = state.conversation(conversation);
        let members: Arc<[UserId]> = room.map_or(&[][..], |r| &r.row.members[..]).into();
        Audience::Users(members)
    };
    for event in events {
        let audience = match &event {
            Event::Founded | Event::Linked { .. } => continue,
            Event::Attached { device, epoch, .. } => Audience::Attached(*device, *epoch),
            Event::DeviceRefused { device, .. } => Audience::Arriving(*device),
            Event::Revoked { device, epoch } => Audience::Revoked(*device, *epoch),
            Event::Changed { device, .. }
            | Event::Outcome { device, .. }
            | Event::Repeated { device, .. }
            | Event::Expected { device, .. } => Audience::Device(*device),
            Event::Opened { conversation }
            | Event::Posted { conversation, .. }
            | Event::Marked { conversation, .. } => members(*conversation),
        };
        let note = match event {
            Event::Posted { conversation, runs } => Note::Posted(Posted {
                conversation,
                first_seq: runs.first().map_or(0, |run| run.first_seq),
                last_seq: runs.last().map_or(0, crate::chat::message::Run::last_seq),
                only: only_device(runs.iter().map(|run| run.device)),
                push: None,
            }),
            event => Note::Event(event),
        };
        notes.push((audience, note));
    }
}

fn only_device(mut devices: impl Iterator<Item = DeviceId>) -> Option<DeviceId> {
    let first = devices.next()?;
    devices.all(|device| device == first).then_some(first)
}

fn fill_in(notes: &mut [(Audience, Note)], pushes: &BTreeMap<ConversationId, Bytes>) {
    for (_, note) in notes {
        if let Note::Posted(posted) = note {
            posted.push = pushes.get(&posted.conversation).cloned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::scripts;
    use crate::store::memory::Memory;
    use crate::store::record::LogId;

    fn entry(index: u64, at_ms: u64, items: Vec<Bytes>) -> Committed {
        Committed { id: LogId { term: 1, index }, at_ms, items, membership: None }
    }

    async fn replica(store: &Arc<dyn Store>) -> (Replica, StateReader) {
        let name = "west".to_owned();
        Replica::load(Arc::clone(store), Hub::default(), name).await.unwrap()
    }

    #[test]
    fn a_replica_that_starts_again_is_where_it_was() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        scripts::seeds(100, |rng| {
            let log = scripts::log(rng, 30);
            runtime.block_on(async {
                let store: Arc<dyn Store> = Arc::new(Memory::new(1));
                let (mut one, state) = replica(&store).await;
                for (index, (at_ms, commands)) in (1..).zip(&log) {
                    let items = commands.iter().map(log::encode_command).collect();
                    one.apply(vec![entry(index, *at_ms, items)]).await.unwrap();
                }
                let (two, again) = replica(&store).await;
                assert_eq!(two.mark(), one.mark());
                assert_eq!(two.state_rows(), one.state_rows());
                state.read(|a| {
                    again.read(|b| assert_eq!((&a.state, a.applied), (&b.state, b.applied)))
                });
            });
        });
    }

    #[tokio::test]
    async fn an_item_that_cannot_be_read_stops_the_replica_and_changes_nothing() {
        let store: Arc<dyn Store> = Arc::new(Memory::new(1));
        let (mut replica, state) = replica(&store).await;
        let found = replica.founding_item();
        replica.apply(vec![entry(1, 1, vec![found])]).await.unwrap();
        let before = (replica.mark(), replica.state_rows());
        // A field of a newer command, a broken one, and none at all.
        for bad in [&[0xba, 0x06, 0x00][..], &[0x0a, 0xff], &[]] {
            let stopped = replica.apply(vec![entry(2, 2, vec![Bytes::copy_from_slice(bad)])]).await;
            assert!(matches!(stopped, Err(StoreError::Corrupt(_))), "{bad:?}: {stopped:?}");
            assert_eq!((replica.mark(), replica.state_rows()), before);
            assert_eq!(state.read(|r| r.applied), 1);
        }
    }
}
