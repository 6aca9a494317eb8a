//! One word on a cluster, from what its nodes say themselves: never from one node about the
//! others, except how many voters there are. It must not know how the word is shown.

use super::model::{Model, Node};
use crate::wire::message::Status;

/// How the cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// A leader, and every voter answers.
    Ok,
    /// A leader, but something is missing.
    Degraded(String),
    /// Enough voters answer, but nobody leads.
    NoLeader {
        /// Voters that answer.
        live: u32,
        /// Voters that are needed.
        needed: u32,
    },
    /// Fewer voters than are needed.
    NoQuorum {
        /// Voters that answer.
        live: u32,
        /// Voters that are needed.
        needed: u32,
        /// Voters there are.
        voters: u32,
        /// Who does not answer or takes no part, and why.
        missing: String,
    },
    /// Two nodes lead in the same term: that must never be.
    Split {
        /// The term.
        term: u64,
        /// Their seats.
        leaders: Vec<u32>,
    },
    /// Nobody answers.
    NoData(String),
}

impl Verdict {
    /// From the answers that are fresh.
    #[must_use]
    pub fn of(model: &Model) -> Self {
        let fresh: Vec<&Status> = model.nodes.iter().filter_map(Node::fresh).collect();
        let Some(voters) = fresh.iter().map(|s| s.voters).max() else {
            return Self::NoData(missing(model));
        };
        let needed = voters / 2 + 1;
        let voting = fresh.iter().filter(|s| s.role != "learner" && s.role != "down").count();
        let live = u32::try_from(voting).unwrap_or(u32::MAX);
        let leads = |s: &&&Status| s.role == "leader";
        let Some(leader) = fresh.iter().filter(leads).max_by_key(|s| s.term) else {
            if live < needed {
                return Self::NoQuorum { live, needed, voters, missing: missing(model) };
            }
            return Self::NoLeader { live, needed };
        };
        let same = |s: &&&Status| leads(s) && s.term == leader.term;
        let leaders: Vec<u32> = fresh.iter().filter(same).map(|s| s.seat).collect();
        if leaders.len() > 1 {
            return Self::Split { term: leader.term, leaders };
        }
        if leader.live < needed && voters > 1 {
            // It has not noticed yet that nobody follows.
            let missing = missing(model);
            return Self::NoQuorum { live: leader.live.max(live), needed, voters, missing };
        }
        let missing = missing(model);
        if !missing.is_empty() {
            return Self::Degraded(missing);
        }
        let behind: Vec<String> = fresh
            .iter()
            .filter(|s| s.leader != Some(leader.seat))
            .map(|s| format!("n{} does not follow n{}", s.seat, leader.seat))
            .collect();
        if behind.is_empty() { Self::Ok } else { Self::Degraded(behind.join(", ")) }
    }

    /// The word, and what is to be said about it.
    #[must_use]
    pub fn text(&self) -> (&'static str, String) {
        match self {
            Self::Ok => ("OK", String::new()),
            Self::Degraded(why) => ("DEGRADED", why.clone()),
            Self::NoLeader { live, needed } => {
                ("NO LEADER", format!("{live} voters answer, {needed} needed: an election is due"))
            }
            Self::NoQuorum { live, needed, voters, missing } => {
                let answer = if *live == 1 { "answers" } else { "answer" };
                let text = format!("{live} of {voters} voters {answer}, {needed} needed");
                ("NO QUORUM", format!("{text}; writes wait. {missing}"))
            }
            Self::Split { term, leaders } => {
                let who: Vec<String> = leaders.iter().map(|seat| format!("n{seat}")).collect();
                ("SPLIT VIEW", format!("{} all lead in term {term}: a bug", who.join(" and ")))
            }
            Self::NoData(missing) => ("NO DATA", format!("nobody answers. {missing}")),
        }
    }

    /// Exit code of `status` and `dash --once`: 0 well, 1 degraded, 2 not serving, 3 no answer.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Degraded(_) => 1,
            Self::NoLeader { .. } | Self::NoQuorum { .. } | Self::Split { .. } => 2,
            Self::NoData(_) => 3,
        }
    }
}

/// Who does not answer, and why.
fn missing(model: &Model) -> String {
    let name = |n: &Node| n.seat.map_or_else(|| n.address.clone(), |seat| format!("n{seat}"));
    let why = |n: &Node| n.error.clone().or_else(|| n.waits().map(str::to_owned));
    let gone = model.nodes.iter().filter_map(|n| why(n).map(|why| (n, why)));
    let gone: Vec<String> = gone.map(|(n, why)| format!("{} ({why})", name(n))).collect();
    if gone.is_empty() { String::new() } else { format!("Missing: {}", gone.join(", ")) }
}
