//! A backup from a running server's admin port: one HTTP request, whose answer is the file. It
//! must not know what a backup looks like.

use super::target::Target;
use crate::cli::outcome::{Failure, Kind};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The server answers, and goes on answering, within this time.
const PATIENCE: Duration = Duration::from_secs(30);
/// A server that is up takes a connection within this time.
const CONNECT: Duration = Duration::from_secs(3);
/// Longest head of an answer, and longest reason for a refusal, in bytes.
const HEAD: usize = 16 * 1024;
const BUFFER: usize = 256 * 1024;

/// Asks the server at `address` (`host:port`); writes what it sends.
///
/// # Errors
/// `NoAnswer` is `Ok(false)`: nobody is there. Else what the server says, or what broke.
pub async fn fetch(address: &str, stale: bool, to: &mut Target) -> Result<bool, Failure> {
    let connected = timeout(CONNECT, TcpStream::connect(address)).await;
    let Ok(Ok(mut stream)) = connected else { return Ok(false) };
    let query = if stale { "?stale=1" } else { "" };
    // 1.0: the answer ends with the connection. Whether it is whole, the backup says itself.
    let ask = format!(
        "GET /v1/backup{query} HTTP/1.0\r\nHost: {address}\r\nAccept: */*\r\n\
         Connection: close\r\n\r\n"
    );
    let broke = |why: io::Error| Failure::text(Kind::Again, format!("{address}: {why}"));
    stream.write_all(ask.as_bytes()).await.map_err(broke)?;
    let (status, mut body) = head(&mut stream).await.map_err(broke)?;
    if status != 200 {
        while body.len() < HEAD && more(&mut stream, &mut body).await.map_err(broke)? {}
        return Err(turned_down(address, status, &body));
    }
    loop {
        to.write(&body)?;
        body.clear();
        if !more(&mut stream, &mut body).await.map_err(broke)? {
            return Ok(true);
        }
    }
}

/// Reads what comes next; false at the end.
async fn more(stream: &mut TcpStream, into: &mut Vec<u8>) -> io::Result<bool> {
    let mut buffer = vec![0; BUFFER];
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "it does not answer");
    let count = timeout(PATIENCE, stream.read(&mut buffer)).await.map_err(late)??;
    into.extend_from_slice(buffer.get(..count).unwrap_or_default());
    Ok(count > 0)
}

/// The status, and what has come of the body.
async fn head(stream: &mut TcpStream) -> io::Result<(u16, Vec<u8>)> {
    let mut bytes = Vec::new();
    let wrong = || io::Error::new(io::ErrorKind::InvalidData, "this is no admin port");
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            let head = String::from_utf8_lossy(&bytes);
            let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.split(' ').nth(1));
            return Ok((status.and_then(|status| status.parse().ok()).ok_or_else(wrong)?, body));
        }
        if bytes.len() > HEAD || !more(stream, &mut bytes).await? {
            return Err(wrong());
        }
    }
}

fn turned_down(address: &str, status: u16, body: &[u8]) -> Failure {
    let said = String::from_utf8_lossy(body);
    let said = crate::chat::text::printable(said.trim());
    let kind = match status {
        401 | 403 => Kind::Auth,
        503 => Kind::Unavailable,
        404 | 405 => Kind::Usage,
        500..=599 => Kind::Io,
        _ => Kind::Refused,
    };
    Failure::text(kind, format!("{address} answers {status}: {said}"))
}
