//! Text that others wrote, made safe to show: nothing of it can move the cursor,
//! change colours, write to the clipboard or turn the reading direction around.
//! It must not know terminals, widths or layout.

use std::borrow::Cow;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthChar;

/// Marks without width that one visible character may carry; more are dropped, so that nobody's
/// letters grow over the lines of others.
pub const MARKS: usize = 8;
/// Characters that may make up one visible character; the longest emoji in use has 11.
const GRAPHEME_CHARS: usize = 16;

/// `text` on one line, without a character that a terminal would act upon. Control characters
/// become their pictures (`␛` for escape, `␊` for a line end), tabs a space, and characters
/// that reorder or hide text, and joiners that join nothing, `\u{fffd}`. At most [`MARKS`] marks
/// stay on one character. Doing it twice is doing it once.
///
/// ```
/// # use rustchat::chat::text::printable;
/// assert_eq!(printable("\u{1b}[31mred"), "␛[31mred");
/// ```
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.is_ascii() && text.chars().all(|c| shown(c) == c) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for (start, grapheme) in text.grapheme_indices(true) {
        push_grapheme(&mut out, grapheme, &text[start + grapheme.len()..]);
    }
    if out == text { Cow::Borrowed(text) } else { Cow::Owned(out) }
}

/// Adds what may be shown of `grapheme`, which `rest` follows.
fn push_grapheme(out: &mut String, grapheme: &str, rest: &str) {
    let mut marks = 0;
    for (at, (start, c)) in grapheme.char_indices().enumerate() {
        let before = out.chars().next_back();
        let after = grapheme.get(start + c.len_utf8()..).and_then(|more| more.chars().next());
        let after = after.or_else(|| rest.chars().next());
        let bare = is_joiner(c) && !(at + 1 < GRAPHEME_CHARS && joins(before, after));
        if bare && at < GRAPHEME_CHARS {
            out.push(char::REPLACEMENT_CHARACTER);
        } else if bare {
            marks += 1;
        } else if c.width() == Some(0) && shown(c) == c {
            marks += usize::from(!is_joiner(c));
            if marks <= MARKS && at < GRAPHEME_CHARS {
                out.push(c);
            }
        } else {
            out.push(shown(c));
        }
    }
}

/// A joiner is at home between two emoji, or two letters of a script that joins.
fn joins(before: Option<char>, after: Option<char>) -> bool {
    let visible = |c: char| c >= '\u{300}' && shown(c) == c;
    before.is_some_and(visible) && after.is_some_and(|c| visible(c) && c.width() != Some(0))
}

/// The lines of `text`, each made [`printable`]; a carriage return before a line end belongs
/// to the line end.
pub fn printable_lines(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    text.split('\n').map(|line| printable(line.strip_suffix('\r').unwrap_or(line)))
}

/// JSON in which nothing acts upon a terminal: what [`printable`] would replace, joiners, and marks
/// beyond [`MARKS`] are written as `\u202e`. Whoever reads the JSON reads what it said before. Ends
/// of lines outside of its texts stay.
#[must_use]
pub fn printable_json(json: &str) -> Cow<'_, str> {
    escaped(json, |out, c| {
        for unit in c.encode_utf16(&mut [0; 2]) {
            out.push_str(&format!("\\u{unit:04x}"));
        }
    })
}

/// `text` on one line with nothing lost, as in a literal of Rust without its quotes: what
/// [`printable`] would replace, joiners, and marks beyond [`MARKS`] are written as `\u{202e}`.
#[must_use]
pub fn literal(text: &str) -> String {
    let text = text.escape_debug().to_string();
    escaped(&text, |out, c| out.extend(c.escape_unicode())).into_owned()
}

/// Has `escape` write what must not stand as it is.
fn escaped(text: &str, escape: impl Fn(&mut String, char)) -> Cow<'_, str> {
    let mut out = String::new();
    let mut copied = 0;
    let mut marks = 0;
    for (at, c) in text.char_indices() {
        marks = if c.width() == Some(0) { marks + 1 } else { 0 };
        let acts = shown(c) != c && c != '\n' || is_joiner(c) || marks > MARKS;
        if acts {
            out.push_str(text.get(copied..at).unwrap_or_default());
            escape(&mut out, c);
            copied = at + c.len_utf8();
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(out)
}

const fn is_joiner(c: char) -> bool {
    matches!(c, '\u{200c}' | '\u{200d}')
}

/// What stands for `c`.
const fn shown(c: char) -> char {
    match c {
        '\t' => ' ',
        '\u{0}'..='\u{1f}' => match char::from_u32(0x2400 + c as u32) {
            Some(picture) => picture,
            None => char::REPLACEMENT_CHARACTER,
        },
        '\u{7f}' => '\u{2421}',
        // C1 controls, soft hyphen.
        '\u{80}'..='\u{9f}' | '\u{ad}'
        // Direction: marks, embeddings, overrides, isolates.
        | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        // Invisible: zero width space, word joiner and operators, deprecated format, byte order
        // mark. The joiners U+200C and U+200D stay: words and emoji need them.
        | '\u{180e}' | '\u{200b}' | '\u{2060}'..='\u{2065}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
        // Letters that show nothing: fillers of Hangul, vowels of Khmer, shorthand and notes.
        | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{ffa0}' | '\u{17b4}' | '\u{17b5}'
        | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
        // Line and paragraph separators, annotations; tags, and what may come to be like them.
        // The variation selectors U+E0100 to U+E01EF stay: ideographs have them.
        | '\u{2028}' | '\u{2029}' | '\u{fff0}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e00ff}' | '\u{e01f0}'..='\u{e0fff}' => char::REPLACEMENT_CHARACTER,
        other => other,
    }
}

#[cfg(test)]
mod tests;
