//! The document that says how far the state has come: the one write of a flush that counts.
//! With it go the rows of the small state that the flush changes, so that a process that ends
//! before their documents are written finds them here. It must not know documents of people.

use super::db::Db;
use super::fields::{self, APPLIED, Reading, bytes, hex, int, log_id};
use super::lease::{Lease, taken_over};
use crate::store::StoreError;
use crate::store::record::{Mark, Row, Table};
use mongodb::bson::{Bson, Document, doc};

const ID: &str = "applied";

/// What a snapshot that is counted already still has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Install {
    /// Its messages are in place, but for the names.
    InPlace,
    /// Its messages replace all others.
    Replace,
}

/// The document, read.
pub(super) struct Applied {
    /// How far the state has come.
    pub(super) mark: Mark,
    /// Rows whose documents may not be written yet.
    pub(super) pending: Vec<Row>,
    /// A snapshot began to arrive, and did not come to be installed.
    pub(super) importing: bool,
    /// A snapshot counts, and its documents may not be written yet.
    pub(super) install: Option<Install>,
}

fn row_document(row: &Row) -> Document {
    doc! { "table": int(u64::from(row.table as u32)), "key": bytes(&row.key), "value": bytes(&row.value) }
}

fn row(collection: &str, document: &Document) -> Result<Row, StoreError> {
    let read = Reading { collection, document };
    let table = Table::from_number(read.small("table")?).ok_or_else(|| read.bad("table"))?;
    Ok(Row { table, key: read.bytes("key")?, value: read.bytes("value")? })
}

/// Rows as documents of a collection, numbered.
pub(super) fn numbered(rows: &[Row]) -> Vec<Document> {
    let numbered = |(row, number): (&Row, u64)| {
        let mut document = doc! { "_id": int(number) };
        document.extend(row_document(row));
        document
    };
    rows.iter().zip(0..).map(numbered).collect()
}

/// Rows from documents of a collection.
pub(super) fn rows(collection: &str, documents: &[Document]) -> Result<Vec<Row>, StoreError> {
    documents.iter().map(|document| row(collection, document)).collect()
}

/// The fields of a mark.
pub(super) fn mark_fields(mark: &Mark) -> Document {
    doc! {
        "applied": log_id(mark.applied),
        "hash": hex(&mark.hash),
        "membership": bytes(&mark.membership),
        "membership_at": log_id(mark.membership_id),
    }
}

/// Reads the document, and makes it where there is none.
pub(super) async fn read(db: &Db) -> Result<Applied, StoreError> {
    let Some(document) = db.one(APPLIED, doc! { "_id": ID }, doc! {}).await? else {
        return Ok(Applied {
            mark: Mark::default(),
            pending: Vec::new(),
            importing: false,
            install: None,
        });
    };
    let read = Reading { collection: APPLIED, document: &document };
    let mark = Mark {
        applied: read.log_id("applied")?,
        hash: read.hex("hash")?,
        membership: read.bytes("membership")?,
        membership_id: read.log_id("membership_at")?,
    };
    let pending = read.list("pending")?.iter();
    let pending = pending.map(|row| row.as_document().ok_or_else(|| read.bad("pending")));
    let pending: Vec<Row> =
        pending.map(|document| row(APPLIED, document?)).collect::<Result<_, _>>()?;
    let install = match document.get_str("install") {
        Ok("in_place") => Some(Install::InPlace),
        Ok("replace") => Some(Install::Replace),
        Ok(_) => return Err(read.bad("install")),
        Err(_) => None,
    };
    Ok(Applied { mark, pending, importing: fields::flag(&document, "importing"), install })
}

/// Makes the document where there is none, and takes it from an earlier owner: none of its
/// writes counts any more.
pub(super) async fn take(db: &Db, lease: &Lease) -> Result<(), StoreError> {
    let mut fresh = doc! { "_id": ID, "epoch": int(lease.epoch), "pending": [] };
    fresh.extend(mark_fields(&Mark::default()));
    if db.insert(APPLIED, vec![fresh]).await?.is_empty() {
        return Ok(());
    }
    let older = doc! { "_id": ID, "epoch": { "$lte": int(lease.epoch) } };
    let take = doc! { "q": older, "u": { "$set": { "epoch": int(lease.epoch) } } };
    match db.update(APPLIED, vec![take]).await?.matched {
        0 => Err(taken_over(db.name())),
        _ => Ok(()),
    }
}

/// Changes fields, as the owner.
pub(super) async fn set(db: &Db, lease: &Lease, fields: Document) -> Result<(), StoreError> {
    let own = doc! { "_id": ID, "epoch": int(lease.epoch) };
    let statement = doc! { "q": own, "u": { "$set": fields } };
    match db.update(APPLIED, vec![statement]).await?.matched {
        0 => Err(taken_over(db.name())),
        _ => Ok(()),
    }
}

/// The fields of a flush: the mark, and the rows of the small state that it changes.
pub(super) fn flush_fields(mark: &Mark, pending: &[Row]) -> Document {
    let mut fields = mark_fields(mark);
    let rows: Vec<Bson> = pending.iter().map(|row| Bson::Document(row_document(row))).collect();
    fields.insert("pending", rows);
    fields
}
