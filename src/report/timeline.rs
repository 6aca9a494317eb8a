//! The events of all nodes as one history: by the asker's clock, each once, and put together to
//! elections: who campaigned and why, who answered what, who won. Pure. It must not know how
//! events are asked for, nor how they are put into words ([`super::story`]).

use super::Row;
use crate::limits;
use crate::wire::statement::Event;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Events that are kept: what all rings of a cluster hold together.
const MOST: usize = limits::NODES * limits::ELECTION_EVENTS;
/// What stays when there are more.
const LEFT: usize = MOST / 4 * 3;
/// A clock that has moved by more than this since it was measured best was set anew.
const STEP_MS: u64 = 100;

/// All events that were told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    kept: BTreeMap<(u32, u64), Event>,
    clocks: BTreeMap<u32, Clock>,
}

/// A node's clock minus ours, in milliseconds, and how far from the truth that may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Clock {
    skew_ms: i64,
    doubt_ms: u64,
}

/// An event by the asker's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// When, in milliseconds of UNIX time, the node's skew taken off.
    pub at_ms: u64,
    /// What.
    pub event: &'a Event,
}

/// What a node answered to a candidate.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// It said yes.
    pub granted: bool,
    /// Why it did not, in a code.
    pub cause: String,
    /// How long that took, in milliseconds, by the candidate.
    pub took_ms: Option<u64>,
}

/// A node that wanted to lead.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Candidate {
    /// Its seat.
    pub seat: u32,
    /// When its campaign began, by the asker's clock.
    pub at_ms: u64,
    /// Why, in a code; empty: not known.
    pub cause: String,
    /// It asked others whether they would vote for it.
    pub prevoted: bool,
    /// What they said.
    pub prevotes: BTreeMap<u32, Answer>,
    /// When it asked for votes, if it did.
    pub asked_ms: Option<u64>,
    /// What others said then.
    pub votes: BTreeMap<u32, Answer>,
}

impl Candidate {
    /// It did more than to hear that leadership is handed over.
    #[must_use]
    pub fn took_part(&self) -> bool {
        self.prevoted || self.asked_ms.is_some() || self.cause != "transfer"
    }
}

/// The leader as some nodes lost it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// When the first of them noticed.
    pub at_ms: u64,
    /// The leader's seat.
    pub leader: Option<u32>,
    /// Why, in a code.
    pub cause: String,
    /// The seats that lost it.
    pub by: BTreeSet<u32>,
}

/// One election: all that happened for one term.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Election {
    /// The term.
    pub term: u64,
    /// How the leader before was lost, where that brought it about.
    pub losses: Vec<Loss>,
    /// Who campaigned, the first one first.
    pub candidates: Vec<Candidate>,
    /// Who won, and when.
    pub winner: Option<(u32, u64)>,
    /// Who followed the winner.
    pub followers: BTreeSet<u32>,
    /// How long nobody led, in milliseconds, as the winner or else a follower says.
    pub leaderless_ms: Option<u64>,
}

impl Election {
    /// When somebody campaigned last, or won.
    fn last_ms(&self) -> u64 {
        let begun = self.candidates.iter().map(|c| c.asked_ms.unwrap_or(c.at_ms).max(c.at_ms));
        begun.chain(self.winner.map(|(_, at)| at)).max().unwrap_or(0)
    }

    /// The campaign of the winner.
    #[must_use]
    pub fn won_by(&self) -> Option<&Candidate> {
        let (seat, _) = self.winner?;
        self.candidates.iter().find(|c| c.seat == seat)
    }

    fn candidate(&mut self, seat: u32, at_ms: u64) -> &mut Candidate {
        let place = self.candidates.iter().position(|c| c.seat == seat);
        let place = place.unwrap_or_else(|| {
            self.candidates.push(Candidate { seat, at_ms, ..Candidate::default() });
            self.candidates.len() - 1
        });
        &mut self.candidates[place]
    }
}

impl Timeline {
    /// Takes what a node told; gives what is new of it, oldest first.
    pub fn take(&mut self, row: &Row) -> Vec<Event> {
        let Some(status) = row.fresh() else { return Vec::new() };
        self.measure(status.seat, row);
        let mut new = Vec::new();
        for event in &status.events {
            if self.kept.insert((event.seat, event.id), event.clone()).is_none() {
                new.push(event.clone());
            }
        }
        self.forget();
        new
    }

    /// The id of a node's newest event: what is asked for is what came after.
    #[must_use]
    pub fn last_id(&self, seat: u32) -> Option<u64> {
        let all = self.kept.range((seat, 0)..=(seat, u64::MAX));
        all.last().map(|((_, id), _)| *id)
    }

    /// When an event was, by the asker's clock.
    #[must_use]
    pub fn at_ms(&self, event: &Event) -> u64 {
        let clock = self.clocks.get(&event.seat);
        // What is within the doubt is no difference: clocks of one machine are the same.
        let skew = clock.filter(|c| c.skew_ms.unsigned_abs() > c.doubt_ms).map_or(0, |c| c.skew_ms);
        event.at_ms.saturating_add_signed(skew.saturating_neg())
    }

