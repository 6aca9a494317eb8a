//! Documents are for people: read with the driver alone, they say what was sent.

use crate::store::Store;
use crate::store::mongo::testing::Database;
use crate::store::samples::{Sample, take};
use mongodb::bson::{Bson, Document, doc};

const PLAIN: [&str; 8] =
    ["users", "devices", "conversations", "cursors", "messages", "cluster", "links", "exports"];

async fn found(database: &Database, collection: &str, filter: Document) -> Vec<Document> {
    use futures::TryStreamExt as _;
    let client = mongodb::Client::with_uri_str(&database.url).await.unwrap();
    let collection = client.default_database().unwrap().collection::<Document>(collection);
    collection.find(filter).sort(doc! { "_id": 1 }).await.unwrap().try_collect().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_say_what_was_sent() {
    let database = Database::fresh();
    let store = database.open(1).await.unwrap();
    let mut sample = Sample::new();
    take(&store, sample.found()).await.unwrap();
    take(&store, sample.send(&["one", "two"])).await.unwrap();
    take(&store, sample.send(&["three"])).await.unwrap();
    take(&store, sample.read_by_bob(2)).await.unwrap();
    for step in [sample.link(), sample.tell(&["over there"]), sample.answered("over here")] {
        take(&store, step).await.unwrap();
    }
    store.close().await.unwrap();

    let users = found(&database, "users", doc! {}).await;
    let names: Vec<_> = users.iter().map(|user| user.get_str("name").unwrap()).collect();
    assert_eq!(names, ["alice", "bob", "carol"]);
    let [east] = &found(&database, "links", doc! { "alias": "east" }).await[..] else { panic!() };
    assert_eq!(east.get_str("trust").unwrap(), "trusted");
    assert_eq!((east.get_i64("exported").unwrap(), east.get_i64("imported").unwrap()), (2, 1));
    let away = found(&database, "messages", doc! { "to": "carol@east", "read": false }).await;
    assert_eq!(away[0].get_str("text").unwrap(), "over there");
    let read = found(&database, "messages", doc! { "from": "carol@east", "read": true }).await;
    assert_eq!(read[0].get_str("text").unwrap(), "over here");
    let told = found(&database, "exports", doc! { "link": 1_i64, "what": "messages" }).await;
    assert_eq!((told.len(), told[0].get_i64("position").unwrap()), (1, 1));
    let body = told[0].get_array("bodies").unwrap()[0].as_document().unwrap();
    assert_eq!(body.get_str("text").unwrap(), "over there");
    let unread = found(&database, "messages", doc! { "to": "bob", "read": false }).await;
    let [third] = &unread[..] else { panic!("{unread:?}") };
    assert_eq!(third.get_str("text").unwrap(), "three");
    assert_eq!(third.get_str("from").unwrap(), "alice");
    assert_eq!(third.get_i64("seq").unwrap(), 3);
    let at = third.get_datetime("at").unwrap();
    assert_eq!(at.timestamp_millis(), 1002, "the entry's time, as a date");
    let read = found(&database, "messages", doc! { "to": "bob", "read": true }).await;
    let texts: Vec<_> = read.iter().map(|message| message.get_str("text").unwrap()).collect();
    assert_eq!(texts, ["one", "two"]);
    let cursors = found(&database, "cursors", doc! { "user_name": "bob" }).await;
    assert_eq!(cursors[0].get_i64("read").unwrap(), 2);
    let direct = doc! { "member_names": "bob" };
    let [room] = &found(&database, "conversations", direct).await[..] else { panic!() };
    assert_eq!(room.get_array("member_names").unwrap(), &["alice".into(), Bson::from("bob")]);
    assert_eq!(room.get_i64("last_seq").unwrap(), 3);

    for collection in PLAIN {
        for document in found(&database, collection, doc! {}).await {
            for (field, value) in &document {
                assert!(!matches!(value, Bson::Binary(_)), "{collection}.{field} is bytes");
            }
            assert!(matches!(document.get("_id"), Some(Bson::String(_))), "{collection}");
        }
    }
}

/// A snapshot brings the same documents.
#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_brings_documents_for_people_too() {
    let source = crate::store::memory::Memory::new(2);
    let mut sample = Sample::new();
    take(&source, sample.found()).await.unwrap();
    take(&source, sample.send(&["one", "two"])).await.unwrap();
    take(&source, sample.read_by_bob(1)).await.unwrap();
    let rows = source.export(None, u64::MAX, 1 << 20).await.unwrap().unwrap().0;

    for other_before in [false, true] {
        let database = Database::fresh();
        let store = database.open(1).await.unwrap();
        if other_before {
            let mut other = Sample::new();
            take(&store, other.found()).await.unwrap();
            take(&store, other.send(&["another", "history", "and", "longer"])).await.unwrap();
        }
        store.begin_import(true).await.unwrap();
        store.import(rows.clone()).await.unwrap();
        store.install(sample.mark.clone(), sample.rows()).await.unwrap();
        store.close().await.unwrap();
        let unread = found(&database, "messages", doc! { "to": "bob", "read": false }).await;
        let [second] = &unread[..] else { panic!("{unread:?}") };
        assert_eq!(second.get_str("text").unwrap(), "two");
        let all = found(&database, "messages", doc! { "from": "alice" }).await;
        assert_eq!(all.len(), 2);
        assert!(all.iter().all(|message| !message.contains_key("imported")));
    }
}
