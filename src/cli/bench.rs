//! `rustchat bench`: servers of its own where none are given, then the job, then
//! its report. It must not measure anything itself.

use super::args::{BenchArgs, JobName};
use super::outcome::{End, Failure, Kind, Outcome};
use super::signals::Signals;
use crate::bench::{self, Job, Plan};
use crate::chat::text::{printable_json, printable_lines};
use crate::client::Finding;
use crate::client::security::Security;
use crate::client::status::status;
use crate::config::StoreUrl;
use crate::demo::servers::{CLUSTER, Servers};
use crate::store::mongo::{self, Place};
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
    let stores = stores(args)?;
    let mut security = Security { trust_new: true, ..args.trust.security() };
    let (own, servers) = match &args.server {
        Some(server) => (None, vec![server.clone()]),
        None => {
            let own = Servers::start_on(&stores, false, args.trust.insecure_plain)
                .context("starting the servers")?;
            let addresses = own.addresses.clone();
            security = security.expecting(own.key);
            (Some(own), addresses)
        }
    };
    wait_for_leader(&servers, security).await?;
    let plan = Plan {
        job: match args.job {
            JobName::Stream => Job::Stream,
            JobName::Latency => Job::Latency,
        },
        messages: args.messages,
        size: usize::try_from(args.size)?,
        window: args.window,
        bad_logins: args.bad_logins,
        own_servers: own.is_some(),
        finding: Finding { servers, security, ..Finding::default() },
        progress: !args.json && std::io::stderr().is_terminal(),
    };
    let report = bench::run(&plan).await;
    if own.is_some() {
        drop(own);
        remove(&stores).await?;
    }
    let report = report?;
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", printable_json(&serde_json::to_string(&report)?))?;
    } else {
        for line in printable_lines(&report.text()) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(End::Done)
}

/// The store of each server: on a MongoDB server a database of its own.
fn stores(args: &BenchArgs) -> anyhow::Result<Vec<StoreUrl>> {
    let store = StoreUrl::parse(&args.store).map_err(|why| anyhow::anyhow!("--store: {why}"))?;
    let run = rand::random::<u32>();
    let of_seat = |seat| store.with_database(&format!("rustchat_bench_{run:08x}_{seat}"));
    let stores: Result<Vec<_>, String> = (1..=args.servers).map(of_seat).collect();
    stores.map_err(|why| anyhow::anyhow!("--store: {why}"))
}

/// Removes the databases of servers that have stopped.
async fn remove(stores: &[StoreUrl]) -> anyhow::Result<()> {
    for (seat, store) in (1..).zip(stores) {
        if let StoreUrl::Mongo(url) = store {
            let (url, cluster_name) = (url.clone(), CLUSTER.to_owned());
            let place = Place { url, cluster_name, cluster: None, seat };
            mongo::remove(&place).await.context("removing the servers' databases")?;
        }
    }
    Ok(())
}

async fn wait_for_leader(servers: &[String], security: Security) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut ask = tokio::time::interval(ASK);
    while start.elapsed() < LEADER_TIME {
        ask.tick().await;
        for server in servers {
            let node = status(server, ASK * 5, security).await;
            if node.is_ok_and(|node| node.leader.is_some()) {
                return Ok(());
            }
        }
    }
    anyhow::bail!("{} has no leader after {LEADER_TIME:?}", servers.join(", "))
}
