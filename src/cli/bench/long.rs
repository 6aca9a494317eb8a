//! Jobs that do something to servers of their own: they are killed, or filled. It must not measure
//! anything itself.

use super::args::{ConnectionsArgs, FailoverArgs, HistoryArgs};
use super::files;
use super::own::own;
use super::{progress, show};
use crate::bench::{connections, failover, history};
use crate::cli::outcome::End;
use std::time::Duration;

/// `rustchat bench failover`.
pub async fn failover(args: &FailoverArgs) -> anyhow::Result<End> {
    let (mut servers, finding) = own(&args.own).await?;
    let plan = failover::Plan {
        kills: args.rounds,
        planned: args.planned,
        per_second: args.rate,
        size: usize::try_from(args.size)?,
        finding,
        progress: progress(args.json),
        bounds: failover::Bounds {
            max_median_s: args.max_median,
            max_longest_s: args.max_longest,
            max_pause_ms: args.max_pause,
        },
    };
    let report = failover::run(&plan, &mut servers).await?;
    show(args.json, &report, &report.text(), Some(&report.verdict))
}

/// `rustchat bench history`.
pub async fn history(args: &HistoryArgs) -> anyhow::Result<End> {
    let (mut servers, finding) = own(&args.own).await?;
    let plan = history::Plan {
        stored: args.stored,
        users: args.users,
        messages: args.messages,
        pages: args.pages,
        size: usize::try_from(args.size)?,
        window: args.window.window,
        finding,
        progress: progress(args.json),
        bounds: history::Bounds {
            max_page_p99_ms: args.max_page_p99,
            max_restart_s: args.max_restart,
            max_resident_mib: args.max_resident,
            min_ratio: args.min_ratio,
        },
    };
    let report = history::run(&plan, &mut servers).await?;
    show(args.json, &report, &report.text(), report.verdict.as_ref())
}

/// `rustchat bench connections`.
pub async fn connections(args: &ConnectionsArgs) -> anyhow::Result<End> {
    files::allow(args.clients)?;
    let (mut servers, finding) = own(&args.own).await?;
    let bounds = &args.bounds;
    let plan = connections::Plan {
        clients: args.clients,
        idle: Duration::from_secs(args.idle),
        finding,
        progress: progress(bounds.json),
        bounds: connections::Bounds {
            max_client_bytes: bounds.max_client_bytes,
            max_resume_s: bounds.max_resume,
        },
    };
    let report = connections::run(&plan, &mut servers).await?;
    show(bounds.json, &report, &report.text(), report.verdict.as_ref())
}
