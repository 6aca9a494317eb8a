//! From what the nodes say to a verdict and its reasons. Pure; see [`super`].

use super::Row;
use super::links::{LinkState, State};
use super::reason::Reason;
use crate::chat::ids::ClusterId;
use crate::wire::statement::Status;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a node may give as its own reason. What a newer program says besides is in its words.
const SAID: [Reason; 8] = [
    Reason::ApplyBacklog,
    Reason::DiskFull,
    Reason::DiskLow,
    Reason::Draining,
    Reason::Learner,
    Reason::NoLeader,
    Reason::SlowDisk,
    Reason::StorageUnavailable,
];
/// The role of a server that waits for its database: it takes no part.
pub const DOWN: &str = "down";
/// A leader that no majority has answered for this long does not lead.
const QUORUM_AGE: Duration = Duration::from_secs(3);
/// Entries that a node may be behind without being called slow.
const LAG: u64 = 1000;
/// A cluster without a leader is electing for so long; then something is in the way. Three times
/// the longest election timeout.
const ELECTING: Duration = Duration::from_millis(4500);
/// Clocks may differ by so much, in milliseconds.
const SKEW_MS: i64 = 1000;
/// A certificate that is valid for less than this, in milliseconds: 30 days.
const EXPIRING_MS: u64 = 30 * 24 * 3600 * 1000;
/// So many changes of the leader in 15 minutes are too many; a rolling restart of three nodes
/// brings three.
const FLAPPING: u64 = 4;

/// How the cluster stands, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// All is well.
    Healthy,
    /// It serves, but something is missing.
    Degraded,
    /// A majority is up, without a leader, for a moment.
    Electing,
    /// The same for longer.
    NoLeader,
    /// No majority is up.
    NoQuorum,
    /// Two lead in the same term: a fault of the program.
    SplitView,
    /// No node answered.
    Unreachable,
}

impl Verdict {
    /// As in the JSON.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Electing => "electing",
            Self::NoLeader => "no_leader",
            Self::NoQuorum => "no_quorum",
            Self::SplitView => "split_view",
            Self::Unreachable => "unreachable",
        }
    }

    /// As on a screen.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Healthy => "OK",
            Self::Degraded => "DEGRADED",
            Self::Electing => "ELECTING",
            Self::NoLeader => "NO LEADER",
            Self::NoQuorum => "NO QUORUM",
            Self::SplitView => "SPLIT VIEW",
            Self::Unreachable => "NO DATA",
        }
    }
}

/// What follows from the answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// In one word.
    pub verdict: Verdict,
    /// All reasons.
    pub reasons: BTreeSet<Reason>,
    /// The reasons that belong to one node, by its place in the list.
    pub of_node: BTreeMap<usize, BTreeSet<Reason>>,
    /// The place of the leader in the list.
    pub leader: Option<usize>,
    /// Voters of the cluster; `None` if nobody answered.
    pub voters: Option<u32>,
    /// Voters that answered.
    pub live: u32,
}

impl Judgement {
    /// Voters that are needed.
    #[must_use]
    pub fn needed(&self) -> Option<u32> {
        self.voters.map(|voters| voters / 2 + 1)
    }

    /// Voters that may still fail.
    #[must_use]
    pub fn can_lose(&self) -> Option<u32> {
        self.needed().map(|needed| self.live.saturating_sub(needed))
    }

    /// The entries that the node at `place` is behind the leader.
    #[must_use]
    pub fn lag(&self, rows: &[Row], place: usize) -> Option<u64> {
        let leader = rows.get(self.leader?)?.fresh()?;
        let status = rows.get(place)?.fresh()?;
        Some(leader.commit.saturating_sub(status.applied))
    }
}

