//! `rustchat status`: asks every node itself and says how the cluster stands, once, again and
//! again, or when it is as it should be. It works without a leader. It must not know what a node
//! does.

use super::args::{Goal, StatusArgs};
use super::connect::find_targets;
use super::outcome::{End, Failure, Kind, Outcome};
use super::signals::Signals;
use crate::chat::text::printable_json;
use crate::client::security::Security;
use crate::client::status::ask_all;
use crate::clock::now_ms;
use crate::report::Row;
use crate::report::document::document;
use crate::report::judge::{Judgement, Verdict, judge};
use crate::report::table::table;
use std::io::{self, IsTerminal, Write};
use std::time::Duration;
use tokio::time::Instant;

/// With `--watch` it is printed this often.
const AGAIN: Duration = Duration::from_secs(1);
/// With `--wait` it is asked this often.
const LOOK: Duration = Duration::from_millis(200);
/// Clears a terminal, and puts the next line at its top.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// Asks and prints.
///
/// # Errors
/// A `nodes.conf` with mistakes, an output that is gone, or a wait that took too long.
pub async fn run(args: &StatusArgs) -> Outcome {
    let (targets, security) = find_targets(&args.target, &args.seek).await?;
    if let Some(goal) = args.wait {
        return wait(args, targets, security, goal).await;
    }
    if args.watch {
        return watch(args, targets, security).await;
    }
    let rows = ask_all(targets, args.timeout, None, security).await;
    let judgement = judge(&rows);
    print(args, &rows, &judgement)?;
    Ok(end(judgement.verdict))
}

/// Prints until a signal comes, or nobody reads any more. It ends as the last look says.
async fn watch(args: &StatusArgs, targets: Vec<String>, security: Security) -> Outcome {
    let mut signals = Signals::new()?;
    let clear = !args.json && io::stdout().is_terminal();
    let mut last = End::Done;
    let mut every = tokio::time::interval(AGAIN);
    loop {
        let look = async {
            every.tick().await;
            ask_all(targets.clone(), args.timeout, None, security).await
        };
        let rows = tokio::select! {
            rows = look => rows,
            () = signals.next() => return Ok(last),
        };
        let judgement = judge(&rows);
        last = end(judgement.verdict);
        if clear {
            write!(io::stdout().lock(), "{CLEAR}")?;
        }
        if !print(args, &rows, &judgement)? {
            return Ok(last);
        }
    }
}

/// Looks until the goal is reached, then prints.
async fn wait(args: &StatusArgs, targets: Vec<String>, security: Security, goal: Goal) -> Outcome {
    let until = Instant::now() + args.within;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let patience = args.timeout.min(left.max(LOOK));
        let rows = ask_all(targets.clone(), patience, None, security).await;
        let judgement = judge(&rows);
        if is_reached(goal, &rows, &judgement) {
            print(args, &rows, &judgement)?;
            return Ok(end(judgement.verdict).for_a_goal(goal));
        }
        if Instant::now() + LOOK >= until {
            print(args, &rows, &judgement)?;
            let text = format!("--wait: it is not so within {:?}", args.within);
            return Err(Failure::text(Kind::Again, text));
        }
        tokio::time::sleep(LOOK).await;
    }
}

impl End {
    /// Whoever waits for a leader or an index has it, also where something else is missing.
    const fn for_a_goal(self, goal: Goal) -> Self {
        match goal {
            Goal::Healthy => self,
            Goal::Leader | Goal::Applied(_) => Self::Done,
        }
    }
}

fn is_reached(goal: Goal, rows: &[Row], judgement: &Judgement) -> bool {
    let serves = matches!(judgement.verdict, Verdict::Healthy | Verdict::Degraded);
    match goal {
        Goal::Healthy => judgement.verdict == Verdict::Healthy,
        Goal::Leader => serves && judgement.leader.is_some(),
        Goal::Applied(index) => {
            // Nobody who votes may be missing.
            let mut voters =
                rows.iter().filter(|row| row.fresh().is_none_or(|status| status.role != "learner"));
            judgement.voters.is_some_and(|voters| judgement.live == voters)
                && voters.all(|row| row.fresh().is_some_and(|status| status.applied >= index))
        }
    }
}

/// Prints one look; false where nobody reads any more.
fn print(args: &StatusArgs, rows: &[Row], judgement: &Judgement) -> Result<bool, Failure> {
    let text = if args.json {
        let document = document(rows, judgement, now_ms(), None);
        if args.watch { Ok(document.to_string()) } else { serde_json::to_string_pretty(&document) }
    } else {
        Ok(table(rows, judgement))
    };
    let text = text.map_err(io::Error::from)?;
    let text = if args.json { printable_json(&text) } else { text.into() };
    // Looks that follow each other are told apart by an empty line.
    let gap = if args.watch && !args.json { "\n" } else { "" };
    match writeln!(io::stdout().lock(), "{text}{gap}") {
        Err(why) if why.kind() == io::ErrorKind::BrokenPipe => Ok(false),
        result => Ok(result.map(|()| true)?),
    }
}

/// How a command that looked at a cluster ends.
pub const fn end(verdict: Verdict) -> End {
    match verdict {
        Verdict::Healthy => End::Done,
        Verdict::Degraded => End::Degraded,
        Verdict::Electing | Verdict::NoLeader | Verdict::NoQuorum | Verdict::SplitView => {
            End::NotServing
        }
        Verdict::Unreachable => End::NoAnswer,
    }
}
