//! `rustchat dash`: the operator's screen, or one plain frame of it where there
//! is no terminal. It must not know what the screen shows.

use super::args::DashArgs;
use super::connect::find_targets;
use super::outcome::{End, Failure, Kind, Outcome};
use super::status::end;
use crate::ui::dash::admin::Act;
use crate::ui::dash::record::{Round, read_all};
use crate::ui::dash::update::Model;
use crate::ui::dash::{self, Setup, view};
use crate::{config, telemetry};
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

/// How long a node may take to answer for the one frame.
const PATIENCE: Duration = Duration::from_secs(2);
/// Columns of the one frame where nothing says how many there are.
const COLUMNS: usize = 120;

/// Shows the nodes until the user leaves, or prints them once.
pub async fn run(args: &DashArgs) -> Outcome {
    let replay = args.replay.as_deref().map(recorded).transpose()?;
    let once = args.once || !(io::stdin().is_terminal() && io::stdout().is_terminal());
    if let (true, Some(rounds)) = (once, replay.clone()) {
        return print(&dash::replayed(rounds));
    }
    let addresses = if replay.is_some() { Vec::new() } else { find_targets(&args.target).await? };
    if once {
        return print(&dash::ask(addresses, PATIENCE).await);
    }
    let setup = Setup {
        addresses,
        theme: args.theme.clone(),
        act: if args.admin { Some(admin()?) } else { None },
        record: args.record.as_deref().map(recording).transpose()?,
        replay,
    };
    // Held until the end: dropping it writes what still waits for the file. An operator's
    // account may have no home; then there is no log.
    let _log = config::dirs::state().ok().and_then(|dir| telemetry::to_file(&dir, "dash"));
    let shown = Box::pin(dash::run(setup)).await;
    shown.map(|_| End::Done).map_err(|why| Failure::new(Kind::Io, why))
}

/// How changes are made.
fn admin() -> Result<Act, Failure> {
    let text = "--admin: this program has no way yet to make changes from the screen";
    Err(Failure::text(Kind::Refused, text))
}

fn print(model: &Model) -> Outcome {
    let columns = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let text = view::plain(model, columns.unwrap_or(COLUMNS));
    match writeln!(io::stdout().lock(), "{}", text.trim_end()) {
        Err(why) if why.kind() != io::ErrorKind::BrokenPipe => return Err(Failure::from(why)),
        _ => {}
    }
    Ok(end(dash::verdict(model)))
}

/// Reads a recording.
fn recorded(file: &Path) -> Result<Vec<Round>, Failure> {
    let text = std::fs::read_to_string(file).map_err(|why| {
        let kind = if why.kind() == io::ErrorKind::InvalidData { Kind::Data } else { Kind::Io };
        Failure::text(kind, format!("{}: {why}", file.display()))
    })?;
    let wrong =
        |(line, why)| Failure::text(Kind::Data, format!("{}:{line}: {why}", file.display()));
    read_all(&text).map_err(wrong)
}

/// The file for a recording; never one that is there already.
fn recording(file: &Path) -> Result<File, Failure> {
    let made = File::options().write(true).create_new(true).open(file);
    made.map_err(|why| Failure::text(Kind::Io, format!("{}: {why}", file.display())))
}
