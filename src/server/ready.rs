//! Whether a server is ready for clients, why not, and what else is not well with it, in the codes
//! that `status` shows. Pure. It must not know what it is asked for.

use super::process::Disk;
use crate::raft::types::StopReason;
use crate::raft::{NodeStatus, Reading, Role};
use crate::report::reason::Reason;
use std::time::Duration;

/// A server that has applied less than this behind its commit index is up to date.
const BACKLOG: u64 = 1_000;
/// A sync that takes this long by now is slow: half the shortest election timeout.
const SLOW_SYNC: Duration = Duration::from_millis(375);
/// A disk is slow where one sync of a hundred takes this long: an election timeout holds three.
const SLOW_P99: Duration = Duration::from_millis(250);
/// A disk with less than this share free, in percent, and less than these bytes, is nearly full.
const LOW: (u64, u64) = (15, 10 << 30);
/// With less than this it counts as full.
const FULL: (u64, u64) = (2, 256 << 20);

/// What a server says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Clients should be sent to it.
    pub ready: bool,
    /// What is not well.
    pub reasons: Vec<Reason>,
    /// The same for a person.
    pub why: String,
}

impl Standing {
    /// Of a node with this statement, that perhaps stops, with its data on `disk`.
    #[must_use]
    pub fn of(
        node: &NodeStatus,
        stops: Option<&StopReason>,
        disk: Option<Disk>,
        syncs: Reading,
    ) -> Self {
        let mut found = in_the_way(node, stops);
        let mut ready = found.is_empty();
        if let Some(disk) = disk.filter(|disk| disk.total > 0) {
            let percent = disk.free * 100 / disk.total;
            let below = |(share, bytes)| percent < share && disk.free < bytes;
            if below(FULL) {
                ready = false;
                found.push((Reason::DiskFull, "the data disk is full".to_owned()));
            } else if below(LOW) {
                found.push((Reason::DiskLow, format!("{percent} % of the data disk is free")));
            }
        }
        if let Some(text) = slow(syncs) {
            found.push((Reason::SlowDisk, text));
        }
        let (reasons, texts): (_, Vec<_>) = found.into_iter().unzip();
        Self { ready, reasons, why: texts.join("; ") }
    }
}

fn in_the_way(node: &NodeStatus, stops: Option<&StopReason>) -> Vec<(Reason, String)> {
    let mut found = Vec::new();
    if let Some(StopReason::Unavailable(text)) = stops {
        found.push((Reason::StorageUnavailable, text.clone()));
    }
    if node.role == Role::Learner {
        found.push((Reason::Learner, "it is not a voter yet".to_owned()));
    }
    if node.leader.is_none() {
        let (live, voters) = (node.live, node.voters);
        found.push((Reason::NoLeader, format!("no leader: {live} of {voters} servers are up")));
    }
    let behind = node.commit.saturating_sub(node.applied);
    if behind > BACKLOG {
        found.push((Reason::ApplyBacklog, format!("{behind} committed entries are not applied")));
    }
    if node.draining {
        found.push((Reason::Draining, "it was drained".to_owned()));
    }
    found
}

fn slow(syncs: Reading) -> Option<String> {
    let pending = syncs.pending.filter(|time| *time >= SLOW_SYNC);
    if let Some(time) = pending {
        return Some(format!("a sync has taken {} ms so far", time.as_millis()));
    }
    let p99 = syncs.p99.filter(|time| *time >= SLOW_P99)?;
    Some(format!("a sync takes up to {} ms", p99.as_millis()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_its_code_and_its_words() {
        let (fast, slow) = (Reading::default(), |p99, pending| Reading { p99, pending });
        let well = NodeStatus { role: Role::Follower, leader: Some(2), ..NodeStatus::default() };
        let all_is_well = Standing { ready: true, ..Standing::default() };
        let disk = |free: u64| Some(Disk { free: free << 20, total: 1000 << 20 });
        let large = Some(Disk { free: 50 << 30, total: 1000 << 30 });
        assert_eq!(Standing::of(&well, None, large, fast), all_is_well);
        assert_eq!(Standing::of(&well, None, disk(500), fast), all_is_well);
        let gone = StopReason::Unavailable("the database cannot be reached: refused".into());
        let standing = Standing::of(&well, Some(&gone), None, fast);
        assert_eq!((standing.ready, standing.why), (false, gone.to_string()));
        assert_eq!(standing.reasons, [Reason::StorageUnavailable]);
        let ms = |ms| Some(Duration::from_millis(ms));
        let cases = [
            (NodeStatus { role: Role::Learner, ..well.clone() }, fast, 500, Reason::Learner, false),
            (NodeStatus { leader: None, ..well.clone() }, fast, 500, Reason::NoLeader, false),
            (NodeStatus { commit: 1001, ..well.clone() }, fast, 500, Reason::ApplyBacklog, false),
            (NodeStatus { draining: true, ..well.clone() }, fast, 500, Reason::Draining, false),
            (well.clone(), fast, 9, Reason::DiskFull, false),
            (well.clone(), fast, 149, Reason::DiskLow, true),
            (well.clone(), slow(ms(260), None), 500, Reason::SlowDisk, true),
            (well.clone(), slow(ms(1), ms(400)), 500, Reason::SlowDisk, true),
        ];
        for (node, syncs, free, reason, ready) in cases {
            let standing = Standing::of(&node, Some(&StopReason::Shutdown), disk(free), syncs);
            assert_eq!((standing.reasons, standing.ready), (vec![reason], ready));
            assert!(!standing.why.is_empty());
        }
    }
}
