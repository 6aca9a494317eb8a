//! The indexes that back every query that is made, by the server or by people. It must not
//! know who asks.

use super::db::Db;
use super::fields::{EXPORTS, MESSAGES, durable};
use crate::store::StoreError;
use mongodb::bson::{Document, doc};

/// Of what other clusters are told.
const OF_EXPORTS: (&str, &[&str], bool) = ("entry", &["entry"], false);

/// The indexes of messages, besides the one on `_id`: name, fields, unique.
const OF_MESSAGES: [(&str, &[&str], bool); 3] = [
    // A device's message by its number; none twice.
    ("number", &["device", "group", "number"], true),
    // What an entry of the log wrote, for snapshots.
    ("entry", &["entry"], false),
    // What somebody has not read.
    ("unread", &["to", "read"], false),
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
    for (collection, index) in all() {
        // One at a time: a server that has some of them already takes the others.
        let create = doc! {
            "createIndexes": collection, "indexes": [index], "writeConcern": durable(),
        };
        db.command(&create).await?;
    }
    Ok(())
}

fn all() -> Vec<(&'static str, Document)> {
    let mut all: Vec<_> = OF_MESSAGES.into_iter().map(|of| (MESSAGES, index(of))).collect();
    let sparse = doc! { "name": "imported", "key": { "imported": 1 }, "sparse": true };
    all.push((EXPORTS, index(OF_EXPORTS)));
    all.extend([MESSAGES, EXPORTS].map(|collection| (collection, sparse.clone())));
    all
}
