//! What two clusters say to each other, as payloads of frames; `proto/link.proto` describes it.
//! It must not know sockets, nor what is answered.

use super::message::Challenge;
use super::{WireError, convert, pb, weigh};
use crate::chat::ids::{ClusterId, UserId};
use crate::chat::link::{ChainHash, Export};
use crate::limits;
use bytes::Bytes;
use pb::link_answer::Answer as AnswerKind;
use pb::link_ask::Ask as AskKind;

/// Version of this protocol that this build speaks.
pub const VERSION: u32 = 1;

/// Nothing else is ever signed with a node's key that begins like this.
const HELLO: &[u8] = b"rustchat link hello 1";

/// What the asking cluster says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkAsk {
    /// Who asks; first and once.
    Hello(LinkHello),
    /// Exports after a position.
    Pull(Pull),
    /// Who is called so?
    Resolve(String),
    /// From now on the connection is that of a device of this user.
    Relay(UserId),
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkHello {
    /// Lowest and highest version that it speaks.
    pub versions: (u32, u32),
    /// Its id.
    pub cluster: ClusterId,
    /// Its name.
    pub name: String,
    /// Its generation.
    pub generation: u64,
    /// The seat of the node that signs.
    pub seat: u32,
    /// Over [`signed`], see [`crate::tls::Hint`].
    pub signature: Bytes,
}

/// Exports after a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pull {
    /// In which the position counts; 0 with position 0: any.
    pub generation: u64,
    /// Everything up to here is taken over.
    pub position: u64,
    /// The hash up to there.
    pub hash: ChainHash,
    /// How long an answer without any may wait, in milliseconds.
    pub wait_ms: u32,
    /// How many bytes of exports the answer may have, unless one alone is larger.
    pub max_bytes: u32,
}

/// What the asked cluster says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkAnswer {
    /// Both speak this version.
    Hello {
        /// The version.
        version: u32,
    },
    /// To [`LinkAsk::Pull`].
    Exports(Exports),
    /// To [`LinkAsk::Resolve`].
    Resolved {
        /// Who.
        user: UserId,
        /// Their name there.
        name: String,
    },
    /// To [`LinkAsk::Relay`]: what follows are the device's bytes.
    Relayed,
    /// To any.
    Refused(LinkRefused),
}

/// Exports from one position on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Exports {
    /// In which the positions count.
    pub generation: u64,
    /// The position of the first.
    pub first: u64,
    /// The hash of all before it.
    pub before: ChainHash,
    /// In order, dense.
    pub items: Vec<Export>,
    /// The last position there is.
    pub last: u64,
}

/// Why an ask was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkRefused {
    /// Why, for a program.
    pub reason: LinkReason,
    /// Why, for a person.
    pub text: String,
    /// With [`LinkReason::Busy`]: when to ask again.
    pub retry_ms: u32,
    /// With [`LinkReason::Generation`]: the later one.
    pub generation: u64,
}

/// Why an ask was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkReason {
    /// An ask that this side does not know.
    Unknown,
    /// No version in common.
    Version,
    /// This cluster's operator does not trust the other one.
    NotTrusted,
    /// There is another hash at this position.
    OtherHistory,
    /// There are fewer exports.
    RolledBack,
    /// This is a later generation, in which positions count anew.
    Generation,
    /// Not now.
    Busy,
    /// Nobody is called so.
    NoSuchUser,
    /// The ask makes no sense.
    Malformed,
}

impl LinkReason {
    const ALL: [(Self, u32); 9] = [
        (Self::Unknown, 1),
        (Self::Version, 2),
        (Self::NotTrusted, 3),
        (Self::OtherHistory, 4),
        (Self::RolledBack, 5),
        (Self::Generation, 6),
        (Self::Busy, 7),
        (Self::NoSuchUser, 8),
        (Self::Malformed, 9),
    ];

    fn code(self) -> u32 {
        Self::ALL.iter().find(|row| row.0 == self).map_or(0, |row| row.1)
    }

    fn from_code(code: u32) -> Result<Self, WireError> {
        let row = Self::ALL.iter().find(|row| row.1 == code);
        row.map(|row| row.0).ok_or(WireError::Unknown("reason"))
    }
}

/// The bytes that a node of the `asking` cluster signs for the hello to a server of the `asked`
/// one that gave this challenge.
#[must_use]
pub fn signed(asked: ClusterId, challenge: &Challenge, asking: ClusterId) -> Vec<u8> {
    [HELLO, &asked.0, challenge, &asking.0].concat()
}

/// Values that another cluster may send in one frame.
const ANSWER_BOUNDS: &[weigh::Bound] = &[
    (&[2, 4], limits::EXPORTS_PER_FRAME, "number of exports"),
    (&[2, 4, 1, 8], limits::BODIES_PER_FRAME, "number of messages"),
];

