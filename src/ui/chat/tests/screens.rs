//! Whole screens, compared with what they shall be.

use super::*;
use crate::client::Via;
use crate::ui::theme::Role;

/// A working day: three conversations, a fail-over, one message that waits.
fn busy(columns: u16, rows: u16) -> Bench {
    let mut b = Bench::cold(columns, rows);
    b.ready(2);
    b.cluster(Some(3), 7, 3);
    b.talk(1, &[ALICE, BOB], 4, 4);
    b.talk(2, &[ALICE, 3], 3, 0);
    b.talk(3, &[ALICE, 4], 0, 0);
    b.say(2, 3, 1, &["hello?", "the error rate is up", "again"]);
    let link = "https://wiki.example/runbook/with/a/long/path/that/does/not/fit";
    b.say(1, BOB, 1, &["deploy of 1.4 is out", link]);
    b.say(1, ALICE, 3, &["thanks, watching it", "日本語 👩‍💻 ok"]);
    b.keys("alt+3 draft alt+1");
    b.queue(1, 1, "rolling back");
    b.commit(1, 1, 5);
    b.mark(1, BOB, 4, 3);
    let why = "connection reset".into();
    b.tell(ClientEvent::Connection(Connection::Waiting { retry_ms: 400, why }));
    b.after(800);
    b.ready(1);
    b.cluster(Some(1), 8, 2);
    b.queue(1, 2, "is it back?");
    b
}

fn expect(b: &Bench, expected: &str) {
    let screen = b.screen();
    let expected = expected.trim_start_matches('\n');
    assert!(screen == expected, "\n{screen}\n--- expected:\n{expected}");
}

#[test]
fn eighty_by_twenty_four() {
    let mut b = busy(80, 24);
    b.keys("two alt+enter lines");
    expect(
        &b,
        "
 rustchat            │ bob
>1 bob             . │
 2 carol           3 │
 3 dave            ✎ │
                     │
                     │
                     │
                     │
                     │
                     │ this is where you and bob began
                     │──────────────────── Mon 23 Nov 2026 ─────────────────────
                     │14:02      bob  deploy of 1.4 is out
                     │           bob  https://wiki.example/runbook/with/a/long/
                     │                path/that/does/not/fit
                     │      ✓✓ alice  thanks, watching it
                     │      ✓✓ alice  日本語 👩‍💻 ok
                     │      ✓  alice  rolling back
                     │ ~ n2 lost: connection reset · connected to n1 after
                     │   0.8s · n1 leads (term 8)
                     │14:02 .  alice  is it back?
─────────────────────┴──────────────────────────────────────────────────────────
 alice@n1 ▸ n1 t8 │ unread 3 │ 1 queued │ west                          F1 help
> two
  lines",
    );
}

#[test]
fn the_members_stand_on_the_right_of_a_wide_screen() {
    expect(
        &busy(120, 14),
        "
 rustchat            │ bob                                                                              │ MEMBERS
>1 bob             . │                                                                                  │ alice
 2 carol           3 │ this is where you and bob began                                                  │ bob
 3 dave            ✎ │──────────────────────────────── Mon 23 Nov 2026 ─────────────────────────────────│
                     │14:02      bob  deploy of 1.4 is out                                              │
                     │           bob  https://wiki.example/runbook/with/a/long/path/that/does/not/fit   │
                     │      ✓✓ alice  thanks, watching it                                               │
                     │      ✓✓ alice  日本語 👩‍💻 ok                                                      │
                     │      ✓  alice  rolling back                                                      │
                     │ ~ n2 lost: connection reset · connected to n1 after 0.8s · n1 leads (term 8)     │
                     │14:02 .  alice  is it back?                                                       │
─────────────────────┴──────────────────────────────────────────────────────────────────────────────────┴───────────────
 alice@n1 ▸ n1 t8 │ unread 3 │ 1 queued │ west                                                                  F1 help
>",
    );
}

#[test]
fn a_narrow_screen_has_the_timeline_and_the_unread_count() {
    let mut b = Bench::new(40, 8, 0);
    b.talk(2, &[ALICE, 3], 2, 0);
    b.keys("alt+1");
    b.say(1, BOB, 1, &["a text that is longer than the line"]);
    expect(
        &b,
        "
 bob
 this is where you and bob began
─────────── Mon 23 Nov 2026 ────────────
14:02      bob  a text that is longer
                than the line
────────────────────────────────────────
 alice@n2 ▸ n1 t8 │ unread 2 │ west
>",
    );
}

#[test]
fn too_small_says_so() {
    expect(&Bench::new(39, 8, 0), "too small\n40×8 is needed\n\n\n\n\n\n");
    expect(&Bench::new(5, 1, 0), "too s");
}

