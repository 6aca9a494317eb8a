//! What a look into a stopped server's data prints, a line for each thing. It must not
//! know where the data lies.

use super::{Decode, Report};
use crate::chat::link::{Imported, Link, Stop, Trust};
use crate::chat::message::{KIND_TEXT, Run};
use crate::chat::state::State;
use crate::chat::text::literal;
use crate::chat::write::{Kind, Write};
use crate::store::record::{LogBounds, LogEntry, LogId};
use crate::store::{Identity, StoreError};
use std::collections::BTreeMap;
use std::io::{self, Write as Out};

/// Whose data it is, and what the log holds.
pub(super) fn head(out: &mut dyn Out, report: &Report) -> io::Result<()> {
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
    writeln!(out, "state applied {} hash {hash}", id(report.mark.applied))
}

/// The last line: whether everything fits.
pub(super) fn end(out: &mut dyn Out, report: &Report) -> io::Result<()> {
    match &report.broken {
        Some(what) => writeln!(out, "broken {}", literal(what)),
        None => writeln!(out, "whole"),
    }
}

/// Users, conversations and other clusters; counts the first two.
pub(super) fn state(out: &mut dyn Out, report: &mut Report, state: &State) -> io::Result<()> {
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
            Write::Link(row) if !row.is_free() => link(out, &row)?,
            _ => (),
        }
    }
    Ok(())
}

/// Another cluster.
fn link(out: &mut dyn Out, link: &Link) -> io::Result<()> {
    let (number, cluster) = (link.number, link.cluster);
    let (alias, name) = (literal(&link.alias), literal(&link.name));
    let trust = match link.trust {
        Trust::Seen => "seen",
        Trust::Trusted => "trusted",
        Trust::Distrusted => "distrusted",
        Trust::Stopped(Stop::OtherHistory) => "stopped-other-history",
        Trust::Stopped(Stop::RolledBack) => "stopped-rolled-back",
    };
    let Imported { generation, position, .. } = link.imported;
    let (exported, down, rows) = (link.exported.position, link.turned_down, link.rows);
    writeln!(
        out,
        "link {number} cluster {cluster} trust {trust} imported {position} generation {generation} \
         exported {exported} turned-down {down} rows {rows} alias {alias} name {name}"
    )
}

fn name(state: &State, user: crate::chat::ids::UserId) -> String {
    let name = state.name_of(user);
    if name.is_empty() { user.to_string() } else { name }
}

/// The messages of a run.
pub(super) fn run(out: &mut dyn Out, state: &State, run: &Run, applied: bool) -> io::Result<()> {
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
            Ok(text) if body.kind == KIND_TEXT => writeln!(out, "text {}", literal(text))?,
            _ => writeln!(out, "kind {} bytes {}", body.kind, body.data.len())?,
        }
    }
    Ok(())
}

/// Applies what the log holds beyond the state, and prints the messages that come of it.
pub(super) fn pending(
    out: &mut dyn Out,
    state: &mut State,
    entries: &BTreeMap<u64, LogEntry>,
    from: u64,
    decode: Decode<'_>,
) -> Result<(), StoreError> {
    for (_, entry) in entries.range(from..) {
        let (at_ms, commands) = decode(entry)?;
        let applied = state.apply(at_ms, &commands);
        for write in applied.writes {
            if let Write::History { runs, .. } = write {
                for one in &runs {
                    run(out, state, one, false)?;
                }
            }
        }
    }
    Ok(())
}
