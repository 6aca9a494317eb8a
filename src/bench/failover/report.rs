//! The result of rounds in which leaders came and went: one JSON object, or some lines for people.

use super::Plan;
use super::count::Received;
use super::rounds::{Done, Kill};
use super::watch::Seen;
use crate::bench::figures::{ms_at, nearest_rank, ns_to_ms, secured};
use crate::bench::verdict::{Verdict, above};
use crate::wire::message::Status;
use hdrhistogram::Histogram;
use serde::Serialize;
use std::time::Duration;

/// What must be reached; that every message is received once is wanted in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounds {
    /// After a kill at most so many seconds until something new is acknowledged, in the median.
    pub max_median_s: Option<f64>,
    /// The same for the longest.
    pub max_longest_s: Option<f64>,
    /// At most so many milliseconds without an acknowledgement while leadership is handed over, for
    /// the longest.
    pub max_pause_ms: Option<f64>,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct FailoverReport {
    /// Always `rustchat`.
    pub system: &'static str,
    /// Always `failover`.
    pub job: &'static str,
    /// Messages due a second.
    pub rate: u32,
    /// Bytes of a body.
    pub size: usize,
    /// Servers in the cluster.
    pub servers: usize,
    /// Kind of store.
    pub store: String,
    /// Whether connections were encrypted.
    pub tls: bool,
    /// Messages acknowledged.
    pub messages: u64,
    /// Messages received.
    pub deliveries: u64,
    /// Messages that were acknowledged and never received.
    pub missing: u64,
    /// Messages that were received again.
    pub repeated: u64,
    /// From being due to being acknowledged, 99th percentile of all messages, in milliseconds.
    pub ack_p99_ms: f64,
    /// The slowest.
    pub ack_max_ms: f64,
    /// From the kill to the first acknowledgement of a message that was sent after it.
    pub kills: Option<Times>,
    /// Kills that hit the server where the sender was logged in.
    pub kills_of_senders_server: usize,
    /// From a new start until the server had caught up.
    pub back: Option<Times>,
    /// The longest time between two acknowledgements in a row while leadership was handed over.
    pub planned: Option<Times>,
    /// Whether that is enough.
    pub verdict: Verdict,
}

/// One time for each round, in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Times {
    /// How many.
    pub rounds: usize,
    /// Half of them took at most this long.
    pub median_ms: f64,
    /// Nine of ten.
    pub p90_ms: f64,
    /// All of them.
    pub longest_ms: f64,
    /// Each, in turn.
    pub each_ms: Vec<f64>,
}

impl Times {
    /// `None` where there was no round.
    #[must_use]
    pub fn of(rounds: &[Duration]) -> Option<Self> {
        let mut sorted = rounds.to_vec();
        sorted.sort_unstable();
        Some(Self {
            rounds: rounds.len(),
            median_ms: ms(*nearest_rank(&sorted, 50)?),
            p90_ms: ms(*nearest_rank(&sorted, 90)?),
            longest_ms: ms(*sorted.last()?),
            each_ms: rounds.iter().map(|time| ms(*time)).collect(),
        })
    }

