//! Commands, as they stand in the log.

use super::chat::target;
use super::{
    all, bytes, bytes_or_empty, change, cluster, device, each, fixed, fixed_or_none, group, login,
    need, user,
};
use crate::chat::command::{
    AddDevice, Advance, Attach, Command, Register, RemoveDevice, Send, SetPassword, Speaker,
};
use crate::chat::ids::ConversationId;
use crate::chat::write::{Invitation, Registration};
use crate::wire::pb::command::Command as Kind;
use crate::wire::{WireError, pb};
use bytes::Bytes;

impl From<&Command> for pb::Command {
    fn from(command: &Command) -> Self {
        Self { command: Some(command.into()) }
    }
}

impl From<&Command> for Kind {
    fn from(command: &Command) -> Self {
        match command {
            Command::Found { cluster, name } => {
                Self::Found(pb::FoundCluster { cluster: bytes(&cluster.0), name: name.clone() })
            }
            Command::Register(r) => Self::Register(r.into()),
            Command::AddDevice(a) => Self::AddDevice(a.into()),
            Command::Attach(a) => Self::Attach(a.into()),
            Command::RemoveDevice(r) => Self::RemoveDevice(r.into()),
            Command::SetPassword(s) => Self::SetPassword(s.into()),
            Command::SetRegistration(registration) => {
                let registration = registration_number(*registration);
                Self::SetRegistration(pb::SetRegistration { registration })
            }
            Command::Invite(invitation) => Self::Invite(invitation.into()),
            Command::Send(send) => Self::Send(send.into()),
            Command::Marks(marks) => Self::Marks(pb::AdvanceMarks { marks: each(marks) }),
            Command::SetFormat(format) => Self::SetFormat(pb::SetFormat { format: *format }),
            Command::Recover { generation, skip } => {
                Self::Recover(pb::Recover { generation: *generation, skip: *skip })
            }
            Command::Hear(h) => Self::Hear(h.into()),
            Command::Forget { cluster, heard_ms } => {
                Self::Forget(pb::ForgetLink { cluster: bytes(&cluster.0), heard_ms: *heard_ms })
            }
            Command::Trust(t) => Self::Trust(t.into()),
            Command::Distrust { cluster } => {
                Self::Distrust(pb::LinkOrder { cluster: bytes(&cluster.0) })
            }
            Command::Resume { cluster } => {
                Self::Resume(pb::LinkOrder { cluster: bytes(&cluster.0) })
            }
            Command::StopLink { cluster, why } => {
                let why = super::link::stop_number(*why);
                Self::StopLink(pb::StopLink { cluster: bytes(&cluster.0), why })
            }
            Command::Rewind { cluster, generation } => {
                Self::Rewind(pb::RewindLink { cluster: bytes(&cluster.0), generation: *generation })
            }
            Command::Meet(meet) => Self::Meet(meet.into()),
            Command::Import(import) => Self::Import(import.into()),
        }
    }
}

impl From<&Register> for pb::RegisterUser {
    fn from(r: &Register) -> Self {
        Self {
            name: r.name.clone(),
            password_hash: r.password_hash.clone(),
            device: bytes(&r.device.0),
            token_hash: bytes(&r.token_hash),
            device_key: r.device_key.clone(),
            session: bytes_or_empty(&r.session.0),
            invite: r.invite.map(|hash| bytes(&hash)).unwrap_or_default(),
        }
    }
}

impl From<&AddDevice> for pb::AddDevice {
    fn from(a: &AddDevice) -> Self {
        Self {
            user: Some((&a.user).into()),
            device: bytes(&a.device.0),
            token_hash: bytes(&a.token_hash),
            device_key: a.device_key.clone(),
            session: bytes_or_empty(&a.session.0),
            after: a.after,
            passwords: a.passwords,
        }
    }
}

impl From<&Attach> for pb::Attach {
    fn from(a: &Attach) -> Self {
        Self {
            device: bytes(&a.device.0),
            token_hash: bytes(&a.token_hash),
            session: bytes_or_empty(&a.session.0),
            after: a.after,
        }
    }
}

impl From<&RemoveDevice> for pb::RemoveDevice {
    fn from(r: &RemoveDevice) -> Self {
        Self {
            user: Some((&r.user).into()),
            device: bytes(&r.device.0),
            by: Some((&r.by).into()),
            change: bytes(&r.change.0),
        }
    }
}

impl From<&SetPassword> for pb::SetPassword {
    fn from(s: &SetPassword) -> Self {
        Self {
            user: Some((&s.user).into()),
            by: Some((&s.by).into()),
            passwords: s.passwords,
            password_hash: s.password_hash.clone(),
            keep_devices: s.keep_devices,
            change: bytes(&s.change.0),
        }
    }
}

impl TryFrom<pb::Command> for Command {
    type Error = WireError;

