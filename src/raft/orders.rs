//! What an operator wants: where it is done, what speaks against it, and that it is told only
//! when it is committed. Changes of the membership run in the task of [`super::members`], one at
//! a time. It must not know who asks.

use super::events::Note;
use super::hand_over;
use super::members::{Admissions, CAUGHT_UP, CHANGE_TIME, generation};
use super::shared::{Leader, Raft, Shared, seat_of};
use super::types::EventKind;
use crate::clock::now_ms;
use crate::limits;
use crate::wire::peer::MessageKind;
use crate::wire::raft::{Member, Order, OrderAnswer, Ordered};
use openraft::ChangeMembers;
use openraft::async_runtime::watch::WatchReceiver as _;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// An order to another server takes at most this long.
const ORDER_TIME: Duration = Duration::from_secs(15);
/// How often to look whether it has come about.
const LOOK: Duration = Duration::from_millis(20);
/// A new leader is given this long to apply its first entry.
const SETTLES: Duration = Duration::from_secs(1);
/// The order goes after the leader this often.
const HOPS: usize = 4;

/// Takes an order to the server that can do it.
pub async fn route(shared: &Shared, admissions: &Admissions, ordered: Ordered) -> OrderAnswer {
    if let Order::Drain(seat, on) = ordered.order {
        return if seat == shared.config.seat {
            drain(shared, on, ordered.dry_run).await
        } else {
            ask(shared, seat, &ordered).await
        };
    }
    let mut at = shared.config.seat;
    for _ in 0..HOPS {
        let answer = if at == shared.config.seat {
            admissions.order(ordered.clone()).await
        } else {
            ask(shared, at, &ordered).await
        };
        match answer {
            OrderAnswer::Leader(seat) => at = seat,
            answer => return answer,
        }
    }
    OrderAnswer::NotNow("the leader changes all the time".into())
}

async fn ask(shared: &Shared, seat: u32, ordered: &Ordered) -> OrderAnswer {
    use super::mesh::CallError as E;
    let Some(mesh) = shared.mesh() else { return OrderAnswer::NotNow("it is not running".into()) };
    let unknown = || OrderAnswer::Unknown(format!("node {seat} did not answer in time"));
    match mesh.call(seat, MessageKind::Order, ordered.encode(), ORDER_TIME).await {
        Ok(answer) => OrderAnswer::decode(answer).unwrap_or_else(|_| unknown()),
        Err(E::NotConnected | E::Full | E::TooLong) => {
            OrderAnswer::NotNow(format!("there is no connection with node {seat}"))
        }
        Err(E::Lost | E::Timeout) => unknown(),
    }
}

/// Takes no clients and does not lead, or does again. The server's sessions see it in its status.
pub async fn drain(shared: &Shared, on: bool, dry_run: bool) -> OrderAnswer {
    let seat = shared.config.seat;
    let view = match View::of(shared) {
        Some(view) => view,
        None => return OrderAnswer::NotNow("the node has not started".into()),
    };
    if on && view.voters.contains(&view.own) {
        let mut left = view.live.clone();
        left.remove(&view.own);
        let left = left.intersection(&view.voters).count();
        if 2 * left <= view.voters.len() {
            return OrderAnswer::Refused(format!(
                "without node {seat} {left} of {} voters are up: there would be no majority",
                view.voters.len()
            ));
        }
    }
    let what = if on { "drained" } else { "taken back" };
    if dry_run {
        return OrderAnswer::Done(format!("node {seat} would be {what}"));
    }
    if shared.set_draining(on) {
        let term = shared.store.vote().map_or(0, |vote| vote.term);
        let text = format!("this node is {what}");
        tracing::info!("{text}");
        shared.events.note(Note::new(term, EventKind::Drain).granted(on).text(text));
    }
    if on {
        hand_over::hand_over(shared).await;
    }
    OrderAnswer::Done(format!("node {seat} is {what}"))
}

