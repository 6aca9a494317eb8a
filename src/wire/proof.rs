//! What a device signs to show that it is the one that holds the key, and not somebody who has
//! seen its token. It must not know keys, nor who checks.

use super::message::Challenge;
use crate::chat::ids::{ClusterId, DeviceId};

/// Nothing else is ever signed with a device's key that begins like this.
const LOGIN: &[u8] = b"rustchat device login 1";

/// The bytes to sign for a login of `device` at a server of `cluster` that gave this challenge.
#[must_use]
pub fn login(cluster: ClusterId, device: DeviceId, challenge: &Challenge) -> Vec<u8> {
    [LOGIN, &cluster.0, &device.0, challenge].concat()
}
