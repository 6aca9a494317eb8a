//! The input line: text of several lines with a cursor, the editing commands people know from
//! readline, undo, and the history of what was sent. It must not know keys or screens.

use super::cells;
use crate::chat::text::printable;
use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation};

/// Steps that can be undone.
const UNDO: usize = 200;
/// Sent texts that can be called back.
const HISTORY: usize = 100;

/// An editing command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// One character back.
    Left,
    /// One character on.
    Right,
    /// To the start of this word or the one before.
    WordLeft,
    /// To the end of this word or the next.
    WordRight,
    /// To the start of the line.
    LineStart,
    /// To the end of the line.
    LineEnd,
    /// Deletes the character before the cursor.
    DeleteBack,
    /// Deletes the character at the cursor.
    DeleteForward,
    /// Cuts back to the start of the word, as far as the last blank.
    CutWordBack,
    /// Cuts to the end of the word.
    CutWordForward,
    /// Cuts to the start of the line.
    CutToStart,
    /// Cuts to the end of the line.
    CutToEnd,
    /// Puts back what was cut last.
    Paste,
    /// Takes back the last change.
    Undo,
    /// Begins a new line.
    Newline,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Typing,
    Other,
}

/// The text of one conversation that is being written.
#[derive(Clone, Debug, Default)]
pub struct Editor {
    text: String,
    /// A byte offset on a grapheme boundary.
    cursor: usize,
    undo: Vec<(String, usize)>,
    last: Option<Change>,
    history: Vec<String>,
    /// Which text of the history is shown, and what was being written before.
    recalled: Option<(usize, String)>,
}

impl Editor {
    /// What is written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// True where nothing is written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Byte offset of the cursor.
    #[must_use]
    pub const fn cursor(&self) -> usize {
        self.cursor
    }

    /// True where the cursor has nothing behind it on its line.
    #[must_use]
    pub fn at_line_end(&self) -> bool {
        self.cursor == self.line_end()
    }

    /// Replaces everything; undo brings it back.
    pub fn set(&mut self, text: &str) {
        self.remember(Change::Other);
        text.clone_into(&mut self.text);
        self.cursor = self.text.len();
    }

    /// Takes the text out, for sending, and remembers it in the history.
    pub fn take(&mut self) -> String {
        self.undo.clear();
        self.last = None;
        self.recalled = None;
        self.cursor = 0;
        let text = std::mem::take(&mut self.text);
        if !text.trim().is_empty() && self.history.last() != Some(&text) {
            self.history.push(text.clone());
            if self.history.len() > HISTORY {
                self.history.remove(0);
            }
        }
        text
    }

    /// Types a character.
    pub fn insert(&mut self, c: char) {
        // A word is one step of undo, together with the blank before it.
        if c.is_whitespace() {
            self.last = None;
        }
        self.remember(Change::Typing);
        self.text.insert(self.cursor, c);
        self.cursor += c.len_utf8();
        self.settle();
    }

    /// Inserts a pasted text: line ends of every kind become one, other control characters but
    /// tabs are left out. A paste never sends.
    pub fn paste(&mut self, text: &str) {
        self.remember(Change::Other);
        let text = text.replace("\r\n", "\n").replace('\r', "\n");
        let text: String =
            text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
        self.text.insert_str(self.cursor, &text);
        self.cursor += text.len();
        self.settle();
    }

    /// Does an editing command; `cut` is what was cut last, in whatever conversation.
    pub fn edit(&mut self, edit: Edit, cut: &mut String) {
        match edit {
            Edit::Left => self.go(self.left()),
            Edit::Right => self.go(self.right()),
            Edit::WordLeft => self.go(self.word_left()),
            Edit::WordRight => self.go(self.word_right()),
            Edit::LineStart => self.go(self.line_start()),
            Edit::LineEnd => self.go(self.line_end()),
            Edit::DeleteBack => drop(self.remove(self.left(), self.cursor)),
            Edit::DeleteForward => drop(self.remove(self.cursor, self.right())),
            Edit::CutWordBack => self.cut(self.blank_left(), self.cursor, cut),
            Edit::CutWordForward => self.cut(self.cursor, self.word_right(), cut),
            Edit::CutToStart => self.cut(self.line_start(), self.cursor, cut),
            Edit::CutToEnd => {
                // At the end of a line, the line break itself: as readline's relatives do.
                let end = self.line_end();
                let end = if end == self.cursor { self.right() } else { end };
                self.cut(self.cursor, end, cut);
            }
            Edit::Paste => self.paste(&cut.clone()),
            Edit::Newline => self.insert('\n'),
            Edit::Undo => {
                if let Some((text, cursor)) = self.undo.pop() {
                    self.text = text;
                    self.cursor = cursor;
                }
                self.last = None;
            }
        }
    }

    /// One line up; on the first line, the text sent before. Returns false where there is none.
    pub fn up(&mut self) -> bool {
        let start = self.line_start();
        if start > 0 {
            let column = self.text[start..self.cursor].graphemes(true).count();
            self.cursor = start - 1;
            self.go_to_column(column);
            return true;
        }
        let at = self.recalled.as_ref().map_or(self.history.len(), |(at, _)| *at);
        let Some(text) = at.checked_sub(1).and_then(|at| self.history.get(at)).cloned() else {
            return false;
        };
        let written = match self.recalled.take() {
            Some((_, written)) => written,
            None => self.text.clone(),
        };
        self.set(&text);
        self.recalled = Some((at - 1, written));
        true
    }

