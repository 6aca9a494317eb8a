//! `rustchat dash`: the operator's screen, or one plain frame of it where there
//! is no terminal. It must not know what the screen shows.

use super::args::DashArgs;
use super::connect::targets;
use super::outcome::{End, Failure, Kind, Outcome};
use crate::ui::dash::{self, verdict::Verdict, view};
use crate::{config, telemetry};
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// How long a node may take to answer for the one frame.
const PATIENCE: Duration = Duration::from_secs(2);
/// Columns of the one frame where nothing says how many there are.
const COLUMNS: usize = 120;

/// Shows the nodes until the user leaves, or prints them once.
pub async fn run(args: &DashArgs) -> Outcome {
    let addresses = targets(&args.target)?;
    if args.once || !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        return once(addresses).await;
    }
    // Held until the end: dropping it writes what still waits for the file. An operator's
    // account may have no home; then there is no log.
    let _log = config::dirs::state().ok().and_then(|dir| telemetry::to_file(&dir, "dash"));
    let shown = Box::pin(dash::run(addresses, args.theme.as_deref())).await;
    shown.map(|_| End::Done).map_err(|why| Failure::new(Kind::Io, why))
}

async fn once(addresses: Vec<String>) -> Outcome {
    let model = dash::ask(addresses, PATIENCE).await;
    let columns = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    let mut out = io::stdout().lock();
    writeln!(out, "{}", view::plain(&model, columns.unwrap_or(COLUMNS)).trim_end())?;
    Ok(match Verdict::of(&model) {
        Verdict::Ok => End::Done,
        Verdict::Degraded(_) => End::Degraded,
        Verdict::NoLeader { .. } | Verdict::NoQuorum { .. } | Verdict::Split { .. } => {
            End::NotServing
        }
        Verdict::NoData(_) => End::NoAnswer,
    })
}
