//! A device of another cluster that visits this one: whether it is what it says, and the way to
//! its own cluster, where all that follows is decided. It must not know what a guest has to say
//! there: that is encrypted for its cluster.

use super::board::Board;
use super::dial::{self, Line, LineError};
use super::home::Home;
use crate::chat::ids::{ClusterId, UserId};
use crate::chat::link::Link;
use crate::chat::refusal::Refusal;
use crate::chat::text::printable;
use crate::limits;
use crate::tls::{Fingerprint, Hint, Stream};
use crate::wire::conn::{ConnError, whole};
use crate::wire::link::{LinkAnswer, LinkAsk, LinkReason};
use crate::wire::message::{Challenge, DeviceCertificate, ServerAddress, ServerMsg};
use crate::wire::proof;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use ring::signature::{ED25519, UnparsedPublicKey};
use std::time::{Duration, SystemTime};

/// Why a guest cannot be served.
#[derive(Debug, PartialEq, Eq)]
pub enum No {
    /// Its cluster is not linked to this one, or not trusted: an operator's matter.
    NotLinked,
    /// The certificate's time is over: the device goes home for another one.
    Expired,
    /// Its cluster has not said this of this device, or the device does not hold the key.
    Unproven(&'static str),
    /// Its cluster does not want it through this one.
    HomeRefuses(String),
    /// Its cluster cannot be reached now.
    Away(String),
    /// So many of its cluster, or of its user, are here already.
    Full,
}

impl No {
    /// What the guest is told.
    #[must_use]
    pub fn answer(&self) -> ServerMsg {
        let (refusal, text) = match self {
            Self::NotLinked => {
                let text = "your cluster is not linked to this one, as far as its operator says";
                (Refusal::NotLinked, text.to_owned())
            }
            Self::Expired => {
                let text = "your device's certificate has expired: log in at home once";
                (Refusal::BadCredentials, text.to_owned())
            }
            Self::Unproven(what) => {
                let text = format!("your cluster does not vouch for this device: {what}");
                (Refusal::BadCredentials, text)
            }
            Self::HomeRefuses(why) => {
                (Refusal::NotLinked, format!("your cluster takes nobody from here: {why}"))
            }
            Self::Away(why) => (Refusal::Unreachable, why.clone()),
            Self::Full => (Refusal::Overloaded, "there are too many guests here".to_owned()),
        };
        ServerMsg::Refused { request: 0, refusal, text }
    }
}

/// What a guest shows.
#[derive(Clone, Copy, Debug)]
pub struct Shown<'a> {
    /// What its cluster says of it.
    pub certificate: &'a DeviceCertificate,
    /// Its own word that it is here.
    pub signature: &'a [u8],
}

/// Whose device it is that shows this at a server of this cluster which gave this challenge: one
/// of the other cluster's.
///
/// # Errors
/// See [`No`].
pub fn judge(
    home: &dyn Home,
    shown: Shown<'_>,
    challenge: &Challenge,
    now: SystemTime,
) -> Result<Link, No> {
    let said = shown.certificate;
    let me = home.me().ok_or(No::NotLinked)?;
    let link = home.link(said.cluster).filter(|link| link.is_trusted() && link.owns(said.user));
    let link = link.ok_or(No::NotLinked)?;
    let key = Hint::verify(&proof::certificate(said), said.seat, &said.signature, now);
    if key != Some(link.key.into()) {
        return Err(No::Unproven("it is not signed by it"));
    }
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    if since >= Duration::from_millis(said.until_ms) {
        return Err(No::Expired);
    }
    let text = proof::visit(me.cluster, challenge, said.cluster);
    let own = UnparsedPublicKey::new(&ED25519, said.key).verify(&text, shown.signature);
    own.map(|()| link).map_err(|_| No::Unproven("it does not hold the key"))
}

/// A connection for a device of this user to a server of its own cluster, which knows no more
/// than who carries it.
///
/// # Errors
/// See [`No`].
pub async fn way_home(
    home: &dyn Home,
    board: &Board,
    link: &Link,
    user: UserId,
) -> Result<Stream, No> {
    let away = |why: &dyn std::fmt::Display| {
        No::Away(format!("{} cannot be reached from here: {why}", printable(&link.alias)))
    };
    let refused = |error: LineError| match error.reason() {
        Some(LinkReason::Busy | LinkReason::Generation) | None => away(&error),
        Some(_) => No::HomeRefuses(printable(&error.to_string()).into_owned()),
    };
    let mut line = reach(home, board, link).await.map_err(refused)?;
    let servers = line.met.servers.iter().take(limits::LINK_SERVERS);
    let servers = servers.map(ServerAddress::for_clients).collect();
    board.note(link.number, |now| now.servers = servers);
    match line.ask(&LinkAsk::Relay(user), limits::LINK_ANSWER).await.map_err(refused)? {
        LinkAnswer::Relayed => {}
        other => return Err(refused(dial::unasked(&other))),
    }
    let conn = line.into_conn();
    whole(conn.reader, conn.writer).await.map_err(|error: ConnError| away(&error))
}

/// A line to the server that the log names, else to another one of its cluster, as far as this
/// node has heard of any: the log may learn later than a guest comes.
async fn reach(home: &dyn Home, board: &Board, link: &Link) -> Result<Line, LineError> {
    let error = match dial::to(home, link).await {
        Err(error @ (LineError::Unreachable(_) | LineError::Late)) => error,
        other => return other,
    };
    let others = board.of(link.number).servers;
    let key = Fingerprint::from(link.key);
    let others = others.iter().filter(|address| **address != link.address);
    let lines = others.map(|address| dial::dial(home, address, key, Some(link.cluster)));
    let mut lines: FuturesUnordered<_> = lines.collect();
    while let Some(line) = lines.next().await {
        if line.is_ok() {
            return line;
        }
    }
    Err(error)
}

/// Resolves when this cluster's operator does not trust the other one any more.
pub async fn distrusted(home: &dyn Home, cluster: ClusterId) {
    let mut changed = home.changed();
    while home.link(cluster).is_some_and(|link| link.is_trusted()) {
        if changed.changed().await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
