//! Whether what a stopped server left fits together: the log, how far the state has come,
//! the history, and the rolling hash. It must not know where the data lies.

use super::exports::Exports;
use super::{Decode, Head};
use crate::chat::ids::ConversationId;
use crate::chat::message::Run;
use crate::chat::state::State;
use crate::chat::write::Write;
use crate::store::StoreError;
use crate::store::record::{LogBounds, LogEntry, Row, Table};
use crate::wire::{WireError, stored};
use std::collections::BTreeMap;

/// The first thing that does not fit in log and marks.
pub(super) fn log(head: &Head, entries: &BTreeMap<u64, LogEntry>) -> Option<String> {
    let LogBounds { purged, last } = head.bounds;
    let mut next = purged.map_or(0, |id| id.index + 1);
    let mut term = purged.map_or(0, |id| id.term);
    for (index, entry) in entries {
        if *index != next || entry.id.index != *index {
            return Some(format!("the log has no entry {next}"));
        }
        if entry.id.term < term {
            return Some(format!("entry {index} of the log has an older term than the one before"));
        }
        (next, term) = (index + 1, entry.id.term);
    }
    let end = last.map_or(0, |id| id.index + 1);
    if next != end {
        return Some(format!("the log ends before entry {next}, but was written up to {end}"));
    }
    if let Some(applied) = head.mark.applied {
        if Some(applied) > last {
            return Some(format!("the state has come to {}, the log has not", applied.index));
        }
        if purged.is_some_and(|purged| purged.index > applied.index) {
            return Some(format!("the log begins after entry {}, the last applied", applied.index));
        }
        if entries.get(&applied.index).is_some_and(|entry| entry.id != applied) {
            return Some(format!("entry {} of the log is not the one applied", applied.index));
        }
    }
    None
}

/// Follows the history of every conversation: no seq may be missing.
#[derive(Default)]
pub(super) struct History {
    next: BTreeMap<ConversationId, u64>,
    exports: Exports,
    digest: Digest,
    broken: Option<String>,
}

/// Of rows of history, in the order of entries and conversations.
#[derive(Default)]
struct Digest(blake3::Hasher);

impl Digest {
    fn take(&mut self, row: &Row) {
        for part in [&row.key, &row.value] {
            self.0.update(&(part.len() as u64).to_be_bytes());
            self.0.update(part);
        }
    }
}

impl History {
    /// Takes the next row, in the order in which a store exports them.
    pub(super) fn row(&mut self, row: &Row) {
        self.digest.take(row);
    }

    /// Takes the next row of what another cluster is told.
    ///
    /// # Errors
    /// The row cannot be read.
    pub(super) fn told(&mut self, row: &Row) -> Result<(), WireError> {
        self.row(row);
        self.exports.take(row)
    }

    /// Takes the next messages of a conversation.
    pub(super) fn take(&mut self, run: &Run) {
        let next = self.next.entry(run.conversation).or_insert(1);
        if run.first_seq != *next && self.broken.is_none() {
            self.broken = Some(format!("conversation {} has no seq {next}", run.conversation));
        }
        *next = run.last_seq() + 1;
    }

    /// The first thing that does not fit with the state.
    pub(super) fn end(&self, state: &State) -> Option<String> {
        let rows = state.rows().filter_map(|row| match row {
            Write::Conversation(room) => Some(room),
            _ => None,
        });
        let mut short = rows.filter_map(|room| {
            let has = self.next.get(&room.id).map_or(0, |next| next.saturating_sub(1));
            (has != room.last_seq).then(|| {
                format!("conversation {} ends at seq {has}, not {}", room.id, room.last_seq)
            })
        });
        let short = short.next();
        self.broken.clone().or(short).or_else(|| self.exports.end(state))
    }
}

/// How far the rolling hash could be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// From the first entry of the log: state and hash are what the log makes of them.
    Whole,
    /// The log's beginning is purged: the hash is the one noted with its entry.
    Noted,
}

/// Applies the log from its first entry on, where it is all there, and compares.
///
/// # Errors
/// An entry cannot be read.
pub(super) fn replay(
    head: &Head,
    entries: &BTreeMap<u64, LogEntry>,
    small: &State,
    history: &History,
    decode: Decode<'_>,
) -> Result<(Replay, Option<String>), StoreError> {
    let Some(applied) = head.mark.applied else { return Ok((Replay::Whole, None)) };
    if head.bounds.purged.is_some() {
        return Ok((Replay::Noted, None));
    }
    let (mut state, mut hash, mut digest) = (State::default(), [0; 32], Digest::default());
    for (index, entry) in entries.range(..=applied.index) {
        let (at_ms, commands) = decode(entry)?;
        let mut rows: Vec<Row> = Vec::new();
        // Raft's own entries change nothing, not even the time.
        if !commands.is_empty() {
            let writes = state.apply(at_ms, &commands).writes;
            rows.extend(writes.iter().flat_map(|write| stored::rows(*index, write)));
        }
        hash = stored::next_hash(&hash, &rows);
        rows.retain(|row| matches!(row.table, Table::History | Table::Exports));
        // As a store exports them.
        rows.sort_by_key(|row| row.table);
        rows.iter().for_each(|row| digest.take(row));
    }
    let broken = if hash != head.mark.hash {
        Some(format!("the rolling hash at entry {} is not what the log makes", applied.index))
    } else if !state.rows().eq(small.rows()) {
        Some(format!("the state at entry {} is not what the log makes", applied.index))
    } else if digest.0.finalize() != history.digest.0.finalize() {
        Some("the messages, or what other clusters are told, are not those of the log".to_owned())
    } else {
        None
    };
    Ok((Replay::Whole, broken))
}