    /// All events, the oldest first. Where times are the same, what must have been first is.
    #[must_use]
    pub fn entries(&self) -> Vec<Entry<'_>> {
        let entry = |event| Entry { at_ms: self.at_ms(event), event };
        let mut all: Vec<_> = self.kept.values().map(entry).collect();
        all.sort_by_key(|e| (e.at_ms, e.event.term, step(&e.event.kind), e.event.seat, e.event.id));
        all
    }

    /// The elections, the oldest first.
    #[must_use]
    pub fn elections(&self) -> Vec<Election> {
        let mut terms: BTreeMap<u64, Election> = BTreeMap::new();
        let mut lost: Vec<(u64, Loss)> = Vec::new();
        for entry in self.entries() {
            match entry.event.kind.as_str() {
                "lost_leader" => add_loss(&mut lost, entry),
                _ if entry.event.term == 0 => {}
                _ => add(&mut terms, entry),
            }
        }
        for (term, loss) in lost {
            let mut later = terms.range_mut(term + 1..).map(|(_, election)| election);
            if let Some(election) = later.find(|e| e.last_ms() >= loss.at_ms) {
                election.losses.push(loss);
            }
        }
        terms.into_values().filter(|e| !e.candidates.is_empty() || e.winner.is_some()).collect()
    }

    /// Keeps the measurement that is the least in doubt.
    fn measure(&mut self, seat: u32, row: &Row) {
        let (Some(skew_ms), Some(trip)) = (row.skew_ms, row.round_trip) else { return };
        let doubt = Duration::div_f64(trip, 2.0).as_millis() + 1;
        let new = Clock { skew_ms, doubt_ms: u64::try_from(doubt).unwrap_or(u64::MAX) };
        let better = self.clocks.get(&seat).is_none_or(|old| {
            let moved = old.skew_ms.abs_diff(new.skew_ms);
            new.doubt_ms <= old.doubt_ms || moved > old.doubt_ms + new.doubt_ms + STEP_MS
        });
        if better {
            self.clocks.insert(seat, new);
        }
    }

    fn forget(&mut self) {
        if self.kept.len() <= MOST {
            return;
        }
        let mut times: Vec<u64> = self.kept.values().map(|e| self.at_ms(e)).collect();
        times.sort_unstable();
        let first = times.get(times.len() - LEFT).copied().unwrap_or(0);
        let clocks = Self { kept: BTreeMap::new(), clocks: self.clocks.clone() };
        self.kept.retain(|_, event| clocks.at_ms(event) > first);
    }
}

/// The order of what happens in one election.
fn step(kind: &str) -> u8 {
    const ORDER: [&str; 11] = [
        "lost_leader",
        "transfer",
        "timeout",
        "prevote_asked",
        "prevoted",
        "prevote",
        "vote_asked",
        "voted",
        "vote",
        "elected",
        "new_leader",
    ];
    let place = ORDER.iter().position(|known| *known == kind).unwrap_or(ORDER.len());
    u8::try_from(place).unwrap_or(u8::MAX)
}

/// Nodes that lost the same leader within this time lost it together, in milliseconds.
const TOGETHER_MS: u64 = 5000;

fn add_loss(lost: &mut Vec<(u64, Loss)>, Entry { at_ms, event }: Entry<'_>) {
    let same = |(term, loss): &&mut (u64, Loss)| {
        *term == event.term && loss.leader == event.peer && loss.at_ms + TOGETHER_MS >= at_ms
    };
    match lost.iter_mut().rev().find(same) {
        Some((_, loss)) => drop(loss.by.insert(event.seat)),
        None => lost.push((
            event.term,
            Loss {
                at_ms,
                leader: event.peer,
                cause: event.cause.clone(),
                by: BTreeSet::from([event.seat]),
            },
        )),
    }
}

fn add(terms: &mut BTreeMap<u64, Election>, Entry { at_ms, event }: Entry<'_>) {
    const OF_ELECTIONS: [&str; 9] = [
        "timeout",
        "prevote_asked",
        "prevote",
        "prevoted",
        "vote_asked",
        "vote",
        "voted",
        "elected",
        "new_leader",
    ];
    if !OF_ELECTIONS.contains(&event.kind.as_str()) {
        return;
    }
    let election = terms.entry(event.term).or_default();
    election.term = event.term;
    let answer = Answer {
        granted: event.granted.unwrap_or(false),
        cause: event.cause.clone(),
        took_ms: event.took_ms,
    };
    let (own, peer) = (event.seat, event.peer);
    match (event.kind.as_str(), peer) {
        ("timeout", _) => {
            let candidate = election.candidate(own, at_ms);
            candidate.cause.clone_from(&event.cause);
            candidate.at_ms = candidate.at_ms.min(at_ms);
        }
        ("prevote_asked", _) => election.candidate(own, at_ms).prevoted = true,
        ("vote_asked", _) => drop(election.candidate(own, at_ms).asked_ms.get_or_insert(at_ms)),
        ("prevote", Some(peer)) => {
            let candidate = election.candidate(own, at_ms);
            candidate.prevoted = true;
            candidate.prevotes.insert(peer, answer);
        }
        ("vote", Some(peer)) => {
            let candidate = election.candidate(own, at_ms);
            candidate.asked_ms.get_or_insert(at_ms);
            candidate.votes.insert(peer, answer);
        }
        // What the one says who answered counts where the candidate cannot tell any more.
        ("prevoted", Some(peer)) => {
            let candidate = election.candidate(peer, at_ms);
            candidate.prevoted = true;
            candidate.prevotes.entry(own).or_insert(answer);
        }
        ("voted", Some(peer)) => {
            let candidate = election.candidate(peer, at_ms);
            candidate.asked_ms.get_or_insert(at_ms);
            candidate.votes.entry(own).or_insert(answer);
        }
        ("elected", _) => {
            election.winner = Some((own, at_ms));
            election.leaderless_ms = event.took_ms.or(election.leaderless_ms);
        }
        ("new_leader", Some(peer)) => {
            election.winner = election.winner.or(Some((peer, at_ms)));
            election.followers.insert(own);
            election.leaderless_ms = election.leaderless_ms.or(event.took_ms);
        }
        _ => {}
    }
}
