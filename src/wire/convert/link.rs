//! Other clusters: rows, commands about them, and what they are told.

use super::{
    all, bytes, bytes_or_empty, cluster, cluster_or_zero, clusters_from, clusters_to, device, each,
    fixed, fixed_or_zero, need, range, user,
};
use crate::chat::command::{Hear, Import, Meet, Trusting};
use crate::chat::ids::DeviceId;
use crate::chat::link::{Export, Exported, Imported, Link, Marks, Messages, Stop, Stretch, Trust};
use crate::wire::pb::export::Export as Kind;
use crate::wire::{WireError, pb};

impl From<&Export> for pb::Export {
    fn from(export: &Export) -> Self {
        let export = match export {
            Export::Messages(m) => Kind::Messages(pb::ExportedMessages {
                sender: Some((&m.sender).into()),
                name: m.name.clone(),
                to: Some((&m.to).into()),
                origin: bytes(&m.origin.0),
                device: bytes(&m.device.0),
                first_number: m.first_number,
                at_ms: m.at_ms,
                bodies: each(&m.bodies),
            }),
            Export::Marks(m) => Kind::Marks(pb::ExportedMarks {
                reader: Some((&m.reader).into()),
                writer: Some((&m.writer).into()),
                delivered: m.delivered.map(place),
                read: m.read.map(place),
            }),
        };
        Self { export: Some(export) }
    }
}

impl TryFrom<pb::Export> for Export {
    type Error = WireError;

    fn try_from(export: pb::Export) -> Result<Self, WireError> {
        Ok(match export.export.ok_or(WireError::Unknown("export"))? {
            Kind::Messages(m) => Self::Messages(Messages {
                sender: user(m.sender)?,
                name: m.name,
                to: user(m.to)?,
                origin: cluster(&m.origin)?,
                device: device(&m.device)?,
                first_number: m.first_number,
                at_ms: m.at_ms,
                bodies: all(m.bodies)?,
            }),
            Kind::Marks(m) => Self::Marks(Marks {
                reader: user(m.reader)?,
                writer: user(m.writer)?,
                delivered: m.delivered.map(read_place).transpose()?,
                read: m.read.map(read_place).transpose()?,
            }),
        })
    }
}

fn place((device, number): (DeviceId, u64)) -> pb::SentPlace {
    pb::SentPlace { device: bytes(&device.0), number }
}

fn read_place(place: pb::SentPlace) -> Result<(DeviceId, u64), WireError> {
    Ok((device(&place.device)?, place.number))
}

impl From<&Stretch> for pb::Stretch {
    fn from(s: &Stretch) -> Self {
        Self {
            first_seq: s.first_seq,
            count: s.count,
            device: bytes(&s.device.0),
            first_number: s.first_number,
        }
    }
}

impl TryFrom<pb::Stretch> for Stretch {
    type Error = WireError;

    fn try_from(s: pb::Stretch) -> Result<Self, WireError> {
        range(s.first_seq, s.count, "seq")?;
        range(s.first_number, s.count, "send number")?;
        Ok(Self {
            first_seq: s.first_seq,
            count: s.count,
            device: device(&s.device)?,
            first_number: s.first_number,
        })
    }
}

impl From<&Link> for pb::LinkRow {
    fn from(l: &Link) -> Self {
        Self {
            number: l.number,
            cluster: bytes_or_empty(&l.cluster.0),
            former: clusters_to(&l.former),
            name: l.name.clone(),
            alias: l.alias.clone(),
            key: bytes_or_empty(&l.key),
            address: l.address.clone(),
            heard_ms: l.heard_ms,
            trust: trust_number(l.trust),
            imported: Some(pb::LinkPlace {
                generation: l.imported.generation,
                position: l.imported.position,
                hash: bytes_or_empty(&l.imported.hash),
            }),
            exported: Some(pb::LinkPlace {
                generation: 0,
                position: l.exported.position,
                hash: bytes_or_empty(&l.exported.hash),
            }),
            turned_down: l.turned_down,
            rows: l.rows,
        }
    }
}

impl TryFrom<pb::LinkRow> for Link {
    type Error = WireError;

