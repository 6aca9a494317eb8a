//! Messages between clients and servers, as payloads of frames. It must not
//! know when a message is allowed, nor what it is answered with.

use super::message::{ClientMsg, ServerMsg};
use super::{WireError, convert, pb, stored, weigh};
use crate::chat::ids::ConversationId;
use crate::chat::message::Run;
use crate::limits;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use prost::encoding::{self, DecodeContext, WireType};

/// Field numbers of `proto/client.proto` and `proto/types.proto` that are written by hand,
/// around values that are not encoded again.
mod field {
    /// `ServerFrame.push`.
    pub const PUSH: u32 = 9;
    /// `ServerFrame.history`.
    pub const HISTORY: u32 = 12;
    /// `History.runs`.
    pub const HISTORY_RUNS: u32 = 5;
    /// `Runs.runs`.
    pub const RUNS: u32 = 1;
}

/// Values that a client may send in one frame: as many as one that means well has.
const CLIENT_BOUNDS: &[weigh::Bound] = &[
    (&[5, 2], limits::CLIENT_HAVE, "number of conversations"),
    (&[5, 1, 3], limits::CLIENT_POSITIONS, "number of positions"),
    (&[6, 1], limits::WINDOW_MESSAGES as usize, "number of runs"),
    (&[6, 1, 5], limits::WINDOW_MESSAGES as usize, "number of messages"),
    (&[7, 1], limits::MARKS_PER_FRAME, "number of marks"),
];

/// Values that a server may send in one frame: many times what it has to say.
const SERVER_BOUNDS: &[weigh::Bound] = &[
    (&[1, 7], limits::STATED, "number of servers"),
    (&[1, 10], limits::STATED, "number of former clusters"),
    (&[3, 4], limits::STATED, "number of servers"),
    (&[4, 14], limits::STATED, "number of servers"),
    (&[4, 28], limits::STATED, "number of reasons"),
    (&[4, 33], limits::STATED, "number of peers"),
    (&[4, 34], limits::STATED, "number of members"),
    (&[4, 37], limits::STATED, "number of events"),
    (&[7, 1], limits::STATED, "number of groups"),
    (&[7, 4, 3], limits::CLIENT_POSITIONS, "number of positions"),
    (&[8, 1], limits::STATED, "number of conversations"),
    (&[8, 1, 3], limits::RUNS_PER_FRAME, "number of members"),
    (&[9, 1], limits::RUNS_PER_FRAME, "number of runs"),
    (&[9, 1, 9], limits::BODIES_PER_FRAME, "number of messages"),
    (&[10, 3], limits::RUNS_PER_FRAME, "number of outcomes"),
    (&[11, 1], limits::RUNS_PER_FRAME, "number of marks"),
    (&[12, 5], limits::RUNS_PER_FRAME, "number of runs"),
    (&[12, 5, 9], limits::BODIES_PER_FRAME, "number of messages"),
];

/// Reads what a client says; bodies share `payload`.
///
/// # Errors
/// [`WireError::Unknown`] for a message of a newer protocol, else what is wrong with it.
pub fn decode_client(payload: Bytes) -> Result<ClientMsg, WireError> {
    weigh::check(&payload, CLIENT_BOUNDS)?;
    convert::read::<pb::ClientFrame>(payload)?.try_into()
}

/// Writes what a client says.
#[must_use]
pub fn encode_client(message: &ClientMsg) -> Bytes {
    convert::write(&pb::ClientFrame::from(message))
}

/// Reads what a server says; bodies share `payload`.
///
/// # Errors
/// [`WireError::Unknown`] for a message of a newer protocol, else what is wrong with it.
pub fn decode_server(payload: Bytes) -> Result<ServerMsg, WireError> {
    weigh::check(&payload, SERVER_BOUNDS)?;
    convert::read::<pb::ServerFrame>(payload)?.try_into()
}

