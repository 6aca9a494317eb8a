//! Other clusters, from what all nodes say about them: the rows by the node that has come furthest,
//! the line by the leader, and how far the other one has taken ours by whichever node it asked.
//! It must not know how lines come about.

use super::Row;
use crate::wire::statement::{LinkView, Status};
use std::time::Duration;

/// A cluster that was not heard for so long is silent.
const SILENT: Duration = Duration::from_secs(180);

/// How a link stands, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It was heard; nobody has decided about it.
    Seen,
    /// The same, and not heard for a while: it will be forgotten.
    Silent,
    /// It is trusted; whether it can be reached is not known yet.
    Trusted,
    /// Messages go both ways.
    Up,
    /// It cannot be reached.
    Down,
    /// Nothing is taken from it until an operator says so.
    Stopped,
    /// An operator has taken the trust back.
    Distrusted,
}

impl State {
    /// As it is written.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Silent => "silent",
            Self::Trusted => "trusted",
            Self::Up => "up",
            Self::Down => "down",
            Self::Stopped => "stopped",
            Self::Distrusted => "distrusted",
        }
    }
}

/// A link as the whole cluster sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// How it stands.
    pub state: State,
    /// Its row, with the line of the node that leads and the furthest that it has taken.
    pub view: LinkView,
    /// What waits for it to be taken; `None`: it has not said how far it is.
    pub queued: Option<u64>,
    /// How long it has taken nothing while something waits; `None` with `queued`.
    pub oldest: Option<Duration>,
    /// Since it was heard.
    pub heard: Duration,
}

impl LinkState {
    /// True for one that is trusted, stopped or not.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.view.trust.as_str(), "trusted" | "stopped")
    }

    /// True for a trusted one that cannot be reached.
    #[must_use]
    pub fn is_down(&self) -> bool {
        self.view.trust == "trusted" && matches!(self.state, State::Down | State::Silent)
    }

    /// What it is called: the name behind the `@`, else what it calls itself.
    #[must_use]
    pub fn name(&self) -> &str {
        if self.view.name.is_empty() { &self.view.announced } else { &self.view.name }
    }
}

/// All links, in the order of the log.
#[must_use]
pub fn links(rows: &[Row]) -> Vec<LinkState> {
    let fresh = || rows.iter().filter_map(Row::fresh);
    let Some(newest) = fresh().max_by_key(|s| (s.generation, s.applied, s.term)) else {
        return Vec::new();
    };
    newest.clusters.iter().map(|view| link(newest, view, fresh())).collect()
}

/// One link, as one node alone sees it.
#[must_use]
pub fn of_node(status: &Status) -> Vec<LinkState> {
    let alone = || std::iter::once(status);
    status.clusters.iter().map(|view| link(status, view, alone())).collect()
}

fn link<'a>(
    newest: &Status,
    view: &LinkView,
    all: impl Iterator<Item = &'a Status> + Clone,
) -> LinkState {
    let mut merged = view.clone();
    let others = || {
        let of = |s: &'a Status| s.clusters.iter().find(|v| v.cluster == view.cluster);
        all.clone().filter_map(of)
    };
    // The leader alone pulls, and for a moment two may believe to lead.
    if let Some(pulls) = others().max_by_key(|v| rank(&v.line)) {
        merged.line.clone_from(&pulls.line);
        merged.round_trip_us = pulls.round_trip_us;
        merged.theirs = pulls.theirs;
        if merged.trust == "trusted" {
            merged.why.clone_from(&pulls.why);
        }
    }
    merged.taken = others().filter_map(|v| v.taken).max();
    merged.taken_ms = others().filter_map(|v| v.taken_ms).min();
    merged.broken = others().map(|v| v.broken).sum();
    let queued = merged.taken.map(|taken| merged.exported.saturating_sub(taken));
    let oldest = queued.and_then(|queued| match queued {
        0 => Some(Duration::ZERO),
        _ => merged.taken_ms.map(Duration::from_millis),
    });
    let heard = Duration::from_millis(newest.now_ms.saturating_sub(view.heard_at_ms));
    LinkState { state: state(&merged, heard), view: merged, queued, oldest, heard }
}

fn state(view: &LinkView, heard: Duration) -> State {
    match (view.trust.as_str(), view.line.as_str()) {
        ("trusted", "up") => State::Up,
        ("trusted", _) if heard > SILENT => State::Silent,
        ("trusted", "down") => State::Down,
        ("trusted", _) => State::Trusted,
        ("stopped", _) => State::Stopped,
        ("distrusted", _) => State::Distrusted,
        _ if heard > SILENT => State::Silent,
        _ => State::Seen,
    }
}

fn rank(line: &str) -> u8 {
    match line {
        "up" => 3,
        "down" => 2,
        "connecting" => 1,
        _ => 0,
    }
}
