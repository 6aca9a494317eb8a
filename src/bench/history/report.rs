//! The result with a long history: one JSON object, or some lines for people.

use super::Plan;
use crate::bench::figures::{MIB, mib, ms_at, nearest_rank, ns_to_ms, secured};
use crate::bench::verdict::{Verdict, above};
use crate::wire::message::Status;
use hdrhistogram::Histogram;
use serde::Serialize;

/// What must be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds {
    /// At most so many milliseconds for a page, for 99 of 100.
    pub max_page_p99_ms: Option<f64>,
    /// At most so many seconds until a follower that was killed is ready again.
    pub max_restart_s: Option<f64>,
    /// At most so many MiB of memory, for each server at any time.
    pub max_resident_mib: Option<f64>,
    /// The stream's rate with the history is at least this part of that without.
    pub min_ratio: Option<f64>,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct HistoryReport {
    /// Always `rustchat`.
    pub system: &'static str,
    /// Always `history`.
    pub job: &'static str,
    /// Servers in the cluster.
    pub servers: usize,
    /// Kind of store.
    pub store: String,
    /// Whether connections were encrypted.
    pub tls: bool,
    /// Bytes of a body.
    pub size: usize,
    /// Messages stored, without those of the stream.
    pub stored: u64,
    /// In so many conversations.
    pub conversations: usize,
    /// Messages of the long one.
    pub long: u64,
    /// Seconds that storing took, logins included.
    pub load_s: f64,
    /// Seconds until the servers were at rest afterwards.
    pub settle_s: f64,
    /// Messages of the stream.
    pub messages: u64,
    /// Messages of it that were acknowledged a second before, in the median.
    pub empty_per_s: f64,
    /// The same afterwards.
    pub full_per_s: f64,
    /// The second by the first.
    pub ratio: f64,
    /// Each time it was measured before.
    pub empty_each_per_s: Vec<f64>,
    /// Each time it was measured afterwards.
    pub full_each_per_s: Vec<f64>,
    /// Pages of old messages that were read.
    pub pages: u64,
    /// Median of the time for one, in milliseconds.
    pub page_p50_ms: f64,
    /// 99th percentile.
    pub page_p99_ms: f64,
    /// The slowest.
    pub page_max_ms: f64,
    /// Seconds from the new start of a follower that was killed until it was ready and had applied
    /// everything.
    pub restart_s: f64,
    /// Memory of the servers.
    pub resident_bytes: Memory,
    /// Bytes on the disk of each server, by seat.
    pub disk_bytes: Vec<u64>,
    /// Whether that is enough; `None` where nothing was asked for.
    pub verdict: Option<Verdict>,
}

/// Resident memory of each server, in bytes, by seat.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Memory {
    /// Before anything was sent.
    pub idle: Vec<u64>,
    /// The most that was seen while messages were stored.
    pub loading: Vec<u64>,
    /// When the servers were at rest again.
    pub loaded: Vec<u64>,
    /// When one of them had been started again.
    pub restarted: Vec<u64>,
}

impl Memory {
    fn most(&self) -> u64 {
        let all = [&self.idle, &self.loading, &self.loaded, &self.restarted];
        all.into_iter().flatten().copied().max().unwrap_or_default()
    }
}

/// What a report is made of.
pub struct Measured {
    /// Conversations in all.
    pub conversations: usize,
    /// Messages of the long one.
    pub long: u64,
    /// Seconds that storing took.
    pub load_s: f64,
    /// Seconds until the servers were at rest.
    pub settle_s: f64,
    /// The stream's rates before.
    pub empty_per_s: Vec<f64>,
    /// The stream's rates afterwards.
    pub full_per_s: Vec<f64>,
    /// Nanoseconds for a page.
    pub pages: Histogram<u64>,
    /// Seconds until a follower was back.
    pub restart_s: f64,
    /// Memory.
    pub memory: Memory,
    /// Bytes on disk.
    pub disk: Vec<u64>,
    /// The servers' statements at the end.
    pub nodes: Vec<Status>,
}

