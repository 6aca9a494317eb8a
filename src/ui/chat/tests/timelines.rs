//! The timeline: states, unread, scrolling, pages, fail-overs.

use super::*;
use crate::ui::chat::model::{Scroll, State};
use crate::ui::theme::Role;

fn history(b: &Bench) -> Vec<(u64, u64, bool)> {
    let pages = b.effects.iter().filter_map(|effect| match effect {
        Effect::History { from, to, current, .. } => Some((*from, *to, *current)),
        _ => None,
    });
    pages.collect()
}

fn marks(b: &Bench) -> Vec<u64> {
    let marks = b.effects.iter().filter_map(|effect| match effect {
        Effect::Mark { read, .. } => Some(*read),
        _ => None,
    });
    marks.collect()
}

/// Answers every question for history until none is left.
fn serve(b: &mut Bench, asked: &mut Vec<(u64, u64)>) {
    loop {
        let pages = history(b);
        b.effects.clear();
        if pages.is_empty() {
            return;
        }
        for (from, to, _) in pages {
            asked.push((from, to));
            let texts: Vec<String> = (from..=to).map(|n| format!("message {n}")).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let chat = b.model.open.unwrap();
            b.msg(Msg::Page { chat, result: Ok(vec![run(1, BOB, from, &texts)]) });
        }
    }
}

#[test]
fn an_own_message_climbs_from_queued_to_read() {
    let mut b = Bench::new(80, 24, 0);
    b.keys("ctrl+n");
    b.queue(1, 1, "ladder");
    for (step, (text, role)) in [
        (".  alice  ladder", Role::Queued),
        ("✓  alice  ladder", Role::Committed),
        ("✓✓ alice  ladder", Role::Delivered),
        ("✓✓ alice  ladder", Role::Read),
    ]
    .into_iter()
    .enumerate()
    {
        match step {
            0 => {}
            1 => b.commit(1, 1, 1),
            2 => b.mark(1, BOB, 1, 0),
            _ => b.mark(1, BOB, 1, 1),
        }
        let buf = b.draw();
        let all = rows(&buf);
        let y = all.iter().position(|row| row.contains(text));
        let y = y.unwrap_or_else(|| panic!("{text}:\n{}", all.join("\n")));
        let style = b.theme.style(role);
        let cell = &buf[(28, u16::try_from(y).unwrap())];
        assert_eq!(Some(cell.fg), style.fg, "{text} {role:?}");
        assert_eq!(cell.modifier, style.add_modifier, "{text} {role:?}");
    }
}

#[test]
fn without_colour_letters_tell_the_states() {
    let mut b = Bench::new(80, 24, 0);
    b.theme = Theme::choose(Some("mono"), |_| None).unwrap();
    b.keys("ctrl+n");
    b.queue(1, 1, "one");
    b.queue(1, 2, "two");
    b.commit(1, 1, 1);
    let has = |b: &Bench, text: &str| assert!(b.screen().contains(text), "{}", b.screen());
    has(&b, "c  alice  one");
    has(&b, ".  alice  two");
    b.mark(1, BOB, 1, 0);
    has(&b, "d  alice  one");
    b.mark(1, BOB, 1, 1);
    has(&b, "r  alice  one");
}

#[test]
fn committed_never_shows_before_the_cluster_says_so() {
    let mut b = Bench::new(80, 24, 0);
    b.keys("ctrl+n");
    b.queue(1, 1, "a");
    b.mark(1, BOB, 9, 9);
    b.tell(ClientEvent::Connection(Connection::Discovering));
    b.ready(3);
    assert!(b.screen().contains(".  alice  a"), "{}", b.screen());
    assert_eq!(b.model.waiting(), (1, 0));
}

#[test]
fn the_first_message_makes_the_conversation() {
    let mut b = Bench::cold(80, 24);
    b.ready(2);
    let found =
        crate::client::FoundUser { user: user(BOB), name: "bob".into(), conversation: None };
    b.msg(Msg::Found { name: "bob".into(), text: "hi".into(), result: Ok(found) });
    let to = Target::User(user(BOB));
    b.tell(ClientEvent::Queued(Outgoing { number: 1, to, body: Body::text("hi") }));
    b.commit(7, 1, 1);
    b.say(7, ALICE, 1, &["hi"]);
    b.talk(7, &[ALICE, BOB], 1, 0);
    assert_eq!(b.model.chats.len(), 1);
    assert_eq!(b.model.unread(), 0, "an own message is not unread");
    assert_eq!(b.screen().matches("alice  hi").count(), 1, "{}", b.screen());
    assert_eq!(b.model.current().unwrap().target(), Some(Target::Conversation(conversation(7))));
}

