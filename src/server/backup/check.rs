//! Reads a backup from end to end and says whether all of it is there and fits together. It
//! must not know where it lies.

use super::file::{Kind, Reader, decode_rows};
use super::manifest::{Counts, FORMAT, Head, unhex};
use super::source::count;
use super::{BackupError, damaged};
use crate::chat::ids::{ClusterId, ConversationId};
use crate::chat::link::LinkNumber;
use crate::chat::state::{self, State};
use crate::chat::write::{SentIndex, Write};
use crate::store::check::Exports;
use crate::store::record::{Row, Table};
use crate::wire::stored;
use std::collections::BTreeMap;
use std::io::Read;

/// A backup that is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What it says of itself.
    pub head: Head,
    /// What is in it.
    pub counts: Counts,
}

/// Reads a backup's pieces and their checksums, and hands on every page of rows; what they mean
/// is not looked at.
///
/// # Errors
/// It is damaged or cannot be read, or `take` fails.
pub fn inspect(
    from: impl Read,
    mut take: impl FnMut(&Head, Vec<Row>) -> Result<(), BackupError>,
) -> Result<Checked, BackupError> {
    let mut reader = Reader::new(from)?;
    let (Kind::Head, head) = reader.piece()? else { return Err(damaged("it has no head")) };
    let head: Head = serde_json::from_slice(&head).map_err(damaged)?;
    if head.format != FORMAT {
        let text = format!("it has format {}: use the program that made it", head.format);
        return Err(BackupError::Refused(text));
    }
    let mut counted = Counts::default();
    loop {
        let pieces = reader.pieces;
        match reader.piece()? {
            (Kind::Rows, payload) => {
                let rows = decode_rows(payload)?;
                rows.iter().try_for_each(|row| count(&mut counted, row))?;
                take(&head, rows)?;
            }
            (Kind::Counts, payload) => {
                let counts: Counts = serde_json::from_slice(&payload).map_err(damaged)?;
                counted.pieces = pieces;
                if counts != counted {
                    return Err(damaged("it holds another number of rows than it says"));
                }
                reader.end()?;
                return Ok(Checked { head, counts });
            }
            (Kind::Head, _) => return Err(damaged("it has two heads")),
        }
    }
}

/// Reads all of a backup and checks that it fits together: every row can be read, no message is
/// missing, and the state is that of the history.
///
/// # Errors
/// It is damaged or cannot be read.
pub fn check(from: impl Read) -> Result<Checked, BackupError> {
    let mut whole = Whole::default();
    let checked = inspect(from, |head, rows| whole.take(head, rows))?;
    whole.end(&checked.head)?;
    Ok(checked)
}

/// What the rows add up to.
#[derive(Default)]
struct Whole {
    state: State,
    next: BTreeMap<ConversationId, u64>,
    exports: Exports,
}

impl Whole {
    fn take(&mut self, head: &Head, rows: Vec<Row>) -> Result<(), BackupError> {
        let (mut expected, mut found) = (Vec::new(), Vec::new());
        let (mut told, mut indexed) = (Vec::new(), Vec::new());
        for row in rows {
            match row.table {
                Table::History => self.history(head, &row, &mut expected)?,
                Table::Exports => {
                    told.push(stored::parse_exports_key(&row.key).map_err(damaged)?);
                    self.exports.take(&row).map_err(damaged)?;
                }
                // Found by the row of history before it; exports are found by this one alone.
                Table::HistoryIndex => indexed.extend(told_at(head, &row)?),
                Table::SentIndex => {
                    let one = stored::decode_sent_index(&row.key, row.value).map_err(damaged)?;
                    found.push(one);
                }
                _ => {
                    let write = stored::write_of(&row).map_err(damaged)?;
                    self.state.load(write);
                }
            }
        }
        let key = |row: &SentIndex| (row.device, row.group, row.last_number);
        expected.sort_unstable_by_key(key);
        found.sort_unstable_by_key(key);
        if expected != found {
            return Err(damaged("messages and their index differ"));
        }
        if told != indexed {
            return Err(damaged("what other clusters are told and its index differ"));
        }
        Ok(())
    }

    fn history(
        &mut self,
        head: &Head,
        row: &Row,
        expected: &mut Vec<SentIndex>,
    ) -> Result<(), BackupError> {
        let (_, index) = stored::decode_runs(row.value.clone()).map_err(damaged)?;
        let Write::History { conversation, runs } = stored::write_of(row).map_err(damaged)? else {
            return Err(damaged("a row is in the wrong table"));
        };
        if index > head.applied.index {
            return Err(damaged("a message is newer than the state"));
        }
        let next = self.next.entry(conversation).or_insert(1);
        if runs.first().map(|run| run.first_seq) != Some(*next) {
            return Err(damaged(format_args!("conversation {conversation} has no seq {next}")));
        }
        *next = runs.last().map_or(*next, |run| run.last_seq() + 1);
        expected.extend(runs.iter().map(SentIndex::of));
        Ok(())
    }

    fn end(&self, head: &Head) -> Result<(), BackupError> {
        let meta = self.state.meta();
        let same = ClusterId::parse(&head.cluster) == Some(meta.cluster)
            && head.generation == meta.generation
            && head.cluster_name == meta.name;
        if !same || unhex(&head.hash).is_none() {
            return Err(damaged("its head and its state are of different clusters"));
        }
        if meta.format > state::FORMAT {
            return Err(BackupError::Refused(format!(
                "the state has format {}, and this program knows formats up to {}: use the newer \
                 program",
                meta.format,
                state::FORMAT
            )));
        }
        for row in self.state.rows() {
            let Write::Conversation(room) = row else { continue };
            let has = self.next.get(&room.id).map_or(0, |next| next - 1);
            if has != room.last_seq {
                let (id, last) = (room.id, room.last_seq);
                return Err(damaged(format_args!("conversation {id} ends at {has}, not {last}")));
            }
        }
        if let Some(what) = self.exports.end(&self.state) {
            return Err(damaged(what));
        }
        let known = |id: &&ConversationId| self.state.conversation(**id).is_some();
        match self.next.keys().find(|id| !known(id)) {
            Some(id) => Err(damaged(format_args!("nobody knows the conversation {id}"))),
            None => Ok(()),
        }
    }
}

/// Which export a row of the index finds, if it is one.
fn told_at(head: &Head, row: &Row) -> Result<Option<(LinkNumber, u64)>, BackupError> {
    let (index, room) = stored::parse_history_index_key(&row.key).map_err(damaged)?;
    let first = stored::parse_history_index_value(&row.value).map_err(damaged)?;
    if index > head.applied.index {
        return Err(damaged("a row of history is newer than the state"));
    }
    Ok(room.link().map(|link| (link, first)))
}
