//! Whether a server is ready for clients, and why not, in the codes that `status`
//! shows. Pure. It must not know what it is asked for.

use crate::raft::types::StopReason;
use crate::raft::{NodeStatus, Role};

/// Its database does not answer.
pub const STORAGE_UNAVAILABLE: &str = "storage_unavailable";
/// A server that has applied less than this behind its commit index is up to date.
const BACKLOG: u64 = 1_000;

/// What a server says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unready {
    /// Codes of the closed list; none: it is ready.
    pub reasons: Vec<&'static str>,
    /// The same for a person.
    pub why: String,
}

impl Unready {
    /// What is in the way of a node with this statement, that perhaps stops.
    #[must_use]
    pub fn of(node: &NodeStatus, stops: Option<&StopReason>) -> Self {
        let mut found = Vec::new();
        if let Some(StopReason::Unavailable(text)) = stops {
            found.push((STORAGE_UNAVAILABLE, text.clone()));
        }
        if node.role == Role::Learner {
            found.push(("learner", "it is not a voter yet".to_owned()));
        }
        if node.leader.is_none() {
            let (live, voters) = (node.live, node.voters);
            found.push(("no_leader", format!("no leader: {live} of {voters} servers are up")));
        }
        let behind = node.commit.saturating_sub(node.applied);
        if behind > BACKLOG {
            found.push(("apply_backlog", format!("{behind} committed entries are not applied")));
        }
        let (reasons, texts): (_, Vec<_>) = found.into_iter().unzip();
        Self { reasons, why: texts.join("; ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_code_and_its_words() {
        let well = NodeStatus { role: Role::Follower, leader: Some(2), ..NodeStatus::default() };
        assert_eq!(Unready::of(&well, None), Unready::default());
        let gone = StopReason::Unavailable("the database cannot be reached: refused".into());
        let unready = Unready::of(&well, Some(&gone));
        assert_eq!(unready.reasons, [STORAGE_UNAVAILABLE]);
        assert_eq!(unready.why, gone.to_string());
        let cases = [
            (NodeStatus { role: Role::Learner, ..well.clone() }, "learner"),
            (NodeStatus { leader: None, ..well.clone() }, "no_leader"),
            (NodeStatus { commit: BACKLOG + 1, ..well.clone() }, "apply_backlog"),
        ];
        for (node, code) in cases {
            let unready = Unready::of(&node, Some(&StopReason::Shutdown));
            assert_eq!(unready.reasons, [code]);
            assert!(!unready.why.is_empty());
        }
    }
}
