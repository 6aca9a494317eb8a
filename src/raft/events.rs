//! The election history: a bounded ring, written where the questions and answers
//! pass, because openraft's metrics skip states. It must not decide anything.

use super::types::{ElectionEvent, EventKind};
use crate::limits;
use crate::wire::raft::{AskVote, VoteAnswer};
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// The ring.
#[derive(Debug, Default)]
pub struct Events {
    ring: Mutex<VecDeque<ElectionEvent>>,
}

impl Events {
    /// Adds an event that happens now; the oldest one goes where there is no room.
    pub fn add(&self, term: u64, kind: EventKind, peer: Option<u32>, text: impl Into<String>) {
        let (at_ms, text) = (now_ms(), text.into());
        tracing::debug!(term, ?kind, peer, text, "election");
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        if ring.len() >= limits::ELECTION_EVENTS {
            ring.pop_front();
        }
        ring.push_back(ElectionEvent { at_ms, term, kind, peer, text });
    }

    /// All events, oldest first.
    pub fn all(&self) -> Vec<ElectionEvent> {
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        ring.iter().cloned().collect()
    }
}

/// The clock, in milliseconds of UNIX time.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Why a vote was given or refused, as far as the answer tells.
pub fn reason(ask: &AskVote, answer: &VoteAnswer) -> &'static str {
    if answer.granted {
        "granted"
    } else if answer.last > ask.last {
        "refused: the candidate's log is behind"
    } else if answer.vote.term > ask.vote.term {
        "refused: the candidate's term is behind"
    } else if answer.vote.committed {
        "refused: a leader is alive"
    } else if answer.vote.term == ask.vote.term && answer.vote.node != ask.vote.node {
        "refused: voted for another in this term"
    } else {
        "refused"
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
            events.add(term, EventKind::Timeout, None, "");
        }
        let all = events.all();
        assert_eq!(all.len(), limits::ELECTION_EVENTS);
        assert_eq!(all.last().map(|e| e.term), Some(2 * limits::ELECTION_EVENTS as u64 - 1));
    }

    #[test]
    fn a_refusal_says_why() {
        let vote = |term, node, committed| Vote { term, node, committed };
        let id = |index| Some(LogId { term: 1, index });
        let ask = AskVote { vote: vote(3, 1, false), last: id(5), transfer: false };
        let answer = |vote, last| VoteAnswer { vote, granted: false, last };
        assert!(reason(&ask, &answer(vote(2, 2, false), id(6))).contains("log"));
        assert!(reason(&ask, &answer(vote(4, 2, false), id(5))).contains("term is behind"));
        assert!(reason(&ask, &answer(vote(2, 2, true), id(5))).contains("alive"));
        assert!(reason(&ask, &answer(vote(3, 2, false), id(5))).contains("another"));
    }
}
