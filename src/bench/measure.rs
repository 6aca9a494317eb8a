//! The clock: everybody of a job is logged in, then the messages go, then what became of them is
//! put together. It must not know who sends to whom.

use super::cast::{self, Cast};
use super::count::{Tally, receive};
use super::flood::Flood;
use super::people::leave;
use super::report::{Measured, Seats};
use super::sending::Sender;
use super::{Plan, Report};
use crate::client::security::Security;
use crate::client::status::status;
use crate::wire::message::Status;
use anyhow::Context;
use futures::future::join_all;
use hdrhistogram::Histogram;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// A node that is asked for its counters answers within this.
pub const STATUS_TIME: Duration = Duration::from_secs(2);

/// Somebody's part, as a task: when it was done, in seconds since the start.
type Part<T> = JoinHandle<anyhow::Result<(f64, T)>>;

pub async fn run(plan: &Plan) -> anyhow::Result<Report> {
    let Cast { senders, receivers, from, to } = cast::enter(plan).await?;
    let server = receivers.first().map(|(person, _)| person.server.clone()).unwrap_or_default();
    let before = statuses(&server, plan.finding.security).await;
    let pace = plan.pace();
    let expected = receivers.iter().map(|(_, messages)| messages).sum();
    let tally = Tally::new(expected, plan.progress)?;

    let flood = Flood::start(plan, &before).context("starting the bad logins")?;
    let start = Instant::now();
    let receiving = receivers.into_iter().map(|(person, messages)| {
        tokio::spawn(receive(person, messages, Arc::clone(&tally), start))
    });
    let receiving: Vec<Part<_>> = receiving.collect();
    let sending = senders.into_iter().map(|(mut sender, messages)| {
        tokio::spawn(async move {
            sender.run(messages, pace).await?;
            anyhow::Ok((start.elapsed().as_secs_f64(), sender))
        })
    });
    let sending: Vec<Part<_>> = sending.collect();
    let (sent_s, mut senders) = all(sending).await?;
    let (received_s, receivers) = all(receiving).await?;
    let bad_logins = flood.end().await;

    let after = statuses(&server, plan.finding.security).await;
    let waits = waits(&mut senders).await?;
    leave(senders.into_iter().map(|sender| sender.client)).await;
    leave(receivers.into_iter().map(|person| person.client)).await;
    let seats = Seats { senders: from.into_iter().collect(), receivers: to.into_iter().collect() };
    let ages = tally.ages();
    let measured = Measured { sent_s, received_s, ages, waits, before, after, seats, bad_logins };
    Ok(Report::of(plan, pace, &measured))
}

/// Waits for all; when the last one was done.
async fn all<T>(parts: Vec<Part<T>>) -> anyhow::Result<(f64, Vec<T>)> {
    let (mut last_s, mut done) = (0_f64, Vec::new());
    for part in parts {
        let (took_s, one) = part.await??;
        last_s = last_s.max(took_s);
        done.push(one);
    }
    Ok((last_s, done))
}

/// How long messages waited for their acknowledgements; all of them are marked delivered.
async fn waits(senders: &mut [Sender]) -> anyhow::Result<Histogram<u64>> {
    let mut waits = Histogram::new(3)?;
    for sender in senders {
        sender.all_delivered().await?;
        waits.add(sender.waits())?;
    }
    Ok(waits)
}

/// What those of these nodes say that answer, in their order.
pub async fn statuses_of(servers: &[String], security: Security) -> Vec<Status> {
    let all = join_all(servers.iter().map(|server| status(server, STATUS_TIME, security))).await;
    all.into_iter().filter_map(Result::ok).collect()
}

/// Each node's own statement, by seat; the list of nodes is what `server` knows.
pub(super) async fn statuses(server: &str, security: Security) -> Vec<Status> {
    let Ok(one) = status(server, STATUS_TIME, security).await else { return Vec::new() };
    let servers: Vec<_> = one.servers.iter().map(|node| node.for_clients()).collect();
    statuses_of(&servers, security).await
}
