//! Rows of the store: keys, values, the mark and the rolling hash. It must not
//! know where rows are kept.

use super::record::{LogId, Mark, Row, Table};
use super::{WireError, convert, pb};
use crate::chat::ids::{ConversationId, DeviceId, Group, UserId};
use crate::chat::link::{ChainHash, Export, LinkNumber};
use crate::chat::message::Run;
use crate::chat::write::{self, SentIndex, Write};
use bytes::{BufMut, Bytes, BytesMut};

/// The key of the only row of [`Table::Meta`]; not empty, since stores dislike empty keys.
const META_KEY: &[u8] = &[0];

/// The rows of one write of the entry at `log_index`: one, and for history one more, by
/// which the entry's messages are found.
#[must_use]
pub fn rows(log_index: u64, write: &Write) -> Vec<Row> {
    let row = |table, key, value| vec![Row { table, key, value }];
    match write {
        Write::Meta(m) => row(Table::Meta, META_KEY.into(), value::<_, pb::MetaRow>(m)),
        Write::User(u) => row(Table::Users, user_key(u.id), value::<_, pb::UserRow>(u)),
        Write::Device(d) => row(Table::Devices, device_key(d.id), value::<_, pb::DeviceRow>(d)),
        Write::Conversation(c) => {
            row(Table::Conversations, conversation_key(c.id), value::<_, pb::ConversationRow>(c))
        }
        Write::Mark(m) => {
            row(Table::Marks, mark_key(m.conversation, m.user), value::<_, pb::MarkRow>(m))
        }
        Write::Sent(s) => row(Table::Sent, sent_key(s.device, s.group), value::<_, pb::SentRow>(s)),
        Write::History { conversation, runs } => history_rows(log_index, *conversation, runs),
        Write::SentIndex(s) => {
            let key = sent_index_key(s.device, s.group, s.last_number);
            row(Table::SentIndex, key, sent_index_value(s))
        }
        Write::Link(l) => row(Table::Links, link_key(l.number), value::<_, pb::LinkRow>(l)),
        Write::Exports { link, first, before, items } => {
            let told = pb::ExportsRow {
                before: convert::bytes_or_empty(before),
                items: convert::each(items),
            };
            vec![
                Row {
                    table: Table::Exports,
                    key: exports_key(*link, *first),
                    value: convert::write(&told),
                },
                history_index_row(log_index, ConversationId::of_link(*link), *first),
            ]
        }
    }
}

/// The write that a row stands for; of all tables but [`Table::HistoryIndex`].
///
/// # Errors
/// When the row cannot be read, or its key and value disagree.
pub fn write_of(row: &Row) -> Result<Write, WireError> {
    let value = row.value.clone();
    let (write, key) = match row.table {
        Table::Meta => {
            (Write::Meta(read_value::<pb::MetaRow, _>(value)?), Bytes::from_static(META_KEY))
        }
        Table::Users => {
            let user: write::User = read_value::<pb::UserRow, _>(value)?;
            let key = user_key(user.id);
            (Write::User(user), key)
        }
        Table::Devices => {
            let device: write::Device = read_value::<pb::DeviceRow, _>(value)?;
            let key = device_key(device.id);
            (Write::Device(device), key)
        }
        Table::Conversations => {
            let c: write::Conversation = read_value::<pb::ConversationRow, _>(value)?;
            let key = conversation_key(c.id);
            (Write::Conversation(c), key)
        }
        Table::Marks => {
            let mark: write::Mark = read_value::<pb::MarkRow, _>(value)?;
            (Write::Mark(mark), mark_key(mark.conversation, mark.user))
        }
        Table::Sent => {
            let sent: write::Sent = read_value::<pb::SentRow, _>(value)?;
            let key = sent_key(sent.device, sent.group);
            (Write::Sent(sent), key)
        }
        Table::History => {
            let (conversation, first_seq) = parse_history_key(&row.key)?;
            let (runs, _) = decode_runs(value)?;
            dense(conversation, first_seq, &runs)?;
            (Write::History { conversation, runs }, row.key.clone())
        }
        Table::SentIndex => {
            (Write::SentIndex(decode_sent_index(&row.key, value)?), row.key.clone())
        }
        Table::Links => {
            let link: crate::chat::link::Link = read_value::<pb::LinkRow, _>(value)?;
            let key = link_key(link.number);
            (Write::Link(link), key)
        }
        Table::Exports => {
            let (link, first) = parse_exports_key(&row.key)?;
            let (before, items) = decode_exports(value)?;
            (Write::Exports { link, first, before, items }, row.key.clone())
        }
        Table::HistoryIndex => return Err(WireError::Field("table")),
    };
    if key == row.key { Ok(write) } else { Err(WireError::Field("row key")) }
}

fn value<'a, W, M: From<&'a W> + prost::Message>(write: &'a W) -> Bytes {
    convert::write(&M::from(write))
}

