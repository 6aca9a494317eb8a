//! The views beside the nodes: who hears whom, sessions; and the details of one node. It
//! must not know keys.

use super::figures::{Line, UNKNOWN, age, bytes, count, micros, one, pad, signed};
use super::model::{Node, State};
use super::panes::seats;
use crate::report::story;
use crate::report::{Row, document};
use crate::ui::cells;
use crate::ui::theme::Role;
use crate::wire::statement::{PeerView, Status};
use std::time::Duration;

/// Who was not heard for this long is not heard.
const SILENT: u64 = 1500;
/// Cells of a column of the matrix.
const CELL: usize = 9;

/// Who hears whom: a row hears its columns.
#[must_use]
pub fn matrix(state: &State) -> Vec<Line> {
    let seats = seats(state);
    let mut head = format!(" {}", pad("hears", 7));
    for seat in &seats {
        head += &cells::right(&format!("n{seat}"), CELL);
    }
    let mut lines = vec![
        one(
            " Who hears whom: a row hears its columns; the round trip, or X and since when not.",
            Role::Dim,
        ),
        one(head, Role::Dim),
    ];
    for from in &seats {
        let row = state.rows.iter().find(|row| row.seat == Some(*from)).and_then(Row::fresh);
        let mut line = one(format!(" {}", pad(&format!("n{from}"), 7)), Role::Title);
        for to in &seats {
            line.push(heard(state, row, *from, *to));
        }
        lines.push(line);
    }
    let mut dash = one(format!(" {}", pad("dash", 7)), Role::Title);
    for to in &seats {
        let row = state.rows.iter().find(|row| row.seat == Some(*to));
        dash.push(match row.filter(|row| row.fresh().is_some()).and_then(|row| row.round_trip) {
            Some(trip) => (cells::right(&time(trip), CELL), Role::Good),
            None => (cells::right("X", CELL), Role::Error),
        });
    }
    lines.push(dash);
    lines.push(Line::new());
    lines.extend(one_way(state, &seats));
    lines
}

fn time(time: Duration) -> String {
    micros(u64::try_from(time.as_micros()).unwrap_or(u64::MAX))
}

fn heard(state: &State, row: Option<&Status>, from: u32, to: u32) -> (String, Role) {
    if from == to {
        return (cells::right("·", CELL), Role::Dim);
    }
    let Some(status) = row else { return (cells::right("?", CELL), Role::Stale) };
    match status.peers.iter().find(|p| p.seat == to) {
        Some(peer) if hears(peer) => {
            let text = peer.round_trip_us.map_or_else(|| "ok".to_owned(), micros);
            (cells::right(&text, CELL), Role::Good)
        }
        Some(_) => {
            let since =
                state.heard_ago(from, to).map_or_else(String::new, |ms| format!(" {}", age(ms)));
            (cells::right(&format!("X{since}"), CELL), Role::Error)
        }
        None => (cells::right(UNKNOWN, CELL), Role::Stale),
    }
}

fn hears(peer: &PeerView) -> bool {
    peer.live && peer.heard_ms.is_none_or(|ms| ms < SILENT)
}

/// Cuts that go one way, and refusals.
fn one_way(state: &State, seats: &[u32]) -> Vec<Line> {
    let peer = |from: u32, to: u32| {
        let row = state.rows.iter().find(|row| row.seat == Some(from))?.fresh()?;
        row.peers.iter().find(|p| p.seat == to)
    };
    let mut lines = Vec::new();
    for from in seats {
        for to in seats.iter().filter(|to| *to != from) {
            let (there, back) = (peer(*from, *to), peer(*to, *from));
            if there.is_some_and(hears) && back.is_some_and(|p| !hears(p)) {
                let text =
                    format!(" n{from} hears n{to}, but n{to} does not hear n{from}: cut one way");
                lines.push(one(text, Role::Error));
            }
            if let Some(refusal) = there.map(|p| p.refusal.as_str()).filter(|r| !r.is_empty()) {
                lines
                    .push(one(format!(" n{from} and n{to} do not talk: {refusal}"), Role::Warning));
            }
        }
    }
    lines
}

/// Clients and messages, in numbers alone.
#[must_use]
pub fn sessions(state: &State) -> Vec<Line> {
    /// Cells of the longest bar.
    const BAR: u64 = 30;
    let head = format!(
        " {}{}{}{}  ",
        pad("NODE", 7),
        cells::right("SESSIONS", 9),
        cells::right("ACCEPTED", 12),
        cells::right("DELIVERED", 12)
    );
    let mut lines = vec![one(head, Role::Dim)];
    let most = state.rows.iter().filter_map(|row| Some(row.fresh()?.sessions)).max();
    let most = u64::from(most.unwrap_or(0).max(1));
    let mut all = (0, 0, 0);
    for row in &state.rows {
        let name = pad(&row.name(), 7);
        let Some(s) = row.fresh() else {
            let dash = |width| cells::right(UNKNOWN, width);
            let text = format!(" {name}{}{}{}", dash(9), dash(12), dash(12));
            lines.push(one(text, Role::Stale));
            continue;
        };
        let sessions = u64::from(s.sessions);
        let (accepted, delivered) = (s.load.accepted, s.load.delivered);
        all = (all.0 + sessions, all.1 + accepted, all.2 + delivered);
        let bar = usize::try_from((sessions * BAR).div_ceil(most)).unwrap_or(0);
        let mut line = figures(&name, sessions, accepted, delivered);
        line.push((format!("  {}", "█".repeat(bar)), Role::Good));
        lines.push(line);
    }
    lines.push(figures(&pad("all", 7), all.0, all.1, all.2));
    lines.push(Line::new());
    lines.push(one(" Messages are counted since each process began.", Role::Dim));
    lines
}

