//! `rustchat store check`: looks into the data directory, or the database, of a stopped
//! server. It knows how entries are laid out, so that the store need not.

use super::args::StoreCommand;
use super::outcome::{End, Failure, Kind, Outcome};
use super::place;
use crate::chat::command::Command;
use crate::store::StoreError;
use crate::store::check::{self, Replay, Report};
use crate::store::record::LogEntry;
use crate::wire::log::decode_command;
use crate::wire::raft::{Batch, Payload};
use std::io::{self, BufWriter, Write};

/// Checks, and with `--dump` prints what is there.
pub fn run(command: &StoreCommand) -> Outcome {
    let StoreCommand::Check { dump, dir, store, node, nodes } = command;
    let place = place::find(dir.as_deref(), store.as_deref(), *node, nodes.as_deref())?;
    let mut out = BufWriter::new(io::stdout().lock());
    let report = if *dump {
        check::check(&place, &mut out, &commands, true)?
    } else {
        let report = check::check(&place, &mut io::sink(), &commands, true)?;
        summary(&mut out, &report)?;
        report
    };
    out.flush()?;
    match report.broken {
        None => Ok(End::Done),
        Some(what) => Err(Failure::text(Kind::Data, what)),
    }
}

/// The time and the commands in an entry; none in an entry of Raft itself.
pub(super) fn commands(entry: &LogEntry) -> Result<(u64, Vec<Command>), StoreError> {
    let index = entry.id.index;
    let wrong = |why| StoreError::Corrupt(format!("entry {index} of the log: {why}"));
    let Payload::Batch(batch) = Payload::decode(entry.payload.clone()).map_err(wrong)? else {
        return Ok((0, Vec::new()));
    };
    let batch = Batch::decode(batch).map_err(wrong)?;
    let commands = batch.items.into_iter().map(|item| decode_command(item).map_err(wrong));
    Ok((batch.at_ms, commands.collect::<Result<_, _>>()?))
}

fn summary(out: &mut impl Write, report: &Report) -> io::Result<()> {
    let Report { identity, bounds, mark, .. } = report;
    match identity.cluster {
        Some(cluster) => writeln!(out, "cluster        {cluster}")?,
        None => writeln!(out, "cluster        none yet")?,
    }
    writeln!(out, "seat           {}", identity.seat)?;
    let first = bounds.purged.map_or(1, |id| id.index + 1);
    let last = bounds.last.map_or(0, |id| id.index);
    writeln!(out, "log            entries {first} to {last}")?;
    writeln!(out, "applied        {}", mark.applied.map_or(0, |id| id.index))?;
    writeln!(out, "pending        {}", report.pending)?;
    writeln!(out, "users          {}", report.users)?;
    writeln!(out, "conversations  {}", report.conversations)?;
    writeln!(out, "messages       {}", report.messages)?;
    let hash = match report.replay {
        Some(Replay::Whole) => "follows from the log, entry by entry",
        _ => "is the one noted with the last entry; the log's beginning is purged",
    };
    writeln!(out, "rolling hash   {}", if report.broken.is_none() { hash } else { "-" })
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let kind = match &error {
            StoreError::Io(_) => Kind::Io,
            StoreError::Corrupt(_) => Kind::Data,
            StoreError::NotOurs(_) => Kind::Config,
            StoreError::Unavailable(_) => Kind::Unavailable,
        };
        Self::new(kind, error)
    }
}
