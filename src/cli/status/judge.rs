//! From what the nodes say to a verdict and its reasons. Pure.

use super::Asked;
use crate::chat::ids::ClusterId;
use crate::client::Status;
use std::collections::{BTreeMap, BTreeSet};

/// What a node may give as its own reason not to be ready: of the closed list. What a newer
/// program says besides is in its words.
const SAID: [&str; 4] = ["apply_backlog", "learner", "no_leader", "storage_unavailable"];
/// The role of a server that waits for its database: it takes no part.
const DOWN: &str = "down";

/// A leader that no majority has answered for this long does not lead, in milliseconds.
const QUORUM_AGE_MS: u64 = 3000;
/// Entries that a follower may be behind without being called slow.
const LAG: u64 = 1000;

/// How the cluster stands, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All is well.
    Healthy,
    /// It serves, but something is missing.
    Degraded,
    /// A majority is up, without a leader.
    Electing,
    /// No majority is up.
    NoQuorum,
    /// No node answered.
    Unreachable,
}

impl Verdict {
    /// As in the JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Electing => "electing",
            Self::NoQuorum => "no_quorum",
            Self::Unreachable => "unreachable",
        }
    }
}

/// What follows from the answers.
#[derive(Clone, Debug)]
pub struct Judgement {
    /// In one word.
    pub verdict: Verdict,
    /// Of the closed list of reasons.
    pub reasons: BTreeSet<&'static str>,
    /// The reasons that belong to one node, by its place in the list.
    pub of_node: BTreeMap<usize, BTreeSet<&'static str>>,
    /// The place of the leader in the list.
    pub leader: Option<usize>,
    /// Voters of the cluster; `None` if nobody answered.
    pub voters: Option<u32>,
    /// Voters that answered.
    pub live: u32,
}

impl Judgement {
    /// Voters that are needed.
    pub fn needed(&self) -> Option<u32> {
        self.voters.map(|voters| voters / 2 + 1)
    }

    /// The entries that the node at `place` is behind the leader.
    pub fn lag(&self, nodes: &[Asked], place: usize) -> Option<u64> {
        let leader = nodes.get(self.leader?)?.status()?;
        let status = nodes.get(place)?.status()?;
        Some(leader.commit.saturating_sub(status.applied))
    }
}

/// Judges the answers.
pub fn judge(nodes: &[Asked]) -> Judgement {
    let statuses: Vec<&Status> = nodes.iter().filter_map(Asked::status).collect();
    let voter = |s: &&&Status| s.role != "learner" && s.role != DOWN;
    let newest = statuses.iter().max_by_key(|s| (s.role != DOWN, s.applied, s.term));
    let mut judgement = Judgement {
        verdict: Verdict::Unreachable,
        reasons: BTreeSet::new(),
        of_node: BTreeMap::new(),
        leader: leader(nodes),
        voters: newest.map(|s| s.voters.max(1)),
        live: u32::try_from(statuses.iter().filter(voter).count()).unwrap_or(u32::MAX),
    };
    for place in 0..nodes.len() {
        let reasons = of_node(nodes, place, &judgement);
        judgement.reasons.extend(&reasons);
        judgement.of_node.insert(place, reasons);
    }
    let Some(needed) = judgement.needed() else { return judgement };
    let enough = judgement.live >= needed;
    if !enough {
        judgement.reasons.insert("no_quorum");
    }
    if judgement.leader.is_none() {
        judgement.reasons.insert("no_leader");
    }
    judgement.verdict = match (judgement.leader, enough) {
        (_, false) => Verdict::NoQuorum,
        (None, true) => Verdict::Electing,
        (Some(_), true) if judgement.reasons.is_empty() => Verdict::Healthy,
        (Some(_), true) => Verdict::Degraded,
    };
    judgement
}

/// The node that leads: of those that say so in the highest term, if a majority still answers it.
fn leader(nodes: &[Asked]) -> Option<usize> {
    let says = |(place, node): (usize, &Asked)| {
        let status = node.status().filter(|s| s.role == "leader")?;
        Some((status.term, place, status.quorum_ack_age_ms))
    };
    let (_, place, age) = nodes.iter().enumerate().filter_map(says).max()?;
    age.is_none_or(|age| age <= QUORUM_AGE_MS).then_some(place)
}

fn of_node(nodes: &[Asked], place: usize, judgement: &Judgement) -> BTreeSet<&'static str> {
    let mut reasons = BTreeSet::new();
    let Some(node) = nodes.get(place) else { return reasons };
    let Some(status) = node.status() else {
        reasons.insert("voter_down");
        return reasons;
    };
    let said = |code: &&&str| status.reasons.iter().any(|said| said == *code);
    reasons.extend(SAID.iter().filter(said).copied());
    let others = nodes.iter().filter_map(Asked::status);
    let anybody = |differs: &dyn Fn(&Status) -> bool| others.clone().any(differs);
    let named = |s: &Status| s.cluster != ClusterId::default();
    if named(status) && anybody(&|s| named(s) && s.cluster != status.cluster) {
        reasons.insert("cluster_mismatch");
    } else if named(status) && anybody(&|s| named(s) && s.generation != status.generation) {
        reasons.insert("generation_mismatch");
    }
    if anybody(&|s| s.version != status.version) {
        reasons.insert("version_skew");
    }
    let same = |s: &Status| s.applied == status.applied && s.cluster == status.cluster;
    let known = |s: &Status| !s.hash.is_empty() && !status.hash.is_empty();
    if anybody(&|s| same(s) && known(s) && s.hash != status.hash) {
        reasons.insert("diverged");
    }
    if status.role == DOWN {
        return reasons;
    }
    if status.role == "learner" {
        reasons.insert("learner");
    }
    if status.leader.is_none() {
        reasons.insert("no_leader");
    }
    if judgement.lag(nodes, place).is_some_and(|lag| lag > LAG) {
        reasons.insert("lagging");
    }
    if status.commit.saturating_sub(status.applied) > LAG {
        reasons.insert("apply_backlog");
    }
    if is_partly_cut(nodes, status) {
        reasons.insert("partial_partition");
    }
    reasons
}

/// True if it has no connection with a node that answers us.
fn is_partly_cut(nodes: &[Asked], status: &Status) -> bool {
    let up = nodes.iter().filter_map(Asked::status).filter(|s| s.role != DOWN).map(|s| s.seat);
    let mut missing = up.filter(|seat| *seat != status.seat && !status.links.contains(seat));
    missing.next().is_some()
}
