//! A connection to one server, and the questions that need no login. It must not
//! know which server to take.

use super::security::Security;
use crate::limits;
use crate::tls::{self, Fingerprint, Stream};
use crate::wire::client::{decode_server, encode_client};
use crate::wire::conn::{ConnError, Reader, Writer, frames};
use crate::wire::message::{ClientMsg, Hello, Purpose, ServerMsg};
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Both directions of a connection.
#[derive(Debug)]
pub struct Conn {
    /// What comes.
    pub reader: Reader,
    /// What goes.
    pub writer: Writer,
    /// The key of the server's cluster, which it has proved; `None` on a plain connection.
    pub authority: Option<Fingerprint>,
}

/// Connects to `address` (`host:port`) within `patience`.
///
/// # Errors
/// The server cannot be reached, or not in time, or is not whom `security` expects
/// ([`tls::Changed::of`]).
pub async fn dial(address: &str, patience: Duration, security: Security) -> io::Result<Conn> {
    let connect = async {
        let stream = TcpStream::connect(address).await?;
        match security.plain {
            true => Ok(Stream::from(stream)),
            false => tls::connect(stream, security.expected).await,
        }
    };
    let stream = timeout(patience, connect).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let authority = stream.authority();
    let (reader, writer) = frames(stream, limits::FRAME_SERVER)?;
    Ok(Conn { reader, writer, authority })
}

/// Asks a server one question by the purpose of the hello, within `patience`; `events_after` as
/// in [`Hello`]. With the answer comes the key of its cluster, as in [`Conn`].
///
/// # Errors
/// The server cannot be reached, or gives no answer that can be read, or not in time.
pub async fn ask(
    address: &str,
    purpose: Purpose,
    patience: Duration,
    events_after: Option<u64>,
    security: Security,
) -> Result<(ServerMsg, Option<Fingerprint>), ConnError> {
    let answer = async {
        let mut conn = dial(address, patience, security).await?;
        conn.writer.push(&encode_client(&ClientMsg::Hello(Hello {
            min: crate::wire::VERSION,
            max: crate::wire::VERSION,
            features: 0,
            purpose,
            device: None,
            placed: false,
            cluster: None,
            events_after,
        })));
        conn.writer.flush_all().await?;
        let payload = conn.reader.next().await?.ok_or(io::ErrorKind::UnexpectedEof);
        Ok((decode_server(payload.map_err(io::Error::from)?)?, conn.authority))
    };
    match timeout(patience, answer).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
    }
}
