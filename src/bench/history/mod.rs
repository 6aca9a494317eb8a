//! What a long history costs: the same stream on an empty cluster and on a full one, pages of old
//! messages, a server's new start, memory and disk. It must not know how servers are started.

mod load;
mod pages;
mod report;

pub use report::{Bounds, HistoryReport};

use super::hands::{Hands, another, caught_up, leader, resident, settled};
use super::measure::statuses_of;
use super::people::leave;
use super::verdict::Bounds as StreamBounds;
use super::{Job, Plan as StreamPlan, progress};
use crate::client::Finding;
use crate::client::security::Security;
use load::Loaded;
use report::{Measured, Memory};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The stream is measured so often; the median counts.
const STREAMS: u32 = 5;
/// What the servers put off is done after this time at the latest, and so much more for every
/// million messages: on a busy machine they may never look idle.
const SETTLE: Duration = Duration::from_secs(5);
const SETTLE_MILLION: Duration = Duration::from_secs(30);
/// Between two looks at the servers' memory.
const LOOK: Duration = Duration::from_secs(1);

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Messages that are stored before it is measured again; at least 10.
    pub stored: u64,
    /// Users who write and users who read, half of them each; at least 2.
    pub users: u32,
    /// Messages of the stream.
    pub messages: u64,
    /// Pages of old messages that are read.
    pub pages: u32,
    /// Bytes of a body; at least 17.
    pub size: usize,
    /// In flight in the stream.
    pub window: u64,
    /// Where the cluster is: its servers in the order of seats.
    pub finding: Finding,
    /// Shows progress on standard error.
    pub progress: bool,
    /// What must be reached.
    pub bounds: Bounds,
}

/// Runs the plan.
///
/// # Errors
/// Where clients cannot register or lose their way, or a server is not back in time.
pub async fn run(plan: &Plan, hands: &mut dyn Hands) -> anyhow::Result<HistoryReport> {
    let (servers, security) = (&plan.finding.servers, plan.finding.security);
    let idle = resident(servers, security).await;
    let people = load::enter(plan).await?;
    let empty_per_s = stream(plan).await?;

    let (highest, stop) = (Highest::default(), CancellationToken::new());
    let looking = tokio::spawn(highest.clone().look(servers.clone(), security, stop.clone()));
    let begin = Instant::now();
    let loaded = load::run(plan, people).await;
    let load_s = begin.elapsed().as_secs_f64();
    stop.cancel();
    looking.await?;
    let Loaded { writers, readers, conversations, long } = loaded?;
    progress::say(plan.progress, "everything is stored; the servers come to rest");
    let most = SETTLE + SETTLE_MILLION.mul_f64(plan.stored as f64 / 1e6);
    let settle_s = settled(&plan.finding, most).await.as_secs_f64();
    let loaded = resident(servers, security).await;
    let full_per_s = stream(plan).await?;
    let pages = pages::run(plan, &readers).await?;
    let disk: Result<Vec<_>, _> =
        (1..).zip(servers).map(|(seat, _)| hands.disk_bytes(seat)).collect();

    let seat = another(&plan.finding, leader(&plan.finding).await?)?;
    hands.kill(seat)?;
    hands.restart(seat)?;
    let restart_s = caught_up(&plan.finding, seat).await?.as_secs_f64();
    let memory = Memory {
        idle,
        loading: highest.all(),
        loaded,
        restarted: resident(servers, security).await,
    };
    let nodes = statuses_of(servers, security).await;
    leave(writers.into_iter().chain(readers.into_iter().map(|reader| reader.client))).await;
    let disk = disk?;
    Ok(HistoryReport::of(
        plan,
        Measured {
            conversations,
            long,
            load_s,
            settle_s,
            empty_per_s,
            full_per_s,
            pages,
            restart_s,
            memory,
            disk,
            nodes,
        },
    ))
}

/// Messages acknowledged a second in the stream, each time that it was measured.
async fn stream(plan: &Plan) -> anyhow::Result<Vec<f64>> {
    let stream = StreamPlan {
        job: Job::Stream,
        messages: plan.messages,
        size: plan.size,
        window: plan.window,
        bad_logins: 0,
        own_servers: true,
        finding: plan.finding.clone(),
        progress: plan.progress,
        bounds: StreamBounds::default(),
    };
    let mut rates = Vec::new();
    for _ in 0..STREAMS {
        rates.push(super::run(&stream).await?.figures.messages_per_s);
    }
    Ok(rates)
}

/// The most memory that each server was seen to have, in the order of seats.
#[derive(Clone, Default)]
struct Highest(Arc<Mutex<Vec<u64>>>);

impl Highest {
    async fn look(self, servers: Vec<String>, security: Security, stop: CancellationToken) {
        while stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_some() {
            self.see(&resident(&servers, security).await);
        }
    }

    fn see(&self, now: &[u64]) {
        let mut highest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // One that does not answer would shift the others.
        if highest.len() < now.len() {
            highest.resize(now.len(), 0);
        }
        if highest.len() == now.len() {
            highest.iter_mut().zip(now).for_each(|(highest, now)| *highest = (*highest).max(*now));
        }
    }

    fn all(&self) -> Vec<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
