//! A message stands exactly once, whatever happens between its commit and the
//! sender's knowledge of it.

use crate::harness::{Raw, Stores, over_every_store, wait_until};
use rustchat::chat::command::Target;
use rustchat::chat::event::Outcome;
use rustchat::chat::ids::DeviceId;
use rustchat::wire::message::{Ack, ClientMsg, Fetch, ServerMsg};
use std::time::Duration;

over_every_store! {
    a_resend_after_the_leader_died_with_its_answer_stands_once,
    a_gap_in_the_numbers_is_answered_with_the_number_that_is_expected,
    messages_sent_while_leaders_die_arrive_once_and_in_order,
    the_newer_of_two_connections_speaks_for_the_device_wherever_they_are,
}

/// The leader commits and dies before the sender hears of it; the sender, who cannot know,
/// sends the same numbers through another server.
fn a_resend_after_the_leader_died_with_its_answer_stands_once(stores: Stores) {
    let mut cluster = stores.start(3);
    let bob = cluster.person("bob");
    bob.register();
    let tail = bob.tail();
    let leader = cluster.leader().seat;

    let device = DeviceId([7; 16]);
    let mut alice = Raw::connect(cluster.address(leader), device);
    alice.register("alice", "a password of alice");
    alice.resume(vec![]);
    let to = Target::User(alice.lookup("bob"));
    let token = alice.token.clone();
    alice.say(to, 1, &["one", "two", "three"]);
    // Bob has them, so they are committed; alice reads nothing any more.
    tail.wait_for(3, Duration::from_secs(10));
    cluster.kill(leader);
    drop(alice);

    let next = cluster.leader().seat;
    assert_ne!(next, leader);
    let other = cluster.seats().into_iter().find(|s| ![leader, next].contains(s)).unwrap();
    let mut alice = Raw::connect(cluster.address(other), device);
    alice.token_login("alice", token);
    let (_, ready) = alice.resume(vec![]);
    assert_eq!(ready.sends, [(0, 3)], "the new server knows how far alice's sends have come");
    alice.say(to, 1, &["one", "two", "three"]);
    let first = committed(&alice.ack(3), 1);
    alice.say(to, 2, &["two", "three", "four"]);
    let second = committed(&alice.ack(4), 4);
    assert_eq!(second.1, first.1 + 3, "the fourth follows the third");

    tail.wait_for(4, Duration::from_secs(10));
    cluster.up(leader);
    cluster.same_state();
    assert_eq!(history(&mut alice, first.0), ["one", "two", "three", "four"]);
    let texts: Vec<_> = tail.end().into_iter().map(|said| said.text).collect();
    assert_eq!(texts, ["one", "two", "three", "four"]);
}

/// A gap is never filled by guessing: the server says which number it expects.
fn a_gap_in_the_numbers_is_answered_with_the_number_that_is_expected(stores: Stores) {
    let cluster = stores.start(3);
    let leader = cluster.leader().seat;
    let mut alice = Raw::connect(cluster.address(leader), DeviceId([9; 16]));
    alice.register("alice", "a password of alice");
    alice.resume(vec![]);
    let me = Target::User(alice.user);
    alice.say(me, 3, &["three"]);
    let expected = alice.until("what is expected", |message| match message {
        ServerMsg::Ack(ack) => ack.expected,
        _ => None,
    });
    assert_eq!(expected, 1);
    alice.say(me, 1, &["one", "two"]);
    alice.say(me, 3, &["three"]);
    let place = committed(&alice.ack(3), 3);
    assert_eq!(history(&mut alice, place.0), ["one", "two", "three"]);
}