    fn try_from(command: pb::Command) -> Result<Self, WireError> {
        Ok(match command.command.ok_or(WireError::Unknown("command"))? {
            Kind::Found(f) => Self::Found { cluster: cluster(&f.cluster)?, name: f.name },
            Kind::Register(r) => Self::Register(Register {
                name: r.name,
                password_hash: r.password_hash,
                device: device(&r.device)?,
                token_hash: fixed(&r.token_hash, "token hash")?,
                device_key: own(&r.device_key),
                session: login(&r.session)?,
                invite: fixed_or_none(&r.invite, "invitation")?,
            }),
            Kind::AddDevice(a) => Self::AddDevice(AddDevice {
                user: user(a.user)?,
                device: device(&a.device)?,
                token_hash: fixed(&a.token_hash, "token hash")?,
                device_key: own(&a.device_key),
                session: login(&a.session)?,
                after: a.after,
                passwords: a.passwords,
            }),
            Kind::Attach(a) => Self::Attach(Attach {
                device: device(&a.device)?,
                token_hash: fixed(&a.token_hash, "token hash")?,
                session: login(&a.session)?,
                after: a.after,
            }),
            Kind::RemoveDevice(r) => Self::RemoveDevice(RemoveDevice {
                user: user(r.user)?,
                device: device(&r.device)?,
                by: need(r.by, "speaker")?.try_into()?,
                change: change(&r.change)?,
            }),
            Kind::SetPassword(s) => Self::SetPassword(SetPassword {
                user: user(s.user)?,
                by: need(s.by, "speaker")?.try_into()?,
                passwords: s.passwords,
                password_hash: s.password_hash,
                keep_devices: s.keep_devices,
                change: change(&s.change)?,
            }),
            Kind::SetRegistration(s) => Self::SetRegistration(registration(s.registration)?),
            Kind::Invite(invitation) => Self::Invite(invitation.try_into()?),
            Kind::Send(send) => Self::Send(send.try_into()?),
            Kind::Marks(marks) => Self::Marks(all(marks.marks)?),
            Kind::SetFormat(f) => Self::SetFormat(f.format),
            Kind::Hear(hear) => Self::Hear(hear.try_into()?),
            Kind::Forget(f) => Self::Forget { cluster: cluster(&f.cluster)?, heard_ms: f.heard_ms },
            Kind::Trust(trusting) => Self::Trust(trusting.try_into()?),
            Kind::Distrust(order) => Self::Distrust { cluster: cluster(&order.cluster)? },
            Kind::Resume(order) => Self::Resume { cluster: cluster(&order.cluster)? },
            Kind::StopLink(s) => {
                Self::StopLink { cluster: cluster(&s.cluster)?, why: super::link::stop(s.why)? }
            }
            Kind::Rewind(r) => {
                Self::Rewind { cluster: cluster(&r.cluster)?, generation: r.generation }
            }
            Kind::Meet(meet) => Self::Meet(meet.try_into()?),
            Kind::Import(import) => Self::Import(import.try_into()?),
            Kind::Recover(r) => Self::Recover { generation: r.generation, skip: r.skip },
        })
    }
}

/// The state keeps this for ever; a slice would keep the whole log entry with it.
pub fn own(key: &Bytes) -> Bytes {
    bytes(key)
}

/// Who may register, as a number.
pub fn registration_number(registration: Registration) -> u32 {
    match registration {
        Registration::Open => 0,
        Registration::Invite => 1,
        Registration::Closed => 2,
    }
}

/// Who may register.
pub fn registration(number: u32) -> Result<Registration, WireError> {
    match number {
        0 => Ok(Registration::Open),
        1 => Ok(Registration::Invite),
        2 => Ok(Registration::Closed),
        _ => Err(WireError::Unknown("registration")),
    }
}

impl From<&Invitation> for pb::Invite {
    fn from(i: &Invitation) -> Self {
        Self { code_hash: bytes(&i.code_hash), expires_at_ms: i.expires_at_ms, used: i.used }
    }
}

impl TryFrom<pb::Invite> for Invitation {
    type Error = WireError;

    fn try_from(i: pb::Invite) -> Result<Self, WireError> {
        let code_hash = fixed(&i.code_hash, "invitation")?;
        Ok(Self { code_hash, expires_at_ms: i.expires_at_ms, used: i.used })
    }
}

impl From<&Speaker> for pb::Speaker {
    fn from(by: &Speaker) -> Self {
        Self { device: bytes(&by.device.0), epoch: by.epoch }
    }
}

impl TryFrom<pb::Speaker> for Speaker {
    type Error = WireError;

    fn try_from(by: pb::Speaker) -> Result<Self, WireError> {
        Ok(Self { device: device(&by.device)?, epoch: by.epoch })
    }
}

impl From<&Send> for pb::SendMessages {
    fn from(send: &Send) -> Self {
        Self {
            device: bytes(&send.device.0),
            group: u32::from(send.group),
            first_number: send.first_number,
            confirmed: send.confirmed,
            bodies: each(&send.bodies),
            to: Some((&send.to).into()),
            epoch: send.epoch,
        }
    }
}

impl TryFrom<pb::SendMessages> for Send {
    type Error = WireError;

    fn try_from(send: pb::SendMessages) -> Result<Self, WireError> {
        Ok(Self {
            device: device(&send.device)?,
            epoch: send.epoch,
            group: group(send.group)?,
            first_number: send.first_number,
            confirmed: send.confirmed,
            to: target(send.to)?,
            bodies: all(send.bodies)?,
        })
    }
}

impl From<&Advance> for pb::AdvanceMark {
    fn from(a: &Advance) -> Self {
        Self {
            user: Some((&a.user).into()),
            conversation: a.conversation.0,
            delivered: a.delivered,
            read: a.read,
        }
    }
}

impl TryFrom<pb::AdvanceMark> for Advance {
    type Error = WireError;

    fn try_from(a: pb::AdvanceMark) -> Result<Self, WireError> {
        Ok(Self {
            user: user(a.user)?,
            conversation: ConversationId(a.conversation),
            delivered: a.delivered,
            read: a.read,
        })
    }
}
