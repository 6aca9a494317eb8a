//! A device's own key pair: made here, never sent. With it a device shows that it is not somebody
//! who has merely seen its token. It must not know where it is kept.

use crate::chat::ids::{ClusterId, DeviceId};
use crate::wire::message::{Challenge, PublicKey};
use crate::wire::proof;
use bytes::Bytes;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::fmt;
use std::io;
use std::sync::Arc;

/// An Ed25519 key pair. Cheap to clone.
#[derive(Clone)]
pub struct DeviceKey {
    pair: Arc<Ed25519KeyPair>,
    /// The same as it is kept (PKCS#8).
    kept: Bytes,
}

impl fmt::Debug for DeviceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeviceKey")
    }
}

impl DeviceKey {
    /// A new one.
    ///
    /// # Errors
    /// The machine gives no random bytes.
    pub fn generate() -> io::Result<Self> {
        let kept = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new())
            .map_err(|_| io::Error::other("no random bytes for a key"))?;
        Self::read(kept.as_ref()).ok_or_else(|| io::Error::other("a key that cannot be read"))
    }

    /// One that was kept, if it can be read.
    #[must_use]
    pub fn read(kept: &[u8]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_pkcs8(kept).ok()?;
        Some(Self { pair: Arc::new(pair), kept: Bytes::copy_from_slice(kept) })
    }

    /// As it is kept.
    #[must_use]
    pub const fn kept(&self) -> &Bytes {
        &self.kept
    }

    /// What others may know.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        let mut key = PublicKey::default();
        key.iter_mut().zip(self.pair.public_key().as_ref()).for_each(|(to, from)| *to = *from);
        key
    }

    /// Signs a login.
    #[must_use]
    pub fn sign(&self, cluster: ClusterId, device: DeviceId, challenge: &Challenge) -> Bytes {
        let text = proof::login(cluster, device, challenge);
        Bytes::copy_from_slice(self.pair.sign(&text).as_ref())
    }

    /// Signs that it comes to a server of `cluster`, which gave this challenge, as a guest from
    /// `home`.
    #[must_use]
    pub fn sign_visit(&self, cluster: ClusterId, challenge: &Challenge, home: ClusterId) -> Bytes {
        let text = proof::visit(cluster, challenge, home);
        Bytes::copy_from_slice(self.pair.sign(&text).as_ref())
    }
}
