//! `rustchat bench`: servers of its own where none are given, then the job, then
//! its report and verdict. It must not measure anything itself.

pub mod args;

use super::outcome::{End, Failure, Kind, Outcome};
use super::signals::Signals;
use crate::bench::{self, Bounds, Job, Plan, Verdict};
use crate::chat::text::{printable_json, printable_lines};
use crate::client::Finding;
use crate::client::security::Security;
use crate::client::status::status;
use crate::config::StoreUrl;
use crate::demo::servers::{CLUSTER, Layout, Servers};
use crate::store::mongo::{self, Place};
use anyhow::Context;
use args::{BenchArgs, JobName};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// A leader is there long before this, or something is wrong.
const LEADER_TIME: Duration = Duration::from_secs(30);
/// Messages, where nothing else is said; between clusters, 2,000 to each of five others.
const STREAM: u64 = 100_000;
const RATE: u64 = 10_000;
const FANOUT: u64 = 2_000;
const LINKS: u64 = 10_000;
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
    let (job, messages) = match args.job {
        JobName::Stream => (Job::Stream, STREAM),
        JobName::Latency => (Job::Latency, STREAM),
        JobName::Rate => (Job::Rate { per_second: args.rate }, RATE),
        JobName::Pairs => (Job::Pairs { pairs: args.pairs }, STREAM),
        JobName::Fanout => (Job::Fanout { devices: args.devices }, FANOUT),
        JobName::Links => return links(args).await,
    };
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
    let finding = Finding { servers, security, ..Finding::default() };
    let plan = Plan { own_servers: own.is_some(), ..plan(args, job, messages, finding)? };
    let report = bench::run(&plan).await;
    if own.is_some() {
        drop(own);
        remove(&stores).await?;
    }
    let report = report?;
    show(args, &serde_json::to_string(&report)?, &report.text(), report.verdict.as_ref())
}

/// What was asked for; `messages` where their number is not given.
fn plan(args: &BenchArgs, job: Job, messages: u64, finding: Finding) -> anyhow::Result<Plan> {
    Ok(Plan {
        job,
        messages: args.messages.unwrap_or(messages),
        size: usize::try_from(args.size)?,
        window: args.window,
        bad_logins: args.bad_logins,
        own_servers: true,
        finding,
        progress: !args.json && std::io::stderr().is_terminal(),
        bounds: Bounds { min_rate: args.min_rate, max_p99_ms: args.max_p99 },
    })
}

fn show(
    args: &BenchArgs,
    json: &str,
    text: &str,
    verdict: Option<&Verdict>,
) -> anyhow::Result<End> {
    let mut out = std::io::stdout().lock();
    if args.json {
        writeln!(out, "{}", printable_json(json))?;
    } else {
        for line in printable_lines(text) {
            writeln!(out, "{line}")?;
        }
    }
    let enough = verdict.is_none_or(|verdict| verdict.passed);
    Ok(if enough { End::Done } else { End::Degraded })
}

/// Several clusters on this machine, which find and trust each other.
async fn links(args: &BenchArgs) -> anyhow::Result<End> {
    if args.server.is_some() || args.trust.insecure_plain || args.store != "embedded" {
        anyhow::bail!("links are measured between own clusters, with TLS and the embedded store");
    }
    let stores = vec![StoreUrl::Embedded; args.servers as usize];
    let mut own: Vec<Servers> = Vec::new();
    let mut clusters = Vec::new();
    for number in 1..=args.clusters {
        let layout = Layout {
            cluster: format!("c{number}"),
            plain: false,
            discovery: own.first().map(|first| first.discovery),
            trust_new_links: true,
        };
        let servers = Servers::start_as(&layout, &stores, false).context("starting the servers")?;
        let addresses = servers.addresses.clone();
        let security = args.trust.security().expecting(servers.key);
        let finding = Finding { servers: addresses, security, ..Finding::default() };
        clusters.push(bench::links::Cluster { name: layout.cluster, finding });
        own.push(servers);
    }
    for cluster in &clusters {
        wait_for_leader(&cluster.finding.servers, cluster.finding.security).await?;
    }
    let plan = plan(args, Job::Stream, LINKS, Finding::default())?;
    let report = bench::links::run(&plan, &clusters).await?;
    drop(own);
    show(args, &serde_json::to_string(&report)?, &report.text(), report.verdict.as_ref())
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