fn read_value<M, W>(value: Bytes) -> Result<W, WireError>
where
    M: prost::Message + Default,
    W: TryFrom<M, Error = WireError>,
{
    convert::read::<M>(value)?.try_into()
}

fn history_rows(index: u64, conversation: ConversationId, runs: &[Run]) -> Vec<Row> {
    let first_seq = runs.first().map_or(0, |run| run.first_seq);
    let key = history_key(conversation, first_seq);
    vec![
        Row { table: Table::History, key, value: encode_runs(runs, index) },
        history_index_row(index, conversation, first_seq),
    ]
}

fn history_index_row(index: u64, conversation: ConversationId, first: u64) -> Row {
    Row {
        table: Table::HistoryIndex,
        key: history_index_key(index, conversation),
        value: Bytes::copy_from_slice(&first.to_be_bytes()),
    }
}

fn dense(conversation: ConversationId, first_seq: u64, runs: &[Run]) -> Result<(), WireError> {
    let mut next = first_seq;
    for run in runs {
        if run.conversation != conversation || run.first_seq != next {
            return Err(WireError::Field("history value"));
        }
        next = run.last_seq() + 1;
    }
    if runs.is_empty() { Err(WireError::Field("history value")) } else { Ok(()) }
}

/// Encodes the messages of the entry at `index`: a value of history, and the payload of a push.
#[must_use]
pub fn encode_runs(runs: &[Run], index: u64) -> Bytes {
    convert::write(&pb::Runs { runs: convert::each(runs), index })
}

/// The messages of a history value, and the log index of their entry; bodies share `bytes`.
///
/// # Errors
/// When the bytes are no such value.
pub fn decode_runs(bytes: Bytes) -> Result<(Vec<Run>, u64), WireError> {
    let runs: pb::Runs = convert::read(bytes)?;
    Ok((convert::all(runs.runs)?, runs.index))
}

fn key(parts: &[&[u8]]) -> Bytes {
    let mut key = BytesMut::with_capacity(parts.iter().map(|p| p.len()).sum());
    parts.iter().for_each(|part| key.put_slice(part));
    key.freeze()
}

fn user_key(id: UserId) -> Bytes {
    key(&[&id.cluster.0, &id.number.to_be_bytes()])
}

fn device_key(id: DeviceId) -> Bytes {
    key(&[&id.0])
}

fn conversation_key(id: ConversationId) -> Bytes {
    key(&[&id.0.to_be_bytes()])
}

fn mark_key(conversation: ConversationId, user: UserId) -> Bytes {
    key(&[&conversation.0.to_be_bytes(), &user_key(user)])
}

fn sent_key(device: DeviceId, group: Group) -> Bytes {
    key(&[&device.0, &group.to_be_bytes()])
}

/// Key of [`Table::History`]: 8 bytes of conversation, 8 of first seq.
#[must_use]
pub fn history_key(conversation: ConversationId, first_seq: u64) -> Bytes {
    key(&[&conversation.0.to_be_bytes(), &first_seq.to_be_bytes()])
}

/// Key of [`Table::SentIndex`]: 16 bytes of device, 2 of group, 8 of last number. The row of
/// a number is the first one at or after it.
#[must_use]
pub fn sent_index_key(device: DeviceId, group: Group, last_number: u64) -> Bytes {
    key(&[&device.0, &group.to_be_bytes(), &last_number.to_be_bytes()])
}

/// Key of [`Table::HistoryIndex`]: 8 bytes of log index, 8 of conversation.
#[must_use]
pub fn history_index_key(index: u64, conversation: ConversationId) -> Bytes {
    key(&[&index.to_be_bytes(), &conversation.0.to_be_bytes()])
}

fn take<const N: usize>(key: &mut &[u8]) -> Result<[u8; N], WireError> {
    let (part, rest) = key.split_first_chunk().ok_or(WireError::Field("row key"))?;
    *key = rest;
    Ok(*part)
}

fn two_numbers(mut key: &[u8]) -> Result<(u64, u64), WireError> {
    let numbers = (take(&mut key)?, take(&mut key)?);
    let numbers = (u64::from_be_bytes(numbers.0), u64::from_be_bytes(numbers.1));
    if key.is_empty() { Ok(numbers) } else { Err(WireError::Field("row key")) }
}

/// Key of [`Table::Links`]: 8 bytes of the other cluster's number.
#[must_use]
pub fn link_key(number: LinkNumber) -> Bytes {
    key(&[&number.to_be_bytes()])
}

/// Key of [`Table::Exports`]: 8 bytes of the other cluster's number, 8 of first position.
#[must_use]
pub fn exports_key(link: LinkNumber, first: u64) -> Bytes {
    key(&[&link.to_be_bytes(), &first.to_be_bytes()])
}

/// The other cluster's number and first position of a key of [`Table::Exports`].
///
/// # Errors
/// When the key has another length.
pub fn parse_exports_key(key: &[u8]) -> Result<(LinkNumber, u64), WireError> {
    two_numbers(key)
}

