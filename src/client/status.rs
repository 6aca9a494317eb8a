//! Asks nodes about themselves; works without a leader. It must not judge the answers.

use super::security::Security;
use super::{ClientError, dial};
use crate::discovery::ask::{self as discovery, Judgement, Patience, everywhere};
use crate::report::{Cause, Row};
use crate::wire::conn::ConnError;
use crate::wire::discovery::{Answer, Purpose as Why};
use crate::wire::message::{Purpose, ServerAddress, ServerMsg};
use crate::wire::statement::Status;
use futures::future::join_all;
use std::collections::BTreeSet;
use std::io;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Why a node's state is not known.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// It cannot be reached, or not in time.
    #[error(transparent)]
    Unreachable(#[from] ConnError),
    /// It has no room for the question.
    #[error("the node is busy")]
    Busy,
    /// It answered with something else.
    #[error("{0}")]
    NoStatus(String),
}

impl StatusError {
    /// The same in a word that stays the same.
    #[must_use]
    pub fn cause(&self) -> Cause {
        let error = match self {
            Self::Unreachable(ConnError::Io(error)) => error,
            Self::Unreachable(ConnError::Truncated) => return Cause::Closed,
            Self::Unreachable(ConnError::Wire(_) | ConnError::Encrypted | ConnError::Early)
            | Self::NoStatus(_) => {
                return Cause::Protocol;
            }
            Self::Busy => return Cause::Busy,
        };
        match error.kind() {
            io::ErrorKind::ConnectionRefused => Cause::Refused,
            io::ErrorKind::TimedOut => Cause::Timeout,
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => Cause::Closed,
            io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => Cause::NoRoute,
            _ => Cause::Other,
        }
    }
}

/// What the node at `address` (`host:port` for clients) says about itself within `timeout`.
///
/// # Errors
/// See [`StatusError`].
pub async fn status(
    address: &str,
    timeout: Duration,
    security: Security,
) -> Result<Status, StatusError> {
    status_and_events(address, timeout, None, security).await
}

/// The same with its events after the one with the id `events_after`; as many as go into one
/// answer, the oldest first.
///
/// # Errors
/// See [`StatusError`].
pub async fn status_and_events(
    address: &str,
    timeout: Duration,
    events_after: Option<u64>,
    security: Security,
) -> Result<Status, StatusError> {
    match dial::ask(address, Purpose::Status, timeout, events_after, security).await?.0 {
        ServerMsg::Status(status) => Ok(*status),
        ServerMsg::Busy { .. } => Err(StatusError::Busy),
        ServerMsg::GoAway { text, .. } | ServerMsg::Refused { text, .. } => {
            Err(StatusError::NoStatus(text))
        }
        _ => Err(StatusError::NoStatus("the node gave another answer".into())),
    }
}

/// Asks one node; the answer, or why there is none, is in the row.
pub async fn ask(
    addr: String,
    timeout: Duration,
    events_after: Option<u64>,
    security: Security,
) -> Row {
    let begin = Instant::now();
    let answer = status_and_events(&addr, timeout, events_after, security).await;
    let took = begin.elapsed();
    match answer {
        Ok(status) => Row {
            addr,
            seat: Some(status.seat),
            skew_ms: skew(&status, took),
            status: Some(Box::new(status)),
            round_trip: Some(took),
            ..Row::default()
        },
        Err(error) => {
            Row { addr, error: Some((error.cause(), error.to_string())), ..Row::default() }
        }
    }
}

/// Its clock minus ours; programs that do not tell theirs say 0.
fn skew(status: &Status, took: Duration) -> Option<i64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let then = i64::try_from(since.saturating_sub(took / 2).as_millis()).ok()?;
    let theirs = i64::try_from(status.now_ms).ok().filter(|ms| *ms > 0)?;
    Some(theirs - then)
}

/// The servers, `host:port` for clients, of the cluster that answers on the network: the one with
/// this name, or the only one. None where nobody answers: only a leader does.
///
/// # Errors
/// [`ClientError::ChooseCluster`] where several answer.
pub async fn discover(
    port: u16,
    cluster: Option<&str>,
    security: Security,
) -> Result<Vec<String>, ClientError> {
    let trusted = |answer: &Answer| security.plain || answer.signer.is_some();
    let meant = |answer: &Answer| {
        security.expected.is_none_or(|key| answer.signer == Some(key))
            && cluster.is_none_or(|name| answer.cluster_name == name)
    };
    let judge = |answer: &Answer| match (trusted(answer) && meant(answer), cluster) {
        (false, _) => Judgement::Ignore,
        (true, None) => Judgement::Keep,
        (true, Some(_)) => Judgement::Take,
    };
    let Ok(places) = everywhere(port) else { return Ok(Vec::new()) };
    let answers = discovery::ask(&places, Why::Client, Patience::default(), judge).await;
    // Without a network there is no cluster on it.
    let answers = answers.unwrap_or_default();
    let clusters: BTreeSet<_> = answers.iter().map(|answer| answer.cluster).collect();
    if clusters.len() > 1 {
        let names: BTreeSet<_> = answers.into_iter().map(|answer| answer.cluster_name).collect();
        return Err(ClientError::ChooseCluster(names.into_iter().collect()));
    }
    let servers = answers.iter().flat_map(|answer| answer.members.iter().chain([&answer.leader]));
    let servers: BTreeSet<_> = servers.map(ServerAddress::for_clients).collect();
    Ok(servers.into_iter().collect())
}

/// Asks these nodes, then the members that they name, all at once; in order of seats.
pub async fn ask_all(
    targets: Vec<String>,
    timeout: Duration,
    events_after: Option<u64>,
    security: Security,
) -> Vec<Row> {
    let named: BTreeSet<String> = targets.into_iter().collect();
    let asked = named.into_iter().map(|addr| ask(addr, timeout, events_after, security));
    let mut rows = join_all(asked).await;
    let told: BTreeSet<(u32, String)> = rows
        .iter()
        .filter_map(Row::fresh)
        .flat_map(|status| &status.servers)
        .map(|server| (server.seat, server.for_clients()))
        .collect();
    for row in &mut rows {
        let same = |told: &&(u32, String)| told.1 == row.addr;
        row.seat = row.seat.or_else(|| told.iter().find(same).map(|told| told.0));
    }
    let seats: BTreeSet<u32> = rows.iter().filter_map(|row| row.seat).collect();
    let others = told.into_iter().filter(|(seat, _)| !seats.contains(seat));
    let others = others.map(|(seat, addr)| async move {
        Row { seat: Some(seat), ..ask(addr, timeout, events_after, security).await }
    });
    rows.extend(join_all(others).await);
    rows.sort_by(|a, b| {
        (a.seat.is_none(), a.seat, &a.addr).cmp(&(b.seat.is_none(), b.seat, &b.addr))
    });
    rows
}
