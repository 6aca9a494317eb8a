//! The guard: a small file that says how far the log must at least reach, and
//! which vote it must hold. The log alone cannot tell a torn tail, which a crash
//! may leave, from damage to what was acknowledged.
//!
//! Synced before a vote counts as saved, and lowered and synced before the log is
//! truncated; otherwise written by its own thread, at once when the log was quiet
//! and every [`PERIOD`] while it is busy. It must not know the log's files.

use super::guard_file::{Marks, SlotFile};
use crate::store::StoreError;
use crate::store::record::{LogId, Vote};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// While the log is busy the guard is at most this far behind it.
const PERIOD: Duration = Duration::from_millis(100);

/// The guard of a log that is in use.
pub(super) struct Guard {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    now: Mutex<Now>,
    wake: Condvar,
    file: Mutex<SlotFile>,
    /// Set when a write failed: then the store must not write any more.
    broken: Arc<AtomicBool>,
}

struct Now {
    marks: Marks,
    /// Counts truncations: what was appended before one says nothing about the log after it.
    epoch: u64,
    dirty: bool,
    stop: bool,
}

impl Guard {
    /// Takes over the file; `marks` is what it holds.
    pub(super) fn start(file: SlotFile, marks: Marks, broken: Arc<AtomicBool>) -> io::Result<Self> {
        let now = Now { marks, epoch: 0, dirty: false, stop: false };
        let shared = Arc::new(Shared {
            now: Mutex::new(now),
            wake: Condvar::new(),
            file: Mutex::new(file),
            broken,
        });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("guard".to_owned())
            .spawn(move || theirs.write_in_background())?;
        Ok(Self { shared, thread: Mutex::new(Some(thread)) })
    }

    /// The number to give to [`Guard::note_durable`], taken when the append is queued.
    pub(super) fn epoch(&self) -> u64 {
        self.shared.lock().epoch
    }

    /// Notes that the log is on disk up to `last`, and which entry it begins with.
    pub(super) fn note_durable(&self, epoch: u64, start: u64, last: LogId) {
        self.shared.change(|now| {
            if now.epoch == epoch && now.marks.last < Some(last) {
                now.marks.start = Some(start);
                now.marks.last = Some(last);
                now.dirty = true;
            }
        });
    }

    /// Notes a purge that is on disk.
    pub(super) fn note_purged(&self, upto: LogId) {
        self.shared.change(|now| {
            now.marks.start = Some(upto.index + 1);
            now.marks.purged = Some(upto);
            now.dirty = true;
        });
    }

    /// Notes what a peer acknowledged, or was told.
    pub(super) fn note_acknowledged(&self, seat: u32, index: u64) {
        self.shared.change(|now| {
            let known = now.marks.acknowledged.entry(seat).or_default();
            now.dirty |= *known < index;
            *known = index.max(*known);
        });
    }

    /// See [`crate::store::Store::acknowledged`].
    pub(super) fn acknowledged(&self, seat: u32) -> Option<u64> {
        self.shared.lock().marks.acknowledged.get(&seat).copied()
    }

    /// The vote is in the log: says so durably. Blocks for a sync.
    pub(super) fn save_vote(&self, vote: Vote) -> Result<(), StoreError> {
        self.shared.lock().marks.vote = Some(vote);
        self.shared.write()
    }

    /// The log will be cut behind `keep`: says so durably. Blocks for a sync.
    pub(super) fn lower(&self, keep: Option<LogId>) -> Result<(), StoreError> {
        {
            let mut now = self.shared.lock();
            now.epoch += 1;
            now.marks.last = now.marks.last.min(keep);
        }
        self.shared.write()
    }

    /// The directory belongs to this cluster now: says so durably. Blocks for a sync.
    pub(super) fn save_identity(&self, identity: &super::Identity) -> Result<(), StoreError> {
        self.shared.lock().marks.set_identity(identity);
        self.shared.write()
    }

    /// Writes what is not yet written and ends the thread.
    pub(super) fn close(&self) -> Result<(), StoreError> {
        self.shared.change(|now| now.stop = true);
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if thread.is_some_and(|thread| thread.join().is_err())
            || self.shared.broken.load(Ordering::Acquire)
        {
            return Err(StoreError::Io(io::Error::other("the guard could not be written")));
        }
        Ok(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.close());
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Now)) {
        let mut now = self.lock();
        let dirty = now.dirty;
        change(&mut now);
        // Not for every append: the thread that waits out its period need not wake for each.
        if now.stop || (now.dirty && !dirty) {
            self.wake.notify_one();
        }
    }

    /// Writes the marks as they are now. The file's lock is taken first, so that marks that
    /// were read later are never followed by older ones.
    fn write(&self) -> Result<(), StoreError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let marks = {
            let mut now = self.lock();
            now.dirty = false;
            now.marks.clone()
        };
        if self.broken.load(Ordering::Acquire) {
            return Err(StoreError::Io(io::Error::other("an earlier write failed")));
        }
        file.write(&marks).map_err(|error| {
            self.broken.store(true, Ordering::Release);
            StoreError::Io(error)
        })
    }

    fn write_in_background(&self) {
        let mut written: Option<Instant> = None;
        loop {
            let mut now = self.lock();
            while !now.dirty && !now.stop {
                now = self.wake.wait(now).unwrap_or_else(PoisonError::into_inner);
            }
            let wait = written.and_then(|at| PERIOD.checked_sub(at.elapsed()));
            if let Some(wait) = wait.filter(|wait| !now.stop && !wait.is_zero()) {
                drop(self.wake.wait_timeout(now, wait));
                continue;
            }
            let (dirty, stop) = (now.dirty, now.stop);
            drop(now);
            if dirty && self.write().is_err() {
                return;
            }
            written = Some(Instant::now());
            if stop {
                return;
            }
        }
    }
}

/// Opens the guard's file and reads what it holds; `None`: it is damaged.
pub(super) fn open(path: &Path) -> io::Result<Option<(SlotFile, Marks)>> {
    SlotFile::open(path)
}
