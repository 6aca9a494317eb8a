//! The one way of text onto the screen: whatever it says, it is made printable here and stays in
//! its place. It must not know models.

use super::cells;
use crate::chat::text::printable;
use ratatui::buffer::{Buffer, CellDiffOption};
use ratatui::layout::Rect;
use ratatui::style::Style;

/// Draws text on one line from (`x`, `y`), at most `max` cells and never outside of `area`;
/// returns the cell after the last one drawn.
pub fn put(buf: &mut Buffer, area: Rect, (x, y): (u16, u16), text: &str, style: Style) -> u16 {
    let area = area.intersection(buf.area);
    if x < area.left() || x >= area.right() || y < area.top() || y >= area.bottom() {
        return x;
    }
    let room = usize::from(area.right() - x);
    buf.set_stringn(x, y, printable(text), room, style).0
}

/// Draws text so that it ends at the right edge of `area`; returns its first cell.
pub fn put_right(buf: &mut Buffer, area: Rect, y: u16, text: &str, style: Style) -> u16 {
    let text = cells::clip(text, usize::from(area.width));
    let x = area.right() - u16::try_from(cells::width(&text)).unwrap_or(area.width).min(area.width);
    put(buf, area, (x, y), &text, style);
    x
}

/// A horizontal rule with text in its middle, `── text ──`, as wide as `area`.
pub fn rule(buf: &mut Buffer, area: Rect, y: u16, text: &str, (line, label): (Style, Style)) {
    put(buf, area, (area.x, y), &"─".repeat(usize::from(area.width)), line);
    if text.is_empty() {
        return;
    }
    let text = format!(" {} ", cells::clip(text, usize::from(area.width.saturating_sub(4))));
    let left = (usize::from(area.width).saturating_sub(cells::width(&text))) / 2;
    put(buf, area, (area.x + u16::try_from(left).unwrap_or(0), y), &text, label);
}

/// Fills `area` with blanks in `style`.
pub fn fill(buf: &mut Buffer, area: Rect, style: Style) {
    let area = area.intersection(buf.area);
    for y in area.top()..area.bottom() {
        put(buf, area, (area.x, y), &" ".repeat(usize::from(area.width)), style);
    }
}

/// A vertical rule along the left edge of `area`.
pub fn side(buf: &mut Buffer, area: Rect, style: Style) {
    for y in area.top()..area.bottom() {
        put(buf, area, (area.x, y), "│", style);
    }
}

/// Makes it certain what a terminal shows where it may not join what makes up one character, as
/// that of a family or of a colour of skin, and draws its parts one after the other, over more
/// cells: what follows in the row is drawn each time, over these; and at the end of a row, where
/// they would run on into the next one, stands the first part alone.
pub fn steady(buf: &mut Buffer) {
    let area = buf.area;
    for y in area.top()..area.bottom() {
        let mut over = false;
        for x in area.left()..area.right() {
            let cell = &mut buf[(x, y)];
            if over {
                cell.set_diff_option(CellDiffOption::AlwaysUpdate);
            }
            let (joined, apart) = (cells::width(cell.symbol()), cells::width_apart(cell.symbol()));
            if apart <= joined {
                continue;
            }
            over = true;
            let room = usize::from(area.right() - x);
            if let Some(first) = cell.symbol().chars().next().filter(|_| apart > room) {
                cell.set_char(first);
            }
        }
    }
}

/// Draws every line and mark of the program with ASCII characters; texts of people keep theirs.
pub fn ascii(buf: &mut Buffer) {
    for cell in &mut buf.content {
        let plain = match cell.symbol() {
            "─" => "-",
            "│" => "|",
            "┴" => "+",
            "▸" => ">",
            "↓" => "v",
            "↑" => "^",
            "…" => ".",
            "·" => ";",
            "×" => "x",
            "✓" => "c",
            "←" => "<",
            "→" => ">",
            "▁" => "_",
            "▂" => ".",
            "▃" => "-",
            "▄" => "=",
            "▅" => "+",
            "▆" => "*",
            "▇" => "%",
            "█" => "#",
            _ => continue,
        };
        cell.set_symbol(plain);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_may_draw_wider_harms_neither_its_row_nor_the_next() {
        // In pairs of cells; the last of a row has room for one.
        for joined in ["👩\u{200d}🚀", "👩🏽", "🏳\u{fe0f}\u{200d}🌈"] {
            let row = format!("日{joined}é{joined}");
            let mut buf = Buffer::empty(Rect::new(0, 0, 7, 2));
            let area = buf.area;
            put(&mut buf, area, (0, 0), &row, Style::default());
            put(&mut buf, area, (0, 1), "日本 ab", Style::default());
            steady(&mut buf);
            let first = joined.chars().next().unwrap().to_string();
            assert_eq!((buf[(2, 0)].symbol(), buf[(5, 0)].symbol()), (joined, first.as_str()));
            let drawn = |x, y| buf[(x, y)].diff_option == CellDiffOption::AlwaysUpdate;
            let again: Vec<u16> = (0..7).filter(|x| drawn(*x, 0)).collect();
            assert_eq!(again, [3, 4, 5, 6], "{joined}");
            assert!((0..7).all(|x| !drawn(x, 1)), "{joined}: the next row is as it was");
        }
    }
}
