//! `rustchat status`: asks every node itself and says how the cluster stands. It
//! works without a leader. It must not know what a node does.

use super::args::StatusArgs;
use super::connect::targets;
use super::outcome::{End, Failure, Outcome};
use crate::client::status::ask_all;
use crate::report::document::document;
use crate::report::judge::{Verdict, judge};
use crate::report::table::table;
use std::io::{self, Write};
use std::time::{SystemTime, UNIX_EPOCH};

/// Asks and prints.
///
/// # Errors
/// A `nodes.conf` with mistakes, or an output that is gone.
pub async fn run(args: &StatusArgs) -> Outcome {
    let nodes = ask_all(targets(&args.target)?, args.timeout, None).await;
    let judgement = judge(&nodes);
    let text = if args.json {
        let document = document(&nodes, &judgement, now_ms(), None);
        serde_json::to_string_pretty(&document).map_err(io::Error::from)?
    } else {
        table(&nodes, &judgement)
    };
    match writeln!(io::stdout().lock(), "{text}") {
        Err(why) if why.kind() != io::ErrorKind::BrokenPipe => return Err(Failure::from(why)),
        _ => {}
    }
    Ok(end(judgement.verdict))
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

/// The clock, in milliseconds of UNIX time.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
