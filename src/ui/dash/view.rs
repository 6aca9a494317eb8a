//! Puts the operator's screen together, draws it or writes it as plain text: both from the same
//! lines. It must not know what they say.

use super::choice::View;
use super::figures::{Line, one};
use super::keys::{KEYS, is_useful};
use super::update::Model;
use super::{admin, head, links, panes, table, views};
use crate::ui::theme::{Role, Theme};
use crate::ui::{cells, paint};
use ratatui::Frame;

/// The smallest screen on which anything is shown.
const SMALLEST: (usize, usize) = (40, 8);
/// Events in a plain frame.
const PLAIN_EVENTS: usize = 12;
/// Lines of the timeline that are wanted before anything else stands below the nodes.
const TIMELINE: usize = 4;

/// Draws one frame.
pub fn draw(model: &Model, theme: &Theme, frame: &mut Frame<'_>) {
    let area = frame.area();
    let buf = frame.buffer_mut();
    let lines = screen(model, usize::from(area.width), usize::from(area.height));
    for (y, line) in (area.top()..area.bottom()).zip(lines) {
        let mut x = area.x;
        for (text, role) in line {
            x = paint::put(buf, area, (x, y), &text, theme.style(role));
        }
    }
    if theme.ascii {
        paint::ascii(buf);
    }
}

/// The screen as plain text, as long as it needs to be: for `--once` and for files.
#[must_use]
pub fn plain(model: &Model, width: usize) -> String {
    let mut lines = head::lines(model, width);
    lines.push(Line::new());
    lines.extend(table::lines(model, width));
    lines.extend(links::panel(model.shown(), width));
    lines.push(Line::new());
    // One look has no curves.
    if model.shown().history.seconds.len() > 1 {
        lines.extend(panes::curves(model.shown(), width));
    }
    lines.extend(panes::strip(model, width));
    lines.extend(panes::timeline(model, width, PLAIN_EVENTS));
    let line = |line: Line| {
        let text: String = line.into_iter().map(|(text, _)| text).collect();
        format!("{}\n", crate::chat::text::printable(text.trim_end()))
    };
    lines.into_iter().map(line).collect()
}

/// The lines of a screen of this size.
#[must_use]
pub fn screen(model: &Model, width: usize, height: usize) -> Vec<Line> {
    if width < SMALLEST.0 || height < SMALLEST.1 {
        let text = format!("too small: {}x{} is needed", SMALLEST.0, SMALLEST.1);
        return vec![one(cells::clip(&text, width), Role::Warning)];
    }
    let mut lines = head::lines(model, width);
    let room = height.saturating_sub(lines.len() + 1);
    lines.extend(body(model, width, room));
    lines.resize(height - 1, Line::new());
    lines.push(foot(model, width));
    lines
}

fn body(model: &Model, width: usize, room: usize) -> Vec<Line> {
    let state = model.shown();
    let choice = &model.choice;
    if choice.help {
        return help(model);
    }
    if choice.dialog.is_some() {
        return dialog(model);
    }
    let mut lines = match choice.view {
        View::Timeline => panes::timeline(model, width, room),
        View::Matrix => views::matrix(state),
        View::Links => links::all(state, width),
        View::Sessions => views::sessions(state),
        View::Nodes => nodes(model, width, room),
    };
    lines.truncate(room);
    lines
}

/// The nodes, and below them as much as there is room for.
fn nodes(model: &Model, width: usize, room: usize) -> Vec<Line> {
    let state = model.shown();
    let mut lines = table::lines(model, width);
    if lines.len() > room {
        return scrolled(model, lines, room);
    }
    if model.choice.detail {
        let place = model.choice.marked(state);
        lines.push(Line::new());
        lines.extend(place.map_or_else(Vec::new, |place| views::detail(state, place)));
        return lines;
    }
    let panel = links::panel(state, width);
    if lines.len() + panel.len() + TIMELINE <= room {
        lines.extend(panel);
    }
    let mut rest = room - lines.len();
    let mut below = Vec::new();
    let mut take = |more: Vec<Line>| {
        if rest >= more.len() + TIMELINE {
            rest -= more.len();
            below.push(more);
        }
    };
    take(vec![Line::new()]);
    take(panes::strip(model, width));
    take(panes::curves(state, width));
    take(vec![Line::new()]);
    // The curves stand above the strip, the blank lines around both.
    let order: &[usize] = match below.len() {
        4 => &[0, 2, 1, 3],
        3 => &[0, 2, 1],
        _ => &[0, 1],
    };
    for at in order {
        lines.extend(below.get(*at).cloned().unwrap_or_default());
    }
    lines.extend(panes::timeline(model, width, rest));
    lines
}

/// The heading, and the nodes around the one that is marked.
fn scrolled(model: &Model, mut lines: Vec<Line>, room: usize) -> Vec<Line> {
    let state = model.shown();
    let places = model.choice.places(state);
    let marked = model.choice.marked(state);
    let at = places.iter().position(|place| Some(*place) == marked).unwrap_or(0);
    let shown = room.saturating_sub(1);
    let first = (at + 1).saturating_sub(shown);
    lines.drain(1..=first.min(lines.len() - 1)).for_each(drop);
    lines
}

fn help(model: &Model) -> Vec<Line> {
    let mut lines = vec![one(" KEYS  (? or Esc closes)", Role::Title)];
    for (keys, what, when) in KEYS {
        if is_useful(model, when) {
            let keys = super::figures::pad(&keys.join(" "), 8);
            lines.push(vec![(format!(" {keys}"), Role::Title), (what.to_owned(), Role::Text)]);
        }
    }
    lines
}

fn dialog(model: &Model) -> Vec<Line> {
    let Some(dialog) = &model.choice.dialog else { return Vec::new() };
    let mut lines = vec![Line::new(), one(format!(" {}", dialog.action.title()), Role::Title)];
    // What is now counts, also where the screen is frozen.
    for text in admin::consequence(&model.state, dialog.action) {
        let bad = text.contains("NO QUORUM") || text.contains("does not answer");
        let role = if bad { Role::Error } else { Role::Text };
        lines.push(one(format!("   {text}"), role));
    }
    lines.push(Line::new());
    let name = format!("n{}", dialog.action.seat());
    lines.push(vec![
        (format!(" Type {name} and press Enter, or Esc to leave it: "), Role::Text),
        (format!("{}_", dialog.typed), Role::Warning),
    ]);
    lines
}

/// What was asked for, what is chosen, and some keys.
fn foot(model: &Model, width: usize) -> Line {
    let choice = &model.choice;
    if let Some((text, good)) = &choice.notice {
        let role = if *good { Role::Good } else { Role::Warning };
        return one(cells::clip(&format!(" {text}"), width), role);
    }
    if choice.typing {
        return vec![(" / ".into(), Role::Title), (format!("{}_", choice.filter), Role::Text)];
    }
    let mut chosen = String::new();
    if !choice.filter.is_empty() {
        chosen += &format!(" filter {:?}", choice.filter);
    }
    if choice.sort != super::choice::Sort::Seat {
        chosen += &format!(" sorted by {}", choice.sort.word());
    }
    if choice.faults {
        chosen += " faults only";
    }
    if choice.wide {
        chosen += " wide: h l shift";
    }
    let replay = if model.replay.is_some() { "  Space ← → play" } else { "" };
    let keys =
        format!("  q quit  ? help  Enter detail  Tab pane  1-5 views  / filter  f freeze{replay}");
    let room = width.saturating_sub(cells::width(&chosen));
    vec![(chosen, Role::Warning), (cells::clip(&keys, room), Role::Dim)]
}
