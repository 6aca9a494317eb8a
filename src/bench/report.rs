//! The result: one JSON object with the same fields as the peer's, or some lines for people.

use super::sending::Pace;
use super::verdict::Verdict;
use super::{Job, Plan};
use crate::limits;
use crate::wire::message::Status;
use hdrhistogram::Histogram;
use serde::Serialize;

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Always `rustchat`.
    pub system: &'static str,
    /// The job.
    pub job: &'static str,
    /// Messages sent.
    pub messages: u64,
    /// Messages received.
    pub deliveries: u64,
    /// Seconds until the last was acknowledged.
    pub sent_s: f64,
    /// Seconds until the last was received.
    pub received_s: f64,
    /// Messages acknowledged a second.
    pub messages_per_s: f64,
    /// Messages received a second.
    pub deliveries_per_s: f64,
    /// Median from being due to being received, in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// The slowest.
    pub max_ms: f64,
    /// Median from being due to being acknowledged, in milliseconds.
    pub ack_p50_ms: f64,
    /// 99th percentile.
    pub ack_p99_ms: f64,
    /// The slowest.
    pub ack_max_ms: f64,
    /// Bytes of a body.
    pub size: usize,
    /// Messages that one sender had sent and that were not yet acknowledged, at most.
    pub window: u64,
    /// Messages that were due a second, where that was fixed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate: Option<u32>,
    /// Senders with a receiver each, where there were several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pairs: Option<u32>,
    /// Devices of the one receiver, where there were several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub devices: Option<u32>,
    /// Servers in the cluster.
    pub servers: usize,
    /// Kind of store.
    pub store: String,
    /// Whether connections were encrypted.
    pub tls: bool,
    /// Times each server synced its log meanwhile, by seat.
    pub fsyncs: Vec<u64>,
    /// Where the clients were.
    pub seats: Seats,
    /// Logins with a wrong password meanwhile.
    pub bad_logins: BadLogins,
    /// Whether that is enough; `None` where nothing was asked for.
    pub verdict: Option<Verdict>,
}

/// Servers that had clients, by seat.
#[derive(Clone, Debug, Serialize)]
pub struct Seats {
    /// Those of senders.
    pub senders: Vec<u32>,
    /// Those of receivers.
    pub receivers: Vec<u32>,
}

/// What a report is made of.
pub struct Measured {
    /// Seconds until the last was acknowledged.
    pub sent_s: f64,
    /// Seconds until the last was received.
    pub received_s: f64,
    /// Nanoseconds from being due to being received.
    pub ages: Histogram<u64>,
    /// Nanoseconds from being due to being acknowledged.
    pub waits: Histogram<u64>,
    /// The servers' statements before.
    pub before: Vec<Status>,
    /// The servers' statements afterwards.
    pub after: Vec<Status>,
    /// Where the clients were.
    pub seats: Seats,
    /// What strangers did meanwhile.
    pub bad_logins: BadLogins,
}

/// Logins with a wrong password, and what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct BadLogins {
    /// As many were wanted a second.
    pub per_second: u32,
    /// The password was looked at, and refused.
    pub refused: u64,
    /// Told to come back later.
    pub busy: u64,
    /// Other ends: no connection, no answer.
    pub lost: u64,
}

/// Milliseconds at a quantile of a histogram of nanoseconds.
pub fn ms_at(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    ns_to_ms(histogram.value_at_quantile(quantile))
}

#[expect(clippy::cast_precision_loss, reason = "times far below 2^52 ns")]
pub fn ns_to_ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

