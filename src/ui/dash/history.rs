//! What was seen from here, by the second: who led, and the figures that are drawn as curves.
//! Pure. It must not know how they are drawn.

use crate::report::Row;
use crate::report::judge::Judgement;
use crate::report::timeline::Timeline;
use std::collections::{BTreeMap, VecDeque};

/// Seconds that are kept: two hours.
const SECONDS: usize = 7200;

/// Who led in a stretch of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Led {
    /// This seat, in this term.
    By(u32, u64),
    /// Nobody, at least for a part of it.
    Nobody,
}

/// A column of the strip for so many seconds, or fewer, shows every moment without a leader.
const FINE: u64 = 10;

/// One second.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Second {
    /// Which one, of UNIX time.
    pub at: u64,
    /// Who led; `None`: no node answered.
    pub led: Option<Led>,
    /// Entries committed in a second.
    pub commits: Option<u64>,
    /// 99 of 100 commits took at most so many microseconds.
    pub commit_us: Option<u64>,
    /// The same of syncs, by seat.
    pub fsync_us: BTreeMap<u32, u64>,
    /// Messages taken in a second.
    pub messages: Option<u64>,
    /// Clients that are logged in.
    pub sessions: Option<u64>,
}

/// The last hours.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The newest one last.
    pub seconds: VecDeque<Second>,
    /// Commit index, and messages by seat, as they were counted last, and when.
    commit: Option<(u64, u64)>,
    accepted: BTreeMap<u32, (u64, u64)>,
}

impl History {
    /// Looks at the cluster as it is; true where a new second begins.
    pub fn observe(&mut self, now_ms: u64, rows: &[Row], judgement: &Judgement) -> bool {
        let at = now_ms / 1000;
        let fresh = || rows.iter().filter_map(Row::fresh);
        let leader = judgement.leader.and_then(|place| rows.get(place)?.fresh());
        let led = leader.map(|s| Led::By(s.seat, s.term));
        let led = led.or_else(|| fresh().next().map(|_| Led::Nobody));
        if let Some(last) = self.seconds.back_mut().filter(|last| last.at >= at) {
            // That nobody led for a moment must stay to be seen.
            if last.led != Some(Led::Nobody) && led.is_some() {
                last.led = led;
            }
            return false;
        }
        let sum = |all: Vec<u64>| (!all.is_empty()).then(|| all.into_iter().sum());
        let second = Second {
            at,
            led,
            commits: self.commits(at, fresh().map(|s| s.commit).max()),
            commit_us: leader.and_then(|s| s.load.commit_p99_us),
            fsync_us: fresh().filter_map(|s| Some((s.seat, s.load.fsync_p99_us?))).collect(),
            messages: self.messages(at, fresh().map(|s| (s.seat, s.load.accepted)).collect()),
            sessions: sum(fresh().map(|s| u64::from(s.sessions)).collect()),
        };
        self.seconds.push_back(second);
        if self.seconds.len() > SECONDS {
            self.seconds.pop_front();
        }
        true
    }

    fn commits(&mut self, at: u64, commit: Option<u64>) -> Option<u64> {
        let new = (at, commit?);
        let (then, old) = self.commit.replace(new)?;
        Some(new.1.checked_sub(old)? / at.checked_sub(then).filter(|s| *s > 0)?)
    }

    /// Of the nodes that were counted before, and have not started anew since.
    fn messages(&mut self, at: u64, now: Vec<(u32, u64)>) -> Option<u64> {
        let mut sum = None;
        for (seat, count) in now {
            if let Some((then, old)) = self.accepted.insert(seat, (at, count))
                && let (Some(more), Some(seconds)) = (count.checked_sub(old), at.checked_sub(then))
            {
                *sum.get_or_insert(0) += more / seconds.max(1);
            }
        }
        sum
    }

    /// The newest values of one figure, the newest last.
    pub fn curve(&self, count: usize, of: impl Fn(&Second) -> Option<u64>) -> Vec<Option<u64>> {
        let first = self.seconds.len().saturating_sub(count);
        self.seconds.iter().skip(first).map(of).collect()
    }

