//! The node's history: a bounded ring, written where the questions and answers pass, because
//! openraft's metrics skip states. It must not decide anything.

use super::types::{Cause, EventKind, NodeEvent};
use crate::clock::now_ms;
use crate::limits;
use crate::wire::raft::{AskVote, VoteAnswer};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The ring.
#[derive(Debug, Default)]
pub struct Events {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    ring: VecDeque<NodeEvent>,
    last_id: u64,
    /// The newest term that this node campaigned for, and why.
    campaign: Option<(u64, Cause)>,
    /// The newest term in which it asked for votes.
    asked: u64,
    started: BTreeMap<Cause, u64>,
    refused: BTreeMap<Cause, u64>,
}

/// An event that is being written down.
#[derive(Debug)]
pub struct Note {
    event: NodeEvent,
}

impl Note {
    /// Something that happens now, in `term`.
    pub fn new(term: u64, kind: EventKind) -> Self {
        let event = NodeEvent {
            id: 0,
            at_ms: 0,
            term,
            kind,
            peer: None,
            granted: None,
            cause: None,
            took: None,
            text: String::new(),
        };
        Self { event }
    }

    /// With the server on a seat.
    pub const fn peer(mut self, seat: u32) -> Self {
        self.event.peer = Some(seat);
        self
    }

    /// A yes or a no.
    pub const fn granted(mut self, granted: bool) -> Self {
        self.event.granted = Some(granted);
        self
    }

    /// Why, where it is known.
    pub const fn cause(mut self, cause: Option<Cause>) -> Self {
        self.event.cause = cause;
        self
    }

    /// How long it took, where it is known.
    pub const fn took(mut self, took: Option<Duration>) -> Self {
        self.event.took = took;
        self
    }

    /// Somebody leads from now on.
    pub const fn is_new_leader(&self) -> bool {
        matches!(self.event.kind, EventKind::Elected | EventKind::NewLeader)
    }

    /// In words for a person.
    pub fn text(mut self, text: impl Into<String>) -> Self {
        self.event.text = text.into();
        self
    }
}

impl Events {
    /// Adds an event that happens now; the oldest one goes where there is no room.
    pub fn note(&self, note: Note) {
        self.kept().add(note);
    }

    /// This node campaigns for `term`; noted once a term until somebody leads, whoever notices
    /// first.
    pub fn campaign(&self, term: u64, cause: Cause, text: &str) {
        let mut kept = self.kept();
        if kept.campaign.is_none_or(|(last, _)| last < term) {
            kept.campaign = Some((term, cause));
            kept.add(Note::new(term, EventKind::Timeout).cause(Some(cause)).text(text));
        }
    }

    /// Why this node campaigned for `term`; `None` where it did not.
    pub fn campaigned(&self, term: u64) -> Option<Cause> {
        self.kept().campaign.filter(|(last, _)| *last == term).map(|(_, cause)| cause)
    }

    /// Somebody leads: the next campaign is another one, whatever its term.
    pub fn end_campaign(&self) {
        self.kept().campaign = None;
    }

    /// This node asks for votes in `term`, or has won it alone: counted once a term.
    pub fn asks_for_votes(&self, term: u64) {
        let mut kept = self.kept();
        if kept.asked < term {
            kept.asked = term;
            let cause = kept.campaign.filter(|(last, _)| *last == term).map(|(_, cause)| cause);
            *kept.started.entry(cause.unwrap_or(Cause::Timeout)).or_default() += 1;
        }
    }

    /// A pre-vote was refused to this node.
    pub fn refused(&self, cause: Cause) {
        *self.kept().refused.entry(cause).or_default() += 1;
    }

    /// Elections started, and pre-votes refused, by cause.
    pub fn counts(&self) -> (BTreeMap<Cause, u64>, BTreeMap<Cause, u64>) {
        let kept = self.kept();
        (kept.started.clone(), kept.refused.clone())
    }

