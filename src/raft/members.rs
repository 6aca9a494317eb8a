//! Changes of the membership, one at a time, all by the leader: it notes the
//! incarnation of every member's data directory, admits a new directory as a
//! learner under the next Raft id of its seat, and promotes it in its
//! predecessor's place when it has caught up. What operators want is done in between. It must not
//! know sockets.

use super::orders;
use super::shared::{Leader, Raft, Shared, seat_of};
use crate::clock::now_ms;
use crate::limits;
use crate::wire::raft::{AdmitAnswer, Member, OrderAnswer, Ordered};
use futures::FutureExt as _;
use openraft::ChangeMembers;
use openraft::async_runtime::watch::WatchReceiver as _;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};

/// The leader looks at the membership this often.
const LOOK: Duration = Duration::from_millis(200);
/// A change takes at most this long; it may still come about later.
pub const CHANGE_TIME: Duration = Duration::from_secs(5);
/// A learner that lacks at most this many entries has caught up.
pub const CAUGHT_UP: u64 = 64;

/// Asks to change the membership; cheap to clone.
#[derive(Clone)]
pub struct Admissions {
    ask: mpsc::Sender<Asked>,
}

/// What is asked, and where the answer goes.
enum Asked {
    Admit(Member, oneshot::Sender<AdmitAnswer>),
    Order(Ordered, oneshot::Sender<OrderAnswer>),
}

/// The task's end.
pub struct Upkeep {
    shared: Arc<Shared>,
    asked: mpsc::Receiver<Asked>,
}

/// The two ends.
pub fn upkeep(shared: Arc<Shared>) -> (Admissions, Upkeep) {
    let (ask, asked) = mpsc::channel(limits::NODES);
    (Admissions { ask }, Upkeep { shared, asked })
}

impl Admissions {
    /// The answer for a server that wants to be admitted.
    pub async fn ask(&self, member: Member) -> AdmitAnswer {
        let (tell, told) = oneshot::channel();
        let busy = || AdmitAnswer::NotNow("the leader is busy".into());
        if self.ask.try_send(Asked::Admit(member, tell)).is_err() {
            return busy();
        }
        told.await.unwrap_or_else(|_| busy())
    }

    /// What becomes of an order on this server.
    pub async fn order(&self, ordered: Ordered) -> OrderAnswer {
        let (tell, told) = oneshot::channel();
        let busy = || OrderAnswer::NotNow("the leader is busy".into());
        if self.ask.try_send(Asked::Order(ordered, tell)).is_err() {
            return busy();
        }
        told.await.unwrap_or_else(|_| OrderAnswer::Unknown("the node stopped".into()))
    }
}

