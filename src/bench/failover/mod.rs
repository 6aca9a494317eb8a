//! How long nobody hears an acknowledgement when the leader is killed, and when it hands over: one
//! sender at a fixed rate, one receiver that counts, and rounds in which something happens to the
//! leader. It must not know how servers are killed.

mod count;
mod report;
mod rounds;
mod watch;

pub use report::{Bounds, FailoverReport};
pub use watch::Watch;

use super::hands::Hands;
use super::measure::statuses_of;
use super::people::{account, enter, leave};
use super::sending::Sender;
use crate::chat::command::Target;
use crate::client::Finding;
use anyhow::Context;
use report::Measured;
use tokio::sync::watch as channel;
use tokio_util::sync::CancellationToken;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Times that the leader is killed.
    pub kills: u32,
    /// Times that it hands over.
    pub planned: u32,
    /// Messages due a second.
    pub per_second: u32,
    /// Bytes of a body; at least 17.
    pub size: usize,
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
/// Where clients cannot register, or a server is not back in time.
pub async fn run(plan: &Plan, hands: &mut dyn Hands) -> anyhow::Result<FailoverReport> {
    let tag = rand::random::<u32>();
    let receiver = enter(&plan.finding, account(format!("bench-r-{tag:08x}"))).await?;
    let sender = enter(&plan.finding, account(format!("bench-s-{tag:08x}"))).await?;
    let watch = Watch::default();
    watch.arrive(sender.seat);
    let to = vec![Target::User(receiver.user)];
    let mut sender = Sender::new(sender, to, plan.size)?.watched(watch.clone());

    let (total, known) = channel::channel(None);
    let receiving = tokio::spawn(count::receive(receiver, known));
    let (stop, per_second) = (CancellationToken::new(), plan.per_second);
    let stopped = stop.clone();
    let sending = tokio::spawn(async move {
        let waits = sender.flow(per_second, stopped.cancelled()).await?;
        anyhow::Ok((sender.sent(), waits, sender))
    });
    let rounds = rounds::run(plan, hands, &watch).await;
    stop.cancel();
    // A sender that failed says more than rounds that waited for it.
    let (sent, waits, sender) = sending.await?.context("the sender")?;
    let rounds = rounds?;
    total.send_replace(Some(sent));
    let (received, person) = receiving.await??;
    let nodes = statuses_of(&plan.finding.servers, plan.finding.security).await;
    leave([sender.client, person.client]).await;
    Ok(FailoverReport::of(plan, &Measured { rounds, sent, received, waits, nodes }))
}
