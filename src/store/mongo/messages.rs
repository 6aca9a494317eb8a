//! Documents of messages, one each, made for people to read and query, and the runs that
//! they came in. It must not know how documents are written.
//!
//! `_id` is made of the conversation and the seq, so that a page of a conversation is a range
//! of ids. `entry`, `first`, `run_first` and `run_last` say how the messages lay in the log: the
//! entry's index, the entry's first `seq` in the conversation, and the first and last send
//! number of the run. With them every row of history can be made again, byte for byte.

use super::documents::Directory;
use super::fields::{self, Reading, date, hex, int};
use crate::chat::ids::{ConversationId, MessageId, UserId};
use crate::chat::message::{Body, KIND_TEXT, Run};
use crate::chat::write::{SentIndex, Write};
use crate::store::StoreError;
use crate::store::record::Row;
use crate::wire::stored;
use bytes::Bytes;
use mongodb::bson::{Bson, Document, doc};
use std::collections::BTreeMap;

/// The documents of the messages that the entry at `entry` put into a conversation.
pub(super) fn documents(runs: &[Run], entry: u64) -> Vec<Document> {
    let first = runs.first().map_or(0, |run| run.first_seq);
    let run_last = |run: &Run| (run.first_number + run.count()).saturating_sub(1);
    let of_run = |run: &Run| {
        let (conversation, device) = (run.conversation.to_string(), run.device.to_string());
        let (sender, last) = (run.sender.to_string(), run_last(run));
        let message = |(body, offset): (&Body, u64)| {
            let mut document = doc! {
                "_id": key(run.conversation, run.first_seq + offset),
                "id": run.id(offset).to_string(),
                "conversation": &conversation,
                "seq": int(run.first_seq + offset),
                "at": date(run.at_ms),
                "from_id": &sender,
            };
            put_body(&mut document, body);
            document.extend(doc! {
                "device": &device,
                "group": int(run.group.into()),
                "number": int(run.first_number + offset),
                "entry": int(entry),
                "first": int(first),
                "run_first": int(run.first_number),
                "run_last": int(last),
            });
            document
        };
        run.bodies.iter().zip(0..).map(message).collect::<Vec<_>>()
    };
    runs.iter().flat_map(of_run).collect()
}

/// The `_id` of a message: ordered by conversation and seq.
pub(super) fn key(conversation: ConversationId, seq: u64) -> String {
    format!("{:016x}:{seq:020}", conversation.0)
}

/// Text as text; anything else as its kind and hexadecimal digits.
pub(super) fn put_body(document: &mut Document, body: &Body) {
    match std::str::from_utf8(&body.data) {
        Ok(text) if body.kind == KIND_TEXT => {
            document.insert("text", text);
        }
        _ => {
            document.insert("kind", int(body.kind.into()));
            document.insert("data", hex(&body.data));
        }
    }
    if let Some(id) = body.refers_to {
        document.insert("refers_to", id.to_string());
    }
}

/// Adds what people look for: who wrote it, to whom, and in direct conversations whether
/// they have read it.
pub(super) fn address(
    document: &mut Document,
    room: ConversationId,
    sender: UserId,
    names: &Directory,
) {
    let to = names.recipients(room, sender);
    document.insert("from", names.name(sender));
    if matches!(to, Bson::String(_)) {
        document.insert("read", false);
    }
    document.insert("to", to);
}

/// Where a message stands.
pub(super) struct Place {
    /// Log index of its entry.
    pub entry: u64,
    /// Its conversation.
    pub conversation: ConversationId,
    /// Its seq there.
    pub seq: u64,
    /// The entry's first seq there.
    pub first: u64,
    /// Who wrote it.
    pub sender: UserId,
}

const fn reading(document: &Document) -> Reading<'_> {
    Reading { collection: fields::MESSAGES, document }
}

/// Where a message stands.
pub(super) fn place(document: &Document) -> Result<Place, StoreError> {
    let read = reading(document);
    Ok(Place {
        entry: read.number("entry")?,
        conversation: read.id("conversation", ConversationId::parse)?,
        seq: read.number("seq")?,
        first: read.number("first")?,
        sender: read.id("from_id", UserId::parse)?,
    })
}

/// The row of the send index that covers a message.
pub(super) fn sent_index(document: &Document) -> Result<SentIndex, StoreError> {
    let read = reading(document);
    let id = read.id("id", MessageId::parse)?;
    let (seq, first_number) = (read.number("seq")?, read.number("run_first")?);
    let offset = id.number.checked_sub(first_number).ok_or_else(|| read.bad("run_first"))?;
    Ok(SentIndex {
        device: id.device,
        group: id.group,
        first_number,
        last_number: read.number("run_last")?,
        conversation: read.id("conversation", ConversationId::parse)?,
        first_seq: seq.checked_sub(offset).ok_or_else(|| read.bad("seq"))?,
        at_ms: read.date("at")?,
    })
}

