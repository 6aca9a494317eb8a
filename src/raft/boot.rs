//! When a cluster is founded, and when a node without a leader campaigns: both
//! only after a majority was heard. Pure decisions; it must not
//! know sockets or clocks.

use super::{NodeConfig, Seat};
use crate::wire::peer::PeerHello;
use crate::wire::raft::{Member, Membership};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Between the first campaigns of two live voters, so that one is heard before the other.
const STAGGER: Duration = Duration::from_millis(15);
/// A random part on top, for those that do not see the same peers.
const JITTER: Duration = Duration::from_millis(10);
/// Before the next campaign of the same node, and as much at random. Two that campaign in the same
/// moment vote each for itself, and nobody is elected: at random one of them is the next.
const AGAIN: Duration = Duration::from_millis(250);
/// Elections that this node has lost double that so often: where disks are slow, one takes longer.
const DOUBLED: u32 = 3;

/// What all servers of a cluster must agree on before it is founded.
pub fn digest(config: &NodeConfig) -> Bytes {
    let mut hasher = blake3::Hasher::new();
    let mut add = |part: &[u8]| {
        hasher.update(&(part.len() as u64).to_be_bytes());
        hasher.update(part);
    };
    add(config.cluster_name.as_bytes());
    let seats: BTreeMap<u32, &Seat> = config.seats.iter().map(|s| (s.seat, s)).collect();
    for seat in seats.values() {
        add(&seat.seat.to_be_bytes());
        add(seat.host.as_bytes());
        add(&seat.peer.to_be_bytes());
        add(&seat.client.to_be_bytes());
    }
    Bytes::copy_from_slice(hasher.finalize().as_bytes())
}

/// Whether a pristine node may write the first membership: a majority of `nodes.conf`, itself
/// included, is there, and every live server is pristine and has the same `nodes.conf`. Several
/// nodes that do so write the same.
pub fn may_found(config: &NodeConfig, peers: &BTreeMap<u32, PeerHello>) -> bool {
    let ours = digest(config);
    let configured = |seat: &u32| config.seats.iter().any(|s| s.seat == *seat);
    let same =
        |hello: &PeerHello| hello.pristine && !hello.rejoin && hello.membership_digest == ours;
    let live = 1 + peers.keys().filter(|seat| configured(seat)).count();
    config.cluster.is_none()
        && !config.rejoin
        && peers.values().all(same)
        && 2 * live > config.seats.len()
}

/// The first membership. Incarnations are left out, so that every founder writes the same.
pub fn first_membership(config: &NodeConfig) -> Membership {
    let member = |seat: &Seat| Member {
        raft_id: seat.seat.into(),
        seat: seat.seat,
        host: seat.host.clone(),
        peer: seat.peer,
        client: seat.client,
        incarnation: None,
        held: false,
    };
    let seats: BTreeMap<u32, &Seat> = config.seats.iter().map(|s| (s.seat, s)).collect();
    let members: Vec<Member> = seats.into_values().map(member).collect();
    Membership { configs: vec![members.iter().map(|m| m.raft_id).collect()], members }
}

/// What decides whether to campaign.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// This node's Raft id.
    pub me: u64,
    /// The sets of voters; two while the membership changes.
    pub configs: Vec<BTreeSet<u64>>,
    /// Live Raft ids, this one included.
    pub live: BTreeSet<u64>,
    /// A leader was heard within the lease, or this node leads.
    pub led: bool,
    /// It was drained, and leaves it to the others to campaign.
    pub spared: bool,
    /// The term and the node it voted for, which may be itself, where that has not been heard to
    /// lead: it may be about to.
    pub voted: Option<(u64, u64)>,
}

impl View {
    /// Whether this node votes and hears a majority of every set of voters.
    pub fn majority(&self) -> bool {
        let heard = |set: &BTreeSet<u64>| 2 * set.intersection(&self.live).count() > set.len();
        !self.configs.is_empty()
            && self.configs.iter().any(|set| set.contains(&self.me))
            && self.configs.iter().all(heard)
    }

    /// How many live voters come before this one.
    fn rank(&self) -> u32 {
        let voters: BTreeSet<u64> = self.configs.iter().flatten().copied().collect();
        let before = voters.intersection(&self.live).filter(|id| **id < self.me).count();
        u32::try_from(before).unwrap_or_default()
    }
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// openraft may campaign by its own timers, or may not.
    Allow(bool),
    /// Campaign now, with a pre-vote.
    Elect,
}