/// Writes what the asking cluster says.
#[must_use]
pub fn encode_ask(ask: &LinkAsk) -> Bytes {
    let ask = match ask {
        LinkAsk::Hello(h) => AskKind::Hello(pb::LinkHello {
            min: h.versions.0,
            max: h.versions.1,
            features: 0,
            cluster: convert::bytes(&h.cluster.0),
            name: h.name.clone(),
            generation: h.generation,
            seat: h.seat,
            signature: h.signature.clone(),
        }),
        LinkAsk::Pull(p) => AskKind::Pull(pb::Pull {
            generation: p.generation,
            position: p.position,
            hash: convert::bytes_or_empty(&p.hash),
            wait_ms: p.wait_ms,
            max_bytes: p.max_bytes,
        }),
        LinkAsk::Resolve(name) => AskKind::Resolve(pb::Resolve { name: name.clone() }),
        LinkAsk::Relay(user) => AskKind::Relay(pb::Relay { user: Some(user.into()) }),
    };
    convert::write(&pb::LinkAsk { ask: Some(ask) })
}

/// Reads what the asking cluster says.
///
/// # Errors
/// [`WireError::Unknown`] for an ask of a newer protocol, else what is wrong with it.
pub fn decode_ask(payload: Bytes) -> Result<LinkAsk, WireError> {
    let ask: pb::LinkAsk = convert::read(payload)?;
    Ok(match ask.ask.ok_or(WireError::Unknown("ask"))? {
        AskKind::Hello(h) => LinkAsk::Hello(LinkHello {
            versions: (h.min, h.max),
            cluster: convert::cluster(&h.cluster)?,
            name: h.name,
            generation: h.generation,
            seat: h.seat,
            signature: h.signature,
        }),
        AskKind::Pull(p) => LinkAsk::Pull(Pull {
            generation: p.generation,
            position: p.position,
            hash: convert::fixed_or_zero(&p.hash, "hash")?,
            wait_ms: p.wait_ms,
            max_bytes: p.max_bytes,
        }),
        AskKind::Resolve(r) => LinkAsk::Resolve(r.name),
        AskKind::Relay(r) => LinkAsk::Relay(convert::user(r.user)?),
    })
}

/// Writes what the asked cluster says.
#[must_use]
pub fn encode_answer(answer: &LinkAnswer) -> Bytes {
    let answer = match answer {
        LinkAnswer::Hello { version } => {
            AnswerKind::Hello(pb::LinkWelcome { version: *version, features: 0 })
        }
        LinkAnswer::Exports(e) => AnswerKind::Exports(pb::Exports {
            generation: e.generation,
            first: e.first,
            before: convert::bytes_or_empty(&e.before),
            items: convert::each(&e.items),
            last: e.last,
        }),
        LinkAnswer::Resolved { user, name } => {
            AnswerKind::Resolved(pb::Resolved { user: Some(user.into()), name: name.clone() })
        }
        LinkAnswer::Relayed => AnswerKind::Relayed(pb::Relayed {}),
        LinkAnswer::Refused(r) => AnswerKind::Refused(pb::LinkRefused {
            code: r.reason.code(),
            text: r.text.clone(),
            retry_ms: r.retry_ms,
            generation: r.generation,
        }),
    };
    convert::write(&pb::LinkAnswer { answer: Some(answer) })
}

/// Reads what the asked cluster says; bodies share `payload`.
///
/// # Errors
/// [`WireError::Unknown`] for an answer or export of a newer protocol, else what is wrong with
/// it.
pub fn decode_answer(payload: Bytes) -> Result<LinkAnswer, WireError> {
    weigh::check(&payload, ANSWER_BOUNDS)?;
    let answer: pb::LinkAnswer = convert::read(payload)?;
    Ok(match answer.answer.ok_or(WireError::Unknown("answer"))? {
        AnswerKind::Hello(h) => LinkAnswer::Hello { version: h.version },
        AnswerKind::Exports(e) => LinkAnswer::Exports(Exports {
            generation: e.generation,
            first: e.first,
            before: convert::fixed_or_zero(&e.before, "hash")?,
            items: convert::all(e.items)?,
            last: e.last,
        }),
        AnswerKind::Resolved(r) => {
            LinkAnswer::Resolved { user: convert::user(r.user)?, name: r.name }
        }
        AnswerKind::Relayed(_) => LinkAnswer::Relayed,
        AnswerKind::Refused(r) => LinkAnswer::Refused(LinkRefused {
            reason: LinkReason::from_code(r.code)?,
            text: r.text,
            retry_ms: r.retry_ms,
            generation: r.generation,
        }),
    })
}