/// A body from the fields that [`put_body`] writes.
pub(super) fn body(read: &Reading<'_>) -> Result<Body, StoreError> {
    let (kind, data) = match read.document.get_str("text") {
        Ok(text) => (KIND_TEXT, Bytes::copy_from_slice(text.as_bytes())),
        Err(_) => (read.small("kind")?, read.id("data", fields::unhex).map(Bytes::from)?),
    };
    let refers_to = match read.document.contains_key("refers_to") {
        true => Some(read.id("refers_to", MessageId::parse)?),
        false => None,
    };
    Ok(Body { kind, data, refers_to })
}

/// The runs of one entry in one conversation, from all their messages in order of seq.
///
/// # Errors
/// `Corrupt` where a field cannot be read or a message is missing.
pub(super) fn runs(documents: &[Document]) -> Result<Vec<Run>, StoreError> {
    let mut runs: Vec<Run> = Vec::new();
    for document in documents {
        let read = reading(document);
        let id = read.id("id", MessageId::parse)?;
        let (place, body) = (place(document)?, body(&read)?);
        let next = runs.last().map_or(place.first, |run| run.last_seq() + 1);
        if place.seq != next {
            return Err(read.bad("predecessor"));
        }
        match runs.last_mut() {
            Some(run) if continues(run, &id, read.number("run_first")?) => run.bodies.push(body),
            _ => runs.push(Run {
                conversation: place.conversation,
                first_seq: place.seq,
                at_ms: read.date("at")?,
                sender: place.sender,
                origin: id.origin,
                device: id.device,
                group: id.group,
                first_number: id.number,
                bodies: vec![body],
            }),
        }
    }
    Ok(runs)
}

fn continues(run: &Run, id: &MessageId, run_first: u64) -> bool {
    (run.device, run.group, run.first_number) == (id.device, id.group, run_first)
        && id.number == run.first_number + run.count()
}

/// The rows of one entry in one conversation, in the order in which they are exported.
///
/// # Errors
/// As [`runs`].
pub(super) fn rows(documents: &[Document], entry: u64) -> Result<Vec<Row>, StoreError> {
    let runs = runs(documents)?;
    let Some(conversation) = runs.first().map(|run| run.conversation) else { return Ok(vec![]) };
    let index = |run: &Run| stored::rows(entry, &Write::SentIndex(SentIndex::of(run)));
    let indexes: Vec<Row> = runs.iter().flat_map(index).collect();
    let mut rows = stored::rows(entry, &Write::History { conversation, runs });
    rows.extend(indexes);
    Ok(rows)
}

/// Sorts messages of one entry by their conversation, in order of seq.
pub(super) fn by_conversation(
    documents: Vec<Document>,
) -> Result<BTreeMap<ConversationId, Vec<Document>>, StoreError> {
    let mut places = Vec::with_capacity(documents.len());
    for document in documents {
        let place = place(&document)?;
        places.push((place.conversation, place.seq, document));
    }
    places.sort_by_key(|(conversation, seq, _)| (*conversation, *seq));
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for (conversation, _, document) in places {
        all.entry(conversation).or_default().push(document);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::scripts;
    use crate::chat::state::State;
    use crate::store::record::Table;

    #[test]
    fn every_row_of_history_comes_back_from_its_documents() {
        scripts::seeds(200, |rng| {
            let mut state = State::default();
            for (entry, (at_ms, commands)) in (1..).zip(scripts::log(rng, 40)) {
                let applied = state.apply(at_ms, &commands);
                let rows = |wanted: &dyn Fn(&Row) -> bool| {
                    let rows = applied.writes.iter().flat_map(|w| stored::rows(entry, w));
                    let mut rows: Vec<Row> = rows.filter(|row| wanted(row)).collect();
                    rows.sort_by(|a, b| (a.table, &a.key).cmp(&(b.table, &b.key)));
                    rows
                };
                let of_messages = |row: &Row| match row.table {
                    Table::History | Table::SentIndex => true,
                    Table::HistoryIndex => {
                        stored::parse_history_index_key(&row.key).unwrap().1.link().is_none()
                    }
                    _ => false,
                };
                let expected = rows(&of_messages);
                let mut made = Vec::new();
                for write in &applied.writes {
                    if let Write::History { runs, .. } = write {
                        let documents = documents(runs, entry);
                        for document in &documents {
                            let found = sent_index(document).unwrap();
                            assert!(applied.writes.contains(&Write::SentIndex(found)));
                        }
                        made.extend(self::rows(&documents, entry).unwrap());
                    }
                }
                made.sort_by(|a, b| (a.table, &a.key).cmp(&(b.table, &b.key)));
                assert_eq!(made, expected);
            }
        });
    }
}
