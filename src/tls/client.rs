//! The side of a client: it takes a server for one of the cluster whose authority it
//! expects, or finds out which authority it is. It must not know what to do about a
//! new one.

use super::{Fingerprint, PROVIDER, SERVER_NAME, Stream, identity, server_name};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::version::TLS13;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, SignatureScheme};
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, TlsStream};

/// The server is of another cluster than the one that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its cluster has the key {found}, expected was {expected}")]
pub struct Changed {
    /// Whom the client expects.
    pub expected: Fingerprint,
    /// Whom it found.
    pub found: Fingerprint,
}

impl Changed {
    /// What an error of [`connect`] says of it.
    #[must_use]
    pub fn of(error: &io::Error) -> Option<Self> {
        match error.get_ref()?.downcast_ref::<rustls::Error>()? {
            rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(error))) => {
                error.downcast_ref::<Self>().copied()
            }
            _ => None,
        }
    }
}

/// Connects to a server of the `expected` cluster, or of any where none is given: then
/// [`Stream::authority`] says which. The caller bounds the time.
///
/// # Errors
/// The server does not speak TLS, went away, cannot prove that it belongs to the cluster whose
/// certificate it shows, or belongs to another one ([`Changed::of`]).
pub async fn connect(stream: TcpStream, expected: Option<Fingerprint>) -> io::Result<Stream> {
    Ok(Stream::Tls(Box::new(shake_hands(stream, expected).await?)))
}

/// The same within a connection that somebody else carries, who sees nothing of it.
///
/// # Errors
/// See [`connect`].
pub async fn connect_within(stream: Stream, expected: Fingerprint) -> io::Result<Stream> {
    Ok(Stream::Within(Box::new(shake_hands(stream, Some(expected)).await?)))
}

async fn shake_hands<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    expected: Option<Fingerprint>,
) -> io::Result<TlsStream<S>> {
    let mut config = ClientConfig::builder_with_provider(PROVIDER.clone())
        .with_protocol_versions(&[&TLS13])
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { expected }))
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    let name = server_name(SERVER_NAME).map_err(io::Error::other)?;
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
    let explain = |error| explained(error, expected.is_none());
    Ok(connected.map_err(explain)?.into())
}

/// What most likely happened, for a person. Where a key is expected, doing without is no way out.
fn explained(error: io::Error, new: bool) -> io::Error {
    let speaks_no_tls = match error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
        Some(error) => matches!(error, rustls::Error::InvalidMessage(_)),
        None => {
            matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset)
        }
    };
    if !speaks_no_tls {
        return error;
    }
    let text = match new {
        true => "no TLS there (a server of --insecure-plain is used with the same option)",
        false => "no TLS there",
    };
    io::Error::new(error.kind(), format!("{text}: {error}"))
}

#[derive(Debug)]
struct Verifier {
    expected: Option<Fingerprint>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // The server shows its authority's certificate too: the key in it is what is known.
        let authority = intermediates.last().ok_or(CertificateError::UnknownIssuer)?;
        let found = Fingerprint::of_certificate(authority).ok_or(CertificateError::BadEncoding)?;
        if let Some(expected) = self.expected.filter(|expected| *expected != found) {
            let changed = OtherError(Arc::new(Changed { expected, found }));
            return Err(CertificateError::Other(changed).into());
        }
        let verifier = identity::verifier(authority)?;
        verifier.verify_server_cert(end_entity, &[], server_name, ocsp, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &PROVIDER.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &PROVIDER.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        PROVIDER.signature_verification_algorithms.supported_schemes()
    }
}