/// Does it, on the leader; called from one task.
pub async fn carry_out(shared: &Shared, ordered: Ordered) -> OrderAnswer {
    match settled(shared).await {
        Leader::Me => {}
        Leader::Other(seat) => return OrderAnswer::Leader(seat),
        Leader::Soon => return OrderAnswer::NotNow("the leader was elected just now".into()),
        Leader::Nobody => return OrderAnswer::NotNow("there is no leader".into()),
    }
    let (Some(raft), Some(view)) = (shared.raft(), View::of(shared)) else {
        return OrderAnswer::NotNow("the node has not started".into());
    };
    let dry = |text: String| OrderAnswer::Done(format!("it would be done: {text}"));
    match ordered.order {
        Order::Add(member) => match view.may_add(&member) {
            Err(why) => OrderAnswer::Refused(why),
            Ok(id) if ordered.dry_run => dry(view.arithmetic(&view.voters, id)),
            Ok(id) => add(raft, id, member).await,
        },
        Order::Promote(seat) => match view.may_promote(seat) {
            Err(why) => OrderAnswer::Refused(why),
            Ok((id, voters)) if ordered.dry_run => dry(view.arithmetic(&voters, id)),
            Ok((id, voters)) => promote(raft, &view, id, voters).await,
        },
        Order::Remove(seat) => match view.may_remove(seat) {
            Err(why) => OrderAnswer::Refused(why),
            Ok((ids, voters)) if ordered.dry_run => {
                dry(view.arithmetic(&voters, ids.first().copied().unwrap_or_default()))
            }
            // The next leader does it.
            Ok((ids, _)) if ids.contains(&view.own) => {
                match transferred(shared, raft, None).await {
                    Ok((seat, _)) => OrderAnswer::Leader(seat),
                    // Leadership came back: the order begins anew.
                    Err(_) if matches!(shared.leader(), Leader::Me) => {
                        OrderAnswer::Leader(shared.config.seat)
                    }
                    Err(answer) => answer,
                }
            }
            Ok((ids, voters)) => remove(raft, seat, ids, voters).await,
        },
        Order::Transfer(seat) => match view.may_lead(seat) {
            Err(why) => OrderAnswer::Refused(why),
            Ok(_) if ordered.dry_run => dry("leadership moves".into()),
            Ok(to) => transfer(shared, raft, to).await,
        },
        Order::Drain(..) => OrderAnswer::Refused("a drain goes to the server itself".into()),
    }
}

/// Who leads; one that was elected just now is given a moment to apply what it found.
async fn settled(shared: &Shared) -> Leader {
    let until = Instant::now() + SETTLES;
    loop {
        match shared.leader() {
            Leader::Soon if Instant::now() < until => tokio::time::sleep(LOOK).await,
            leader => return leader,
        }
    }
}

async fn add(raft: &Raft, id: u64, member: Member) -> OrderAnswer {
    let seat = member.seat;
    let node = Member { raft_id: 0, incarnation: None, held: true, ..member };
    let text =
        format!("node {seat} is a learner: start it with --rejoin, then `member promote {seat}`");
    committed(raft.add_learner(id, node, false), text).await
}

async fn promote(raft: &Raft, view: &View, id: u64, voters: BTreeSet<u64>) -> OrderAnswer {
    let node = view.members.get(&id).map(|node| Member { held: false, ..node.clone() });
    let nodes = node.into_iter().map(|node| (id, node)).collect();
    let set = raft.change_membership(ChangeMembers::SetNodes(nodes), true);
    let set = committed(set, String::new()).await;
    if !matches!(set, OrderAnswer::Done(_)) {
        return set;
    }
    let text = format!("node {} votes: {}", seat_of(id), view.arithmetic(&voters, id));
    let change = raft.change_membership(ChangeMembers::ReplaceAllVoters(voters), false);
    match committed(change, text).await {
        // It is no longer held: the leader, or the next one, makes it a voter.
        OrderAnswer::NotNow(why) => OrderAnswer::Unknown(why),
        answer => answer,
    }
}

async fn remove(raft: &Raft, seat: u32, ids: Vec<u64>, voters: BTreeSet<u64>) -> OrderAnswer {
    let text = format!("node {seat} is no member any more");
    let now: BTreeSet<u64> =
        raft.metrics().borrow_watched().membership_config.voter_ids().collect();
    if voters != now {
        let change = raft.change_membership(ChangeMembers::ReplaceAllVoters(voters), false);
        let changed = committed(change, text.clone()).await;
        if !matches!(changed, OrderAnswer::Done(_)) {
            return changed;
        }
    }
    let left: BTreeSet<u64> = {
        let metrics = raft.metrics();
        let metrics = metrics.borrow_watched();
        let nodes = metrics.membership_config.nodes();
        nodes.map(|(id, _)| *id).filter(|id| ids.contains(id)).collect()
    };
    if left.is_empty() {
        return OrderAnswer::Done(text);
    }
    committed(raft.change_membership(ChangeMembers::RemoveNodes(left), false), text).await
}

/// Waits until a change is committed; `text` is said then.
async fn committed<T, E: std::fmt::Display>(
    change: impl Future<Output = Result<T, E>>,
    text: String,
) -> OrderAnswer {
    match tokio::time::timeout(CHANGE_TIME, change).await {
        Ok(Ok(_)) => OrderAnswer::Done(text),
        Ok(Err(error)) => OrderAnswer::NotNow(error.to_string()),
        Err(_) => OrderAnswer::Unknown("it was not committed in time, and may still be".into()),
    }
}

