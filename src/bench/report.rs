//! The result: one JSON object with the same fields as the peer's, or some lines for people.

use super::figures::{Counted, Figures, ms_at, ns_to_ms, secured};
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
    /// How much, how fast.
    #[serde(flatten)]
    pub figures: Figures,
    /// Median from being due to being acknowledged, in milliseconds.
    pub ack_p50_ms: f64,
    /// 99th percentile.
    pub ack_p99_ms: f64,
    /// The slowest.
    pub ack_max_ms: f64,
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
    /// Times each server synced its log meanwhile, by seat.
    pub fsyncs: Vec<u64>,
    /// Where the clients were.
    pub seats: Seats,
    /// Logins with a wrong password meanwhile.
    pub bad_logins: BadLogins,
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

impl Report {
    /// Puts together what was measured.
    pub(super) fn of(plan: &Plan, pace: Pace, measured: &Measured) -> Self {
        let Measured { sent_s, received_s, ages, waits, before, after, .. } = measured;
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
        let (sent_s, received_s) = (*sent_s, *received_s);
        let counted = Counted { messages: waits.len(), window, sent_s, received_s, ages };
        Self {
            figures: Figures::of(plan.job.name(), plan, &counted),
            ack_p50_ms: ms_at(waits, 0.5),
            ack_p99_ms: ms_at(waits, 0.99),
            ack_max_ms: ns_to_ms(waits.max()),
            rate,
            pairs,
            devices,
            servers: after.len(),
            store: after.first().map(|s| s.store.clone()).unwrap_or_default(),
            fsyncs: syncs.collect(),
            seats: measured.seats.clone(),
            bad_logins: measured.bad_logins,
        }
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let figures = &self.figures;
        let begin = if self.rate.is_some() { "being due" } else { "sending" };
        let mut text = format!(
            "{}: {} messages of {} bytes{} through {} servers ({}, {})\n{}\n\
             \x20 from {begin} to its acknowledgement: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms\n\
             \x20 sending at {}, receiving at {}; log syncs per server: {:?}",
            figures.job,
            figures.messages,
            figures.size,
            self.shape(),
            self.servers,
            self.store,
            secured(figures.tls),
            figures.lines(begin),
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
                figures.deliveries,
            );
        }
        let BadLogins { per_second, refused, busy, lost } = self.bad_logins;
        if per_second > 0 {
            text += &format!(
                "\n  meanwhile {per_second} bad logins a second: {refused} refused, \
                 {busy} told to wait, {lost} without an answer"
            );
        }
        text + &Verdict::line(figures.verdict.as_ref())
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