/// Messages sent while leaders are killed one after the other: each once, in order.
fn messages_sent_while_leaders_die_arrive_once_and_in_order(stores: Stores) {
    let mut cluster = stores.start(3);
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    bob.register();
    let tail = bob.tail();
    let lines: Vec<String> = (1..=3000).map(|n| format!("line {n}")).collect();
    let texts: Vec<&str> = lines.iter().map(String::as_str).collect();
    let sender = std::thread::scope(|scope| {
        let sending =
            scope.spawn(|| texts.chunks(500).map(|c| alice.send("bob", c)).collect::<Vec<_>>());
        for round in 1..=2 {
            let want = round * 700;
            wait_until(Duration::from_secs(30), "messages flow", || {
                (tail.said().len() >= want).then_some(())
            });
            let leader = cluster.leader().seat;
            cluster.kill(leader);
            cluster.leader();
            cluster.up(leader);
        }
        sending.join().unwrap()
    });
    let committed: Vec<_> = sender.into_iter().flatten().map(|said| said.text).collect();
    assert_eq!(committed, lines, "what the sender was told");
    tail.wait_for(lines.len(), Duration::from_secs(30));
    let said = tail.end();
    let got: Vec<_> = said.iter().map(|said| said.text.clone()).collect();
    assert_eq!(got, lines, "what the receiver saw");
    assert!(said.windows(2).all(|two| two[0].seq + 1 == two[1].seq), "without gaps");
    cluster.same_state();
}

/// Conversation and seq of a number in an acknowledgement.
fn committed(ack: &Ack, number: u64) -> (rustchat::chat::ids::ConversationId, u64) {
    let run = ack
        .outcomes
        .iter()
        .find(|run| (run.first_number..run.first_number + u64::from(run.count)).contains(&number))
        .unwrap_or_else(|| panic!("number {number} in {ack:?}"));
    match run.outcome {
        Outcome::Committed { conversation, first_seq, .. } => {
            (conversation, first_seq + (number - run.first_number))
        }
        Outcome::Refused(refusal) => panic!("number {number} was refused: {refusal}"),
    }
}

/// All texts of a conversation, by a quorum read.
fn history(raw: &mut Raw, conversation: rustchat::chat::ids::ConversationId) -> Vec<String> {
    let fetch = Fetch { request: 5, conversation, from: 1, to: u64::MAX, current: true };
    raw.send(&ClientMsg::Fetch(fetch));
    let runs = raw.until("history", |message| match message {
        ServerMsg::History { request: 5, runs, .. } => Some(runs),
        _ => None,
    });
    let bodies = runs.iter().flat_map(|run| &run.bodies);
    bodies.map(|body| String::from_utf8(body.data.to_vec()).unwrap()).collect()
}

/// One device, connected to two servers: the older connection is told to go, and what it still
/// sends stands nowhere. What it had not heard the outcome of is sent again, and stands once.
fn the_newer_of_two_connections_speaks_for_the_device_wherever_they_are(stores: Stores) {
    let cluster = stores.start(3);
    let leader = cluster.leader().seat;
    let others: Vec<u32> = cluster.seats().into_iter().filter(|seat| *seat != leader).collect();
    let device = DeviceId([3; 16]);
    let mut older = Raw::connect(cluster.address(others[0]), device);
    older.register("alice", "a password of alice");
    older.resume(vec![]);
    let me = Target::User(older.user);
    older.say(me, 1, &["one", "two"]);

    let mut newer = Raw::connect(cluster.address(others[1]), device);
    newer.token_login("alice", older.token.clone());
    let (_, ready) = newer.resume(vec![]);
    let text = older.until("the older connection is told to go", |message| match message {
        ServerMsg::GoAway { text, .. } => Some(text),
        _ => None,
    });
    assert!(text.contains("connected again"), "{text}");
    older.say(me, ready.sends[0].1 + 1, &["from the older one"]);
    assert!(older.try_receive().is_err(), "nothing more is said to it");

    newer.say(me, 1, &["one", "two", "three"]);
    let place = committed(&newer.ack(3), 3);
    assert_eq!(history(&mut newer, place.0), ["one", "two", "three"]);
    cluster.same_state();
}
