//! `rustchat backup`: a cluster in a file, and a new cluster from one. It must not know what a
//! backup looks like inside.

pub mod args;

mod create;
mod fetch;
mod restore;
mod target;

use super::outcome::{End, Failure, Kind, Outcome};
use super::talk::rfc3339;
use crate::chat::text::{printable, printable_json};
use crate::server::backup::{BackupError, Checked, check, inspect};
use crate::store::StoreError;
use args::BackupCommand;
use serde_json::json;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::Path;

/// Runs the command.
pub fn run(command: &BackupCommand) -> Outcome {
    match command {
        BackupCommand::Create(args) => create::run(args),
        BackupCommand::Inspect { file, json } => {
            let checked = inspect(open(file)?, |_, _| Ok(())).map_err(|why| about(file, why))?;
            print(&checked, *json)
        }
        BackupCommand::Verify { file } => {
            let checked = verify(file)?;
            say(&format!("{}: whole, {}", file.display(), summary(&checked)))
        }
        BackupCommand::Restore { file, place, move_aside, bump } => {
            restore::run(file, place, *move_aside, *bump)
        }
    }
}

fn open(file: &Path) -> Result<BufReader<File>, Failure> {
    let file_name = file.display();
    let opened =
        File::open(file).map_err(|why| Failure::text(Kind::Io, format!("{file_name}: {why}")))?;
    Ok(BufReader::with_capacity(1 << 20, opened))
}

/// Reads all of it.
fn verify(file: &Path) -> Result<Checked, Failure> {
    check(open(file)?).map_err(|why| about(file, why))
}

fn about(file: &Path, error: BackupError) -> Failure {
    let failure = Failure::from(error);
    Failure { kind: failure.kind, error: failure.error.context(file.display().to_string()) }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Store(StoreError::NotOurs(text)) | BackupError::Refused(text) => {
                Self::text(Kind::Refused, text)
            }
            BackupError::Store(error) => error.into(),
            BackupError::Damaged(_) => Self::new(Kind::Data, error),
            BackupError::Io(_) => Self::new(Kind::Io, error),
            BackupError::NoQuorum => Self::new(Kind::Unavailable, error),
        }
    }
}

fn say(line: &str) -> Outcome {
    writeln!(io::stdout().lock(), "{}", printable(line))?;
    Ok(End::Done)
}

fn summary(checked: &Checked) -> String {
    let Checked { head, counts } = checked;
    format!(
        "cluster {} at entry {}: {} users, {} conversations, {} messages",
        head.cluster, head.applied.index, counts.users, counts.conversations, counts.messages
    )
}

fn print(checked: &Checked, as_json: bool) -> Outcome {
    let Checked { head, counts } = checked;
    let at = rfc3339(head.at_ms);
    if as_json {
        let document = json!({
            "applied": head.applied, "at": at,
            "cluster": { "generation": head.generation, "id": head.cluster,
                "name": head.cluster_name },
            "counts": counts, "format": head.format, "hash": head.hash,
            "members": head.members, "offline": head.offline, "schema": 1,
            "seat": head.seat.to_string(), "stale": head.stale, "store": head.store,
            "version": head.version,
        });
        return say(&printable_json(&document.to_string()));
    }
    let mut out = io::stdout().lock();
    let yes = |yes: bool, text: &'static str| if yes { text } else { "no" };
    writeln!(
        out,
        "cluster        {} ({})",
        printable(&head.cluster),
        printable(&head.cluster_name)
    )?;
    writeln!(out, "generation     {}", head.generation)?;
    writeln!(out, "made           {at} by rustchat {}", printable(&head.version))?;
    writeln!(out, "from           seat {}, store {}", head.seat, printable(&head.store))?;
    writeln!(out, "entry          {} of term {}", head.applied.index, head.applied.term)?;
    writeln!(out, "stopped server {}", yes(head.offline, "yes"))?;
    writeln!(out, "stale          {}", yes(head.stale, "perhaps: no majority was asked"))?;
    writeln!(out, "users          {}", counts.users)?;
    writeln!(out, "devices        {}", counts.devices)?;
    writeln!(out, "conversations  {}", counts.conversations)?;
    writeln!(out, "messages       {}", counts.messages)?;
    for member in &head.members {
        let role = if member.voter { "voter" } else { "learner" };
        writeln!(out, "member         {} at {} ({role})", member.id, printable(&member.host))?;
    }
    Ok(End::Done)
}
