//! What text from others becomes, over everything that one might try.

use super::*;
use crate::support::hostile::{acts, texts};
use proptest::prelude::*;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::time::{Duration, Instant};

/// What strings are made of that shall not come through.
const PIECES: &[&str] = &[
    "\u{1b}",
    "[",
    "]",
    "52;c;",
    "\u{7}",
    "\u{9b}",
    "\u{9d}",
    "\u{90}",
    "2J",
    "\r",
    "\n",
    "\t",
    "\0",
    "\u{8}",
    "\u{7f}",
    "a",
    "é",
    "日",
    "👩",
    "\u{200d}",
    "\u{200c}",
    "\u{fe0f}",
    "\u{301}",
    "\u{30d}",
    "\u{202e}",
    "\u{2066}",
    "\u{2028}",
    "\u{e0061}",
    "\u{1f3fd}",
    "\u{1f3f4}",
    "क",
    "\u{94d}",
    "\u{3164}",
    "\u{600}",
    "\u{1100}",
    "\u{1161}",
    "🇨",
    "\u{e0100}",
    " ",
    "~",
];
/// Strings of the long run.
const FUZZED: u64 = 1_000_000;
/// The short run ends with this time, however many it got to.
const SHORT: Duration = Duration::from_secs(2);

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

/// How a text may look that a terminal shows.
#[track_caller]
fn is_harmless(out: &str, of: &str) {
    assert_eq!(out.chars().find(|c| acts(*c)), None, "{of}: {out:?}");
    let marks = |g: &str| g.chars().filter(|c| c.width() == Some(0) && !is_joiner(*c)).count();
    let most = out.graphemes(true).map(marks).max().unwrap_or(0);
    assert!(most <= MARKS, "{of}: {most} marks on one character");
    assert_eq!(printable(out), out, "{of}: twice is not once");
}

#[test]
fn nothing_that_is_tried_comes_through() {
    for (name, text) in texts() {
        is_harmless(&printable(&text), name);
        for line in printable_lines(&text) {
            is_harmless(&line, name);
        }
    }
}

/// All strings with `RUSTCHAT_TEST_LONG`, else as many as there is time for.
#[test]
fn fuzzed_strings_come_out_harmless() {
    let all = std::env::var_os("RUSTCHAT_TEST_LONG").is_some();
    let start = Instant::now();
    for seed in 0..FUZZED {
        let rng = &mut StdRng::seed_from_u64(seed);
        let pieces = rng.random_range(0..24);
        let piece = |rng: &mut StdRng| match rng.random_range(0..8) {
            0 => rng.random::<char>().to_string(),
            _ => PIECES.choose(rng).unwrap().repeat(rng.random_range(1..4)),
        };
        let text: String = (0..pieces).map(|_| piece(rng)).collect();
        is_harmless(&printable(&text), &format!("seed {seed}"));
        if !all && start.elapsed() > SHORT {
            return;
        }
    }
}

#[test]
fn json_and_literals_lose_nothing_and_act_on_nothing() {
    for (name, text) in texts() {
        let json = serde_json::to_string_pretty(&serde_json::json!([{ "text": text }])).unwrap();
        let safe = printable_json(&json);
        let back: serde_json::Value = serde_json::from_str(&safe).unwrap();
        assert_eq!(back[0]["text"], *text, "{name}");
        assert_eq!(safe.chars().find(|c| *c != '\n' && acts(*c)), None, "{name}: {safe}");
        assert!(!safe.contains(is_joiner), "{name}");
        assert_eq!(safe.matches('\n').count(), json.matches('\n').count(), "{name}");
        let floods = safe.chars().fold((0, 0), |(now, most), c| {
            let now = if c.width() == Some(0) { now + 1 } else { 0 };
            (now, usize::max(now, most))
        });
        assert!(floods.1 <= MARKS, "{name}: {} marks", floods.1);
        let literal = literal(&text);
        assert_eq!(literal.chars().find(|c| acts(*c)), None, "{name}: {literal}");
        assert!(!literal.contains(is_joiner), "{name}");
    }
    assert_eq!(
        printable_json("[\"\u{9b}2J\u{202e}ü\u{e0041}\"]\n"),
        "[\"\\u009b2J\\u202eü\\udb40\\udc41\"]\n"
    );
    assert!(matches!(printable_json("{\n  \"a\": \"ü\"\n}"), Cow::Borrowed(_)));
    assert_eq!(literal("a\"\\b\n\u{202e}\u{200d}é日"), "a\\\"\\\\b\\n\\u{202e}\\u{200d}é日");
    let tower = format!("z{}", "\u{30d}".repeat(MARKS + 1));
    assert_eq!(literal(&tower), format!("z{}\\u{{30d}}", "\u{30d}".repeat(MARKS)));
}
