//! Links to other clusters: a few lines below the nodes where any is trusted, and a view with all
//! that were heard. It must not know keys.

use super::figures::{Line, UNKNOWN, age, count, micros, one, pad};
use super::model::State;
use crate::report::links::{LinkState, State as Standing, links};
use crate::ui::cells;
use crate::ui::theme::Role;

/// Links that the panel has lines for.
const PANEL: usize = 3;
/// Cells of a name.
const NAME: usize = 14;

/// The links that are trusted; nothing where there are none.
#[must_use]
pub fn panel(state: &State, width: usize) -> Vec<Line> {
    let mut all: Vec<_> = links(&state.rows).into_iter().filter(LinkState::is_open).collect();
    if all.is_empty() {
        return Vec::new();
    }
    // What is not well stands first.
    all.sort_by_key(|link| link.state == Standing::Up);
    let mut lines = vec![heading()];
    lines.extend(all.iter().take(PANEL).map(|link| line(link, width)));
    if all.len() > PANEL {
        lines.push(one(format!(" and {} more: 4", all.len() - PANEL), Role::Dim));
    }
    lines
}

/// All that were heard, with what is known of each.
#[must_use]
pub fn all(state: &State, width: usize) -> Vec<Line> {
    let all = links(&state.rows);
    if all.is_empty() {
        let text = " No other cluster was heard; rustchat link trust HOST:PORT looks for one.";
        return vec![one(" LINKS", Role::Title), one(cells::clip(text, width), Role::Dim)];
    }
    let mut lines = vec![heading()];
    for link in &all {
        lines.push(line(link, width));
        let view = &link.view;
        let heard = u64::try_from(link.heard.as_millis()).unwrap_or(u64::MAX);
        let theirs = view.theirs.map_or_else(|| UNKNOWN.to_owned(), count);
        let text = format!(
            "   {}  heard {} ago; taken {} of {theirs}, told {}; turned down {}",
            view.address,
            age(heard),
            count(view.imported),
            count(view.exported),
            count(view.turned_down)
        );
        lines.push(one(cells::clip(&text, width), Role::Dim));
        lines.push(one(cells::clip(&format!("   {}", view.key), width), Role::Dim));
        if !view.why.is_empty() {
            let why = cells::wrap(&view.why, width.saturating_sub(4)).into_iter();
            lines.extend(why.map(|text| one(format!("   {text}"), role(link))));
        }
    }
    lines
}

fn heading() -> Line {
    let right = |text: &str, width| cells::right(text, width);
    let columns = format!("{}{}{}  WHY", right("RTT", 8), right("QUEUE", 9), right("OLDEST", 9));
    one(format!(" {}{}{columns}", pad("LINK", NAME), pad("STATE", 11)), Role::Dim)
}

fn line(link: &LinkState, width: usize) -> Line {
    let or = |text: Option<String>| text.unwrap_or_else(|| UNKNOWN.to_owned());
    let oldest = link.oldest.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
    let figures = format!(
        "{}{}{}  ",
        cells::right(&or(link.view.round_trip_us.map(micros)), 8),
        cells::right(&or(link.queued.map(count)), 9),
        cells::right(&or(oldest.map(age)), 9)
    );
    let name = format!(" {}", pad(&cells::clip(link.name(), NAME - 1), NAME));
    let room = width.saturating_sub(cells::width(&name) + 11 + cells::width(&figures));
    vec![
        (name, Role::Title),
        (pad(link.state.word(), 11), role(link)),
        (figures, Role::Text),
        (cells::clip(&link.view.why, room), Role::Dim),
    ]
}

fn role(link: &LinkState) -> Role {
    match link.state {
        Standing::Up => Role::Good,
        Standing::Stopped => Role::Error,
        Standing::Down => Role::Warning,
        Standing::Silent if link.is_open() => Role::Warning,
        _ => Role::Dim,
    }
}
