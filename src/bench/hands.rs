//! What a job may do to the servers that it measures. Who starts them hands it in; this module must
//! not know how it is done.

use super::measure::{STATUS_TIME, statuses_of};
use crate::client::Finding;
use crate::client::security::Security;
use crate::client::status::status;
use crate::wire::message::Status;
use anyhow::{Context, bail};
use async_trait::async_trait;
use std::time::{Duration, Instant};

/// A server that was started again has this long to catch up, and a cluster to have a leader.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks at it.
const LOOK: Duration = Duration::from_millis(10);

/// The servers of a job.
#[async_trait]
pub trait Hands: Send {
    /// Ends a server as `kill -9` does; returns when its process is gone.
    ///
    /// # Errors
    /// There is no such server, or it cannot be killed.
    fn kill(&mut self, seat: u32) -> anyhow::Result<()>;

    /// Starts a server again, with the data that it had.
    ///
    /// # Errors
    /// It still runs, or cannot be started.
    fn restart(&mut self, seat: u32) -> anyhow::Result<()>;

    /// Has the leader hand over to this server; returns when that leads.
    ///
    /// # Errors
    /// It was refused, or is not known to be done.
    async fn transfer(&mut self, to: u32) -> anyhow::Result<()>;

    /// Bytes that a server takes on its disk.
    ///
    /// # Errors
    /// They cannot be counted.
    fn disk_bytes(&self, seat: u32) -> anyhow::Result<u64>;
}

/// The seat that leads, as soon as one does.
pub async fn leader(finding: &Finding) -> anyhow::Result<u32> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        let all = statuses_of(&finding.servers, finding.security).await;
        let leads = all.iter().filter(|node| node.role == "leader").max_by_key(|node| node.term);
        if let Some(node) = leads.filter(|node| node.ready != Some(false)) {
            return Ok(node.seat);
        }
        tokio::time::sleep(LOOK).await;
    }
    bail!("nobody leads after {PATIENCE:?}")
}

/// The next server but this one, in turn.
pub fn another(finding: &Finding, than: u32) -> anyhow::Result<u32> {
    let servers = u32::try_from(finding.servers.len())?;
    Ok(than % servers.max(1) + 1)
}

/// Waits until a server that was started again is a ready follower, and has applied what was
/// committed when it came up; how long that took.
pub async fn caught_up(finding: &Finding, seat: u32) -> anyhow::Result<Duration> {
    let place = usize::try_from(seat)?.checked_sub(1);
    let own = place.and_then(|place| finding.servers.get(place)).context("no such server")?;
    let (begin, mut goal) = (Instant::now(), None);
    while begin.elapsed() < PATIENCE {
        if let Ok(node) = status(own, STATUS_TIME, finding.security).await {
            if goal.is_none() {
                goal = commit(finding).await;
            }
            let there = goal.is_some_and(|goal| node.applied >= goal);
            if there && node.role == "follower" && node.ready == Some(true) {
                return Ok(begin.elapsed());
            }
        }
        tokio::time::sleep(LOOK).await;
    }
    bail!("server {seat} has not caught up after {PATIENCE:?}")
}

/// What is committed now, as the leader says.
async fn commit(finding: &Finding) -> Option<u64> {
    let all = statuses_of(&finding.servers, finding.security).await;
    all.iter().filter(|node| node.role == "leader").map(|node| node.commit).max()
}

/// Waits until the servers use hardly any processor time: what they put off is done. How long that
/// took; after `most` it is over in any case.
pub async fn settled(finding: &Finding, most: Duration) -> Duration {
    /// Of a second, all servers together; two whole ones count.
    const IDLE_MS: u64 = 150;
    let (begin, mut quiet, mut before) = (Instant::now(), 0, None);
    while quiet < 2 && begin.elapsed() < most {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let all = statuses_of(&finding.servers, finding.security).await;
        let spent: u64 = all.iter().map(|node| node.load.cpu_ms).sum();
        let idle = before.is_some_and(|before| spent.saturating_sub(before) < IDLE_MS);
        quiet = if idle && all.len() == finding.servers.len() { quiet + 1 } else { 0 };
        before = Some(spent);
    }
    begin.elapsed()
}

/// Resident memory of each server, in bytes, in the order of seats.
pub async fn resident(servers: &[String], security: Security) -> Vec<u64> {
    let bytes = |node: &Status| node.resident_bytes;
    statuses_of(servers, security).await.iter().map(bytes).collect()
}