#[test]
fn unread_counts_others_above_the_own_mark() {
    let mut b = Bench::cold(80, 24);
    b.ready(2);
    b.talk(1, &[ALICE, BOB], 10, 4);
    assert_eq!(b.model.unread(), 6);
    b.say(1, BOB, 5, &["a", "b"]);
    b.say(1, ALICE, 7, &["mine"]);
    assert_eq!(b.model.unread(), 5);
    b.say(1, ALICE, 7, &["mine"]);
    assert_eq!(b.model.unread(), 5, "a repeat changes nothing");
    b.mark(1, ALICE, 6, 6);
    assert_eq!(b.model.unread(), 3, "read on another device");
    b.mark(1, ALICE, 6, 5);
    assert_eq!(b.model.unread(), 3, "marks only move forward");
    b.mark(1, ALICE, 10, 10);
    assert_eq!(b.model.unread(), 0);
}

#[test]
fn read_is_told_only_when_somebody_sees_the_end() {
    let mut b = Bench::new(80, 24, 0);
    b.say(1, BOB, 1, &["one"]);
    assert_eq!(marks(&b), [0u64; 0], "not open");
    b.keys("ctrl+n");
    assert_eq!(marks(&b), [1]);
    b.msg(Msg::Focus(false));
    b.say(1, BOB, 2, &["two"]);
    assert_eq!(marks(&b), [1], "not focused");
    assert!(b.screen().contains("── 1 new ──"), "{}", b.screen());
    b.msg(Msg::Focus(true));
    assert_eq!(marks(&b), [1, 2]);
    b.keys("f1");
    b.say(1, BOB, 3, &["three"]);
    assert_eq!(marks(&b), [1, 2], "behind the help");
    b.keys("esc");
    assert_eq!(marks(&b), [1, 2, 3]);
    let texts = vec!["word"; 40];
    b.say(1, BOB, 4, &texts);
    assert_eq!(marks(&b), [1, 2, 3, 43]);
    b.keys("pgup");
    b.say(1, BOB, 44, &["below"]);
    assert_eq!(marks(&b).len(), 4, "scrolled up");
    b.msg(Msg::Resize(39, 24));
    b.keys("ctrl+end");
    assert_eq!(marks(&b).len(), 4, "too small to see anything");
    b.msg(Msg::Resize(80, 24));
    assert_eq!(marks(&b).last(), Some(&44));
}

#[test]
fn where_the_terminal_never_tells_a_recent_key_counts() {
    let mut b = Bench::new(80, 24, 0);
    b.keys("ctrl+n");
    b.after(59_000);
    b.say(1, BOB, 1, &["one"]);
    assert_eq!(marks(&b), [1]);
    b.after(2_000);
    b.say(1, BOB, 2, &["two"]);
    assert_eq!(marks(&b), [1], "nobody is there");
    b.keys("x");
    assert_eq!(marks(&b), [1, 2]);
}