impl Upkeep {
    /// Serves for as long as the node runs.
    pub async fn run(mut self) {
        let mut tick = tokio::time::interval(LOOK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                asked = self.asked.recv() => {
                    // Where nobody waits any more, it is asked again.
                    match asked {
                        None => return,
                        Some(Asked::Admit(member, tell)) => {
                            drop(tell.send(self.admit(member).await));
                        }
                        Some(Asked::Order(ordered, tell)) => {
                            drop(tell.send(orders::carry_out(&self.shared, ordered).await));
                        }
                    }
                }
                _ = tick.tick() => self.look().await,
            }
        }
    }

    async fn admit(&self, member: Member) -> AdmitAnswer {
        match self.shared.leader() {
            Leader::Me => {}
            Leader::Other(seat) => return AdmitAnswer::Leader(seat),
            Leader::Soon | Leader::Nobody => {
                return AdmitAnswer::NotNow("there is no leader".into());
            }
        }
        let (Some(raft), Some(membership)) = (self.shared.raft(), self.shared.membership()) else {
            return AdmitAnswer::NotNow("not running".into());
        };
        let members: BTreeMap<u64, Member> =
            membership.nodes().map(|(id, node)| (*id, node.clone())).collect();
        let seat = member.seat;
        let configured = self.shared.config.seats.iter().any(|other| other.seat == seat);
        if !configured && !members.keys().any(|id| seat_of(*id) == seat) {
            return AdmitAnswer::NotNow(format!(
                "node {seat} is neither in nodes.conf nor a member: `member add` it"
            ));
        }
        let node = Member { raft_id: 0, ..member.clone() };
        let (id, change) = match next_id(&members, &member, now_ms()) {
            NextId::Known(id) => return AdmitAnswer::Admitted(id),
            NextId::New { id, held } => {
                let node = Member { held, ..node };
                (id, raft.add_learner(id, node, false).boxed())
            }
            NextId::Kept(id) => {
                let nodes = BTreeMap::from([(id, Member { held: true, ..node })]);
                (id, raft.change_membership(ChangeMembers::SetNodes(nodes), true).boxed())
            }
        };
        match tokio::time::timeout(CHANGE_TIME, change).await {
            Ok(Ok(_)) => AdmitAnswer::Admitted(id),
            Ok(Err(error)) => AdmitAnswer::NotNow(error.to_string()),
            Err(_) => AdmitAnswer::NotNow("it takes long".into()),
        }
    }

    async fn look(&self) {
        if self.shared.leader() != Leader::Me {
            return;
        }
        let Some(raft) = self.shared.raft() else { return };
        let Some((change, retain)) = self.due(raft) else { return };
        tracing::info!(%change, "the membership changes");
        let changed = raft.change_membership(change, retain);
        match tokio::time::timeout(CHANGE_TIME, changed).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the membership was not changed"),
            Err(_) => tracing::warn!("the change of the membership takes long"),
        }
    }

    /// The next change, if there is one, and whether voters that go stay as learners.
    fn due(&self, raft: &Raft) -> Option<(ChangeMembers<u64, Member>, bool)> {
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = &metrics.membership_config;
        if membership.log_id() != metrics.committed_membership_config.log_id() {
            return None;
        }
        let configs = membership.get_joint_config();
        let voters = configs.last()?;
        if configs.len() > 1 {
            // A leader died between the two steps of a change.
            return Some((ChangeMembers::ReplaceAllVoters(voters.clone()), false));
        }
        let unknown: BTreeMap<u64, Member> = membership
            .nodes()
            // Of one that an operator added, the directory is noted when it is admitted.
            .filter(|(_, node)| node.incarnation.is_none() && !node.held)
            .filter_map(|(id, node)| {
                let incarnation = Some(self.incarnation(*id)?);
                Some((*id, Member { incarnation, ..node.clone() }))
            })
            .collect();
        if !unknown.is_empty() {
            return Some((ChangeMembers::SetNodes(unknown), true));
        }
        let last = metrics.last_log_index.unwrap_or_default();
        let matched = metrics.replication.as_ref()?;
        let ready = |id: &u64| {
            let index = matched.get(id).copied().flatten().map(|id| id.index);
            index.is_some_and(|index| index + CAUGHT_UP >= last)
        };
        let learners = || membership.nodes().filter(|(id, _)| !voters.contains(id));
        let replaced = replaced(voters, &learners().map(|(id, _)| *id).collect());
        if !replaced.is_empty() {
            return Some((ChangeMembers::RemoveNodes(replaced), true));
        }
        let learners = learners().filter(|(_, node)| !node.held).map(|(id, _)| *id);
        let voters = promoted(voters, learners.filter(ready))?;
        Some((ChangeMembers::ReplaceAllVoters(voters), false))
    }

    fn incarnation(&self, id: u64) -> Option<[u8; 16]> {
        if id == self.shared.raft_id() {
            return Some(self.shared.config.incarnation);
        }
        let mesh = self.shared.mesh()?;
        let peers = mesh.peers();
        let peers = peers.borrow();
        let hello = peers.get(&seat_of(id))?;
        (hello.raft_id == id && !hello.rejoin).then_some(hello.incarnation)
    }
}

/// The Raft id for a data directory.
#[derive(Debug, PartialEq, Eq)]
enum NextId {
    /// It was admitted before.
    Known(u64),
    /// An operator added it, and nobody has come for it yet.
    Kept(u64),
    /// The next one of its seat, which was never used; `held` where an operator promotes it.
    New { id: u64, held: bool },
}

fn next_id(members: &BTreeMap<u64, Member>, new: &Member, now_ms: u64) -> NextId {
    let of_seat = || members.iter().filter(|(id, _)| seat_of(**id) == new.seat);
    let same = |node: &Member| new.incarnation.is_some() && node.incarnation == new.incarnation;
    if let Some((id, _)) = of_seat().find(|(_, node)| same(node)) {
        return NextId::Known(*id);
    }
    match of_seat().max_by_key(|(id, _)| **id) {
        Some((id, node)) if node.held && node.incarnation.is_none() => NextId::Kept(*id),
        Some((id, node)) => NextId::New { id: id + 1000, held: node.held },
        None => {
            let id = u64::from(new.seat) + 1000 * generation(members, now_ms);
            NextId::New { id, held: false }
        }
    }
}

