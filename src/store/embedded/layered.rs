//! The questions of [`Tables`], answered by the tables on disk and by what is not written there yet.
//! What is in memory is looked at first: a row is taken from there only once it is on disk. It must
//! not know who asks.

use super::behind::{Behind, number};
use super::history::key_of;
use super::state::{Open, failed};
use crate::store::StoreError;
use crate::store::record::Table;
use crate::store::tables::{Tables, Visit, visit_all};
use bytes::Bytes;
use std::cmp::Ordering;
use std::ops::Bound;

/// Both.
pub(super) struct Layered<'a> {
    pub(super) open: &'a Open,
    pub(super) behind: &'a Behind,
}

fn copied((key, value): (fjall::UserKey, fjall::UserValue)) -> (Bytes, Bytes) {
    (Bytes::copy_from_slice(&key).slice(1..), Bytes::copy_from_slice(&value))
}

/// Both in the order of keys; of two rows with one key, the fresh one.
fn merged(
    fresh: impl Iterator<Item = (Bytes, Bytes)>,
    rows: impl Iterator<Item = Result<(Bytes, Bytes), StoreError>>,
) -> impl Iterator<Item = Result<(Bytes, Bytes), StoreError>> {
    let (mut fresh, mut rows) = (fresh.peekable(), rows.peekable());
    std::iter::from_fn(move || {
        let order = match (fresh.peek(), rows.peek()) {
            (Some((key, _)), Some(Ok((there, _)))) => key.cmp(there),
            (Some(_), None) => Ordering::Less,
            _ => Ordering::Greater,
        };
        if order == Ordering::Equal {
            rows.next();
        }
        if order == Ordering::Greater { rows.next() } else { fresh.next().map(Ok) }
    })
}

impl Tables for Layered<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let table = number(table);
        if let Some(value) = self.behind.get(table, key) {
            return Ok(Some(value));
        }
        let value = self.open.keyspace(table).get(key_of(table, key)).map_err(failed)?;
        Ok(value.map(|value| Bytes::copy_from_slice(&value)))
    }

    fn scan(
        &self,
        table: Table,
        (from, to): (Bound<Bytes>, Bound<Bytes>),
        visit: Visit<'_>,
    ) -> Result<(), StoreError> {
        let table = number(table);
        let fresh = self.behind.range(table, (from.clone(), to.clone()));
        let full = |key: Bytes| key_of(table, &key);
        let from = match from {
            Bound::Unbounded => Bound::Included(key_of(table, &[])),
            other => other.map(full),
        };
        let to = match to {
            Bound::Unbounded => Bound::Excluded(vec![table + 1]),
            other => other.map(full),
        };
        let rows = self.open.keyspace(table).range::<Vec<u8>, _>((from, to));
        let rows = rows.map(|row| row.into_inner().map(copied).map_err(failed));
        visit_all(merged(fresh.into_iter(), rows), visit)
    }

    fn last(
        &self,
        table: Table,
        from: Bytes,
        to: Bytes,
    ) -> Result<Option<(Bytes, Bytes)>, StoreError> {
        let table = number(table);
        let fresh = self.behind.last(table, from.clone(), to.clone());
        let range = key_of(table, &from)..=key_of(table, &to);
        let row = self.open.keyspace(table).range(range).next_back();
        let row = row.map(|row| row.into_inner().map_err(failed)).transpose()?.map(copied);
        Ok(match (fresh, row) {
            (Some(fresh), Some(row)) if row.0 > fresh.0 => Some(row),
            (fresh, row) => fresh.or(row),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::scripts::seeds;
    use crate::store::embedded::state::State;
    use crate::store::record::{LogId, Mark, Row};
    use rand::Rng;
    use rand::rngs::StdRng;
    use std::collections::BTreeMap;
    use std::ops::ControlFlow;

    const TABLES: [Table; 3] = [Table::Users, Table::History, Table::SentIndex];

    type Model = BTreeMap<(u32, Bytes), Bytes>;

    fn key(rng: &mut StdRng) -> Bytes {
        Bytes::copy_from_slice(&[rng.random_range(0..40_u8)])
    }

    fn step(rng: &mut StdRng, model: &mut Model) -> Vec<Row> {
        let row = |rng: &mut StdRng| Row {
            table: TABLES[rng.random_range(0..TABLES.len())],
            key: key(rng),
            value: Bytes::copy_from_slice(&rng.random::<[u8; 4]>()),
        };
        let rows: Vec<Row> = (0..rng.random_range(0..6)).map(|_| row(rng)).collect();
        let placed = rows.iter().map(|r| ((r.table as u32, r.key.clone()), r.value.clone()));
        model.extend(placed);
        rows
    }

    fn mark(index: u64) -> Mark {
        Mark { applied: Some(LogId { term: 1, index }), hash: [index as u8; 32], ..Mark::default() }
    }

    fn compare(rng: &mut StdRng, state: &State, model: &Model) {
        let table = TABLES[rng.random_range(0..TABLES.len())];
        let (a, b) = (key(rng), key(rng));
        let (from, to) = if a < b { (a, b) } else { (b, a) };
        let number = |key: &Bytes| (table as u32, key.clone());
        let stop = rng.random_range(1..30_usize);
        let (got, rows, last) = state
            .ask(|tables| {
                let mut rows = Vec::new();
                let range = (Bound::Included(from.clone()), Bound::Excluded(to.clone()));
                tables.scan(table, range, &mut |key, value| {
                    rows.push((key, value));
                    let stops = rows.len() == stop;
                    Ok(if stops { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
                })?;
                Ok((tables.get(table, &from)?, rows, tables.last(table, from.clone(), to.clone())?))
            })
            .unwrap();
        assert_eq!(got.as_ref(), model.get(&number(&from)));
        let own = |((_, key), value): (&(u32, Bytes), &Bytes)| (key.clone(), value.clone());
        let expected: Vec<_> =
            model.range(number(&from)..number(&to)).take(stop).map(own).collect();
        assert_eq!(rows, expected);
        assert_eq!(last, model.range(number(&from)..=number(&to)).next_back().map(own));
    }

    #[test]
    fn memory_and_disk_together_hold_every_row_once_and_a_crash_loses_a_tail_at_most() {
        seeds(20, |rng| {
            let dir = tempfile::tempdir().unwrap();
            let mut state = State::open(dir.path()).unwrap();
            // What the state was after each entry.
            let mut models = vec![Model::new()];
            for _ in 0..300 {
                let mut model = models.last().unwrap().clone();
                let rows = step(rng, &mut model);
                models.push(model);
                let index = models.len() as u64 - 1;
                state.commit(mark(index), rows).unwrap();
                compare(rng, &state, models.last().unwrap());
                let hash = state.hash_at(index.saturating_sub(rng.random_range(0..5)));
                assert!(index < 5 || hash.unwrap().is_some());
                let sure = match rng.random_range(0..60) {
                    0 => state.persist().map(|()| index).unwrap(),
                    1 => 0,
                    _ => continue,
                };
                // As after a crash: what is in memory is gone.
                drop(state);
                state = State::open(dir.path()).unwrap();
                let at = state.mark().applied.map_or(0, |id| id.index);
                assert!(at >= sure, "{at}: it was durable up to {sure}");
                models.truncate(usize::try_from(at).unwrap() + 1);
                compare(rng, &state, models.last().unwrap());
            }
            state.close().unwrap();
            let state = State::open(dir.path()).unwrap();
            assert_eq!(state.mark().applied.map_or(0, |id| id.index), models.len() as u64 - 1);
            compare(rng, &state, models.last().unwrap());
        });
    }
}