    /// Who led in each of the last `columns` stretches of `step` seconds, the last one with
    /// `now_ms` in it. What was before this program began is taken from the nodes' events.
    #[must_use]
    pub fn strip(
        &self,
        timeline: &Timeline,
        now_ms: u64,
        step: u64,
        columns: usize,
    ) -> Vec<Option<Led>> {
        let turns = turns(timeline);
        let last = now_ms / 1000 / step;
        let begin = self.seconds.front().map_or(u64::MAX, |s| s.at);
        // A short time without a leader is seen, unless a column stands for much more of it.
        let counts = |nobody: u64| nobody > 0 && (step <= FINE || nobody * 2 >= step);
        let column = |back: u64| {
            let from = last.checked_sub(back)?.saturating_mul(step);
            if from + step <= begin {
                return told(&turns, from * 1000, (from + step) * 1000, step <= FINE);
            }
            let first = self.seconds.partition_point(|s| s.at < from);
            let seen = self.seconds.iter().skip(first).take_while(|s| s.at < from + step);
            let seen: Vec<Led> = seen.filter_map(|second| second.led).collect();
            let nobody = seen.iter().filter(|led| **led == Led::Nobody).count() as u64;
            let by = seen.iter().rev().find(|led| **led != Led::Nobody);
            let none = (nobody > 0).then_some(Led::Nobody);
            if counts(nobody) { none } else { by.copied().or(none) }
        };
        (0..columns as u64).rev().map(column).collect()
    }
}

/// Who led from when on, by the events.
fn turns(timeline: &Timeline) -> Vec<(u64, Led)> {
    let mut turns: Vec<(u64, Led)> = Vec::new();
    for entry in timeline.entries() {
        let event = entry.event;
        let new = match (event.kind.as_str(), event.peer) {
            ("elected", _) => Led::By(event.seat, event.term),
            ("new_leader", Some(peer)) => Led::By(peer, event.term),
            ("lost_leader", Some(peer)) => {
                let leads = |led: &Led| matches!(led, Led::By(seat, _) if *seat == peer);
                if turns.last().is_some_and(|(_, led)| !leads(led)) {
                    continue;
                }
                Led::Nobody
            }
            _ => continue,
        };
        if turns.last().is_none_or(|(_, led)| *led != new) {
            turns.push((entry.at_ms, new));
        }
    }
    turns
}

/// Who led between two times; where it is `fine`, any moment without a leader counts.
fn told(turns: &[(u64, Led)], from_ms: u64, to_ms: u64, fine: bool) -> Option<Led> {
    let end = turns.partition_point(|(at, _)| *at < to_ms);
    let begin = turns.partition_point(|(at, _)| *at <= from_ms).saturating_sub(1);
    let within = turns.get(begin..end).unwrap_or_default();
    let nobody = || within.iter().find(|(_, led)| *led == Led::Nobody);
    let shown = nobody().filter(|_| fine).or_else(|| within.last());
    shown.map(|(_, led)| *led)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// n1 leads for 40 s, nobody for 3 s, n2 for 40 s.
    fn seen() -> History {
        let led = |at: u64| match at {
            0..40 => Led::By(1, 5),
            40..43 => Led::Nobody,
            _ => Led::By(2, 6),
        };
        let second = |at| Second { at, led: Some(led(at)), ..Second::default() };
        History { seconds: (0..83).map(second).collect(), ..History::default() }
    }

    #[test]
    fn a_moment_without_a_leader_is_seen_where_a_column_is_short() {
        let strip = |step, columns| seen().strip(&Timeline::default(), 82_999, step, columns);
        let (one, two) = (Some(Led::By(1, 5)), Some(Led::By(2, 6)));
        assert_eq!(strip(2, 4), [two; 4]);
        assert_eq!(strip(2, 42)[19..23], [one, Some(Led::Nobody), Some(Led::Nobody), two]);
        assert_eq!(strip(30, 3), [one, two, two], "3 s are little of 30");
        assert_eq!(strip(60, 3), [None, two, two], "what was before is not known");
    }
}
