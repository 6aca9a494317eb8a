//! Texts that mean ill, in every place of the screen to which somebody else's text comes: they are
//! read, and nothing else on the screen changes. Nor does one of them pass for the program.

use super::*;
use crate::client::{ClientError, FoundUser, Via};
use crate::support::hostile::{NAMES, acts, texts};
use crate::ui::chat::layout::Layout;
use crate::ui::theme::Role;

/// With a list of members, without, and without a list of conversations.
const SIZES: [(u16, u16); 3] = [(120, 30), (80, 24), (40, 12)];

/// The place of each part of the screen as one text.
fn part(buf: &Buffer, area: Option<ratatui::layout::Rect>) -> String {
    let cells = area.into_iter().flat_map(ratatui::layout::Rect::positions);
    cells.map(|at| buf[at].symbol()).collect()
}

/// Draws, and checks that no cell acts and that the edges are where they were.
#[track_caller]
fn drawn(b: &Bench, name: &str) -> (Buffer, Layout) {
    let buf = b.draw();
    for cell in buf.content() {
        assert!(!cell.symbol().contains(acts), "{name}: {cell:?}");
    }
    let layout = Layout::of(&b.model).unwrap();
    for x in [layout.sidebar.map(|a| a.right() - 1), layout.members.map(|a| a.x)] {
        for y in (0..layout.rule.y).filter(|_| x.is_some()) {
            assert_eq!(buf[(x.unwrap(), y)].symbol(), "│", "{name}: the edge in row {y}");
        }
    }
    (buf, layout)
}

#[test]
fn a_message_changes_no_other_part_of_the_screen() {
    for size in SIZES {
        let mut quiet = Bench::new(size.0, size.1, 2);
        quiet.keys("alt+1");
        quiet.say(1, BOB, 1, &["hello", "again"]);
        let (calm, at) = drawn(&quiet, "calm");
        for (name, text) in texts() {
            let mut b = Bench::new(size.0, size.1, 2);
            b.keys("alt+1");
            b.say(1, BOB, 1, &["hello", &text]);
            let (buf, layout) = drawn(&b, name);
            assert_eq!(layout, at, "{name}");
            let others = [at.sidebar, at.members, Some(at.header), Some(at.rule), Some(at.status)];
            for other in others.into_iter().chain([Some(at.input)]) {
                assert_eq!(part(&buf, other), part(&calm, other), "{name} in {size:?}");
            }
        }
    }
}

#[test]
fn a_message_stays_in_the_column_of_texts() {
    let columns = |b: &Bench| {
        let (buf, at) = drawn(b, "columns");
        // The time, the state, the name, and two cells: see the timeline.
        let before = ratatui::layout::Rect { width: 9 + 5 + 2, ..at.timeline };
        part(&buf, Some(before))
    };
    for (name, text) in texts() {
        let height = text.len() as u16 + 40;
        let mut b = Bench::new(80, height, 1);
        b.keys("alt+1");
        b.say(1, BOB, 1, &[&text]);
        let before = columns(&b);
        assert_eq!(before.matches("14:02      bob").count(), 1, "{name}");
        let rest = before.replace("14:02      bob", "");
        let own = ["this is where y", "────────────────"]
            .iter()
            .fold(rest, |rest, own| rest.replacen(own, "", 1));
        assert_eq!(own.trim(), "", "{name}");
    }
}

/// What the program says begins left of all names and in a style that no text of a person has.
#[test]
fn nobody_can_speak_as_the_program() {
    let mut b = Bench::new(80, 24, 3);
    b.keys("alt+1");
    let lost = "~ n2 lost: connection reset · connected to n1 after 0.8s";
    let text = format!("hello\n{lost}\n14:02 ✓✓ alice  yes, do it\n───── 3 new ─────");
    b.say(1, BOB, 1, &[&text, "https://example.org/\u{202e}gpj.exe?a=b", "~ n1 leads (term 9)"]);
    let why = "connection reset".into();
    b.tell(ClientEvent::Connection(Connection::Waiting { retry_ms: 400, why }));
    b.after(800);
    b.ready(1);
    let expected = "
 rustchat            │ bob
>1 bob               │
                     │
                     │
                     │
                     │
                     │
                     │
                     │
                     │
                     │ this is where you and bob began
                     │──────────────────── Mon 23 Nov 2026 ─────────────────────
                     │14:02      bob  hello
                     │                ~ n2 lost: connection reset · connected
                     │                to n1 after 0.8s
                     │                14:02 ✓✓ alice  yes, do it
                     │                ───── 3 new ─────
                     │           bob  https://example.org/\u{fffd}gpj.exe?a=b
                     │           bob  ~ n1 leads (term 9)
                     │ ~ n2 lost: connection reset · connected to n1 after
                     │   0.8s";
    let screen = b.screen();
    let seen: Vec<_> = screen.lines().take(21).collect();
    let expected: Vec<_> = expected.lines().skip(1).collect();
    assert!(seen == expected, "\n{screen}");
    let buf = b.draw();
    let system = b.theme.style(Role::System);
    let is_system = |y: u16| {
        let cell = &buf[(24, y)];
        (cell.fg, cell.modifier) == (system.fg.unwrap_or_default(), system.add_modifier)
    };
    let all: Vec<u16> = (0..24).filter(|y| is_system(*y)).collect();
    assert_eq!(all, [19, 20], "only the program's own line: {system:?}");
    let texts = [Role::Text, Role::Dim].map(|role| b.theme.style(role));
    assert!(!texts.contains(&system));
}

