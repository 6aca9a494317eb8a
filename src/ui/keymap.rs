//! Which key does what: one table, from which keys are looked up and the help is written, so that
//! the help cannot be wrong. It must not know what an action does.

use super::editor::Edit;
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Sends what is written.
    Send,
    /// Edits what is written.
    Edit(Edit),
    /// A line up, then the text sent before.
    Up,
    /// A line down, then the text sent after.
    Down,
    /// Completes; where nothing is written: the next unread conversation.
    Complete,
    /// The next conversation in the list.
    Next,
    /// The one before.
    Previous,
    /// The n-th conversation, from 1.
    Nth(u8),
    /// The conversation that was open before.
    Last,
    /// The conversation with the oldest unread message.
    NextUnread,
    /// The first unread message.
    FirstUnread,
    /// One screen back.
    PageUp,
    /// One screen on.
    PageDown,
    /// One line back.
    LineUp,
    /// One line on.
    LineDown,
    /// The first message.
    Top,
    /// The last message.
    Bottom,
    /// End of the line; there already: the last message.
    End,
    /// Deletes a character; where nothing is written: asks to quit.
    DeleteOrQuit,
    /// Clears what is written; where nothing is written: asks to quit.
    Interrupt,
    /// Closes what is open on top, then goes to the last message.
    Escape,
    /// Shows or hides the help.
    Help,
    /// Draws everything again.
    Redraw,
}

/// One line of the help, and the keys that do it.
pub struct Binding {
    /// What it does.
    pub action: Action,
    /// The keys, as [`chord`] reads them; the first is the one to show.
    pub keys: &'static [&'static str],
    /// For a person.
    pub help: &'static str,
}

const fn bind(action: Action, keys: &'static [&'static str], help: &'static str) -> Binding {
    Binding { action, keys, help }
}

/// Every key but the characters that are typed and `alt+1` … `alt+9`.
pub const BINDINGS: &[Binding] = &[
    bind(Action::Send, &["enter"], "send"),
    bind(Action::Edit(Edit::Newline), &["alt+enter", "ctrl+j", "shift+enter"], "new line"),
    bind(Action::Complete, &["tab"], "complete; empty line: next unread"),
    bind(Action::Next, &["ctrl+n", "alt+down"], "next conversation"),
    bind(Action::Previous, &["ctrl+p", "alt+up"], "previous conversation"),
    bind(Action::Nth(1), &["alt+1"], "conversation 1 (to alt+9)"),
    bind(Action::Last, &["alt+/"], "the conversation before"),
    bind(Action::NextUnread, &["alt+a", "f4"], "next unread conversation"),
    bind(Action::FirstUnread, &["alt+u", "f6"], "first unread message"),
    bind(Action::PageUp, &["pgup"], "a screen back; loads older messages"),
    bind(Action::PageDown, &["pgdn"], "a screen on"),
    bind(Action::LineUp, &["shift+up"], "a line back"),
    bind(Action::LineDown, &["shift+down"], "a line on"),
    bind(Action::Top, &["ctrl+home"], "first message"),
    bind(Action::Bottom, &["ctrl+end"], "last message"),
    bind(Action::End, &["end"], "end of the line; again: last message"),
    bind(Action::Up, &["up"], "line up, then what was sent before"),
    bind(Action::Down, &["down"], "line down, then what was sent after"),
    bind(Action::Edit(Edit::LineStart), &["ctrl+a", "home"], "start of the line"),
    bind(Action::Edit(Edit::LineEnd), &["ctrl+e"], "end of the line"),
    bind(Action::Edit(Edit::Left), &["ctrl+b", "left"], "character back"),
    bind(Action::Edit(Edit::Right), &["ctrl+f", "right"], "character on"),
    bind(Action::Edit(Edit::WordLeft), &["alt+b", "ctrl+left", "alt+left"], "word back"),
    bind(Action::Edit(Edit::WordRight), &["alt+f", "ctrl+right", "alt+right"], "word on"),
    bind(Action::Edit(Edit::DeleteBack), &["backspace", "ctrl+h"], "delete back"),
    bind(Action::Edit(Edit::DeleteForward), &["delete"], "delete on"),
    bind(Action::DeleteOrQuit, &["ctrl+d"], "delete on; nothing written: quit"),
    bind(Action::Edit(Edit::CutWordBack), &["ctrl+w", "alt+backspace"], "cut the word back"),
    bind(Action::Edit(Edit::CutWordForward), &["alt+d"], "cut the word on"),
    bind(Action::Edit(Edit::CutToStart), &["ctrl+u"], "cut to the start of the line"),
    bind(Action::Edit(Edit::CutToEnd), &["ctrl+k"], "cut to the end of the line"),
    bind(Action::Edit(Edit::Paste), &["ctrl+y"], "put back what was cut"),
    // Terminals send Ctrl+_ as the byte 0x1f, which is read as Ctrl+7.
    bind(Action::Edit(Edit::Undo), &["ctrl+_", "ctrl+7", "ctrl+/"], "undo"),
    bind(Action::Escape, &["esc"], "close the help; last message"),
    bind(Action::Help, &["f1"], "this help"),
    bind(Action::Redraw, &["ctrl+l"], "draw again"),
    bind(Action::Interrupt, &["ctrl+c"], "clear the text; nothing written: quit"),
];

