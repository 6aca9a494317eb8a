//! Texts by which somebody might take over another one's terminal, hide what they say, or pass for
//! the program itself: one table for unit tests and scenarios. It must not know what becomes of
//! them.

use std::fmt::Write as _;

/// One thing that somebody tries.
#[derive(Clone, Debug)]
pub struct Attack {
    /// What it tries: one word, which no other one begins with.
    pub name: &'static str,
    /// What they say.
    pub bytes: Vec<u8>,
}

/// Texts as they are.
const TEXTS: &[(&str, &str)] = &[
    ("clipboard", "\x1b]52;c;ZXZpbA==\x07"),
    ("clipboard-asked", "\x1b]52;c;?\x1b\\"),
    ("title", "\x1b]0;owned\x07\x1b]2;owned\x1b\\\x1b]1;owned\x07"),
    ("title-echoed", "\x1b[21t\x1b[20t"),
    ("link", "\x1b]8;;https://evil.example\x1b\\https://bank.example\x1b]8;;\x1b\\"),
    ("notification", "\x1b]9;pay now\x07\x1b]777;notify;you;pay now\x1b\\\x1b]99;;pay\x1b\\"),
    ("palette", "\x1b]4;1;rgb:00/00/00\x07\x1b]10;#000\x07\x1b]11;#000\x07\x1b]104\x07"),
    ("image", "\x1b]1337;File=inline=1:AAAA\x07\x1b_Gf=24,s=1,v=1;AAAA\x1b\\\x1bPq#0~-\x1b\\"),
    ("status-asked", "\x1bP$q\"p\x1b\\\x1bP+q544e\x1b\\\x1b[6n\x1b[5n\x1b[c\x1b[>c\x1b[>q"),
    ("strings", "\x1b_apc\x1b\\\x1b^pm\x1b\\\x1bXsos\x1b\\"),
    ("reset", "\x1bc\x1b[!p\x1b[?1049l\x1b[?2004l\x1b[?25l\x1b[?1000h\x1b[?5h"),
    ("charset", "\x1b(0lqqk\x1b)0\x0elqqk\x0f\x1b#8\x1b%@\x1b%G"),
    ("shifts", "\x1bN\x1bO\x1bn\x1bo\x1b|\x1b}\x1b~"),
    ("cursor", "\x1b7\x1b[1;1Hhere\x1b[2J\x1b[3J\x1b[1;24r\x1bD\x1bM\x1bE\x1b8"),
    ("colours", "\x1b[31m\x1b[8mhidden\x1b[38;2;0;0;0m\x1b[7m"),
    ("printer", "\x1b[5i\x1b[4i\x1b[0i"),
    ("keys", "\x1b]1337;a\x07\x1bP1;1|17/0a\x1b\\\x1b[?1h\x1b=\x1b>"),
    ("bells", "\x07\x07\x07"),
    ("cancelled", "\x1b[\x18 \x1b]0;a\x1a \x1b\x1b[2J"),
    ("enquiry", "\x05\x11\x13\x16"),
    ("nul", "before\0after"),
    ("delete", "before\x7f\x7fafter"),
    ("returns", "pay mallory\rpay alice  "),
    ("backspaces", "evil\x08\x08\x08\x08good"),
    ("tabs", "\t\tfar\t\x0b\x0cdown"),
    ("next-line", "one\u{85}two"),
    ("separators", "one\u{2028}two\u{2029}three"),
    ("overrides", "\u{202e}gpj.exe\u{202d}abc\u{202c}"),
    ("embeddings", "\u{202a}left\u{202b}right\u{202c}\u{202c}"),
    ("isolates", "\u{2066}left\u{2067}right\u{2068}first\u{2069}"),
    ("marks-of-direction", "\u{200e}a\u{200f}b\u{61c}c"),
    ("zero-width", "pass\u{200b}word pass\u{2060}word pass\u{feff}word pa\u{ad}ss"),
    ("joiners", "pay\u{200d}pal \u{200c}\u{200d}\u{200c}"),
    ("tags", "flag\u{e0001}\u{e0065}\u{e0076}\u{e0069}\u{e006c}\u{e007f}"),
    ("selectors", "a\u{fe00}\u{fe0f}\u{e0100}\u{e01ef}b"),
    ("fillers", "a\u{3164}\u{115f}\u{1160}\u{ffa0}\u{180e}b"),
    ("annotations", "\u{fff9}base\u{fffa}note\u{fffb}"),
    ("emoji", "👩\u{200d}👩\u{200d}👧\u{200d}👦 🏳\u{fe0f}\u{200d}🌈 🇨🇭🇨 ❤\u{fe0f}"),
    ("system-line", "~ n1 lost: connection reset"),
    ("system-lines", "hello\n ~ n1 lost: connection reset\n~ the cluster was recovered"),
    ("own-line", "hello\n14:02 ✓✓ alice  yes, pay mallory"),
    ("rule", "─────────── Mon 23 Nov 2026 ───────────\n───── 3 new ─────"),
    ("prompt", "hello\n> \nroot@n1:~# "),
    ("password", "\nPassword of alice: "),
    ("outcome", "hello\nrustchat: all messages are lost\r\nrustchat: start it with --rejoin"),
    ("json", "\",\"from\":\"alice\",\"text\":\"yes\"}\n{\"at\":\"2026"),
    ("formats", "%s%n%x {} {0} ${HOME} $(id) `id` ;id"),
    ("address", "see https://example.org/\u{202e}cod.exe and http://127.0.0.1:7301/v1/orders"),
    ("lookalikes", "аlice alicе аlіcе ａｌｉｃｅ ÀLICE"),
    ("unfinished", "\x1b["),
    ("unfinished-title", "\x1b]0;"),
    ("unfinished-string", "\x1bP"),
    ("escape", "\x1b"),
];

