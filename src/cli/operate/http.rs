//! One HTTP request and its answer in JSON. It must not know what is asked.

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A server on this machine is connected within this time.
const CONNECT: Duration = Duration::from_secs(2);
/// It answers within this time: longer than any order takes.
const ANSWER: Duration = Duration::from_secs(60);
/// Bytes of an answer.
const LONGEST: usize = 1024 * 1024;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no connection: nothing was sent.
    #[error("{0}")]
    Connect(String),
    /// It was not understood, and not done.
    #[error("{0}")]
    Refused(String),
    /// It was sent, and perhaps done.
    #[error("{0}")]
    After(String),
}

/// Posts `body` to `http://address path`.
///
/// # Errors
/// See [`Error`].
pub async fn post(address: &str, path: &str, body: &Value) -> Result<Value, Error> {
    let before = |why: &dyn std::fmt::Display| Error::Connect(why.to_string());
    let after = |why: &dyn std::fmt::Display| Error::After(why.to_string());
    let stream = timeout(CONNECT, TcpStream::connect(address)).await;
    let stream = stream.map_err(|_| before(&"no connection in time"))?.map_err(|e| before(&e))?;
    let (mut send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|e| before(&e))?;
    let request = Request::post(path)
        .header(header::HOST, address)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body.to_string())))
        .map_err(|e| before(&e))?;
    let talk = async {
        let answer = send.send_request(request).await.map_err(|e| after(&e))?;
        let (head, body) = answer.into_parts();
        let body = Limited::new(body, LONGEST).collect().await.map_err(|e| after(&e))?.to_bytes();
        serde_json::from_slice(&body).map_err(|_| {
            let text = format!("{}: {}", head.status, String::from_utf8_lossy(&body).trim());
            // A server that takes orders has not understood it, or this is none.
            if head.status.is_client_error() { Error::Refused(text) } else { after(&text) }
        })
    };
    let both = async {
        tokio::pin!(connection, talk);
        tokio::select! {
            answer = &mut talk => answer,
            ended = &mut connection => match ended {
                Ok(()) => talk.await,
                Err(error) => Err(after(&error)),
            },
        }
    };
    timeout(ANSWER, both).await.map_err(|_| after(&"no answer in time"))?
}