#[test]
fn many_unread_open_at_the_first_of_them() {
    let mut b = Bench::new(80, 24, 0);
    let texts: Vec<String> = (1..=60).map(|n| format!("message {n}.")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    b.say(1, BOB, 1, &texts);
    b.keys("tab");
    let screen = b.screen();
    assert!(screen.contains("── 60 new ──") && screen.contains("message 1."), "{screen}");
    assert_eq!(b.model.unread(), 60, "nothing counts as read yet");
    assert!(screen.contains("↓ 42 new"), "{screen}");
    for _ in 0..4 {
        b.keys("pgdn");
    }
    assert_eq!((b.model.unread(), marks(&b)), (0, vec![60]));
    b.keys("f6");
    assert!(b.screen().contains("── 60 new ──"), "{}", b.screen());
}

#[test]
fn a_client_with_nothing_pages_back_through_five_thousand() {
    let mut b = Bench::new(80, 24, 5_000);
    let mut asked = Vec::new();
    b.keys("ctrl+n");
    assert_eq!(history(&b), [(4_901, 5_000, true)], "the newest page is a quorum read");
    serve(&mut b, &mut asked);
    for _ in 0..400 {
        let before = b.screen();
        b.keys("pgup");
        serve(&mut b, &mut asked);
        if before.contains("message 1\n") {
            break;
        }
    }
    assert!(b.screen().contains("this is where you and bob began"), "{}", b.screen());
    assert_eq!(b.model.current().unwrap().messages.len(), 5_000);
    assert!(asked.iter().all(|(from, to)| to - from < 100), "pages of at most a hundred");
    assert_eq!(asked.len(), 50, "each page once");
    assert_eq!(b.model.unread(), 0);
}

#[test]
fn going_to_the_first_message_loads_from_there_and_not_everything() {
    let mut b = Bench::new(80, 24, 1_000_000);
    let mut asked = Vec::new();
    b.keys("ctrl+n");
    serve(&mut b, &mut asked);
    asked.clear();
    b.keys("ctrl+home");
    serve(&mut b, &mut asked);
    assert_eq!(asked, [(1, 100)]);
    let screen = b.screen();
    assert!(screen.contains("this is where you and bob began"), "{screen}");
    assert!(screen.contains("message 15"), "{screen}");
    for _ in 0..10 {
        b.keys("pgdn");
        serve(&mut b, &mut asked);
    }
    assert!(asked.contains(&(101, 200)) && asked.contains(&(201, 300)), "{asked:?}");
    assert!(b.model.current().unwrap().messages.len() < 1_000);
    b.keys("ctrl+end");
    assert!(b.screen().contains("message 1000000"), "{}", b.screen());
}

#[test]
fn a_page_that_fails_is_asked_for_again_later() {
    let mut b = Bench::new(80, 24, 300);
    b.keys("ctrl+n");
    let chat = b.model.open.unwrap();
    let fail = |b: &mut Bench| {
        b.effects.clear();
        b.msg(Msg::Page { chat, result: Err(crate::client::ClientError::Timeout) });
    };
    fail(&mut b);
    assert_eq!(history(&b), [], "not at once");
    b.after(1_000);
    assert_eq!(history(&b), [(201, 300, false)], "without a quorum the server alone will do");
    fail(&mut b);
    b.tell(ClientEvent::Connection(Connection::Discovering));
    b.after(5_000);
    assert_eq!(history(&b), [], "not while there is no server");
    assert!(b.screen().contains("300 messages are not here"), "{}", b.screen());
    b.ready(3);
    assert_eq!(history(&b), [(201, 300, true)]);
}

#[test]
fn the_view_stays_put_when_messages_come_and_pages_load() {
    let mut b = Bench::new(80, 24, 400);
    let mut asked = Vec::new();
    b.keys("ctrl+n");
    serve(&mut b, &mut asked);
    b.keys("pgup pgup pgup");
    let right = |row: &String| row.chars().skip(22).collect::<String>();
    let timeline = |b: &Bench| rows(&b.draw())[1..20].iter().map(right).collect::<Vec<_>>();
    let before = timeline(&b);
    for n in 0..50 {
        b.say(1, BOB, 401 + n, &["new\nand long"]);
        assert_eq!(timeline(&b), before, "after {n}");
    }
    assert!(b.screen().contains("↓ 50 new"), "{}", b.screen());
    serve(&mut b, &mut asked);
    assert_eq!(timeline(&b), before, "after older pages came");
    b.keys("end");
    assert_eq!(b.model.current().unwrap().scroll, Scroll::Bottom);
    assert!(!b.screen().contains('↓'), "{}", b.screen());
    b.say(1, BOB, 451, &["followed"]);
    assert!(b.screen().contains("followed"), "{}", b.screen());
}

#[test]
fn scrolling_up_and_down_comes_back_to_the_same_rows() {
    let mut b = Bench::new(80, 24, 0);
    let texts: Vec<String> = (1..=80).map(|n| format!("{n}\n").repeat(1 + n % 4)).collect();
    let texts: Vec<&str> = texts.iter().map(|t| t.trim_end()).collect();
    b.keys("ctrl+n");
    b.say(1, BOB, 1, &texts);
    b.keys("pgup pgup");
    let before = b.screen();
    b.keys("shift+up shift+up shift+up pgup pgdn shift+down shift+down shift+down");
    assert_eq!(b.screen(), before);
    b.keys("ctrl+home");
    assert!(b.screen().contains("this is where you and bob began"), "{}", b.screen());
    b.keys("pgup shift+up");
    assert!(b.screen().contains("this is where you and bob began"), "{}", b.screen());
    for _ in 0..20 {
        b.keys("pgdn");
    }
    assert_eq!(b.model.current().unwrap().scroll, Scroll::Bottom);
}

#[test]
fn a_fail_over_is_one_line_and_nothing_a_person_said() {
    let mut b = Bench::new(130, 24, 0);
    b.keys("ctrl+n");
    b.say(1, BOB, 1, &["before"]);
    let why = "connection reset".into();
    b.tell(ClientEvent::Connection(Connection::Waiting { retry_ms: 400, why }));
    b.after(1_300);
    b.tell(ClientEvent::Connection(Connection::Discovering));
    b.ready(3);
    b.cluster(None, 8, 2);
    b.after(200);
    b.cluster(Some(3), 8, 2);
    let text = "~ n2 lost: connection reset · connected to n3 after 1.3s · n1 no longer leads";
    let buf = b.draw();
    let all = rows(&buf);
    let y = all.iter().position(|row| row.contains(text));
    let y = y.unwrap_or_else(|| panic!("{}", all.join("\n")));
    assert!(
        all[y].ends_with("│") && all[y + 1].contains("(term 8) after 0.2s"),
        "{}",
        all.join("\n")
    );
    let style = b.theme.style(Role::System);
    let cell = &buf[(23, u16::try_from(y).unwrap())];
    assert_eq!((cell.symbol(), Some(cell.fg), cell.modifier), ("~", style.fg, style.add_modifier));
    b.say(1, BOB, 2, &["after"]);
    b.cluster(Some(1), 9, 3);
    assert_eq!(b.screen().matches('~').count(), 2, "a new story after a message");
}

#[test]
fn the_end_of_a_lost_quorum_is_told() {
    let mut b = Bench::new(100, 24, 0);
    b.keys("ctrl+n");
    b.cluster(Some(1), 8, 1);
    b.after(12_300);
    b.cluster(Some(1), 8, 2);
    let parts = &b.model.current().unwrap().notices[0].parts;
    assert_eq!(parts[0], "no quorum: 1 of 3 servers; messages are kept here");
    assert_eq!(parts[1], "2 of 3 servers are up again after 12.3s");
}

#[test]
fn a_flapping_cluster_does_not_fill_the_screen() {
    let mut b = Bench::new(80, 24, 0);
    b.keys("ctrl+n");
    for term in 9..60 {
        b.cluster(None, term, 3);
        b.cluster(Some(u32::try_from(term % 3 + 1).unwrap()), term, 3);
    }
    let notices = &b.model.current().unwrap().notices;
    assert_eq!(notices.len(), 1);
    assert!(notices[0].parts.len() <= 6, "{notices:?}");
}

#[test]
fn nothing_is_said_about_the_first_login() {
    let mut b = Bench::cold(80, 24);
    b.tell(ClientEvent::Connection(Connection::Discovering));
    b.ready(2);
    b.cluster(Some(1), 3, 3);
    b.talk(1, &[ALICE, BOB], 0, 0);
    b.keys("ctrl+n");
    assert!(!b.screen().contains('~'), "{}", b.screen());
}

#[test]
fn conversations_that_are_told_before_the_login_ends_have_the_right_name() {
    let mut b = Bench::cold(80, 24);
    b.cluster(Some(1), 3, 3);
    b.talk(1, &[ALICE, BOB], 2, 1);
    b.say(1, BOB, 2, &["hi"]);
    b.ready(2);
    assert_eq!((b.model.chats[0].title.as_str(), b.model.unread()), ("bob", 1));
    assert_eq!(b.model.chats[0].peer, Some(user(BOB)));
}

#[test]
fn states_need_every_other_member() {
    let mut b = Bench::new(80, 24, 0);
    b.talk(2, &[ALICE, BOB, 3], 5, 0);
    b.mark(2, BOB, 5, 5);
    let state = |b: &Bench| b.model.chats[1].state(b.model.me, 4);
    assert_eq!(state(&b), State::Committed);
    b.mark(2, 3, 4, 2);
    assert_eq!(state(&b), State::Delivered);
    b.mark(2, 3, 4, 4);
    assert_eq!(state(&b), State::Read);
}

#[test]
fn memory_stays_bounded_and_what_went_comes_back() {
    let mut b = Bench::new(80, 24, 0);
    b.keys("ctrl+n");
    let texts = vec!["word"; 500];
    for page in 0..50 {
        b.say(1, BOB, 1 + page * 500, &texts);
    }
    let loaded = b.model.current().unwrap().messages.len();
    assert!(loaded <= 20_000, "{loaded}");
    assert_eq!(b.model.unread(), 0);
    b.keys("ctrl+home");
    assert_eq!(history(&b).len(), 1, "{:?}", b.effects.last());
}
