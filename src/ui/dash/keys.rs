//! What the keys do. The list that the help shows is the one that is tested: every key in it does
//! something. It must not know how anything is drawn.

use super::admin::{Action, Dialog};
use super::choice::{View, ZOOM};
use super::update::{Effect, Model, Play};
use crate::report::Row;
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// Longest filter and longest name, in characters.
const TYPED: usize = 40;
/// Lines that a page moves by.
const PAGE: isize = 10;

/// When a key is of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Always.
    Always,
    /// While a recording is played.
    Replay,
    /// With `--admin`.
    Admin,
}

/// The keys: what is printed on them, what they do, and when.
pub const KEYS: [(&[&str], &str, When); 23] = [
    (&["q"], "quit", When::Always),
    (&["?"], "this help", When::Always),
    (&["j", "k"], "mark the next node, the one before; or scroll", When::Always),
    (&["g", "G"], "to the first, to the last", When::Always),
    (&["Enter"], "details of the marked node; in the timeline: every event", When::Always),
    (&["Esc"], "close what is open, clear the filter", When::Always),
    (&["Tab"], "move in the nodes or in the timeline", When::Always),
    (&["1", "2", "3"], "nodes, timeline, who hears whom", When::Always),
    (&["4", "5"], "links, sessions", When::Always),
    (&["/"], "show only what has this text in it", When::Always),
    (&["s"], "sort by seat, role, lag, age of the answer", When::Always),
    (&["f"], "freeze the screen, or let it go on", When::Always),
    (&["!"], "only nodes that are not well", When::Always),
    (&["w"], "all columns", When::Always),
    (&["h", "l"], "shift the columns", When::Always),
    (&["+", "-"], "zoom the strip of leaders", When::Always),
    (&["S"], "save what is shown to a file", When::Always),
    (&["Space"], "pause the recording, or go on", When::Replay),
    (&["←", "→"], "one round back, one on", When::Replay),
    (&["T"], "hand leadership over to the marked node", When::Admin),
    (&["D"], "drain the marked node, or take it back", When::Admin),
    (&["M"], "promote the marked node to a voter", When::Admin),
    (&["X"], "remove the marked node", When::Admin),
];

/// Whether a key of [`KEYS`] is of use now.
#[must_use]
pub const fn is_useful(model: &Model, when: When) -> bool {
    match when {
        When::Always => true,
        When::Replay => model.replay.is_some(),
        When::Admin => model.admin,
    }
}

/// A key was pressed.
pub fn press(model: &mut Model, key: KeyEvent) -> Vec<Effect> {
    if key.kind == KeyEventKind::Release {
        return Vec::new();
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c' | 'd') => vec![Effect::Quit],
            _ => Vec::new(),
        };
    }
    model.choice.notice = None;
    if model.choice.dialog.is_some() {
        return answer(model, key.code);
    }
    if model.choice.typing {
        filter(model, key.code);
        return Vec::new();
    }
    match key.code {
        KeyCode::Char('q' | 'Q') => return vec![Effect::Quit],
        KeyCode::Char('S') => return vec![Effect::Save],
        KeyCode::Char(' ') if model.replay.is_some() => return vec![Effect::Play(Play::Toggle)],
        KeyCode::Left if model.replay.is_some() => return vec![Effect::Play(Play::Back)],
        KeyCode::Right if model.replay.is_some() => return vec![Effect::Play(Play::On)],
        KeyCode::Char(c @ ('T' | 'D' | 'M' | 'X')) => ask(model, c),
        KeyCode::Esc => close(model),
        code => {
            if !go(model, code) {
                choose(model, code);
            }
        }
    }
    Vec::new()
}

/// Moves within what is shown; false where the key is none that moves.
fn go(model: &mut Model, code: KeyCode) -> bool {
    let by = match code {
        KeyCode::Down | KeyCode::Char('j') => 1,
        KeyCode::Up | KeyCode::Char('k') => -1,
        KeyCode::PageDown => PAGE,
        KeyCode::PageUp => -PAGE,
        KeyCode::Home | KeyCode::Char('g') => isize::MIN,
        KeyCode::End | KeyCode::Char('G') => isize::MAX,
        _ => return false,
    };
    let choice = &mut model.choice;
    if choice.in_timeline || choice.view == View::Timeline {
        // What is beyond the end is taken back when it is drawn.
        let lines = super::panes::count(model);
        let scrolled = model.choice.scrolled.saturating_add_signed(by);
        model.choice.scrolled = scrolled.min(lines.saturating_sub(1));
    } else {
        let state = model.frozen.as_deref().unwrap_or(&model.state);
        choice.mark(state, by);
    }
    true
}