/// Decides about campaigns.
#[derive(Debug, Default)]
pub struct Elections {
    allowed: bool,
    next: Option<Instant>,
    voted: Option<(u64, u64)>,
    /// Terms in which it has voted for itself, since somebody led.
    rounds: u32,
}

impl Elections {
    /// Looks at the view; `chance` is in 0..1 and spreads nodes that decide at once.
    pub fn on_view(&mut self, view: &View, now: Instant, chance: f64) -> Vec<Step> {
        let mut steps = Vec::new();
        let allowed = view.majority() && !view.spared;
        if allowed != self.allowed {
            self.allowed = allowed;
            steps.push(Step::Allow(allowed));
        }
        // Whom it has just voted for is not heard to lead at once: a campaign in that moment would
        // take leadership away again.
        let alone = view.live.len() == 1;
        let just_voted = view.voted.filter(|_| view.voted != self.voted && !alone);
        self.voted = view.voted;
        if !allowed || view.led {
            (self.next, self.rounds) = (None, 0);
            return steps;
        }
        let again = AGAIN + AGAIN.mul_f64(chance);
        if let Some((_, candidate)) = just_voted {
            self.rounds += u32::from(candidate == view.me);
            let lost = self.rounds.saturating_sub(1).min(DOUBLED);
            self.next = Some(now + again * (1 << lost));
        }
        let first = if alone { now } else { now + STAGGER * view.rank() + JITTER.mul_f64(chance) };
        let next = *self.next.get_or_insert(first);
        if now >= next {
            self.next = Some(now + again);
            steps.push(Step::Elect);
        }
        steps
    }

