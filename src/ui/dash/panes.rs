//! What stands below the nodes: curves, the strip of leaders, the timeline. It must not know keys.

use super::choice::ZOOM;
use super::figures::{Line, curve, micros, one, short};
use super::history::{Led, Second};
use super::model::State;
use super::update::Model;
use crate::report::Row;
use crate::report::story::{self, Tone};
use crate::ui::cells;
use crate::ui::theme::Role;

/// Cells of the labels on the left.
const LABEL: usize = 9;

/// A figure over time: its label, where it is found, how it is written.
type Figure = (String, Box<dyn Fn(&Second) -> Option<u64>>, fn(u64) -> String);

/// The curves: two lines.
#[must_use]
pub fn curves(state: &State, width: usize) -> Vec<Line> {
    let figure = |label: &str,
                  of: fn(&Second) -> Option<u64>,
                  words: fn(u64) -> String|
     -> Figure { (label.to_owned(), Box::new(of), words) };
    let mut first = vec![
        figure("commit/s", |s| s.commits, short),
        figure("commit p99", |s| s.commit_us, micros),
        figure("msgs/s", |s| s.messages, short),
    ];
    let seats = state.rows.iter().filter_map(|row| Some(row.fresh()?.seat));
    let mut second: Vec<Figure> = seats
        .map(|seat| -> Figure {
            let of = move |s: &Second| s.fsync_us.get(&seat).copied();
            (format!("n{seat}"), Box::new(of), micros)
        })
        .collect();
    let sessions = figure("sessions", |s| s.sessions, short);
    if width >= 100 {
        first.push(sessions);
    } else if second.len() <= 3 {
        second.push(figure("sess", |s| s.sessions, short));
    }
    let mut lines = vec![spread(state, first, width.saturating_sub(2))];
    let label = " fsync p99 ";
    let mut line = one(label, Role::Dim);
    line.extend(spread(state, second, width.saturating_sub(label.len() + 2)));
    lines.push(line);
    lines
}

/// Figures beside each other, as many as `width` has room for.
fn spread(state: &State, figures: Vec<Figure>, width: usize) -> Line {
    /// Cells that are needed for one.
    const LEAST: usize = 12;
    let count = figures.len().min(width / LEAST).max(1);
    // A few of them need not be torn apart.
    let each = (width / count).min(40);
    let shown = figures.into_iter().take(count);
    shown.flat_map(|(label, of, words)| self::figure(state, &label, each, of, words)).collect()
}

/// A label, its curve and its newest value in `width` cells.
fn figure(
    state: &State,
    label: &str,
    width: usize,
    of: impl Fn(&Second) -> Option<u64>,
    words: fn(u64) -> String,
) -> Line {
    /// Cells of the newest value.
    const VALUE: usize = 7;
    let room = width.saturating_sub(cells::width(label) + VALUE + 2);
    let values = state.history.curve(room.max(1), of);
    let now = values.last().copied().flatten().map_or_else(|| "-".to_owned(), words);
    vec![
        (format!(" {label} "), Role::Dim),
        (if room == 0 { String::new() } else { curve(&values, room) }, Role::Good),
        (format!(" {}", super::figures::pad(&now, VALUE - 1)), Role::Text),
    ]
}

