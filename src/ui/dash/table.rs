//! The nodes as a table. Numbers of an old answer have a `~`, what is not known is `-`, never 0.
//! Where the screen is narrow the columns go that explain least. It must not know keys.

use super::figures::{Line, UNKNOWN, age, bytes, count, micros, pad, short, signed};
use super::model::{Node, State};
use super::update::Model;
use crate::report::judge::DOWN;
use crate::report::reason::Reason;
use crate::report::{Row, document};
use crate::ui::cells;
use crate::ui::theme::Role;
use crate::wire::statement::Status;

/// One node, with what a cell may need.
struct Of<'a> {
    state: &'a State,
    node: &'a Node,
    row: &'a Row,
    place: usize,
    status: &'a Status,
}

impl Of<'_> {
    fn has(&self, reason: Reason) -> bool {
        self.state.judgement.of_node.get(&self.place).is_some_and(|all| all.contains(&reason))
    }
}

/// What a cell says; `None`: it is not known.
type Cell = fn(&Of<'_>) -> Option<String>;

/// A column: its heading, its least width with the blank before it, and how early it goes: the
/// greater, the earlier; 0: never.
struct Column {
    head: &'static str,
    width: usize,
    goes: u8,
    cell: Cell,
}

const fn column(head: &'static str, width: usize, goes: u8, cell: Cell) -> Column {
    Column { head, width, goes, cell }
}

const NODE: usize = 6;
const ROLE: usize = 13;
/// A wide table has so much for them.
const WHY_WIDE: usize = 40;

const COLUMNS: [Column; 16] = [
    column("TERM", 5, 1, |n| Some(n.status.term.to_string())),
    column("VOTE", 5, 10, |n| Some(format!("n{}", n.status.vote?))),
    column("LAST", 8, 2, |n| Some(count(n.status.last_index))),
    column("COMMIT", 8, 8, |n| Some(count(n.status.commit))),
    column("APPLIED", 8, 9, |n| Some(count(n.status.applied))),
    column("LAG", 5, 3, |n| Some(short(n.state.judgement.lag(&n.state.rows, n.place)?))),
    column("REPL/s", 7, 12, |n| Some(short(n.node.rate?))),
    column("HB", 6, 4, |n| Some(age(n.status.heartbeat_age_ms?))),
    column("RTT", 6, 13, |n| Some(micros(u64::try_from(n.row.round_trip?.as_micros()).ok()?))),
    column("FSYNCp99", 9, 5, fsync),
    column("SNAP", 6, 14, |n| {
        Some(short(n.status.snapshot_index)).filter(|_| n.status.snapshot_index > 0)
    }),
    column("SESS", 5, 7, |n| Some(short(n.status.sessions.into()))),
    column("CPU", 5, 16, |n| Some(format!("{}%", n.node.cpu? / 10))),
    column("MEM", 6, 17, |n| {
        Some(bytes(n.status.resident_bytes)).filter(|_| n.status.resident_bytes > 0)
    }),
    column("DISK", 5, 15, disk),
    column("SKEW", 6, 11, |n| Some(signed(n.row.skew_ms?))),
];
const SEEN: Column = column("SEEN", 6, 6, |_| None);

fn fsync(n: &Of<'_>) -> Option<String> {
    let pending = n.status.load.fsync_pending_ms.map_or(0, |ms| ms.saturating_mul(1000));
    let us = n.status.load.fsync_p99_us.unwrap_or(0).max(pending);
    let known = n.status.load.fsync_p99_us.is_some() || pending > 0;
    let mark = if n.has(Reason::SlowDisk) { "!!" } else { "" };
    known.then(|| format!("{}{mark}", micros(us)))
}

/// How much of its disk is used.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 0 to 100")]
fn disk(n: &Of<'_>) -> Option<String> {
    let free = document::free_ratio(&n.status.load)?;
    Some(format!("{}%", ((1.0 - free) * 100.0).clamp(0.0, 100.0) as u8))
}

/// The narrowest place for the reasons.
const fn least(width: usize) -> usize {
    if width < 100 { width / 5 } else { width * 27 / 100 }
}

/// The columns that fit, each with its width.
fn columns(width: usize, wide: bool, cells: &[Vec<String>]) -> Vec<(usize, usize)> {
    let widest = |at: usize| {
        let longest = cells.iter().filter_map(|row| row.get(at)).map(|cell| cells::width(cell));
        longest.max().unwrap_or(0) + 1
    };
    let column = |at: usize| COLUMNS.get(at).unwrap_or(&SEEN);
    let mut all: Vec<(usize, usize)> =
        (0..=COLUMNS.len()).map(|at| (at, widest(at).max(column(at).width))).collect();
    if wide {
        return all;
    }
    let room = width.saturating_sub(NODE + ROLE + least(width));
    while all.iter().map(|(_, width)| width).sum::<usize>() > room {
        let first = all.iter().map(|(at, _)| column(*at).goes).max();
        let Some(first) = first else { break };
        all.retain(|(at, _)| column(*at).goes != first);
    }
    all
}

/// The table: its heading and a line for each node that is shown.
#[must_use]
pub fn lines(model: &Model, width: usize) -> Vec<Line> {
    let state = model.shown();
    let choice = &model.choice;
    let places = choice.places(state);
    let shown: Vec<Vec<String>> = places.iter().map(|place| cells_of(state, *place)).collect();
    let columns = columns(width, choice.wide, &shown);
    let mut head = format!(" {}{}", pad("NODE", NODE - 1), pad("ROLE", ROLE - 1));
    for (at, width) in &columns {
        head += &cells::right(COLUMNS.get(*at).unwrap_or(&SEEN).head, *width);
    }
    head += "  WHY";
    let mut lines = vec![vec![(head, Role::Dim)]];
    let marked = choice.marked(state).filter(|_| places.len() > 1);
    for (place, cells) in places.iter().zip(&shown) {
        let used: usize = columns.iter().map(|(_, width)| width).sum();
        let room = if choice.wide { WHY_WIDE } else { width.saturating_sub(NODE + ROLE + used) };
        lines.push(line(state, *place, cells, &columns, room, marked == Some(*place)));
    }
    if choice.wide {
        lines = lines.into_iter().map(|line| shift(line, choice.shift)).collect();
    }
    lines
}

/// The cells of a node, with the age of its answer as the last one.
fn cells_of(state: &State, place: usize) -> Vec<String> {
    let (Some(row), Some(node)) = (state.rows.get(place), state.nodes.get(place)) else {
        return Vec::new();
    };
    let stale = row.fresh().is_none();
    let cell = |column: &Column| {
        let Some(status) = row.status.as_deref() else { return UNKNOWN.to_owned() };
        let value = (column.cell)(&Of { state, node, row, place, status });
        // What is measured against now cannot be carried over.
        let now = ["LAG", "HB", "REPL/s", "CPU", "RTT", "SKEW"].contains(&column.head);
        match value {
            Some(_) if stale && now => UNKNOWN.to_owned(),
            Some(value) if stale => format!("~{value}"),
            Some(value) => value,
            None => UNKNOWN.to_owned(),
        }
    };
    let seen = match row.status {
        Some(_) => age(u64::try_from(row.seen.as_millis()).unwrap_or(u64::MAX)),
        None => UNKNOWN.to_owned(),
    };
    COLUMNS.iter().map(cell).chain([seen]).collect()
}

fn line(
    state: &State,
    place: usize,
    cells: &[String],
    columns: &[(usize, usize)],
    room: usize,
    marked: bool,
) -> Line {
    let (Some(row), Some(node)) = (state.rows.get(place), state.nodes.get(place)) else {
        return Line::new();
    };
    let name = row.seat.map_or_else(|| "?".to_owned(), |seat| format!("n{seat}"));
    let mark = if marked { ">" } else { " " };
    let style = if marked { Role::Selected } else { Role::Title };
    let mut out =
        vec![(format!("{mark}{}", pad(&name, NODE - 2)), style), (" ".to_owned(), Role::Text)];
    let (label, role) = label(state, node, row, place);
    out.push((pad(&label, ROLE), role));
    let text = if row.fresh().is_some() { Role::Text } else { Role::Stale };
    for (at, width) in columns {
        let cell = cells.get(*at).map_or(UNKNOWN, String::as_str);
        let role = if cell.ends_with("!!") { Role::Error } else { text };
        out.push((cells::right(cell, *width), role));
    }
    let (parts, role) = why(state, row, place);
    out.push((format!("  {}", fit(&parts, room.saturating_sub(2))), role));
    out
}

/// As many of the parts as there is room for, at least a piece of the first.
fn fit(parts: &[String], room: usize) -> String {
    let mut text = String::new();
    for part in parts {
        let longer = if text.is_empty() { part.clone() } else { format!("{text} {part}") };
        if !text.is_empty() && cells::width(&longer) > room {
            return if cells::width(&text) + 2 > room { text } else { format!("{text} …") };
        }
        text = longer;
    }
    cells::clip(&text, room)
}

/// The role of a node as it is shown.
fn label(state: &State, node: &Node, row: &Row, place: usize) -> (String, Role) {
    let Some(status) = row.fresh() else {
        return match (node.is_new(), &row.error) {
            (true, _) => ("asking".into(), Role::Dim),
            (false, Some(_)) => ("UNREACHABLE".into(), Role::Error),
            (false, None) => ("NO ANSWER".into(), Role::Error),
        };
    };
    let passed = node.passes(state.now_ms);
    let role = passed.unwrap_or(&status.role);
    match role {
        "leader" if passed.is_none() && state.judgement.leader != Some(place) => {
            // Two of them in one term are both what they say.
            let same =
                |r: &Row| r.fresh().is_some_and(|s| s.role == "leader" && s.term == status.term);
            if state.rows.iter().filter(|r| same(r)).count() > 1 {
                ("LEADER".into(), Role::Error)
            } else {
                ("LEADER(stale)".into(), Role::Error)
            }
        }
        "leader" => ("LEADER".into(), Role::Good),
        "candidate" | "precandidate" => (role.to_uppercase(), Role::Warning),
        DOWN => ("DOWN".into(), Role::Error),
        _ => (role.to_uppercase(), Role::Text),
    }
}

/// Why a node is not well, the most telling part first.
fn why(state: &State, row: &Row, place: usize) -> (Vec<String>, Role) {
    let Some(status) = row.fresh() else {
        let Some((cause, _)) = &row.error else { return (Vec::new(), Role::Dim) };
        let heard = row.seat.and_then(|seat| state.heard_by(seat));
        return match heard {
            Some((seat, ms)) => {
                let heard = format!("n{seat} heard it {} ago", age(ms));
                (vec![format!("{},", cause.code()), heard], Role::Error)
            }
            None => (vec![cause.code().to_owned()], Role::Error),
        };
    };
    let reasons = state.judgement.of_node.get(&place);
    let mut reasons: Vec<Reason> = reasons.into_iter().flatten().copied().collect();
    // That nobody leads is true of all of them.
    reasons.sort_by_key(|reason| (*reason == Reason::NoLeader, *reason));
    let mut parts: Vec<String> = reasons.iter().map(|reason| reason.code().to_owned()).collect();
    if status.role == "leader"
        && state.leader().is_none_or(|leader| leader.term > status.term)
        && let Some(ms) = status.quorum_ack_age_ms
    {
        parts.push(format!("no majority for {}", age(ms)));
    }
    if status.role == DOWN {
        parts.push(format!("({})", status.why));
    }
    (parts, Role::Warning)
}

/// Moves a line to the left; the name of the node stays.
fn shift(line: Line, by: usize) -> Line {
    let mut left = by;
    let mut at = 0;
    let mut out = Line::new();
    for (text, role) in line {
        let keep = NODE.saturating_sub(at).min(text.chars().count());
        let rest = text.chars().count() - keep;
        at += keep;
        let kept = text.chars().take(keep).chain(text.chars().skip(keep + left));
        out.push((kept.collect(), role));
        left -= left.min(rest);
    }
    out
}
