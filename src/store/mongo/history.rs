//! Reads of messages: pages of a conversation, a device's message by its number, and pages of
//! entries for a snapshot. It must not know what is not flushed yet.

use super::db::Db;
use super::fields::{HASHES, MESSAGES, Reading, int};
use super::messages::{self, Place};
use crate::chat::ids::{ConversationId, DeviceId, Group};
use crate::chat::write::SentIndex;
use crate::store::StoreError;
use crate::store::tables::Page;
use crate::wire::stored;
use bytes::Bytes;
use mongodb::bson::{Document, doc};
use std::collections::BTreeMap;

/// What a message takes in a snapshot besides its text, roughly.
const MESSAGE_BYTES: usize = 100;

/// Values of history that hold seqs of `from..=to`, of entries up to `upto`, until `max_bytes`
/// are there (at least one); none is cut.
pub(super) async fn history(
    db: &Db,
    upto: u64,
    conversation: ConversationId,
    (from, to): (u64, u64),
    max_bytes: usize,
) -> Result<Vec<(u64, Bytes)>, StoreError> {
    let key = |seq| messages::key(conversation, seq);
    let order = doc! { "_id": 1 };
    let from_here = doc! { "_id": { "$gte": key(from), "$lte": key(u64::MAX) } };
    let until = || past_the_page(to, max_bytes);
    let (mut found, cut) = db.find_until(MESSAGES, from_here, order.clone(), until).await?;
    if cut {
        found.pop();
    }
    let Some(first) = found.first() else { return Ok(Vec::new()) };
    let first = messages::place(first)?;
    if first.seq > to {
        return Ok(Vec::new());
    }
    if first.first < first.seq {
        // The first value begins before `from`.
        let before = doc! { "_id": { "$gte": key(first.first), "$lt": key(first.seq) } };
        let mut head = db.find(MESSAGES, before, order).await?;
        head.append(&mut found);
        found = head;
    }
    values(&found, upto, to, max_bytes)
}

/// Tells when enough was read: a document of the next value when the page is full.
fn past_the_page(to: u64, max_bytes: usize) -> impl FnMut(&Document) -> bool + Send {
    let (mut bytes, mut value) = (0, None);
    move |document| {
        // What cannot be read is told when the values are made.
        let Ok(place) = messages::place(document) else { return false };
        let next = value.replace(place.first).is_some_and(|before| before != place.first);
        let full = place.seq > to || bytes >= max_bytes;
        bytes += body_bytes(document);
        next && full
    }
}

fn body_bytes(document: &Document) -> usize {
    document.get_str("text").or_else(|_| document.get_str("data")).map_or(0, str::len)
}

/// Puts documents together to values.
fn values(
    found: &[Document],
    upto: u64,
    to: u64,
    max_bytes: usize,
) -> Result<Vec<(u64, Bytes)>, StoreError> {
    let places: Vec<Place> = found.iter().map(messages::place).collect::<Result<_, _>>()?;
    let (mut page, mut bytes, mut at) = (Vec::new(), 0, 0);
    while let Some(place) = places.get(at) {
        let rest = places.get(at..).unwrap_or_default();
        let count = rest.iter().take_while(|other| other.first == place.first).count();
        let full = bytes >= max_bytes && !page.is_empty();
        if place.entry > upto || place.first > to || full {
            break;
        }
        let documents = found.get(at..at + count).unwrap_or_default();
        let value = stored::encode_runs(&messages::runs(documents)?, place.entry);
        bytes += value.len();
        page.push((place.first, value));
        at += count;
    }
    Ok(page)
}

/// See [`crate::store::Store::sent_index`].
pub(super) async fn sent_index(
    db: &Db,
    upto: u64,
    device: DeviceId,
    group: Group,
    number: u64,
) -> Result<Option<SentIndex>, StoreError> {
    let filter = doc! {
        "device": device.to_string(), "group": int(group.into()), "number": int(number),
    };
    let Some(document) = db.one(MESSAGES, filter, doc! {}).await? else { return Ok(None) };
    let counts = messages::place(&document)?.entry <= upto;
    counts.then(|| messages::sent_index(&document)).transpose()
}

/// See [`crate::store::Store::hash_at`].
pub(super) async fn hash_at(db: &Db, index: u64) -> Result<Option<[u8; 32]>, StoreError> {
    let Some(document) = db.one(HASHES, doc! { "_id": int(index) }, doc! {}).await? else {
        return Ok(None);
    };
    Reading { collection: HASHES, document: &document }.hex("hash").map(Some)
}

/// See [`crate::store::Store::export`].
pub(super) async fn export(
    db: &Db,
    after: Option<(u64, ConversationId)>,
    upto: u64,
    max_bytes: usize,
) -> Result<Option<Page>, StoreError> {
    let from = after.map_or(0, |(index, _)| index);
    let filter = doc! { "entry": { "$gte": int(from), "$lte": int(upto) } };
    let until = || past_the_entries(after, max_bytes);
    let (mut found, cut) = db.find_until(MESSAGES, filter, doc! { "entry": 1 }, until).await?;
    if cut {
        found.pop();
    }
    pages(found, after)
}

/// Tells when enough was read: a document of the next entry when the page is full.
fn past_the_entries(
    after: Option<(u64, ConversationId)>,
    max_bytes: usize,
) -> impl FnMut(&Document) -> bool + Send {
    let (mut bytes, mut entry) = (0, None);
    move |document| {
        let Ok(place) = messages::place(document) else { return false };
        let next = entry.replace(place.entry).is_some_and(|before| before != place.entry);
        let full = bytes >= max_bytes;
        if Some((place.entry, place.conversation)) > after {
            bytes += body_bytes(document) + MESSAGE_BYTES;
        }
        next && full
    }
}

fn pages(
    found: Vec<Document>,
    after: Option<(u64, ConversationId)>,
) -> Result<Option<Page>, StoreError> {
    let (mut rows, mut place) = (Vec::new(), None);
    let mut entries: BTreeMap<u64, Vec<Document>> = BTreeMap::new();
    for document in found {
        entries.entry(messages::place(&document)?.entry).or_default().push(document);
    }
    for (entry, documents) in entries {
        for (conversation, documents) in messages::by_conversation(documents)? {
            if Some((entry, conversation)) > after {
                rows.extend(messages::rows(&documents, entry)?);
                place = Some((entry, conversation));
            }
        }
    }
    Ok(place.map(|place| (rows, place)))
}
