//! Text measured in terminal cells: widths, clipping and wrapping by grapheme, with the same
//! widths that the drawing library uses. It must not know colours or what the text means.

use crate::chat::text::printable;
use ratatui::buffer::CellWidth;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthChar;

/// What a tab becomes before text is shown: a cell cannot hold one.
const TAB: &str = "    ";
/// Stands for what was cut off.
const CUT: &str = "…";

/// Cells that one grapheme takes; the text must be printable.
fn grapheme_width(grapheme: &str) -> usize {
    if grapheme.contains(char::is_control) { 0 } else { usize::from(grapheme.cell_width()) }
}

/// Graphemes of printable text with the cells each takes.
pub fn graphemes(text: &str) -> impl Iterator<Item = (&str, usize)> {
    text.graphemes(true).map(|g| (g, grapheme_width(g)))
}

/// Cells that printable text takes on one line.
#[must_use]
pub fn width(text: &str) -> usize {
    graphemes(text).map(|(_, w)| w).sum()
}

/// Cells that it takes where a terminal joins nothing: each character by itself.
#[must_use]
pub fn width_apart(text: &str) -> usize {
    text.chars().filter_map(UnicodeWidthChar::width).sum()
}

/// The text, made printable, in at most `max` cells; what does not fit is replaced by `…`.
#[must_use]
pub fn clip(text: &str, max: usize) -> String {
    let text = printable(text);
    if width(&text) <= max {
        return text.into_owned();
    }
    let mut out = String::new();
    let mut used = 0;
    for (grapheme, w) in graphemes(&text) {
        if used + w + 1 > max {
            break;
        }
        out.push_str(grapheme);
        used += w;
    }
    if max > 0 {
        out.push_str(CUT);
    }
    out
}

/// Spaces before the text so that it ends at cell `max`; longer text is clipped.
#[must_use]
pub fn right(text: &str, max: usize) -> String {
    let text = clip(text, max);
    format!("{}{text}", " ".repeat(max - width(&text).min(max)))
}

/// The text in lines of at most `max` cells (at least 1), printable. Lines break at spaces; a word
/// that is longer than a line, such as an address, breaks at the edge of the cells, so that the
/// pieces can be put together again.
#[must_use]
pub fn wrap(text: &str, max: usize) -> Vec<String> {
    let max = max.max(1);
    let mut out = Vec::new();
    for line in text.replace("\r\n", "\n").replace('\t', TAB).split('\n') {
        wrap_line(&mut out, &printable(line), max);
    }
    out
}

fn wrap_line(out: &mut Vec<String>, line: &str, max: usize) {
    let mut row = String::new();
    let mut used = 0;
    for word in line.split_word_bounds_at_spaces() {
        let w = width(word);
        let blank = word.starts_with(' ');
        if used + w <= max {
            row.push_str(word);
            used += w;
            continue;
        }
        if blank {
            // Spaces at the edge are not carried over: the break stands for them.
            out.push(std::mem::take(&mut row));
            used = 0;
            continue;
        }
        if used > 0 && w <= max {
            out.push(std::mem::take(&mut row).trim_end().to_owned());
            row.push_str(word);
            used = w;
            continue;
        }
        if used > 0 && used * 2 > max {
            out.push(std::mem::take(&mut row).trim_end().to_owned());
            used = 0;
        }
        for (grapheme, w) in graphemes(word) {
            if used + w > max && used > 0 {
                out.push(std::mem::take(&mut row));
                used = 0;
            }
            if w <= max {
                row.push_str(grapheme);
                used += w;
            } else {
                // A wide character in a column one cell wide.
                row.push('?');
                used += 1;
            }
        }
    }
    out.push(row);
}

trait Words {
    /// Runs of spaces and runs of everything else, in turn.
    fn split_word_bounds_at_spaces(&self) -> impl Iterator<Item = &str>;
}

impl Words for str {
    fn split_word_bounds_at_spaces(&self) -> impl Iterator<Item = &str> {
        let mut rest = self;
        std::iter::from_fn(move || {
            let blank = rest.starts_with(' ');
            let end = rest.find(|c| (c == ' ') != blank).unwrap_or(rest.len());
            let (word, tail) = rest.split_at(end);
            rest = tail;
            (!word.is_empty()).then_some(word)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn clipping_counts_cells_not_characters() {
        assert_eq!(clip("日本語", 6), "日本語");
        assert_eq!(clip("日本語", 5), "日本…");
        assert_eq!(clip("日本語", 4), "日…");
        assert_eq!(clip("ab", 0), "");
        assert_eq!(right("bob", 5), "  bob");
        assert_eq!(right("alexandra", 5), "alex…");
    }

    #[test]
    fn lines_break_at_spaces_and_addresses_at_the_edge() {
        assert_eq!(wrap("one two three", 8), ["one two", "three"]);
        assert_eq!(wrap("a\n\nb", 8), ["a", "", "b"]);
        assert_eq!(wrap("https://example.org/x", 8), ["https://", "example.", "org/x"]);
        assert_eq!(wrap("see https://example.org", 8), ["see http", "s://exam", "ple.org"]);
        assert_eq!(wrap("日本語", 4), ["日本", "語"]);
        assert_eq!(wrap("日", 1), ["?"]);
        assert_eq!(wrap("", 5), [""]);
        assert_eq!(wrap("\tx", 9), ["    x"]);
    }

    proptest! {
        #[test]
        fn no_line_is_wider_than_asked_and_no_word_is_lost(text in "[a-z日é👩 \n]{0,60}", max in 2usize..20) {
            let lines = wrap(&text, max);
            for line in &lines {
                prop_assert!(width(line) <= max, "{:?} in {}", line, max);
            }
            let bare = |s: &str| s.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            prop_assert_eq!(bare(&lines.concat()), bare(&text));
        }

        #[test]
        fn clipping_never_exceeds(text in "\\PC{0,40}", max in 0usize..30) {
            prop_assert!(width(&clip(&text, max)) <= max);
            prop_assert_eq!(width(&right(&text, max)), max);
        }
    }
}