/// Judges the answers.
#[must_use]
pub fn judge(rows: &[Row]) -> Judgement {
    let statuses: Vec<&Status> = rows.iter().filter_map(Row::fresh).collect();
    let newest = newest(&statuses);
    let mut judgement = Judgement {
        verdict: Verdict::Unreachable,
        reasons: BTreeSet::new(),
        of_node: BTreeMap::new(),
        leader: leader(rows),
        voters: newest.map(|s| s.voters.max(1)),
        live: live(&statuses, newest),
    };
    for place in 0..rows.len() {
        let reasons = of_node(rows, place, &judgement, newest);
        judgement.reasons.extend(&reasons);
        judgement.of_node.insert(place, reasons);
    }
    let Some(needed) = judgement.needed() else { return judgement };
    let enough = judgement.live >= needed;
    if !enough {
        judgement.reasons.insert(Reason::NoQuorum);
    }
    if judgement.leader.is_none() {
        judgement.reasons.insert(Reason::NoLeader);
    }
    if statuses.iter().any(|s| s.elections.changes_15m >= FLAPPING) {
        judgement.reasons.insert(Reason::Flapping);
    }
    let links = super::links::links(rows);
    if links.iter().any(|link| link.state == State::Stopped) {
        judgement.reasons.insert(Reason::LinkStopped);
    }
    if links.iter().any(LinkState::is_down) {
        judgement.reasons.insert(Reason::LinkDown);
    }
    if is_split(&statuses) {
        judgement.reasons.insert(Reason::SplitView);
    }
    judgement.verdict = match (judgement.leader, enough) {
        _ if judgement.reasons.contains(&Reason::SplitView) => Verdict::SplitView,
        (_, false) => Verdict::NoQuorum,
        (None, true) if leaderless(&statuses) <= ELECTING => Verdict::Electing,
        (None, true) => Verdict::NoLeader,
        (Some(_), true) if judgement.reasons.is_empty() => Verdict::Healthy,
        (Some(_), true) => Verdict::Degraded,
    };
    judgement
}

/// The node whose membership counts: the one that has come furthest.
fn newest<'a>(statuses: &[&'a Status]) -> Option<&'a Status> {
    statuses.iter().copied().max_by_key(|s| (s.role != DOWN, s.generation, s.applied, s.term))
}

/// Voters that answer.
fn live(statuses: &[&Status], newest: Option<&Status>) -> u32 {
    let members = newest.map(|s| s.members.as_slice()).unwrap_or_default();
    let votes = |s: &Status| match members.iter().find(|m| m.raft_id == s.raft_id) {
        Some(member) => member.voter,
        None => members.is_empty() && s.role != "learner",
    };
    let live = statuses.iter().filter(|s| s.role != DOWN && votes(s)).count();
    u32::try_from(live).unwrap_or(u32::MAX)
}

/// How long nobody has led, as far as anybody knows.
fn leaderless(statuses: &[&Status]) -> Duration {
    let known = statuses.iter().filter(|s| s.role != DOWN);
    let shortest = known.filter_map(|s| s.elections.leaderless_ms).min();
    Duration::from_millis(shortest.unwrap_or(0))
}

fn is_split(statuses: &[&Status]) -> bool {
    let mut terms = BTreeSet::new();
    statuses.iter().filter(|s| s.role == "leader").any(|s| !terms.insert((s.cluster, s.term)))
}

/// The node that leads: of those that say so in the highest term, if a majority still answers it.
fn leader(rows: &[Row]) -> Option<usize> {
    let says = |(place, row): (usize, &Row)| {
        let status = row.fresh().filter(|s| s.role == "leader")?;
        Some((status.term, place, status.quorum_ack_age_ms))
    };
    let (_, place, age) = rows.iter().enumerate().filter_map(says).max()?;
    age.is_none_or(|age| Duration::from_millis(age) <= QUORUM_AGE).then_some(place)
}