fn figures(name: &str, sessions: u64, accepted: u64, delivered: u64) -> Line {
    let number = |n, width| cells::right(&count(n), width);
    let numbers =
        format!("{}{}{}", number(sessions, 9), number(accepted, 12), number(delivered, 12));
    vec![(format!(" {name}"), Role::Title), (numbers, Role::Text)]
}

/// All that is known of one node.
#[must_use]
pub fn detail(state: &State, place: usize) -> Vec<Line> {
    let (Some(row), Some(node)) = (state.rows.get(place), state.nodes.get(place)) else {
        return vec![one(" no node is marked", Role::Dim)];
    };
    let mut lines = vec![one(format!(" DETAILS OF {}  (Esc closes)", row.name()), Role::Title)];
    let mut pair = |label: &str, text: String, role: Role| {
        lines.push(vec![(format!(" {}", pad(label, 14)), Role::Dim), (text, role)]);
    };
    pair("address", row.addr.clone(), Role::Text);
    if let Some((cause, text)) = &row.error {
        pair("no answer", format!("{}: {text}", cause.code()), Role::Error);
        if let Some((by, ms)) = row.seat.and_then(|seat| state.heard_by(seat)) {
            pair("heard by", format!("n{by}, {} ago", age(ms)), Role::Text);
        }
        let seen =
            if node.answered_ms > 0 { "what follows is its last answer" } else { "never answered" };
        pair("", seen.to_owned(), Role::Stale);
    }
    let role = if row.fresh().is_some() { Role::Text } else { Role::Stale };
    if let Some(s) = row.status.as_deref() {
        for (label, text) in facts(state, node, s) {
            pair(label, text, role);
        }
    }
    for reason in state.judgement.of_node.get(&place).into_iter().flatten() {
        pair(reason.code(), reason.advice().to_owned(), Role::Warning);
    }
    if let Some(s) = row.status.as_deref() {
        lines.extend(peers(state, s));
    }
    lines
}

fn facts(state: &State, node: &Node, s: &Status) -> Vec<(&'static str, String)> {
    let or = |text: Option<String>| text.unwrap_or_else(|| UNKNOWN.to_owned());
    let member = s.members.iter().find(|m| m.raft_id == s.raft_id);
    let votes = member.map_or("?", |m| if m.voter { "voter" } else { "learner" });
    let build = if s.build.is_empty() { UNKNOWN } else { &s.build };
    let load = &s.load;
    let snapshot = load
        .snapshot_at_ms
        .map(|at| format!(", made {} ago", age(state.now_ms.saturating_sub(at))));
    let used = document::free_ratio(load).map(|free| format!("{:.0}% free", free * 100.0));
    vec![
        (
            "member",
            format!("{votes}, raft id {}{}", s.raft_id, if s.draining { ", draining" } else { "" }),
        ),
        ("program", format!("{} build {build}, up {}", s.version, story::time(s.uptime_ms))),
        (
            "log",
            format!(
                "t{} {}, commit {}, applied {}; {} since the snapshot at {}{}",
                s.last_term,
                count(s.last_index),
                count(s.commit),
                count(s.applied),
                bytes(load.log_bytes),
                count(s.snapshot_index),
                snapshot.unwrap_or_default()
            ),
        ),
        (
            "leader",
            format!(
                "{}, heartbeat {} old, quorum ack {} old",
                or(s.leader.map(|seat| format!("n{seat}"))),
                or(s.heartbeat_age_ms.map(age)),
                or(s.quorum_ack_age_ms.map(age))
            ),
        ),
        (
            "elections",
            format!(
                "started {}, won {}, leader changes {}, without a leader {} in all",
                s.elections.started,
                s.elections.won,
                s.elections.changes,
                story::time(s.elections.leaderless_total_ms)
            ),
        ),
        (
            "storage",
            format!(
                "{}, {} syncs, p99 {}, commit p99 {}, disk {}",
                s.store,
                count(s.fsyncs),
                or(load.fsync_p99_us.map(micros)),
                or(load.commit_p99_us.map(micros)),
                or(used)
            ),
        ),
        (
            "process",
            format!(
                "{} resident, CPU {}, clock {} from ours",
                or((s.resident_bytes > 0).then(|| bytes(s.resident_bytes))),
                or(node.cpu.map(|cpu| format!("{}%", cpu / 10))),
                or(node.row.skew_ms.map(signed))
            ),
        ),
    ]
}

fn peers(state: &State, s: &Status) -> Vec<Line> {
    let mut lines = Vec::new();
    for peer in &s.peers {
        let matched = peer.matched.map_or_else(String::new, |index| {
            let behind = s.last_index.saturating_sub(index);
            format!(", holds {} ({} behind)", count(index), count(behind))
        });
        let heard = state
            .heard_ago(s.seat, peer.seat)
            .map_or_else(|| "never heard".to_owned(), |ms| format!("heard {} ago", age(ms)));
        let trip = peer
            .round_trip_us
            .map_or_else(String::new, |us| format!(", round trip {}", micros(us)));
        let refusal =
            if peer.refusal.is_empty() { String::new() } else { format!(", {}", peer.refusal) };
        let live = if peer.live { "connected" } else { "NOT connected" };
        let text = format!("{live}, {heard}{trip}{matched}{refusal}");
        let role = if peer.live { Role::Text } else { Role::Warning };
        let label = pad(&format!("peer n{}", peer.seat), 14);
        lines.push(vec![(format!(" {label}"), Role::Dim), (text, role)]);
    }
    lines
}
