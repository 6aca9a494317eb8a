//! The result: one JSON object, or some lines for people; and whether it is enough.

use crate::bench::figures::{mib, ms_at, nearest_rank, ns_to_ms, secured};
use crate::bench::verdict::Verdict;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::Duration;

/// What was measured with many idle clients.
#[derive(Clone, Debug, Serialize)]
pub struct ConnectionsReport {
    /// Always `rustchat`.
    pub system: &'static str,
    /// The job.
    pub job: &'static str,
    /// Clients, each with a device and a connection of its own.
    pub clients: u32,
    /// Servers.
    pub servers: usize,
    /// Whether connections were encrypted.
    pub tls: bool,
    /// Seconds until all were logged in for the first time, a password each.
    pub connect_s: f64,
    /// Seconds that they were idle.
    pub idle_s: u64,
    /// Memory of each server before there was any client, in bytes, by seat.
    pub resident_before: Vec<u64>,
    /// When all had logged in.
    pub resident_connected: Vec<u64>,
    /// When they had been idle.
    pub resident_idle: Vec<u64>,
    /// What all servers have more when the clients have been idle than before, for each of them.
    pub bytes_per_client: u64,
    /// A follower was killed.
    pub follower: Kill,
    /// The leader was killed.
    pub leader: Kill,
    /// Whether that is enough; `None` where nothing was asked for.
    pub verdict: Option<Verdict>,
}

/// A server was killed.
#[derive(Clone, Debug, Serialize)]
pub struct Kill {
    /// Its seat.
    pub seat: u32,
    /// Clients that were on it.
    pub clients: usize,
    /// Seconds until all of them were served by another one.
    pub resumed_s: f64,
    /// Seconds for half of them.
    pub resumed_p50_s: f64,
    /// Seconds for 99 of 100.
    pub resumed_p99_s: f64,
    /// Clients on other servers that lost their connection meanwhile.
    pub disturbed: usize,
    /// Messages between two clients on other servers before.
    pub quiet: Acks,
    /// The same until all were served again.
    pub meanwhile: Acks,
}

/// How long messages waited for their acknowledgement, from being due.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Acks {
    /// How many.
    pub messages: u64,
    /// Median, in milliseconds.
    pub ack_p50_ms: f64,
    /// 99th percentile.
    pub ack_p99_ms: f64,
    /// The slowest.
    pub ack_max_ms: f64,
}

/// What a measurement must reach.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds {
    /// At most so many bytes of the servers' memory for each idle client.
    pub max_client_bytes: Option<u64>,
    /// At most so many seconds until the clients of a killed server are served again.
    pub max_resume_s: Option<f64>,
}

impl Bounds {
    /// The verdict; `None` where nothing was asked for.
    #[must_use]
    pub fn judge(&self, client_bytes: u64, kills: &[(&str, f64)]) -> Option<Verdict> {
        if *self == Self::default() {
            return None;
        }
        let mut why = Vec::new();
        if let Some(most) = self.max_client_bytes.filter(|most| client_bytes > *most) {
            why.push(format!("{client_bytes} bytes for each client, at most {most} wanted"));
        }
        for (who, took) in kills {
            if let Some(most) = self.max_resume_s.filter(|most| took > most) {
                why.push(format!(
                    "{took:.2} s until all clients of the {who} were served again, at most {most} \
                     s wanted"
                ));
            }
        }
        Some(why.into())
    }
}

impl Acks {
    /// Of a histogram of nanoseconds.
    pub fn of(waits: &Histogram<u64>) -> Self {
        Self {
            messages: waits.len(),
            ack_p50_ms: ms_at(waits, 0.5),
            ack_p99_ms: ms_at(waits, 0.99),
            ack_max_ms: ns_to_ms(waits.max()),
        }
    }
}

/// In seconds, the time within which this part of all was over; `times` is in order.
pub fn within(times: &[Duration], hundredths: usize) -> f64 {
    nearest_rank(times, hundredths).map_or(0.0, Duration::as_secs_f64)
}

/// What all servers have more afterwards than before, for each client; both are in bytes.
pub fn per_client(before: &[u64], after: &[u64], clients: u32) -> u64 {
    let (before, after): (u64, u64) = (before.iter().sum(), after.iter().sum());
    after.saturating_sub(before) / u64::from(clients.max(1))
}

impl ConnectionsReport {
    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        format!(
            "connections: {} clients on {} servers ({}), logged in after {:.1} s\n\
             \x20 memory of each server: {} MiB before, {} MiB with all of them, {} MiB after {} s \
             without a word: {} bytes for each client\n{}\n{}",
            self.clients,
            self.servers,
            secured(self.tls),
            self.connect_s,
            mib(&self.resident_before),
            mib(&self.resident_connected),
            mib(&self.resident_idle),
            self.idle_s,
            self.bytes_per_client,
            self.follower.lines("a follower"),
            self.leader.lines("the leader"),
        ) + &Verdict::line(self.verdict.as_ref())
    }
}

impl Kill {
    fn lines(&self, who: &str) -> String {
        let Acks { ack_p50_ms, ack_p99_ms, .. } = self.quiet;
        let meanwhile = self.meanwhile;
        format!(
            "  {who} killed (server {}): all of its {} clients served again after {:.2} s (p50 \
             {:.2} s, p99 {:.2} s), {} others disturbed\n\
             \x20   acknowledgements on other servers: p50 {ack_p50_ms:.2} ms, p99 {ack_p99_ms:.2} \
             ms before; p50 {:.2} ms, p99 {:.2} ms, max {:.2} ms meanwhile",
            self.seat,
            self.clients,
            self.resumed_s,
            self.resumed_p50_s,
            self.resumed_p99_s,
            self.disturbed,
            meanwhile.ack_p50_ms,
            meanwhile.ack_p99_ms,
            meanwhile.ack_max_ms,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_counts_for_what_it_is_about() {
        let judge = |max_client_bytes, max_resume_s| {
            let bounds = Bounds { max_client_bytes, max_resume_s };
            let verdict = bounds.judge(1000, &[("follower", 2.0), ("leader", 4.0)]);
            verdict.map(|verdict| (verdict.passed, verdict.why.len()))
        };
        assert_eq!(judge(None, None), None);
        assert_eq!(judge(Some(1000), Some(4.0)), Some((true, 0)));
        assert_eq!(judge(Some(999), None), Some((false, 1)));
        assert_eq!(judge(None, Some(3.0)), Some((false, 1)));
        assert_eq!(judge(Some(999), Some(1.0)), Some((false, 3)));
    }

    #[test]
    fn a_part_of_all_is_over_with_its_last_one() {
        let times: Vec<_> = (1..=200).map(Duration::from_secs).collect();
        assert_eq!([50, 99, 100].map(|part| within(&times, part)), [100.0, 198.0, 200.0]);
        assert_eq!(within(&times[..1], 50), 1.0);
        assert_eq!(within(&[], 100), 0.0);
    }

    #[test]
    fn servers_that_need_less_afterwards_count_too() {
        assert_eq!(per_client(&[100, 100, 50], &[150, 60, 80], 4), 10);
        assert_eq!(per_client(&[100], &[50], 4), 0);
        assert_eq!(per_client(&[0], &[50], 0), 50);
    }
}
