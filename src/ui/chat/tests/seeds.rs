//! Random keys, events and sizes: nothing panics, nothing of others steers the terminal, borders
//! stay straight. A failure names its seed; `RUSTCHAT_SEED=n` runs that one alone.

use super::*;
use crate::client::{ClientError, FoundUser};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

const HOSTILE: [&str; 12] = [
    "\x1b[2J\x1b[1;1Hgone",
    "\x1b]52;c;aGFja2Vk\x07",
    "\u{9b}31mred\u{9d}0;title\u{9c}",
    "a\rb\x08\x08c\x00\x7f",
    "user\u{202e}gpj.exe\u{2066}x",
    "👨‍👩‍👧‍👦 👩🏽‍🚀 ❤️ 🇨🇭 ☺ 日本語 ﷽ 한국어",
    "z\u{30d}\u{30d}\u{30d}\u{30d}\u{30d}\u{30d}\u{30d}\u{30d}\u{30d}\u{30d}\u{30d}\u{30d}",
    "\u{200d}\u{200d}\u{feff}\u{200b}\u{ad}",
    "مرحبا שלום नमस्ते क्षत्रिय ﾊﾞﾟ",
    "\t\tcode\n\n\n    indented\r\nend",
    "https://example.org/a/very/long/path/without/any/blank/at/all/that/goes/on/and/on/and/on",
    "\u{1b}P+q544e\u{1b}\\ \u{1b}_Gq\u{1b}\\",
];

fn seeds(count: u64) -> impl Iterator<Item = u64> {
    let one = std::env::var("RUSTCHAT_SEED").ok().and_then(|seed| seed.parse().ok());
    one.map_or(0..count, |seed: u64| seed..seed + 1)
}

fn step(b: &mut Bench, rng: &mut StdRng) {
    const KEYS: &str = "abé日👩/ _\u{301}\u{200d}";
    let pick = |rng: &mut StdRng| HOSTILE[rng.random_range(0..HOSTILE.len())];
    let n = rng.random_range(1..4);
    let number = rng.random_range(1..9);
    match rng.random_range(0..22) {
        0..=5 => {
            let bindings = keymap::BINDINGS;
            let keys = bindings[rng.random_range(0..bindings.len())].keys;
            b.keys(keys[rng.random_range(0..keys.len())]);
        }
        6 | 7 => {
            let typed: Vec<char> = KEYS.chars().collect();
            let c = typed[rng.random_range(0..typed.len())];
            b.msg(Msg::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE)));
        }
        8 => b.msg(Msg::Paste(pick(rng).repeat(rng.random_range(1..30)))),
        9 => {
            let (w, h) = (rng.random_range(1..=300), rng.random_range(1..=100));
            b.msg(Msg::Resize(w, h));
        }
        10 => b.msg(Msg::Focus(rng.random())),
        11 | 12 => {
            let texts = vec![pick(rng); rng.random_range(1..20)];
            b.say(n, rng.random_range(1..5), rng.random_range(1..300), &texts);
        }
        13 => b.talk(n, &[ALICE, n + 1], rng.random_range(0..400), rng.random_range(0..400)),
        14 => b.queue(n, number, pick(rng)),
        15 => b.commit(n, number, rng.random_range(1..500)),
        16 => b.mark(n, rng.random_range(1..5), rng.random_range(0..500), rng.random_range(0..500)),
        17 => b.cluster(rng.random_bool(0.7).then_some(2), number, rng.random_range(0..4)),
        18 => {
            let why = String::from(pick(rng));
            b.tell(ClientEvent::Connection(match rng.random_range(0..6) {
                5 => Connection::Away { home: why.clone(), via: why, retry_ms: 100 },
                0 => Connection::Discovering,
                1 => Connection::Connecting { to: why },
                2 => Connection::Failed(ClientError::State(why)),
                _ => Connection::Waiting { retry_ms: 1500, why },
            }));
        }
        19 => b.ready(2),
        20 => {
            let chat = b.model.open.unwrap_or(crate::ui::chat::model::ChatKey(9));
            let texts = vec![pick(rng); 30];
            let result = if rng.random() {
                Ok(vec![run(1, BOB, rng.random_range(1..300), &texts)])
            } else {
                Err(ClientError::Timeout)
            };
            b.msg(Msg::Page { chat, result });
        }
        _ => {
            b.after(rng.random_range(0..90_000));
            let name = pick(rng).to_owned();
            let found = FoundUser { user: user(number), name: name.clone(), conversation: None };
            b.msg(Msg::Found { name, text: String::new(), result: Ok(found) });
        }
    }
}

