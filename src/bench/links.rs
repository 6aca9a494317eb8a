//! One sender in one cluster, one receiver in each of the others: messages that two clusters
//! commit, one after the other, and that both have linked.

use super::count::{Tally, receive};
use super::figures::{Counted, Figures};
use super::measure::statuses;
use super::people::{DEADLINE, account, enter, leave};
use super::sending::{Pace, Sender};
use super::{LinksReport, Plan};
use crate::chat::command::Target;
use crate::chat::ids::UserId;
use crate::client::{Client, Finding};
use anyhow::{Context, bail};
use std::sync::Arc;
use std::time::{Duration, Instant};

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
        let person = enter(&other.finding, account(format!("bench-r-{tag:08x}"))).await;
        receivers.push(person.with_context(|| format!("in {}", other.name))?);
    }
    let sender = enter(&home.finding, account(format!("bench-s-{tag:08x}"))).await?;
    let server = sender.server.clone();
    let mut to = Vec::new();
    for (person, other) in receivers.iter().zip(others) {
        let name = format!("{}@{}", person.name, other.name);
        to.push(Target::User(found(&sender.client, &name).await?));
    }
    let mut sender = Sender::new(sender, to, plan.size)?;

    let each = plan.messages.div_ceil(count);
    let tally = Tally::new(each * count, plan.progress)?;
    let start = Instant::now();
    let receiving: Vec<_> = receivers
        .into_iter()
        .map(|person| tokio::spawn(receive(person, each, Arc::clone(&tally), start)))
        .collect();
    sender.run(each * count, Pace::Window(plan.window)).await?;
    let sent_s = start.elapsed().as_secs_f64();
    let (mut received_s, mut clients) = (0_f64, vec![sender.client]);
    for receiver in receiving {
        let (took, person) = receiver.await??;
        received_s = received_s.max(took);
        clients.push(person.client);
    }
    let ages = tally.ages();
    let mut resident = Vec::new();
    for cluster in clusters {
        let server = cluster.finding.servers.first().unwrap_or(&server);
        let nodes = statuses(server, cluster.finding.security).await;
        resident.extend(nodes.iter().map(|node| node.resident_bytes));
    }
    leave(clients).await;
    let (messages, window) = (each * count, plan.window);
    let counted = Counted { messages, window, sent_s, received_s, ages: &ages };
    Ok(LinksReport {
        figures: Figures::of("links", plan, &counted),
        clusters: clusters.len(),
        servers: resident.len(),
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
