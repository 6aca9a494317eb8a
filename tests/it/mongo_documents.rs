//! What people find in the database after a chat: documents that say what was sent, to whom,
//! and what of it was read.

use crate::harness::{Cluster, Documents, Raw, Said, Stores, wait_until};
use mongodb::bson::{Bson, DateTime, Document, doc};
use rustchat::chat::ids::DeviceId;
use rustchat::wire::message::{ClientMsg, MarkEntry, ServerMsg};
use std::time::Duration;

/// Documents follow what was acknowledged within this time.
const SOON: Duration = Duration::from_secs(10);
/// Collections that people read.
const PLAIN: [&str; 7] =
    ["users", "devices", "conversations", "cursors", "messages", "sends", "cluster"];

/// One document for each message, which says what the chat said.
#[test]
fn the_documents_say_what_was_sent_through_the_chat() {
    let mut cluster = Stores::Mongo.start(3);
    cluster.leader();
    let begun = DateTime::now();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    bob.register();
    let mut sent = alice.send("bob", &["one", "zwei ✓", "\u{1b}[31mthree"]);
    let answers = bob.send("alice", &["four"]);
    sent.extend(answers);
    sent.extend(alice.send("bob", &["five"]));
    let ended = DateTime::now();

    for seat in cluster.seats() {
        let documents = Documents::of(cluster.node(seat));
        wait_until(SOON, "the conversation has come so far in every database", || {
            let all = documents.find("conversations", doc! { "last_seq": 5_i64 });
            (all.len() == 1).then_some(())
        });
        let all = documents.find("messages", doc! {});
        assert_eq!(all.len(), sent.len(), "server {seat}: {all:?}");
        for said in &sent {
            let found = documents.find("messages", doc! { "id": &said.id });
            let [message] = &found[..] else { panic!("server {seat}: {said:?}: {found:?}") };
            assert_says(message, said);
            let at = message.get_datetime("at").unwrap();
            assert!(begun <= *at && *at <= ended, "{at} is not within {begun} and {ended}");
        }
        assert_people(&documents);
        assert_plain(&documents);
    }
}

#[track_caller]
fn assert_says(message: &Document, said: &Said) {
    let text = |field: &str| message.get_str(field).unwrap();
    assert_eq!((text("from"), text("text")), (&*said.from, &*said.text));
    assert_eq!(text("to"), if said.from == "alice" { "bob" } else { "alice" });
    assert_eq!(message.get_i64("seq").unwrap().cast_unsigned(), said.seq);
}

fn assert_people(documents: &Documents) {
    let names = |collection: &str, field: &str| {
        let all = documents.find(collection, doc! {});
        let mut names: Vec<_> =
            all.iter().map(|one| one.get_str(field).unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names("users", "name"), ["alice", "bob"]);
    let mut owners = names("devices", "user_name");
    owners.dedup();
    assert_eq!(owners, ["alice", "bob"]);
    let room = documents.only("conversations");
    // In the order in which they registered.
    assert_eq!(room.get_array("member_names").unwrap(), &["bob".into(), Bson::from("alice")]);
}

/// Bytes are nowhere in what people read, also not within lists and documents.
fn assert_plain(documents: &Documents) {
    fn bytes(value: &Bson) -> bool {
        match value {
            Bson::Binary(_) => true,
            Bson::Array(all) => all.iter().any(bytes),
            Bson::Document(fields) => fields.values().any(bytes),
            _ => false,
        }
    }
    for collection in PLAIN {
        let all = documents.find(collection, doc! {});
        assert!(collection == "cursors" || !all.is_empty(), "{collection} is empty");
        for document in all {
            assert!(matches!(document.get("_id"), Some(Bson::String(_))), "{document}");
            assert!(!bytes(&Bson::Document(document.clone())), "{collection}: {document}");
        }
    }
}

/// `db.messages.find({to: "bob", read: false})` is what bob has not read, before and after he
/// reads, also when a part is all that he reads.
#[test]
fn what_somebody_has_not_read_is_found_by_asking_for_it() {
    let mut cluster = Stores::Mixed.start(3);
    cluster.leader();
    let (alice, mut bob) = (cluster.person("alice"), hello(&cluster, "bob"));
    alice.send("bob", &["one", "two", "three"]);
    let documents = Documents::of(cluster.node(1));
    let unread = |of: &str| {
        let found = documents.find("messages", doc! { "to": of, "read": false });
        let mut found: Vec<_> = found
            .iter()
            .map(|message| (message.get_i64("seq").unwrap(), message.get_str("text").unwrap()))
            .map(|(seq, text)| (seq, text.to_owned()))
            .collect();
        found.sort();
        found.into_iter().map(|(_, text)| text).collect::<Vec<_>>()
    };
    let becomes = |of: &str, wanted: &[&str]| {
        wait_until(SOON, &format!("unread of {of}: {wanted:?}"), || {
            (unread(of) == wanted).then_some(())
        });
    };
    becomes("bob", &["one", "two", "three"]);

    bob.resume(vec![]);
    let conversation = bob.until("the messages", |message| match message {
        ServerMsg::Push { runs, .. } => runs.last().map(|run| run.conversation),
        _ => None,
    });
    let read = |bob: &mut Raw, read| {
        let mark = MarkEntry { conversation, user: None, delivered: 3, read };
        bob.send(&ClientMsg::Mark(vec![mark]));
    };
    read(&mut bob, 2);
    becomes("bob", &["three"]);
    let cursor = documents.find("cursors", doc! { "user_name": "bob" }).remove(0);
    let number = |field: &str| cursor.get_i64(field).unwrap();
    assert_eq!((number("delivered"), number("read")), (3, 2));
    assert_eq!(documents.find("messages", doc! { "to": "bob", "read": true }).len(), 2);

    read(&mut bob, 3);
    becomes("bob", &[]);
    alice.send("bob", &["four"]);
    becomes("bob", &["four"]);
    assert_eq!(unread("alice"), [""; 0], "her own messages are none that she has to read");
}

/// Somebody who has just registered, on the first server that lets them.
fn hello(cluster: &Cluster, name: &str) -> Raw {
    let mut raw = Raw::connect(cluster.address(1), DeviceId([1; 16]));
    raw.register(name, "a long password");
    raw
}
