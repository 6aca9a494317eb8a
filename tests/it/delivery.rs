//! What a session is sent: the unread and not the history, live messages
//! wherever both are, marks, and patience with a reader that stops reading.

use crate::harness::{Cluster, NodeStatus, Raw, Stores, over_every_store, wait_until, watch};
use rustchat::chat::command::Target;
use rustchat::chat::ids::{ConversationId, DeviceId};
use rustchat::wire::message::{ClientMsg, ConversationInfo, Cursor, MarkEntry, ServerMsg};
use std::time::{Duration, Instant};

over_every_store! {
    at_login_the_unread_messages_come_and_not_the_history,
    every_device_of_a_user_gets_everything,
}

/// Two raw people on two servers, alice first.
fn pair(cluster: &Cluster) -> (Raw, Raw) {
    let leader = cluster.leader().seat;
    let mut others = cluster.seats().into_iter().filter(|seat| *seat != leader);
    let mut person = |name: &str, byte: u8| {
        let seat = others.next().unwrap();
        let mut raw = Raw::connect(cluster.address(seat), DeviceId([byte; 16]));
        raw.register(name, "a long password");
        raw
    };
    (person("alice", 1), person("bob", 2))
}

fn infos(before: &[ServerMsg]) -> Vec<ConversationInfo> {
    let all = before.iter().filter_map(|message| match message {
        ServerMsg::Conversations(list) => Some(list.clone()),
        _ => None,
    });
    all.flatten().collect()
}

/// All seqs that are pushed until `last` is there.
fn pushed(raw: &mut Raw, before: Vec<ServerMsg>, last: u64) -> Vec<u64> {
    let mut seqs = Vec::new();
    let mut note = |message: &ServerMsg| {
        if let ServerMsg::Push { runs, .. } = message {
            runs.iter().for_each(|run| seqs.extend(run.first_seq..=run.last_seq()));
        }
        seqs.contains(&last)
    };
    if !before.iter().any(&mut note) {
        raw.until("the last unread message", |message| note(&message).then_some(()));
    }
    seqs
}

/// At login the unread messages come, once, and none that were read.
fn at_login_the_unread_messages_come_and_not_the_history(stores: Stores) {
    let mut cluster = stores.start(3);
    let (mut alice, mut bob) = pair(&cluster);
    alice.resume(vec![]);
    bob.resume(vec![]);
    let to_bob = Target::User(alice.lookup("bob"));
    let texts: Vec<String> = (1..=300).map(|n| format!("message {n}")).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    alice.say(to_bob, 1, &texts);
    alice.ack(300);
    let conversation = last_push(&mut bob, 300);
    let marks = vec![MarkEntry { conversation, user: None, delivered: 300, read: 290 }];
    bob.send(&ClientMsg::Mark(marks));
    // The sender sees it, through another server.
    let seen = alice.until("bob's marks", |message| match message {
        ServerMsg::Marked(marks) => {
            marks.into_iter().find(|m| m.user == Some(bob.user) && m.read == 290)
        }
        _ => None,
    });
    assert_eq!(seen.delivered, 300);

    // Another device of bob, on a server that has been restarted meanwhile.
    let token = bob.token.clone();
    drop(bob);
    cluster.same_state();
    cluster.kill_all();
    cluster.start_all();
    let leader = cluster.leader().seat;
    let mut again = Raw::connect(cluster.address(leader), DeviceId([2; 16]));
    again.token_login("bob", token);
    let (before, _) = again.resume(vec![]);
    let info = infos(&before).into_iter().find(|info| info.id == conversation).unwrap();
    let own = info.members.iter().find(|member| member.name == "bob").unwrap();
    assert_eq!((info.last_seq, own.read, own.delivered), (300, 290, 300));
    assert_eq!(pushed(&mut again, before, 300), (291..=300).collect::<Vec<_>>());
}

/// Reads until the push that ends with `seq`; the conversation.
fn last_push(raw: &mut Raw, seq: u64) -> ConversationId {
    raw.until("the last message", |message| match message {
        ServerMsg::Push { runs, .. } => {
            let run = runs.last()?;
            (run.last_seq() >= seq).then_some(run.conversation)
        }
        _ => None,
    })
}

/// All devices of both get everything, whichever server they are on.
fn every_device_of_a_user_gets_everything(stores: Stores) {
    let cluster = stores.start(3);
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    bob.register();
    alice.register();
    let devices = [bob.tail(), bob.tail(), alice.tail()];
    wait_until(Duration::from_secs(10), "three sessions are open", || {
        let open: u64 =
            cluster.status().iter().filter_map(|node| node.json["sessions"].as_u64()).sum();
        (open >= 3).then_some(())
    });
    alice.send("bob", &["one", "two"]);
    bob.send("alice", &["three"]);
    for device in devices {
        let said = device.wait_for(3, Duration::from_secs(10));
        let texts: Vec<_> = said.iter().map(|said| said.text.as_str()).collect();
        assert_eq!(texts, ["one", "two", "three"]);
    }
}

