//! `rustchat bench`: servers of its own where none are given, then the job, then
//! its report. It must not measure anything itself.

use super::args::{BenchArgs, JobName};
use super::outcome::{End, Failure, Kind, Outcome};
use super::signals::Signals;
use crate::bench::{self, Job, Plan};
use crate::client::Finding;
use crate::client::status::status;
use crate::demo::servers::Servers;
use anyhow::Context;
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// A leader is there long before this, or something is wrong.
const LEADER_TIME: Duration = Duration::from_secs(30);
/// How often the servers are asked for their leader.
const ASK: Duration = Duration::from_millis(100);

/// Runs the job until it is done or a signal ends it.
pub async fn run(args: &BenchArgs) -> Outcome {
    let mut signals = Signals::new()?;
    tokio::select! {
        ended = Box::pin(measure(args)) => ended.map_err(|why| Failure::new(Kind::Again, why)),
        () = signals.next() => Err(Failure::text(Kind::Again, "stopped by a signal")),
    }
}

async fn measure(args: &BenchArgs) -> anyhow::Result<End> {
    // Held until the end: dropping it stops the servers and removes their data.
    let (own, servers) = match &args.server {
        Some(server) => (None, vec![server.clone()]),
        None => {
            let own = Servers::start(args.servers, false).context("starting the servers")?;
            let addresses = own.addresses.clone();
            (Some(own), addresses)
        }
    };
    wait_for_leader(&servers).await?;
    let plan = Plan {
        job: match args.job {
            JobName::Stream => Job::Stream,
            JobName::Latency => Job::Latency,
        },
        messages: args.messages,
        size: usize::try_from(args.size)?,
        window: args.window,
        finding: Finding { servers, ..Finding::default() },
        progress: !args.json && std::io::stderr().is_terminal(),
    };
    let report = bench::run(&plan).await?;
    drop(own);
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", serde_json::to_string(&report)?)?;
    } else {
        writeln!(out, "{}", report.text())?;
    }
    Ok(End::Done)
}

async fn wait_for_leader(servers: &[String]) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut ask = tokio::time::interval(ASK);
    while start.elapsed() < LEADER_TIME {
        ask.tick().await;
        for server in servers {
            if status(server, ASK * 5).await.is_ok_and(|node| node.leader.is_some()) {
                return Ok(());
            }
        }
    }
    anyhow::bail!("{} has no leader after {LEADER_TIME:?}", servers.join(", "))
}
