//! Whether a device holds the key that it said is its own.

use ring::signature::{ED25519, UnparsedPublicKey};

/// Whether `signature` over `text` is by the private half of `key`. Without a key nothing is
/// asked for.
pub(super) fn is_by(key: &[u8], text: &[u8], signature: &[u8]) -> bool {
    key.is_empty() || UnparsedPublicKey::new(&ED25519, key).verify(text, signature).is_ok()
}
