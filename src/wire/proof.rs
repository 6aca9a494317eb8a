//! What a device signs to show that it is the one that holds the key, and not somebody who has
//! seen its token; and what its cluster signs to say so elsewhere. It must not know keys, nor who
//! checks.

use super::message::{Challenge, DeviceCertificate};
use crate::chat::ids::{ClusterId, DeviceId};

/// Nothing else is ever signed with a device's key that begins like this.
const LOGIN: &[u8] = b"rustchat device login 1";

/// The bytes to sign for a login of `device` at a server of `cluster` that gave this challenge.
#[must_use]
pub fn login(cluster: ClusterId, device: DeviceId, challenge: &Challenge) -> Vec<u8> {
    [LOGIN, &cluster.0, &device.0, challenge].concat()
}

/// See [`LOGIN`].
const VISIT: &[u8] = b"rustchat device visit 1";
/// Nothing else is ever signed with a node's key that begins like this.
const CERTIFICATE: &[u8] = b"rustchat device certificate 1";

/// The bytes that a device of `home` signs for a visit to `cluster`, whose server gave this
/// challenge.
#[must_use]
pub fn visit(cluster: ClusterId, challenge: &Challenge, home: ClusterId) -> Vec<u8> {
    [VISIT, &cluster.0, challenge, &home.0].concat()
}

/// The bytes that a node signs to say whose device this is.
#[must_use]
pub fn certificate(said: &DeviceCertificate) -> Vec<u8> {
    let (user, number) = (said.user.cluster.0, said.user.number.to_be_bytes());
    let until = said.until_ms.to_be_bytes();
    let parts: [&[u8]; 7] =
        [CERTIFICATE, &said.cluster.0, &user, &number, &said.device.0, &said.key, &until];
    parts.concat()
}
