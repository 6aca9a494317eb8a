//! The applied state: rows on `fjall`, and in memory, those that a thread has yet to write there.
//! It must not know the log.
//!
//! Three keyspaces: `state` (small state, mark), and two of [`History`], whose names
//! change when a snapshot replaces it. A layer is one atomic batch without a sync.
//! After a loss of power a keyspace may have come further than another; `state`, with
//! the mark, is one keyspace, and the others must not be behind it.

use super::behind::{Behind, Layer, number, place};
use super::history::{History, key_of};
use super::journal;
use super::layered::Layered;
use crate::limits::BEHIND_SYNC;
use crate::store::record::{LogId, Mark, Row, Table};
use crate::store::tables::{Tables, is_small};
use crate::store::{StoreError, tables};
use crate::wire::stored;
use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, LsmError, PersistMode};
use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;

/// Bytes of rows in memory before they are written out, per keyspace. Up to five such
/// tables can exist at a time while the disk is slow.
pub(super) const MEMTABLE: u64 = 4 << 20;
/// Cache for blocks read.
const CACHE: u64 = 8 << 20;
/// The smallest that `fjall` takes.
const JOURNAL: u64 = 64 << 20;
/// `fjall` 3.1 keeps the first one for flushes: it hands compactions back to the queue, over and
/// over, for as long as all others are busy. With two of them that took a tenth of a loaded
/// server's time. One alone could wait for ever: it sends to its own queue, which commits may fill.
const WORKERS: usize = 3;
/// Open files at most.
const FILES: usize = 128;

const MARK: [u8; 1] = [0];
const GENERATION: [u8; 2] = [0, 1];
const INSTALLED: [u8; 2] = [0, 2];
/// Number of the table of hashes, beside those of [`Table`].
pub(super) const HASHES: u8 = 0x20;

/// The state, in use. All methods may block on the disk, but for `commit` and those that say so.
pub(in crate::store) struct State {
    shared: Arc<Shared>,
    /// `None` once closed.
    writer: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    /// `None` once closed.
    open: RwLock<Option<Open>>,
    behind: Behind,
    /// Taken for every change of the tables.
    changing: Mutex<()>,
    /// What was applied at the last sync.
    synced: Mutex<Option<LogId>>,
}

pub(super) struct Open {
    db: Database,
    state: Keyspace,
    history: History,
    /// The history of a snapshot that will replace the old one.
    import: Option<History>,
    /// The last entry of the snapshot installed last.
    installed: Option<LogId>,
    /// Never used before: `fjall` keeps the name of a deleted keyspace until it is closed.
    next_generation: u64,
}

/// Sorts a `fjall` error by what the caller must do.
pub(super) fn failed(error: fjall::Error) -> StoreError {
    match error {
        fjall::Error::Io(error) | fjall::Error::Storage(LsmError::Io(error)) => {
            StoreError::Io(error)
        }
        fjall::Error::Locked => StoreError::NotOurs(
            "the state is used by another rustchat process: stop that one".to_owned(),
        ),
        fjall::Error::Poisoned => StoreError::Io(io::Error::other("an earlier write failed")),
        other => StoreError::Corrupt(format!(
            "the state cannot be read ({other}); bring this node back with \
             `rustchat serve --rejoin`"
        )),
    }
}

fn bad(what: &str) -> StoreError {
    StoreError::Corrupt(format!(
        "the state on disk {what}; bring this node back with `rustchat serve --rejoin`"
    ))
}

/// Drops the histories that are not in use; returns the highest generation there was.
fn drop_stale(db: &Database, used: u64) -> Result<u64, StoreError> {
    let mut highest = used;
    for name in db.list_keyspace_names() {
        let Some((_, generation)) = name.split_once('-') else { continue };
        let generation = generation.parse().map_err(|_| bad("has a keyspace of another kind"))?;
        highest = highest.max(generation);
        if generation != used {
            let stale = db.keyspace(&name, KeyspaceCreateOptions::default).map_err(failed)?;
            db.delete_keyspace(stale).map_err(failed)?;
        }
    }
    Ok(highest)
}

/// The last one of rows with the same key: a batch must hold each key once, for all its rows
/// have one age.
fn newest(rows: &[Row]) -> impl Iterator<Item = &Row> {
    let mut seen = HashSet::new();
    rows.iter().rev().filter(move |row| seen.insert((row.table as u32, row.key.as_ref())))
}

fn hash_key(index: u64) -> Vec<u8> {
    key_of(HASHES, &index.to_be_bytes())
}

impl State {
    /// Opens the state in `dir`. What an unfinished snapshot left is dropped.
    pub(super) fn open(dir: &Path) -> Result<Self, StoreError> {
        // `fjall` panics on some damaged files.
        let open = std::panic::AssertUnwindSafe(|| Self::open_files(dir));
        std::panic::catch_unwind(open).unwrap_or_else(|_| Err(bad("is damaged")))
    }

