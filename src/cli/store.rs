//! `rustchat store check`: looks into the data directory of a stopped server. It
//! knows how entries are laid out, so that the store need not.

use super::args::StoreCommand;
use super::outcome::{End, Failure, Kind, Outcome};
use crate::chat::command::Command;
use crate::store::StoreError;
use crate::store::check::{self, Report};
use crate::store::record::LogEntry;
use crate::wire::log::decode_command;
use crate::wire::raft::{Batch, Payload};
use std::io::{self, BufWriter, Write};

/// Checks, and with `--dump` prints what is there.
pub fn run(command: &StoreCommand) -> Outcome {
    let StoreCommand::Check { dump, dir } = command;
    let mut out = BufWriter::new(io::stdout().lock());
    let report = if *dump {
        check::dump(dir, &mut out, &commands)?
    } else {
        let report = check::check(dir)?;
        summary(&mut out, &report)?;
        report
    };
    out.flush()?;
    match report.broken {
        None => Ok(End::Done),
        Some(what) => Err(Failure::text(Kind::Data, what)),
    }
}

/// The commands in an entry; none in an entry of Raft itself.
fn commands(entry: &LogEntry) -> Result<Vec<Command>, StoreError> {
    let index = entry.id.index;
    let wrong = |why| StoreError::Corrupt(format!("entry {index} of the log: {why}"));
    let Payload::Batch(batch) = Payload::decode(entry.payload.clone()).map_err(wrong)? else {
        return Ok(Vec::new());
    };
    let batch = Batch::decode(batch).map_err(wrong)?;
    batch.items.into_iter().map(|item| decode_command(item).map_err(wrong)).collect()
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
    writeln!(out, "messages       {}", report.messages)
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
