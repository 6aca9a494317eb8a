//! What is committed and not written to the tables yet. A commit returns once it can be read here;
//! a thread writes it some milliseconds later, so that nobody waits while tables are flushed and
//! compacted, and what many entries change is written once. What a crash takes from memory comes
//! back from the log. It must not know how tables are written.

use crate::limits::{BEHIND_BYTES, BEHIND_PAUSE, BEHIND_STEP};
use crate::store::StoreError;
use crate::store::record::{LogId, Mark, Row, Table};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// What a row costs besides its bytes, roughly.
const ROW_COST: usize = 128;

/// Number of a table, and the key in it.
pub(super) type Key = (u8, Bytes);

/// Rows that are written together, each key once, and how far the state comes with them.
#[derive(Default)]
pub(super) struct Layer {
    pub(super) rows: BTreeMap<Key, Bytes>,
    pub(super) mark: Mark,
    /// Of the rows, and some for each.
    pub(super) bytes: usize,
}

struct Inner {
    /// With everything.
    mark: Mark,
    /// What the next write takes.
    fresh: Layer,
    /// What is being written.
    writing: Option<Arc<Layer>>,
    /// Up to where everything is written.
    written: Option<LogId>,
    /// When the last write began.
    began: Option<Instant>,
    /// Callers that wait for everything to be written.
    hurried: usize,
    ended: bool,
    error: Option<StoreError>,
}

/// See the module.
pub(super) struct Behind {
    inner: Mutex<Inner>,
    /// Wakes the writer.
    more: Condvar,
    /// Something was written, or never will be.
    done: Condvar,
}

impl Layer {
    fn put(&mut self, key: Key, value: Bytes) {
        self.bytes += key.1.len() + value.len() + ROW_COST;
        self.rows.insert(key, value);
    }
}

impl Inner {
    /// The newer one first.
    fn layers(&self) -> impl DoubleEndedIterator<Item = &Layer> {
        [Some(&self.fresh), self.writing.as_deref()].into_iter().flatten()
    }

    /// The first error is told as it is; whoever comes later hears that there was one.
    fn check(&mut self) -> Result<(), StoreError> {
        let other = |why: &str| StoreError::Io(io::Error::other(why));
        match &mut self.error {
            Some(error) => {
                let later = other("an earlier write of the state failed");
                Err(std::mem::replace(error, later))
            }
            None if self.ended => Err(other("the store is closed")),
            None => Ok(()),
        }
    }
}

