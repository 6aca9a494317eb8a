//! The documents that the MongoDB store makes of an entry, made again here: same collections,
//! fields, types and sizes, so that the driver alone can write them. docs/mongodb.md describes
//! them. It must not know how they are written.

use super::town::Step;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, Document, doc};
use rustchat::chat::ids::UserId;
use rustchat::chat::message::Run;
use rustchat::chat::write::{Conversation, Meta, Sent, Write};
use rustchat::store::record::{LogId, Row, Table};
use rustchat::wire::stored;

/// An entry as documents.
pub struct Documents {
    /// Of `log`.
    pub log: Document,
    /// Where the log ends with it, for the document of `node`.
    pub last: Document,
    /// Of `messages`, one each.
    pub messages: Vec<Document>,
    /// Of `hashes`.
    pub hash: Document,
    /// Fields of the document of `applied`.
    pub applied: Document,
    /// Of the small state: collection and document.
    pub small: Vec<(&'static str, Document)>,
    /// Bytes of its rows, by which the store bounds a flush.
    pub bytes: usize,
}

/// The documents of an entry.
pub fn of(step: &Step) -> Documents {
    let index = step.id.index;
    let history = step.history().flat_map(|value| {
        let (runs, _) = stored::decode_runs(value.clone()).unwrap();
        let first = runs.first().map_or(0, |run| run.first_seq);
        runs.into_iter().flat_map(move |run| messages(&run, index, first))
    });
    let hash = hex(&step.mark.hash);
    let small = step.applied.writes.iter().filter_map(|write| small(write, index));
    let pending = step.rows.iter().filter(|row| of_small_state(row)).map(row);
    Documents {
        log: doc! {
            "_id": int(index), "term": int(step.id.term), "epoch": int(1),
            "payload": binary(&step.entry().payload),
        },
        last: log_id(step.id),
        messages: history.collect(),
        hash: doc! { "_id": int(index), "term": int(step.id.term), "hash": &hash },
        applied: doc! {
            "applied": log_id(step.id), "hash": hash, "membership": binary(&step.mark.membership),
            "membership_at": Bson::Null, "pending": pending.collect::<Vec<Document>>(),
        },
        small: small.collect(),
        bytes: step.rows.iter().map(|row| row.key.len() + row.value.len()).sum(),
    }
}

fn of_small_state(row: &Row) -> bool {
    !matches!(row.table, Table::History | Table::SentIndex | Table::HistoryIndex)
}

fn row(row: &Row) -> Document {
    let table = int(u64::from(row.table as u32));
    doc! { "table": table, "key": binary(&row.key), "value": binary(&row.value) }
}

fn messages(run: &Run, entry: u64, first: u64) -> Vec<Document> {
    let last_number = run.first_number + run.count() - 1;
    let message = |(body, offset): (&rustchat::chat::message::Body, u64)| {
        let seq = run.first_seq + offset;
        doc! {
            "_id": format!("{:016x}:{seq:020}", run.conversation.0),
            "id": run.id(offset).to_string(),
            "conversation": run.conversation.to_string(),
            "seq": int(seq),
            "at": date(run.at_ms),
            "from_id": run.sender.to_string(),
            "text": std::str::from_utf8(&body.data).unwrap(),
            "device": run.device.to_string(),
            "group": int(run.group.into()),
            "number": int(run.first_number + offset),
            "entry": int(entry),
            "first": int(first),
            "run_first": int(run.first_number),
            "run_last": int(last_number),
            "from": name(run.sender),
            "read": false,
            "to": "user-1",
        }
    };
    run.bodies.iter().zip(0..).map(message).collect()
}

fn small(write: &Write, entry: u64) -> Option<(&'static str, Document)> {
    let (collection, mut document) = match write {
        Write::Meta(meta) => ("cluster", cluster(meta)),
        Write::Conversation(room) => ("conversations", conversation(room)),
        Write::Sent(sent) => ("sends", sends(sent)),
        _ => return None,
    };
    document.insert("entry", int(entry));
    Some((collection, document))
}

fn cluster(meta: &Meta) -> Document {
    doc! {
        "_id": "cluster", "cluster": meta.cluster.to_string(), "name": &meta.name,
        "generation": int(meta.generation), "format": int(meta.format.into()),
        "last_user": int(meta.last_user), "last_conversation": int(meta.last_conversation),
        "last_at": date(meta.last_at_ms), "began_at": date(meta.began_ms),
        "former": Vec::<String>::new(), "registration": "open",
        "invitations": Vec::<Document>::new(),
    }
}

fn conversation(room: &Conversation) -> Document {
    doc! {
        "_id": room.id.to_string(), "kind": "direct",
        "members": room.members.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "member_names": room.members.iter().map(|id| name(*id)).collect::<Vec<_>>(),
        "last_seq": int(room.last_seq), "title": &room.title, "trail": Vec::<Document>::new(),
    }
}

fn sends(sent: &Sent) -> Document {
    doc! {
        "_id": format!("{}:{:x}", sent.device, sent.group), "device": sent.device.to_string(),
        "group": int(sent.group.into()), "last_number": int(sent.last_number),
        "refusals": Vec::<Document>::new(),
    }
}

/// The name of one of the town's people.
fn name(user: UserId) -> String {
    format!("user-{}", user.number - 1)
}

/// A number as the store writes all of them.
pub fn int(number: u64) -> Bson {
    Bson::Int64(number.cast_signed())
}

fn date(ms: u64) -> Bson {
    Bson::DateTime(DateTime::from_millis(ms.cast_signed()))
}

fn binary(bytes: &[u8]) -> Bson {
    Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn log_id(id: LogId) -> Document {
    doc! { "term": int(id.term), "index": int(id.index) }
}
