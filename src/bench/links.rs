//! One sender in one cluster, one receiver in each of the others: messages that two clusters
//! commit, one after the other, and that both have linked.

use super::body::{age_ns, stamped};
use super::report::{ms_at, ns_to_ms, per_second};
use super::stream::{DEADLINE, commits, ready, statuses};
use super::{LinksReport, Plan, client_config};
use crate::chat::command::Target;
use crate::chat::ids::UserId;
use crate::client::{Client, ClientEvent, Finding};
use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Receiver;

/// Between two looks whether the clusters are linked.
const LOOK: Duration = Duration::from_millis(200);

/// One of several clusters.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Its name, by which the others call it.
    pub name: String,
    /// Where it is.
    pub finding: Finding,
}

/// From the first cluster to all others, `plan.messages` in all.
///
/// # Errors
/// Where clients cannot register, or clusters are not linked in time.
pub async fn run(plan: &Plan, clusters: &[Cluster]) -> anyhow::Result<LinksReport> {
    let [home, others @ ..] = clusters else { bail!("there is no cluster") };
    let count = u64::try_from(others.len())?;
    if count == 0 {
        bail!("one cluster alone has no links");
    }
    let tag = rand::random::<u32>();
    let mut receivers = Vec::new();
    for other in others {
        let config = client_config(&other.finding, format!("bench-r-{tag:08x}"));
        let name = format!("{}@{}", config.account.name, other.name);
        let (client, mut inbox) = Client::start(config)?;
        ready(&mut inbox).await.with_context(|| format!("no login in {}", other.name))?;
        receivers.push((name, client, inbox));
    }
    let sender = client_config(&home.finding, format!("bench-s-{tag:08x}"));
    let (sender, mut acks) = Client::start(sender)?;
    let (_, server) = ready(&mut acks).await.context("the sender cannot log in")?;
    let mut to = Vec::new();
    for (name, ..) in &receivers {
        to.push(found(&sender, name).await?);
    }

    let each = plan.messages.div_ceil(count);
    let start = Instant::now();
    let receiving: Vec<_> = receivers
        .into_iter()
        .map(|(name, client, inbox)| tokio::spawn(receive(name, client, inbox, each, start)))
        .collect();
    send_all(plan, &sender, &mut acks, &to, each).await?;
    let sent_s = start.elapsed().as_secs_f64();
    let (mut ages, mut received_s) = (Histogram::<u64>::new(3)?, 0_f64);
    for receiver in receiving {
        let (took, of_one) = receiver.await??;
        received_s = received_s.max(took);
        ages.add(of_one)?;
    }
    let mut resident = Vec::new();
    for cluster in clusters {
        let server = cluster.finding.servers.first().unwrap_or(&server);
        let nodes = statuses(server, cluster.finding.security).await;
        resident.extend(nodes.iter().map(|node| node.resident_bytes));
    }
    sender.close().await;
    Ok(LinksReport {
        system: "rustchat",
        job: "links",
        clusters: clusters.len(),
        servers: resident.len(),
        messages: each * count,
        deliveries: ages.len(),
        sent_s,
        received_s,
        messages_per_s: per_second(each * count, sent_s),
        deliveries_per_s: per_second(ages.len(), received_s),
        p50_ms: ms_at(&ages, 0.5),
        p99_ms: ms_at(&ages, 0.99),
        max_ms: ns_to_ms(ages.max()),
        size: plan.size,
        window: plan.window,
        tls: true,
        resident_bytes: resident.iter().sum(),
        resident_max_bytes: resident.into_iter().max().unwrap_or_default(),
    })
}

/// The user of this name, as soon as the clusters are linked.
async fn found(sender: &Client, name: &str) -> anyhow::Result<UserId> {
    let begin = Instant::now();
    loop {
        match sender.lookup(name).await {
            Ok(found) => return Ok(found.user),
            Err(why) if begin.elapsed() > DEADLINE => {
                return Err(why).with_context(|| format!("{name} cannot be found"));
            }
            Err(_) => tokio::time::sleep(LOOK).await,
        }
    }
}

/// To everybody in turn.
async fn send_all(
    plan: &Plan,
    sender: &Client,
    acks: &mut Receiver<ClientEvent>,
    to: &[UserId],
    each: u64,
) -> anyhow::Result<()> {
    let (mut queued, mut committed) = (0, 0);
    let all = each * u64::try_from(to.len())?;
    let mut turn = to.iter().cycle();
    while committed < all {
        if queued < all && queued - committed < plan.window {
            let Some(user) = turn.next() else { return Ok(()) };
            sender.send(Target::User(*user), stamped(plan.size)).await?;
            queued += 1;
            while let Ok(event) = acks.try_recv() {
                committed += commits(&event)?;
            }
        } else {
            let event = tokio::time::timeout(DEADLINE, acks.recv()).await;
            committed += commits(&event.context("no answer in time")?.context("no sender")?)?;
        }
    }
    Ok(())
}

/// Counts until everything is there, in order and once.
async fn receive(
    name: String,
    client: Client,
    mut inbox: Receiver<ClientEvent>,
    messages: u64,
    start: Instant,
) -> anyhow::Result<(f64, Histogram<u64>)> {
    let mut ages = Histogram::<u64>::new(3)?;
    let mut last = 0;
    while ages.len() < messages {
        let event = tokio::time::timeout(DEADLINE, inbox.recv()).await;
        let event = event.with_context(|| format!("{name}: {} of {messages}", ages.len()))?;
        let ClientEvent::Messages(run) = event.context("the receiver ended")? else { continue };
        if run.first_number <= last {
            bail!("{name}: message {} came after {last}", run.first_number);
        }
        last = run.first_number + run.count() - 1;
        for age in run.bodies.iter().filter_map(age_ns) {
            ages.record(age.max(1))?;
        }
        client.mark(run.conversation, run.last_seq(), 0);
    }
    let took = start.elapsed().as_secs_f64();
    client.close().await;
    Ok((took, ages))
}
