//! A connection to a node of another cluster, which both have proven to each other, and questions
//! on it. It must not know what is asked for.

use super::home::{Home, Me};
use crate::chat::ids::ClusterId;
use crate::chat::link::Link;
use crate::client::dial::{self, Conn};
use crate::client::security::Security;
use crate::limits;
use crate::tls::Fingerprint;
use crate::wire::client::{decode_server, encode_client};
use crate::wire::conn::ConnError;
use crate::wire::link::{
    self, LinkAnswer, LinkAsk, LinkHello, LinkReason, LinkRefused, decode_answer, encode_ask,
};
use crate::wire::message::{ClientMsg, Hello, Purpose, ServerMsg, Welcome};
use bytes::Bytes;
use std::io;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// Why there is no line to another cluster, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum LineError {
    /// It cannot be reached, or has another key: try again later.
    #[error("{0}")]
    Unreachable(#[from] ConnError),
    /// It did not answer in time: connect again.
    #[error("it does not answer in time")]
    Late,
    /// It answered with something else than it was asked.
    #[error("its answer makes no sense: {0}")]
    Broken(String),
    /// It refuses, and says why.
    #[error("it refuses: {}", .0.text)]
    Refused(LinkRefused),
    /// This cluster has no id yet, or this node no keys.
    #[error("this cluster can have no links yet")]
    NotReady,
}

impl From<io::Error> for LineError {
    fn from(error: io::Error) -> Self {
        Self::Unreachable(error.into())
    }
}

/// A line to another cluster.
pub struct Line {
    conn: Conn,
    /// Who answered.
    pub met: Welcome,
    /// How long its last answer took.
    pub round_trip: Duration,
}

/// Connects to a node of another cluster at `address`, which must prove the key, and proves who
/// this is. Within `limits::LINK_CONNECT`.
///
/// # Errors
/// See [`LineError`].
pub async fn dial(
    home: &dyn Home,
    address: &str,
    key: Fingerprint,
    cluster: Option<ClusterId>,
) -> Result<Line, LineError> {
    let connected = async {
        let (me, keys) = home.me().zip(home.keys()).ok_or(LineError::NotReady)?;
        let mut line = meet(address, key, cluster).await?;
        let signed = link::signed(line.met.cluster, &line.met.challenge, me.cluster);
        let signature = Bytes::copy_from_slice(&keys.hint.sign(&signed));
        let Me { cluster, name, generation, seat } = me;
        let versions = (link::VERSION, link::VERSION);
        let hello = LinkHello { versions, cluster, name, generation, seat, signature };
        match line.ask(&LinkAsk::Hello(hello), limits::LINK_CONNECT).await? {
            LinkAnswer::Hello { .. } => Ok(line),
            other => Err(unasked(&other)),
        }
    };
    timeout(limits::LINK_CONNECT, connected).await.map_err(|_| LineError::Late)?
}

/// Connects to a node of another cluster, and finds out who that is. With no key it is whoever
/// answers; nothing is told to it.
///
/// # Errors
/// See [`LineError`].
pub async fn meet(
    address: &str,
    key: Fingerprint,
    cluster: Option<ClusterId>,
) -> Result<Line, LineError> {
    look(address, Security::of(Some(key)), cluster).await
}

/// The same with whatever key it has: for a look at who is there.
///
/// # Errors
/// See [`LineError`].
pub async fn look(
    address: &str,
    security: Security,
    cluster: Option<ClusterId>,
) -> Result<Line, LineError> {
    let begin = Instant::now();
    let mut conn = dial::dial(address, limits::LINK_CONNECT, security).await?;
    conn.writer.push(&encode_client(&ClientMsg::Hello(Hello {
        min: crate::wire::VERSION,
        max: crate::wire::VERSION,
        features: 0,
        purpose: Purpose::Link,
        device: None,
        placed: true,
        cluster,
        events_after: None,
    })));
    conn.writer.flush_all().await?;
    let payload = timeout(limits::LINK_CONNECT, conn.reader.next()).await;
    let payload = payload.map_err(|_| LineError::Late)??;
    let payload = payload.ok_or(io::Error::from(io::ErrorKind::UnexpectedEof))?;
    match decode_server(payload).map_err(ConnError::from)? {
        ServerMsg::Welcome(met) => Ok(Line { conn, met, round_trip: begin.elapsed() }),
        ServerMsg::Refused { text, .. } | ServerMsg::GoAway { text, .. } => {
            Err(LineError::Broken(text))
        }
        ServerMsg::Busy { .. } => Err(LineError::Broken("it is busy".to_owned())),
        _ => Err(LineError::Broken("it does not speak of links".to_owned())),
    }
}

/// Connects to the other cluster of this row, see [`dial`].
///
/// # Errors
/// See [`LineError`].
pub async fn to(home: &dyn Home, link: &Link) -> Result<Line, LineError> {
    dial(home, &link.address, Fingerprint::from(link.key), Some(link.cluster)).await
}

impl Line {
    /// The key of the other side's authority, which it has proven.
    #[must_use]
    pub const fn key(&self) -> Option<Fingerprint> {
        self.conn.authority
    }

    /// Asks, and waits for the answer. Where it fails the line is of no more use.
    ///
    /// # Errors
    /// See [`LineError`].
    pub async fn ask(
        &mut self,
        ask: &LinkAsk,
        patience: Duration,
    ) -> Result<LinkAnswer, LineError> {
        let begin = Instant::now();
        self.conn.writer.push(&encode_ask(ask));
        let answer = async {
            self.conn.writer.flush_all().await?;
            let payload = self.conn.reader.next().await?;
            let payload = payload.ok_or(io::Error::from(io::ErrorKind::UnexpectedEof))?;
            decode_answer(payload).map_err(|error| LineError::Broken(error.to_string()))
        };
        let answer = timeout(patience, answer).await.map_err(|_| LineError::Late)??;
        self.round_trip = begin.elapsed();
        Ok(answer)
    }

    /// The connection, after what was agreed on with an ask.
    #[must_use]
    pub fn into_conn(self) -> Conn {
        self.conn
    }
}

/// What an answer means that fits no ask of this side.
#[must_use]
pub fn unasked(answer: &LinkAnswer) -> LineError {
    match answer {
        LinkAnswer::Refused(refused) => LineError::Refused(refused.clone()),
        _ => LineError::Broken("it answers something else than it was asked".to_owned()),
    }
}

impl LineError {
    /// Why it refuses, if it does.
    #[must_use]
    pub fn reason(&self) -> Option<LinkReason> {
        match self {
            Self::Refused(refused) => Some(refused.reason),
            _ => None,
        }
    }
}
