//! What keys do to the chat screen. It must not know the client; what is to be sent leaves as an
//! effect.

use super::commands;
use super::layout::Layout;
use super::model::{Chat, ChatKey, Model, Scroll};
use super::timeline::Frame;
use super::update::{Effect, send};
use crate::limits;
use crate::ui::editor::Edit;
use crate::ui::keymap::{self, Action};
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind};

/// A second Ctrl+C quits within this time, in milliseconds.
const QUIT_MS: u64 = 2_000;
/// Rows that stay in view from one screen to the next.
const OVERLAP: i64 = 2;

pub(super) fn press(model: &mut Model, key: KeyEvent, effects: &mut Vec<Effect>) {
    if key.kind == KeyEventKind::Release {
        return;
    }
    let action = keymap::action(key);
    if model.help.is_some() {
        in_help(model, key, action);
        return;
    }
    match (action, keymap::typed(key)) {
        (Some(action), _) => act(model, action, effects),
        (None, Some(c)) => model.editor_mut().0.insert(c),
        (None, None) => {}
    }
}

fn in_help(model: &mut Model, key: KeyEvent, action: Option<Action>) {
    let at = model.help.unwrap_or(0);
    let page = model.size.1.saturating_sub(4).max(1);
    model.help = match action {
        Some(Action::Up | Action::LineUp) => Some(at.saturating_sub(1)),
        Some(Action::Down | Action::LineDown) => Some(at.saturating_add(1)),
        Some(Action::PageUp) => Some(at.saturating_sub(page)),
        Some(Action::PageDown) => Some(at.saturating_add(page)),
        Some(Action::Redraw) => Some(at),
        _ if key.code == KeyCode::Char(' ') => Some(at.saturating_add(page)),
        _ => None,
    };
    let most = u16::try_from(super::help::lines().len()).unwrap_or(u16::MAX);
    model.help = model.help.map(|at| at.min(most.saturating_sub(page)));
}

fn act(model: &mut Model, action: Action, effects: &mut Vec<Effect>) {
    match action {
        Action::Send => enter(model, effects),
        Action::Edit(edit) => change(model, edit),
        Action::Up => drop(model.editor_mut().0.up()),
        Action::Down => drop(model.editor_mut().0.down()),
        Action::Complete if model.editor().is_empty() => next_unread(model),
        Action::Complete => commands::complete(model),
        Action::Next => step(model, 1),
        Action::Previous => step(model, -1),
        Action::Nth(n) => match model.chats.get(usize::from(n).saturating_sub(1)) {
            Some(chat) => open(model, chat.key),
            None => model.say(format!("there is no conversation {n}")),
        },
        Action::Last => match model.last {
            Some(key) => open(model, key),
            None => model.say("no other conversation was open"),
        },
        Action::NextUnread => next_unread(model),
        Action::FirstUnread => first_unread(model),
        Action::PageUp => scroll(model, -page(model)),
        Action::PageDown => scroll(model, page(model)),
        Action::LineUp => scroll(model, -1),
        Action::LineDown => scroll(model, 1),
        Action::Top => scroll_to(model, Scroll::At { seq: 0, line: 0 }),
        Action::Bottom => scroll_to(model, Scroll::Bottom),
        Action::End if !model.editor().at_line_end() => change(model, Edit::LineEnd),
        Action::End => scroll_to(model, Scroll::Bottom),
        Action::DeleteOrQuit if model.editor().is_empty() => ask_quit(model, effects),
        Action::DeleteOrQuit => change(model, Edit::DeleteForward),
        Action::Interrupt if model.editor().is_empty() => ask_quit(model, effects),
        Action::Interrupt => {
            model.editor_mut().0.set("");
            model.doubt = None;
        }
        Action::Escape if model.flash.take().is_some() => {}
        Action::Escape => scroll_to(model, Scroll::Bottom),
        Action::Help => model.help = Some(0),
        Action::Redraw => effects.push(Effect::Redraw),
    }
}

fn change(model: &mut Model, edit: Edit) {
    let (editor, cut) = model.editor_mut();
    editor.edit(edit, cut);
}

fn ask_quit(model: &mut Model, effects: &mut Vec<Effect>) {
    if model.now_ms < model.quit_until_ms {
        effects.push(Effect::Quit);
        return;
    }
    model.quit_until_ms = model.now_ms + QUIT_MS;
    let waiting = match model.waiting().0 {
        0 => String::new(),
        1 => "; 1 message is not sent yet: it is kept and goes out next time".to_owned(),
        n => format!("; {n} messages are not sent yet: they are kept and go out next time"),
    };
    model.say(format!("the same key again quits{waiting}"));
}

