//! A stopped server's directory, open to be looked at and not changed. It must not know
//! what is looked for.

use super::dir::{self, Found, GUARD, LOG, STATE, corrupt};
use super::guard_file::SlotFile;
use super::records::Scan;
use super::recover::{Both, Seen};
use super::state::State;
use crate::chat::ids::ConversationId;
use crate::chat::write::Write;
use crate::store::check::{Head, Left};
use crate::store::record::{LogBounds, LogEntry};
use crate::store::tables::{self, Page};
use crate::store::{Identity, StoreError};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Bytes of history read at a time.
const PAGE: usize = 1 << 20;

/// What a stopped node's directory holds.
pub(in crate::store) struct Inside {
    /// Keeps other processes out.
    _lock: dir::Lock,
    identity: Identity,
    log: Scan,
    /// Opened in a copy of its files.
    state: State,
    broken: Option<String>,
    _scratch: Scratch,
}

/// Reads a directory without changing it. The state is copied, for opening it writes.
///
/// # Errors
/// `NotOurs` where a process uses it or it holds no data, `Corrupt` where it cannot be read.
pub(in crate::store) fn look_inside(dir: &Path) -> Result<Inside, StoreError> {
    let nothing = || StoreError::NotOurs(format!("{} holds no rustchat data", dir.display()));
    if !dir.join(LOG).is_dir() {
        return Err(nothing());
    }
    let lock = dir::lock(dir)?;
    let Found::Data(identity) = dir::look(dir)? else { return Err(nothing()) };
    let (_, marks) = SlotFile::read(&dir.join(GUARD))?
        .ok_or_else(|| corrupt(dir, "the guard file is damaged"))?;
    let log = Scan::read(&dir.join(LOG), true)?;
    let damage = log.damage.as_ref().filter(|damage| !damage.newest);
    let damage = damage.map(|damage| format!("{}: {}", damage.path.display(), damage.what));
    let kept = Seen::of_scan(&log, &marks).keep(&marks).err();
    let scratch = Scratch::new();
    dir::copy(&dir.join(STATE), &scratch.0)?;
    let state = State::open(&scratch.0)?;
    let applied = state.mark().applied;
    let there = applied.and_then(|applied| log.entries.get(&applied.index));
    let both = Both {
        purged: log.purged,
        last: log.last(),
        applied,
        there: there.map(|entry| entry.id),
        installed: state.installed(),
    };
    let broken = damage.or(kept).or(both.fit().err());
    Ok(Inside { _lock: lock, identity, log, state, broken, _scratch: scratch })
}

impl Left for Inside {
    fn head(&self) -> Head {
        Head {
            identity: self.identity,
            bounds: LogBounds { purged: self.log.purged, last: self.log.last() },
            vote: self.log.vote,
            committed: self.log.committed,
            mark: self.state.mark(),
            broken: self.broken.clone(),
        }
    }

    fn entries(&self) -> &BTreeMap<u64, LogEntry> {
        &self.log.entries
    }

    fn load(&self) -> Result<Vec<Write>, StoreError> {
        self.state.ask(tables::load)
    }

    fn export(
        &self,
        after: Option<(u64, ConversationId)>,
        upto: u64,
    ) -> Result<Option<Page>, StoreError> {
        self.state.ask(|tables| tables::export(tables, after, upto, PAGE))
    }

    fn hash_at(&self, index: u64) -> Result<Option<[u8; 32]>, StoreError> {
        self.state.hash_at(index)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // Of a copy that is removed: whether its files are written makes no difference.
        drop(self.state.close());
    }
}

/// A directory that is removed in the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("rustchat-check-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