    fn line(&self) -> String {
        format!(
            "median {:.0} ms, p90 {:.0} ms, longest {:.0} ms of {}",
            self.median_ms, self.p90_ms, self.longest_ms, self.rounds
        )
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// What a report is made of.
pub struct Measured {
    /// The rounds.
    pub rounds: Done,
    /// Messages acknowledged.
    pub sent: u64,
    /// What came.
    pub received: Received,
    /// Nanoseconds from being due to being acknowledged.
    pub waits: Histogram<u64>,
    /// The servers' statements at the end.
    pub nodes: Vec<Status>,
}

impl FailoverReport {
    /// Puts together what was measured.
    pub(super) fn of(plan: &Plan, measured: &Measured) -> Self {
        let Measured { rounds, sent, received, waits, nodes } = measured;
        let each = |time: fn(&Kill) -> Duration| {
            Times::of(&rounds.kills.iter().map(time).collect::<Vec<_>>())
        };
        let pauses: Vec<_> = rounds.planned.iter().map(|Seen { pause, .. }| *pause).collect();
        let (kills, planned) = (each(|kill| kill.seen.took), Times::of(&pauses));
        let verdict = plan.bounds.judge(*received, kills.as_ref(), planned.as_ref());
        Self {
            system: "rustchat",
            job: "failover",
            rate: plan.per_second,
            size: plan.size,
            servers: nodes.len(),
            store: nodes.first().map(|node| node.store.clone()).unwrap_or_default(),
            tls: !plan.finding.security.plain,
            messages: *sent,
            deliveries: received.messages,
            missing: received.missing,
            repeated: received.repeated,
            ack_p99_ms: ms_at(waits, 0.99),
            ack_max_ms: ns_to_ms(waits.max()),
            kills,
            kills_of_senders_server: rounds.kills.iter().filter(|kill| kill.own).count(),
            back: each(|kill| kill.back),
            planned,
            verdict,
        }
    }

    /// For people.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!(
            "failover: {} messages of {} bytes, {} a second, through {} servers ({}, {})\n\
             \x20 {} received, {} of them again, {} missing; from being due to acknowledged: \
             p99 {:.0} ms, max {:.0} ms",
            self.messages,
            self.size,
            self.rate,
            self.servers,
            self.store,
            secured(self.tls),
            self.deliveries,
            self.repeated,
            self.missing,
            self.ack_p99_ms,
            self.ack_max_ms,
        );
        let rows = [
            ("from kill -9 of the leader to a new acknowledgement", &self.kills),
            ("from its new start until it had caught up", &self.back),
            ("pause while leadership was handed over", &self.planned),
        ];
        for (what, times) in rows {
            if let Some(times) = times {
                text += &format!("\n  {what}: {}", times.line());
            }
        }
        if self.kills_of_senders_server > 0 {
            let own = self.kills_of_senders_server;
            text += &format!("\n  {own} times the sender was logged in at that server");
        }
        text + &Verdict::line(Some(&self.verdict))
    }
}

impl Bounds {
    fn judge(&self, received: Received, kills: Option<&Times>, planned: Option<&Times>) -> Verdict {
        let mut why = Vec::new();
        let Received { repeated, missing, .. } = received;
        if repeated + missing > 0 {
            why.push(format!("{missing} messages are missing, {repeated} came again"));
        }
        let median = kills.map(|kills| kills.median_ms / 1e3);
        let longest = kills.map(|kills| kills.longest_ms / 1e3);
        let pause = planned.map(|planned| planned.longest_ms);
        for (what, is, most, unit) in [
            ("the median after a kill", median, self.max_median_s, "s"),
            ("the longest time after a kill", longest, self.max_longest_s, "s"),
            ("the longest pause of a hand-over", pause, self.max_pause_ms, "ms"),
        ] {
            why.extend(is.and_then(|is| above(what, is, most, unit)));
        }
        why.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn times(ms: &[u64]) -> Option<Times> {
        Times::of(&ms.iter().map(|ms| Duration::from_millis(*ms)).collect::<Vec<_>>())
    }

    #[test]
    fn the_median_and_the_longest_are_times_of_rounds() {
        assert_eq!(times(&[]), None);
        let one = times(&[7]).unwrap();
        assert_eq!([one.median_ms, one.p90_ms, one.longest_ms], [7.0, 7.0, 7.0]);
        let ten = times(&[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]).unwrap();
        assert_eq!([ten.median_ms, ten.p90_ms, ten.longest_ms], [5.0, 9.0, 10.0]);
        assert_eq!((ten.rounds, ten.each_ms[0]), (10, 10.0));
    }

    #[test]
    fn a_message_that_is_lost_or_comes_again_never_passes() {
        let judge = |bounds: Bounds, missing, repeated| {
            let received = Received { missing, repeated, ..Received::default() };
            bounds.judge(received, times(&[1000, 2000, 3000]).as_ref(), times(&[50, 90]).as_ref())
        };
        let none = Bounds::default();
        assert!(judge(none, 0, 0).passed);
        assert!(!judge(none, 1, 0).passed && !judge(none, 0, 1).passed);
        let wide =
            Bounds { max_median_s: Some(2.0), max_longest_s: Some(3.0), max_pause_ms: Some(90.0) };
        assert!(judge(wide, 0, 0).passed);
        let tight =
            Bounds { max_median_s: Some(1.9), max_longest_s: Some(2.9), max_pause_ms: Some(89.0) };
        assert_eq!(judge(tight, 0, 0).why.len(), 3);
        let nothing = tight.judge(Received::default(), None, None);
        assert!(nothing.passed, "what was not measured breaks no bound");
    }
}
