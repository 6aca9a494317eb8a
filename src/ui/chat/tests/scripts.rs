//! What keys do: scripts of keys against a model, and what must come of it.

use super::*;

#[test]
fn enter_sends_and_a_paste_never_does() {
    let mut b = Bench::new(80, 24, 0);
    b.keys("ctrl+n hello enter");
    assert_eq!(b.sent(), ["hello"]);
    assert_eq!(b.text(), "");
    let fifty = "line\n".repeat(50);
    b.msg(Msg::Paste(fifty.clone()));
    assert_eq!(b.sent(), Vec::<String>::new());
    assert_eq!(b.text(), fifty);
    b.keys("enter");
    assert_eq!(b.sent(), [fifty]);
    b.keys("enter");
    assert_eq!(b.sent(), Vec::<String>::new(), "nothing is not sent");
    b.keys("a alt+enter b ctrl+j c enter");
    assert_eq!(b.sent(), ["a\nb\nc"]);
}

#[test]
fn mistyped_commands_are_not_sent_to_people() {
    let mut b = Bench::new(80, 24, 0);
    b.keys("ctrl+n /mgs_bob_hi enter");
    assert_eq!(b.flash(), "/mgs is no command: /help lists them; // sends a slash");
    assert_eq!(b.text(), "/mgs bob hi");
    b.keys("ctrl+u _/quit enter");
    assert!(b.flash().contains("begins with a blank"), "{}", b.flash());
    assert_eq!((b.sent(), b.text()), (vec![], " /quit"));
    b.keys("enter");
    assert_eq!(b.sent(), [" /quit"]);
    b.keys("//etc/hosts enter");
    assert_eq!(b.sent(), ["/etc/hosts"]);
    b.keys("/MSG_Bob_hi enter");
    assert_eq!(b.sent(), ["hi"]);
}

#[test]
fn text_without_a_conversation_stays_with_a_hint() {
    let mut b = Bench::new(80, 24, 0);
    b.keys("hello enter");
    assert_eq!(b.flash(), "no conversation is open: /msg NAME opens one");
    assert_eq!((b.sent(), b.text()), (vec![], "hello"));
}

#[test]
fn msg_finds_people_or_says_that_there_are_none() {
    let mut b = Bench::new(80, 24, 0);
    b.keys("/msg_Carol_hi_there enter");
    let lookup = Effect::Lookup { name: "carol".into(), text: "hi there".into() };
    assert!(b.effects.contains(&lookup), "{:?}", b.effects);
    let found = |result| Msg::Found { name: "carol".into(), text: "hi there".into(), result };
    b.msg(found(Err(crate::client::ClientError::Refused(
        crate::chat::refusal::Refusal::NoSuchUser,
    ))));
    assert_eq!(b.flash(), "there is no user carol");
    assert_eq!(b.text(), "/msg carol hi there", "nothing typed is lost");
    b.keys("ctrl+u");
    b.effects.clear();
    let carol =
        crate::client::FoundUser { user: user(3), name: "carol".into(), conversation: None };
    b.msg(found(Ok(carol)));
    let to = Target::User(user(3));
    assert!(b.effects.contains(&Effect::Send { to, text: "hi there".into() }), "{:?}", b.effects);
    assert_eq!(b.model.current().unwrap().title, "carol");
    b.keys("/msg_Bob@East_hi enter");
    let lookup = Effect::Lookup { name: "bob@east".into(), text: "hi".into() };
    assert!(b.effects.contains(&lookup), "{:?}", b.effects);
    b.keys("ctrl+u /msg_b#d enter");
    assert!(b.flash().contains("'#'"), "{}", b.flash());
    b.keys("ctrl+u /msg enter");
    assert!(b.flash().contains("the name is missing"), "{}", b.flash());
}

#[test]
fn a_late_answer_does_not_move_what_is_being_typed() {
    let mut b = Bench::new(80, 24, 0);
    b.keys("ctrl+n /msg_carol enter secret_for_bob");
    let carol =
        crate::client::FoundUser { user: user(3), name: "carol".into(), conversation: None };
    b.msg(Msg::Found { name: "carol".into(), text: String::new(), result: Ok(carol) });
    assert_eq!(b.text(), "secret for bob");
    assert_eq!(b.model.current().unwrap().title, "bob");
    assert_eq!(b.model.chats.len(), 2);
}