async fn transfer(shared: &Shared, raft: &Raft, to: Option<u64>) -> OrderAnswer {
    match transferred(shared, raft, to).await {
        Ok((seat, term)) => OrderAnswer::Done(format!("node {seat} leads in term {term}")),
        Err(answer) => answer,
    }
}

/// Gives leadership away; only when the other one leads in a newer term, its seat and the term.
async fn transferred(
    shared: &Shared,
    raft: &Raft,
    to: Option<u64>,
) -> Result<(u32, u64), OrderAnswer> {
    let before = raft.metrics().borrow_watched().current_term;
    let given = match to {
        Some(to) => hand_over::give(shared, raft, to).await,
        None => {
            hand_over::hand_over(shared).await;
            true
        }
    };
    let waited = tokio::time::timeout(CHANGE_TIME / 2, async {
        loop {
            let leader = {
                let metrics = raft.metrics();
                let metrics = metrics.borrow_watched();
                metrics.current_leader.filter(|_| metrics.current_term > before)
            };
            match leader {
                Some(id) => return (id, raft.metrics().borrow_watched().current_term),
                None => tokio::time::sleep(LOOK).await,
            }
        }
    });
    match waited.await {
        Ok((id, term)) if to.is_none_or(|to| to == id) && id != shared.raft_id() => {
            Ok((seat_of(id), term))
        }
        Ok((id, term)) => {
            Err(OrderAnswer::NotNow(format!("node {} leads in term {term}", seat_of(id))))
        }
        Err(_) if given => Err(OrderAnswer::Unknown("nobody leads yet".into())),
        Err(_) => Err(OrderAnswer::Unknown("it has not taken leadership yet".into())),
    }
}

/// What decides about orders.
#[derive(Clone, Debug, Default)]
struct View {
    own: u64,
    voters: BTreeSet<u64>,
    members: BTreeMap<u64, Member>,
    live: BTreeSet<u64>,
    last: u64,
    matched: BTreeMap<u64, u64>,
}

impl View {
    fn of(shared: &Shared) -> Option<Self> {
        let metrics = shared.metrics()?;
        let membership = &metrics.membership_config;
        let matched = metrics.replication.iter().flatten();
        Some(Self {
            own: shared.raft_id(),
            voters: membership.voter_ids().collect(),
            members: membership.nodes().map(|(id, node)| (*id, node.clone())).collect(),
            live: shared.live(),
            last: metrics.last_log_index.unwrap_or_default(),
            matched: matched.filter_map(|(id, at)| Some((*id, at.as_ref()?.index))).collect(),
        })
    }

    fn of_seat(&self, seat: u32) -> Vec<u64> {
        self.members.keys().copied().filter(|id| seat_of(*id) == seat).collect()
    }

    /// How many voters there would be, are needed and are up.
    fn arithmetic(&self, voters: &BTreeSet<u64>, id: u64) -> String {
        let live = voters.iter().filter(|voter| self.live.contains(voter) || **voter == id).count();
        let (all, needed) = (voters.len(), voters.len() / 2 + 1);
        format!("{all} voters, {needed} needed, {live} up")
    }

    /// The id for a new member.
    fn may_add(&self, member: &Member) -> Result<u64, String> {
        let seat = member.seat;
        if seat == 0 || seat > 999 {
            return Err(format!("{seat} is no seat; choose one from 1 to 999"));
        }
        if !self.of_seat(seat).is_empty() {
            return Err(format!("there is a node {seat} already; remove it first"));
        }
        let seats: BTreeSet<u32> = self.members.keys().map(|id| seat_of(*id)).collect();
        if seats.len() >= limits::NODES {
            return Err(format!("a cluster has at most {} members", limits::NODES));
        }
        let same = |other: &&Member| {
            other.host == member.host
                && (other.peer == member.peer || other.client == member.client)
        };
        if let Some(other) = self.members.values().find(same) {
            return Err(format!("node {} has that address already", other.seat));
        }
        Ok(u64::from(seat) + 1000 * generation(&self.members, now_ms()))
    }

    fn may_promote(&self, seat: u32) -> Result<(u64, BTreeSet<u64>), String> {
        let id = self.of_seat(seat).into_iter().max();
        let id = id.ok_or_else(|| format!("there is no node {seat}; add it first"))?;
        if self.voters.contains(&id) {
            return Err(format!("node {seat} votes already"));
        }
        if !self.live.contains(&id) {
            return Err(format!(
                "node {seat} is not connected: with it as a voter one more would be missing; \
                 start it with --rejoin"
            ));
        }
        match self.matched.get(&id) {
            Some(at) if at + CAUGHT_UP >= self.last => {}
            at => {
                let lag = self.last - at.copied().unwrap_or_default().min(self.last);
                return Err(format!("node {seat} lacks {lag} entries; wait until it has them"));
            }
        }
        let others = self.voters.iter().copied().filter(|voter| seat_of(*voter) != seat);
        Ok((id, others.chain([id]).collect()))
    }

