//! Many idle clients: what they cost the servers, and what becomes of them and of everybody else
//! when a server dies. It must not know how servers are started or killed; whoever did start them
//! hands that in.

mod crowd;
mod places;
mod report;
mod trickle;

pub use report::{Acks, Bounds, ConnectionsReport, Kill};

use super::hands::Hands;
use super::measure::statuses_of;
use super::people::DEADLINE;
use crate::client::Finding;
use crate::wire::message::Status;
use anyhow::{Context, bail};
use crowd::{Crowd, rest};
use report::{per_client, within};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::time::{interval, sleep};
use trickle::Trickle;

/// Between two looks at the servers.
const LOOK: Duration = Duration::from_millis(200);
/// So many looks tell how much memory they need.
const LOOKS: u32 = 10;
/// Messages flow for so long before a server is killed, and at least for so long afterwards.
const QUIET: Duration = Duration::from_secs(10);
const MEANWHILE: Duration = Duration::from_secs(1);

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Clients.
    pub clients: u32,
    /// They are idle for so long.
    pub idle: Duration,
    /// Where the cluster is: every server, in the order of seats from 1 on. They are on this
    /// machine, at loopback addresses.
    pub finding: Finding,
    /// Shows progress on standard error.
    pub progress: bool,
    /// What must be reached.
    pub bounds: Bounds,
}

/// Whom to kill.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Follower,
    Leader,
}

/// Runs the plan.
///
/// # Errors
/// Where clients cannot log in, are not served again in time, or servers do not come back.
pub async fn run(plan: &Plan, hands: &mut dyn Hands) -> anyhow::Result<ConnectionsReport> {
    let resident_before = resident(plan).await?;
    let start = Instant::now();
    let crowd = Crowd::gather(&plan.finding, plan.clients, plan.progress).await?;
    let connect_s = start.elapsed().as_secs_f64();
    let resident_connected = resident(plan).await?;
    rest(plan.idle, plan.progress).await;
    let resident_idle = resident(plan).await?;
    free_leader_falls(plan, &crowd, hands).await?;
    let follower = kill(plan, &crowd, hands, Role::Follower).await?;
    let leader = kill(plan, &crowd, hands, Role::Leader).await?;
    crowd.leave().await;
    let bytes_per_client = per_client(&resident_before, &resident_idle, plan.clients);
    let took = [("follower", follower.resumed_s), ("leader", leader.resumed_s)];
    Ok(ConnectionsReport {
        system: "rustchat",
        job: "connections",
        clients: plan.clients,
        servers: resident_before.len(),
        tls: !plan.finding.security.plain,
        connect_s,
        idle_s: plan.idle.as_secs(),
        resident_before,
        resident_connected,
        resident_idle,
        bytes_per_client,
        verdict: plan.bounds.judge(bytes_per_client, &took),
        follower,
        leader,
    })
}

/// The memory of each server, by seat, in bytes: the least of several looks, for a password that
/// is being hashed takes a lot for a moment.
async fn resident(plan: &Plan) -> anyhow::Result<Vec<u64>> {
    let mut least = Vec::new();
    for _ in 0..LOOKS {
        let now = settled(plan, None).await?.into_iter().map(|node| node.resident_bytes);
        least = match least.is_empty() {
            true => now.collect(),
            false => {
                least.into_iter().zip(now).map(|(least, now): (u64, u64)| least.min(now)).collect()
            }
        };
        sleep(LOOK).await;
    }
    Ok(least)
}

/// A leader sends clients to its followers and has none itself, until another one leads: what
/// becomes of clients whose server leads shows only then.
async fn free_leader_falls(
    plan: &Plan,
    crowd: &Crowd,
    hands: &mut dyn Hands,
) -> anyhow::Result<()> {
    let nodes = settled(plan, None).await?;
    let leader = leader(&nodes).context("nobody leads")?;
    if crowd.on(leader).is_empty() {
        hands.kill(leader)?;
        settled(plan, Some(leader)).await?;
        hands.restart(leader)?;
    }
    Ok(())
}

/// Kills a server with clients while others chat, and starts it again once its clients are served
/// elsewhere.
async fn kill(
    plan: &Plan,
    crowd: &Crowd,
    hands: &mut dyn Hands,
    role: Role,
) -> anyhow::Result<Kill> {
    let nodes = settled(plan, None).await?;
    let leader = leader(&nodes).context("nobody leads")?;
    let others = nodes.iter().map(|node| node.seat).filter(|seat| *seat != leader);
    let seat = match role {
        Role::Leader => leader,
        Role::Follower => others.max_by_key(|seat| crowd.on(*seat).len()).unwrap_or(leader),
    };
    let mut trickle = Trickle::start(&plan.finding, seat).await?;
    let quiet = trickle.flow(sleep(QUIET.min(plan.idle))).await?;
    let who = crowd.on(seat);
    let begin = Instant::now();
    hands.kill(seat)?;
    let (done, all_back) = oneshot::channel::<()>();
    let served = async {
        let back = crowd.back(&who, begin, plan.progress).await?;
        sleep(MEANWHILE.saturating_sub(begin.elapsed())).await;
        drop(done);
        anyhow::Ok(back)
    };
    // The channel says nothing but that it has ended.
    let meanwhile = trickle.flow(async { drop(all_back.await) });
    let (mut back, meanwhile) = tokio::try_join!(served, meanwhile)?;
    let disturbed = crowd.disturbed(begin).saturating_sub(who.len());
    trickle.end().await?;
    hands.restart(seat)?;
    settled(plan, None).await?;
    back.sort_unstable();
    let [resumed_p50_s, resumed_p99_s, resumed_s] = [50, 99, 100].map(|part| within(&back, part));
    let (quiet, meanwhile) = (Acks::of(&quiet), Acks::of(&meanwhile));
    let clients = who.len();
    Ok(Kill { seat, clients, resumed_s, resumed_p50_s, resumed_p99_s, disturbed, quiet, meanwhile })
}

/// The seat that all of them take for their leader's.
fn leader(nodes: &[Status]) -> Option<u32> {
    let leader = nodes.first()?.leader?;
    nodes.iter().all(|node| node.leader == Some(leader)).then_some(leader)
}

/// Waits until all servers, but one that is `down`, have one leader and everything that is
/// committed; their statements.
async fn settled(plan: &Plan, down: Option<u32>) -> anyhow::Result<Vec<Status>> {
    let begin = Instant::now();
    let mut look = interval(LOOK);
    let up = (1..).zip(&plan.finding.servers).filter(|(seat, _)| Some(*seat) != down);
    let servers: Vec<_> = up.map(|(_, server)| server.clone()).collect();
    while begin.elapsed() < DEADLINE {
        look.tick().await;
        let nodes = statuses_of(&servers, plan.finding.security).await;
        let commit = nodes.iter().map(|node| node.commit).max();
        let even = nodes.iter().all(|node| Some(node.applied) >= commit);
        let led = leader(&nodes).is_some_and(|leader| Some(leader) != down);
        if nodes.len() == servers.len() && even && led {
            return Ok(nodes);
        }
    }
    bail!("the servers have no leader, or are not even, after {DEADLINE:?}")
}