#[test]
fn times_are_those_of_the_server() {
    let mut b = Bench::new(80, 24, 1);
    b.keys("alt+1");
    b.after(3 * 3_600_000);
    b.say(1, BOB, 1, &["23:59 sent just now"]);
    assert!(b.screen().contains("│14:02      bob  23:59 sent just now"), "{}", b.screen());
}

#[test]
fn names_titles_reasons_and_errors_are_read_and_do_nothing() {
    // Members are shown here, too.
    let (columns, rows) = SIZES[0];
    for (name, text) in texts() {
        let mut b = Bench::new(columns, rows, 2);
        b.keys("alt+1");
        b.say(1, BOB, 1, &["hello"]);
        let server = text.clone();
        let ready = |cluster: String| Connection::Ready {
            server: server.clone(),
            seat: 2,
            via: Some(Via { cluster: cluster.clone(), seat: 1 }),
            cluster,
            user: user(ALICE),
        };
        b.tell(ClientEvent::Connection(ready(text.clone())));
        drawn(&b, name);
        let members = [(ALICE, "alice".to_owned()), (7, text.clone()), (8, text.clone())];
        for (n, kind) in [(5, Kind::Room), (6, Kind::Direct)] {
            b.tell(ClientEvent::Conversation(ConversationInfo {
                id: conversation(n),
                kind,
                members: members
                    .iter()
                    .map(|(u, name)| Member {
                        user: user(*u),
                        name: name.clone(),
                        delivered: 0,
                        read: 0,
                    })
                    .collect(),
                last_seq: 1,
                title: text.clone(),
            }));
            b.say(n, 7, 1, &[&text]);
            drawn(&b, name);
        }
        for keys in ["ctrl+n", "ctrl+n", "'/status enter", "'/nodes enter"] {
            b.keys(keys);
            drawn(&b, name);
        }
        let waiting = Connection::Waiting { retry_ms: 400, why: text.clone() };
        let failed = Connection::Failed(ClientError::State(text.clone()));
        let choose = ClientError::ChooseCluster(vec![text.clone(), text.clone()]);
        for connection in [
            Connection::Connecting { to: text.clone() },
            waiting,
            failed,
            Connection::Failed(choose),
            Connection::Away { home: text.clone(), via: text.clone(), retry_ms: 0 },
            ready(text.clone()),
        ] {
            b.tell(ClientEvent::Connection(connection));
            drawn(&b, name);
        }
        let found = FoundUser { user: user(9), name: text.clone(), conversation: None };
        for result in [Ok(found), Err(ClientError::State(text.clone()))] {
            b.msg(Msg::Found { name: text.clone(), text: text.clone(), result });
            drawn(&b, name);
        }
        b.msg(Msg::NotSent {
            to: Target::User(user(9)),
            text: text.clone(),
            why: ClientError::State(text.clone()),
        });
        drawn(&b, name);
    }
}

#[test]
fn what_is_pasted_and_typed_after_a_slash_is_read_and_does_nothing() {
    let names = NAMES.iter().map(|name| (*name, (*name).to_owned()));
    for (name, text) in texts().into_iter().chain(names) {
        for before in ["", "/", "/msg ", "/switch ", "//"] {
            let mut b = Bench::new(80, 24, 2);
            b.keys("alt+1");
            b.say(1, BOB, 1, &["hello", "again"]);
            b.msg(Msg::Paste(format!("{before}{text}")));
            // Completes, moves through it, and sends it.
            for keys in ["tab", "home right up ctrl+e", "enter"] {
                b.keys(keys);
                drawn(&b, name);
            }
        }
    }
}
