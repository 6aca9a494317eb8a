//! What a program may say to a terminal, byte by byte: anything but what our own screens need is a
//! mistake. It must not know what the program wanted to say.

use super::hostile::acts;

/// Modes that a screen sets and gives back: the screen of its own, pastes in brackets, focus, the
/// cursor, the wrapping of lines.
const MODES: [&str; 5] = ["?1049", "?2004", "?1004", "?25", "?7"];

/// What is wrong with lines of plain text, if anything is: they hold no control character but
/// their ends, and nothing that hides or turns text.
pub fn lines(bytes: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(bytes).map_err(|why| format!("no UTF-8: {why}"))?;
    let text = text.replace("\r\n", "\n");
    match text.char_indices().find(|(_, c)| *c != '\n' && acts(*c)) {
        None => Ok(()),
        Some((at, c)) => Err(format!("{c:?} in {:?}", around(&text, at))),
    }
}

/// What is wrong with the output of a screen, if anything is: between sequences that set the
/// cursor, colours, or modes of ours stands text that acts on nothing.
pub fn screen(bytes: &[u8]) -> Result<(), String> {
    let mut text = std::str::from_utf8(bytes).map_err(|why| format!("no UTF-8: {why}"))?;
    let whole = text;
    while let Some(c) = text.chars().next() {
        let rest = &text[c.len_utf8()..];
        let place = || around(whole, whole.len() - text.len()).to_owned();
        text = match c {
            '\x1b' => sequence(rest).ok_or_else(|| format!("a sequence in {:?}", place()))?,
            // On the way out, and what is said after it.
            '\r' | '\n' => rest,
            c if acts(c) => return Err(format!("{c:?} in {:?}", place())),
            _ => rest,
        };
    }
    Ok(())
}

/// What follows a sequence that is one of ours.
fn sequence(text: &str) -> Option<&str> {
    let text = text.strip_prefix('[')?;
    let end = text.find(|c: char| ('\x40'..='\x7e').contains(&c))?;
    let (parameters, last, rest) = (&text[..end], &text[end..=end], &text[end + 1..]);
    let numbers = parameters.chars().all(|c| c.is_ascii_digit() || c == ';');
    let own = match last {
        "H" | "m" => numbers,
        "J" => ["", "0", "2"].contains(&parameters),
        "h" | "l" => MODES.contains(&parameters),
        _ => false,
    };
    own.then_some(rest)
}

fn around(text: &str, at: usize) -> &str {
    let from = text.floor_char_boundary(at.saturating_sub(60));
    &text[from..text.ceil_char_boundary((at + 60).min(text.len()))]
}

#[test]
fn only_own_sequences_pass() {
    let own = "\x1b[?1049h\x1b[2J\x1b[3;7H\x1b[38;5;1mtext 日本\x1b[0m\x1b[?25l\x1b[?1049l\r\n";
    assert_eq!(screen(own.as_bytes()), Ok(()));
    for (name, text) in super::hostile::texts() {
        let steers = text.replace("\r\n", "\n").chars().any(|c| c != '\n' && acts(c));
        assert_eq!(lines(text.as_bytes()).is_err(), steers, "{name}");
        let own = ["colours", "returns"].contains(&name);
        assert!(screen(text.as_bytes()).is_err() || !steers || own, "{name}");
    }
    for text in ["\x1b]0;t\x07", "\x1b[1", "\x1b[?1000h", "\x1b[6n", "\u{9b}2J", "\x07", "\x1b"] {
        assert!(screen(text.as_bytes()).is_err(), "{text:?}");
    }
}