    fn try_from(l: pb::LinkRow) -> Result<Self, WireError> {
        let imported = need(l.imported, "place")?;
        let exported = need(l.exported, "place")?;
        Ok(Self {
            number: l.number,
            cluster: cluster_or_zero(&l.cluster)?,
            former: clusters_from(&l.former)?,
            name: l.name,
            alias: l.alias,
            key: fixed_or_zero(&l.key, "key")?,
            address: l.address,
            heard_ms: l.heard_ms,
            trust: trust(l.trust)?,
            imported: Imported {
                generation: imported.generation,
                position: imported.position,
                hash: fixed_or_zero(&imported.hash, "hash")?,
            },
            exported: Exported {
                position: exported.position,
                hash: fixed_or_zero(&exported.hash, "hash")?,
            },
            turned_down: l.turned_down,
            rows: l.rows,
        })
    }
}

/// What may be done with another cluster, as a number.
pub fn trust_number(trust: Trust) -> u32 {
    match trust {
        Trust::Seen => 0,
        Trust::Trusted => 1,
        Trust::Distrusted => 2,
        Trust::Stopped(stop) => 2 + stop_number(stop),
    }
}

/// What may be done with another cluster.
pub fn trust(number: u32) -> Result<Trust, WireError> {
    match number {
        0 => Ok(Trust::Seen),
        1 => Ok(Trust::Trusted),
        2 => Ok(Trust::Distrusted),
        other => stop(other - 2).map(Trust::Stopped),
    }
}

/// Why a link is stopped, as a number.
pub fn stop_number(stop: Stop) -> u32 {
    match stop {
        Stop::OtherHistory => 1,
        Stop::RolledBack => 2,
    }
}

/// Why a link is stopped.
pub fn stop(number: u32) -> Result<Stop, WireError> {
    match number {
        1 => Ok(Stop::OtherHistory),
        2 => Ok(Stop::RolledBack),
        _ => Err(WireError::Unknown("reason of a stop")),
    }
}

impl From<&Hear> for pb::Hear {
    fn from(h: &Hear) -> Self {
        Self {
            cluster: bytes(&h.cluster.0),
            name: h.name.clone(),
            key: bytes(&h.key),
            address: h.address.clone(),
        }
    }
}

impl TryFrom<pb::Hear> for Hear {
    type Error = WireError;

    fn try_from(h: pb::Hear) -> Result<Self, WireError> {
        let (cluster, key) = (cluster(&h.cluster)?, fixed(&h.key, "key")?);
        Ok(Self { cluster, name: h.name, key, address: h.address })
    }
}

impl From<&Trusting> for pb::TrustLink {
    fn from(t: &Trusting) -> Self {
        Self { cluster: bytes(&t.cluster.0), key: bytes(&t.key), alias: t.alias.clone() }
    }
}

impl TryFrom<pb::TrustLink> for Trusting {
    type Error = WireError;

    fn try_from(t: pb::TrustLink) -> Result<Self, WireError> {
        let (cluster, key) = (cluster(&t.cluster)?, fixed(&t.key, "key")?);
        Ok(Self { cluster, key, alias: t.alias })
    }
}

impl From<&Meet> for pb::Meet {
    fn from(m: &Meet) -> Self {
        Self { cluster: bytes(&m.cluster.0), user: Some((&m.user).into()), name: m.name.clone() }
    }
}

impl TryFrom<pb::Meet> for Meet {
    type Error = WireError;

    fn try_from(m: pb::Meet) -> Result<Self, WireError> {
        Ok(Self { cluster: cluster(&m.cluster)?, user: user(m.user)?, name: m.name })
    }
}

impl From<&Import> for pb::Import {
    fn from(i: &Import) -> Self {
        Self {
            cluster: bytes(&i.cluster.0),
            generation: i.generation,
            first: i.first,
            before: bytes_or_empty(&i.before),
            items: each(&i.items),
        }
    }
}

impl TryFrom<pb::Import> for Import {
    type Error = WireError;

    fn try_from(i: pb::Import) -> Result<Self, WireError> {
        Ok(Self {
            cluster: cluster(&i.cluster)?,
            generation: i.generation,
            first: i.first,
            before: fixed_or_zero(&i.before, "hash")?,
            items: all(i.items)?,
        })
    }
}
