//! A node's keys, and the one place that every new connection takes them from, so
//! that they can be renewed while the node runs. It must not know connections.

use super::authority::{CERTIFICATE_TAG, KEY_TAG, VOUCHER_TAG};
use super::{Fingerprint, Hint, KeysError, PROVIDER, fingerprint, node_name, server_name};
use rustls::client::ResolvesClientCert;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, SignatureScheme};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use x509_parser::prelude::{FromDer, X509Certificate};

/// A node's keys.
pub struct NodeKeys {
    /// Key and certificate, with the authority's behind it.
    pub(super) certified: Arc<CertifiedKey>,
    pub(super) authority: CertificateDer<'static>,
    /// What clients remember.
    pub fingerprint: Fingerprint,
    /// Until when the certificate is valid, in milliseconds of UNIX time.
    pub until_ms: u64,
    /// Signs answers on the network.
    pub hint: Hint,
}

impl NodeKeys {
    /// Reads the text of a node's file, and whether all its parts belong together and to `seat`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str, seat: u32) -> Result<Self, String> {
        let parts = pem::parse_many(text).map_err(|error| error.to_string())?;
        let part = |tag: &'static str| parts.iter().filter(move |part| part.tag() == tag);
        let private = part(KEY_TAG).next().ok_or("it holds no private key")?.contents().to_vec();
        let chain: Vec<CertificateDer<'static>> =
            part(CERTIFICATE_TAG).map(|part| part.contents().to_vec().into()).collect();
        let [leaf, authority] = chain.as_slice() else {
            return Err("it must hold two certificates: the node's and the authority's".to_owned());
        };
        let (leaf, authority) = (leaf.clone(), authority.clone());
        let key =
            fingerprint::key_of(&authority).ok_or("the authority's certificate is damaged")?;
        let until = until(&leaf).ok_or("the certificate is damaged")?;
        // An expired one is told by its age, not as one of somebody else.
        belongs(&leaf, &authority, seat, until)?;
        let voucher = part(VOUCHER_TAG).next().ok_or("it holds no voucher")?.contents();
        let hint = Hint::new(&private, seat, &key, voucher);
        let hint = hint.ok_or("key and voucher do not belong together")?;
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(private));
        let certified = CertifiedKey::from_der(chain, private, &PROVIDER);
        let certified = certified.map_err(|_| "key and certificate do not belong together")?;
        Ok(Self {
            certified: Arc::new(certified),
            authority,
            fingerprint: Fingerprint::of_key(&key),
            until_ms: until.saturating_mul(1000),
            hint,
        })
    }
}

/// The authority alone, to check others with.
pub(super) fn roots(authority: &CertificateDer<'_>) -> Result<Arc<RootCertStore>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone().into_owned())?;
    Ok(Arc::new(roots))
}

/// Checks certificates of nodes of this authority.
pub(super) fn verifier(
    authority: &CertificateDer<'_>,
) -> Result<Arc<WebPkiServerVerifier>, rustls::Error> {
    WebPkiServerVerifier::builder_with_provider(roots(authority)?, PROVIDER.clone())
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))
}

fn belongs(
    leaf: &CertificateDer<'_>,
    authority: &CertificateDer<'_>,
    seat: u32,
    until: u64,
) -> Result<(), String> {
    let then = UnixTime::since_unix_epoch(std::time::Duration::from_secs(until));
    let name = server_name(&node_name(seat)).map_err(|error| error.to_string())?;
    let checked =
        verifier(authority).and_then(|all| all.verify_server_cert(leaf, &[], &name, &[], then));
    checked.map(drop).map_err(|error| format!("it is not of node {seat} of its cluster: {error}"))
}

/// Seconds of UNIX time.
fn until(certificate: &CertificateDer<'_>) -> Option<u64> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    u64::try_from(parsed.validity().not_after.timestamp()).ok()
}

/// The keys of a node that runs.
pub struct Identity {
    file: PathBuf,
    seat: u32,
    current: RwLock<Arc<NodeKeys>>,
}

impl Identity {
    /// Reads the keys of the node at `seat`.
    ///
    /// # Errors
    /// [`KeysError::Missing`] where there is no such file; what is wrong with it.
    pub fn load(file: &Path, seat: u32) -> Result<Arc<Self>, KeysError> {
        let keys = read(file, seat)?;
        let current = RwLock::new(Arc::new(keys));
        Ok(Arc::new(Self { file: file.to_path_buf(), seat, current }))
    }

    /// The keys, as they are now.
    #[must_use]
    pub fn keys(&self) -> Arc<NodeKeys> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the file again: new connections take what it holds now. Says whether it is new.
    ///
    /// # Errors
    /// What is wrong with it; then the keys stay as they are.
    pub fn reload(&self) -> Result<bool, KeysError> {
        let keys = read(&self.file, self.seat)?;
        let known = self.keys();
        if keys.certified.cert == known.certified.cert {
            return Ok(false);
        }
        if keys.fingerprint != known.fingerprint {
            let why = "it is of another authority; a running server keeps its cluster".to_owned();
            return Err(KeysError::Bad { file: self.file.clone(), why });
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        Ok(true)
    }
}

fn read(file: &Path, seat: u32) -> Result<NodeKeys, KeysError> {
    let text = super::file::read(file)?;
    NodeKeys::parse(&text, seat).map_err(|why| KeysError::Bad { file: file.to_path_buf(), why })
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("file", &self.file).finish_non_exhaustive()
    }
}

impl ResolvesServerCert for Identity {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.keys().certified))
    }
}

impl ResolvesClientCert for Identity {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.keys().certified))
    }

    fn has_certs(&self) -> bool {
        true
    }
}
