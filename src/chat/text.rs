//! Text that others wrote, made safe to show: nothing of it can move the cursor,
//! change colours, write to the clipboard or turn the reading direction around.
//! It must not know terminals, widths or layout.

use std::borrow::Cow;

/// `text` on one line, without a character that a terminal would act upon. Control characters
/// become their pictures (`␛` for escape, `␊` for a line end), tabs a space, and characters
/// that reorder or hide text `\u{fffd}`.
///
/// ```
/// # use rustchat::chat::text::printable;
/// assert_eq!(printable("\u{1b}[31mred"), "␛[31mred");
/// ```
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| shown(c) == c) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(shown).collect())
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
        assert_eq!(out.chars().count(), all.chars().count());
        assert_eq!(printable("a\u{1b}]52;c;eA\u{7}\u{9b}2J\rb"), "a␛]52;c;eA␇\u{fffd}2J␍b");
        assert_eq!(printable("evil\u{202e}gpj.exe"), "evil\u{fffd}gpj.exe");
    }

    #[test]
    fn line_ends_are_kept_apart_only_where_asked() {
        assert_eq!(printable("a\tb\nc"), "a b␊c");
        assert_eq!(printable_lines("a\r\nb\r").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(printable_lines("\u{1b}c\n").collect::<Vec<_>>(), ["␛c", ""]);
    }
}
