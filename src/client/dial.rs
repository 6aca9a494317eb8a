//! A connection to one server, and the questions that need no login. It must not
//! know which server to take.

use super::security::Security;
use crate::limits;
use crate::tls::{self, Fingerprint, Stream};
use crate::wire::client::{decode_server, encode_client};
use crate::wire::conn::{ConnError, Reader, Writer, frames};
use crate::wire::message::{ClientMsg, Hello, Purpose, ServerMsg};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream, lookup_host};
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
    dial_from(None, address, patience, security).await
}

/// The same from this address of this machine, where one is given.
///
/// # Errors
/// See [`dial`]; this machine has no such address.
pub async fn dial_from(
    from: Option<IpAddr>,
    address: &str,
    patience: Duration,
    security: Security,
) -> io::Result<Conn> {
    let connect = async {
        let stream = match from {
            None => TcpStream::connect(address).await?,
            Some(from) => connect_from(from, address).await?,
        };
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

async fn connect_from(from: IpAddr, address: &str) -> io::Result<TcpStream> {
    let fits = |to: &SocketAddr| to.is_ipv4() == from.is_ipv4();
    let to = lookup_host(address).await?.find(fits).ok_or(io::ErrorKind::AddrNotAvailable)?;
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(to).await
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
    let conn = dial(address, patience, security);
    ask_over(conn, purpose, patience, events_after).await
}

/// The same over a connection that is being made.
///
/// # Errors
/// See [`ask`].
pub async fn ask_over(
    conn: impl Future<Output = io::Result<Conn>>,
    purpose: Purpose,
    patience: Duration,
    events_after: Option<u64>,
) -> Result<(ServerMsg, Option<Fingerprint>), ConnError> {
    let answer = async {
        let mut conn = conn.await?;
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
