//! Rows of the store.

use super::chat::{kind, kind_number, refusal};
use super::command::{own, registration, registration_number};
use super::{
    all, bytes, bytes_or_empty, cluster_or_zero, clusters_from, clusters_to, device, each, fixed,
    group, login, user,
};
use crate::chat::ids::ConversationId;
use crate::chat::name::UserName;
use crate::chat::refusal::Refusal;
use crate::chat::write::{Conversation, Device, Mark, Meta, Sent, User};
use crate::wire::{WireError, pb};

impl From<&Meta> for pb::MetaRow {
    fn from(m: &Meta) -> Self {
        Self {
            cluster: bytes_or_empty(&m.cluster.0),
            name: m.name.clone(),
            generation: m.generation,
            format: m.format,
            last_user: m.last_user,
            last_conversation: m.last_conversation,
            last_at_ms: m.last_at_ms,
            began_ms: m.began_ms,
            former: clusters_to(&m.former),
            registration: registration_number(m.registration),
            invitations: each(&m.invitations),
        }
    }
}

impl TryFrom<pb::MetaRow> for Meta {
    type Error = WireError;

    fn try_from(m: pb::MetaRow) -> Result<Self, WireError> {
        Ok(Self {
            cluster: cluster_or_zero(&m.cluster)?,
            name: m.name,
            generation: m.generation,
            format: m.format,
            last_user: m.last_user,
            last_conversation: m.last_conversation,
            last_at_ms: m.last_at_ms,
            began_ms: m.began_ms,
            former: clusters_from(&m.former)?,
            registration: registration(m.registration)?,
            invitations: all(m.invitations)?,
        })
    }
}

impl From<&User> for pb::UserRow {
    fn from(u: &User) -> Self {
        Self {
            id: Some((&u.id).into()),
            name: u.name.as_str().to_owned(),
            password_hash: u.password_hash.clone(),
            registered_at_ms: u.registered_at_ms,
            passwords: u.passwords,
        }
    }
}

impl TryFrom<pb::UserRow> for User {
    type Error = WireError;

    fn try_from(u: pb::UserRow) -> Result<Self, WireError> {
        Ok(Self {
            id: user(u.id)?,
            name: UserName::exact(&u.name).map_err(|_| WireError::Field("user name"))?,
            password_hash: u.password_hash,
            registered_at_ms: u.registered_at_ms,
            passwords: u.passwords,
        })
    }
}

impl From<&Device> for pb::DeviceRow {
    fn from(d: &Device) -> Self {
        Self {
            id: bytes(&d.id.0),
            user: Some((&d.user).into()),
            token_hash: bytes(&d.token_hash),
            key: d.key.clone(),
            added_at_ms: d.added_at_ms,
            epoch: d.epoch,
            session: bytes_or_empty(&d.session.0),
            seen_at_ms: d.seen_at_ms,
            revoked: d.revoked,
        }
    }
}

impl TryFrom<pb::DeviceRow> for Device {
    type Error = WireError;

    fn try_from(d: pb::DeviceRow) -> Result<Self, WireError> {
        Ok(Self {
            id: device(&d.id)?,
            user: user(d.user)?,
            token_hash: fixed(&d.token_hash, "token hash")?,
            key: own(&d.key),
            added_at_ms: d.added_at_ms,
            epoch: d.epoch,
            session: login(&d.session)?,
            seen_at_ms: d.seen_at_ms,
            revoked: d.revoked,
        })
    }
}

impl From<&Conversation> for pb::ConversationRow {
    fn from(c: &Conversation) -> Self {
        Self {
            id: c.id.0,
            kind: kind_number(c.kind),
            members: each(&c.members),
            last_seq: c.last_seq,
            title: c.title.clone(),
            trail: each(&c.trail),
        }
    }
}

impl TryFrom<pb::ConversationRow> for Conversation {
    type Error = WireError;

    fn try_from(c: pb::ConversationRow) -> Result<Self, WireError> {
        Ok(Self {
            id: ConversationId(c.id),
            kind: kind(c.kind)?,
            members: all(c.members)?,
            last_seq: c.last_seq,
            title: c.title,
            trail: all(c.trail)?,
        })
    }
}

impl From<&Mark> for pb::MarkRow {
    fn from(m: &Mark) -> Self {
        Self {
            conversation: m.conversation.0,
            user: Some((&m.user).into()),
            delivered: m.delivered,
            read: m.read,
        }
    }
}

impl TryFrom<pb::MarkRow> for Mark {
    type Error = WireError;

    fn try_from(m: pb::MarkRow) -> Result<Self, WireError> {
        Ok(Self {
            conversation: ConversationId(m.conversation),
            user: user(m.user)?,
            delivered: m.delivered,
            read: m.read,
        })
    }
}

impl From<&(u64, Refusal)> for pb::RefusalRow {
    fn from((number, refusal): &(u64, Refusal)) -> Self {
        Self { number: *number, code: refusal.code() }
    }
}

impl TryFrom<pb::RefusalRow> for (u64, Refusal) {
    type Error = WireError;

    fn try_from(row: pb::RefusalRow) -> Result<Self, WireError> {
        Ok((row.number, refusal(row.code)?))
    }
}

impl From<&Sent> for pb::SentRow {
    fn from(s: &Sent) -> Self {
        Self {
            device: bytes(&s.device.0),
            group: u32::from(s.group),
            last_number: s.last_number,
            refusals: each(&s.refusals),
        }
    }
}

impl TryFrom<pb::SentRow> for Sent {
    type Error = WireError;

    fn try_from(s: pb::SentRow) -> Result<Self, WireError> {
        Ok(Self {
            device: device(&s.device)?,
            group: group(s.group)?,
            last_number: s.last_number,
            refusals: all(s.refusals)?,
        })
    }
}
