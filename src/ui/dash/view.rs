//! Draws the operator's screen, or writes it as plain text: both from the same lines. Numbers of
//! an old answer have a `~`, what is not known is `-`, never 0.

use super::model::{Model, Node};
use super::verdict::Verdict;
use crate::ui::theme::{Role, Theme};
use crate::ui::{cells, paint};
use crate::wire::message::Status;
use ratatui::Frame;
use ratatui::layout::Rect;

/// A line: texts, each with what it means.
type Line = Vec<(String, Role)>;

/// A column: heading, width, what it says, and from which width of the screen it is there.
struct Column {
    head: &'static str,
    width: usize,
    from: usize,
    left: bool,
    cell: fn(&Status) -> String,
}

const fn column(
    head: &'static str,
    width: usize,
    from: usize,
    cell: fn(&Status) -> String,
) -> Column {
    Column { head, width, from, left: false, cell }
}

/// Those that matter least are there from the greatest widths.
const COLUMNS: [Column; 8] = [
    Column { left: true, ..column("ROLE", 11, 0, |s| s.role.to_uppercase()) },
    column("TERM", 6, 0, |s| s.term.to_string()),
    column("LAST", 10, 0, |s| s.last_index.to_string()),
    column("COMMIT", 10, 50, |s| s.commit.to_string()),
    column("APPLIED", 10, 70, |s| s.applied.to_string()),
    column("LEADER", 7, 40, |s| s.leader.map_or_else(|| "-".into(), |seat| format!("n{seat}"))),
    column("SESS", 6, 80, |s| s.sessions.to_string()),
    column("VOTE", 5, 110, |s| s.vote.map_or_else(|| "-".into(), |seat| format!("n{seat}"))),
];
const NODE: usize = 6;
const SEEN: usize = 7;
const SEEN_FROM: usize = 90;

/// Draws one frame.
pub fn draw(model: &Model, theme: &Theme, frame: &mut Frame<'_>) {
    let area = frame.area();
    let buf = frame.buffer_mut();
    if area.width < 30 || area.height < 4 {
        paint::put(buf, area, (0, 0), "too small", theme.style(Role::Warning));
        return;
    }
    let lines = lines(model, usize::from(area.width));
    let (heads, nodes) = lines.split_at(HEADS.min(lines.len()));
    let body = heads.iter().chain(nodes.iter().skip(model.first));
    for (y, line) in (area.top()..area.bottom() - 1).zip(body) {
        let mut x = area.x;
        for (text, role) in line {
            x = paint::put(buf, area, (x, y), text, theme.style(*role));
        }
    }
    let foot = Rect { y: area.bottom() - 1, height: 1, ..area };
    let keys = " q quits, ↓ ↑ scroll, every node is asked every 0.5 s";
    let keys = cells::clip(keys, usize::from(area.width));
    paint::put(buf, foot, (foot.x, foot.y), &keys, theme.style(Role::Dim));
    if theme.ascii {
        paint::ascii(buf);
    }
}

/// The screen as plain text, for `--once`.
#[must_use]
pub fn plain(model: &Model, width: usize) -> String {
    let line = |line: Line| {
        let text: String = line.into_iter().map(|(text, _)| text).collect();
        format!("{}\n", crate::chat::text::printable(text.trim_end()))
    };
    lines(model, width).into_iter().map(line).collect()
}

/// Lines above the nodes.
const HEADS: usize = 4;

fn lines(model: &Model, width: usize) -> Vec<Line> {
    let verdict = Verdict::of(model);
    let role = match verdict.code() {
        0 => Role::Good,
        1 => Role::Warning,
        _ => Role::Error,
    };
    let fresh = model.nodes.iter().find_map(Node::fresh);
    let known = fresh.or_else(|| model.nodes.iter().find_map(|n| n.status.as_deref()));
    let cluster = known.map_or_else(String::new, |s| {
        format!("cluster {}  id {}  generation {}", s.cluster_name, short(s), s.generation)
    });
    let (word, why) = verdict.text();
    let waiting = model.nodes.iter().all(|n| n.status.is_none() && n.error.is_none());
    let (word, why, role) =
        if waiting { ("ASKING", String::new(), Role::Dim) } else { (word, why, role) };
    let why = cells::clip(&why, width.saturating_sub(cells::width(word) + 4));
    let title = cells::clip(&format!("  {cluster}"), width.saturating_sub(14));
    let mut out = vec![
        vec![(" rustchat dash".into(), Role::Title), (title, Role::Dim)],
        vec![(format!(" {word}"), role), (format!("  {why}"), Role::Text)],
        vec![],
        head(width),
    ];
    out.extend(model.nodes.iter().map(|node| row(model, node, width)));
    out
}