#[test]
fn the_first_screen_tells_what_can_be_done() {
    let screen = Bench::cold(60, 12).screen();
    for text in [
        "Welcome, alice. Looking for a server",
        "/msg NAME TEXT",
        "F1 or /help",
        "alice ▸ discovering",
    ] {
        assert!(screen.contains(text), "{screen}");
    }
    let mut b = Bench::cold(60, 12);
    b.ready(2);
    assert!(b.screen().contains("Welcome, alice. Nobody wrote yet."), "{}", b.screen());
    b.talk(1, &[ALICE, BOB], 0, 0);
    b.say(1, BOB, 1, &["a", "b"]);
    assert!(b.screen().contains("2 unread: Tab opens them"), "{}", b.screen());
}

/// What the last row but one says, and in which role.
fn status(b: &Bench) -> (String, Role) {
    let (text, role) = crate::ui::chat::status::connection(&b.model);
    let row = b.screen().lines().nth(usize::from(b.model.size.1) - 2).unwrap_or("").to_owned();
    assert!(row.starts_with(&format!(" {}", text.chars().take(20).collect::<String>())), "{row}");
    (row, role)
}

#[test]
fn the_status_line_tells_how_the_connection_stands() {
    let mut b = Bench::cold(100, 10);
    assert_eq!(status(&b), (format!(" alice ▸ discovering{:>79}", "F1 help"), Role::Warning));
    b.tell(ClientEvent::Connection(Connection::Connecting { to: "127.0.0.1:7101".into() }));
    assert!(status(&b).0.starts_with(" alice ▸ connecting to 127.0.0.1:7101 "));
    b.ready(2);
    b.cluster(Some(1), 8, 3);
    assert!(status(&b).0.starts_with(" alice@n2 ▸ n1 t8 │ west "), "{}", status(&b).0);
    assert_eq!(status(&b).1, Role::Good);
    b.cluster(None, 9, 2);
    assert!(status(&b).0.starts_with(" alice@n2 ▸ no leader t9 "));
    b.talk(1, &[ALICE, BOB], 0, 0);
    b.queue(1, 1, "a");
    b.queue(1, 2, "b");
    b.cluster(None, 9, 1);
    let (row, role) = status(&b);
    let kept = " alice@n2 ▸ no quorum 1 of 3: your messages are kept here (2) │ 2 queued │ west ";
    assert!(row.starts_with(kept), "{row}");
    assert_eq!(role, Role::Error);
    let why = "connection reset".to_owned();
    b.tell(ClientEvent::Connection(Connection::Waiting { retry_ms: 1_400, why }));
    assert!(status(&b).0.starts_with(" alice ▸ reconnecting in 1.4s: connection reset "));
    b.after(1_050);
    assert!(status(&b).0.starts_with(" alice ▸ reconnecting in 0.3s: connection reset "));
    b.after(1_000);
    assert!(status(&b).0.starts_with(" alice ▸ reconnecting: connection reset "));
}

#[test]
fn a_server_without_a_quorum_is_not_just_connecting() {
    let mut b = Bench::new(100, 10, 0);
    b.queue(1, 1, "a");
    b.tell(ClientEvent::Connection(Connection::Waiting { retry_ms: 0, why: "lost".into() }));
    b.cluster(None, 9, 1);
    b.tell(ClientEvent::Connection(Connection::Connecting { to: "127.0.0.1:7101".into() }));
    let row = status(&b).0;
    let kept = " alice ▸ no quorum 1 of 3: your messages are kept here (1) │ 1 queued ";
    assert!(row.starts_with(kept), "{row}");
}

#[test]
fn the_plain_screen_is_ascii_alone() {
    let mut b = busy(120, 30);
    b.theme = Theme::choose(Some("plain"), |_| None).unwrap();
    b.say(1, BOB, 6, &["日本語 stays"]);
    b.keys("pgup alt+3 alt+1 shift+up");
    for keys in ["f1", "esc"] {
        b.keys(keys);
        let screen = b.screen().replace("日本語 👩‍💻", "").replace("日本語", "");
        assert_eq!(screen.chars().find(|c| !c.is_ascii()), None, "{screen}");
    }
    assert!(b.screen().contains("r  alice  thanks, watching it"), "{}", b.screen());
    assert!(b.screen().contains(" 3 dave            e |"), "{}", b.screen());
}

