//! What the operator's screen knows: each node's last statement about itself, why there is no
//! newer one, and what all of them told of the past. It must not know sockets or colours, nor
//! what is shown of it.

use super::history::History;
use crate::report::Row;
use crate::report::judge::{Judgement, judge};
use crate::report::timeline::Timeline;
use crate::wire::statement::{Event, Status};
use std::collections::{BTreeMap, VecDeque};

/// A role that a node had between two answers is shown for so long, in milliseconds.
pub const PASSING_MS: u64 = 400;
/// Roles that wait to be shown.
const PASSING: usize = 6;
/// Nodes that are shown; more than a cluster and the strays beside it.
const NODES: usize = 64;
/// A first answer is waited for this long before anything is concluded, in milliseconds.
const FIRST_MS: u64 = 1000;

/// One node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Node {
    /// Its last answer, and why there is no newer one.
    pub row: Row,
    /// When that answer came, in milliseconds of UNIX time; 0: never.
    pub answered_ms: u64,
    /// When it was asked last.
    pub asked_ms: u64,
    /// A question is on its way.
    pub asking: bool,
    /// Another node named it; nobody gave it.
    pub learned: bool,
    /// Roles that it passed between two answers, and until when each is shown.
    pub passing: VecDeque<(&'static str, u64)>,
    /// What it had counted before.
    pub base: Option<Base>,
    /// Thousandths of a processor that it uses.
    pub cpu: Option<u64>,
    /// Entries that came into its log in a second.
    pub rate: Option<u64>,
}

/// What rates are made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Base {
    uptime_ms: u64,
    cpu_ms: u64,
    index: u64,
}

impl Node {
    /// True before the first question was answered, or not.
    #[must_use]
    pub const fn is_new(&self) -> bool {
        self.row.status.is_none() && self.row.error.is_none()
    }

    /// The role that is shown instead of the one it has.
    #[must_use]
    pub fn passes(&self, now_ms: u64) -> Option<&'static str> {
        self.passing.iter().find(|(_, until)| *until > now_ms).map(|(role, _)| *role)
    }

    /// Roles that it had since the answer before, from its new events.
    fn pass(&mut self, new: &[Event], now_ms: u64) {
        let mut roles: Vec<&'static str> = Vec::new();
        for event in new {
            let role = match event.kind.as_str() {
                "prevote_asked" => "precandidate",
                "vote_asked" => "candidate",
                "elected" => "leader",
                _ => continue,
            };
            if roles.last() != Some(&role) {
                roles.push(role);
            }
        }
        // Leading lasts. The others are over before the next answer, also where this one was
        // given in the midst of them.
        if roles.last() == Some(&"leader")
            && self.row.status.as_ref().is_some_and(|s| s.role == "leader")
        {
            roles.pop();
        }
        for role in roles {
            let from = self.passing.back().map_or(now_ms, |(_, until)| (*until).max(now_ms));
            if self.passing.len() < PASSING {
                self.passing.push_back((role, from + PASSING_MS));
            }
        }
    }

    /// What it used and wrote since the last time this was called.
    fn measure(&mut self, status: &Status, index: u64) {
        let new = Base { uptime_ms: status.uptime_ms, cpu_ms: status.load.cpu_ms, index };
        let per_second = |more: Option<u64>, ms: u64| Some(more?.saturating_mul(1000) / ms);
        match self.base.replace(new) {
            Some(old) if new.uptime_ms > old.uptime_ms => {
                let ms = new.uptime_ms - old.uptime_ms;
                self.cpu = per_second(new.cpu_ms.checked_sub(old.cpu_ms), ms);
                self.rate = per_second(new.index.checked_sub(old.index), ms);
            }
            // The same answer again.
            Some(old) if new.uptime_ms == old.uptime_ms => self.base = Some(old),
            _ => (self.cpu, self.rate) = (None, None),
        }
    }
}

/// What is known of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// In the order of their seats.
    pub nodes: Vec<Node>,
    /// This machine's clock, in milliseconds of UNIX time.
    pub now_ms: u64,
    /// When the first question went out.
    pub began_ms: u64,
    /// When somebody was seen to lead; 0: never.
    pub led_ms: u64,
    /// Who that was, and in which term.
    pub led: Option<(u32, u64)>,
    /// All that the nodes told of the past.
    pub timeline: Timeline,
    /// When one node heard another last, by what it said while it heard it: (who, whom).
    pub heard: BTreeMap<(u32, u32), u64>,
    /// What was seen from here, by the second.
    pub history: History,
    /// The nodes as they are judged: the age of each answer is of now.
    pub rows: Vec<Row>,
    /// What follows from them.
    pub judgement: Judgement,
}

impl State {
    /// Nodes that were not asked yet.
    #[must_use]
    pub fn new(addresses: Vec<String>, now_ms: u64) -> Self {
        let mut state = Self {
            nodes: Vec::new(),
            now_ms,
            began_ms: now_ms,
            led_ms: 0,
            led: None,
            timeline: Timeline::default(),
            heard: BTreeMap::new(),
            history: History::default(),
            rows: Vec::new(),
            judgement: judge(&[]),
        };
        for addr in addresses {
            state.know(&addr);
        }
        state.refresh(now_ms);
        state
    }

    /// Nothing can be concluded yet: somebody has just been asked for the first time.
    #[must_use]
    pub fn is_early(&self) -> bool {
        self.now_ms < self.began_ms + FIRST_MS && self.nodes.iter().any(Node::is_new)
    }

