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
    for (at, c) in grapheme.chars().enumerate() {
        let before = out.chars().next_back();
        let after = grapheme.chars().nth(at + 1).or_else(|| rest.chars().next());
        let bare = matches!(c, '\u{200c}' | '\u{200d}')
            && !(at + 1 < GRAPHEME_CHARS && joins(before, after));
        if bare && at < GRAPHEME_CHARS {
            out.push(char::REPLACEMENT_CHARACTER);
        } else if bare {
            marks += 1;
        } else if c.width() == Some(0) && shown(c) == c {
            marks += usize::from(!matches!(c, '\u{200c}' | '\u{200d}'));
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
        // Line and paragraph separators, annotations, tags.
        | '\u{2028}' | '\u{2029}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => {
            char::REPLACEMENT_CHARACTER
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_text_is_not_copied() {
        for text in ["", "hello", "grüße, 你好, שלום", "👩\u{200d}💻", "e\u{301}"] {
            assert!(matches!(printable(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn no_control_character_comes_through() {
        let all: String = ('\0'..=char::MAX).collect();
        let out = printable(&all);
        let bad = |c: &char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(c);
        assert_eq!(out.chars().find(bad), None);
        assert_eq!(printable("a\u{1b}]52;c;eA\u{7}\u{9b}2J\rb"), "a␛]52;c;eA␇\u{fffd}2J␍b");
        assert_eq!(printable("evil\u{202e}gpj.exe"), "evil\u{fffd}gpj.exe");
    }

    #[test]
    fn line_ends_are_kept_apart_only_where_asked() {
        assert_eq!(printable("a\tb\nc"), "a b␊c");
        assert_eq!(printable_lines("a\r\nb\r").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(printable_lines("\u{1b}c\n").collect::<Vec<_>>(), ["␛c", ""]);
    }

    #[test]
    fn text_of_every_script_stays_as_it_is() {
        for text in ["žluťoučký 日本語 한국어 مرحبا क्षत्रिय", "नमस्\u{200d}ते", "👨‍👩‍👧‍👦 👩🏽‍🚀 ❤️ 🇨🇭"]
        {
            assert_eq!(printable(text), text);
        }
    }

    #[test]
    fn marks_and_joiners_do_not_pile_up_or_hide() {
        let tower = format!("z{}", "\u{30d}".repeat(500));
        assert_eq!(printable(&tower).chars().count(), 1 + MARKS);
        let chain = "👩\u{200d}".repeat(300);
        let longest = printable(&chain).graphemes(true).map(|g| g.chars().count()).max();
        assert!(longest <= Some(GRAPHEME_CHARS), "{longest:?}");
        assert_eq!(printable("pay\u{200d}pal"), "pay\u{fffd}pal");
    }

    proptest! {
        #[test]
        fn nothing_steers_a_terminal_and_twice_is_once(text in "\\PC*|[\\x00-\\x20\\x7f-\u{a0}a]*|\
            [a👩\u{200d}\u{200c}\u{fe0f}\u{301}\u{202e}\u{1f3fd}क\u{94d}\u{e0061}\u{1f3f4}\\r\\n]*") {
            let once = printable(&text).into_owned();
            let bidi = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            prop_assert!(!once.chars().any(|c| c.is_control() || bidi(c)), "{:?}", once);
            prop_assert_eq!(printable(&once).into_owned(), once);
        }
    }
}
