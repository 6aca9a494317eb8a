//! The screens as people see them: real terminals, real servers.

use crate::harness::{Cluster, Person, Terminal, signal, wait_until};
use std::time::Duration;

/// A change shows within this time, also over an election.
const SOON: Duration = Duration::from_secs(20);

fn quit(mut terminal: Terminal) {
    terminal.keys("/quit\r");
    assert_eq!(terminal.ended(SOON), 0);
    assert!(!terminal.is_full_screen(), "{}", terminal.text());
}

/// The line with `text`, as the screen shows it.
fn line(terminal: &Terminal, text: &str) -> String {
    let screen = terminal.text();
    screen.lines().find(|line| line.contains(text)).unwrap_or_default().to_owned()
}

#[test]
fn two_people_see_a_message_rise_and_the_leader_change() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    bob.register();
    let mut at_alice = alice.screen();
    at_alice.wait_for(SOON, &format!("▸ n{} t", leader.seat));
    at_alice.keys("/msg bob hello \x1b[200~bob,\nsecond line\x1b[201~");
    at_alice.wait_for(SOON, "  second line");
    assert!(
        !at_alice.text().contains("alice  hello"),
        "a paste sends nothing: {}",
        at_alice.text()
    );
    at_alice.keys("\r");
    at_alice.wait_for(SOON, "✓  alice  hello bob,");
    let mut at_bob = bob.screen();
    at_bob.wait_for(SOON, "1 unread: Tab opens them");
    at_alice.wait_for(SOON, "✓✓ alice  hello bob,");
    at_bob.keys("\t");
    at_bob.wait_for(SOON, "alice  hello bob,");
    at_bob.wait_for(SOON, "second line");

    cluster.kill(leader.seat);
    at_alice.keys("nobody leads\r");
    at_bob.wait_for(SOON, "alice  nobody leads");
    at_alice.wait_for(SOON, "✓✓ alice  nobody leads");
    let new = cluster.leader();
    at_alice.wait_for(SOON, &format!("▸ n{} t{}", new.seat, new.term));
    let shown = at_alice.text();
    assert_eq!(shown.matches("nobody leads").count(), 1, "once: {shown}");
    quit(at_alice);
}

#[test]
fn hostile_text_shows_and_does_nothing() {
    let cluster = Cluster::start(1);
    cluster.leader();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    alice.register();
    bob.send("alice", &["\u{1b}[2J\u{1b}[1;1Hgone \u{9b}31m user\u{202e}gpj.exe\u{7}", "after"]);
    let mut screen = alice.screen();
    screen.wait_for(SOON, "2 unread");
    screen.keys("\t");
    screen.wait_for(SOON, "bob  after");
    let text = screen.text();
    assert!(text.contains("rustchat") && text.contains("[2J"), "{text}");
    assert!(line(&screen, "gpj.exe").starts_with("                     │"), "{text}");
    quit(screen);
}

#[test]
fn a_new_device_pages_back_through_five_thousand() {
    let cluster = Cluster::start(1);
    cluster.leader();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    alice.register();
    let sent: Vec<String> = (1..=5_000).map(|n| format!("message {n}.")).collect();
    bob.send("alice", &sent.iter().map(String::as_str).collect::<Vec<_>>());
    // Read on another device, so that nothing of it is pushed to the new one.
    let tail = alice.tail();
    tail.wait_for(5_000, Duration::from_secs(60));
    tail.end();
    let mut screen = alice.elsewhere("laptop").screen();
    screen.wait_for(SOON, "Nothing is unread");
    screen.keys("\x0e");
    screen.wait_for(SOON, "message 5000.");
    let number = |line: &str| line.split("message ").nth(1)?.split('.').next()?.parse().ok();
    let top = |screen: &Terminal| screen.text().lines().find_map(number).unwrap_or(5_000_u64);
    while top(&screen) > 1 {
        let before = top(&screen);
        screen.keys("\x1b[5~");
        let what = format!("what is before message {before}");
        wait_until(SOON, &what, || (top(&screen) != before).then_some(()));
    }
    // The first message may be the topmost line: what stands above it is one step further up.
    screen.keys("\x1b[5~");
    screen.wait_for(SOON, "this is where you and bob began");
    screen.keys("\x1b[F");
    screen.wait_for(SOON, "message 5000.");
    quit(screen);
}

#[test]
fn the_terminal_is_given_back_on_every_way_out() {
    let cluster = Cluster::start(1);
    cluster.leader();
    let alice = cluster.person("alice");
    for name in ["TERM", "HUP", "INT"] {
        let mut screen = alice.screen();
        screen.wait_for(SOON, "alice@n1");
        assert!(screen.is_full_screen());
        signal(screen.pid(), name);
        assert_eq!(screen.ended(SOON), 0, "{name}");
        assert!(!screen.is_full_screen(), "{name}: {}", screen.text());
    }
    let mut screen = alice.screen();
    screen.wait_for(SOON, "alice@n1");
    for (cols, rows) in [(1, 1), (40, 8), (39, 7), (300, 100), (2, 50), (80, 24)] {
        screen.resize(cols, rows);
        std::thread::park_timeout(Duration::from_millis(60));
    }
    screen.wait_for(SOON, "alice@n1");
    screen.keys("\x03\x03");
    assert_eq!(screen.ended(SOON), 0, "two Ctrl+C");
    assert!(!screen.is_full_screen());
}

#[test]
fn a_wrong_password_leaves_a_clean_terminal_and_a_reason() {
    let cluster = Cluster::start(1);
    cluster.leader();
    cluster.person("alice").register();
    let stranger: Person = cluster.person("alice").elsewhere("stranger").with_password("guess\n");
    let mut screen = stranger.known().screen();
    assert_eq!(screen.ended(SOON), 77);
    screen.wait_for(SOON, "wrong name or password");
    assert!(!screen.is_full_screen(), "{}", screen.text());
}
