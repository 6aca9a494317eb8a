//! What the driver sends: every write waits for a majority's journal, none needs a
//! transaction, and the way to an acknowledgement is short.

use crate::store::Store;
use crate::store::mongo::Mongo;
use crate::store::mongo::testing::Database;
use crate::store::samples::{Sample, append, entry, take};
use mongodb::bson::{Document, doc};
use mongodb::event::EventHandler;
use mongodb::event::command::CommandEvent;
use std::sync::{Arc, Mutex};

const WRITES: [&str; 6] = ["insert", "update", "delete", "findAndModify", "createIndexes", "drop"];

pub(super) type Commands = Arc<Mutex<Vec<Document>>>;

/// A store, and every command that it sends.
pub(super) async fn watched(database: &Database) -> (Mongo, Commands) {
    let commands = Commands::default();
    let seen = Arc::clone(&commands);
    let handler = EventHandler::callback(move |event| {
        if let CommandEvent::Started(event) = event {
            seen.lock().unwrap().push(event.command);
        }
    });
    let store = database.open_with(|options| options.command_event_handler = Some(handler)).await;
    (store.unwrap(), commands)
}

fn is_beat(command: &Document) -> bool {
    command.to_string().contains("$inc")
}

#[tokio::test(flavor = "multi_thread")]
async fn every_write_waits_for_a_majoritys_journal() {
    let (store, commands) = watched(&Database::fresh()).await;
    let mut sample = Sample::new();
    take(&store, sample.found()).await.unwrap();
    take(&store, sample.send(&["one"])).await.unwrap();
    store.save_vote(Default::default()).await.unwrap();
    append(&store, vec![entry(1, 2)]).await.unwrap();
    store.truncate(2).await.unwrap();
    store.begin_import(true).await.unwrap();
    store.import(vec![]).await.unwrap();
    store.install(sample.mark.clone(), sample.rows()).await.unwrap();
    store.purge(sample.mark.applied.unwrap()).await.unwrap();
    store.close().await.unwrap();
    let commands = commands.lock().unwrap();
    let mut kinds = std::collections::BTreeSet::new();
    for command in commands.iter() {
        let name = command.keys().next().unwrap().as_str();
        assert!(!command.contains_key("startTransaction"), "{command}");
        if WRITES.contains(&name) {
            kinds.insert(name.to_owned());
            let concern = command.get_document("writeConcern");
            assert_eq!(concern.ok(), Some(&doc! { "w": "majority", "j": true }), "{command}");
        }
    }
    assert!(kinds.len() >= 4, "{kinds:?}");
}

/// An entry is acknowledged after two commands: the entries, and how far the log reaches.
#[tokio::test(flavor = "multi_thread")]
async fn two_round_trips_make_an_entry_durable() {
    let (store, commands) = watched(&Database::fresh()).await;
    let mut sample = Sample::new();
    append(&store, vec![sample.found().entry]).await.unwrap();
    for _ in 0..5 {
        let step = sample.send(&["one", "two", "three"]);
        commands.lock().unwrap().clear();
        append(&store, vec![step.entry]).await.unwrap();
        let sent = commands.lock().unwrap();
        let sent: Vec<String> =
            sent.iter().filter(|c| !is_beat(c)).map(|c| c.keys().next().unwrap().clone()).collect();
        assert_eq!(sent, ["insert", "update"]);
    }
}

/// A hundred entries that come at once share their round trips; a message is one document.
#[tokio::test(flavor = "multi_thread")]
async fn writes_are_batched() {
    let (store, commands) = watched(&Database::fresh()).await;
    let mut sample = Sample::new();
    take(&store, sample.found()).await.unwrap();
    store.persist().await.unwrap();
    commands.lock().unwrap().clear();
    let (count, each) = (100, ["a", "b", "c"]);
    for _ in 0..count {
        let step = sample.send(&each);
        store.append(vec![step.entry], Box::new(|done| done.unwrap())).await.unwrap();
        store.commit(step.mark, step.writes, step.rows).await.unwrap();
    }
    // Behind all appends.
    store.save_vote(Default::default()).await.unwrap();
    store.persist().await.unwrap();
    let commands = commands.lock().unwrap();
    let of = |name: &str, collection: &str| {
        let all = commands.iter().filter(|c| c.get_str(name).is_ok_and(|of| of == collection));
        all.cloned().collect::<Vec<_>>()
    };
    let inserts = of("insert", "messages");
    let documents: usize = inserts.iter().map(|c| c.get_array("documents").unwrap().len()).sum();
    assert_eq!(documents, count * each.len());
    let log = of("insert", "log").len();
    assert!(log <= count / 2, "{log} inserts into the log for {count} entries");
    assert!(inserts.len() <= count / 2, "{} inserts of messages", inserts.len());
}
