//! `rustchat dash`: the operator's screen, or one plain frame of it where there
//! is no terminal. It must not know what the screen shows.

use super::args::DashArgs;
use super::connect::find_targets;
use super::operate::args::AdminArgs;
use super::operate::{Answer, give};
use super::outcome::{End, Failure, Kind, Outcome};
use super::status::end;
use crate::ui::dash::admin::{Act, Action};
use crate::ui::dash::record::{Round, read_all};
use crate::ui::dash::update::Model;
use crate::ui::dash::{self, Setup, view};
use crate::{config, telemetry};
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
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
    let (addresses, security) = match replay {
        Some(_) => (Vec::new(), args.target.security()?),
        None => find_targets(&args.target, &args.seek).await?,
    };
    if once {
        return print(&dash::ask(addresses, PATIENCE, security).await);
    }
    let setup = Setup {
        addresses,
        security,
        theme: args.theme.clone(),
        act: args.admin.as_ref().map(|address| admin(args, address.as_deref())),
        record: args.record.as_deref().map(recording).transpose()?,
        replay,
    };
    // Held until the end: dropping it writes what still waits for the file. An operator's
    // account may have no home; then there is no log.
    let _log = config::dirs::state().ok().and_then(|dir| telemetry::to_file(&dir, "dash"));
    let shown = Box::pin(dash::run(setup)).await;
    shown.map(|_| End::Done).map_err(|why| Failure::new(Kind::Io, why))
}

/// Makes changes by orders to a server on this machine.
fn admin(args: &DashArgs, address: Option<&str>) -> Act {
    let admin = address.into_iter().map(str::to_owned).collect();
    let to = AdminArgs { admin, nodes: args.target.nodes.clone() };
    Arc::new(move |action| {
        let to = to.clone();
        Box::pin(async move {
            match give(&to, &order(action)).await {
                Ok(Answer::Done(text)) => Ok(text),
                Ok(Answer::Failed(why)) | Err(why) => Err(why.to_string()),
                Ok(Answer::Nobody(text) | Answer::Confirm { text, .. }) => Err(text),
            }
        })
    })
}

/// A change as an order.
fn order(action: Action) -> Value {
    let word = match action {
        Action::Transfer(_) => "transfer",
        Action::Drain(_) => "drain",
        Action::Undrain(_) => "undrain",
        Action::Promote(_) => "promote",
        Action::Remove(_) => "remove",
    };
    json!({ "order": word, "seat": action.seat(), "dry_run": false })
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
