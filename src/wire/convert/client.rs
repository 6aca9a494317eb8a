//! What clients say.

use super::chat::target;
use super::{all, bytes, cluster_or_none, device, each, fixed_or_none, group, range};
use super::{cluster_or_zero, need, user};
use crate::chat::ids::{ConversationId, DeviceId, Position, UserId};
use crate::limits;
use crate::wire::message::{
    ChangePassword, ClientMsg, Credentials, Cursor, Fetch, Hello, MarkEntry, Purpose, SendRun,
};
use crate::wire::pb::client_frame::Frame;
use crate::wire::{WireError, pb};
use bytes::Bytes;

impl From<&ClientMsg> for pb::ClientFrame {
    fn from(message: &ClientMsg) -> Self {
        Self { frame: Some(message.into()) }
    }
}

impl From<&ClientMsg> for Frame {
    fn from(message: &ClientMsg) -> Self {
        match message {
            ClientMsg::Hello(hello) => Self::Hello(hello.into()),
            ClientMsg::Register(c) => Self::Register(pb::Register {
                name: c.name.clone(),
                password: c.password.clone(),
                device_key: key_bytes(c),
                invite: c.invite.clone(),
            }),
            ClientMsg::Login(c) => Self::Login(pb::Login {
                name: c.name.clone(),
                password: c.password.clone(),
                device_key: key_bytes(c),
            }),
            ClientMsg::Token { name, token, signature } => Self::Token(pb::Token {
                name: name.clone(),
                token: token.clone(),
                signature: signature.clone(),
            }),
            ClientMsg::Resume { cursor, have } => {
                let have =
                    have.iter().map(|(c, seq)| pb::Have { conversation: c.0, seq: *seq }).collect();
                Self::Resume(pb::Resume { cursor: Some(cursor.into()), have })
            }
            ClientMsg::Send { runs, confirmed } => Self::Send(pb::Send {
                runs: each(runs),
                confirmed: *confirmed,
                signature: Bytes::new(),
            }),
            ClientMsg::Mark(marks) => Self::Mark(pb::Mark { marks: each(marks) }),
            ClientMsg::Fetch(f) => Self::Fetch(pb::Fetch {
                request: f.request,
                conversation: f.conversation.0,
                from: f.from,
                to: f.to,
                current: f.current,
            }),
            ClientMsg::Lookup { request, name } => {
                Self::Lookup(pb::Lookup { request: *request, name: name.clone() })
            }
            ClientMsg::Devices { request } => Self::Devices(pb::Devices { request: *request }),
            ClientMsg::Revoke { request, device } => {
                Self::Revoke(pb::Revoke { request: *request, device: bytes(&device.0) })
            }
            ClientMsg::ChangePassword(c) => Self::ChangePassword(pb::ChangePassword {
                request: c.request,
                old: c.old.clone(),
                new: c.new.clone(),
                keep_devices: c.keep_devices,
            }),
            ClientMsg::Certify { request } => Self::Certify(pb::Certify { request: *request }),
            ClientMsg::Visit { certificate, signature } => Self::Visit(pb::Visit {
                certificate: Some(certificate.into()),
                signature: signature.clone(),
            }),
            ClientMsg::Ping(token) => Self::Ping(pb::Ping { token: *token }),
        }
    }
}

impl TryFrom<pb::ClientFrame> for ClientMsg {
    type Error = WireError;

    fn try_from(frame: pb::ClientFrame) -> Result<Self, WireError> {
        Ok(match frame.frame.ok_or(WireError::Unknown("client message"))? {
            Frame::Hello(hello) => Self::Hello(hello.try_into()?),
            Frame::Register(r) => Self::Register(Credentials {
                name: r.name,
                password: r.password,
                key: fixed_or_none(&r.device_key, "device key")?,
                invite: r.invite,
            }),
            Frame::Login(l) => Self::Login(Credentials {
                name: l.name,
                password: l.password,
                key: fixed_or_none(&l.device_key, "device key")?,
                invite: String::new(),
            }),
            Frame::Token(t) => Self::Token { name: t.name, token: t.token, signature: t.signature },
            Frame::Resume(r) => Self::Resume {
                cursor: r.cursor.unwrap_or_default().try_into()?,
                have: r.have.iter().map(|h| (ConversationId(h.conversation), h.seq)).collect(),
            },
            Frame::Send(send) => read_send(send)?,
            Frame::Mark(m) => Self::Mark(all(m.marks)?),
            Frame::Fetch(f) => Self::Fetch(Fetch {
                request: f.request,
                conversation: ConversationId(f.conversation),
                from: f.from,
                to: f.to,
                current: f.current,
            }),
            Frame::Lookup(l) => Self::Lookup { request: l.request, name: l.name },
            Frame::Devices(d) => Self::Devices { request: d.request },
            Frame::Revoke(r) => Self::Revoke { request: r.request, device: device(&r.device)? },
            Frame::ChangePassword(c) => Self::ChangePassword(ChangePassword {
                request: c.request,
                old: c.old,
                new: c.new,
                keep_devices: c.keep_devices,
            }),
            Frame::Certify(c) => Self::Certify { request: c.request },
            Frame::Visit(v) => Self::Visit {
                certificate: need(v.certificate, "certificate")?.try_into()?,
                signature: v.signature,
            },
            Frame::Ping(p) => Self::Ping(p.token),
        })
    }
}

