//! How two servers agree to talk: the dialler says its hello, the listener answers
//! with its own, the dialler says its hello once more. The third makes sure that
//! the listener never counts a connection that the dialler refuses or has given
//! up. Either side's hello may say in `refusal` why it will not talk, and ends the
//! connection. It must not know what comes after.

use crate::tls;
use crate::wire::conn::{ConnError, Reader, Writer};
use crate::wire::peer::PeerHello;

/// The two directions of a connection.
pub(super) type Ends = (Reader, Writer);

/// Whether this server will talk to one that says such a hello.
pub(super) type Judge<'a> = &'a (dyn Fn(&PeerHello) -> Result<(), String> + Send + Sync);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum HelloError {
    #[error("we refuse it: {reason}")]
    ByUs {
        /// The seat that it claims.
        seat: u32,
        reason: String,
    },
    #[error("it refuses us: {reason}")]
    ByThem { seat: u32, reason: String },
    #[error("it closed the connection")]
    Closed,
    #[error(transparent)]
    Conn(#[from] ConnError),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

impl HelloError {
    /// `who` was to prove that it is a server of this cluster (the one at `seat`, if not 0).
    pub(super) fn unproved(error: std::io::Error, seat: u32, who: &str) -> Self {
        match tls::distrust(&error) {
            Some(why) => Self::ByUs {
                seat,
                reason: format!("{who} does not prove to be of this cluster: {why}"),
            },
            None => Self::Io(error),
        }
    }

    /// The same, about the server that was dialled, whoever it claims to be.
    pub(super) fn about(self, seat: u32) -> Self {
        match self {
            Self::ByUs { reason, .. } => Self::ByUs { seat, reason },
            Self::ByThem { reason, .. } => Self::ByThem { seat, reason },
            other => other,
        }
    }
}

/// What every hello must satisfy, before anything that changes with time. `ours` is the
/// hello for that server.
///
/// # Errors
/// The reason, for the operators of both.
pub(super) fn check(ours: &PeerHello, theirs: &PeerHello) -> Result<(), String> {
    if theirs.to_seat != ours.seat {
        return Err(format!("it looks for node {}, this is node {}", theirs.to_seat, ours.seat));
    }
    if theirs.cluster_name != ours.cluster_name {
        return Err(format!(
            "it belongs to cluster \"{}\", this is a server of \"{}\"",
            theirs.cluster_name.escape_debug(),
            ours.cluster_name
        ));
    }
    if theirs.min.max(ours.min) > theirs.max.min(ours.max) {
        return Err(format!(
            "it speaks versions {} to {} of the protocol, this server {} to {}",
            theirs.min, theirs.max, ours.min, ours.max
        ));
    }
    match (ours.cluster, theirs.cluster) {
        (Some(ours), Some(theirs)) if ours != theirs => {
            Err(format!("it belongs to the cluster {theirs}, this server to {ours}"))
        }
        _ => Ok(()),
    }
}

/// The dialler's part.
pub(super) async fn greet(
    ends: &mut Ends,
    ours: &PeerHello,
    judge: Judge<'_>,
) -> Result<PeerHello, HelloError> {
    say(ends, ours).await?;
    let theirs = hear(ends).await?;
    verdict(ends, ours, &theirs, judge).await?;
    say(ends, ours).await?;
    Ok(theirs)
}

/// The listener's part; `ours` makes the hello for a seat.
pub(super) async fn welcome(
    ends: &mut Ends,
    ours: &(dyn Fn(u32) -> PeerHello + Send + Sync),
    judge: Judge<'_>,
) -> Result<PeerHello, HelloError> {
    let theirs = hear(ends).await?;
    let ours = ours(theirs.seat);
    verdict(ends, &ours, &theirs, judge).await?;
    say(ends, &ours).await?;
    hear(ends).await?;
    Ok(theirs)
}

async fn verdict(
    ends: &mut Ends,
    ours: &PeerHello,
    theirs: &PeerHello,
    judge: Judge<'_>,
) -> Result<(), HelloError> {
    let Err(reason) = check(ours, theirs).and_then(|()| judge(theirs)) else { return Ok(()) };
    say(ends, &PeerHello { refusal: Some(reason.clone()), ..ours.clone() }).await?;
    Err(HelloError::ByUs { seat: theirs.seat, reason })
}

/// The other side ended the connection: since our certificate is none for it, for one.
fn refused_by(error: std::io::Error) -> HelloError {
    match tls::distrust(&error) {
        Some(why) => HelloError::ByThem { seat: 0, reason: format!("it does not trust us: {why}") },
        None => HelloError::Io(error),
    }
}

async fn say((_, to): &mut Ends, hello: &PeerHello) -> Result<(), HelloError> {
    to.push(&hello.encode());
    Ok(to.flush_all().await?)
}

async fn hear((from, _): &mut Ends) -> Result<PeerHello, HelloError> {
    let payload = match from.next().await {
        Ok(payload) => payload.ok_or(HelloError::Closed)?,
        Err(ConnError::Io(error)) => return Err(refused_by(error)),
        Err(error) => return Err(error.into()),
    };
    let hello = PeerHello::decode(&payload).map_err(ConnError::Wire)?;
    match hello.refusal {
        Some(reason) => Err(HelloError::ByThem { seat: hello.seat, reason }),
        None => Ok(hello),
    }
}
