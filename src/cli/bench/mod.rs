//! `rustchat bench`: servers of its own where none are given, then the job, then
//! its report and verdict. It must not measure anything itself.

pub mod args;
mod files;
mod hands;
mod long;
mod own;

use super::outcome::{End, Failure, Kind, Outcome};
use super::signals::Signals;
use crate::bench::{self, Bounds, Job, Plan, Verdict};
use crate::chat::text::{printable_json, printable_lines};
use crate::client::Finding;
use crate::client::security::Security;
use crate::config::StoreUrl;
use crate::demo::servers::{Layout, Servers};
use args::{BenchArgs, BoundArgs, JobArgs, LoadArgs, MessagesArgs};
use own::Cluster;
use serde::Serialize;
use std::io::{IsTerminal, Write};

/// Messages, where nothing else is said; between clusters, 2,000 to each of five others.
const STREAM: u64 = 100_000;
const RATE: u64 = 10_000;
const FANOUT: u64 = 2_000;
const LINKS: u64 = 10_000;
/// A window for jobs that have no use for one.
const NO_WINDOW: u64 = 1;

/// Runs the job until it is done or a signal ends it.
pub async fn run(args: &BenchArgs) -> Outcome {
    let mut signals = Signals::new()?;
    tokio::select! {
        ended = Box::pin(measure(&args.job)) => {
            ended.map_err(|why| Failure::new(Kind::Again, why))
        }
        () = signals.next() => Err(Failure::text(Kind::Again, "stopped by a signal")),
    }
}

async fn measure(job: &JobArgs) -> anyhow::Result<End> {
    match job {
        JobArgs::Stream { messages, window } => {
            through(messages, Job::Stream, STREAM, window.window).await
        }
        JobArgs::Latency { messages } => through(messages, Job::Latency, STREAM, NO_WINDOW).await,
        JobArgs::Rate { messages, rate } => {
            through(messages, Job::Rate { per_second: *rate }, RATE, NO_WINDOW).await
        }
        JobArgs::Pairs { messages, window, pairs } => {
            through(messages, Job::Pairs { pairs: *pairs }, STREAM, window.window).await
        }
        JobArgs::Fanout { messages, window, devices } => {
            through(messages, Job::Fanout { devices: *devices }, FANOUT, window.window).await
        }
        JobArgs::Connections(args) => long::connections(args).await,
        JobArgs::Links { clusters, servers, load, window } => {
            let plan = plan(Job::Stream, LINKS, load, window.window)?;
            links(*clusters, *servers, &plan, &load.bounds).await
        }
        JobArgs::Failover(args) => long::failover(args).await,
        JobArgs::History(args) => long::history(args).await,
    }
}

/// A job in which messages go through one cluster; `count` where their number is not given.
async fn through(args: &MessagesArgs, job: Job, count: u64, window: u64) -> anyhow::Result<End> {
    let MessagesArgs { place, load } = args;
    let plan = plan(job, count, load, window)?;
    // Held until the end: dropping it stops the servers and removes their data.
    let cluster = Cluster::of(place).await?;
    let finding = cluster.finding.clone();
    let (own_servers, bad_logins) = (cluster.servers.is_some(), place.bad_logins);
    let report = bench::run(&Plan { own_servers, bad_logins, finding, ..plan }).await;
    cluster.end().await?;
    let report = report?;
    show(load.bounds.json, &report, &report.text(), report.figures.verdict.as_ref())
}

/// What was asked for; `messages` where their number is not given. The cluster is not known yet.
fn plan(job: Job, messages: u64, load: &LoadArgs, window: u64) -> anyhow::Result<Plan> {
    Ok(Plan {
        job,
        messages: load.messages.unwrap_or(messages),
        size: usize::try_from(load.size)?,
        window,
        bad_logins: 0,
        own_servers: true,
        finding: Finding::default(),
        progress: progress(load.bounds.json),
        bounds: bounds(&load.bounds),
    })
}

fn progress(json: bool) -> bool {
    !json && std::io::stderr().is_terminal()
}

const fn bounds(args: &BoundArgs) -> Bounds {
    Bounds { min_rate: args.min_rate, max_p99_ms: args.max_p99 }
}

fn show(
    json: bool,
    report: &impl Serialize,
    text: &str,
    verdict: Option<&Verdict>,
) -> anyhow::Result<End> {
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", printable_json(&serde_json::to_string(report)?))?;
    } else {
        for line in printable_lines(text) {
            writeln!(out, "{line}")?;
        }
    }
    let enough = verdict.is_none_or(|verdict| verdict.passed);
    Ok(if enough { End::Done } else { End::Degraded })
}

/// Several clusters on this machine, which find and trust each other.
async fn links(clusters: u32, servers: u32, plan: &Plan, args: &BoundArgs) -> anyhow::Result<End> {
    let stores = vec![StoreUrl::Embedded; servers as usize];
    let mut own: Vec<Servers> = Vec::new();
    let mut linked = Vec::new();
    for number in 1..=clusters {
        let layout = Layout {
            cluster: format!("c{number}"),
            plain: false,
            discovery: own.first().map(|first| first.discovery),
            trust_new_links: true,
            admin: false,
        };
        let (servers, finding) = own::start(&layout, &stores, Security::default())?;
        linked.push(bench::links::Cluster { name: layout.cluster, finding });
        own.push(servers);
    }
    for cluster in &linked {
        own::wait_for_leader(&cluster.finding).await?;
    }
    let report = bench::links::run(plan, &linked).await?;
    drop(own);
    show(args.json, &report, &report.text(), report.figures.verdict.as_ref())
}
