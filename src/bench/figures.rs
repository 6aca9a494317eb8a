//! What every job that sends and receives measures, and how it is said. It must not know what a
//! job adds to it.

use super::Plan;
use super::verdict::Verdict;
use hdrhistogram::Histogram;
use serde::Serialize;

/// See the module.
#[derive(Clone, Debug, Serialize)]
pub struct Figures {
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
    /// Bytes of a body.
    pub size: usize,
    /// Messages that one sender had sent and that were not yet acknowledged, at most.
    pub window: u64,
    /// Whether connections were encrypted.
    pub tls: bool,
    /// Whether that is enough; `None` where nothing was asked for.
    pub verdict: Option<Verdict>,
}

/// What they are made of.
pub struct Counted<'a> {
    /// Messages acknowledged.
    pub messages: u64,
    /// At most so many in flight for each sender.
    pub window: u64,
    /// Seconds until the last was acknowledged.
    pub sent_s: f64,
    /// Seconds until the last was received.
    pub received_s: f64,
    /// Nanoseconds from being due to being received, of everything.
    pub ages: &'a Histogram<u64>,
}

impl Figures {
    /// Puts them together.
    pub fn of(job: &'static str, plan: &Plan, counted: &Counted<'_>) -> Self {
        let Counted { messages, window, sent_s, received_s, ages } = *counted;
        let (deliveries_per_s, p99_ms) = (per_second(ages.len(), received_s), ms_at(ages, 0.99));
        Self {
            system: "rustchat",
            job,
            messages,
            deliveries: ages.len(),
            sent_s,
            received_s,
            messages_per_s: per_second(messages, sent_s),
            deliveries_per_s,
            p50_ms: ms_at(ages, 0.5),
            p99_ms,
            max_ms: ns_to_ms(ages.max()),
            size: plan.size,
            window,
            tls: !plan.finding.security.plain,
            verdict: plan.bounds.judge(deliveries_per_s, p99_ms),
        }
    }

    /// For people: two lines; `begin` is from when on a message's time counts.
    pub fn lines(&self, begin: &str) -> String {
        format!(
            "  all acknowledged after {:.2} s ({:.0}/s), all received after {:.2} s ({:.0}/s)\n\
             \x20 from {begin} to receiving: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
            self.sent_s,
            self.messages_per_s,
            self.received_s,
            self.deliveries_per_s,
            self.p50_ms,
            self.p99_ms,
            self.max_ms,
        )
    }
}

/// Milliseconds at a quantile of a histogram of nanoseconds.
pub fn ms_at(histogram: &Histogram<u64>, quantile: f64) -> f64 {
    ns_to_ms(histogram.value_at_quantile(quantile))
}

/// Nanoseconds as milliseconds.
#[expect(clippy::cast_precision_loss, reason = "times far below 2^52 ns")]
pub fn ns_to_ms(ns: u64) -> f64 {
    ns as f64 / 1e6
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

/// Bytes.
pub const MIB: u64 = 1024 * 1024;

/// Bytes of several servers, in MiB.
pub fn mib(bytes: &[u64]) -> String {
    let each: Vec<_> = bytes.iter().map(|bytes| (bytes / MIB).to_string()).collect();
    each.join(", ")
}

/// How connections were secured, in a word.
pub const fn secured(tls: bool) -> &'static str {
    if tls { "TLS" } else { "no TLS" }
}

/// The smallest value that so many of a hundred do not exceed; `sorted` is in order.
pub fn nearest_rank<T>(sorted: &[T], percent: usize) -> Option<&T> {
    sorted.get((sorted.len() * percent).div_ceil(100).max(1) - 1)
}
