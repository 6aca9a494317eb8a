//! Discovery's question and answer, one datagram each. It must not know
//! sockets, nor who may answer.

use super::message::ServerAddress;
use super::{WireError, convert, pb};
use crate::chat::ids::ClusterId;
use crate::limits;
use crate::tls::{self, Fingerprint, Hint};
use bytes::Bytes;
use prost::Message;
use std::time::SystemTime;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A client that looks for a server.
    Client,
    /// Another cluster.
    Cluster,
}

/// Who leads here?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The protocol version of the one who asks.
    pub version: u32,
    /// Random; comes back in the answer.
    pub nonce: [u8; 16],
    /// Who asks.
    pub purpose: Purpose,
}

/// The leader's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The protocol version of the one who answers.
    pub version: u32,
    /// Of the question.
    pub nonce: [u8; 16],
    /// The cluster's name.
    pub cluster_name: String,
    /// The cluster.
    pub cluster: ClusterId,
    /// Rises with a restore.
    pub generation: u64,
    /// Who leads.
    pub leader: ServerAddress,
    /// All servers, as many as fit.
    pub members: Vec<ServerAddress>,
    /// The authority that vouches for the leader, which signed the answer: computed when it is
    /// read. `None` where there is no valid signature.
    pub signer: Option<Fingerprint>,
}

/// Key and length of an answer's signature, in bytes: it comes last, and signs what is before.
const SIGNATURE_HEAD: [u8; 3] = [0x42, 0xc8, 0x01];
const SIGNATURE: usize = SIGNATURE_HEAD.len() + tls::SIGNATURE_BYTES;

/// A question of exactly [`limits::QUESTION_BYTES`].
#[must_use]
pub fn encode_question(question: &Question) -> Bytes {
    let purpose = match question.purpose {
        Purpose::Client => 1,
        Purpose::Cluster => 2,
    };
    let mut message = pb::Question {
        version: question.version,
        nonce: convert::bytes(&question.nonce),
        purpose,
        padding: Bytes::new(),
    };
    // Key and length of the padding take three bytes: it is longer than 127 and shorter than 16384.
    let rest = limits::QUESTION_BYTES.saturating_sub(message.encoded_len() + 3);
    message.padding = vec![0; rest].into();
    convert::write(&message)
}

/// Reads a question.
///
/// # Errors
/// What is wrong with it. One that is shorter than [`limits::QUESTION_LEAST`] gets no answer:
/// it could make others receive more than was sent.
pub fn decode_question(datagram: &[u8]) -> Result<Question, WireError> {
    if datagram.len() < limits::QUESTION_LEAST {
        return Err(WireError::Field("padding"));
    }
    let q: pb::Question = convert::read(Bytes::copy_from_slice(datagram))?;
    let purpose = match q.purpose {
        1 => Purpose::Client,
        2 => Purpose::Cluster,
        _ => return Err(WireError::Unknown("purpose")),
    };
    Ok(Question { version: q.version, nonce: convert::fixed(&q.nonce, "nonce")?, purpose })
}

/// An answer of at most `max` bytes, the length of the question, signed where there is something
/// to sign with. Members are left out from the end until it fits; the leader never is.
///
/// # Errors
/// [`WireError::TooLong`] if it does not fit without any member.
pub fn encode_answer(answer: &Answer, max: usize, hint: Option<&Hint>) -> Result<Bytes, WireError> {
    let max = max.saturating_sub(hint.map_or(0, |_| SIGNATURE));
    let mut message = pb::Answer {
        version: answer.version,
        nonce: convert::bytes(&answer.nonce),
        cluster_name: answer.cluster_name.clone(),
        cluster: convert::bytes(&answer.cluster.0),
        generation: answer.generation,
        leader: Some((&answer.leader).into()),
        members: convert::each(&answer.members),
        signature: Bytes::new(),
    };
    while message.encoded_len() > max {
        if message.members.pop().is_none() {
            return Err(WireError::TooLong { length: message.encoded_len(), limit: max });
        }
    }
    let text = convert::write(&message);
    Ok(match hint {
        None => text,
        Some(hint) => [&text[..], &SIGNATURE_HEAD, &hint.sign(&text)].concat().into(),
    })
}

/// Reads an answer, and whose word it is. Where it answers another question than the one with
/// this `nonce`, no signature is looked at.
///
/// # Errors
/// What is wrong with it.
pub fn decode_answer(datagram: &[u8], nonce: Option<[u8; 16]>) -> Result<Answer, WireError> {
    let a: pb::Answer = convert::read(Bytes::copy_from_slice(datagram))?;
    if nonce.is_some_and(|nonce| a.nonce[..] != nonce) {
        return Err(WireError::Field("nonce"));
    }
    let leader: ServerAddress = convert::need(a.leader, "leader")?.try_into()?;
    let signed = datagram.len().checked_sub(SIGNATURE).map(|length| datagram.split_at(length));
    let signer = signed.and_then(|(text, last)| {
        Hint::verify(text, leader.seat, last.strip_prefix(&SIGNATURE_HEAD)?, SystemTime::now())
    });
    Ok(Answer {
        version: a.version,
        nonce: convert::fixed(&a.nonce, "nonce")?,
        cluster_name: a.cluster_name,
        cluster: convert::cluster(&a.cluster)?,
        generation: a.generation,
        leader,
        members: convert::all(a.members)?,
        signer,
    })
}