    fn open_files(dir: &Path) -> Result<Self, StoreError> {
        journal::cut_torn_tail(dir)?;
        let db = Database::builder(dir)
            .cache_size(CACHE)
            .max_journaling_size(JOURNAL)
            .worker_threads(WORKERS)
            .max_cached_files(Some(FILES))
            .open()
            .map_err(failed)?;
        let small = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE);
        let state = db.keyspace("state", small).map_err(failed)?;
        let generation = match state.get(GENERATION).map_err(failed)? {
            Some(bytes) => {
                let bytes = bytes.as_ref().try_into().map_err(|_| bad("has a bad generation"))?;
                u64::from_be_bytes(bytes)
            }
            None => 0,
        };
        let stored_mark = |key: &[u8]| match state.get(key).map_err(failed)? {
            Some(bytes) => {
                stored::decode_mark(Bytes::copy_from_slice(&bytes)).map_err(tables::unreadable)
            }
            None => Ok(Mark::default()),
        };
        let (mark, installed) = (stored_mark(&MARK)?, stored_mark(&INSTALLED)?.applied);
        let history = History::open(&db, generation)?;
        if !history.reaches(&mark)? {
            return Err(bad("holds less history than was applied"));
        }
        let next_generation = drop_stale(&db, generation)? + 1;
        let open = Open { db, state, history, import: None, installed, next_generation };
        let shared = Arc::new(Shared {
            open: RwLock::new(Some(open)),
            behind: Behind::new(mark),
            changing: Mutex::new(()),
            synced: Mutex::new(None),
        });
        let writes = Arc::clone(&shared);
        let writer = std::thread::Builder::new().name("state".to_owned());
        let writer = writer.spawn(move || writes.write_behind())?;
        Ok(Self { shared, writer: Mutex::new(Some(writer)) })
    }

    /// How far the state has come. Does not block.
    pub(in crate::store) fn mark(&self) -> Mark {
        self.shared.behind.mark()
    }

    /// The last entry of the snapshot installed last.
    pub(super) fn installed(&self) -> Option<LogId> {
        self.shared.with(|open| Ok(open.installed)).ok().flatten()
    }

    /// False where a commit had better [wait](Self::wait_for_room). Does not block.
    pub(super) fn has_room(&self) -> bool {
        self.shared.behind.has_room()
    }

    /// Blocks while the tables are too far behind.
    pub(super) fn wait_for_room(&self) {
        self.shared.behind.wait_for_room();
    }

    /// See [`crate::store::Store::commit`]. Does not block.
    pub(super) fn commit(&self, mark: Mark, rows: Vec<Row>) -> Result<(), StoreError> {
        let hash = mark.applied.map(|applied| {
            let key = Bytes::copy_from_slice(&applied.index.to_be_bytes());
            ((HASHES, key), Bytes::copy_from_slice(&mark.hash))
        });
        self.shared.behind.put(mark, rows.into_iter().map(place).chain(hash))
    }

    /// Makes everything committed durable.
    pub(super) fn persist(&self) -> Result<(), StoreError> {
        let applied = self.mark().applied;
        self.shared.behind.flush()?;
        self.shared.with(|open| open.db.persist(PersistMode::SyncAll).map_err(failed))?;
        let mut synced = self.shared.synced();
        *synced = (*synced).max(applied);
        Ok(())
    }

    /// Makes the state durable as far as `upto`, if it is not known to be.
    pub(super) fn persist_upto(&self, upto: LogId) -> Result<(), StoreError> {
        if *self.shared.synced() >= Some(upto) { Ok(()) } else { self.persist() }
    }

    /// The hash after the entry at `index`.
    pub(super) fn hash_at(&self, index: u64) -> Result<Option<[u8; 32]>, StoreError> {
        let fresh = self.shared.behind.get(HASHES, &index.to_be_bytes());
        let found = |hash: &[u8]| hash.try_into().ok();
        if let Some(hash) = fresh {
            return Ok(found(&hash));
        }
        self.shared.with(|open| {
            let hash = open.history.index.get(hash_key(index)).map_err(failed)?;
            Ok(hash.as_deref().and_then(found))
        })
    }

    /// Asks the tables.
    pub(in crate::store) fn ask<T>(
        &self,
        question: impl FnOnce(&dyn Tables) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let behind = &self.shared.behind;
        self.shared.with(|open| question(&Layered { open, behind }))
    }

    /// See [`crate::store::Store::begin_import`].
    pub(super) fn begin_import(&self, all: bool) -> Result<(), StoreError> {
        self.shared.with_mut(|open| {
            if let Some(unfinished) = open.import.take() {
                unfinished.delete(&open.db)?;
            }
            if all {
                open.import = Some(History::open(&open.db, open.next_generation)?);
                open.next_generation += 1;
            }
            Ok(())
        })
    }

    /// See [`crate::store::Store::import`].
    pub(super) fn import(&self, rows: &[Row]) -> Result<(), StoreError> {
        self.shared.with(|open| {
            let history = open.import.as_ref().unwrap_or(&open.history);
            let mut batch = open.db.batch();
            for row in newest(rows) {
                if is_small(row.table) {
                    return Err(bad("is being sent rows of another kind"));
                }
                history.put(&mut batch, row);
            }
            batch.commit().map_err(failed)
        })
    }

    /// See [`crate::store::Store::install`].
    pub(super) fn install(&self, mark: Mark, state: &[Row]) -> Result<(), StoreError> {
        let shared = &self.shared;
        shared.behind.flush()?;
        let changing = shared.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = shared.with_mut(|open| {
            let history = open.import.clone().unwrap_or_else(|| open.history.clone());
            let mut batch = open.db.batch();
            let mut kept: BTreeSet<Vec<u8>> =
                [MARK.to_vec(), GENERATION.to_vec(), INSTALLED.to_vec()].into();
            for row in newest(state) {
                let key = key_of(number(row.table), &row.key);
                batch.insert(&open.state, key.clone(), row.value.as_ref());
                kept.insert(key);
            }
            for row in open.state.iter() {
                let key = row.key().map_err(failed)?;
                if !kept.contains(key.as_ref()) {
                    batch.remove(&open.state, key);
                }
            }
            if let Some(applied) = mark.applied {
                batch.insert(&history.index, hash_key(applied.index), mark.hash);
            }
            history.put_upto(&mut batch, &mark);
            let encoded = stored::encode_mark(&mark);
            batch.insert(&open.state, GENERATION, history.generation.to_be_bytes());
            batch.insert(&open.state, INSTALLED, encoded.as_ref());
            batch.insert(&open.state, MARK, encoded.as_ref());
            batch.durability(Some(PersistMode::SyncAll)).commit().map_err(failed)?;
            open.installed = mark.applied;
            let replaced = open.import.take().is_some();
            Ok(replaced.then(|| std::mem::replace(&mut open.history, history)))
        })?;
        *shared.synced() = mark.applied;
        shared.behind.replaced(mark);
        drop(changing);
        old.map_or(Ok(()), |old| shared.with(|open| old.delete(&open.db)))
    }

    /// Makes everything durable and ends the threads.
    pub(in crate::store) fn close(&self) -> Result<(), StoreError> {
        let written = self.shared.behind.flush();
        self.end();
        let open = self.shared.open.write().unwrap_or_else(PoisonError::into_inner).take();
        let synced = open.map_or(Ok(()), |open| open.db.persist(PersistMode::SyncAll));
        written.and(synced.map_err(failed))
    }

    /// Ends the thread.
    fn end(&self) {
        self.shared.behind.end();
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        // What it had to say it has told `behind`.
        drop(writer.map(JoinHandle::join));
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn synced(&self) -> MutexGuard<'_, Option<LogId>> {
        self.synced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, act: impl FnOnce(&Open) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        act(open.as_ref().ok_or_else(closed)?)
    }

    fn with_mut<T>(
        &self,
        act: impl FnOnce(&mut Open) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        act(open.as_mut().ok_or_else(closed)?)
    }

    /// The thread that writes.
    fn write_behind(&self) {
        let mut unsynced = 0;
        while let Some(layer) = self.behind.next() {
            let write = std::panic::AssertUnwindSafe(|| {
                self.write(&layer)?;
                unsynced += layer.bytes;
                if unsynced >= BEHIND_SYNC {
                    unsynced = 0;
                    self.with(|open| open.db.persist(PersistMode::SyncData).map_err(failed))?;
                }
                Ok(())
            });
            // Whoever waits must hear of it.
            let panicked = |_| Err(StoreError::Io(io::Error::other("the store's writer panicked")));
            self.behind.written(std::panic::catch_unwind(write).unwrap_or_else(panicked));
        }
    }

    /// Writes a layer, all or nothing.
    fn write(&self, layer: &Layer) -> Result<(), StoreError> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.with(|open| {
            let mut batch = open.db.batch();
            for ((table, key), value) in &layer.rows {
                batch.insert(open.keyspace(*table), key_of(*table, key), value.as_ref());
            }
            open.history.put_upto(&mut batch, &layer.mark);
            batch.insert(&open.state, MARK, stored::encode_mark(&layer.mark).as_ref());
            batch.commit().map_err(failed)
        })
    }
}

fn closed() -> StoreError {
    StoreError::Io(io::Error::other("the store is closed"))
}

impl Open {
    /// Where the rows of a table are, by its number.
    pub(super) fn keyspace(&self, table: u8) -> &Keyspace {
        match Table::from_number(u32::from(table)) {
            Some(table) if is_small(table) => &self.state,
            Some(table) => self.history.keyspace(table),
            None => &self.history.index,
        }
    }
}
