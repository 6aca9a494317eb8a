//! Signed hints: an answer on the network says who signed it and that the authority
//! vouches for that node, in little room. It must not know what is signed.
//!
//! ```text
//! signature = authority's key (32) ‖ node's key (32) ‖ voucher (72) ‖ node's signature (64)
//! voucher   = until (u64, seconds of UNIX time, big-endian) ‖ the authority's signature (64) of
//!             "rustchat voucher 1" ‖ seat (u32, big-endian) ‖ until ‖ node's key
//! ```

use super::Fingerprint;
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use std::time::SystemTime;

/// Length of a hint's signature, in bytes.
pub const SIGNATURE_BYTES: usize = HEAD + 64;
/// The node's own signature comes after this.
const HEAD: usize = 32 + 32 + VOUCHER;
const VOUCHER: usize = 8 + 64;
const VOUCHER_CONTEXT: &[u8] = b"rustchat voucher 1";
const HINT_CONTEXT: &[u8] = b"rustchat hint 1";

/// The voucher for the `node`'s key, by the authority's `private` key (PKCS #8), valid `until`
/// this time in seconds of UNIX time.
pub(super) fn vouch(private: &[u8], seat: u32, node: &[u8; 32], until: u64) -> Option<Vec<u8>> {
    let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(private).ok()?;
    let until = until.to_be_bytes();
    let signature = pair.sign(&vouched(seat, &until, node));
    Some([&until[..], signature.as_ref()].concat())
}

fn vouched(seat: u32, until: &[u8; 8], node: &[u8; 32]) -> Vec<u8> {
    [VOUCHER_CONTEXT, &seat.to_be_bytes(), until, node].concat()
}

/// Until when the authority vouches for the node; `None` where it does not.
fn vouched_until(
    authority: &[u8; 32],
    seat: u32,
    node: &[u8; 32],
    voucher: &[u8; VOUCHER],
) -> Option<u64> {
    let (until, signature) = voucher.split_first_chunk::<8>()?;
    verified(authority, &vouched(seat, until, node), signature)?;
    Some(u64::from_be_bytes(*until))
}

/// What a node signs hints with.
pub struct Hint {
    pair: Ed25519KeyPair,
    /// The signature up to the node's own part.
    head: [u8; HEAD],
}

impl Hint {
    /// Of the node at `seat` with this private key (PKCS #8); `None` where the voucher is not for
    /// it.
    pub(super) fn new(
        private: &[u8],
        seat: u32,
        authority: &[u8; 32],
        voucher: &[u8],
    ) -> Option<Self> {
        use ring::signature::KeyPair as _;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(private).ok()?;
        let node: [u8; 32] = pair.public_key().as_ref().try_into().ok()?;
        vouched_until(authority, seat, &node, voucher.try_into().ok()?)?;
        let head = [&authority[..], &node, voucher].concat().try_into().ok()?;
        Some(Self { pair, head })
    }

    /// Signs.
    #[must_use]
    pub fn sign(&self, text: &[u8]) -> [u8; SIGNATURE_BYTES] {
        let own = self.pair.sign(&[HINT_CONTEXT, text].concat());
        let mut signature = [0; SIGNATURE_BYTES];
        signature[..HEAD].copy_from_slice(&self.head);
        signature[HEAD..].copy_from_slice(own.as_ref());
        signature
    }

    /// Whose word `text` is at the time `now`: the authority that vouches for the node at `seat`,
    /// which signed it. `None` where the signature is not valid.
    #[must_use]
    pub fn verify(
        text: &[u8],
        seat: u32,
        signature: &[u8],
        now: SystemTime,
    ) -> Option<Fingerprint> {
        let signature: &[u8; SIGNATURE_BYTES] = signature.try_into().ok()?;
        let (authority, rest) = signature.split_first_chunk::<32>()?;
        let (node, rest) = rest.split_first_chunk::<32>()?;
        let (voucher, own) = rest.split_first_chunk::<VOUCHER>()?;
        let until = vouched_until(authority, seat, node, voucher)?;
        let now = now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
        if now >= until {
            return None;
        }
        verified(node, &[HINT_CONTEXT, text].concat(), own)?;
        Some(Fingerprint::of_key(authority))
    }
}

fn verified(key: &[u8; 32], text: &[u8], signature: &[u8]) -> Option<()> {
    UnparsedPublicKey::new(&ED25519, key).verify(text, signature).ok()
}
