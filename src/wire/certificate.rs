//! What a cluster says of a device of one of its users, for other clusters. It must not know who
//! checks that.

use super::message::PublicKey;
use crate::chat::ids::{ClusterId, DeviceId, UserId};
use bytes::Bytes;

/// A bit of a welcome's features: the server gives certificates.
pub const CERTIFIES: u64 = 1;

/// What a cluster says of a device of one of its users, for other clusters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceCertificate {
    /// The cluster that says so.
    pub cluster: ClusterId,
    /// Whose device it is.
    pub user: UserId,
    /// Which one.
    pub device: DeviceId,
    /// What it signs with.
    pub key: PublicKey,
    /// Until when that holds, in milliseconds of UNIX time.
    pub until_ms: u64,
    /// Of the node that signs.
    pub seat: u32,
    /// By that node, see [`super::proof::certificate`].
    pub signature: Bytes,
}
