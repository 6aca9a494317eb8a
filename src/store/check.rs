//! A look into a stopped server's data directory, that changes nothing: is it
//! whole, and what does it hold? It must not know how commands are laid out in the
//! entries of the log; the caller says that.

use super::embedded::look_inside;
use super::record::{LogBounds, LogEntry, LogId, Mark, Table, Vote};
use super::{Identity, StoreError, tables};
use crate::chat::command::Command;
use crate::chat::message::{KIND_TEXT, Run};
use crate::chat::state::State;
use crate::chat::write::{Kind, Write};
use crate::wire::stored;
use std::collections::BTreeMap;
use std::io::{self, Write as Out};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Bytes of history read at a time.
const PAGE: usize = 1 << 20;

/// Reads the commands of an entry; none of an entry of Raft itself.
pub type Decode<'a> = &'a dyn Fn(&LogEntry) -> Result<Vec<Command>, StoreError>;

/// What a data directory holds.
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
    /// What is wrong, in words: a server would refuse to start with it.
    pub broken: Option<String>,
}

/// Checks the directory of a stopped server.
///
/// # Errors
/// `NotOurs` where a process uses it or it holds no data, `Corrupt` where it cannot be read.
pub fn check(dir: &Path) -> Result<Report, StoreError> {
    dump(dir, &mut io::sink(), &|_| Ok(Vec::new()))
}

/// Checks the directory of a stopped server and prints what it holds, a line for each user,
/// conversation and message:
///
/// `message ID conversation ID seq N from USER text TEXT`
///
/// Messages of log entries that are not applied yet have `-` for their seq: they may still be
/// replaced. Control characters in texts are escaped.
///
/// # Errors
/// As [`check`], and `Io` where it cannot be printed.
pub fn dump(dir: &Path, out: &mut dyn Out, decode: Decode<'_>) -> Result<Report, StoreError> {
    let scratch = Scratch::new();
    let inside = look_inside(dir, &scratch.0)?;
    let mark = inside.state.mark();
    let mut state = State::default();
    inside.state.ask(tables::load)?.into_iter().for_each(|row| state.load(row));
    let from = mark.applied.map_or(0, |applied| applied.index + 1);
    let mut report = Report {
        identity: inside.identity,
        bounds: LogBounds { purged: inside.log.purged, last: inside.log.last() },
        vote: inside.log.vote,
        committed: inside.log.committed,
        pending: inside.log.entries.range(from..).count() as u64,
        mark,
        users: 0,
        conversations: 0,
        messages: 0,
        broken: inside.broken,
    };
    print_head(out, &report)?;
    print_state(out, &mut report, &state)?;
    let upto = report.mark.applied.map_or(0, |applied| applied.index);
    let mut after = None;
    while let Some((rows, place)) =
        inside.state.ask(|tables| tables::export(tables, after, upto, PAGE))?
    {
        after = Some(place);
        for row in rows.into_iter().filter(|row| row.table == Table::History) {
            for run in stored::decode_runs(row.value).map_err(tables::unreadable)?.0 {
                report.messages += run.count();
                print_run(out, &state, &run, true)?;
            }
        }
    }
    print_pending(out, &mut state, inside.log.entries, from, decode)?;
    inside.state.close()?;
    Ok(report)
}

fn print_head(out: &mut dyn Out, report: &Report) -> io::Result<()> {
    let id = |id: Option<LogId>| {
        id.map_or_else(|| "-".to_owned(), |id| format!("{} term {}", id.index, id.term))
    };
    let Identity { cluster, generation, seat, raft_id, .. } = &report.identity;
    let cluster = cluster.map_or_else(|| "-".to_owned(), |cluster| cluster.to_string());
    writeln!(
        out,
        "identity cluster {cluster} generation {generation} seat {seat} raft-id {raft_id}"
    )?;
    let LogBounds { purged, last } = report.bounds;
    writeln!(
        out,
        "log purged {} last {} committed {}",
        id(purged),
        id(last),
        id(report.committed)
    )?;
    match report.vote {
        Some(vote) => writeln!(
            out,
            "vote term {} for raft-id {}{}",
            vote.term,
            vote.node,
            if vote.committed { " which led" } else { "" }
        )?,
        None => writeln!(out, "vote -")?,
    }
    let hash: String = report.mark.hash.iter().map(|byte| format!("{byte:02x}")).collect();
    writeln!(out, "state applied {} hash {hash}", id(report.mark.applied))?;
    match &report.broken {
        Some(what) => writeln!(out, "broken {}", what.escape_debug()),
        None => writeln!(out, "whole"),
    }
}