    /// One line down; on the last line, the text sent after the one shown, then the draft.
    pub fn down(&mut self) -> bool {
        let end = self.line_end();
        if end < self.text.len() {
            let column = self.text[self.line_start()..self.cursor].graphemes(true).count();
            self.cursor = end + 1;
            self.go_to_column(column);
            return true;
        }
        let Some((at, written)) = self.recalled.take() else { return false };
        if let Some(text) = self.history.get(at + 1).cloned() {
            self.set(&text);
            self.recalled = Some((at + 1, written));
        } else {
            self.set(&written);
        }
        true
    }

    /// The text as rows of at most `width` cells, and the row and column of the cursor.
    #[must_use]
    pub fn rows(&self, width: usize) -> (Vec<String>, (usize, usize)) {
        let width = width.max(2);
        let (mut rows, mut used, mut at) = (vec![String::new()], 0, (0, 0));
        for (offset, grapheme) in self.text.grapheme_indices(true) {
            if offset == self.cursor {
                at = (rows.len() - 1, used);
            }
            if grapheme == "\n" {
                rows.push(String::new());
                used = 0;
                continue;
            }
            let mut shown =
                if grapheme == "\t" { "    ".into() } else { printable(grapheme).into_owned() };
            let mut w = cells::width(&shown);
            if w > width {
                // A heap of joiners, or a wide character in a narrow place.
                (shown, w) = (char::REPLACEMENT_CHARACTER.into(), 1);
            }
            if used + w > width {
                rows.push(String::new());
                used = 0;
                if offset == self.cursor {
                    at = (rows.len() - 1, 0);
                }
            }
            if let Some(row) = rows.last_mut() {
                row.push_str(&shown);
            }
            used += w;
        }
        if self.cursor >= self.text.len() {
            if used >= width {
                rows.push(String::new());
                used = 0;
            }
            at = (rows.len() - 1, used);
        }
        (rows, at)
    }

    fn go(&mut self, to: usize) {
        self.cursor = to;
        self.last = None;
    }

    fn cut(&mut self, from: usize, to: usize, cut: &mut String) {
        let removed = self.remove(from, to);
        if !removed.is_empty() {
            *cut = removed;
        }
    }

    fn remove(&mut self, from: usize, to: usize) -> String {
        if from >= to {
            return String::new();
        }
        self.remember(Change::Other);
        let removed = self.text[from..to].to_owned();
        self.text.replace_range(from..to, "");
        self.cursor = from;
        self.settle();
        removed
    }

    fn remember(&mut self, change: Change) {
        if change == Change::Other || self.last != Some(Change::Typing) {
            self.undo.push((self.text.clone(), self.cursor));
            if self.undo.len() > UNDO {
                self.undo.remove(0);
            }
        }
        self.last = Some(change);
    }

    /// What was inserted may have joined with its neighbours to one grapheme: the cursor goes
    /// behind it.
    fn settle(&mut self) {
        self.cursor = self.ceil(self.cursor);
    }

    /// The first place for a cursor at or behind a byte offset.
    fn ceil(&self, offset: usize) -> usize {
        let mut place = GraphemeCursor::new(offset, self.text.len(), true);
        match place.is_boundary(&self.text, 0) {
            Ok(true) => offset,
            _ => place.next_boundary(&self.text, 0).ok().flatten().unwrap_or(self.text.len()),
        }
    }

    /// The last place for a cursor at or before a byte offset.
    fn floor(&self, offset: usize) -> usize {
        let mut place = GraphemeCursor::new(offset, self.text.len(), true);
        match place.is_boundary(&self.text, 0) {
            Ok(true) => offset,
            _ => place.prev_boundary(&self.text, 0).ok().flatten().unwrap_or(0),
        }
    }

    fn left(&self) -> usize {
        self.text[..self.cursor].grapheme_indices(true).next_back().map_or(0, |(at, _)| at)
    }

    fn right(&self) -> usize {
        self.cursor + self.text[self.cursor..].graphemes(true).next().map_or(0, str::len)
    }

    fn line_start(&self) -> usize {
        self.text[..self.cursor].rfind('\n').map_or(0, |at| at + 1)
    }

    fn line_end(&self) -> usize {
        self.text[self.cursor..].find('\n').map_or(self.text.len(), |at| self.cursor + at)
    }

    fn go_to_column(&mut self, column: usize) {
        self.cursor = self.line_start();
        let line = &self.text[self.cursor..self.line_end()];
        self.cursor += line.graphemes(true).take(column).map(str::len).sum::<usize>();
        self.last = None;
    }

    fn word_left(&self) -> usize {
        let before = &self.text[..self.cursor];
        let end = before.trim_end_matches(|c: char| !c.is_alphanumeric());
        self.floor(end.trim_end_matches(char::is_alphanumeric).len())
    }

    fn word_right(&self) -> usize {
        let after = &self.text[self.cursor..];
        let word = after.trim_start_matches(|c: char| !c.is_alphanumeric());
        self.ceil(self.text.len() - word.trim_start_matches(char::is_alphanumeric).len())
    }

    fn blank_left(&self) -> usize {
        let before = self.text[..self.cursor].trim_end();
        self.floor(before.trim_end_matches(|c: char| !c.is_whitespace()).len())
    }
}

#[cfg(test)]
mod tests;