/// The g of a Raft id on a seat that has no members. It may have had some: ids are never used
/// again, and the log remembers none of those that were removed, so the time makes the
/// difference: milliseconds since 1970, which `--rejoin` alone never counts up to, and in any case
/// more than any member has.
pub fn generation(members: &BTreeMap<u64, Member>, now_ms: u64) -> u64 {
    let newest = members.keys().map(|id| id / 1000).max().unwrap_or(0);
    now_ms.max(newest + 1)
}

/// The voters with the first of `ready` in the place of its predecessors.
fn promoted(voters: &BTreeSet<u64>, mut ready: impl Iterator<Item = u64>) -> Option<BTreeSet<u64>> {
    let newer = |id: &u64| voters.iter().all(|v| seat_of(*v) != seat_of(*id) || v < id);
    let id = ready.find(newer)?;
    let stay = voters.iter().copied().filter(|v| seat_of(*v) != seat_of(id));
    Some(stay.chain([id]).collect())
}

/// The learners whose place a newer voter has: they never come back. One that has none yet stays,
/// so that its Raft id is not given away again.
fn replaced(voters: &BTreeSet<u64>, learners: &BTreeSet<u64>) -> BTreeSet<u64> {
    let newer = |id: &u64| voters.iter().any(|v| seat_of(*v) == seat_of(*id) && v > id);
    learners.iter().copied().filter(newer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_800_000_000_000;

    fn member(raft_id: u64, incarnation: u8) -> (u64, Member) {
        let incarnation = Some([incarnation; 16]);
        (raft_id, Member { raft_id, seat: seat_of(raft_id), incarnation, ..Member::default() })
    }

    #[test]
    fn a_seat_filled_anew_gets_the_next_id_and_keeps_it() {
        let members = BTreeMap::from([member(1, 1), member(2, 2), member(1002, 3)]);
        let next = |seat, incarnation| next_id(&members, &member(seat, incarnation).1, NOW);
        let new = |id| NextId::New { id, held: false };
        assert_eq!(next(1, 9), new(1001));
        assert_eq!(next(2, 9), new(2002));
        assert_eq!(next(2, 3), NextId::Known(1002));
        assert_eq!(next(3, 9), new(3 + 1000 * NOW));
        let later = BTreeMap::from([member(1 + 1000 * (NOW + 5), 1)]);
        let id = next_id(&later, &member(3, 9).1, NOW);
        assert_eq!(id, new(3 + 1000 * (NOW + 6)), "also where the clock is behind");
    }

    #[test]
    fn who_comes_for_a_place_that_an_operator_made_gets_it_and_nobody_else() {
        let held = |incarnation| Member { seat: 4, held: true, incarnation, ..Member::default() };
        let next = |old: Member| next_id(&[(7004, old)].into(), &member(4, 9).1, NOW);
        assert_eq!(next(held(None)), NextId::Kept(7004));
        assert_eq!(next(held(Some([9; 16]))), NextId::Known(7004));
        assert_eq!(next(held(Some([8; 16]))), NextId::New { id: 8004, held: true });
    }

    #[test]
    fn a_learner_goes_when_a_newer_one_votes_in_its_place() {
        let voters = BTreeSet::from([1, 1002]);
        let gone = |learners: &[u64]| replaced(&voters, &learners.iter().copied().collect());
        assert_eq!(gone(&[2, 3]), BTreeSet::from([2]));
        assert_eq!(gone(&[2002, 3]), BTreeSet::new());
    }

    #[test]
    fn a_learner_takes_the_place_of_its_predecessor_and_no_other() {
        let voters = BTreeSet::from([1, 2, 3]);
        let after = promoted(&voters, [1002].into_iter());
        assert_eq!(after, Some(BTreeSet::from([1, 3, 1002])));
        assert_eq!(promoted(&BTreeSet::from([1, 3, 2002]), [1002].into_iter()), None);
        assert_eq!(promoted(&voters, std::iter::empty()), None);
    }
}