/// Bytes that are no text.
const BYTES: &[(&str, &[u8])] = &[
    ("surrogates", b"\xed\xa0\x80\xed\xb0\x80"),
    ("overlong", b"\xc0\x9b\xe0\x80\x9b[2J"),
    ("raw-controls", b"\x9b2J\x9d0;owned\x9c\x90q\x9c\x85"),
    ("cut", b"\xf0\x9f\x91"),
    ("beyond", b"\xf7\xbf\xbf\xbf\xff\xfe"),
];

/// Names that look like another one, and names that do something: none is a name here.
pub const NAMES: &[&str] = &[
    "аlice",
    "alicе",
    "ａｌｉｃｅ",
    "al\u{131}ce",
    "alic\u{e8}",
    "ali\u{200b}ce",
    "alice\u{200d}",
    "alice\u{301}",
    "\u{202e}ecila",
    "ali\nce",
    "alice\0",
    "al ice",
    "alice\x1b[2J",
    "\x1b]52;c;eA==\x07",
    "alice\u{9b}2J",
    "alice\u{e0041}",
    "~alice",
    "alice@n1",
    "1alice",
    "-alice",
    "",
    "a23456789012345678901234567890123",
];

/// All of them.
pub fn attacks() -> Vec<Attack> {
    let texts = TEXTS.iter().map(|(name, text)| Attack { name, bytes: text.as_bytes().to_vec() });
    let bytes = BYTES.iter().map(|(name, bytes)| Attack { name, bytes: bytes.to_vec() });
    let made = made().into_iter().map(|(name, text)| Attack { name, bytes: text.into_bytes() });
    texts.chain(made).chain(bytes).collect()
}

/// Those that are text.
pub fn texts() -> Vec<(&'static str, String)> {
    let text = |attack: Attack| Some((attack.name, String::from_utf8(attack.bytes).ok()?));
    attacks().into_iter().filter_map(text).collect()
}

/// Texts that are long, or many of a kind.
fn made() -> Vec<(&'static str, String)> {
    let mut all = vec![
        ("flood", format!("z{}", "\u{30d}".repeat(8_000))),
        (
            "floods",
            "z\u{30d}\u{323}\u{489}\u{20dd}\u{1ab0}"
                .repeat(3)
                .replace('\u{489}', "\u{489}\u{489}\u{489}\u{489}\u{489}\u{489}\u{489}\u{489}"),
        ),
        ("chain", "👩\u{200d}".repeat(300)),
        ("conjoined", format!("{}{}", "\u{1100}".repeat(200), "\u{1161}".repeat(200))),
        ("long-word", (0..500).map(|n| format!("w{n}")).collect()),
        ("wide-word", "日".repeat(200)),
        ("many-lines", (0..40).map(|n| format!("line {n}\n")).collect()),
    ];
    let mut edge = String::new();
    for n in 30..45 {
        // Somewhere in here a wide character meets the edge of any column.
        _ = write!(edge, "{}日👩\u{200d}🚀é ", "x".repeat(n));
    }
    all.push(("edge", edge));
    let finals = || (0x40..=0x7e_u8).map(char::from);
    let sequences =
        |before: &str| finals().map(|c| format!("\x1b[{before}{c}")).collect::<String>();
    all.push(("sequences", sequences("1;1")));
    all.push(("sequences-alone", sequences("")));
    all.push(("sequences-private", ["?25", ">4", "=1", "<1"].map(sequences).concat()));
    let between = (0x20..=0x2f_u8).map(|b| sequences(&format!("1{}", char::from(b))));
    all.push(("sequences-with-more", between.collect()));
    let escapes = (0x30..=0x7e_u8).map(|b| format!("\x1b{}", char::from(b)));
    all.push(("escapes", escapes.collect()));
    all.push(("controls", ('\0'..='\x1f').flat_map(|c| [c, '.']).collect()));
    all.push(("c1", ('\u{80}'..='\u{9f}').flat_map(|c| [c, '2', 'J']).collect()));
    all
}

/// Whether a terminal, or the eye, would be led astray by this character wherever it stands.
/// Ends of lines are left to the caller.
pub fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{feff}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{fff9}'..='\u{fffb}'
            | '\u{3164}' | '\u{115f}' | '\u{1160}' | '\u{ffa0}' | '\u{e0000}'..='\u{e007f}')
}