#[test]
fn a_narrow_status_line_keeps_connection_and_unread() {
    let mut b = Bench::new(60, 10, 0);
    b.talk(2, &[ALICE, 3], 7, 0);
    b.queue(1, 1, "a");
    assert!(status(&b).0.contains("│ unread 7 │ 1 queued │ west"), "{}", status(&b).0);
    b.cluster(None, 9, 1);
    let row = status(&b).0;
    assert_eq!(row, " alice@n2 ▸ no quorum 1 of 3: your m… │ unread 7 │ 1 queued");
    b.model.size = (46, 10);
    let row = status(&b).0;
    assert_eq!(row, " alice@n2 ▸ no quorum 1 of 3: you… │ unread 7");
    let why = "127.0.0.1:7101: Connection refused (os error 111)".to_owned();
    b.tell(ClientEvent::Connection(Connection::Waiting { retry_ms: 0, why }));
    b.model.size = (80, 10);
    let row = status(&b).0;
    let text = " alice ▸ reconnecting: 127.0.0.1:7101: Connection refused │ unread 7 │ 1 queued";
    assert_eq!(row.trim_end_matches("F1 help").trim_end(), text);
}

#[test]
fn a_long_list_keeps_the_open_one_in_view_and_counts_the_hidden() {
    let mut b = Bench::cold(80, 10);
    b.ready(2);
    for n in 2..30 {
        b.tell(ClientEvent::Conversation(ConversationInfo {
            id: conversation(n),
            kind: Kind::Direct,
            members: [(ALICE, "alice".to_owned()), (n, format!("user{n:02}"))]
                .map(|(u, name)| Member { user: user(u), name, delivered: 0, read: 0 })
                .into(),
            last_seq: n % 2,
            title: String::new(),
        }));
    }
    for _ in 0..20 {
        b.keys("ctrl+n");
    }
    let screen = b.screen();
    assert!(screen.contains(">  user21"), "{screen}");
    assert!(screen.contains("  23 more          11│"), "{screen}");
}

/// Alice of east, a guest of west.
fn guest(columns: u16, rows: u16) -> Bench {
    let mut b = Bench::cold(columns, rows);
    b.tell(ClientEvent::Connection(Connection::Ready {
        server: "127.0.0.1:7102".into(),
        seat: 1,
        cluster: "east".into(),
        user: user(ALICE),
        via: Some(Via { cluster: "west".into(), seat: 2 }),
    }));
    b.talk(1, &[ALICE, BOB], 3, 3);
    b.say(1, BOB, 3, &["what was said before"]);
    b.keys("alt+1");
    b
}

fn away(b: &mut Bench) {
    let (home, via) = ("east".into(), "west".into());
    b.tell(ClientEvent::Connection(Connection::Away { home, via, retry_ms: 300 }));
}

#[test]
fn a_guest_sees_by_way_of_whom_they_are_at_home() {
    for (columns, rows) in [(80, 24), (120, 40)] {
        let mut b = guest(columns, rows);
        b.cluster(Some(1), 8, 3);
        let (row, role) = status(&b);
        assert!(row.starts_with(" alice@east via west n2 ▸ n1 t8 │ east "), "{row}");
        assert_eq!(role, Role::Good);
        b.keys("'/status enter");
        let said = "connected to n1 of east via west n2 at";
        assert!(b.screen().contains(said), "{}", b.screen());
    }
}

#[test]
fn a_guest_whose_home_is_away_sees_what_works_and_what_does_not() {
    for (columns, rows) in [(80, 24), (120, 40)] {
        let mut b = guest(columns, rows);
        away(&mut b);
        let kept = "east cannot be reached through west; what you write is kept here";
        assert!(status(&b).0.starts_with(&format!(" {kept} ")), "{}", status(&b).0);
        let told = |b: &Bench| {
            let notices = &b.model.current().unwrap().notices;
            let parts = notices.iter().flat_map(|notice| &notice.parts);
            parts.filter(|part| part.contains("what is here can be read")).count()
        };
        assert_eq!(told(&b), 1);
        assert!(b.screen().contains("what was said before"), "{}", b.screen());
        b.queue(1, 1, "a");
        let one = "east cannot be reached through west: 1 queued; it is sent when it answers";
        assert!(status(&b).0.contains(one), "{}", status(&b).0);
        b.queue(1, 2, "b");
        b.queue(1, 3, "c");
        // It goes on trying: that says nothing new.
        b.tell(ClientEvent::Connection(Connection::Discovering));
        b.tell(ClientEvent::Connection(Connection::Connecting { to: "127.0.0.1:7102".into() }));
        away(&mut b);
        let all = "east cannot be reached through west: 3 queued; they are sent when it answers";
        let (row, role) = status(&b);
        assert!(row.contains(all), "{row}");
        assert_eq!(role, Role::Warning);
        assert_eq!(told(&b), 1, "{}", b.screen());
        b.ready(1);
        assert!(status(&b).0.starts_with(" alice@n1"), "{}", status(&b).0);
    }
}