#[test]
fn every_conversation_keeps_its_own_draft_and_history() {
    let mut b = Bench::new(80, 24, 0);
    b.talk(2, &[ALICE, 3], 0, 0);
    b.keys("alt+1 to_bob alt+2 to_carol enter draft alt+1");
    assert_eq!(b.text(), "to bob");
    b.keys("up");
    assert_eq!(b.text(), "to bob", "carol's history is not bob's");
    b.keys("alt+2");
    assert_eq!(b.text(), "draft");
    b.keys("up");
    assert_eq!(b.text(), "to carol");
    b.keys("down");
    assert_eq!(b.text(), "draft");
    assert!(b.screen().contains(" 1 bob             ✎"), "{}", b.screen());
}

#[test]
fn ctrl_c_clears_then_asks_then_quits() {
    let mut b = Bench::new(80, 24, 0);
    b.keys("ctrl+n text ctrl+c");
    assert_eq!((b.text(), b.effects.contains(&Effect::Quit)), ("", false));
    b.queue(1, 1, "waits");
    b.keys("ctrl+c");
    assert!(b.flash().contains("1 message is not sent yet"), "{}", b.flash());
    b.after(2_001);
    b.keys("ctrl+d");
    assert!(!b.effects.contains(&Effect::Quit), "too late for a second key");
    b.keys("ctrl+d");
    assert!(b.effects.contains(&Effect::Quit));
}

#[test]
fn moving_through_conversations() {
    let mut b = Bench::new(80, 24, 0);
    b.talk(2, &[ALICE, 3], 0, 0);
    b.talk(3, &[ALICE, 4], 0, 0);
    for (keys, title) in [
        ("ctrl+n", "bob"),
        ("ctrl+n", "carol"),
        ("alt+down ctrl+n", "bob"),
        ("ctrl+p", "dave"),
        ("alt+2", "carol"),
        ("alt+/", "dave"),
        ("alt+7", "dave"),
        ("/switch_car enter", "carol"),
        ("/switch_1 enter", "bob"),
        ("/switch_nobody enter", "bob"),
    ] {
        b.keys(keys);
        assert_eq!(b.model.current().unwrap().title, title, "{keys}");
    }
    assert!(b.flash().contains("no conversation is called \"nobody\""), "{}", b.flash());
}

#[test]
fn tab_goes_to_the_oldest_unread_and_completes_what_is_written() {
    let mut b = Bench::new(80, 24, 0);
    b.talk(2, &[ALICE, 3], 0, 0);
    b.keys("tab");
    assert_eq!(b.flash(), "nothing is unread");
    b.say(2, 3, 1, &["newer"]);
    b.say(1, BOB, 1, &["older"]);
    b.model.chats[1].messages.get_mut(&1).unwrap().at_ms += 5;
    b.keys("tab");
    assert_eq!(b.model.current().unwrap().title, "bob");
    b.keys("tab");
    assert_eq!(b.model.current().unwrap().title, "carol");
    b.keys("/m tab ca tab hi enter");
    assert_eq!(b.sent(), ["hi"]);
    b.keys("/re tab");
    assert_eq!((b.text(), b.flash()), ("/re", "/reconnect /retry"));
}

#[test]
fn too_long_a_text_stays_and_says_by_how_much() {
    let mut b = Bench::new(80, 24, 0);
    b.keys("ctrl+n");
    let text = "é".repeat(crate::limits::BODY_BYTES / 2 + 1);
    b.msg(Msg::Paste(text.clone()));
    b.keys("enter");
    assert_eq!(b.flash(), "the text has 16386 bytes, 2 too many");
    assert_eq!((b.sent(), b.text()), (vec![], text.as_str()));
}