    fn may_remove(&self, seat: u32) -> Result<(Vec<u64>, BTreeSet<u64>), String> {
        let ids = self.of_seat(seat);
        if ids.is_empty() {
            return Err(format!("there is no node {seat}"));
        }
        let left: BTreeSet<u64> =
            self.voters.iter().copied().filter(|id| !ids.contains(id)).collect();
        if left.is_empty() {
            return Err(format!("node {seat} is the only voter"));
        }
        let live = left.intersection(&self.live).count();
        if left != self.voters && 2 * live <= left.len() {
            return Err(format!(
                "without node {seat} {live} of {} voters are up: there would be no majority",
                left.len()
            ));
        }
        Ok((ids, left))
    }

    fn may_lead(&self, seat: Option<u32>) -> Result<Option<u64>, String> {
        let Some(seat) = seat else {
            let others = self.voters.iter().any(|id| *id != self.own && self.live.contains(id));
            let none = || "no other voter is up: nobody could lead".to_owned();
            return if others { Ok(None) } else { Err(none()) };
        };
        let id = self.of_seat(seat).into_iter().find(|id| self.voters.contains(id));
        let id = id.ok_or_else(|| format!("node {seat} is no voter"))?;
        if id == self.own {
            return Err(format!("node {seat} leads already"));
        }
        if !self.live.contains(&id) {
            return Err(format!("node {seat} is not connected"));
        }
        Ok(Some(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Voters 1 to 3, of which 1 leads, and those in `live` are up.
    fn view(live: &[u64]) -> View {
        let member = |id: u64| Member {
            seat: seat_of(id),
            host: format!("h{id}"),
            peer: 7201,
            client: 7101,
            ..Member::default()
        };
        View {
            own: 1,
            voters: [1, 2, 3].into(),
            members: [1, 2, 3, 4].map(|id| (id, member(id))).into(),
            live: live.iter().copied().collect(),
            last: 1000,
            matched: [(2, 1000), (3, 990), (4, 500)].into(),
        }
    }

    #[test]
    fn a_member_goes_only_where_a_majority_stays() {
        let left = |live: &[u64], seat| view(live).may_remove(seat).map(|(_, left)| left);
        assert_eq!(left(&[1, 2, 3], 3), Ok([1, 2].into()));
        assert_eq!(left(&[1, 2], 3), Ok([1, 2].into()), "the dead one may go");
        assert!(left(&[1, 2], 2).unwrap_err().contains("1 of 2 voters are up"));
        assert!(left(&[1, 2, 3], 9).is_err());
        assert_eq!(left(&[1, 2], 4), Ok([1, 2, 3].into()), "a learner may always go");
        let alone = View { voters: [1].into(), ..view(&[1]) };
        assert!(alone.may_remove(1).unwrap_err().contains("only voter"));
    }

    #[test]
    fn a_learner_votes_only_when_it_is_there_and_has_caught_up() {
        assert!(view(&[1, 2, 3]).may_promote(4).unwrap_err().contains("not connected"));
        assert!(view(&[1, 2, 3, 4]).may_promote(4).unwrap_err().contains("lacks 500 entries"));
        assert!(view(&[1, 2, 3, 4]).may_promote(3).unwrap_err().contains("already"));
        assert!(view(&[1, 2, 3, 4]).may_promote(5).unwrap_err().contains("add it first"));
        let mut ready = view(&[1, 2, 3, 4]);
        ready.matched.insert(4, 990);
        assert_eq!(ready.may_promote(4), Ok((4, [1, 2, 3, 4].into())));
    }

    #[test]
    fn a_new_member_has_a_seat_and_an_address_of_its_own() {
        let new = |seat, host: &str| {
            let host = host.to_owned();
            view(&[1]).may_add(&Member { seat, host, peer: 7201, ..Member::default() })
        };
        let id = new(5, "h5").unwrap();
        assert!(seat_of(id) == 5 && id > 1_000_000, "{id}");
        assert!(new(4, "h5").unwrap_err().contains("already"));
        assert!(new(5, "h2").unwrap_err().contains("node 2 has that address"));
        assert!(new(0, "h5").is_err() && new(1000, "h5").is_err());
    }

    #[test]
    fn leadership_goes_to_a_voter_that_is_up() {
        assert_eq!(view(&[1, 2]).may_lead(Some(2)), Ok(Some(2)));
        for (live, seat) in [(&[1, 2][..], 3), (&[1, 2, 4], 4), (&[1, 2], 1), (&[1, 2], 7)] {
            assert!(view(live).may_lead(Some(seat)).is_err(), "{seat}");
        }
        assert_eq!(view(&[1, 2]).may_lead(None), Ok(None));
        assert!(view(&[1]).may_lead(None).is_err());
    }
}