    /// All events, oldest first.
    pub fn all(&self) -> Vec<NodeEvent> {
        self.kept().ring.iter().cloned().collect()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn add(&mut self, note: Note) {
        let at_ms = now_ms();
        // From the clock, so that ids rise over restarts; at most a thousand a millisecond.
        self.last_id = (at_ms * 1000).max(self.last_id + 1);
        let event = NodeEvent { id: self.last_id, at_ms, ..note.event };
        let NodeEvent { term, kind, peer, cause, text, .. } = &event;
        tracing::debug!(term, ?kind, peer, ?cause, text, "election");
        if self.ring.len() >= limits::ELECTION_EVENTS {
            self.ring.pop_front();
        }
        self.ring.push_back(event);
    }
}

/// Why a vote was refused, as far as the answer tells; `None`: it was given.
pub fn reason(ask: &AskVote, answer: &VoteAnswer) -> Option<Cause> {
    if answer.granted {
        None
    } else if answer.last > ask.last {
        Some(Cause::LogBehind)
    } else if answer.vote.term > ask.vote.term {
        Some(Cause::TermBehind)
    } else if answer.vote.committed {
        Some(Cause::LeaderAlive)
    } else if answer.vote.term == ask.vote.term && answer.vote.node != ask.vote.node {
        Some(Cause::AlreadyVoted)
    } else {
        Some(Cause::Refused)
    }
}

/// The same in words.
pub const fn words(refusal: Option<Cause>) -> &'static str {
    match refusal {
        None => "granted",
        Some(Cause::LogBehind) => "refused: the candidate's log is behind",
        Some(Cause::TermBehind) => "refused: the candidate's term is behind",
        Some(Cause::LeaderAlive) => "refused: a leader is alive",
        Some(Cause::AlreadyVoted) => "refused: voted for another in this term",
        Some(_) => "refused",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::record::{LogId, Vote};

    #[test]
    fn the_ring_is_bounded_and_keeps_the_newest() {
        let events = Events::default();
        for term in 0..2 * limits::ELECTION_EVENTS as u64 {
            events.note(Note::new(term, EventKind::Timeout));
        }
        let all = events.all();
        assert_eq!(all.len(), limits::ELECTION_EVENTS);
        assert_eq!(all.last().map(|e| e.term), Some(2 * limits::ELECTION_EVENTS as u64 - 1));
        assert!(all.iter().zip(&all[1..]).all(|(a, b)| a.id < b.id), "ids rise");
    }

    #[test]
    fn a_campaign_is_told_once_and_counted_once() {
        let events = Events::default();
        events.campaign(5, Cause::ConnectionLost, "");
        events.campaign(5, Cause::Timeout, "");
        events.asks_for_votes(5);
        events.asks_for_votes(5);
        events.asks_for_votes(6);
        assert_eq!(events.campaigned(5), Some(Cause::ConnectionLost));
        let (started, _) = events.counts();
        assert_eq!(started, BTreeMap::from([(Cause::ConnectionLost, 1), (Cause::Timeout, 1)]));
        assert_eq!(events.all().len(), 1);
        // It did not come about; when the leader of another term is lost, it is a new one.
        events.end_campaign();
        events.campaign(5, Cause::Timeout, "");
        assert_eq!(events.all().len(), 2);
    }

    #[test]
    fn a_refusal_says_why() {
        let vote = |term, node, committed| Vote { term, node, committed };
        let id = |index| Some(LogId { term: 1, index });
        let ask = AskVote { vote: vote(3, 1, false), last: id(5), transfer: false };
        let answer = |vote, last| VoteAnswer { vote, granted: false, last };
        let cases = [
            (answer(vote(2, 2, false), id(6)), Cause::LogBehind),
            (answer(vote(4, 2, false), id(5)), Cause::TermBehind),
            (answer(vote(2, 2, true), id(5)), Cause::LeaderAlive),
            (answer(vote(3, 2, false), id(5)), Cause::AlreadyVoted),
        ];
        for (answer, cause) in cases {
            assert_eq!(reason(&ask, &answer), Some(cause));
        }
        assert!(words(Some(Cause::LogBehind)).contains("log is behind"));
    }
}