/// Writes what a server says.
#[must_use]
pub fn encode_server(message: &ServerMsg) -> Bytes {
    convert::write(&pb::ServerFrame::from(message))
}

/// A push of an encoded `Runs` (a value of history), which is not looked into.
#[must_use]
pub fn encode_push(stored_runs: &Bytes) -> Bytes {
    let mut out = BytesMut::with_capacity(stored_runs.len() + 12);
    put_bytes(&mut out, field::PUSH, stored_runs);
    out.freeze()
}

/// A page of history that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Of the `Fetch`.
    pub request: u32,
    /// Where.
    pub conversation: ConversationId,
    /// First seq asked for.
    pub from: u64,
    /// Last seq asked for.
    pub to: u64,
}

/// A page of history made of stored values, each with its first seq, dense and in order. Only
/// the first and the last one are decoded, to be cut to `from..=to`. The page says how far it
/// comes: to the end of the last value, or to `to` where there is nothing (left).
///
/// # Errors
/// When a stored value cannot be read.
pub fn encode_history(page: Page, values: &[(u64, Bytes)]) -> Result<Bytes, WireError> {
    let mut runs = BytesMut::new();
    let mut to = page.to;
    for (k, (_, value)) in values.iter().enumerate() {
        if k > 0 && k + 1 < values.len() {
            put_stored(&mut runs, value.clone())?;
            continue;
        }
        let (stored, _) = stored::decode_runs(value.clone())?;
        if k + 1 == values.len() {
            to = to.min(stored.last().map_or(0, Run::last_seq));
        }
        for run in stored.into_iter().filter_map(|run| cut(run, page.from, page.to)) {
            encoding::message::encode(field::HISTORY_RUNS, &pb::Run::from(&run), &mut runs);
        }
    }
    let head = pb::History {
        request: page.request,
        conversation: page.conversation.0,
        from: page.from,
        to,
        runs: Vec::new(),
    };
    let mut out = BytesMut::with_capacity(runs.len() + 64);
    encoding::encode_key(field::HISTORY, WireType::LengthDelimited, &mut out);
    encoding::encode_varint((head.encoded_len() + runs.len()) as u64, &mut out);
    head.encode_raw(&mut out);
    out.put_slice(&runs);
    Ok(out.freeze())
}

fn put_bytes(out: &mut BytesMut, field: u32, value: &[u8]) {
    encoding::encode_key(field, WireType::LengthDelimited, out);
    encoding::encode_varint(value.len() as u64, out);
    out.put_slice(value);
}

/// Appends the runs of an encoded `Runs` as runs of a `History`.
fn put_stored(out: &mut BytesMut, mut value: Bytes) -> Result<(), WireError> {
    let malformed = |e: prost::DecodeError| WireError::Malformed(e.to_string());
    while value.has_remaining() {
        let (number, wire_type) = encoding::decode_key(&mut value).map_err(malformed)?;
        if number == field::RUNS && wire_type == WireType::LengthDelimited {
            let length = encoding::decode_varint(&mut value).map_err(malformed)?;
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            if length > value.len() {
                return Err(WireError::Malformed("a run beyond the end of its value".to_owned()));
            }
            put_bytes(out, field::HISTORY_RUNS, &value.split_to(length));
        } else {
            let context = DecodeContext::default();
            encoding::skip_field(wire_type, number, &mut value, context).map_err(malformed)?;
        }
    }
    Ok(())
}

/// The part of a run within `from..=to`.
#[must_use]
pub fn cut(mut run: Run, from: u64, to: u64) -> Option<Run> {
    let (first, last) = (run.first_seq.max(from), run.last_seq().min(to));
    if first > last {
        return None;
    }
    let skip = first - run.first_seq;
    let keep = last - first + 1;
    run.bodies.truncate(usize::try_from(skip + keep).unwrap_or(usize::MAX));
    run.bodies.drain(..usize::try_from(skip).unwrap_or(usize::MAX));
    run.first_seq = first;
    run.first_number += skip;
    Some(run)
}
