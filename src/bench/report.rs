//! The result: one JSON object with the same fields as the peer's, or a line for people.

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
    /// Median from being handed to the client to being acknowledged, in milliseconds.
    pub ack_p50_ms: f64,
    /// 99th percentile.
    pub ack_p99_ms: f64,
    /// The slowest.
    pub ack_max_ms: f64,
    /// Bytes of a body.
    pub size: usize,
    /// Messages sent and not yet acknowledged, at most.
    pub window: u64,
    /// Servers in the cluster.
    pub servers: usize,
    /// Kind of store.
    pub store: String,
    /// Whether connections were encrypted.
    pub tls: bool,
    /// Times each server synced its log meanwhile, by seat.
    pub fsyncs: Vec<u64>,
    /// Servers of the sender and of the receiver, by seat.
    pub seats: (u32, u32),
    /// Logins with a wrong password meanwhile.
    pub bad_logins: BadLogins,
}

/// What was measured between clusters.
#[derive(Clone, Debug, Serialize)]
pub struct LinksReport {
    /// Always `rustchat`.
    pub system: &'static str,
    /// Always `links`.
    pub job: &'static str,
    /// Clusters, the sender's among them.
    pub clusters: usize,
    /// Servers in all of them.
    pub servers: usize,
    /// Messages sent.
    pub messages: u64,
    /// Messages received.
    pub deliveries: u64,
    /// Seconds until the last was acknowledged at home.
    pub sent_s: f64,
    /// Seconds until the last was received elsewhere.
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
    /// Bytes of a body.
    pub size: usize,
    /// Messages sent and not yet acknowledged, at most.
    pub window: u64,
    /// Links are always encrypted.
    pub tls: bool,
    /// Memory of all servers at the end, in bytes.
    pub resident_bytes: u64,
    /// Memory of the largest one.
    pub resident_max_bytes: u64,
}

impl LinksReport {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        const MIB: u64 = 1024 * 1024;
        format!(
            "links: {} messages of {} bytes to one user in each of {} other clusters, {} servers \
             in all\n\
             \x20 all acknowledged after {:.2} s ({:.0}/s), all received after {:.2} s ({:.0}/s)\n\
             \x20 from sending to receiving: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms\n\
             \x20 memory of the servers: {} MiB in all, the largest {} MiB",
            self.messages,
            self.size,
            self.clusters - 1,
            self.servers,
            self.sent_s,
            self.messages_per_s,
            self.received_s,
            self.deliveries_per_s,
            self.p50_ms,
            self.p99_ms,
            self.max_ms,
            self.resident_bytes / MIB,
            self.resident_max_bytes / MIB,
        )
    }
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
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "{}: {} messages of {} bytes through {} servers ({}, {})\n\
             \x20 all acknowledged after {:.2} s ({:.0}/s), all received after {:.2} s ({:.0}/s)\n\
             \x20 from sending to receiving: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms\n\
             \x20 from sending to its acknowledgement: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms\n\
             \x20 sender on server {}, receiver on server {}; log syncs per server: {:?}",
            self.job,
            self.messages,
            self.size,
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
            self.seats.0,
            self.seats.1,
            self.fsyncs,
        );
        let BadLogins { per_second, refused, busy, lost } = self.bad_logins;
        if per_second > 0 {
            text += &format!(
                "\n  meanwhile {per_second} bad logins a second: {refused} refused, \
                 {busy} told to wait, {lost} without an answer"
            );
        }
        text
    }
}