impl Report {
    /// Puts together what was measured.
    pub(super) fn of(plan: &Plan, pace: Pace, measured: &Measured) -> Self {
        let Measured { sent_s, received_s, ages, waits, before, after, .. } = measured;
        let (sent_s, received_s) = (*sent_s, *received_s);
        // A server that only came up meanwhile counts from its start.
        let syncs = after.iter().map(|now| {
            let then = before.iter().find(|then| then.seat == now.seat);
            now.fsyncs.saturating_sub(then.map_or(0, |then| then.fsyncs))
        });
        let (window, rate) = match pace {
            Pace::Window(window) => (window, None),
            Pace::Rate(per_second) => (u64::from(limits::WINDOW_MESSAGES), Some(per_second)),
        };
        let (pairs, devices) = match plan.job {
            Job::Pairs { pairs } => (Some(pairs), None),
            Job::Fanout { devices } => (None, Some(devices)),
            Job::Stream | Job::Latency | Job::Rate { .. } => (None, None),
        };
        let deliveries_per_s = per_second(ages.len(), received_s);
        let p99_ms = ms_at(ages, 0.99);
        Self {
            system: "rustchat",
            job: plan.job.name(),
            messages: waits.len(),
            deliveries: ages.len(),
            sent_s,
            received_s,
            messages_per_s: per_second(waits.len(), sent_s),
            deliveries_per_s,
            p50_ms: ms_at(ages, 0.5),
            p99_ms,
            max_ms: ns_to_ms(ages.max()),
            ack_p50_ms: ms_at(waits, 0.5),
            ack_p99_ms: ms_at(waits, 0.99),
            ack_max_ms: ns_to_ms(waits.max()),
            size: plan.size,
            window,
            rate,
            pairs,
            devices,
            servers: after.len(),
            store: after.first().map(|s| s.store.clone()).unwrap_or_default(),
            tls: !plan.finding.security.plain,
            fsyncs: syncs.collect(),
            seats: measured.seats.clone(),
            bad_logins: measured.bad_logins,
            verdict: plan.bounds.judge(deliveries_per_s, p99_ms),
        }
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let begin = if self.rate.is_some() { "being due" } else { "sending" };
        let mut text = format!(
            "{}: {} messages of {} bytes{} through {} servers ({}, {})\n\
             \x20 all acknowledged after {:.2} s ({:.0}/s), all received after {:.2} s ({:.0}/s)\n\
             \x20 from {begin} to receiving: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms\n\
             \x20 from {begin} to its acknowledgement: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms\n\
             \x20 sending at {}, receiving at {}; log syncs per server: {:?}",
            self.job,
            self.messages,
            self.size,
            self.shape(),
            self.servers,
            self.store,
            if self.tls { "TLS" } else { "no TLS" },
            self.sent_s,
            self.messages_per_s,
            self.received_s,
            self.deliveries_per_s,
            self.p50_ms,
            self.p99_ms,
            self.max_ms,
            self.ack_p50_ms,
            self.ack_p99_ms,
            self.ack_max_ms,
            servers(&self.seats.senders),
            servers(&self.seats.receivers),
            self.fsyncs,
        );
        if self.devices.is_some() {
            text += &format!(
                "\n  {} deliveries; there are no rooms yet: devices of one user stand in for members",
                self.deliveries,
            );
        }
        let BadLogins { per_second, refused, busy, lost } = self.bad_logins;
        if per_second > 0 {
            text += &format!(
                "\n  meanwhile {per_second} bad logins a second: {refused} refused, \
                 {busy} told to wait, {lost} without an answer"
            );
        }
        text + &Verdict::line(self.verdict.as_ref())
    }

    /// From whom to whom, where that is not one to one as fast as it goes.
    fn shape(&self) -> String {
        match (self.rate, self.pairs, self.devices) {
            (Some(rate), ..) => format!(", {rate} a second,"),
            (_, Some(pairs), _) => format!(" from {pairs} senders to a receiver each"),
            (.., Some(devices)) => format!(" to one user's {devices} devices"),
            _ => String::new(),
        }
    }
}

/// Names servers by their seats.
fn servers(seats: &[u32]) -> String {
    let names: Vec<_> = seats.iter().map(ToString::to_string).collect();
    let word = if seats.len() == 1 { "server" } else { "servers" };
    format!("{word} {}", names.join(", "))
}
