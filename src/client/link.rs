//! The way to a server, one step at a time: waiting, finding, dialling, connected.
//! Every step may be given up in a `select!` and taken up again. It must not know
//! what is said.

use super::dial::{self, Conn};
use super::find::{Found, Lost, Seeker};
use super::security::Security;
use super::visit::{NoWay, Pass, Way, visit};
use crate::wire::conn::ConnError;
use bytes::Bytes;
use futures::future::BoxFuture;
use std::io;
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// A server must take the connection within this time.
const CONNECT: Duration = Duration::from_secs(2);

/// Where the way to a server stands.
pub enum Link {
    /// Nothing before this time.
    Waiting(Instant),
    /// Who leads?
    Finding(BoxFuture<'static, Result<Found, Lost>>),
    /// Connecting.
    Dialling {
        /// `host:port`.
        to: String,
        /// A redirect led here.
        placed: bool,
        /// The connection, once it stands.
        conn: BoxFuture<'static, io::Result<Conn>>,
    },
    /// On the way home by way of another cluster's server.
    Visiting {
        /// `host:port`.
        to: String,
        /// A redirect led there.
        placed: bool,
        /// The way, once it is found.
        way: BoxFuture<'static, Result<Way, NoWay>>,
    },
    /// Connected.
    Up(Box<Conn>),
}

/// What happened on the way.
pub enum Step {
    /// The wait is over.
    Waited,
    /// The leader.
    Found(Result<Found, Lost>),
    /// The connection to `to`.
    Dialled {
        /// `host:port`.
        to: String,
        /// A redirect led here.
        placed: bool,
        /// What became of it.
        conn: io::Result<Conn>,
    },
    /// The way home by way of `to`.
    Visited {
        /// `host:port`.
        to: String,
        /// A redirect led there.
        placed: bool,
        /// What became of it.
        way: Result<Way, NoWay>,
    },
    /// A frame came; `None` is the end of the stream.
    Frame(Result<Option<Bytes>, ConnError>),
    /// The socket took something, or failed.
    Wrote(io::Result<usize>),
}

impl Link {
    /// Starts to look for the leader.
    pub fn find(seeker: Seeker) -> Self {
        Self::Finding(Box::pin(seeker.find()))
    }

    /// Starts to connect.
    pub fn dial(to: String, placed: bool, from: Option<IpAddr>, security: Security) -> Self {
        let address = to.clone();
        let conn =
            Box::pin(async move { dial::dial_from(from, &address, CONNECT, security).await });
        Self::Dialling { to, placed, conn }
    }

    /// Starts to ask another cluster's server, to which `conn` leads, for the way home.
    pub fn visit(to: String, placed: bool, conn: Conn, pass: Pass, seeker: Seeker) -> Self {
        let way = Box::pin(visit(to.clone(), conn, placed, pass, seeker));
        Self::Visiting { to, placed, way }
    }

    /// The next thing that happens; `read` says whether frames are wanted. Cancel-safe.
    pub async fn step(&mut self, read: bool) -> Step {
        match self {
            Self::Waiting(until) => {
                sleep_until(*until).await;
                Step::Waited
            }
            Self::Finding(find) => Step::Found(find.await),
            Self::Dialling { to, placed, conn } => {
                let (to, placed) = (to.clone(), *placed);
                Step::Dialled { to, placed, conn: conn.await }
            }
            Self::Visiting { to, placed, way } => {
                let (to, placed) = (to.clone(), *placed);
                Step::Visited { to, placed, way: way.await }
            }
            Self::Up(conn) => {
                let Conn { reader, writer, .. } = &mut **conn;
                tokio::select! {
                    wrote = writer.flush_some(), if writer.pending() > 0 => Step::Wrote(wrote),
                    frame = reader.next(), if read => Step::Frame(frame),
                    else => std::future::pending().await,
                }
            }
        }
    }

    /// The connection, if it stands.
    pub fn conn(&mut self) -> Option<&mut Conn> {
        match self {
            Self::Up(conn) => Some(conn),
            _ => None,
        }
    }
}
