//! Opening a data directory: checks what is on disk against what the guard says
//! was promised, before anything may vote or acknowledge. Less than promised is an
//! error, never a silent start; a torn tail behind the promise is cut. It must not
//! know what an entry means.

use super::dir::{self, Found, GUARD, LOG, STATE, corrupt};
use super::guard::{self, Guard};
use super::guard_file::{Marks, SlotFile};
use super::log::{Log, open_files};
use super::records::{Records, Scan, id, pair};
use super::state::State;
use super::{Embedded, Inner};
use crate::chat::ids::ClusterId;
use crate::store::record::{LogId, Vote};
use crate::store::{Identity, StoreError};
use raft_log::RaftLog;
use raft_log::api::raft_log_writer::RaftLogWriter as _;
use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, mpsc};

/// See [`super::open`].
pub(super) fn open(
    dir: &Path,
    seat: u32,
    cluster: Option<ClusterId>,
    chunk_bytes: usize,
) -> Result<Embedded, StoreError> {
    let lock = dir::lock(dir)?;
    let identity = match dir::look(dir)? {
        Found::Data(identity) => identity,
        Found::Nothing => create(dir, seat)?,
    };
    dir::is_ours(dir, &identity, seat, cluster)?;
    let (file, marks) =
        guard::open(&dir.join(GUARD))?.ok_or_else(|| corrupt(dir, "the guard file is damaged"))?;
    same_directory(dir, &identity, &marks)?;
    let log = open_log(dir, &marks, chunk_bytes)?;
    let state = State::open(&dir.join(STATE))?;
    let log = check_state(dir, log, &state)?;
    let broken = Arc::new(AtomicBool::new(false));
    let guard = Guard::start(file, marks, Arc::clone(&broken))?;
    let log = Log::new(log, guard, broken);
    let bounds = log.bounds();
    tracing::info!(dir = %dir.display(), ?bounds, applied = ?state.mark().applied, "store opened");
    Ok(Embedded {
        inner: Arc::new(Inner {
            dir: dir.to_owned(),
            identity: Mutex::new(identity),
            log,
            state,
            lock: Mutex::new(Some(lock)),
        }),
    })
}

/// Makes a fresh directory. The identity file comes last: without it nothing was made.
fn create(dir: &Path, seat: u32) -> Result<Identity, StoreError> {
    let identity = Identity::fresh(seat);
    dir::make(dir)?;
    SlotFile::create(&dir.join(GUARD), &Marks::fresh(&identity))?;
    dir::sync(dir)?;
    dir::save(dir, &identity)?;
    Ok(identity)
}

fn same_directory(dir: &Path, identity: &Identity, marks: &Marks) -> Result<(), StoreError> {
    let other = match (identity.cluster, marks.cluster) {
        (Some(one), Some(two)) => one != two,
        _ => false,
    };
    if other || identity.incarnation != marks.incarnation {
        return Err(corrupt(dir, "the guard file is that of another directory"));
    }
    Ok(())
}

/// Opens the log, cuts a torn tail, and checks that all that was promised is there.
fn open_log(dir: &Path, marks: &Marks, chunk_bytes: usize) -> Result<RaftLog<Records>, StoreError> {
    let path = dir.join(LOG);
    if let Some(file) = empty_file(&path)? {
        return Err(corrupt(dir, format_args!("{} is empty", file.display())));
    }
    let log = match open_files(&path, chunk_bytes) {
        Ok(log) => log,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(dir::in_use(dir)),
        Err(error) => {
            cut_torn_tail(dir, &path, marks, &error)?;
            open_files(&path, chunk_bytes)
                .map_err(|error| corrupt(dir, format_args!("the log: {error}")))?
        }
    };
    let seen =
        look_at(&log, marks).map_err(|error| corrupt(dir, format_args!("the log: {error}")))?;
    seen.keep(marks).map_err(|what| corrupt(dir, what))?;
    Ok(log)
}

/// A file of the log that holds nothing although there is a newer one. `raft-log` would panic.
fn empty_file(log: &Path) -> io::Result<Option<PathBuf>> {
    let mut files = Vec::new();
    for file in std::fs::read_dir(log)? {
        let file = file?;
        if file.path().extension().is_some_and(|extension| extension == "wal") {
            files.push((file.file_name(), file.path(), file.metadata()?.len()));
        }
    }
    files.sort();
    // Of the newest one a crash may have left the name alone.
    files.pop();
    Ok(files.into_iter().find_map(|(_, path, length)| (length == 0).then_some(path)))
}

/// Cuts the newest file where it cannot be read any more, if everything promised stands before.
fn cut_torn_tail(
    dir: &Path,
    path: &Path,
    marks: &Marks,
    error: &io::Error,
) -> Result<(), StoreError> {
    let scan = Scan::read(path, false)?;
    // What the log objects to is no damage of a record: records that contradict each other.
    let Some(damage) = scan.damage.as_ref() else {
        return Err(corrupt(dir, format_args!("the log: {error}")));
    };
    if !damage.newest {
        let path = damage.path.display();
        return Err(corrupt(dir, format_args!("{path} is damaged ({})", damage.what)));
    }
    Seen::of_scan(&scan, marks).keep(marks).map_err(|what| corrupt(dir, what))?;
    let file = OpenOptions::new().write(true).open(&damage.path)?;
    let length = file.metadata()?.len();
    tracing::warn!(
        path = %damage.path.display(), length, keep = damage.good, what = damage.what,
        "the log ends in a torn write, which is cut; nothing acknowledged was in it"
    );
    file.set_len(damage.good)?;
    file.sync_all()?;
    Ok(dir::sync(path)?)
}