#[test]
fn a_paste_that_could_never_be_sent_is_refused() {
    let mut b = Bench::new(80, 24, 0);
    b.keys("ctrl+n draft");
    b.msg(Msg::Paste("x".repeat(1_000_000)));
    assert_eq!(b.flash(), "not pasted: 1000005 bytes, and a message has at most 16384");
    assert_eq!(b.text(), "draft");
}

#[test]
fn a_failed_message_can_be_sent_again_or_dropped() {
    let mut b = Bench::new(80, 24, 0);
    b.keys("ctrl+n /retry enter");
    assert_eq!((b.flash(), b.text()), ("nothing failed here", "/retry"));
    b.keys("ctrl+u");
    for number in 1..=2 {
        b.queue(1, number, "lost");
        let refusal = crate::chat::refusal::Refusal::NotMember;
        b.tell(ClientEvent::Refused { number, refusal });
    }
    assert!(b.screen().contains("!  alice  lost"), "{}", b.screen());
    assert!(b.screen().contains("▸ not sent: you are not a member"), "{}", b.screen());
    b.keys("/retry enter");
    assert_eq!(b.sent(), ["lost", "lost"]);
    assert_eq!(b.model.waiting(), (0, 0));
}

#[test]
fn a_text_that_did_not_reach_the_outbox_comes_back() {
    let mut b = Bench::new(80, 24, 0);
    b.keys("ctrl+n");
    let to = Target::Conversation(conversation(1));
    let why = crate::client::ClientError::State("disk full".into());
    b.msg(Msg::NotSent { to, text: "dear bob".into(), why });
    assert_eq!(b.text(), "dear bob");
    assert_eq!(b.flash(), "not sent, the text is kept: disk full");
}

#[test]
fn the_help_opens_scrolls_and_closes_and_takes_no_text() {
    let mut b = Bench::new(80, 24, 0);
    b.keys("f1");
    assert!(b.screen().contains("next conversation"), "{}", b.screen());
    b.keys("pgdn pgdn pgdn");
    assert!(b.screen().contains("/quit"), "{}", b.screen());
    b.keys("esc");
    assert!(b.model.help.is_none());
    b.keys("/help enter x");
    assert!(b.model.help.is_none(), "any other key closes it");
    assert_eq!(b.text(), "", "and is not typed");
}

/// A key of the help that does nothing is a lie.
#[test]
fn every_key_of_the_help_does_something() {
    use crate::ui::editor::Edit;
    for binding in keymap::BINDINGS {
        let mut b = Bench::new(80, 24, 40);
        b.talk(2, &[ALICE, 3], 40, 0);
        let texts = vec!["word"; 40];
        b.say(1, BOB, 1, &texts);
        b.say(2, 3, 1, &texts);
        b.keys("alt+2 alt+1 sent enter one_two left alt+enter");
        b.model.cut = "cut".into();
        match binding.action {
            keymap::Action::Complete | keymap::Action::Interrupt => b.keys("ctrl+c"),
            keymap::Action::Down | keymap::Action::Edit(Edit::CutToEnd) => b.keys("up"),
            keymap::Action::Bottom
            | keymap::Action::LineDown
            | keymap::Action::PageDown
            | keymap::Action::Escape => b.keys("pgup pgup"),
            keymap::Action::End => b.keys("left left home"),
            keymap::Action::Edit(Edit::LineEnd) => b.keys("home"),
            keymap::Action::Edit(Edit::Right | Edit::WordRight) => b.keys("home"),
            keymap::Action::Edit(Edit::LineStart | Edit::CutToStart) => b.keys("end"),
            keymap::Action::FirstUnread => b.keys("alt+2 ctrl+end"),
            keymap::Action::Nth(_) => b.keys("alt+2"),
            _ => {}
        }
        let state = |b: &Bench| {
            let chat = b.model.current().map(|c| (c.key, c.scroll));
            let editor = b.model.editor();
            let text = (editor.text().to_owned(), editor.cursor());
            (chat, text, b.model.help, b.model.flash.clone(), b.effects.len())
        };
        let before = state(&b);
        b.keys(binding.keys[0]);
        assert_ne!(before, state(&b), "{:?}", binding.keys);
    }
}