/// What a key does; `None` where it is typed, or does nothing.
#[must_use]
pub fn action(key: KeyEvent) -> Option<Action> {
    if let (KeyCode::Char(digit @ '1'..='9'), KeyModifiers::ALT) = (key.code, key.modifiers) {
        return digit.to_digit(10).and_then(|n| u8::try_from(n).ok()).map(Action::Nth);
    }
    let pressed = fold(key.code, key.modifiers);
    BINDINGS
        .iter()
        .find(|binding| binding.keys.iter().any(|name| chord(name) == Some(pressed)))
        .map(|binding| binding.action)
}

/// The character that a key types.
#[must_use]
pub fn typed(key: KeyEvent) -> Option<char> {
    match key.code {
        KeyCode::Char(c)
            if !key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) =>
        {
            Some(c)
        }
        _ => None,
    }
}

/// Terminals differ in whether a capital letter comes with Shift.
fn fold(code: KeyCode, modifiers: KeyModifiers) -> (KeyCode, KeyModifiers) {
    match code {
        KeyCode::Char(c) => {
            (KeyCode::Char(c.to_ascii_lowercase()), modifiers - KeyModifiers::SHIFT)
        }
        code => (code, modifiers),
    }
}

/// Reads a key's name: `ctrl+`, `alt+` and `shift+`, then a character or the name of a key.
#[must_use]
pub fn chord(name: &str) -> Option<(KeyCode, KeyModifiers)> {
    let (prefix, key) = name.rsplit_once('+').unwrap_or(("", name));
    let mut modifiers = KeyModifiers::NONE;
    for word in prefix.split('+').filter(|word| !word.is_empty()) {
        modifiers |= match word {
            "ctrl" => KeyModifiers::CONTROL,
            "alt" => KeyModifiers::ALT,
            "shift" => KeyModifiers::SHIFT,
            _ => return None,
        };
    }
    let code = match key {
        "enter" => KeyCode::Enter,
        "tab" => KeyCode::Tab,
        "esc" => KeyCode::Esc,
        "backspace" => KeyCode::Backspace,
        "delete" => KeyCode::Delete,
        "up" => KeyCode::Up,
        "down" => KeyCode::Down,
        "left" => KeyCode::Left,
        "right" => KeyCode::Right,
        "home" => KeyCode::Home,
        "end" => KeyCode::End,
        "pgup" => KeyCode::PageUp,
        "pgdn" => KeyCode::PageDown,
        key => match (key.strip_prefix('f').and_then(|n| n.parse().ok()), key.chars().next()) {
            (Some(n), _) => KeyCode::F(n),
            (None, Some(c)) if key.chars().count() == 1 => KeyCode::Char(c),
            _ => return None,
        },
    };
    Some((code, modifiers))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_key_of_the_table_is_readable_and_does_one_thing() {
        let mut seen = BTreeSet::new();
        for binding in BINDINGS {
            for name in binding.keys {
                let (code, modifiers) = chord(name).unwrap_or_else(|| panic!("{name}"));
                assert!(seen.insert(format!("{code:?} {modifiers:?}")), "{name} is bound twice");
                assert_eq!(action(KeyEvent::new(code, modifiers)), Some(binding.action), "{name}");
            }
        }
    }

    #[test]
    fn keys_without_alt_exist_for_everything() {
        for binding in BINDINGS {
            let plain = binding.keys.iter().any(|name| !name.contains("alt+"));
            let word = matches!(
                binding.action,
                Action::Nth(_) | Action::Last | Action::Edit(Edit::CutWordForward)
            );
            assert!(plain || word, "{:?}", binding.action);
        }
    }

    #[test]
    fn capitals_and_characters_of_other_layouts_are_typed() {
        let key = |c, m| KeyEvent::new(KeyCode::Char(c), m);
        assert_eq!(typed(key('A', KeyModifiers::SHIFT)), Some('A'));
        assert_eq!(typed(key('ß', KeyModifiers::NONE)), Some('ß'));
        assert_eq!(typed(key('a', KeyModifiers::CONTROL)), None);
        assert_eq!(action(key('N', KeyModifiers::CONTROL)), Some(Action::Next));
        assert_eq!(action(key('7', KeyModifiers::ALT)), Some(Action::Nth(7)));
        assert_eq!(action(key('a', KeyModifiers::NONE)), None);
    }
}
