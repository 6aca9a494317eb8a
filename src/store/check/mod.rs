//! A look into what a stopped server left, that changes nothing: is it whole, and what does
//! it hold? It must not know how commands are laid out in the entries of the log; the
//! caller says that.

mod exports;
mod print;
mod survey;
#[cfg(test)]
mod tests;
mod verify;

pub use exports::Exports;
pub use survey::{Survey, survey};
pub use verify::Replay;

use super::record::{LogBounds, LogEntry, LogId, Mark, Table, Vote};
use super::tables::{self, Page};
use super::{Identity, StoreError, embedded, mongo};
use crate::chat::command::Command;
use crate::chat::ids::ConversationId;
use crate::chat::state::State;
use crate::chat::write::Write;
use crate::wire::stored;
use std::collections::BTreeMap;
use std::io::Write as Out;
use std::path::PathBuf;

/// Reads the time and the commands of an entry; none of an entry of Raft itself.
pub type Decode<'a> = &'a dyn Fn(&LogEntry) -> Result<(u64, Vec<Command>), StoreError>;

/// Where a stopped server's data is.
#[derive(Clone, Debug)]
pub enum Where {
    /// In its data directory.
    Directory(PathBuf),
    /// In its database.
    Database(mongo::Place),
}

/// What a server's data says of itself.
#[derive(Clone, Debug)]
pub(super) struct Head {
    pub(super) identity: Identity,
    pub(super) bounds: LogBounds,
    pub(super) vote: Option<Vote>,
    pub(super) committed: Option<LogId>,
    pub(super) mark: Mark,
    /// What a server would refuse to start with.
    pub(super) broken: Option<String>,
}

/// A stopped server's data, open to be looked at.
pub(super) trait Left {
    fn head(&self) -> Head;

    /// The log, all of it.
    fn entries(&self) -> &BTreeMap<u64, LogEntry>;

    /// As [`super::Store::load`].
    fn load(&self) -> Result<Vec<Write>, StoreError>;

    /// As [`super::Store::export`].
    fn export(
        &self,
        after: Option<(u64, ConversationId)>,
        upto: u64,
    ) -> Result<Option<Page>, StoreError>;

    /// As [`super::Store::hash_at`].
    fn hash_at(&self, index: u64) -> Result<Option<[u8; 32]>, StoreError>;
}

/// What a server's data holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
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
    /// Users in the state.
    pub users: u64,
    /// Conversations in the state.
    pub conversations: u64,
    /// Messages in the state.
    pub messages: u64,
    /// Entries of the log that are not in the state yet.
    pub pending: u64,
    /// How far the rolling hash was followed; `None` where nobody could read the entries.
    pub replay: Option<Replay>,
    /// What is wrong, in words; `None`: everything fits.
    pub broken: Option<String>,
}

/// Checks what a stopped server left and prints what it holds, a line for each user,
/// conversation and message:
///
/// `message ID conversation ID seq N from USER text TEXT`
///
/// Messages of log entries that are not applied yet have `-` for their seq: they may still be
/// replaced. Control characters in texts are escaped. With `replay` the log is applied anew,
/// where it is all there, and must come to the same state and rolling hash.
///
/// # Errors
/// `NotOurs` where a process uses it or there is no data, `Corrupt` where it cannot be read,
/// `Unavailable` where a database does not answer, and `Io` where it cannot be printed.
pub fn check(
    place: &Where,
    out: &mut dyn Out,
    decode: Decode<'_>,
    replay: bool,
) -> Result<Report, StoreError> {
    match place {
        Where::Directory(dir) => look(&embedded::look_inside(dir)?, out, decode, replay),
        Where::Database(place) => look(&mongo::look_inside(place)?, out, decode, replay),
    }
}

fn look(
    left: &dyn Left,
    out: &mut dyn Out,
    decode: Decode<'_>,
    replay: bool,
) -> Result<Report, StoreError> {
    let (head, entries) = (left.head(), left.entries());
    let mut state = State::default();
    left.load()?.into_iter().for_each(|row| state.load(row));
    let from = head.mark.applied.map_or(0, |applied| applied.index + 1);
    let mut report = Report {
        identity: head.identity,
        bounds: head.bounds,
        vote: head.vote,
        committed: head.committed,
        pending: entries.range(from..).count() as u64,
        mark: head.mark.clone(),
        users: 0,
        conversations: 0,
        messages: 0,
        replay: None,
        broken: head.broken.clone().or_else(|| verify::log(&head, entries)),
    };
    print::head(out, &report)?;
    print::state(out, &mut report, &state)?;
    let history = follow(left, out, &mut report, &state)?;
    report.broken = report.broken.or(history.end(&state)).or(noted(left, &head)?);
    if replay {
        let (how, broken) = verify::replay(&head, entries, &state, &history, decode)?;
        report.replay = Some(how);
        report.broken = report.broken.or(broken);
    }
    print::pending(out, &mut state, entries, from, decode)?;
    print::end(out, &report)?;
    Ok(report)
}

/// Prints all messages, counts them, and follows them.
fn follow(
    left: &dyn Left,
    out: &mut dyn Out,
    report: &mut Report,
    state: &State,
) -> Result<verify::History, StoreError> {
    let (mut history, mut after) = (verify::History::default(), None);
    let Some(applied) = report.mark.applied else { return Ok(history) };
    while let Some((rows, place)) = left.export(after, applied.index)? {
        after = Some(place);
        for row in rows {
            match row.table {
                Table::Exports => {
                    history.told(&row).map_err(tables::unreadable)?;
                    continue;
                }
                Table::History => history.row(&row),
                _ => continue,
            }
            for run in stored::decode_runs(row.value).map_err(tables::unreadable)?.0 {
                report.messages += run.count();
                history.take(&run);
                print::run(out, state, &run, true)?;
            }
        }
    }
    Ok(history)
}

/// The rolling hash noted with the last entry applied must be the mark's.
fn noted(left: &dyn Left, head: &Head) -> Result<Option<String>, StoreError> {
    let Some(applied) = head.mark.applied else { return Ok(None) };
    let same = left.hash_at(applied.index)? == Some(head.mark.hash);
    let text = || format!("the rolling hash at entry {} is not the one noted", applied.index);
    Ok((!same).then(text))
}
