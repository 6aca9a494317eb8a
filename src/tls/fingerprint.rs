//! What a person compares and a client remembers of a cluster: the SHA-256 of the
//! authority's public key. It must not know connections.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rustls::pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use x509_parser::prelude::{FromDer, X509Certificate};

const PREFIX: &str = "SHA256:";
/// Length of an Ed25519 public key in bytes.
const KEY: usize = 32;
/// What stands before an Ed25519 key in a subjectPublicKeyInfo (RFC 8410, section 4).
const SPKI_HEAD: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The SHA-256 of an authority's subjectPublicKeyInfo, as `openssl dgst` computes it; written
/// `SHA256:` and base64, as ssh does.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Of an Ed25519 public key.
    #[must_use]
    pub fn of_key(key: &[u8; KEY]) -> Self {
        Self::of_spki(&[&SPKI_HEAD[..], key].concat())
    }

    /// Of a certificate's key; `None` where it is none that this program makes.
    pub(super) fn of_certificate(certificate: &CertificateDer<'_>) -> Option<Self> {
        key_of(certificate).map(|key| Self::of_key(&key))
    }

    fn of_spki(spki: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, spki);
        let mut hash = [0; 32];
        hash.copy_from_slice(digest.as_ref());
        Self(hash)
    }
}

/// The Ed25519 key in a certificate.
pub(super) fn key_of(certificate: &CertificateDer<'_>) -> Option<[u8; KEY]> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    parsed.public_key().raw.strip_prefix(&SPKI_HEAD)?.try_into().ok()
}

impl From<[u8; 32]> for Fingerprint {
    fn from(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

impl From<Fingerprint> for [u8; 32] {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", STANDARD_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Fingerprint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let hash = text.trim().strip_prefix(PREFIX).and_then(|rest| {
            STANDARD_NO_PAD.decode(rest.trim_end_matches('=')).ok()?.try_into().ok()
        });
        let wrong = || {
            format!(
                "{text:?} is no fingerprint; write {PREFIX} and 43 characters, as `rustchat keys show` prints it"
            )
        };
        hash.map(Self).ok_or_else(wrong)
    }
}

impl TryFrom<String> for Fingerprint {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<Fingerprint> for String {
    fn from(fingerprint: Fingerprint) -> Self {
        fingerprint.to_string()
    }
}
