//! A cluster's authority: makes its own certificate and those of nodes. It must not
//! know where they are kept.

use super::{KeysError, SERVER_NAME, fingerprint, hint, node_name};
use pem::Pem;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ED25519,
};
use std::time::{Duration, SystemTime};

/// Days for which a node's certificate is valid.
pub const VALID_DAYS: u64 = 825;
/// The same of an authority's: it outlives the cluster, since clients remember its key.
const AUTHORITY_DAYS: u64 = 20 * 365;
/// Clocks differ: a certificate is valid from this long before it was made.
const EARLIER: Duration = Duration::from_secs(24 * 3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Tags of the parts of a node's file.
pub(super) const KEY_TAG: &str = "PRIVATE KEY";
pub(super) const CERTIFICATE_TAG: &str = "CERTIFICATE";
pub(super) const VOUCHER_TAG: &str = "RUSTCHAT VOUCHER";

/// What can make nodes' certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: Vec<u8>,
    key: [u8; 32],
    /// PKCS #8.
    private: Vec<u8>,
}

fn failed(error: impl std::fmt::Display) -> KeysError {
    KeysError::Failed(error.to_string())
}

impl Authority {
    /// A new one, for the cluster of this name.
    ///
    /// # Errors
    /// [`KeysError::Failed`] where there is no randomness.
    pub fn make(cluster: &str, now: SystemTime) -> Result<Self, KeysError> {
        let pair = KeyPair::generate_for(&PKCS_ED25519).map_err(failed)?;
        let mut params = named(&format!("rustchat cluster {cluster}"), now, AUTHORITY_DAYS);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let certificate = params.self_signed(&pair).map_err(failed)?.der().to_vec();
        Self::new(certificate, pair.serialize_der())
    }

    /// The one with this certificate (DER) and private key (PKCS #8).
    ///
    /// # Errors
    /// [`KeysError::Failed`] where they are no authority's, or do not belong together.
    pub fn new(certificate: Vec<u8>, private: Vec<u8>) -> Result<Self, KeysError> {
        let pair = KeyPair::try_from(private.as_slice()).map_err(failed)?;
        let der = certificate.as_slice().into();
        let key = fingerprint::key_of(&der).filter(|key| key == pair.public_key_raw());
        let key = key.ok_or_else(|| failed("key and certificate do not belong together"))?;
        let issuer = Issuer::from_ca_cert_der(&der, pair).map_err(failed)?;
        Ok(Self { issuer, certificate, key, private })
    }

    /// Its certificate, as PEM.
    #[must_use]
    pub fn certificate(&self) -> String {
        pem::encode(&Pem::new(CERTIFICATE_TAG, self.certificate.clone()))
    }

    /// Its private key, as PEM.
    #[must_use]
    pub fn private_key(&self) -> String {
        pem::encode(&Pem::new(KEY_TAG, self.private.clone()))
    }

    /// What clients remember of it.
    #[must_use]
    pub fn fingerprint(&self) -> super::Fingerprint {
        super::Fingerprint::of_key(&self.key)
    }

    /// A new key for the node at `seat`, and all that it needs to prove who it is, as PEM; valid
    /// for [`VALID_DAYS`], or as many as are given.
    ///
    /// # Errors
    /// [`KeysError::Failed`] where there is no randomness.
    pub fn node(&self, seat: u32, now: SystemTime, days: u64) -> Result<String, KeysError> {
        let pair = KeyPair::generate_for(&PKCS_ED25519).map_err(failed)?;
        let mut params = named(&node_name(seat), now, days);
        let names = [SERVER_NAME.to_owned(), node_name(seat)];
        for name in names {
            let name = name.as_str().try_into().map_err(failed)?;
            params.subject_alt_names.push(rcgen::SanType::DnsName(name));
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&pair, &self.issuer).map_err(failed)?;
        let mut public = [0; 32];
        public.copy_from_slice(pair.public_key_raw());
        let until = now + DAY * u32::try_from(days).unwrap_or(u32::MAX);
        let until = until.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let voucher = hint::vouch(&self.private, seat, &public, until)
            .ok_or_else(|| failed("the authority's key does not sign"))?;
        Ok(pem::encode_many(&[
            Pem::new(KEY_TAG, pair.serialize_der()),
            Pem::new(CERTIFICATE_TAG, certificate.der().to_vec()),
            Pem::new(CERTIFICATE_TAG, self.certificate.clone()),
            Pem::new(VOUCHER_TAG, voucher),
        ]))
    }
}

fn named(name: &str, now: SystemTime, days: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = (now - EARLIER).into();
    params.not_after = (now + DAY * u32::try_from(days).unwrap_or(u32::MAX)).into();
    params
}