impl Behind {
    /// All is written up to `mark`.
    pub(super) fn new(mark: Mark) -> Self {
        let inner = Inner {
            written: mark.applied,
            mark,
            fresh: Layer::default(),
            writing: None,
            began: None,
            hurried: 0,
            ended: false,
            error: None,
        };
        Self { inner: Mutex::new(inner), more: Condvar::new(), done: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the state has come, with all that is not written yet.
    pub(super) fn mark(&self) -> Mark {
        self.lock().mark.clone()
    }

    /// False where so much waits that a commit should.
    pub(super) fn has_room(&self) -> bool {
        self.lock().fresh.bytes < BEHIND_BYTES
    }

    /// Blocks until there is room, or there never will be.
    pub(super) fn wait_for_room(&self) {
        let mut inner = self.lock();
        while inner.fresh.bytes >= BEHIND_BYTES && !inner.ended {
            inner = wait(&self.done, inner);
        }
    }

    /// Adds rows with which the state comes to `mark`, in order: of two with one key the later
    /// counts. A mark that is not above the last one changes nothing.
    ///
    /// # Errors
    /// What an earlier write failed with; or it has ended.
    pub(super) fn put(
        &self,
        mark: Mark,
        rows: impl IntoIterator<Item = (Key, Bytes)>,
    ) -> Result<(), StoreError> {
        let mut inner = self.lock();
        inner.check()?;
        if mark.applied <= inner.mark.applied {
            return Ok(());
        }
        let first = inner.fresh.rows.is_empty();
        for (key, value) in rows {
            inner.fresh.put(key, value);
        }
        inner.fresh.mark = mark.clone();
        inner.mark = mark;
        // After the first row the writer looks by itself, after a pause; so a commit seldom wakes it.
        if first || inner.fresh.bytes >= BEHIND_STEP {
            self.more.notify_one();
        }
        Ok(())
    }

    /// The state was replaced, and is written. Nothing may wait.
    pub(super) fn replaced(&self, mark: Mark) {
        let mut inner = self.lock();
        (inner.written, inner.mark) = (mark.applied, mark);
    }

    /// Blocks until everything that is here now is written.
    ///
    /// # Errors
    /// What a write failed with.
    pub(super) fn flush(&self) -> Result<(), StoreError> {
        let mut inner = self.lock();
        inner.hurried += 1;
        self.more.notify_one();
        let upto = inner.mark.applied;
        while inner.written < upto && !inner.ended {
            inner = wait(&self.done, inner);
        }
        inner.hurried -= 1;
        if inner.written < upto { inner.check() } else { Ok(()) }
    }

    /// No more is written from now on.
    pub(super) fn end(&self) {
        self.lock().ended = true;
        self.more.notify_all();
        self.done.notify_all();
    }

    /// For the writer: what to write now. Blocks; `None`: the end.
    pub(super) fn next(&self) -> Option<Arc<Layer>> {
        let mut inner = self.lock();
        loop {
            if inner.ended {
                return None;
            }
            let since = inner.began.map_or(BEHIND_PAUSE, |began| began.elapsed());
            let due = inner.hurried > 0 || inner.fresh.bytes >= BEHIND_STEP;
            if inner.fresh.rows.is_empty() {
                inner = wait(&self.more, inner);
            } else if due || since >= BEHIND_PAUSE {
                let layer = Arc::new(std::mem::take(&mut inner.fresh));
                inner.began = Some(Instant::now());
                inner.writing = Some(Arc::clone(&layer));
                return Some(layer);
            } else {
                let waited = self.more.wait_timeout(inner, BEHIND_PAUSE.saturating_sub(since));
                inner = waited.unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    /// For the writer: what [`Behind::next`] gave is written, or was not; then nothing more is.
    pub(super) fn written(&self, result: Result<(), StoreError>) {
        let mut inner = self.lock();
        match result {
            Ok(()) => {
                let layer = inner.writing.take();
                inner.written = layer.map_or(inner.written, |layer| layer.mark.applied);
            }
            Err(error) => (inner.error, inner.ended) = (Some(error), true),
        }
        drop(inner);
        self.done.notify_all();
    }

    /// The value at `key`, if it is here.
    pub(super) fn get(&self, table: u8, key: &[u8]) -> Option<Bytes> {
        let key = (table, Bytes::copy_from_slice(key));
        self.lock().layers().find_map(|layer| layer.rows.get(&key).cloned())
    }

    /// The rows of a table from `from` to `to` that are here.
    pub(super) fn range(
        &self,
        table: u8,
        (from, to): (Bound<Bytes>, Bound<Bytes>),
    ) -> BTreeMap<Bytes, Bytes> {
        let from = match from {
            Bound::Unbounded => Bound::Included((table, Bytes::new())),
            other => other.map(|key| (table, key)),
        };
        let to = match to {
            Bound::Unbounded => Bound::Excluded((table + 1, Bytes::new())),
            other => other.map(|key| (table, key)),
        };
        let mut found = BTreeMap::new();
        if is_empty(&from, &to) {
            return found;
        }
        let inner = self.lock();
        for layer in inner.layers().rev() {
            let rows = layer.rows.range((from.clone(), to.clone()));
            found.extend(rows.map(|((_, key), value)| (key.clone(), value.clone())));
        }
        found
    }

    /// The last row of a table from `from` to `to`, both included, that is here.
    pub(super) fn last(&self, table: u8, from: Bytes, to: Bytes) -> Option<(Bytes, Bytes)> {
        if from > to {
            return None;
        }
        let range = (table, from)..=(table, to);
        let inner = self.lock();
        let lasts = inner.layers().rev().filter_map(|layer| {
            let ((_, key), value) = layer.rows.range(range.clone()).next_back()?;
            Some((key.clone(), value.clone()))
        });
        // Of two with one key, the last: that of the newer layer.
        lasts.max_by(|(a, _), (b, _)| a.cmp(b))
    }
}

/// Nothing lies between; `BTreeMap` panics where it is asked for that.
fn is_empty(from: &Bound<Key>, to: &Bound<Key>) -> bool {
    match (from, to) {
        (Bound::Excluded(from), Bound::Excluded(to)) => from >= to,
        (
            Bound::Included(from) | Bound::Excluded(from),
            Bound::Included(to) | Bound::Excluded(to),
        ) => from > to,
        _ => false,
    }
}

fn wait<'a>(on: &Condvar, inner: MutexGuard<'a, Inner>) -> MutexGuard<'a, Inner> {
    on.wait(inner).unwrap_or_else(PoisonError::into_inner)
}

/// The number of a table, which comes first in the keys of its rows.
pub(super) const fn number(table: Table) -> u8 {
    table as u32 as u8
}

/// Where a row stands here.
pub(super) fn place(row: Row) -> (Key, Bytes) {
    ((number(row.table), row.key), row.value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(index: u64) -> Mark {
        Mark { applied: Some(LogId { term: 1, index }), ..Mark::default() }
    }

    fn row(table: u8, key: &'static str, value: &'static str) -> (Key, Bytes) {
        ((table, Bytes::from_static(key.as_bytes())), Bytes::from_static(value.as_bytes()))
    }

    fn value(behind: &Behind, key: &'static str) -> Option<Bytes> {
        behind.get(1, key.as_bytes())
    }

    #[test]
    fn what_is_committed_can_be_read_until_it_is_written() {
        let behind = Behind::new(mark(1));
        behind.put(mark(2), [row(1, "a", "old"), row(1, "a", "one"), row(2, "a", "x")]).unwrap();
        let first = behind.next().unwrap();
        assert_eq!((first.mark.clone(), first.rows.len()), (mark(2), 2), "each key once");
        behind.put(mark(3), [row(1, "a", "two"), row(1, "b", "three")]).unwrap();
        assert_eq!(value(&behind, "a").unwrap(), "two", "the newer layer counts");
        let all = behind.range(1, (Bound::Unbounded, Bound::Unbounded));
        assert_eq!(all.into_values().collect::<Vec<_>>(), ["two", "three"]);
        let last =
            |to: &'static str| behind.last(1, Bytes::new(), Bytes::from_static(to.as_bytes()));
        assert_eq!(last("a"), Some(("a".into(), "two".into())));
        behind.written(Ok(()));
        assert_eq!(value(&behind, "a").unwrap(), "two", "that is not written yet");
        behind.next().unwrap();
        behind.written(Ok(()));
        assert_eq!((value(&behind, "a"), last("z")), (None, None), "it is on disk by now");
        assert_eq!(behind.mark(), mark(3));
    }

    #[test]
    fn a_mark_that_was_there_changes_nothing_and_nonsense_is_empty() {
        let behind = Behind::new(mark(5));
        behind.put(mark(5), [row(1, "a", "late")]).unwrap();
        assert_eq!((value(&behind, "a"), behind.mark()), (None, mark(5)));
        behind.put(mark(6), [row(1, "b", "x")]).unwrap();
        let (b, c) = (Bytes::from_static(b"b"), Bytes::from_static(b"c"));
        let wrong = (Bound::Included(c.clone()), Bound::Included(b.clone()));
        assert!(behind.range(1, wrong).is_empty());
        let none = (Bound::Excluded(b.clone()), Bound::Excluded(b.clone()));
        assert!(behind.range(1, none).is_empty());
        assert_eq!(behind.last(1, c, b), None);
    }

    #[test]
    fn who_waits_is_told_when_all_is_written_and_when_nothing_more_will_be() {
        let behind = Behind::new(mark(0));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while let Some(layer) = behind.next() {
                    let bad = layer.mark == mark(1000);
                    behind.written(if bad { Err(io::Error::other("full").into()) } else { Ok(()) });
                }
            });
            for index in 1..100 {
                behind.put(mark(index), [row(1, "a", "x")]).unwrap();
                if index % 10 == 0 {
                    behind.flush().unwrap();
                    assert_eq!(value(&behind, "a"), None, "all is written");
                }
            }
            behind.flush().unwrap();
            behind.put(mark(1000), [row(1, "a", "x")]).unwrap();
            let error = behind.flush().unwrap_err();
            assert!(error.to_string().ends_with("full"), "{error}");
            let error = behind.put(mark(1001), []).unwrap_err();
            assert!(error.to_string().contains("earlier"), "{error}");
            behind.wait_for_room();
        });
    }

    #[test]
    fn there_is_no_room_while_too_much_waits() {
        let behind = Behind::new(mark(0));
        let large = Bytes::from(vec![0; BEHIND_BYTES]);
        behind.put(mark(1), [((1, Bytes::from_static(b"k")), large)]).unwrap();
        assert!(!behind.has_room());
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| behind.wait_for_room());
            let layer = behind.next().unwrap();
            assert!(behind.has_room(), "what is being written does not count");
            drop(layer);
            behind.written(Ok(()));
            waits.join().unwrap();
        });
        behind.end();
        assert!(behind.next().is_none());
        assert!(behind.put(mark(2), []).is_err(), "it is closed");
    }
}