/// The hash before a value of [`Table::Exports`], and what it holds; never nothing.
///
/// # Errors
/// When the bytes are no such value.
pub fn decode_exports(bytes: Bytes) -> Result<(ChainHash, Vec<Export>), WireError> {
    let told: pb::ExportsRow = convert::read(bytes)?;
    let items: Vec<Export> = convert::all(told.items)?;
    if items.is_empty() {
        return Err(WireError::Field("exports value"));
    }
    Ok((convert::fixed_or_zero(&told.before, "hash")?, items))
}

/// Conversation and first seq of a key of [`Table::History`].
///
/// # Errors
/// When the key has another length.
pub fn parse_history_key(key: &[u8]) -> Result<(ConversationId, u64), WireError> {
    two_numbers(key).map(|(conversation, seq)| (ConversationId(conversation), seq))
}

/// Log index and conversation of a key of [`Table::HistoryIndex`].
///
/// # Errors
/// When the key has another length.
pub fn parse_history_index_key(key: &[u8]) -> Result<(u64, ConversationId), WireError> {
    two_numbers(key).map(|(index, conversation)| (index, ConversationId(conversation)))
}

/// First seq of a value of [`Table::HistoryIndex`].
///
/// # Errors
/// When the value has another length.
pub fn parse_history_index_value(value: &[u8]) -> Result<u64, WireError> {
    convert::fixed(value, "history index").map(u64::from_be_bytes)
}

/// Device, group and last number of a key of [`Table::SentIndex`].
///
/// # Errors
/// When the key has another length.
pub fn parse_sent_index_key(mut key: &[u8]) -> Result<(DeviceId, Group, u64), WireError> {
    let device = DeviceId(take(&mut key)?);
    let group = Group::from_be_bytes(take(&mut key)?);
    let last_number = u64::from_be_bytes(take(&mut key)?);
    if key.is_empty() { Ok((device, group, last_number)) } else { Err(WireError::Field("row key")) }
}

fn sent_index_value(s: &SentIndex) -> Bytes {
    convert::write(&pb::SentIndexRow {
        conversation: s.conversation.0,
        first_seq: s.first_seq,
        first_number: s.first_number,
        at_ms: s.at_ms,
    })
}

/// A row of [`Table::SentIndex`].
///
/// # Errors
/// When key or value cannot be read, or the numbers do not run forward.
pub fn decode_sent_index(key: &[u8], value: Bytes) -> Result<SentIndex, WireError> {
    let (device, group, last_number) = parse_sent_index_key(key)?;
    let row: pb::SentIndexRow = convert::read(value)?;
    let count = last_number.checked_sub(row.first_number).ok_or(WireError::Field("send number"))?;
    convert::range(row.first_seq, count, "seq")?;
    Ok(SentIndex {
        device,
        group,
        first_number: row.first_number,
        last_number,
        conversation: ConversationId(row.conversation),
        first_seq: row.first_seq,
        at_ms: row.at_ms,
    })
}

/// Encodes the mark.
#[must_use]
pub fn encode_mark(mark: &Mark) -> Bytes {
    convert::write(&pb::AppliedMark {
        term: mark.applied.map(|id| id.term),
        index: mark.applied.map(|id| id.index),
        hash: convert::bytes_or_empty(&mark.hash),
        membership: mark.membership.clone(),
        membership_term: mark.membership_id.map(|id| id.term),
        membership_index: mark.membership_id.map(|id| id.index),
    })
}

/// Reads a mark.
///
/// # Errors
/// When the bytes are no mark.
pub fn decode_mark(bytes: Bytes) -> Result<Mark, WireError> {
    let mark: pb::AppliedMark = convert::read(bytes)?;
    Ok(Mark {
        applied: log_id(mark.term, mark.index)?,
        hash: convert::fixed_or_zero(&mark.hash, "hash")?,
        membership: Bytes::copy_from_slice(&mark.membership),
        membership_id: log_id(mark.membership_term, mark.membership_index)?,
    })
}

fn log_id(term: Option<u64>, index: Option<u64>) -> Result<Option<LogId>, WireError> {
    match (term, index) {
        (Some(term), Some(index)) => Ok(Some(LogId { term, index })),
        (None, None) => Ok(None),
        _ => Err(WireError::Field("log id")),
    }
}

/// The rolling hash after an entry that wrote `rows`. Counts and lengths go in, so that
/// different rows are never the same bytes.
#[must_use]
pub fn next_hash(prev: &[u8; 32], rows: &[Row]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new_derive_key("rustchat 2026 rolling hash of rows v1");
    hasher.update(prev);
    hasher.update(&(rows.len() as u64).to_be_bytes());
    for row in rows {
        hasher.update(&(row.table as u32).to_be_bytes());
        hasher.update(&(row.key.len() as u64).to_be_bytes());
        hasher.update(&row.key);
        hasher.update(&(row.value.len() as u64).to_be_bytes());
        hasher.update(&row.value);
    }
    *hasher.finalize().as_bytes()
}
