//! The history on disk, in two keyspaces: `history-N`, the rows of messages, and
//! `index-N` (history index, send index, hashes, what other clusters are told), where N
//! rises when a snapshot replaces them. It must not know what is in memory.
//!
//! `index` notes the last log index it holds. `history` does not: a row at the same place
//! in each of its tables would make each overlap all others, and every compaction would
//! rewrite everything. It holds all up to a log index where it holds what the last row of
//! `index` up to there tells of, for its rows come in the order of the log.

use super::behind::number;
use super::state::{MEMTABLE, failed};
use crate::chat::ids::ConversationId;
use crate::store::record::{Mark, Row, Table};
use crate::store::{StoreError, tables};
use crate::wire::stored;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, KvSeparationOptions, OwnedWriteBatch};

/// Bytes of rows of messages in memory before they are written out: they take most.
const HISTORY_MEMTABLE: u64 = 8 << 20;

const UPTO: [u8; 1] = [0];

/// See the module.
#[derive(Clone)]
pub(super) struct History {
    pub(super) generation: u64,
    runs: Keyspace,
    pub(super) index: Keyspace,
}

/// The key of a row in its keyspace: the number of its table comes first.
pub(super) fn key_of(table: u8, key: &[u8]) -> Vec<u8> {
    let mut full = Vec::with_capacity(1 + key.len());
    full.push(table);
    full.extend_from_slice(key);
    full
}

impl History {
    /// Opens both keyspaces; makes them where there are none.
    pub(super) fn open(db: &Database, generation: u64) -> Result<Self, StoreError> {
        let runs = db.keyspace(&format!("history-{generation}"), || {
            KeyspaceCreateOptions::default()
                .max_memtable_size(HISTORY_MEMTABLE)
                .with_kv_separation(Some(KvSeparationOptions::default()))
        });
        let index = db.keyspace(&format!("index-{generation}"), || {
            KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE)
        });
        Ok(Self { generation, runs: runs.map_err(failed)?, index: index.map_err(failed)? })
    }

    pub(super) fn keyspace(&self, table: Table) -> &Keyspace {
        if table == Table::History { &self.runs } else { &self.index }
    }

    pub(super) fn put(&self, batch: &mut OwnedWriteBatch, row: &Row) {
        let key = key_of(number(row.table), &row.key);
        batch.insert(self.keyspace(row.table), key, row.value.as_ref());
    }

    /// Notes that everything up to `mark` is here.
    pub(super) fn put_upto(&self, batch: &mut OwnedWriteBatch, mark: &Mark) {
        if let Some(applied) = mark.applied {
            batch.insert(&self.index, UPTO, applied.index.to_be_bytes());
        }
    }

    /// Whether everything up to `mark` is here.
    pub(super) fn reaches(&self, mark: &Mark) -> Result<bool, StoreError> {
        let Some(applied) = mark.applied else { return Ok(true) };
        let upto = self.index.get(UPTO).map_err(failed)?;
        let upto = upto.as_deref().and_then(|bytes| bytes.try_into().ok());
        if upto.map(u64::from_be_bytes) < Some(applied.index) {
            return Ok(false);
        }
        match self.last_run(applied.index)? {
            Some(key) => self.runs.contains_key(key).map_err(failed),
            None => Ok(true),
        }
    }

    /// The key of the last row of history up to the entry at `index`, as the index tells it. A row
    /// is the same however often its entry is applied; so where this one is, all before it are.
    fn last_run(&self, index: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let table = number(Table::HistoryIndex);
        let key = |index, conversation| {
            key_of(table, &stored::history_index_key(index, ConversationId(conversation)))
        };
        for row in self.index.range(key(0, 0)..=key(index, u64::MAX)).rev() {
            let (key, value) = row.into_inner().map_err(failed)?;
            let (table, told) = tables::told_by(key.get(1..).unwrap_or_default(), &value)?;
            // What another cluster is told is in `index` too.
            if table == Table::History {
                return Ok(Some(key_of(number(table), &told)));
            }
        }
        Ok(None)
    }

    pub(super) fn delete(self, db: &Database) -> Result<(), StoreError> {
        db.delete_keyspace(self.runs).map_err(failed)?;
        db.delete_keyspace(self.index).map_err(failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::samples::{Sample, Step};

    /// The rows of a step that belong to one of the keyspaces.
    fn write(history: &History, db: &Database, step: &Step, messages: bool) {
        let mut batch = db.batch();
        let ours = |row: &&Row| !tables::is_small(row.table);
        let ours = step.rows.iter().filter(ours);
        ours.filter(|row| (row.table == Table::History) == messages)
            .for_each(|row| history.put(&mut batch, row));
        if !messages {
            history.put_upto(&mut batch, &step.mark);
        }
        batch.commit().unwrap();
    }

    #[test]
    fn whatever_a_loss_of_power_took_from_either_keyspace_is_missed() {
        let mut sample = Sample::new();
        let mut steps = vec![sample.found(), sample.send(&["a", "b"]), sample.read_by_bob(1)];
        steps.extend([sample.send(&["c"]), sample.link(), sample.send(&["d"])]);
        steps.extend([sample.tell(&["e", "f"]), sample.read_by_bob(2), sample.answered("g")]);
        let holds = |step: &Step| step.rows.iter().any(|row| row.table == Table::History);
        let (dir, mut missed) = (tempfile::tempdir().unwrap(), 0);
        let db = Database::builder(dir.path()).open().unwrap();
        for (generation, messages) in (0..).zip(0..=steps.len()) {
            let history = History::open(&db, generation).unwrap();
            steps.iter().take(messages).for_each(|step| write(&history, &db, step, true));
            for index in 0..steps.len() {
                write(&history, &db, &steps[index], false);
                for (mark, step) in steps.iter().enumerate() {
                    let lost = steps.iter().take(mark + 1).skip(messages).any(holds);
                    let there = mark <= index && !lost;
                    assert_eq!(
                        history.reaches(&step.mark).unwrap(),
                        there,
                        "index {index}, messages {messages}, mark {mark}"
                    );
                    missed += u32::from(lost && mark <= index);
                }
            }
        }
        assert!(missed > 50, "{missed}");
    }
}
