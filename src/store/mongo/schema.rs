//! The indexes that back every query that is made, by the server or by people. It must not
//! know who asks.

use super::db::Db;
use super::fields::{INCOMING, MESSAGES, durable};
use crate::store::StoreError;
use mongodb::bson::{Document, doc};

/// The indexes of messages, besides the one on `_id`: name, fields, unique.
const OF_MESSAGES: [(&str, &[&str], bool); 4] = [
    // Pages of a conversation, in order; no seq twice.
    ("place", &["conversation", "seq"], true),
    // A device's message by its number.
    ("number", &["device", "group", "number"], false),
    // What an entry of the log wrote, for snapshots.
    ("entry", &["entry"], false),
    // What somebody has not read; in a conversation, up to a seq.
    ("unread", &["to", "read", "conversation", "seq"], false),
];

fn index((name, fields, unique): (&str, &[&str], bool)) -> Document {
    let keys: Document = fields.iter().map(|field| ((*field).to_owned(), 1.into())).collect();
    if unique {
        doc! { "name": name, "key": keys, "unique": true }
    } else {
        doc! { "name": name, "key": keys }
    }
}

/// Makes the indexes that are missing.
///
/// # Errors
/// When the database does not answer, or refuses.
pub(super) async fn make(db: &Db) -> Result<(), StoreError> {
    let mut indexes: Vec<Document> = OF_MESSAGES.into_iter().map(index).collect();
    indexes.push(doc! { "name": "imported", "key": { "imported": 1 }, "sparse": true });
    let create = |collection, indexes: Vec<Document>| {
        doc! { "createIndexes": collection, "indexes": indexes, "writeConcern": durable() }
    };
    db.command(&create(MESSAGES, indexes)).await?;
    // A collection that is there is found at once, also when it is empty.
    let plain = doc! { "name": "entry", "key": { "entry": 1 } };
    db.command(&create(INCOMING, vec![plain])).await.map(drop)
}
