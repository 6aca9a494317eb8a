//! Which server a client shall use: the leader sends new clients to its
//! followers in turn. Pure. It must not know sockets or sessions.

use crate::raft::{NodeStatus, Role};
use crate::wire::statement::{MemberView, PeerView};

/// A follower that lacks more entries than this is lagging: clients would wait there.
const LAG_ENTRIES: u64 = 1_000;

/// Where a client belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Here.
    Here,
    /// At the server on this seat.
    At(u32),
    /// Nowhere yet: no leader is known. Ask again later.
    Nowhere,
}

/// The leader's memory of whom it sent the last client to.
#[derive(Debug, Default)]
pub struct Placement {
    last: u32,
}

impl Placement {
    /// Where a client belongs that connected here; `placed` if a server sent it.
    pub fn place(&mut self, placed: bool, seat: u32, status: &NodeStatus) -> Place {
        // A drained server sends even those away that were sent to it.
        let elsewhere = status.leader.filter(|leader| status.draining && *leader != seat);
        if let Some(leader) = elsewhere {
            return Place::At(leader);
        }
        if placed {
            return Place::Here;
        }
        match status.leader {
            Some(leader) if leader != seat => return Place::At(leader),
            Some(_) if status.role == Role::Leader && status.leads_with_quorum => {}
            _ => return Place::Nowhere,
        }
        let last_index = status.last.map_or(0, |id| id.index);
        let able = |peer: &&PeerView| {
            let matched = peer.matched.map_or(0, |index| index + 1);
            let member = |m: &&MemberView| m.server.seat == peer.seat;
            let votes = status.members.iter().filter(member).any(|m| m.voter);
            let belongs = votes || status.members.is_empty();
            peer.live && belongs && matched > 0 && matched + LAG_ENTRIES > last_index
        };
        let able: Vec<u32> = status.peers.iter().filter(able).map(|p| p.seat).collect();
        let after = able.iter().filter(|s| **s > self.last).min();
        match after.or_else(|| able.iter().min()) {
            Some(&next) => {
                self.last = next;
                Place::At(next)
            }
            None => Place::Here,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::record::LogId;
    use std::collections::BTreeMap;

    fn leader(followers: &[(u32, bool, Option<u64>)]) -> NodeStatus {
        NodeStatus {
            role: Role::Leader,
            leader: Some(1),
            leads_with_quorum: true,
            last: Some(LogId { term: 1, index: 5_000 }),
            peers: followers
                .iter()
                .map(|&(seat, live, matched)| PeerView {
                    seat,
                    live,
                    matched,
                    ..PeerView::default()
                })
                .collect(),
            ..NodeStatus::default()
        }
    }

    fn spread(placement: &mut Placement, status: &NodeStatus, clients: u32) -> BTreeMap<u32, u32> {
        let mut counts = BTreeMap::new();
        for _ in 0..clients {
            match placement.place(false, 1, status) {
                Place::At(seat) => *counts.entry(seat).or_default() += 1,
                other => panic!("{other:?} instead of a follower"),
            }
        }
        counts
    }

    #[test]
    fn a_hundred_clients_are_spread_evenly_also_with_a_server_down() {
        let up = |seat| (seat, true, Some(5_000));
        for followers in 1..=8 {
            for down in 0..=followers {
                let peers: Vec<_> = (2..2 + followers)
                    .map(|s| if s == down + 1 { (s, false, Some(5_000)) } else { up(s) })
                    .collect();
                if peers.iter().all(|p| !p.1) {
                    continue;
                }
                let mut placement = Placement { last: down };
                let counts = spread(&mut placement, &leader(&peers), 100);
                let (min, max) = (counts.values().min(), counts.values().max());
                assert!(max.unwrap() - min.unwrap() <= 1, "{peers:?}: {counts:?}");
                let usable = peers.iter().filter(|p| p.1).count();
                assert_eq!(counts.len(), usable, "{peers:?}: {counts:?}");
            }
        }
    }

    #[test]
    fn who_is_down_or_behind_is_passed_over_and_a_lone_leader_serves() {
        let mut placement = Placement::default();
        let status = leader(&[(2, true, Some(100)), (3, false, Some(5_000)), (4, true, None)]);
        assert_eq!(placement.place(false, 1, &status), Place::Here);
        let status = leader(&[(2, true, Some(4_900)), (3, true, Some(100))]);
        assert_eq!(spread(&mut placement, &status, 10), BTreeMap::from([(2, 10)]));
        assert_eq!(placement.place(true, 1, &status), Place::Here);
    }

    #[test]
    fn a_follower_sends_to_the_leader_and_nobody_guesses() {
        let mut placement = Placement::default();
        let follower = NodeStatus { leader: Some(3), role: Role::Follower, ..leader(&[]) };
        assert_eq!(placement.place(false, 1, &follower), Place::At(3));
        let lost = NodeStatus { leader: None, role: Role::Follower, ..leader(&[]) };
        assert_eq!(placement.place(false, 1, &lost), Place::Nowhere);
        let cut_off = NodeStatus { leads_with_quorum: false, ..leader(&[]) };
        assert_eq!(placement.place(false, 1, &cut_off), Place::Nowhere);
        assert_eq!(placement.place(true, 1, &lost), Place::Here);
    }
}
