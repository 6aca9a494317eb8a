//! The questions to history and send index, answered by ordered tables, so that
//! every backend with such tables answers alike. It must not know which backend
//! that is.

use super::StoreError;
use super::record::{Row, Table};
use crate::chat::ids::{ConversationId, DeviceId, Group};
use crate::chat::link::LinkNumber;
use crate::chat::write::{SentIndex, Write};
use crate::wire::{WireError, stored};
use bytes::Bytes;
use std::ops::{Bound, ControlFlow};

/// What a scan does with each row.
pub(super) type Visit<'a> = &'a mut dyn FnMut(Bytes, Bytes) -> Result<ControlFlow<()>, StoreError>;

/// Ordered tables of rows.
pub(super) trait Tables {
    /// The value at `key`.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Visits rows in the order of their keys.
    fn scan(
        &self,
        table: Table,
        range: (Bound<Bytes>, Bound<Bytes>),
        visit: Visit<'_>,
    ) -> Result<(), StoreError>;

    /// The last row from `from` to `to`, both included.
    fn last(
        &self,
        table: Table,
        from: Bytes,
        to: Bytes,
    ) -> Result<Option<(Bytes, Bytes)>, StoreError>;
}

/// Visits rows, which come in the order of their keys, until one is the last.
pub(super) fn visit_all(
    rows: impl Iterator<Item = Result<(Bytes, Bytes), StoreError>>,
    visit: Visit<'_>,
) -> Result<(), StoreError> {
    for row in rows {
        let (key, value) = row?;
        if visit(key, value)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// The place of an exported row, and the rows up to it.
pub(super) type Page = (Vec<Row>, (u64, ConversationId));

/// The tables that hold the small state, in the order in which it is loaded.
pub(super) const SMALL: [Table; 7] = [
    Table::Meta,
    Table::Users,
    Table::Devices,
    Table::Conversations,
    Table::Marks,
    Table::Sent,
    Table::Links,
];

/// True for a table of the small state.
pub(super) const fn is_small(table: Table) -> bool {
    !matches!(table, Table::History | Table::SentIndex | Table::HistoryIndex | Table::Exports)
}

/// What a row that cannot be read means.
#[expect(clippy::needless_pass_by_value, reason = "used with map_err")]
pub(super) fn unreadable(error: WireError) -> StoreError {
    StoreError::Corrupt(format!(
        "the state on disk holds {error}; bring this node back with `rustchat serve --rejoin`"
    ))
}

/// See [`super::Store::load`].
pub(super) fn load(tables: &dyn Tables) -> Result<Vec<Write>, StoreError> {
    let mut writes = Vec::new();
    for table in SMALL {
        tables.scan(table, (Bound::Unbounded, Bound::Unbounded), &mut |key, value| {
            writes.push(stored::write_of(&Row { table, key, value }).map_err(unreadable)?);
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(writes)
}

/// See [`super::Store::history`].
pub(super) fn history(
    tables: &dyn Tables,
    conversation: ConversationId,
    (from, to): (u64, u64),
    max_bytes: usize,
) -> Result<Vec<(u64, Bytes)>, StoreError> {
    let mut page = Vec::new();
    let mut bytes = 0;
    if from > to {
        return Ok(page);
    }
    let key = |seq| stored::history_key(conversation, seq);
    if let Some((found, value)) = tables.last(Table::History, key(0), key(from))? {
        let (runs, _) = stored::decode_runs(value.clone()).map_err(unreadable)?;
        if runs.last().is_some_and(|run| run.last_seq() >= from) {
            bytes += value.len();
            page.push((first_seq(&found)?, value));
        }
    }
    if bytes >= max_bytes && !page.is_empty() {
        return Ok(page);
    }
    let rest = (Bound::Excluded(key(from)), Bound::Included(key(to)));
    tables.scan(Table::History, rest, &mut |found, value| {
        bytes += value.len();
        page.push((first_seq(&found)?, value));
        Ok(if bytes < max_bytes { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(page)
}

fn first_seq(key: &[u8]) -> Result<u64, StoreError> {
    Ok(stored::parse_history_key(key).map_err(unreadable)?.1)
}

/// See [`super::Store::sent_index`].
pub(super) fn sent_index(
    tables: &dyn Tables,
    device: DeviceId,
    group: Group,
    number: u64,
) -> Result<Option<SentIndex>, StoreError> {
    let key = |number| Bound::Included(stored::sent_index_key(device, group, number));
    let mut found = None;
    tables.scan(Table::SentIndex, (key(number), key(u64::MAX)), &mut |key, value| {
        let row = stored::decode_sent_index(&key, value).map_err(unreadable)?;
        found = Some(row).filter(|row| row.first_number <= number);
        Ok(ControlFlow::Break(()))
    })?;
    Ok(found)
}

/// See [`super::Store::exports`].
pub(super) fn exports(
    tables: &dyn Tables,
    link: LinkNumber,
    from: u64,
    max_bytes: usize,
) -> Result<Vec<(u64, Bytes)>, StoreError> {
    let key = |position| stored::exports_key(link, position);
    let (mut page, mut bytes) = (Vec::new(), 0);
    let row_key = stored::link_key(link);
    let Some(value) = tables.get(Table::Links, &row_key)? else { return Ok(page) };
    let row = Row { table: Table::Links, key: row_key, value };
    let Write::Link(row) = stored::write_of(&row).map_err(unreadable)? else { return Ok(page) };
    // What a snapshot has brought so far lies above this.
    let last = row.exported.position;
    let Some((first, _)) = tables.last(Table::Exports, key(0), key(from.min(last)))? else {
        return Ok(page);
    };
    let range = (Bound::Included(first), Bound::Included(key(last)));
    tables.scan(Table::Exports, range, &mut |found, value| {
        let (_, first) = stored::parse_exports_key(&found).map_err(unreadable)?;
        bytes += value.len();
        page.push((first, value));
        Ok(if bytes < max_bytes { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(page)
}

/// See [`super::Store::export`].
pub(super) fn export(
    tables: &dyn Tables,
    after: Option<(u64, ConversationId)>,
    upto: u64,
    max_bytes: usize,
) -> Result<Option<Page>, StoreError> {
    let from = after.map_or(Bound::Unbounded, |(index, conversation)| {
        Bound::Excluded(stored::history_index_key(index, conversation))
    });
    let to = Bound::Included(stored::history_index_key(upto, ConversationId(u64::MAX)));
    let (mut rows, mut bytes, mut place) = (Vec::new(), 0, None);
    tables.scan(Table::HistoryIndex, (from, to), &mut |key, value| {
        place = Some(stored::parse_history_index_key(&key).map_err(unreadable)?);
        for row in rows_of(tables, key, value)? {
            bytes += row.key.len() + row.value.len();
            rows.push(row);
        }
        Ok(if bytes < max_bytes { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
    })?;
    Ok(place.map(|place| (rows, place)))
}

/// The row that a row of the history index tells of: one of history, or what another cluster is
/// told.
pub(super) fn told_by(key: &[u8], value: &[u8]) -> Result<(Table, Bytes), StoreError> {
    let (_, conversation) = stored::parse_history_index_key(key).map_err(unreadable)?;
    let first = stored::parse_history_index_value(value).map_err(unreadable)?;
    Ok(match conversation.link() {
        Some(link) => (Table::Exports, stored::exports_key(link, first)),
        None => (Table::History, stored::history_key(conversation, first)),
    })
}

/// The rows of one entry in one conversation, found by their row of the history index.
fn rows_of(tables: &dyn Tables, key: Bytes, value: Bytes) -> Result<Vec<Row>, StoreError> {
    let (table, told) = told_by(&key, &value)?;
    let held = must(tables, table, &told)?;
    let mut rows = vec![
        Row { table, key: told, value: held.clone() },
        Row { table: Table::HistoryIndex, key, value },
    ];
    if table == Table::Exports {
        return Ok(rows);
    }
    let (runs, _) = stored::decode_runs(held).map_err(unreadable)?;
    for run in runs {
        let last = run.first_number + run.count().saturating_sub(1);
        let key = stored::sent_index_key(run.device, run.group, last);
        let value = must(tables, Table::SentIndex, &key)?;
        rows.push(Row { table: Table::SentIndex, key, value });
    }
    Ok(rows)
}

fn must(tables: &dyn Tables, table: Table, key: &[u8]) -> Result<Bytes, StoreError> {
    tables.get(table, key)?.ok_or_else(|| unreadable(WireError::Field("row that is missing")))
}
