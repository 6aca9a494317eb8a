//! Messages, runs and targets.

use super::{all, bytes, cluster, device, each, group, need, range, user};
use crate::chat::command::Target;
use crate::chat::event::Outcome;
use crate::chat::ids::{ConversationId, MessageId};
use crate::chat::message::{Body, Run};
use crate::chat::refusal::Refusal;
use crate::chat::write::Kind;
use crate::wire::{WireError, pb};

impl From<&MessageId> for pb::MessageId {
    fn from(id: &MessageId) -> Self {
        Self {
            origin: bytes(&id.origin.0),
            device: bytes(&id.device.0),
            group: u32::from(id.group),
            number: id.number,
        }
    }
}

impl TryFrom<pb::MessageId> for MessageId {
    type Error = WireError;

    fn try_from(id: pb::MessageId) -> Result<Self, WireError> {
        Ok(Self {
            origin: cluster(&id.origin)?,
            device: device(&id.device)?,
            group: group(id.group)?,
            number: id.number,
        })
    }
}

impl From<&Body> for pb::Body {
    fn from(body: &Body) -> Self {
        Self {
            kind: body.kind,
            data: body.data.clone(),
            refers_to: body.refers_to.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<pb::Body> for Body {
    type Error = WireError;

    fn try_from(body: pb::Body) -> Result<Self, WireError> {
        let refers_to = body.refers_to.map(TryInto::try_into).transpose()?;
        Ok(Self { kind: body.kind, data: body.data, refers_to })
    }
}

impl From<&Run> for pb::Run {
    fn from(run: &Run) -> Self {
        Self {
            conversation: run.conversation.0,
            first_seq: run.first_seq,
            at_ms: run.at_ms,
            sender: Some((&run.sender).into()),
            origin: bytes(&run.origin.0),
            device: bytes(&run.device.0),
            group: u32::from(run.group),
            first_number: run.first_number,
            bodies: each(&run.bodies),
        }
    }
}

impl TryFrom<pb::Run> for Run {
    type Error = WireError;

    fn try_from(run: pb::Run) -> Result<Self, WireError> {
        if run.bodies.is_empty() {
            return Err(WireError::Field("run without bodies"));
        }
        let count = run.bodies.len() as u64;
        range(run.first_seq, count, "seq")?;
        range(run.first_number, count, "send number")?;
        Ok(Self {
            conversation: ConversationId(run.conversation),
            first_seq: run.first_seq,
            at_ms: run.at_ms,
            sender: user(run.sender)?,
            origin: cluster(&run.origin)?,
            device: device(&run.device)?,
            group: group(run.group)?,
            first_number: run.first_number,
            bodies: all(run.bodies)?,
        })
    }
}

/// Number of a kind of conversation.
pub fn kind_number(kind: Kind) -> u32 {
    match kind {
        Kind::Direct => 1,
        Kind::Room => 2,
    }
}

/// The kind of conversation with this number.
pub fn kind(number: u32) -> Result<Kind, WireError> {
    match number {
        1 => Ok(Kind::Direct),
        2 => Ok(Kind::Room),
        _ => Err(WireError::Unknown("kind of conversation")),
    }
}

/// A refusal by its stable code.
pub fn refusal(code: u32) -> Result<Refusal, WireError> {
    Refusal::from_code(code).ok_or(WireError::Unknown("refusal"))
}

impl From<&Target> for pb::send_run::To {
    fn from(to: &Target) -> Self {
        match to {
            Target::Conversation(id) => Self::Conversation(id.0),
            Target::User(id) => Self::User(id.into()),
        }
    }
}

impl TryFrom<pb::send_run::To> for Target {
    type Error = WireError;

    fn try_from(to: pb::send_run::To) -> Result<Self, WireError> {
        match to {
            pb::send_run::To::Conversation(id) => Ok(Self::Conversation(ConversationId(id))),
            pb::send_run::To::User(id) => Ok(Self::User(id.try_into()?)),
        }
    }
}

impl From<&Target> for pb::send_messages::To {
    fn from(to: &Target) -> Self {
        match to {
            Target::Conversation(id) => Self::Conversation(id.0),
            Target::User(id) => Self::User(id.into()),
        }
    }
}

impl TryFrom<pb::send_messages::To> for Target {
    type Error = WireError;

    fn try_from(to: pb::send_messages::To) -> Result<Self, WireError> {
        match to {
            pb::send_messages::To::Conversation(id) => Ok(Self::Conversation(ConversationId(id))),
            pb::send_messages::To::User(id) => Ok(Self::User(id.try_into()?)),
        }
    }
}

/// A target that must be there.
pub fn target<T>(to: Option<T>) -> Result<Target, WireError>
where
    Target: TryFrom<T, Error = WireError>,
{
    need(to, "target")?.try_into()
}

/// The fields of an outcome: conversation, first seq, time and refusal code.
pub fn outcome_fields(outcome: Outcome) -> (u64, u64, u64, u32) {
    match outcome {
        Outcome::Committed { conversation, first_seq, at_ms } => {
            (conversation.0, first_seq, at_ms, 0)
        }
        Outcome::Refused(refusal) => (0, 0, 0, refusal.code()),
    }
}
