//! The result between clusters: one JSON object, or some lines for people.

use super::verdict::Verdict;
use serde::Serialize;

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
    /// Whether that is enough; `None` where nothing was asked for.
    pub verdict: Option<Verdict>,
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
        ) + &Verdict::line(self.verdict.as_ref())
    }
}
