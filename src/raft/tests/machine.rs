//! A small state machine: every item of every entry becomes a message of one
//! conversation, so that history, small state and hash are real.

use crate::chat::ids::{ClusterId, ConversationId, DeviceId, UserId};
use crate::chat::message::{Body, Run};
use crate::chat::write::{Conversation, Kind, Meta, SentIndex, Write};
use crate::raft::{Committed, Machine};
use crate::store::{Store, StoreError};
use crate::wire::record::{Mark, Row};
use crate::wire::stored;
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;

const ROOM: ConversationId = ConversationId(1);
const FOUND: &[u8] = b"found ";

pub struct Journal {
    store: Arc<dyn Store>,
    meta: Option<Meta>,
    last_seq: u64,
    mark: Mark,
    cluster: ClusterId,
}

impl Journal {
    pub async fn load(store: Arc<dyn Store>) -> Self {
        let cluster = ClusterId(rand::random());
        let mark = Mark::default();
        let mut journal = Self { store, meta: None, last_seq: 0, mark, cluster };
        journal.reload().await.unwrap();
        journal
    }

    fn conversation(&self) -> Write {
        Write::Conversation(Conversation {
            id: ROOM,
            kind: Kind::Room,
            members: Vec::new(),
            last_seq: self.last_seq,
            title: "room".into(),
            trail: Vec::new(),
        })
    }

    fn one(&mut self, entry: &Committed) -> Vec<Write> {
        let mut bodies = Vec::new();
        let mut writes = Vec::new();
        for item in &entry.items {
            match item.strip_prefix(FOUND) {
                Some(id) => {
                    let cluster = ClusterId(id.try_into().unwrap());
                    let meta = Meta { cluster, generation: 1, ..Meta::default() };
                    self.meta.get_or_insert(meta);
                    writes.extend(self.meta.clone().map(Write::Meta));
                }
                None => bodies.push(Body { kind: 2, data: item.clone(), refers_to: None }),
            }
        }
        if bodies.is_empty() {
            return writes;
        }
        let run = Run {
            conversation: ROOM,
            first_seq: self.last_seq + 1,
            at_ms: entry.at_ms,
            sender: UserId::default(),
            origin: ClusterId::default(),
            device: DeviceId::default(),
            group: 0,
            first_number: self.last_seq + 1,
            bodies,
        };
        self.last_seq = run.last_seq();
        writes.push(Write::SentIndex(SentIndex {
            device: run.device,
            group: run.group,
            first_number: run.first_number,
            last_number: self.last_seq,
            conversation: ROOM,
            first_seq: run.first_seq,
            at_ms: run.at_ms,
        }));
        writes.push(Write::History { conversation: ROOM, runs: vec![run] });
        writes.push(self.conversation());
        writes
    }
}

#[async_trait]
impl Machine for Journal {
    async fn apply(&mut self, entries: Vec<Committed>) -> Result<(), StoreError> {
        let (mut all, mut rows) = (Vec::new(), Vec::new());
        for entry in entries {
            assert!(Some(entry.id) > self.mark.applied, "applied twice: {entry:?}");
            let writes = self.one(&entry);
            let new: Vec<Row> =
                writes.iter().flat_map(|w| stored::rows(entry.id.index, w)).collect();
            self.mark.hash = stored::next_hash(&self.mark.hash, &new);
            self.mark.applied = Some(entry.id);
            if let Some(membership) = entry.membership {
                self.mark.membership = membership;
                self.mark.membership_id = Some(entry.id);
            }
            all.extend(writes);
            rows.extend(new);
        }
        self.store.commit(self.mark.clone(), all, rows).await
    }

    fn mark(&self) -> Mark {
        self.mark.clone()
    }

    fn state_rows(&self) -> Vec<Row> {
        let meta = self.meta.clone().map(Write::Meta);
        let writes = meta.into_iter().chain([self.conversation()]);
        writes.flat_map(|w| stored::rows(0, &w)).collect()
    }

    async fn reload(&mut self) -> Result<(), StoreError> {
        self.mark = self.store.mark();
        for write in self.store.load().await? {
            match write {
                Write::Meta(meta) => self.meta = Some(meta),
                Write::Conversation(c) => self.last_seq = c.last_seq,
                other => panic!("not written by this machine: {other:?}"),
            }
        }
        Ok(())
    }

    fn founding_item(&self) -> Bytes {
        [FOUND, &self.cluster.0].concat().into()
    }

    fn identity(&self) -> Option<(ClusterId, u64)> {
        self.meta.as_ref().map(|meta| (meta.cluster, meta.generation))
    }
}

/// Everything that was ever said, in order: up to the conversation's last message, for what
/// lies above it is invisible.
pub async fn said(store: &dyn Store) -> Vec<Bytes> {
    let last = store.load().await.unwrap().into_iter().find_map(|write| match write {
        Write::Conversation(c) => Some(c.last_seq),
        _ => None,
    });
    let (last, mut next, mut said) = (last.unwrap_or_default(), 1, Vec::new());
    while next <= last {
        let page = store.history(ROOM, next, last, 1 << 20).await.unwrap();
        assert!(!page.is_empty(), "message {next} of {last} is missing");
        for (_, value) in page {
            for run in stored::decode_runs(value).unwrap().0 {
                assert_eq!(run.first_seq, next, "a gap, or a repeat");
                next += run.count();
                said.extend(run.bodies.into_iter().map(|body| body.data));
            }
        }
    }
    said
}