fn of_node(
    rows: &[Row],
    place: usize,
    judgement: &Judgement,
    newest: Option<&Status>,
) -> BTreeSet<Reason> {
    let mut reasons = BTreeSet::new();
    let Some(row) = rows.get(place) else { return reasons };
    let members = newest.map(|s| s.members.as_slice()).unwrap_or_default();
    let Some(status) = row.fresh() else {
        let no_voter = |seat| {
            let of_seat = |m: &&_| seat_is(m, seat);
            !members.is_empty() && !members.iter().filter(of_seat).any(|m| m.voter)
        };
        if !row.seat.is_some_and(no_voter) {
            reasons.insert(Reason::VoterDown);
        }
        return reasons;
    };
    let said = |reason: &Reason| status.reasons.iter().any(|code| code == reason.code());
    reasons.extend(SAID.into_iter().filter(said));
    compared(rows, status, &mut reasons);
    if is_skewed(rows, row) {
        reasons.insert(Reason::ClockSkew);
    }
    if !members.is_empty() && members.iter().all(|m| m.raft_id != status.raft_id) {
        reasons.insert(Reason::Stray);
    }
    let left = |until: u64| until.saturating_sub(status.now_ms);
    if status.certificate_until_ms.is_some_and(|until| left(until) < EXPIRING_MS) {
        reasons.insert(Reason::CertExpiring);
    }
    if status.role == DOWN {
        return reasons;
    }
    if status.role == "learner" {
        reasons.insert(Reason::Learner);
    }
    if status.leader.is_none() {
        reasons.insert(Reason::NoLeader);
    }
    if judgement.lag(rows, place).is_some_and(|lag| lag > LAG) {
        reasons.insert(Reason::Lagging);
    }
    if status.commit.saturating_sub(status.applied) > LAG {
        reasons.insert(Reason::ApplyBacklog);
    }
    if is_partly_cut(rows, status) {
        reasons.insert(Reason::PartialPartition);
    }
    reasons
}

fn seat_is(member: &crate::wire::statement::MemberView, seat: u32) -> bool {
    member.server.seat == seat
}

/// What shows only beside the others.
fn compared(rows: &[Row], status: &Status, reasons: &mut BTreeSet<Reason>) {
    let others = rows.iter().filter_map(Row::fresh);
    let anybody = |differs: &dyn Fn(&Status) -> bool| others.clone().any(differs);
    let named = |s: &Status| s.cluster != ClusterId::default();
    if named(status) && anybody(&|s| named(s) && s.cluster != status.cluster) {
        reasons.insert(Reason::ClusterMismatch);
    } else if named(status) && anybody(&|s| named(s) && s.generation != status.generation) {
        reasons.insert(Reason::GenerationMismatch);
    }
    if anybody(&|s| s.version != status.version) {
        reasons.insert(Reason::VersionSkew);
    }
    let same = |s: &Status| s.applied == status.applied && s.cluster == status.cluster;
    let known = |s: &Status| !s.hash.is_empty() && !status.hash.is_empty();
    if anybody(&|s| same(s) && known(s) && s.hash != status.hash) {
        reasons.insert(Reason::Diverged);
    }
}

/// Its clock is far from the middle one.
fn is_skewed(rows: &[Row], row: &Row) -> bool {
    let fresh = rows.iter().filter(|row| row.fresh().is_some());
    let mut all: Vec<i64> = fresh.filter_map(|row| row.skew_ms).collect();
    all.sort_unstable();
    // Of two one cannot tell which is wrong.
    let middle = if all.len() == 2 { 0 } else { all.get(all.len() / 2).copied().unwrap_or(0) };
    row.skew_ms.is_some_and(|skew| (skew - middle).abs() > SKEW_MS)
}

/// True if it has no connection with a node that answers us.
fn is_partly_cut(rows: &[Row], status: &Status) -> bool {
    let up = rows.iter().filter_map(Row::fresh).filter(|s| s.role != DOWN).map(|s| s.seat);
    let mut missing = up.filter(|seat| *seat != status.seat && !status.links.contains(seat));
    missing.next().is_some()
}