/// Enter: a command is done, a text is sent, a mistake keeps the text.
fn enter(model: &mut Model, effects: &mut Vec<Effect>) {
    let text = model.editor().text().to_owned();
    if text.trim().is_empty() {
        return;
    }
    if text.starts_with('/') && !text.starts_with("//") {
        commands::run(model, &text, effects);
        return;
    }
    if text.trim_start().starts_with('/')
        && !text.starts_with('/')
        && model.doubt.as_ref() != Some(&text)
    {
        model.complain("begins with a blank: Enter again sends it as text");
        model.doubt = Some(text);
        return;
    }
    let Some(key) = model.open else {
        model.complain("no conversation is open: /msg NAME opens one");
        return;
    };
    let body = text.strip_prefix('/').filter(|_| text.starts_with("//")).unwrap_or(&text);
    if let Err(why) = fits(body) {
        model.complain(why);
        return;
    }
    let body = body.to_owned();
    model.doubt = None;
    model.flash = None;
    drop(model.editor_mut().0.take());
    send(model, key, body, effects);
}

/// Whether a text can be one message.
pub(super) fn fits(text: &str) -> Result<(), String> {
    let (bytes, most) = (text.len(), limits::BODY_BYTES);
    if bytes > most {
        return Err(format!("the text has {bytes} bytes, {} too many", bytes - most));
    }
    Ok(())
}

/// Opens a conversation. Where more is unread than fits, it begins at the first unread message.
pub(super) fn open(model: &mut Model, key: ChatKey) {
    if model.open == Some(key) {
        return;
    }
    if let Some(left) = model.current_mut() {
        // What was not seen keeps its line for the next visit.
        if left.unread() == 0 {
            left.marker = None;
        }
    }
    model.last = model.open;
    model.open = Some(key);
    model.doubt = None;
    if let Some(chat) = model.chat_mut(key) {
        if chat.unread() == 0 {
            chat.marker = None;
        }
        chat.scroll = match chat.marker {
            Some((seq, _)) => Scroll::At { seq, line: -OVERLAP },
            None => Scroll::Bottom,
        };
    }
}

fn step(model: &mut Model, by: isize) {
    let count = isize::try_from(model.chats.len()).unwrap_or(0);
    if count == 0 {
        return;
    }
    let at = model.chats.iter().position(|c| Some(c.key) == model.open);
    let to = match at.and_then(|at| isize::try_from(at).ok()) {
        Some(at) => (at + by).rem_euclid(count),
        None if by > 0 => 0,
        None => count - 1,
    };
    if let Some(chat) = usize::try_from(to).ok().and_then(|to| model.chats.get(to)) {
        open(model, chat.key);
    }
}

/// The conversation whose first unread message is the oldest.
pub(super) fn next_unread(model: &mut Model) {
    let oldest = |chat: &&Chat| {
        chat.messages.range(chat.read + 1..).next().map_or(u64::MAX, |(_, m)| m.at_ms)
    };
    let others = model.chats.iter().filter(|c| c.unread() > 0 && Some(c.key) != model.open);
    match others.min_by_key(oldest).map(|chat| chat.key) {
        Some(key) => open(model, key),
        None if model.current().is_some_and(|c| c.unread() > 0) => first_unread(model),
        None => model.say("nothing is unread"),
    }
}

fn first_unread(model: &mut Model) {
    match model.current().and_then(|chat| chat.marker) {
        Some((seq, _)) => scroll_to(model, Scroll::At { seq, line: -OVERLAP }),
        None => model.say("nothing was unread here"),
    }
}

fn page(model: &Model) -> i64 {
    let rows = Layout::of(model).map_or(1, |layout| i64::from(layout.timeline.height));
    (rows - OVERLAP).max(1)
}

fn scroll(model: &mut Model, lines: i64) {
    let Some(layout) = Layout::of(model) else { return };
    let Some(chat) = model.current() else { return };
    let to = Frame::new(model, layout.timeline).scrolled(chat, lines);
    scroll_to(model, to);
}

fn scroll_to(model: &mut Model, to: Scroll) {
    if let Some(chat) = model.current_mut() {
        chat.scroll = to;
    }
}
