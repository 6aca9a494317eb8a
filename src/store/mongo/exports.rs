//! Documents of what other clusters are told, one for each position, made for people to read
//! and query. It must not know how documents are written.
//!
//! `_id` is made of the link's number and the position, so that what a cluster is told is a
//! range of ids. `entry`, `first` and `before` say how it lay in the log: the entry's index, the
//! entry's first position for this cluster, and the hash before that. With them every row can
//! be made again, byte for byte.

use super::fields::{self, Reading, date, hex, int};
use super::messages::{body, put_body};
use crate::chat::ids::{ClusterId, ConversationId, DeviceId, UserId};
use crate::chat::link::{Export, LinkNumber, Marks, Messages};
use crate::chat::write::Write;
use crate::store::StoreError;
use crate::store::record::{Row, Table};
use crate::store::tables::unreadable;
use crate::wire::stored;
use mongodb::bson::{Bson, Document, doc};
use std::collections::BTreeMap;

const MESSAGES: &str = "messages";
const MARKS: &str = "marks";

/// The `_id` of an export: ordered by link and position.
pub(super) fn key(link: LinkNumber, position: u64) -> String {
    format!("{link:016x}:{position:020}")
}

/// The documents of all exports in rows of history. The entry of each is named by the row that
/// finds it, which stands among them.
///
/// # Errors
/// `Corrupt` where a row cannot be read, or no other one finds it.
pub(super) fn documents_in<'a>(
    rows: impl Iterator<Item = &'a Row> + Clone,
) -> Result<Vec<Document>, StoreError> {
    let mut entries = BTreeMap::new();
    for row in rows.clone().filter(|row| row.table == Table::HistoryIndex) {
        let (entry, place) = stored::parse_history_index_key(&row.key).map_err(unreadable)?;
        if let Some(link) = place.link() {
            let first = stored::parse_history_index_value(&row.value).map_err(unreadable)?;
            entries.insert((link, first), entry);
        }
    }
    let mut all = Vec::new();
    for row in rows.filter(|row| row.table == Table::Exports) {
        let (link, first) = stored::parse_exports_key(&row.key).map_err(unreadable)?;
        let (before, items) = stored::decode_exports(row.value.clone()).map_err(unreadable)?;
        let entry = entries.get(&(link, first)).copied().ok_or_else(|| {
            StoreError::Corrupt(format!("nothing finds what link {link} was told at {first}"))
        })?;
        for (item, position) in items.iter().zip(first..) {
            let mut document = doc! {
                "_id": key(link, position), "link": int(link), "position": int(position),
            };
            document.extend(match item {
                Export::Messages(messages) => of_messages(messages),
                Export::Marks(marks) => of_marks(marks),
            });
            document.insert("entry", int(entry));
            document.insert("first", int(first));
            document.insert("before", hex(&before));
            all.push(document);
        }
    }
    Ok(all)
}

fn of_messages(m: &Messages) -> Document {
    let bodies = m.bodies.iter().map(|body| {
        let mut document = Document::new();
        put_body(&mut document, body);
        document
    });
    doc! {
        "what": MESSAGES,
        "from": &m.name,
        "from_id": m.sender.to_string(),
        "to_id": m.to.to_string(),
        "origin": m.origin.to_string(),
        "device": m.device.to_string(),
        "first_number": int(m.first_number),
        "at": date(m.at_ms),
        "bodies": bodies.collect::<Vec<_>>(),
    }
}

fn of_marks(m: &Marks) -> Document {
    let mut document = doc! {
        "what": MARKS,
        "reader_id": m.reader.to_string(),
        "writer_id": m.writer.to_string(),
    };
    for (field, place) in [("delivered", m.delivered), ("read", m.read)] {
        if let Some((device, number)) = place {
            document.insert(field, doc! { "device": device.to_string(), "number": int(number) });
        }
    }
    document
}

/// Where an export stands.
pub(super) struct Place {
    /// Log index of its entry.
    pub entry: u64,
    /// The cluster's number.
    pub link: LinkNumber,
    /// Its position.
    pub position: u64,
    /// The entry's first position for that cluster.
    pub first: u64,
}

impl Place {
    /// The conversation that it counts as where entries are exported.
    pub(super) const fn room(&self) -> ConversationId {
        ConversationId::of_link(self.link)
    }
}

const fn reading(document: &Document) -> Reading<'_> {
    Reading { collection: fields::EXPORTS, document }
}