fn key_bytes(credentials: &Credentials) -> Bytes {
    credentials.key.map(|key| bytes(&key)).unwrap_or_default()
}

/// No more messages than the widest window: a client that sends more cannot count.
fn read_send(send: pb::Send) -> Result<ClientMsg, WireError> {
    let messages: usize = send.runs.iter().map(|run| run.bodies.len()).sum();
    if messages > limits::WINDOW_MESSAGES as usize {
        return Err(WireError::Field("number of messages"));
    }
    Ok(ClientMsg::Send { runs: all(send.runs)?, confirmed: send.confirmed })
}

impl From<&Hello> for pb::Hello {
    fn from(h: &Hello) -> Self {
        let purpose = match h.purpose {
            Purpose::Chat => 1,
            Purpose::Where => 2,
            Purpose::Status => 3,
            Purpose::Link => 4,
            Purpose::Visit => 5,
        };
        Self {
            min: h.min,
            max: h.max,
            features: h.features,
            purpose,
            device: h.device.map(|id| bytes(&id.0)).unwrap_or_default(),
            placed: h.placed,
            cluster: h.cluster.map(|id| bytes(&id.0)).unwrap_or_default(),
            events_after: h.events_after,
        }
    }
}

impl TryFrom<pb::Hello> for Hello {
    type Error = WireError;

    fn try_from(h: pb::Hello) -> Result<Self, WireError> {
        let purpose = match h.purpose {
            1 => Purpose::Chat,
            2 => Purpose::Where,
            3 => Purpose::Status,
            4 => Purpose::Link,
            5 => Purpose::Visit,
            _ => return Err(WireError::Unknown("purpose")),
        };
        if purpose == Purpose::Chat {
            device(&h.device)?;
        }
        Ok(Self {
            min: h.min,
            max: h.max,
            features: h.features,
            purpose,
            device: fixed_or_none(&h.device, "device id")?.map(DeviceId),
            placed: h.placed,
            cluster: cluster_or_none(&h.cluster)?,
            events_after: h.events_after,
        })
    }
}

impl From<&Cursor> for pb::Cursor {
    fn from(c: &Cursor) -> Self {
        Self {
            cluster: super::bytes_or_empty(&c.cluster.0),
            generation: c.generation,
            positions: each(&c.positions),
        }
    }
}

impl TryFrom<pb::Cursor> for Cursor {
    type Error = WireError;

    fn try_from(c: pb::Cursor) -> Result<Self, WireError> {
        Ok(Self {
            cluster: cluster_or_zero(&c.cluster)?,
            generation: c.generation,
            positions: all(c.positions)?,
        })
    }
}

impl From<&Position> for pb::Position {
    fn from(p: &Position) -> Self {
        Self { group: u32::from(p.group), index: p.index }
    }
}

impl TryFrom<pb::Position> for Position {
    type Error = WireError;

    fn try_from(p: pb::Position) -> Result<Self, WireError> {
        Ok(Self { group: group(p.group)?, index: p.index })
    }
}

impl From<&SendRun> for pb::SendRun {
    fn from(run: &SendRun) -> Self {
        Self {
            group: u32::from(run.group),
            first_number: run.first_number,
            bodies: each(&run.bodies),
            to: Some((&run.to).into()),
        }
    }
}

impl TryFrom<pb::SendRun> for SendRun {
    type Error = WireError;

    fn try_from(run: pb::SendRun) -> Result<Self, WireError> {
        if run.bodies.is_empty() {
            return Err(WireError::Field("run without bodies"));
        }
        range(run.first_number, run.bodies.len() as u64, "send number")?;
        Ok(Self {
            group: group(run.group)?,
            first_number: run.first_number,
            to: target(run.to)?,
            bodies: all(run.bodies)?,
        })
    }
}

impl From<&MarkEntry> for pb::MarkEntry {
    fn from(m: &MarkEntry) -> Self {
        Self {
            conversation: m.conversation.0,
            delivered: m.delivered,
            read: m.read,
            user: m.user.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<pb::MarkEntry> for MarkEntry {
    type Error = WireError;

    fn try_from(m: pb::MarkEntry) -> Result<Self, WireError> {
        let user: Option<UserId> = m.user.map(|id| user(Some(id))).transpose()?;
        Ok(Self {
            conversation: ConversationId(m.conversation),
            user,
            delivered: m.delivered,
            read: m.read,
        })
    }
}
