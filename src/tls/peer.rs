//! Connections between the servers of a cluster: both sides prove that they are of
//! it, and which node they are. It must not know what servers say.

use super::server::plain_sessions;
use super::{Identity, PROVIDER, Stream, identity, node_name, server_name};
use rustls::client::Resumption;
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, ServerConfig};
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// Makes connections between servers.
#[derive(Clone)]
pub struct Peers {
    acceptor: TlsAcceptor,
    connector: TlsConnector,
}

impl std::fmt::Debug for Peers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Peers")
    }
}

impl Peers {
    /// With the keys of this node.
    ///
    /// # Errors
    /// Where TLS cannot be set up at all.
    pub fn new(identity: &Arc<Identity>) -> io::Result<Self> {
        let authority = identity.keys().authority.clone();
        let roots = identity::roots(&authority).map_err(io::Error::other)?;
        let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), PROVIDER.clone());
        let clients = clients.build().map_err(io::Error::other)?;
        let mut listens = ServerConfig::builder_with_provider(PROVIDER.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(io::Error::other)?
            .with_client_cert_verifier(clients)
            .with_cert_resolver(Arc::clone(identity) as Arc<_>);
        plain_sessions(&mut listens);
        let mut dials = ClientConfig::builder_with_provider(PROVIDER.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_client_cert_resolver(Arc::clone(identity) as Arc<_>);
        dials.resumption = Resumption::disabled();
        Ok(Self {
            acceptor: TlsAcceptor::from(Arc::new(listens)),
            connector: TlsConnector::from(Arc::new(dials)),
        })
    }

    /// Makes a connection of what was accepted; which node it is, [`Stream::proof`] says. The
    /// caller bounds the time.
    ///
    /// # Errors
    /// The other side is no node of this cluster, or went away.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<Stream> {
        Ok(Stream::Tls(Box::new(self.acceptor.accept(stream).await?.into())))
    }

    /// Connects to the node at `seat`. The caller bounds the time.
    ///
    /// # Errors
    /// The other side is not that node of this cluster, or went away.
    pub async fn connect(&self, stream: TcpStream, seat: u32) -> io::Result<Stream> {
        let name = server_name(&node_name(seat)).map_err(io::Error::other)?;
        Ok(Stream::Tls(Box::new(self.connector.connect(name, stream).await?.into())))
    }
}