/// Where an export stands.
///
/// # Errors
/// `Corrupt` where a field cannot be read.
pub(super) fn place(document: &Document) -> Result<Place, StoreError> {
    let read = reading(document);
    Ok(Place {
        entry: read.number("entry")?,
        link: read.number("link")?,
        position: read.number("position")?,
        first: read.number("first")?,
    })
}

/// The rows of what one entry told one cluster, from all its documents in order of position.
///
/// # Errors
/// `Corrupt` where a field cannot be read or a position is missing.
pub(super) fn rows(documents: &[Document]) -> Result<Vec<Row>, StoreError> {
    let Some(head) = documents.first() else { return Ok(Vec::new()) };
    let (at, before) = (place(head)?, reading(head).hex("before")?);
    let mut items = Vec::new();
    for (document, position) in documents.iter().zip(at.first..) {
        if place(document)?.position != position {
            return Err(reading(document).bad("predecessor"));
        }
        items.push(item(&reading(document))?);
    }
    let (link, first) = (at.link, at.first);
    Ok(stored::rows(at.entry, &Write::Exports { link, first, before, items }))
}

/// Sorts documents of one entry by their link, in order of position.
pub(super) fn by_link(
    documents: Vec<Document>,
) -> Result<BTreeMap<ConversationId, Vec<Document>>, StoreError> {
    let mut sorted = BTreeMap::new();
    for document in documents {
        let place = place(&document)?;
        sorted.insert((place.room(), place.position), document);
    }
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for ((room, _), document) in sorted {
        all.entry(room).or_default().push(document);
    }
    Ok(all)
}

fn item(read: &Reading<'_>) -> Result<Export, StoreError> {
    match read.text("what")? {
        MESSAGES => Ok(Export::Messages(Messages {
            sender: read.id("from_id", UserId::parse)?,
            name: read.text("from")?.to_owned(),
            to: read.id("to_id", UserId::parse)?,
            origin: read.id("origin", ClusterId::parse)?,
            device: read.id("device", DeviceId::parse)?,
            first_number: read.number("first_number")?,
            at_ms: read.date("at")?,
            bodies: read
                .list("bodies")?
                .iter()
                .map(|one| read_body(read, one))
                .collect::<Result<_, _>>()?,
        })),
        MARKS => Ok(Export::Marks(Marks {
            reader: read.id("reader_id", UserId::parse)?,
            writer: read.id("writer_id", UserId::parse)?,
            delivered: sent_place(read, "delivered")?,
            read: sent_place(read, "read")?,
        })),
        _ => Err(read.bad("what")),
    }
}

fn read_body(read: &Reading<'_>, one: &Bson) -> Result<crate::chat::message::Body, StoreError> {
    let document = one.as_document().ok_or_else(|| read.bad("bodies"))?;
    body(&Reading { collection: read.collection, document }).map_err(|_| read.bad("bodies"))
}

fn sent_place(read: &Reading<'_>, field: &str) -> Result<Option<(DeviceId, u64)>, StoreError> {
    if !read.has(field) {
        return Ok(None);
    }
    let document = read.document.get_document(field).map_err(|_| read.bad(field))?;
    let inner = Reading { collection: read.collection, document };
    let place =
        inner.id("device", DeviceId::parse).and_then(|id| Ok((id, inner.number("number")?)));
    place.map(Some).map_err(|_| read.bad(field))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::scripts;
    use crate::wire::random;
    use rand::Rng;

    #[test]
    fn every_row_comes_back_from_its_documents() {
        scripts::seeds(500, |rng| {
            let items: Vec<Export> =
                (0..rng.random_range(1..9)).map(|_| random::export(rng)).collect();
            let (link, first) = (rng.random_range(1..64), rng.random_range(1..1 << 40));
            let write = Write::Exports { link, first, before: rng.random(), items };
            let rows = stored::rows(rng.random_range(0..1 << 40), &write);
            assert_eq!(self::rows(&documents_in(rows.iter()).unwrap()).unwrap(), rows);
        });
    }

    #[test]
    fn a_missing_position_is_named() {
        scripts::seeds(20, |rng| {
            let items = vec![random::export(rng), random::export(rng), random::export(rng)];
            let write = Write::Exports { link: 3, first: 7, before: [1; 32], items };
            let rows = stored::rows(1, &write);
            let mut documents = documents_in(rows.iter()).unwrap();
            documents.remove(1);
            let error = self::rows(&documents).unwrap_err().to_string();
            assert!(error.contains("exports") && error.contains("predecessor"), "{error}");
        });
    }
}
