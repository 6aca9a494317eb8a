//! What a stopped server's data says of itself, for who decides which of several servers
//! goes on. It must not know what is decided.

use super::{Head, Left, Where, verify};
use crate::chat::state::State;
use crate::chat::write::Meta;
use crate::store::record::{LogBounds, LogEntry, LogId, Mark, Vote};
use crate::store::{Identity, StoreError, embedded, mongo};

/// What a stopped server's data says of itself.
#[derive(Clone, Debug)]
pub struct Survey {
    /// Whose it is.
    pub identity: Identity,
    /// What the log holds.
    pub bounds: LogBounds,
    /// The vote saved last.
    pub vote: Option<Vote>,
    /// How far the log is known to be committed.
    pub committed: Option<LogId>,
    /// How far the state has come.
    pub mark: Mark,
    /// The cluster, as the state describes it.
    pub meta: Meta,
    /// The log, all of it.
    pub entries: Vec<LogEntry>,
    /// What a server would refuse to start with, in words.
    pub broken: Option<String>,
}

/// Looks into what a stopped server left; changes nothing. Blocks.
///
/// # Errors
/// As [`super::check`].
pub fn survey(place: &Where) -> Result<Survey, StoreError> {
    match place {
        Where::Directory(dir) => look(&embedded::look_inside(dir)?),
        Where::Database(place) => look(&mongo::look_inside(place)?),
    }
}

fn look(left: &dyn Left) -> Result<Survey, StoreError> {
    let (head, entries) = (left.head(), left.entries());
    let mut state = State::default();
    left.load()?.into_iter().for_each(|row| state.load(row));
    let broken = head.broken.clone().or_else(|| verify::log(&head, entries));
    let Head { identity, bounds, vote, committed, mark, .. } = head;
    let (meta, entries) = (state.meta().clone(), entries.values().cloned().collect());
    Ok(Survey { identity, bounds, vote, committed, mark, meta, entries, broken })
}
