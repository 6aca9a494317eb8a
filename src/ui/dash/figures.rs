//! Figures as they are written on the operator's screen, and the lines they stand in. Pure. It
//! must not know what a figure is of.

use crate::report::story;
use crate::ui::cells;
use crate::ui::theme::Role;

/// A line of the screen: texts, each with what it means.
pub type Line = Vec<(String, Role)>;

/// What is not known.
pub const UNKNOWN: &str = "-";
/// The steps of a curve, the lowest first.
const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// `88,412`.
#[must_use]
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number in few cells: `812`, `12k`, `3M`.
#[must_use]
pub fn short(number: u64) -> String {
    match number {
        0..10_000 => number.to_string(),
        10_000..10_000_000 => format!("{}k", number / 1000),
        _ => format!("{}M", number / 1_000_000),
    }
}

/// An age or a time of so many milliseconds; seconds have a decimal: `0.1s`.
#[must_use]
pub fn age(ms: u64) -> String {
    if ms < 1000 { format!("0.{}s", ms / 100) } else { story::time(ms) }
}

/// A time of so many microseconds.
#[must_use]
pub fn micros(us: u64) -> String {
    if us < 10_000 {
        format!("{}.{}ms", us / 1000, us % 1000 / 100)
    } else {
        story::time(us / 1000)
    }
}

/// So many bytes: `96M`.
#[must_use]
pub fn bytes(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes}B"),
        1024..1_048_576 => format!("{}K", bytes >> 10),
        1_048_576..10_737_418_240 => format!("{}M", bytes >> 20),
        _ => format!("{}G", bytes >> 30),
    }
}

/// A difference of so many milliseconds.
#[must_use]
pub fn signed(ms: i64) -> String {
    let sign = if ms < 0 { "-" } else { "" };
    format!("{sign}{}", story::time(ms.unsigned_abs()))
}

/// Values as a curve of `width` cells, the newest on the right; a blank where nothing is known.
#[must_use]
pub fn curve(values: &[Option<u64>], width: usize) -> String {
    let shown = values.get(values.len().saturating_sub(width)..).unwrap_or_default();
    let most = shown.iter().copied().flatten().max().unwrap_or(0).max(1);
    let step = |value: &Option<u64>| match value {
        None => ' ',
        Some(value) => {
            let at = value.saturating_mul(STEPS.len() as u64 - 1).div_ceil(most);
            usize::try_from(at).ok().and_then(|at| STEPS.get(at)).copied().unwrap_or('█')
        }
    };
    let drawn: String = shown.iter().map(step).collect();
    format!("{}{drawn}", " ".repeat(width - shown.len()))
}

/// The text with blanks after it, in exactly `width` cells.
#[must_use]
pub fn pad(text: &str, width: usize) -> String {
    let text = cells::clip(text, width);
    let blank = width - cells::width(&text).min(width);
    format!("{text}{}", " ".repeat(blank))
}

/// One text as a line.
#[must_use]
pub fn one(text: impl Into<String>, role: Role) -> Line {
    vec![(text.into(), role)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short_and_tell_the_unit() {
        assert_eq!([0, 999, 88_412, 1_000_000].map(count), ["0", "999", "88,412", "1,000,000"]);
        assert_eq!([9999, 10_000, 12_000_000].map(short), ["9999", "10k", "12M"]);
        assert_eq!([40, 940, 1200, 125_000].map(age), ["0.0s", "0.9s", "1.2s", "2m"]);
        assert_eq!([400, 3100, 12_000, 810_000].map(micros), ["0.4ms", "3.1ms", "12ms", "810ms"]);
        assert_eq!([12, 4096, 96 << 20, 20 << 30].map(bytes), ["12B", "4K", "96M", "20G"]);
        assert_eq!([-2, 5000].map(signed), ["-2ms", "5.0s"]);
    }

    #[test]
    fn curves_fill_their_width_and_show_gaps() {
        let some = |values: &[u64]| values.iter().map(|v| Some(*v)).collect::<Vec<_>>();
        assert_eq!(curve(&some(&[0, 1, 50, 100]), 6), "  ▁▂▅█");
        assert_eq!(curve(&[Some(3), None, Some(3)], 3), "█ █");
        assert_eq!(curve(&some(&[9, 0, 0]), 2), "▁▁", "what is out of sight sets no scale");
        assert_eq!(curve(&[], 2), "  ");
    }
}
