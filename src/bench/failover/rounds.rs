//! The rounds: all is well, something happens to the leader, the cluster is whole again. It must
//! not know who sends.

use super::Plan;
use super::watch::{Seen, Watch};
use crate::bench::hands::{Hands, another, caught_up, leader};
use crate::bench::people::DEADLINE;
use crate::bench::progress::Progress;
use anyhow::Context;
use std::time::Duration;
use tokio::time::timeout;

/// Before something happens to the leader, all goes well for so long, and for a random part of it
/// again: a kill must not always meet the same moment between two heartbeats.
const CALM: Duration = Duration::from_millis(600);

/// A round in which the leader was killed.
#[derive(Clone, Copy, Debug)]
pub struct Kill {
    /// What the sender saw.
    pub seen: Seen,
    /// The sender was logged in at the server that was killed.
    pub own: bool,
    /// From its new start until the server had caught up.
    pub back: Duration,
}

/// All rounds.
#[derive(Clone, Debug, Default)]
pub struct Done {
    /// Those in which the leader was killed.
    pub kills: Vec<Kill>,
    /// What the sender saw of those in which it handed over.
    pub planned: Vec<Seen>,
}

/// All that are planned: those in which the leader is killed come first.
pub async fn run(plan: &Plan, hands: &mut dyn Hands, watch: &Watch) -> anyhow::Result<Done> {
    let rounds = u64::from(plan.kills) + u64::from(plan.planned);
    let mut progress = Progress::new(plan.progress, rounds, "rounds are over");
    let mut done = Done::default();
    for round in 1..=plan.kills {
        done.kills.push(kill(plan, hands, watch).await?);
        progress.tell(round.into());
    }
    for round in 1..=plan.planned {
        done.planned.push(hand_over(plan, hands, watch).await?);
        progress.tell(u64::from(plan.kills) + u64::from(round));
    }
    Ok(done)
}

/// Waits a while; who leads then.
async fn calm(plan: &Plan) -> anyhow::Result<u32> {
    tokio::time::sleep(CALM.mul_f64(1.0 + rand::random::<f64>())).await;
    leader(&plan.finding).await
}

async fn kill(plan: &Plan, hands: &mut dyn Hands, watch: &Watch) -> anyhow::Result<Kill> {
    let seat = calm(plan).await?;
    let own = watch.seat() == seat;
    watch.begin();
    hands.kill(seat)?;
    let seen = over(watch).await?;
    tracing::debug!(seat, own, took = ?seen.took, "the leader was killed");
    hands.restart(seat)?;
    let back = caught_up(&plan.finding, seat).await?;
    Ok(Kill { seen, own, back })
}

async fn hand_over(plan: &Plan, hands: &mut dyn Hands, watch: &Watch) -> anyhow::Result<Seen> {
    let seat = calm(plan).await?;
    let heir = another(&plan.finding, seat)?;
    watch.begin();
    hands.transfer(heir).await?;
    over(watch).await
}

async fn over(watch: &Watch) -> anyhow::Result<Seen> {
    let seen = timeout(DEADLINE, watch.end()).await;
    seen.with_context(|| format!("nothing new was acknowledged for {DEADLINE:?}"))
}