impl HistoryReport {
    /// Puts together what was measured.
    pub(super) fn of(plan: &Plan, measured: Measured) -> Self {
        let Measured { pages, nodes, .. } = measured;
        let (empty, full) = (median(&measured.empty_per_s), median(&measured.full_per_s));
        let mut report = Self {
            system: "rustchat",
            job: "history",
            servers: nodes.len(),
            store: nodes.first().map(|node| node.store.clone()).unwrap_or_default(),
            tls: !plan.finding.security.plain,
            size: plan.size,
            stored: plan.stored,
            conversations: measured.conversations,
            long: measured.long,
            load_s: measured.load_s,
            settle_s: measured.settle_s,
            messages: plan.messages,
            empty_per_s: empty,
            full_per_s: full,
            ratio: if empty > 0.0 { full / empty } else { 0.0 },
            empty_each_per_s: measured.empty_per_s,
            full_each_per_s: measured.full_per_s,
            pages: pages.len(),
            page_p50_ms: ms_at(&pages, 0.5),
            page_p99_ms: ms_at(&pages, 0.99),
            page_max_ms: ns_to_ms(pages.max()),
            restart_s: measured.restart_s,
            resident_bytes: measured.memory,
            disk_bytes: measured.disk,
            verdict: None,
        };
        report.verdict = plan.bounds.judge(&report);
        report
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let Memory { idle, loading, loaded, restarted } = &self.resident_bytes;
        let text = format!(
            "history: {} messages of {} bytes in {} conversations, one with {} of them, through {} \
             servers ({}, {})\n\
             \x20 stored after {:.0} s, at rest {:.0} s later; MiB on each disk: {}\n\
             \x20 stream of {}: {:.0}/s before, {:.0}/s afterwards ({:.0} %)\n\
             \x20 {} pages of old messages: p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms\n\
             \x20 a follower that was killed was back {:.2} s after its new start\n\
             \x20 MiB of memory of each server: {} before, up to {} while storing, {} afterwards, \
             {} at the end",
            self.stored,
            self.size,
            self.conversations,
            self.long,
            self.servers,
            self.store,
            secured(self.tls),
            self.load_s,
            self.settle_s,
            mib(&self.disk_bytes),
            self.messages,
            self.empty_per_s,
            self.full_per_s,
            self.ratio * 100.0,
            self.pages,
            self.page_p50_ms,
            self.page_p99_ms,
            self.page_max_ms,
            self.restart_s,
            mib(idle),
            mib(loading),
            mib(loaded),
            mib(restarted),
        );
        text + &Verdict::line(self.verdict.as_ref())
    }
}

fn median(rates: &[f64]) -> f64 {
    let mut sorted = rates.to_vec();
    sorted.sort_by(f64::total_cmp);
    nearest_rank(&sorted, 50).copied().unwrap_or_default()
}

impl Bounds {
    fn judge(&self, report: &HistoryReport) -> Option<Verdict> {
        if *self == Self::default() {
            return None;
        }
        let mut why = Vec::new();
        #[expect(clippy::cast_precision_loss, reason = "bytes of memory, far below 2^52")]
        let most = report.resident_bytes.most() as f64 / MIB as f64;
        for (what, is, most, unit) in [
            ("the 99th percentile of a page", report.page_p99_ms, self.max_page_p99_ms, "ms"),
            ("a new start", report.restart_s, self.max_restart_s, "s"),
            ("the memory of the largest server", most, self.max_resident_mib, "MiB"),
        ] {
            why.extend(above(what, is, most, unit));
        }
        if let Some(least) = self.min_ratio.filter(|least| report.ratio < *least) {
            let ratio = report.ratio;
            why.push(format!("the stream has {ratio:.2} of its rate, at least {least} wanted"));
        }
        Some(why.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(bounds: Bounds) -> HistoryReport {
        let plan = Plan {
            stored: 1000,
            users: 2,
            messages: 10,
            pages: 1,
            size: 100,
            window: 1,
            finding: crate::client::Finding::default(),
            progress: false,
            bounds,
        };
        let mut pages = Histogram::new(3).unwrap();
        pages.record(2_000_000).unwrap();
        let memory = Memory { loading: vec![MIB, 200 * MIB], ..Memory::default() };
        HistoryReport::of(
            &plan,
            Measured {
                conversations: 2,
                long: 100,
                load_s: 1.0,
                settle_s: 1.0,
                empty_per_s: vec![90.0, 1000.0, 100.0],
                full_per_s: vec![85.0, 80.0, 1.0],
                pages,
                restart_s: 3.0,
                memory,
                disk: vec![MIB],
                nodes: Vec::new(),
            },
        )
    }

    #[test]
    fn medians_are_compared_and_every_bound_counts() {
        let none = report(Bounds::default());
        assert_eq!((none.empty_per_s, none.full_per_s, none.verdict), (100.0, 80.0, None));
        let wide = Bounds {
            max_page_p99_ms: Some(2.1),
            max_restart_s: Some(3.0),
            max_resident_mib: Some(200.0),
            min_ratio: Some(0.8),
        };
        assert_eq!(report(wide).verdict.map(|verdict| verdict.why), Some(Vec::new()));
        let tight = Bounds {
            max_page_p99_ms: Some(1.9),
            max_restart_s: Some(2.9),
            max_resident_mib: Some(199.0),
            min_ratio: Some(0.81),
        };
        let verdict = report(tight).verdict.unwrap();
        assert_eq!((verdict.passed, verdict.why.len()), (false, 4), "{verdict:?}");
    }
}
