//! Messages as the domain sees them: bodies are opaque, runs keep them together.

use super::ids::{ClusterId, ConversationId, DeviceId, Group, MessageId, UserId};
use bytes::Bytes;

/// Kind of a body that is UTF-8 text.
pub const KIND_TEXT: u32 = 1;

/// What a person wrote. Servers do not look into kinds other than [`KIND_TEXT`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// 1 is UTF-8 text.
    pub kind: u32,
    /// At most `limits::BODY_BYTES`.
    pub data: Bytes,
    /// The message this one answers.
    pub refers_to: Option<MessageId>,
}

impl Body {
    /// A text body.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self { kind: KIND_TEXT, data: Bytes::from(text.into()), refers_to: None }
    }
}

/// Messages of one device that stand one after the other in one conversation:
/// body `k` has seq `first_seq + k` and send number `first_number + k`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where they stand.
    pub conversation: ConversationId,
    /// Seq of the first body: dense in the conversation, from 1.
    pub first_seq: u64,
    /// When they were committed, in milliseconds of UNIX time.
    pub at_ms: u64,
    /// Who wrote them.
    pub sender: UserId,
    /// The cluster that committed them first.
    pub origin: ClusterId,
    /// The device that sent them.
    pub device: DeviceId,
    /// The group in which the device counted.
    pub group: Group,
    /// The device's number of the first body.
    pub first_number: u64,
    /// The messages; never empty.
    pub bodies: Vec<Body>,
}

impl Run {
    /// Number of messages.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.bodies.len() as u64
    }

    /// Seq of the last body.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        (self.first_seq + self.count()).saturating_sub(1)
    }

    /// The id of the body at `offset` (from 0).
    #[must_use]
    pub fn id(&self, offset: u64) -> MessageId {
        MessageId {
            origin: self.origin,
            device: self.device,
            group: self.group,
            number: self.first_number + offset,
        }
    }
}