/// A reader that stops reading stays, delays nobody, and gets everything when it goes on.
#[test]
fn a_reader_that_stops_reading_stays_and_catches_up() {
    let cluster = Cluster::start(3);
    let (mut alice, mut bob) = pair(&cluster);
    alice.resume(vec![]);
    bob.resume(vec![]);
    let to_bob = Target::User(alice.lookup("bob"));
    let text = "y".repeat(4000);
    let start = Instant::now();
    let mut number = 1;
    // Far more than all buffers on the way hold together.
    while number <= 8000 {
        alice.say(to_bob, number, &vec![text.as_str(); 50]);
        number += 50;
        alice.ack(number - 1);
    }
    let session = |cluster: &Cluster| {
        cluster.status().iter().filter_map(|node| node.json["sessions"].as_u64()).sum::<u64>()
    };
    let rest = Duration::from_secs(31).saturating_sub(start.elapsed());
    watch(rest, "the one who does not read stays connected", || match session(&cluster) {
        2 => Ok(()),
        n => Err(format!("{n} sessions")),
    });
    let mut next = 1;
    bob.until("everything", |message| {
        if let ServerMsg::Push { runs, .. } = message {
            for run in runs {
                assert_eq!(run.first_seq, next, "in order, without a gap");
                next = run.last_seq() + 1;
            }
        }
        (next == number).then_some(())
    });
}

/// What each of those who do not read may cost, in bytes.
const READER: u64 = 1024 * 1024;
/// How many of them there are.
const READERS: u8 = 30;
/// What is sent to them, in bytes: more than they may cost together, and for each far more
/// than all buffers on the way hold.
const FLOOD: usize = 40 * 1024 * 1024;

/// Messages of a flood in one frame.
const RUN: u64 = 16;

/// Resident memory of two servers, in bytes.
fn resident(cluster: &Cluster, seats: [u32; 2]) -> [u64; 2] {
    let all = cluster.status();
    let bytes = |node: &NodeStatus| node.json["resident_bytes"].as_u64();
    seats.map(|seat| all.iter().find(|node| node.seat == seat).and_then(bytes).expect("a size"))
}

/// Readers that stop reading cost their server at most 1 MiB each, beside what the messages
/// cost a server that has no readers.
#[test]
fn readers_that_stop_reading_cost_little_memory() {
    let cluster = Cluster::start(3);
    let leader = cluster.leader().seat;
    let others: Vec<u32> = cluster.seats().into_iter().filter(|seat| *seat != leader).collect();
    let (with, without) = (others[0], others[1]);
    let mut alice = Raw::connect(cluster.address(leader), DeviceId([100; 16]));
    alice.register("alice", "a long password");
    alice.resume(vec![]);
    let mut flood = Flood { text: "z".repeat(15_000), number: 1, to: None };

    // Before: both servers have had as much to store, and nobody reads.
    let mut bob = Raw::connect(cluster.address(with), DeviceId([READERS; 16]));
    bob.register("bob", "a long password");
    flood.to = Some(Target::User(alice.lookup("bob")));
    flood.send(&mut alice, FLOOD / 2);
    drop(bob);
    cluster.same_state();
    let before = resident(&cluster, [with, without]);

    let readers: Vec<Raw> = (0..READERS)
        .map(|n| {
            let mut raw = Raw::connect(cluster.address(with), DeviceId([n; 16]));
            raw.login("bob", "a long password");
            raw.send(&ClientMsg::Resume { cursor: Cursor::default(), have: vec![] });
            raw
        })
        .collect();
    flood.send(&mut alice, FLOOD);
    cluster.same_state();
    let after = resident(&cluster, [with, without]);
    let grown = |at: usize| after[at].saturating_sub(before[at]);
    let cost = grown(0).saturating_sub(grown(1));
    let allowed = u64::from(READERS) * READER;
    assert!(cost <= allowed, "{cost} bytes for {READERS} readers; {before:?} then, {after:?} now");
    drop(readers);
}

/// Long messages to one user, one after the other.
struct Flood {
    text: String,
    number: u64,
    to: Option<Target>,
}

impl Flood {
    /// Sends that many bytes and waits for all acknowledgements.
    fn send(&mut self, from: &mut Raw, bytes: usize) {
        for _ in 0..bytes / self.text.len() / RUN as usize {
            from.say(self.to.unwrap(), self.number, &[self.text.as_str(); RUN as usize]);
            self.number += RUN;
            from.ack(self.number - 1);
        }
    }
}