fn print_state(out: &mut dyn Out, report: &mut Report, state: &State) -> io::Result<()> {
    for row in state.rows() {
        match row {
            Write::User(user) => {
                report.users += 1;
                writeln!(out, "user {} name {}", user.id, user.name.as_str())?;
            }
            Write::Conversation(room) => {
                report.conversations += 1;
                let kind = match room.kind {
                    Kind::Direct => "direct",
                    Kind::Room => "room",
                };
                let members: Vec<_> = room.members.iter().map(|id| name(state, *id)).collect();
                let (id, last, members) = (room.id, room.last_seq, members.join(","));
                writeln!(out, "conversation {id} {kind} last-seq {last} members {members}")?;
            }
            _ => (),
        }
    }
    Ok(())
}

fn name(state: &State, user: crate::chat::ids::UserId) -> String {
    state.user(user).map_or_else(|| user.to_string(), |user| user.name.as_str().to_owned())
}

fn print_run(out: &mut dyn Out, state: &State, run: &Run, applied: bool) -> io::Result<()> {
    let from = name(state, run.sender);
    for (body, offset) in run.bodies.iter().zip(0..) {
        let seq = if applied { (run.first_seq + offset).to_string() } else { "-".to_owned() };
        write!(
            out,
            "message {} conversation {} seq {seq} from {from} ",
            run.id(offset),
            run.conversation
        )?;
        match std::str::from_utf8(&body.data) {
            Ok(text) if body.kind == KIND_TEXT => writeln!(out, "text {}", text.escape_debug())?,
            _ => writeln!(out, "kind {} bytes {}", body.kind, body.data.len())?,
        }
    }
    Ok(())
}

/// Applies what the log holds beyond the state, and prints the messages that come of it.
fn print_pending(
    out: &mut dyn Out,
    state: &mut State,
    entries: BTreeMap<u64, LogEntry>,
    from: u64,
    decode: Decode<'_>,
) -> Result<(), StoreError> {
    for (_, entry) in entries.range(from..) {
        let applied = state.apply(0, &decode(entry)?);
        for write in applied.writes {
            if let Write::History { runs, .. } = write {
                for run in &runs {
                    print_run(out, state, run, false)?;
                }
            }
        }
    }
    Ok(())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::samples::{Sample, append, entry, take};
    use crate::store::{Store, embedded};
    use std::collections::BTreeMap;
    use std::fs;

    /// Every file with its content, but for the locks.
    fn content(dir: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) {
        for file in fs::read_dir(dir).unwrap() {
            let path = file.unwrap().path();
            if path.is_dir() {
                content(&path, into);
            } else if !path.to_string_lossy().to_lowercase().ends_with("lock") {
                into.insert(path.clone(), fs::read(path).unwrap());
            }
        }
    }

    #[tokio::test]
    async fn a_dump_shows_everything_and_changes_nothing() {
        let temp = tempfile::tempdir().unwrap();
        let dir = temp.path().join("data");
        let store = embedded::open(&dir, 1, None).unwrap();
        assert!(matches!(check(&dir), Err(StoreError::NotOurs(_))), "in use");
        store.save_vote(Vote { term: 1, node: 3, committed: true }).await.unwrap();
        let mut sample = Sample::new();
        take(&store, sample.found()).await.unwrap();
        take(&store, sample.send(&["first", "second\n\u{1b}[2J"])).await.unwrap();
        append(&store, vec![entry(1, 2)]).await.unwrap();
        store.close().await.unwrap();
        drop(store);

        let mut before = BTreeMap::new();
        content(&dir, &mut before);
        let mut out = Vec::new();
        let third = sample.command(&["third"]);
        let report = dump(&dir, &mut out, &|entry| {
            assert_eq!(entry.id.index, 2, "only what is not applied");
            Ok(vec![third.clone()])
        })
        .unwrap();
        let mut after = BTreeMap::new();
        content(&dir, &mut after);
        assert!(before == after, "nothing is changed");

        let text = String::from_utf8(out).unwrap();
        assert_eq!((report.users, report.conversations, report.messages), (2, 1, 2));
        assert_eq!((report.pending, report.broken.clone()), (1, None));
        for part in [
            "seat 1",
            "vote term 1 for raft-id 3 which led",
            "name alice",
            "seq 1 from alice text first\n",
            "seq 2 from alice text second\\n\\u{1b}[2J\n",
            "seq - from alice text third\n",
            "whole\n",
        ] {
            assert!(text.contains(part), "{part:?} in\n{text}");
        }
        assert_eq!(check(&dir).unwrap(), report);
    }
}
