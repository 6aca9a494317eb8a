//! The records of an outbox's file: a length, a CRC-32, then what happened. Reading
//! never fails on damage: it ends there. It must not know what the records are for.

use super::Outgoing;
use crate::chat::command::Target;
use crate::chat::ids::{ClusterId, ConversationId, DeviceId, MessageId, UserId};
use crate::chat::message::Body;
use crate::limits;
use bytes::{Buf, BufMut, Bytes};
use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// The file begins: every number up to `done` has its outcome.
    Start {
        /// The last number with an outcome.
        done: u64,
        /// The boot of the machine that wrote it; 0 where it cannot be told or is not to count.
        boot: u128,
    },
    /// A message waits.
    Message(Outgoing),
    /// Every number up to this one has its outcome.
    Done(u64),
    /// The process ended in order, and everything before is on disk.
    Closed,
}

/// What a file says.
#[derive(Debug)]
pub struct Found {
    /// Every number up to this one has its outcome.
    pub done: u64,
    /// Messages without one, numbered from `done + 1` without gaps.
    pub pending: VecDeque<Outgoing>,
    /// True where no record can be missing.
    pub trusted: bool,
}

/// Reads a file; `None` if there is none. What cannot be read is kept beside it.
///
/// # Errors
/// The file cannot be read.
pub fn read(path: &Path) -> io::Result<Option<Found>> {
    let bytes = match fs::read(path) {
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => Bytes::from(other?),
    };
    let found = replay(bytes, boot());
    if !found.trusted {
        // For a person to look at; the next process goes on without it.
        drop(fs::copy(path, path.with_extension("unsettled")));
    }
    Ok(Some(found))
}

/// Writes a new file with these messages, durably in the place of an older one.
///
/// # Errors
/// The file cannot be written.
pub fn create(
    path: &Path,
    done: u64,
    settled: bool,
    pending: &VecDeque<Outgoing>,
) -> io::Result<File> {
    let mut out = Vec::new();
    put(&mut out, &Record::Start { done, boot: if settled { boot() } else { 0 } });
    pending.iter().for_each(|m| put(&mut out, &Record::Message(m.clone())));
    let new = path.with_extension("new");
    let mut options = OpenOptions::new();
    options.create(true).write(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&new)?;
    file.write_all(&out)?;
    file.sync_data()?;
    fs::rename(&new, path)?;
    if let Some(dir) = path.parent() {
        File::open(dir)?.sync_all()?;
    }
    Ok(file)
}

/// What the records in `bytes` come to, read during `boot`.
fn replay(mut bytes: Bytes, boot: u128) -> Found {
    let mut found = Found { done: 0, pending: VecDeque::new(), trusted: false };
    let (mut written_by, mut closed) = (0, false);
    while let Some(record) = take(&mut bytes) {
        closed = record == Record::Closed;
        match record {
            Record::Start { done, boot } => {
                found.done = done;
                written_by = boot;
            }
            Record::Message(m) if m.number == found.done + found.pending.len() as u64 + 1 => {
                found.pending.push_back(m);
            }
            // Out of order: no writer of ours did this.
            Record::Message(_) => return found,
            Record::Done(upto) => {
                while found.done < upto && found.pending.pop_front().is_some() {
                    found.done += 1;
                }
            }
            Record::Closed => {}
        }
    }
    found.trusted = bytes.is_empty() && (closed || (written_by != 0 && written_by == boot));
    found
}

/// Appends a record.
pub fn put(out: &mut Vec<u8>, record: &Record) {
    let start = out.len();
    out.put_u64(0);
    match record {
        Record::Start { done, boot } => {
            out.put_u8(1);
            out.put_u64(*done);
            out.put_u128(*boot);
        }
        Record::Message(message) => {
            out.put_u8(2);
            put_message(out, message);
        }
        Record::Done(upto) => {
            out.put_u8(3);
            out.put_u64(*upto);
        }
        Record::Closed => out.put_u8(4),
    }
    let length = u32::try_from(out.len() - start - 8).unwrap_or(u32::MAX);
    let crc = crc32fast::hash(&out[start + 8..]);
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    out[start + 4..start + 8].copy_from_slice(&crc.to_be_bytes());
}

fn put_message(out: &mut Vec<u8>, message: &Outgoing) {
    out.put_u64(message.number);
    match message.to {
        Target::Conversation(id) => {
            out.put_u8(1);
            out.put_u64(id.0);
        }
        Target::User(user) => {
            out.put_u8(2);
            out.put_slice(&user.cluster.0);
            out.put_u64(user.number);
        }
    }
    out.put_u32(message.body.kind);
    match message.body.refers_to {
        None => out.put_u8(0),
        Some(id) => {
            out.put_u8(1);
            out.put_slice(&id.origin.0);
            out.put_slice(&id.device.0);
            out.put_u16(id.group);
            out.put_u64(id.number);
        }
    }
    out.put_slice(&message.body.data);
}

/// Takes the next whole record; leaves `bytes` as they are where there is none.
fn take(bytes: &mut Bytes) -> Option<Record> {
    let mut rest = bytes.clone();
    let length = rest.try_get_u32().ok()? as usize;
    let crc = rest.try_get_u32().ok()?;
    if length > rest.len() || length > limits::BODY_BYTES + 1024 {
        return None;
    }
    let payload = rest.split_to(length);
    if crc32fast::hash(&payload) != crc {
        return None;
    }
    let record = parse(payload)?;
    *bytes = rest;
    Some(record)
}

fn parse(mut b: Bytes) -> Option<Record> {
    Some(match b.try_get_u8().ok()? {
        1 => Record::Start { done: b.try_get_u64().ok()?, boot: b.try_get_u128().ok()? },
        2 => Record::Message(parse_message(b)?),
        3 => Record::Done(b.try_get_u64().ok()?),
        4 => Record::Closed,
        _ => return None,
    })
}

fn parse_message(mut b: Bytes) -> Option<Outgoing> {
    let number = b.try_get_u64().ok()?;
    let to = match b.try_get_u8().ok()? {
        1 => Target::Conversation(ConversationId(b.try_get_u64().ok()?)),
        2 => Target::User(UserId {
            cluster: ClusterId(sixteen(&mut b)?),
            number: b.try_get_u64().ok()?,
        }),
        _ => return None,
    };
    let kind = b.try_get_u32().ok()?;
    let refers_to = match b.try_get_u8().ok()? {
        0 => None,
        _ => Some(MessageId {
            origin: ClusterId(sixteen(&mut b)?),
            device: DeviceId(sixteen(&mut b)?),
            group: b.try_get_u16().ok()?,
            number: b.try_get_u64().ok()?,
        }),
    };
    Some(Outgoing { number, to, body: Body { kind, data: b, refers_to } })
}

fn sixteen(b: &mut Bytes) -> Option<[u8; 16]> {
    b.try_get_u128().ok().map(u128::to_be_bytes)
}

/// The current boot of this machine; 0 where it cannot be told.
fn boot() -> u128 {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    u128::from_str_radix(&text.trim().replace('-', ""), 16).unwrap_or(0)
}
