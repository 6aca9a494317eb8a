//! One sender, one receiver on another server, a window of messages in flight.

use super::body::{age_ns, stamped};
use super::flood::Flood;
use super::report::{ms_at, ns_to_ms, per_second};
use super::{Plan, Report, client_config};
use crate::chat::command::Target;
use crate::client::security::Security;
use crate::client::status::status;
use crate::client::{Client, ClientEvent, Connection};
use crate::wire::message::Status;
use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tokio::sync::mpsc::Receiver;

/// No step takes longer than this, or the benchmark gives up.
pub(super) const DEADLINE: Duration = Duration::from_secs(120);
/// A node that is asked for its counters answers within this.
const STATUS_TIME: Duration = Duration::from_secs(2);

pub async fn run(plan: &Plan, window: u64) -> anyhow::Result<Report> {
    let tag = rand::random::<u32>();
    let receiver = client_config(&plan.finding, format!("bench-r-{tag:08x}"));
    let receiver_name = receiver.account.name.clone();
    let (receiver, mut inbox) = Client::start(receiver)?;
    let (seat_r, cluster) = ready(&mut inbox).await.context("the receiver cannot log in")?;
    let sender = client_config(&plan.finding, format!("bench-s-{tag:08x}"));
    let (sender, mut acks) = Client::start(sender)?;
    let (seat_s, _) = ready(&mut acks).await.context("the sender cannot log in")?;
    let to = sender.lookup(&receiver_name).await.context("the receiver cannot be found")?.user;
    let before = statuses(&cluster, plan.finding.security).await;

    let flood = Flood::start(plan, &before).context("starting the bad logins")?;
    let messages = plan.messages;
    let start = Instant::now();
    let received = tokio::spawn(receive(receiver.clone(), inbox, messages, start, plan.progress));
    let waits = send_all(plan, window, &sender, &mut acks, Target::User(to)).await?;
    let sent_s = start.elapsed().as_secs_f64();
    let (received_s, ages) = received.await??;
    let bad_logins = flood.end().await;
    let after = statuses(&cluster, plan.finding.security).await;
    sender.close().await;
    receiver.close().await;
    Ok(Report {
        system: "rustchat",
        job: plan.job.name(),
        messages,
        deliveries: ages.len(),
        sent_s,
        received_s,
        messages_per_s: per_second(messages, sent_s),
        deliveries_per_s: per_second(ages.len(), received_s),
        p50_ms: ms_at(&ages, 0.5),
        p99_ms: ms_at(&ages, 0.99),
        max_ms: ns_to_ms(ages.max()),
        ack_p50_ms: ms_at(&waits, 0.5),
        ack_p99_ms: ms_at(&waits, 0.99),
        ack_max_ms: ns_to_ms(waits.max()),
        size: plan.size,
        window,
        servers: after.len(),
        store: after.first().map(|s| s.store.clone()).unwrap_or_default(),
        tls: !plan.finding.security.plain,
        fsyncs: after.iter().zip(&before).map(|(a, b)| a.fsyncs.saturating_sub(b.fsyncs)).collect(),
        seats: (seat_s, seat_r),
        bad_logins,
    })
}

/// Sends all messages, never more than the window at a time; how long each waited for its
/// acknowledgement.
async fn send_all(
    plan: &Plan,
    window: u64,
    sender: &Client,
    acks: &mut Receiver<ClientEvent>,
    to: Target,
) -> anyhow::Result<Histogram<u64>> {
    let mut waits = Histogram::<u64>::new(3)?;
    let mut waiting = VecDeque::new();
    let mut queued = 0;
    while queued < plan.messages || !waiting.is_empty() {
        let room = u64::try_from(waiting.len())? < window;
        let committed = if queued < plan.messages && room {
            waiting.push_back(Instant::now());
            sender.send(to, stamped(plan.size)).await?;
            queued += 1;
            drain(acks)?
        } else {
            one(acks).await?
        };
        for since in (0..committed).filter_map(|_| waiting.pop_front()) {
            let wait: Duration = since.elapsed();
            waits.record(u64::try_from(wait.as_nanos())?.max(1))?;
        }
    }
    Ok(waits)
}

/// Waits until the client is logged in; the seat that serves it, and the server's address.
pub(super) async fn ready(events: &mut Receiver<ClientEvent>) -> anyhow::Result<(u32, String)> {
    let wait = async {
        while let Some(event) = events.recv().await {
            match event {
                ClientEvent::Connection(Connection::Ready { seat, server, .. }) => {
                    return Ok((seat, server));
                }
                ClientEvent::Connection(Connection::Failed(error)) => return Err(error.into()),
                _ => {}
            }
        }
        bail!("the client ended")
    };
    tokio::time::timeout(DEADLINE, wait).await.context("no server in time")?
}

/// Each node's own statement, by seat; the list of nodes is what `server` knows.
pub(super) async fn statuses(server: &str, security: Security) -> Vec<Status> {
    let Ok(one) = status(server, STATUS_TIME, security).await else { return Vec::new() };
    let mut all = Vec::new();
    for node in &one.servers {
        if let Ok(s) = status(&node.for_clients(), STATUS_TIME, security).await {
            all.push(s);
        }
    }
    all
}

/// How many own messages the event commits.
pub(super) fn commits(event: &ClientEvent) -> anyhow::Result<u64> {
    match event {
        ClientEvent::Committed { count, .. } => Ok(*count),
        ClientEvent::Refused { number, refusal } => {
            bail!("message {number} was refused: {refusal}")
        }
        ClientEvent::Connection(Connection::Failed(error)) => bail!("the sender failed: {error}"),
        _ => Ok(0),
    }
}

fn drain(events: &mut Receiver<ClientEvent>) -> anyhow::Result<u64> {
    let mut count = 0;
    while let Ok(event) = events.try_recv() {
        count += commits(&event)?;
    }
    Ok(count)
}

async fn one(events: &mut Receiver<ClientEvent>) -> anyhow::Result<u64> {
    let event = tokio::time::timeout(DEADLINE, events.recv()).await.context("no answer in time")?;
    commits(&event.context("the sender ended")?)
}

/// Counts until everything is there; each message's age goes into the histogram.
async fn receive(
    client: Client,
    mut inbox: Receiver<ClientEvent>,
    messages: u64,
    start: Instant,
    progress: bool,
) -> anyhow::Result<(f64, Histogram<u64>)> {
    let mut ages = Histogram::<u64>::new(3)?;
    let mut told = Instant::now();
    while ages.len() < messages {
        let event = tokio::time::timeout(DEADLINE, inbox.recv()).await;
        let event = event.with_context(|| format!("{} of {messages} arrived", ages.len()))?;
        let ClientEvent::Messages(run) = event.context("the receiver ended")? else { continue };
        for age in run.bodies.iter().filter_map(age_ns) {
            ages.record(age.max(1))?;
        }
        client.mark(run.conversation, run.last_seq(), 0);
        if progress && told.elapsed() > Duration::from_secs(1) {
            told = Instant::now();
            say_progress(ages.len(), messages);
        }
    }
    Ok((start.elapsed().as_secs_f64(), ages))
}

fn say_progress(done: u64, all: u64) {
    use std::io::Write;
    let mut out = std::io::stderr().lock();
    // Progress that cannot be shown is no reason to stop measuring.
    drop(writeln!(out, "{done} of {all} received"));
}
