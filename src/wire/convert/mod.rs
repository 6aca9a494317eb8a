//! Between the protobuf types and the domain's: shared pieces for every codec
//! of `wire`. Writing cannot fail; reading checks lengths, ranges and enum
//! values, so that nothing behind `wire` meets a value that makes no sense.

pub mod chat;
mod client;
mod command;
mod link;
mod rows;
mod server;
mod status;

use super::message::ServerAddress;
use super::{WireError, pb};
use crate::chat::ids::{ChangeId, ClusterId, DeviceId, Group, LoginId, UserId};
use crate::limits;
use bytes::Bytes;
use prost::Message;

/// Reads a message; all byte fields share `bytes`.
pub fn read<M: Message + Default>(bytes: Bytes) -> Result<M, WireError> {
    M::decode(bytes).map_err(|e| WireError::Malformed(e.to_string()))
}

/// Writes a message.
pub fn write<M: Message>(message: &M) -> Bytes {
    message.encode_to_vec().into()
}

/// A byte field with a fixed length.
pub fn fixed<const N: usize>(bytes: &[u8], field: &'static str) -> Result<[u8; N], WireError> {
    bytes.try_into().map_err(|_| WireError::Field(field))
}

/// A byte field with a fixed length, or empty.
pub fn fixed_or_none<const N: usize>(
    bytes: &[u8],
    field: &'static str,
) -> Result<Option<[u8; N]>, WireError> {
    if bytes.is_empty() { Ok(None) } else { fixed(bytes, field).map(Some) }
}

/// A byte field with a fixed length, where all zero is written as empty.
pub fn fixed_or_zero<const N: usize>(
    bytes: &[u8],
    field: &'static str,
) -> Result<[u8; N], WireError> {
    Ok(fixed_or_none(bytes, field)?.unwrap_or([0; N]))
}

/// Bytes of an id or a hash.
pub fn bytes(fixed: &[u8]) -> Bytes {
    Bytes::copy_from_slice(fixed)
}

/// Bytes of an id or a hash; empty where all are zero.
pub fn bytes_or_empty(fixed: &[u8]) -> Bytes {
    if fixed.iter().all(|b| *b == 0) { Bytes::new() } else { bytes(fixed) }
}

/// A field that must be there.
pub fn need<T>(value: Option<T>, field: &'static str) -> Result<T, WireError> {
    value.ok_or(WireError::Field(field))
}

/// A Raft group.
pub fn group(number: u32) -> Result<Group, WireError> {
    number.try_into().map_err(|_| WireError::Field("group"))
}

/// A TCP port; 0 where it is not told.
pub fn port(number: u32) -> Result<u16, WireError> {
    number.try_into().map_err(|_| WireError::Field("port"))
}

/// Reads every item of a repeated field.
pub fn all<A, B: TryFrom<A, Error = WireError>>(items: Vec<A>) -> Result<Vec<B>, WireError> {
    items.into_iter().map(B::try_from).collect()
}

/// Writes every item of a repeated field.
pub fn each<'a, A, B: From<&'a A>>(items: &'a [A]) -> Vec<B> {
    items.iter().map(B::from).collect()
}

/// Numbers `first..first + count` must exist, from 1.
pub fn range(first: u64, count: u64, field: &'static str) -> Result<(), WireError> {
    let ends = first.checked_add(count).is_some();
    if first > 0 && ends { Ok(()) } else { Err(WireError::Field(field)) }
}

/// A cluster's id that must be there.
pub fn cluster(bytes: &[u8]) -> Result<ClusterId, WireError> {
    fixed(bytes, "cluster id").map(ClusterId)
}

/// A cluster's id; empty while a node or a client knows none.
pub fn cluster_or_none(bytes: &[u8]) -> Result<Option<ClusterId>, WireError> {
    Ok(fixed_or_none(bytes, "cluster id")?.map(ClusterId))
}

/// A cluster's id; all zero, written as empty, while the cluster is not founded.
pub fn cluster_or_zero(bytes: &[u8]) -> Result<ClusterId, WireError> {
    fixed_or_zero(bytes, "cluster id").map(ClusterId)
}

/// Ids of clusters.
pub fn clusters_to(clusters: &[ClusterId]) -> Vec<Bytes> {
    clusters.iter().map(|cluster| bytes(&cluster.0)).collect()
}

/// Ids of clusters; more than a cluster remembers are wrong.
pub fn clusters_from(clusters: &[Bytes]) -> Result<Vec<ClusterId>, WireError> {
    if clusters.len() > limits::FORMER_CLUSTERS {
        return Err(WireError::Field("former clusters"));
    }
    clusters.iter().map(|cluster| self::cluster(cluster)).collect()
}

/// A device's id.
pub fn device(bytes: &[u8]) -> Result<DeviceId, WireError> {
    fixed(bytes, "device id").map(DeviceId)
}

/// A login's id; all zero, written as empty, before there were any.
pub fn login(bytes: &[u8]) -> Result<LoginId, WireError> {
    fixed_or_zero(bytes, "session").map(LoginId)
}

/// A change's id.
pub fn change(bytes: &[u8]) -> Result<ChangeId, WireError> {
    fixed(bytes, "change").map(ChangeId)
}

impl From<&UserId> for pb::UserId {
    fn from(id: &UserId) -> Self {
        Self { cluster: bytes(&id.cluster.0), number: id.number }
    }
}

impl TryFrom<pb::UserId> for UserId {
    type Error = WireError;

    fn try_from(id: pb::UserId) -> Result<Self, WireError> {
        Ok(Self { cluster: cluster(&id.cluster)?, number: id.number })
    }
}

/// A user that must be there.
pub fn user(id: Option<pb::UserId>) -> Result<UserId, WireError> {
    need(id, "user")?.try_into()
}

impl From<&ServerAddress> for pb::ServerAddress {
    fn from(a: &ServerAddress) -> Self {
        Self {
            seat: a.seat,
            host: a.host.clone(),
            client: u32::from(a.client),
            peer: u32::from(a.peer),
        }
    }
}

impl TryFrom<pb::ServerAddress> for ServerAddress {
    type Error = WireError;

    fn try_from(a: pb::ServerAddress) -> Result<Self, WireError> {
        Ok(Self { seat: a.seat, host: a.host, client: port(a.client)?, peer: port(a.peer)? })
    }
}