    /// When to look again even if nothing happens.
    pub const fn next(&self) -> Option<Instant> {
        self.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(n: u32) -> NodeConfig {
        let seat = |seat| Seat { seat, host: "127.0.0.1".into(), peer: 7200, client: 7100 };
        NodeConfig {
            cluster_name: "west".into(),
            cluster: None,
            seat: 1,
            seats: (1..=n).map(seat).collect(),
            listen: ([127, 0, 0, 1], 7200).into(),
            peers: None,
            incarnation: [1; 16],
            raft_id: 1,
            rejoin: false,
            snapshot_log_bytes: 1 << 20,
            draining: false,
        }
    }

    fn peers(config: &NodeConfig, seats: &[u32]) -> BTreeMap<u32, PeerHello> {
        let hello = |seat: &u32| PeerHello {
            seat: *seat,
            raft_id: u64::from(*seat),
            membership_digest: digest(config),
            pristine: true,
            ..PeerHello::default()
        };
        seats.iter().map(|seat| (*seat, hello(seat))).collect()
    }

    #[test]
    fn a_cluster_is_founded_by_a_pristine_majority_that_agrees() {
        let five = config(5);
        assert!(!may_found(&five, &peers(&five, &[2])), "two of five");
        assert!(may_found(&five, &peers(&five, &[2, 4])), "three of five");
        let four = config(4);
        assert!(!may_found(&four, &peers(&four, &[2])), "two of four");
        assert!(may_found(&config(1), &BTreeMap::new()), "one of one");
        let mut mixed = peers(&five, &[2, 3, 4]);
        mixed.get_mut(&4).unwrap().pristine = false;
        assert!(!may_found(&five, &mixed), "one has data");
        mixed = peers(&five, &[2, 3, 4]);
        mixed.get_mut(&4).unwrap().membership_digest = digest(&config(4));
        assert!(!may_found(&five, &mixed), "another nodes.conf");
        let founded = NodeConfig { cluster: Some(Default::default()), ..config(5) };
        assert!(!may_found(&founded, &peers(&founded, &[2, 3])), "the cluster exists");
        let rejoining = NodeConfig { rejoin: true, ..config(5) };
        assert!(!may_found(&rejoining, &peers(&rejoining, &[2, 3])));
    }

    #[test]
    fn every_founder_writes_the_same() {
        let other = NodeConfig { seat: 3, raft_id: 3, incarnation: [3; 16], ..config(3) };
        assert_eq!(first_membership(&config(3)), first_membership(&other));
        assert_eq!(digest(&config(3)), digest(&other));
        assert_ne!(digest(&config(3)), digest(&config(5)));
    }

    fn view(live: &[u64]) -> View {
        let configs = vec![(1..=5).collect()];
        View { me: 1, configs, live: live.iter().copied().collect(), ..View::default() }
    }

    #[test]
    fn a_drained_node_leaves_it_to_the_others_for_a_while() {
        let (mut elections, now) = (Elections::default(), Instant::now());
        let spared = View { spared: true, ..view(&[1, 2, 3]) };
        assert_eq!(
            elections.on_view(&view(&[1, 2, 3]), now, 0.0),
            [Step::Allow(true), Step::Elect]
        );
        assert_eq!(elections.on_view(&spared, now, 0.0), [Step::Allow(false)], "nor by a timer");
        let again = elections.on_view(&view(&[1, 2, 3]), now, 0.0);
        assert_eq!(again, [Step::Allow(true), Step::Elect], "nobody else has");
    }

    #[test]
    fn whom_it_voted_for_has_time_to_be_heard() {
        let (mut elections, now) = (Elections::default(), Instant::now());
        let led = View { led: true, ..view(&[1, 2, 3]) };
        elections.on_view(&led, now, 0.0);
        // It gave leadership away, and has voted for node 3 in term 2.
        let voted = View { voted: Some((2, 3)), ..view(&[1, 2, 3]) };
        assert_eq!(elections.on_view(&voted, now, 0.0), []);
        let later = now + AGAIN.mul_f64(0.9);
        assert_eq!(elections.on_view(&voted, later, 0.0), [], "it waits, but not for ever");
        assert_eq!(elections.on_view(&voted, now + AGAIN, 0.0), [Step::Elect]);
        let next = View { voted: Some((3, 2)), ..view(&[1, 2, 3]) };
        let later = now + 2 * AGAIN;
        assert_eq!(elections.on_view(&next, later, 0.0), [], "another candidate, as long again");
        assert_eq!(elections.on_view(&next, later + AGAIN, 0.0), [Step::Elect]);
    }

    /// Two have campaigned in the same moment, and again.
    #[test]
    fn a_split_vote_is_followed_by_another_election_soon_and_the_next_ones_later() {
        let (mut elections, mut now) = (Elections::default(), Instant::now());
        assert_eq!(elections.on_view(&view(&[1, 2, 3]), now, 0.0).len(), 2);
        for (term, factor) in (2..).zip([1, 2, 4, 8, 8]) {
            let split = View { voted: Some((term, 1)), ..view(&[1, 2, 3]) };
            assert_eq!(elections.on_view(&split, now, 0.0), [], "its votes may be on their way");
            now += AGAIN * factor;
            let early = now - Duration::from_millis(1);
            assert_eq!(elections.on_view(&split, early, 0.0), []);
            assert_eq!(elections.on_view(&split, now, 0.0), [Step::Elect]);
        }
        elections.on_view(&View { led: true, ..view(&[1, 2, 3]) }, now, 0.0);
        elections.on_view(&View { voted: Some((9, 1)), ..view(&[1, 2, 3]) }, now, 0.0);
        assert_eq!(elections.next(), Some(now + AGAIN), "somebody led in between");
    }

    #[test]
    fn without_a_majority_nothing_is_asked_and_the_third_brings_an_election() {
        let mut elections = Elections::default();
        let start = Instant::now();
        for ms in 0..20_000 {
            let now = start + Duration::from_millis(ms);
            assert_eq!(elections.on_view(&view(&[1, 2]), now, 0.5), []);
        }
        let now = start + Duration::from_secs(20);
        let first = elections.on_view(&view(&[1, 2, 4]), now, 0.5);
        assert_eq!(first, [Step::Allow(true)]);
        let later = now + STAGGER * 3 + JITTER;
        assert_eq!(elections.on_view(&view(&[1, 2, 4]), later, 0.5), [Step::Elect]);
        assert_eq!(elections.on_view(&view(&[1, 2, 4]), later, 0.5), [], "once");
        assert_eq!(elections.on_view(&view(&[1, 2]), later, 0.5), [Step::Allow(false)]);
    }

    #[test]
    fn a_led_node_does_not_campaign_and_one_alone_does_so_at_once() {
        let now = Instant::now();
        let mut elections = Elections::default();
        let led = View { led: true, ..view(&[1, 2, 3]) };
        assert_eq!(elections.on_view(&led, now, 0.0), [Step::Allow(true)]);
        assert_eq!(elections.next(), None);
        let alone = View { configs: vec![BTreeSet::from([1])], ..view(&[1]) };
        let mut elections = Elections::default();
        assert_eq!(elections.on_view(&alone, now, 0.9), [Step::Allow(true), Step::Elect]);
        let learner = View { me: 9, ..view(&[1, 2, 3, 9]) };
        assert_eq!(Elections::default().on_view(&learner, now, 0.0), []);
    }
}