/// What a log holds, as far as promises are made about it.
pub(super) struct Seen {
    vote: Option<Vote>,
    purged: Option<LogId>,
    /// The first entry and the last one.
    first: Option<LogId>,
    last: Option<LogId>,
    /// The entry at the index that was promised.
    promised: Option<LogId>,
}

fn look_at(log: &RaftLog<Records>, marks: &Marks) -> io::Result<Seen> {
    let state = log.log_state();
    let from = |index: u64| -> io::Result<Option<LogId>> {
        let entry = log.read(index, u64::MAX).next().transpose()?;
        Ok(entry.map(|(entry, _)| id(entry)))
    };
    Ok(Seen {
        vote: state.vote().map(|vote| vote.0),
        purged: state.purged().copied().map(id),
        first: from(0)?,
        last: state.last().copied().map(id),
        promised: marks.last.map_or(Ok(None), |last| from(last.index))?,
    })
}

impl Seen {
    pub(super) fn of_scan(scan: &Scan, marks: &Marks) -> Self {
        let promised = marks.last.and_then(|last| scan.entries.get(&last.index));
        Self {
            vote: scan.vote,
            purged: scan.purged,
            first: scan.entries.first_key_value().map(|(_, entry)| entry.id),
            last: scan.last(),
            promised: promised.map(|entry| entry.id),
        }
    }

    /// Says whether the log keeps what was promised, or what is missing.
    pub(super) fn keep(&self, marks: &Marks) -> Result<(), String> {
        if let Some(vote) = marks.vote {
            let key = |vote: &Vote| (vote.term, vote.committed);
            let other = |ours: &Vote| ours.term == vote.term && ours.node != vote.node;
            if self.vote.is_none_or(|ours| key(&ours) < key(&vote) || other(&ours)) {
                return Err(format!("the vote of term {} is missing from the log", vote.term));
            }
        }
        let start = self.purged.map_or(marks.start, |purged| Some(purged.index + 1));
        let holds = self.last.is_some_and(|last| self.purged.is_none_or(|purged| last > purged));
        if holds && self.first.is_none_or(|first| start.is_some_and(|start| first.index > start)) {
            return Err(format!("the log begins at {:?} instead of {start:?}", self.first));
        }
        if marks.purged > self.purged {
            return Err(format!("the log does not know that it was purged to {:?}", marks.purged));
        }
        let Some(last) = marks.last else { return Ok(()) };
        let purged = self.purged.is_some_and(|purged| purged.index >= last.index);
        if purged || self.promised == Some(last) {
            return Ok(());
        }
        let ends = self.last.map_or(0, |last| last.index);
        Err(format!("entry {} was on disk, but the log ends at {ends}", last.index))
    }
}

/// Log and state, side by side.
pub(super) struct Both {
    pub(super) purged: Option<LogId>,
    pub(super) last: Option<LogId>,
    pub(super) applied: Option<LogId>,
    /// The entry of the log at the index of `applied`.
    pub(super) there: Option<LogId>,
    /// The last entry of the snapshot that was installed last.
    pub(super) installed: Option<LogId>,
}

impl Both {
    /// Says whether they fit together, or why not. True: the log must be purged to where the
    /// state is, for a snapshot was installed and the process ended before that.
    pub(super) fn fit(&self) -> Result<bool, String> {
        let Self { purged, last, applied, .. } = self;
        if purged.map(|purged| purged.index) > applied.map(|applied| applied.index) {
            return Err(format!(
                "the log was purged to {purged:?}, but the state ends at {applied:?}"
            ));
        }
        let Some(applied) = applied else { return Ok(false) };
        if last.is_none_or(|last| last.index < applied.index) {
            return if self.installed == Some(*applied) {
                Ok(true)
            } else {
                Err(format!("the state has applied {applied:?}, but the log ends at {last:?}"))
            };
        }
        if self.there.is_some_and(|there| there != *applied) {
            return Err(format!("the log holds another entry than {applied:?}, which was applied"));
        }
        Ok(false)
    }
}

/// Checks log and state against each other.
fn check_state(
    dir: &Path,
    mut log: RaftLog<Records>,
    state: &State,
) -> Result<RaftLog<Records>, StoreError> {
    let applied = state.mark().applied;
    let there = match applied {
        Some(applied) => log.read(applied.index, applied.index + 1).next().transpose()?,
        None => None,
    };
    let both = Both {
        purged: log.log_state().purged().copied().map(id),
        last: log.log_state().last().copied().map(id),
        applied,
        there: there.map(|(entry, _)| id(entry)),
        installed: state.installed(),
    };
    let purge_now = both.fit().map_err(|what| corrupt(dir, what))?;
    if let Some(applied) = applied.filter(|_| purge_now) {
        purge(&mut log, applied)?;
    }
    Ok(log)
}

fn purge(log: &mut RaftLog<Records>, upto: LogId) -> io::Result<()> {
    let (done, wait) = mpsc::sync_channel(1);
    log.purge(pair(upto))?;
    log.flush(true, Some(super::records::Done::new(move |result| drop(done.send(result)))))?;
    wait.recv().unwrap_or_else(|_| Err(io::Error::other("no sync thread")))
}
