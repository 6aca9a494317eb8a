//! The side of a server that clients connect to: it proves its cluster, and asks for
//! no certificate. It must not know who connects.

use super::{Identity, PROVIDER, Stream};
use rustls::ServerConfig;
use rustls::server::NoServerSessionStorage;
use rustls::version::TLS13;
use std::io;
use std::sync::Arc;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

/// Takes connections of clients.
#[derive(Clone)]
pub struct Server {
    acceptor: TlsAcceptor,
}

impl Server {
    /// With the keys of this node.
    ///
    /// # Errors
    /// Where TLS cannot be set up at all.
    pub fn new(identity: &Arc<Identity>) -> io::Result<Self> {
        let mut config = ServerConfig::builder_with_provider(PROVIDER.clone())
            .with_protocol_versions(&[&TLS13])
            .map_err(io::Error::other)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(identity) as Arc<_>);
        plain_sessions(&mut config);
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)) })
    }

    /// Makes a connection of what was accepted. The caller bounds the time.
    ///
    /// # Errors
    /// The other side does not speak TLS 1.3, or went away.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<Stream> {
        Ok(Stream::Tls(Box::new(self.acceptor.accept(stream).await?.into())))
    }

    /// The same within a connection that somebody else carries.
    ///
    /// # Errors
    /// See [`Server::accept`].
    pub async fn accept_within(&self, stream: Stream) -> io::Result<Stream> {
        Ok(Stream::Within(Box::new(self.acceptor.accept(stream).await?.into())))
    }
}

/// Sessions are not resumed: a handshake costs little, and nothing is kept for who has gone.
pub(super) fn plain_sessions(config: &mut ServerConfig) {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
}
