//! Who leads, followed over time: when a leader was lost and why, how long nobody led, how often
//! the leader changed. Pure: it is told each statement and the time. It must not know openraft.

use super::events::Note;
use super::types::{Cause, ElectionCounts, EventKind, LostLeader};
use super::{NodeStatus, Role};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Changes of the leader within this time are counted apart.
const RECENT: Duration = Duration::from_secs(15 * 60);
/// More recent changes than this are not told apart.
const MOST_RECENT: usize = 256;

/// What the statements do not say.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// The clock, in milliseconds of UNIX time.
    pub now_ms: u64,
    /// How long the leader has been silent.
    pub silence: Option<Duration>,
    /// Why nobody leads, if nobody does.
    pub why: Cause,
    /// Why this node campaigned for its term, if it did.
    pub campaigned: Option<Cause>,
}

/// Follows who leads.
#[derive(Debug, Default)]
pub struct Turns {
    /// The last leader and its term.
    leader: Option<(u32, u64)>,
    since: Option<Instant>,
    total: Duration,
    changes: u64,
    recent: VecDeque<Instant>,
    won: u64,
    lost: Option<LostLeader>,
    /// A hand-over was noted, and the term in which.
    handed_over: Option<u64>,
    led: bool,
}

impl Turns {
    /// Leadership of this term is handed over: its loss has that cause.
    pub const fn hand_over(&mut self, term: u64) {
        self.handed_over = Some(term);
    }

    /// Looks at a statement, says what is to be noted, and what the numbers are.
    pub fn on_status(
        &mut self,
        own: u32,
        status: &NodeStatus,
        facts: Facts,
        now: Instant,
    ) -> (Vec<Note>, ElectionCounts) {
        let mut notes = Vec::new();
        let leads = status.role == Role::Leader;
        if self.led && !leads {
            let (term, text) = (status.term, "this node no longer leads");
            let cause = self.why_stepped_down(status);
            notes.push(Note::new(term, EventKind::SteppedDown).cause(Some(cause)).text(text));
        }
        // A leader that no majority answers does not count as one.
        let current = status.leader.filter(|seat| *seat != own || status.leads_with_quorum);
        let known = current.map(|seat| (seat, status.term));
        match (self.leader, known) {
            (before, Some(new)) if before != known || self.since.is_some() => {
                self.found(own, before, new, facts, now, &mut notes);
            }
            (Some(before), None) if self.since.is_none() => {
                self.lose(own, before, status, facts, now, &mut notes);
            }
            (None, None) if self.since.is_none() => self.since = Some(now),
            _ => {}
        }
        self.led = leads;
        while self.recent.front().is_some_and(|at| now.duration_since(*at) > RECENT) {
            self.recent.pop_front();
        }
        (notes, self.counts(now))
    }

    fn found(
        &mut self,
        own: u32,
        before: Option<(u32, u64)>,
        (seat, term): (u32, u64),
        facts: Facts,
        now: Instant,
        notes: &mut Vec<Note>,
    ) {
        let without = self.since.take().map(|since| now.duration_since(since));
        self.total += without.unwrap_or_default();
        self.leader = Some((seat, term));
        if before == Some((seat, term)) {
            // The same one is heard again.
            let text = format!("node {seat} leads again");
            notes.push(Note::new(term, EventKind::NewLeader).peer(seat).took(without).text(text));
            return;
        }
        if let Some((old, old_term)) = before.filter(|_| without.is_none()) {
            let cause = Cause::NewerTerm;
            let cause = if self.handed_over == Some(old_term) { Cause::Transfer } else { cause };
            let lost_at_ms = facts.now_ms;
            self.lost = Some(LostLeader { seat: old, term: old_term, lost_at_ms, cause });
        }
        if before.is_some() {
            self.changes += 1;
            self.recent.push_back(now);
            self.recent.truncate(MOST_RECENT);
        }
        let note = if seat == own {
            self.won += 1;
            let note = Note::new(term, EventKind::Elected).cause(facts.campaigned);
            note.text("this node leads")
        } else {
            Note::new(term, EventKind::NewLeader).peer(seat).text(format!("node {seat} leads"))
        };
        notes.push(note.took(without));
    }