    /// Takes an answer, and the members it names.
    pub fn answer(&mut self, mut row: Row) {
        let now_ms = self.now_ms;
        let Some(node) = self.nodes.iter_mut().find(|n| n.row.addr == row.addr) else { return };
        node.asking = false;
        if row.error.is_some() {
            node.row.error = row.error;
            self.refresh(now_ms);
            return;
        }
        let new = self.timeline.take(&row);
        let Some(status) = &mut row.status else { return };
        status.events.clear();
        let status = status.clone();
        let first = node.answered_ms == 0;
        (node.row, node.answered_ms) = (row, now_ms);
        if !first {
            node.pass(&new, now_ms);
        }
        for peer in &status.peers {
            let room = self.heard.len() < NODES * NODES;
            if let Some(ms) = peer.heard_ms.filter(|_| room) {
                self.heard.insert((status.seat, peer.seat), now_ms.saturating_sub(ms));
            }
        }
        self.learn(&status);
        self.refresh(now_ms);
    }

    /// There is a node at this address.
    pub fn know(&mut self, addr: &str) {
        if self.nodes.len() < NODES && self.nodes.iter().all(|node| node.row.addr != addr) {
            let row = Row { addr: addr.to_owned(), ..Row::default() };
            self.nodes.push(Node { row, ..Node::default() });
        }
    }

    /// Adds the members that a node names.
    fn learn(&mut self, status: &Status) {
        // Known under another name already: what was given stays, what was learned goes.
        let seat = Some(status.seat);
        let answers = |n: &Node| n.row.seat == seat && n.row.fresh().is_some();
        let given = self.nodes.iter().any(|n| answers(n) && !n.learned);
        self.nodes.retain(|n| !given || !n.learned || n.row.seat != seat);
        for server in &status.servers {
            let addr = server.for_clients();
            let same = |n: &&mut Node| n.row.addr == addr || n.row.seat == Some(server.seat);
            if let Some(node) = self.nodes.iter_mut().find(same) {
                node.row.seat = node.row.seat.or(Some(server.seat));
                // It has moved.
                if node.learned && node.row.error.is_some() {
                    node.row.addr = addr;
                }
            } else if self.nodes.len() < NODES {
                let row = Row { addr, seat: Some(server.seat), ..Row::default() };
                self.nodes.push(Node { row, learned: true, ..Node::default() });
            }
        }
        let key = |n: &Node| (n.row.seat.unwrap_or(u32::MAX), n.row.addr.clone());
        self.nodes.sort_by_cached_key(key);
    }

    /// It is `now_ms`: what is known gets older, and is judged anew.
    pub fn refresh(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
        let now_ms = self.now_ms;
        for node in &mut self.nodes {
            let age = now_ms.saturating_sub(node.answered_ms);
            node.row.seen = std::time::Duration::from_millis(age);
            node.passing.retain(|(_, until)| *until > now_ms);
        }
        self.rows = self.nodes.iter().map(|node| node.row.clone()).collect();
        self.judgement = judge(&self.rows);
        if let Some(leader) = self.leader() {
            self.led = Some((leader.seat, leader.term));
            self.led_ms = now_ms;
        }
        // What is concluded before everybody has answered once is no history.
        if !self.is_early() && self.history.observe(now_ms, &self.rows, &self.judgement) {
            self.measure();
        }
    }

    /// Rates, once a second.
    fn measure(&mut self) {
        let peers = self.leader().map(|s| s.peers.clone()).unwrap_or_default();
        for (node, row) in self.nodes.iter_mut().zip(&self.rows) {
            let Some(status) = row.fresh() else {
                (node.base, node.cpu, node.rate) = (None, None, None);
                continue;
            };
            // Replication as the leader sees it; its own log where it is the leader.
            let matched = peers.iter().find(|p| p.seat == status.seat).and_then(|p| p.matched);
            node.measure(status, matched.unwrap_or(status.last_index));
        }
    }

    /// What the leader says.
    #[must_use]
    pub fn leader(&self) -> Option<&Status> {
        self.judgement.leader.and_then(|place| self.rows.get(place)?.fresh())
    }

    /// Some fresh answer.
    #[must_use]
    pub fn any(&self) -> Option<&Status> {
        self.rows.iter().find_map(Row::fresh)
    }

    /// How long nobody has led, in milliseconds; `None`: somebody does, or nobody knows.
    #[must_use]
    pub fn leaderless_ms(&self) -> Option<u64> {
        if self.judgement.leader.is_some() {
            return None;
        }
        // Who has just started knows of a part of it alone, and so do we.
        let told = self.rows.iter().filter_map(|r| r.fresh()?.elections.leaderless_ms).min();
        let seen = (self.led_ms > 0).then(|| self.now_ms.saturating_sub(self.led_ms));
        told.max(seen)
    }

    /// How long ago one node heard another, in milliseconds, as far as it was told.
    #[must_use]
    pub fn heard_ago(&self, who: u32, whom: u32) -> Option<u64> {
        self.heard.get(&(who, whom)).map(|at| self.now_ms.saturating_sub(*at))
    }

    /// Who of the others that answer heard this node last, and how long ago, in milliseconds.
    #[must_use]
    pub fn heard_by(&self, seat: u32) -> Option<(u32, u64)> {
        let others = self.rows.iter().filter_map(|row| row.fresh().map(|s| s.seat));
        let heard = others.filter_map(|who| Some((self.heard_ago(who, seat)?, who)));
        heard.min().map(|(ms, who)| (who, ms))
    }
}
