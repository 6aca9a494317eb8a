//! Reads of messages: pages of a conversation, a device's message by its number, what another
//! cluster is told, and pages of entries for a snapshot. It must not know what is not flushed yet.

use super::db::Db;
use super::exports;
use super::fields::{EXPORTS, HASHES, MESSAGES, Reading, int};
use super::messages::{self, Place};
use crate::chat::ids::{ConversationId, DeviceId, Group};
use crate::chat::link::LinkNumber;
use crate::chat::write::SentIndex;
use crate::store::StoreError;
use crate::store::record::{Row, Table};
use crate::store::tables::Page;
use crate::wire::stored;
use bytes::Bytes;
use mongodb::bson::{Document, doc};
use std::collections::BTreeMap;

/// What a message takes in a snapshot besides its text, roughly.
const MESSAGE_BYTES: usize = 100;

/// Values of a page, each with what it begins with, and whether there may be more.
pub(super) type Values = (Vec<(u64, Bytes)>, bool);

/// Values of history that hold seqs of `from..=to`, of entries up to `upto`, until `max_bytes`
/// are there (at least one); none is cut. With them whether there may be more.
pub(super) async fn history(
    db: &Db,
    upto: u64,
    conversation: ConversationId,
    (from, to): (u64, u64),
    max_bytes: usize,
) -> Result<Values, StoreError> {
    let key = |seq| messages::key(conversation, seq);
    let order = doc! { "_id": 1 };
    let from_here = doc! { "_id": { "$gte": key(from), "$lte": key(u64::MAX) } };
    let until = || past_the_page(to, max_bytes);
    let (mut found, cut) = db.find_until(MESSAGES, from_here, order.clone(), until).await?;
    if cut {
        found.pop();
    }
    let Some(first) = found.first() else { return Ok((Vec::new(), false)) };
    let first = messages::place(first)?;
    if first.seq > to {
        return Ok((Vec::new(), false));
    }
    if first.first < first.seq {
        // The first value begins before `from`.
        let before = doc! { "_id": { "$gte": key(first.first), "$lt": key(first.seq) } };
        let mut head = db.find(MESSAGES, before, order).await?;
        head.append(&mut found);
        found = head;
    }
    Ok((values(&found, upto, to, max_bytes)?, cut))
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

/// Values of what a cluster is told, of entries up to `upto`, from the one that holds position
/// `from`, or the last one before it, until `max_bytes` are there (at least one). With them
/// whether there may be more.
pub(super) async fn exports(
    db: &Db,
    upto: u64,
    link: LinkNumber,
    from: u64,
    max_bytes: usize,
) -> Result<Values, StoreError> {
    let key = |position| exports::key(link, position);
    let before = doc! {
        "_id": { "$gte": key(0), "$lte": key(from) }, "entry": { "$lte": int(upto) },
    };
    let Some(head) = db.one(EXPORTS, before, doc! { "_id": -1 }).await? else {
        return Ok((Vec::new(), false));
    };
    let first = exports::place(&head)?.first;
    let from_here = doc! { "_id": { "$gte": key(first), "$lte": key(u64::MAX) } };
    let until = || {
        let (mut bytes, mut value) = (0, None);
        move |document: &Document| {
            let Ok(place) = exports::place(document) else { return false };
            let next = value.replace(place.first).is_some_and(|before| before != place.first);
            let full = bytes >= max_bytes;
            bytes += export_bytes(document);
            next && full
        }
    };
    let order = doc! { "_id": 1 };
    let (mut found, cut) = db.find_until(EXPORTS, from_here, order, until).await?;
    if cut {
        found.pop();
    }
    let places = found.iter().map(exports::place).collect::<Result<Vec<_>, _>>()?;
    let (mut page, mut at) = (Vec::new(), 0);
    while let Some(place) = places.get(at).filter(|place| place.entry <= upto) {
        let rest = places.iter().skip(at);
        let count = rest.take_while(|other| other.first == place.first).count();
        let rows = exports::rows(found.get(at..at + count).unwrap_or_default())?;
        let value = rows.into_iter().find(|row| row.table == Table::Exports);
        page.extend(value.map(|row| (place.first, row.value)));
        at += count;
    }
    Ok((page, cut))
}

fn export_bytes(document: &Document) -> usize {
    let bodies = document.get_array("bodies").map(Vec::as_slice).unwrap_or_default();
    let bodies = bodies.iter().filter_map(|body| body.as_document()).map(body_bytes);
    bodies.sum::<usize>() + MESSAGE_BYTES
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
    let page = (after, upto, max_bytes);
    let (messages, end) = entries(db, MESSAGES, page, |document| {
        let place = messages::place(document)?;
        Ok((place.entry, place.conversation, body_bytes(document) + MESSAGE_BYTES))
    })
    .await?;
    let (told, told_end) = entries(db, EXPORTS, page, |document| {
        let place = exports::place(document)?;
        Ok((place.entry, place.room(), export_bytes(document)))
    })
    .await?;
    // Up to where both are there.
    pages(messages, told, after, end.min(told_end))
}

/// Documents by their entries.
type Entries = BTreeMap<u64, Vec<Document>>;

/// The documents of a collection of entries from `after` on, about `max_bytes`, and the last
/// entry of which all are there.
async fn entries(
    db: &Db,
    collection: &str,
    (after, upto, max_bytes): (Option<(u64, ConversationId)>, u64, usize),
    place: impl Fn(&Document) -> Result<(u64, ConversationId, usize), StoreError> + Send + Sync + Copy,
) -> Result<(Entries, u64), StoreError> {
    let from = after.map_or(0, |(index, _)| index);
    let filter = doc! { "entry": { "$gte": int(from), "$lte": int(upto) } };
    // Enough was read with a document of the next entry when the page is full.
    let until = || {
        let (mut bytes, mut entry) = (0, None);
        move |document: &Document| {
            // What cannot be read is told when the rows are made.
            let Ok((at, room, size)) = place(document) else { return false };
            let next = entry.replace(at).is_some_and(|before| before != at);
            let full = bytes >= max_bytes;
            if Some((at, room)) > after {
                bytes += size;
            }
            next && full
        }
    };
    let (mut found, cut) = db.find_until(collection, filter, doc! { "entry": 1 }, until).await?;
    if cut {
        found.pop();
    }
    let mut all = Entries::new();
    for document in found {
        all.entry(place(&document)?.0).or_default().push(document);
    }
    let end = all.last_key_value().map(|(entry, _)| *entry).filter(|_| cut);
    Ok((all, end.unwrap_or(u64::MAX)))
}

fn pages(
    messages: Entries,
    told: Entries,
    after: Option<(u64, ConversationId)>,
    end: u64,
) -> Result<Option<Page>, StoreError> {
    let mut all: BTreeMap<(u64, ConversationId), Vec<Row>> = BTreeMap::new();
    for (entry, documents) in messages.into_iter().take_while(|(entry, _)| *entry <= end) {
        for (conversation, documents) in messages::by_conversation(documents)? {
            if Some((entry, conversation)) > after {
                all.insert((entry, conversation), messages::rows(&documents, entry)?);
            }
        }
    }
    for (entry, documents) in told.into_iter().take_while(|(entry, _)| *entry <= end) {
        for (room, documents) in exports::by_link(documents)? {
            if Some((entry, room)) > after {
                all.insert((entry, room), exports::rows(&documents)?);
            }
        }
    }
    let place = all.last_key_value().map(|(place, _)| *place);
    Ok(place.map(|place| (all.into_values().flatten().collect(), place)))
}