/// The first digits of the cluster's id.
fn short(status: &Status) -> String {
    status.cluster.to_string().chars().take(8).collect()
}

fn columns(width: usize) -> impl Iterator<Item = &'static Column> {
    COLUMNS.iter().filter(move |c| c.from <= width)
}

fn head(width: usize) -> Line {
    let mut text = format!(" {:<w$}", "NODE", w = NODE - 1);
    for c in columns(width) {
        text.push_str(&place(c, c.head));
    }
    if width >= SEEN_FROM {
        text.push_str(&cells::right("SEEN", SEEN));
    }
    text.push_str("  WHERE");
    vec![(cells::clip(&text, width), Role::Dim)]
}

fn place(column: &Column, text: &str) -> String {
    if column.left {
        let text = cells::clip(text, column.width - 1);
        let pad = column.width - cells::width(&text);
        format!("{text}{}", " ".repeat(pad))
    } else {
        cells::right(text, column.width)
    }
}

fn row(model: &Model, node: &Node, width: usize) -> Line {
    let name = node.seat.map_or_else(|| "?".to_owned(), |seat| format!("n{seat}"));
    let stale = node.error.is_some();
    let mut out = vec![(format!(" {}", pad(&name, NODE - 1)), Role::Title)];
    for (at, c) in columns(width).enumerate() {
        let text = match &node.status {
            Some(_) if at == 0 && stale => "UNREACHABLE".to_owned(),
            None if at == 0 => if stale { "UNREACHABLE" } else { "asking" }.to_owned(),
            Some(status) if stale => format!("~{}", (c.cell)(status)),
            Some(status) => (c.cell)(status),
            None => "-".to_owned(),
        };
        let role = match node.status.as_deref().filter(|_| !stale).map(|s| s.role.as_str()) {
            Some("leader") if at == 0 => Role::Good,
            Some("candidate") if at == 0 => Role::Warning,
            Some("down") if at == 0 => Role::Error,
            Some(_) => Role::Text,
            None if at == 0 && stale => Role::Error,
            None => Role::Stale,
        };
        out.push((place_wide(c, &text, at == 0), role));
    }
    if width >= SEEN_FROM {
        let seen = match node.status {
            Some(_) => {
                let ms = model.now_ms.saturating_sub(node.answered_ms);
                format!("{}.{}s", ms / 1000, ms % 1000 / 100)
            }
            None => "-".to_owned(),
        };
        out.push((cells::right(&seen, SEEN), if stale { Role::Stale } else { Role::Dim }));
    }
    let used: usize = out.iter().map(|(text, _)| cells::width(text)).sum();
    let room = width.saturating_sub(used);
    let why = node.error.as_deref().or_else(|| node.waits());
    let (place, role) = match why {
        Some(why) => (format!("  {why}  {}", node.address), Role::Error),
        None => (format!("  {}", node.address), Role::Dim),
    };
    // The cause matters more than the address: where both do not fit, it stands alone.
    let place = match why {
        Some(why) if cells::width(&place) > room => format!("  {why}"),
        _ => place,
    };
    out.push((cells::clip(&place, room), role));
    out
}

/// As [`place`]; the first column may fill its width.
fn place_wide(column: &Column, text: &str, first: bool) -> String {
    if first { pad(text, column.width) } else { place(column, text) }
}

fn pad(text: &str, width: usize) -> String {
    let text = cells::clip(text, width);
    let pad = width - cells::width(&text).min(width);
    format!("{text}{}", " ".repeat(pad))
}
