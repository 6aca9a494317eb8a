//! The one way of text onto the screen: whatever it says, it is made printable here and stays in
//! its place. It must not know models.

use super::cells;
use crate::chat::text::printable;
use ratatui::buffer::Buffer;
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
