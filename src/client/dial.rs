//! A connection to one server, and the questions that need no login. It must not
//! know which server to take.

use crate::limits;
use crate::wire::client::{decode_server, encode_client};
use crate::wire::conn::{ConnError, FrameReader, FrameWriter, frames};
use crate::wire::message::{ClientMsg, Hello, Purpose, ServerMsg};
use std::io;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

/// Both directions of a connection.
#[derive(Debug)]
pub struct Conn {
    /// What comes.
    pub reader: FrameReader<OwnedReadHalf>,
    /// What goes.
    pub writer: FrameWriter<OwnedWriteHalf>,
}

/// Connects to `address` (`host:port`) within `patience`.
///
/// # Errors
/// The server cannot be reached, or not in time.
pub async fn dial(address: &str, patience: Duration) -> io::Result<Conn> {
    let connect = TcpStream::connect(address);
    let stream = timeout(patience, connect).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let (reader, writer) = frames(stream, limits::FRAME_SERVER)?;
    Ok(Conn { reader, writer })
}

/// Asks a server one question by the purpose of the hello, within `patience`; `events_after` as
/// in [`Hello`].
///
/// # Errors
/// The server cannot be reached, or gives no answer that can be read, or not in time.
pub async fn ask(
    address: &str,
    purpose: Purpose,
    patience: Duration,
    events_after: Option<u64>,
) -> Result<ServerMsg, ConnError> {
    let answer = async {
        let mut conn = dial(address, patience).await?;
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
        Ok(decode_server(payload.map_err(io::Error::from)?)?)
    };
    match timeout(patience, answer).await {
        Ok(result) => result,
        Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
    }
}