/// The strip of leaders, and the terms below it.
#[must_use]
pub fn strip(model: &Model, width: usize) -> Vec<Line> {
    let state = model.shown();
    let step = ZOOM.get(model.choice.zoom).copied().unwrap_or(2);
    let note = format!(" {}/column", story::time(step * 1000).replace(".0s", "s"));
    let columns = width.saturating_sub(LABEL + cells::width(&note) + 1).max(1);
    let led = state.history.strip(&state.timeline, state.now_ms, step, columns);
    let (mut leaders, mut terms) = (String::new(), String::new());
    let mut at = 0;
    while let Some(first) = led.get(at) {
        let run = led.iter().skip(at).take_while(|led| *led == first).count();
        let edge = if at == 0 { "" } else { "|" };
        let (text, fill, term) = match first {
            Some(Led::By(seat, term)) => (format!("{edge}n{seat}"), '=', format!("{term}")),
            Some(Led::Nobody) => (String::new(), '?', String::new()),
            None => (String::new(), ' ', String::new()),
        };
        put(&mut leaders, at, run, &text, fill);
        // A term's number may reach over the runs after it that tell none.
        let fits = (cells::width(&terms) < at || at == 0) && at + term.len() <= columns;
        if !term.is_empty() && fits {
            terms += &" ".repeat(at - cells::width(&terms));
            terms += &term;
        }
        at += run;
    }
    vec![
        vec![(" leader  ".into(), Role::Dim), (leaders, Role::Text), (note, Role::Dim)],
        vec![(" term    ".into(), Role::Dim), (terms, Role::Dim)],
    ]
}

/// A run of `run` cells from `at` on: its text, as far as it goes, then the filling.
fn put(line: &mut String, at: usize, run: usize, text: &str, fill: char) {
    let text: String = text.chars().take(run).collect();
    let rest = (at + run).saturating_sub(at + text.chars().count());
    line.push_str(&text);
    line.extend(std::iter::repeat_n(fill, rest));
}

/// The lines of the timeline that the filter lets through, the newest first.
fn told(model: &Model) -> Vec<story::Line> {
    let state = model.shown();
    let mut lines = if model.choice.expanded {
        story::all(&state.timeline)
    } else {
        story::lines(&state.timeline, state.judgement.voters)
    };
    lines.retain(|line| {
        model.choice.filter.is_empty()
            || model.choice.takes(&format!("n{} t{} {}", line.seat, line.term, line.text))
    });
    lines
}

/// Lines of the timeline.
#[must_use]
pub fn count(model: &Model) -> usize {
    told(model).len()
}

/// The timeline in `height` lines, with its heading.
#[must_use]
pub fn timeline(model: &Model, width: usize, height: usize) -> Vec<Line> {
    let lines = told(model);
    let first = model.choice.scrolled.min(lines.len().saturating_sub(1));
    let active = model.choice.in_timeline || model.choice.view == super::choice::View::Timeline;
    let role = if active { Role::Title } else { Role::Dim };
    let mut head = one(" TIMELINE", role);
    let more = if first > 0 { format!("  from line {}", first + 1) } else { String::new() };
    let what = match (active, model.choice.expanded) {
        (_, true) => ", every event",
        (true, false) => "; Enter: every event",
        (false, false) => "",
    };
    head.push((format!("  newest first, UTC{what}{more}"), Role::Dim));
    let mut out = vec![head];
    if lines.is_empty() {
        out.push(one(" nothing was told yet", Role::Dim));
    }
    for line in lines.iter().skip(first).take(height.saturating_sub(1)) {
        out.push(event(line, width));
    }
    out
}

/// One line of it.
fn event(line: &story::Line, width: usize) -> Line {
    let term = if line.term > 0 { format!("t{}", line.term) } else { "-".to_owned() };
    let start = format!(" {} {} ", story::clock(line.at_ms), super::figures::pad(&term, 4));
    let role = match line.tone {
        Tone::Plain => Role::Text,
        Tone::Good => Role::Good,
        Tone::Bad => Role::Warning,
    };
    let name = format!("n{} ", line.seat);
    let room = width.saturating_sub(cells::width(&start) + cells::width(&name));
    vec![(start, Role::Dim), (name, Role::Title), (cells::clip(&line.text, room), role)]
}

/// The nodes that answer, by seat.
#[must_use]
pub fn seats(state: &State) -> Vec<u32> {
    let mut seats: Vec<u32> = state.rows.iter().filter_map(|row: &Row| row.seat).collect();
    seats.sort_unstable();
    seats.dedup();
    seats
}