    fn lose(
        &mut self,
        own: u32,
        (seat, term): (u32, u64),
        status: &NodeStatus,
        facts: Facts,
        now: Instant,
        notes: &mut Vec<Note>,
    ) {
        let silence = if seat == own {
            status.quorum_ack_age_ms.map(Duration::from_millis)
        } else {
            facts.silence
        };
        let silence = silence.unwrap_or_default();
        self.since = Some(now.checked_sub(silence).unwrap_or(now));
        let cause = match self.handed_over {
            Some(handed) if handed == term => Cause::Transfer,
            _ if seat == own => self.why_stepped_down(status),
            _ => facts.why,
        };
        let ago = u64::try_from(silence.as_millis()).unwrap_or(u64::MAX);
        let lost_at_ms = facts.now_ms.saturating_sub(ago);
        self.lost = Some(LostLeader { seat, term, lost_at_ms, cause });
        let text = if seat == own {
            format!("no majority has answered this node for {ago} ms")
        } else {
            format!("node {seat} was not heard for {ago} ms")
        };
        let note = Note::new(status.term, EventKind::LostLeader).peer(seat);
        notes.push(note.cause(Some(cause)).text(text));
    }

    /// Why this node, which led, does not.
    fn why_stepped_down(&self, status: &NodeStatus) -> Cause {
        match (self.leader, self.handed_over) {
            (Some((_, term)), Some(handed)) if handed == term => Cause::Transfer,
            (Some((_, term)), _) if status.term > term => Cause::NewerTerm,
            _ => Cause::QuorumAckLost,
        }
    }

    fn counts(&self, now: Instant) -> ElectionCounts {
        let leaderless = self.since.map(|since| now.duration_since(since));
        ElectionCounts {
            won: self.won,
            changes: self.changes,
            changes_15m: self.recent.len() as u64,
            leaderless,
            leaderless_total: self.total + leaderless.unwrap_or_default(),
            last_leader: self.lost,
            ..ElectionCounts::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: u32 = 2;

    fn follows(leader: Option<u32>, term: u64) -> NodeStatus {
        NodeStatus { role: Role::Follower, leader, term, ..NodeStatus::default() }
    }

    fn leads(term: u64) -> NodeStatus {
        let leads_with_quorum = true;
        NodeStatus { role: Role::Leader, leads_with_quorum, ..follows(Some(OWN), term) }
    }

    fn facts(silence_ms: u64) -> Facts {
        Facts {
            now_ms: 100_000,
            silence: Some(Duration::from_millis(silence_ms)),
            why: Cause::ConnectionLost,
            campaigned: Some(Cause::ConnectionLost),
        }
    }

    #[test]
    fn a_lost_leader_and_the_next_one_are_told_with_the_time_between() {
        let (mut turns, begin) = (Turns::default(), Instant::now());
        let at = |ms| begin + Duration::from_millis(ms);
        turns.on_status(OWN, &follows(Some(1), 4), facts(0), at(0));
        let (notes, counts) = turns.on_status(OWN, &follows(None, 4), facts(1500), at(2000));
        let lost = counts.last_leader.unwrap();
        assert_eq!((lost.seat, lost.term, lost.cause), (1, 4, Cause::ConnectionLost));
        assert_eq!(lost.lost_at_ms, 98_500);
        assert_eq!(counts.leaderless, Some(Duration::from_millis(1500)));
        assert_eq!(notes.len(), 1);
        let (notes, counts) = turns.on_status(OWN, &leads(5), facts(0), at(2100));
        assert_eq!((counts.won, counts.changes, counts.changes_15m), (1, 1, 1));
        assert_eq!(counts.leaderless, None);
        assert_eq!(counts.leaderless_total, Duration::from_millis(1600));
        assert!(format!("{notes:?}").contains("took: Some(1.6s)"), "{notes:?}");
        let (_, counts) = turns.on_status(OWN, &leads(5), facts(0), at(16 * 60 * 1000));
        assert_eq!((counts.changes, counts.changes_15m), (1, 0), "it was long ago");
    }

    #[test]
    fn a_hand_over_is_no_loss() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        turns.on_status(OWN, &leads(5), facts(0), now);
        turns.hand_over(5);
        let (notes, counts) = turns.on_status(OWN, &follows(Some(3), 6), facts(0), now);
        assert!(format!("{notes:?}").contains("Transfer"), "{notes:?}");
        assert_eq!(counts.last_leader.map(|lost| lost.cause), Some(Cause::Transfer));
        assert_eq!(counts.leaderless_total, Duration::ZERO);
    }

    #[test]
    fn a_leader_without_a_majority_is_none() {
        let (mut turns, now) = (Turns::default(), Instant::now());
        turns.on_status(OWN, &leads(5), facts(0), now);
        let alone = NodeStatus { leads_with_quorum: false, ..leads(5) };
        let (_, counts) = turns.on_status(OWN, &alone, facts(0), now);
        assert_eq!(counts.last_leader.map(|lost| lost.cause), Some(Cause::QuorumAckLost));
        let (_, counts) = turns.on_status(OWN, &leads(5), facts(0), now);
        assert_eq!((counts.leaderless, counts.changes), (None, 0), "the same leader again");
    }
}