/// Chooses what is shown.
fn choose(model: &mut Model, code: KeyCode) {
    let choice = &mut model.choice;
    match code {
        KeyCode::Char('?') => choice.help = !choice.help,
        KeyCode::Enter if choice.in_timeline || choice.view == View::Timeline => {
            choice.expanded = !choice.expanded;
            choice.scrolled = 0;
        }
        KeyCode::Enter => choice.detail = !choice.detail,
        KeyCode::Tab | KeyCode::BackTab => choice.in_timeline = !choice.in_timeline,
        KeyCode::Char(digit @ '1'..='5') => {
            let place = digit as usize - '1' as usize;
            if let Some((view, _)) = View::ALL.get(place) {
                (choice.view, choice.detail, choice.help) = (*view, false, false);
            }
        }
        KeyCode::Char('/') => choice.typing = true,
        KeyCode::Char('s') => choice.sort = choice.sort.next(),
        KeyCode::Char('f') => {
            model.frozen = match model.frozen.take() {
                None => Some(Box::new(model.state.clone())),
                Some(_) => None,
            };
        }
        KeyCode::Char('!') => choice.faults = !choice.faults,
        KeyCode::Char('w') => (choice.wide, choice.shift) = (!choice.wide, 0),
        KeyCode::Char('l') | KeyCode::Right => choice.shift = (choice.shift + 8).min(160),
        KeyCode::Char('h') | KeyCode::Left => choice.shift = choice.shift.saturating_sub(8),
        KeyCode::Char('+' | '=') => choice.zoom = choice.zoom.saturating_sub(1),
        KeyCode::Char('-') => choice.zoom = (choice.zoom + 1).min(ZOOM.len() - 1),
        _ => {}
    }
}

/// Closes what was opened last.
fn close(model: &mut Model) {
    let choice = &mut model.choice;
    if choice.help {
        choice.help = false;
    } else if choice.detail {
        choice.detail = false;
    } else if !choice.filter.is_empty() {
        choice.filter.clear();
    } else {
        (choice.view, choice.in_timeline, choice.scrolled) = (View::Nodes, false, 0);
    }
}

fn filter(model: &mut Model, code: KeyCode) {
    let choice = &mut model.choice;
    match code {
        KeyCode::Enter => choice.typing = false,
        KeyCode::Esc => {
            choice.typing = false;
            choice.filter.clear();
        }
        KeyCode::Backspace => drop(choice.filter.pop()),
        KeyCode::Char(c) if choice.filter.chars().count() < TYPED => choice.filter.push(c),
        _ => {}
    }
    choice.scrolled = 0;
}

/// Opens the question before a change of the marked node.
fn ask(model: &mut Model, key: char) {
    if !model.admin {
        let why = "this changes the cluster: start dash with --admin";
        model.choice.notice = Some((why.into(), false));
        return;
    }
    let state = model.shown();
    let row = model.choice.marked(state).and_then(|place| state.rows.get(place));
    let Some((row, seat)) = row.and_then(|row| Some((row, row.seat?))) else {
        model.choice.notice = Some(("the seat of this node is not known".into(), false));
        return;
    };
    let action = match key {
        'T' => Action::Transfer(seat),
        'D' if row.fresh().is_some_and(|s| s.draining) => Action::Undrain(seat),
        'D' => Action::Drain(seat),
        'M' => Action::Promote(seat),
        _ => Action::Remove(seat),
    };
    let refusal = refusal(row, action);
    match refusal {
        Some(why) => model.choice.notice = Some((why.into(), false)),
        None => model.choice.dialog = Some(Dialog::new(action)),
    }
}

/// What cannot be asked for.
fn refusal(row: &Row, action: Action) -> Option<&'static str> {
    let role = row.fresh().map(|s| s.role.as_str());
    match (action, role) {
        (Action::Transfer(_), Some("leader")) => Some("it leads already"),
        (Action::Transfer(_), Some("learner")) => Some("it has no vote, so it cannot lead"),
        (Action::Transfer(_) | Action::Promote(_), None) => Some("it does not answer"),
        (Action::Promote(_), Some(role)) if role != "learner" => Some("it votes already"),
        _ => None,
    }
}

/// Types into the question.
fn answer(model: &mut Model, code: KeyCode) -> Vec<Effect> {
    let Some(dialog) = &mut model.choice.dialog else { return Vec::new() };
    match code {
        KeyCode::Esc => model.choice.dialog = None,
        KeyCode::Enter if dialog.is_sure() => {
            let action = dialog.action;
            model.choice.dialog = None;
            model.choice.notice = Some((format!("{} …", action.title()), true));
            return vec![Effect::Act(action)];
        }
        KeyCode::Backspace => drop(dialog.typed.pop()),
        KeyCode::Char(c) if dialog.typed.chars().count() < TYPED => dialog.typed.push(c),
        _ => {}
    }
    Vec::new()
}