fn check(b: &Bench, seed: u64, at: usize) {
    let buf = b.draw();
    let (w, h) = b.model.size;
    for cell in buf.content() {
        let bad = |c: char| {
            c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        };
        assert!(!cell.symbol().contains(bad), "RUSTCHAT_SEED={seed} step {at}: {cell:?}");
    }
    if b.model.help.is_none()
        && let Some(layout) = crate::ui::chat::layout::Layout::of(&b.model)
    {
        let edges = [layout.sidebar.map(|a| a.right() - 1), layout.members.map(|a| a.x)];
        for x in edges.into_iter().flatten() {
            for y in 0..layout.rule.y {
                let symbol = buf[(x, y)].symbol();
                assert_eq!(symbol, "│", "RUSTCHAT_SEED={seed} step {at}: {x},{y} of {w}x{h}");
            }
        }
    }
}

#[test]
fn random_keys_events_and_sizes_never_panic_or_break_the_borders() {
    for seed in seeds(24) {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut b = Bench::new(80, 24, 30);
        for at in 0..150 {
            step(&mut b, &mut rng);
            if at % 5 == 0 {
                check(&b, seed, at);
            }
        }
    }
}

#[test]
fn every_size_can_be_drawn() {
    let mut b = Bench::new(80, 24, 40);
    b.keys("ctrl+n");
    for (seq, text) in (1..).zip(HOSTILE) {
        b.say(1, BOB, seq, &[text]);
        b.queue(1, seq, text);
    }
    b.keys("pgup a_draft alt+enter of_lines");
    let columns = (1..=120).chain((121..=300).step_by(17));
    for w in columns {
        for h in (1..=12).chain([24, 40, 100]) {
            b.model.size = (w, h);
            check(&b, 0, usize::from(w) * 1000 + usize::from(h));
        }
    }
    b.keys("f1");
    for (w, h) in [(40, 8), (41, 9), (300, 100)] {
        b.model.size = (w, h);
        check(&b, 0, 0);
    }
}

/// The way of hostile text through the real backend into a terminal: it shows, and does nothing.
#[test]
fn a_real_terminal_stays_what_it_was() {
    use ratatui::backend::CrosstermBackend;
    use ratatui::{TerminalOptions, Viewport};
    let mut b = Bench::new(100, 60, 0);
    b.keys("ctrl+n");
    for (seq, text) in (1..).zip(HOSTILE) {
        b.say(1, BOB, seq, &[text]);
    }
    b.tell(ClientEvent::Queued(Outgoing {
        number: 1,
        to: Target::User(user(3)),
        body: Body::text(HOSTILE[1]),
    }));
    b.msg(Msg::Paste(HOSTILE.concat()));
    let area = ratatui::layout::Rect::new(0, 0, 100, 60);
    let mut bytes = Vec::new();
    {
        let options = TerminalOptions { viewport: Viewport::Fixed(area) };
        let backend = CrosstermBackend::new(&mut bytes);
        let mut terminal = Terminal::with_options(backend, options).unwrap();
        terminal.draw(|frame| view::draw(&b.model, &b.theme, frame)).unwrap();
    }
    for command in ["\x1b]", "\x1bP", "\x1b_", "\x1b[2J", "\u{9b}", "\u{9d}", "\x07", "\x08"] {
        assert!(!String::from_utf8_lossy(&bytes).contains(command), "{command:?} came through");
    }
    let mut parser = vt100::Parser::new(60, 100, 0);
    parser.process(&bytes);
    let shown = parser.screen().contents();
    assert!(shown.contains("[2J") && shown.contains("gpj.exe"), "{shown}");
    let symbol = |x| parser.screen().cell(3, x).map(|cell| cell.contents().to_owned());
    assert_eq!(symbol(21).as_deref(), Some("│"), "{shown}");
    assert_eq!(symbol(84).as_deref(), Some("│"), "{shown}");
}
