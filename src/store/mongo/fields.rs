//! Names of collections, and plain values in and out of documents. Numbers are 64-bit
//! integers, ids and names strings, times dates. It must not know which document it is.

use crate::store::StoreError;
use crate::store::record::LogId;
use bytes::Bytes;
use mongodb::bson::spec::BinarySubtype;
use mongodb::bson::{Binary, Bson, DateTime, Document, doc};

/// The node itself: who owns the data, its vote, what the log holds.
pub(super) const NODE: &str = "node";
/// Entries of the log.
pub(super) const LOG: &str = "log";
/// How far the state has come.
pub(super) const APPLIED: &str = "applied";
/// The rolling hash after each entry.
pub(super) const HASHES: &str = "hashes";
/// The cluster.
pub(super) const CLUSTER: &str = "cluster";
/// Users.
pub(super) const USERS: &str = "users";
/// Devices.
pub(super) const DEVICES: &str = "devices";
/// Conversations.
pub(super) const CONVERSATIONS: &str = "conversations";
/// How far each member has come in a conversation.
pub(super) const CURSORS: &str = "cursors";
/// How far each device's sends have come.
pub(super) const SENDS: &str = "sends";
/// Messages.
pub(super) const MESSAGES: &str = "messages";
/// Other clusters.
pub(super) const LINKS: &str = "links";
/// What other clusters are told.
pub(super) const EXPORTS: &str = "exports";
/// Messages of a snapshot that will replace all others.
pub(super) const INCOMING: &str = "incoming_messages";
/// What other clusters are told, of a snapshot that will replace all others.
pub(super) const INCOMING_EXPORTS: &str = "incoming_exports";
/// The small state of a snapshot, until it has replaced the old one.
pub(super) const INCOMING_STATE: &str = "incoming_state";

/// Collections of the small state, in the order in which it is loaded.
pub(super) const SMALL: [&str; 7] = [CLUSTER, USERS, DEVICES, CONVERSATIONS, CURSORS, SENDS, LINKS];

/// The server's code for an `_id` or another unique key that is there already.
pub(super) const DUPLICATE: u64 = 11000;

/// What every write waits for: a majority of the replica set has it in its journal.
pub(super) fn durable() -> Document {
    doc! { "w": "majority", "j": true }
}

/// A number, bit for bit: what the protocol counts never reaches the sign.
pub(super) fn int(number: u64) -> Bson {
    Bson::Int64(number.cast_signed())
}

/// A time, from milliseconds of UNIX time.
pub(super) fn date(ms: u64) -> Bson {
    Bson::DateTime(DateTime::from_millis(ms.cast_signed()))
}

/// Bytes: for the log and marks only.
pub(super) fn bytes(bytes: &[u8]) -> Bson {
    Bson::Binary(Binary { subtype: BinarySubtype::Generic, bytes: bytes.to_vec() })
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let halves = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    halves.filter_map(|half| char::from_digit(half.into(), 16)).collect()
}

/// Reads hexadecimal digits.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

/// A field that is a number: servers answer with one of three types.
pub(super) fn number(document: &Document, field: &str) -> Option<u64> {
    match document.get(field)? {
        Bson::Int64(n) => Some(n.cast_unsigned()),
        Bson::Int32(n) => u64::try_from(*n).ok(),
        Bson::Double(n) if *n >= 0.0 && n.fract() == 0.0 => Some(*n as u64),
        _ => None,
    }
}

/// A field that is true.
pub(super) fn flag(document: &Document, field: &str) -> bool {
    document.get_bool(field).unwrap_or(false)
}

/// Place of an entry.
pub(super) fn log_id(id: Option<LogId>) -> Bson {
    id.map_or(Bson::Null, |id| {
        Bson::Document(doc! { "term": int(id.term), "index": int(id.index) })
    })
}

/// Reads documents, with errors that say which one it was.
pub(super) struct Reading<'a> {
    /// Where it comes from.
    pub collection: &'a str,
    /// The document.
    pub document: &'a Document,
}

impl Reading<'_> {
    /// The error for a field that is missing or of another kind.
    pub(super) fn bad(&self, field: &str) -> StoreError {
        let id = self.document.get("_id").map_or_else(|| "?".to_owned(), ToString::to_string);
        StoreError::Corrupt(format!(
            "document {id} of collection {} has no readable {field}; bring this node back with \
             `rustchat serve --rejoin`",
            self.collection
        ))
    }

    /// Whether the field is there: programs before it was thought of wrote none.
    pub(super) fn has(&self, field: &str) -> bool {
        self.document.contains_key(field)
    }

    pub(super) fn text(&self, field: &str) -> Result<&str, StoreError> {
        self.document.get_str(field).map_err(|_| self.bad(field))
    }

    pub(super) fn number(&self, field: &str) -> Result<u64, StoreError> {
        number(self.document, field).ok_or_else(|| self.bad(field))
    }

    pub(super) fn small<T: TryFrom<u64>>(&self, field: &str) -> Result<T, StoreError> {
        T::try_from(self.number(field)?).map_err(|_| self.bad(field))
    }

    pub(super) fn date(&self, field: &str) -> Result<u64, StoreError> {
        let date = self.document.get_datetime(field).map_err(|_| self.bad(field))?;
        Ok(date.timestamp_millis().cast_unsigned())
    }

    pub(super) fn bytes(&self, field: &str) -> Result<Bytes, StoreError> {
        let bytes = self.document.get_binary_generic(field).map_err(|_| self.bad(field))?;
        Ok(Bytes::copy_from_slice(bytes))
    }

    /// A field that holds hexadecimal digits of a fixed length.
    pub(super) fn hex<const N: usize>(&self, field: &str) -> Result<[u8; N], StoreError> {
        let bytes = unhex(self.text(field)?).ok_or_else(|| self.bad(field))?;
        bytes.try_into().map_err(|_| self.bad(field))
    }

    /// A field that holds an id, read by `parse`.
    pub(super) fn id<T>(
        &self,
        field: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, StoreError> {
        parse(self.text(field)?).ok_or_else(|| self.bad(field))
    }

    pub(super) fn log_id(&self, field: &str) -> Result<Option<LogId>, StoreError> {
        match self.document.get(field) {
            None | Some(Bson::Null) => Ok(None),
            Some(Bson::Document(document)) => {
                let part = |name| number(document, name).ok_or_else(|| self.bad(field));
                Ok(Some(LogId { term: part("term")?, index: part("index")? }))
            }
            Some(_) => Err(self.bad(field)),
        }
    }

    pub(super) fn list(&self, field: &str) -> Result<&[Bson], StoreError> {
        self.document.get_array(field).map(Vec::as_slice).map_err(|_| self.bad(field))
    }
}
