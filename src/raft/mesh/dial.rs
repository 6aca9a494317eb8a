//! The lower seat's part: dials, keeps the connection, dials again when it is lost.
//! It must not know what the connection is used for.

use super::hello::{Ends, HelloError};
use super::{Company, Slot, When, door, hello};
use crate::limits::{
    FRAME_BEFORE_LOGIN, PEER_BACKOFF_MAX, PEER_BACKOFF_MIN, PEER_CONNECT, PEER_FRAGMENT,
    PEER_HELLO, PEER_ORPHAN,
};
use crate::tls::Stream;
use crate::wire::conn;
use crate::wire::peer::PeerHello;
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Keeps the connection to a higher seat, for ever.
pub(super) async fn keep(company: Company, slot: Arc<Slot>) {
    let seat = slot.seat.seat;
    let mut attempt: usize = 0;
    let mut known = Vec::new();
    loop {
        match once(&company, &slot, attempt, &mut known).await {
            Ok(()) => attempt = 0,
            Err(error) => {
                tracing::debug!(seat, %error, attempt, "no connection to node {seat}");
                company.note(error.about(seat));
                attempt = attempt.saturating_add(1);
            }
        }
        let wait = back_off(attempt, rand::random());
        tokio::time::sleep(wait).await;
    }
}

/// One connection, from the dial to its end.
async fn once(
    company: &Company,
    slot: &Slot,
    attempt: usize,
    known: &mut Vec<SocketAddr>,
) -> Result<(), HelloError> {
    let seat = slot.seat.seat;
    resolve(&slot.seat.host, slot.seat.peer, known).await;
    // Of several addresses another one each time: each try must be short.
    let address = known.get(attempt % known.len().max(1)).copied();
    let address = address.ok_or_else(|| Error::new(ErrorKind::NotFound, "unknown host"))?;
    let stream = timeout(PEER_CONNECT, TcpStream::connect(address)).await.map_err(late)??;
    prepare(&stream)?;
    let agreed = timeout(PEER_HELLO, agree(company, seat, stream));
    let (ends, theirs) = agreed.await.map_err(late)??;
    let number = company.shared.number();
    door::serve(company, theirs, number, ends).await;
    Ok(())
}

/// Both prove who they are and agree to talk.
async fn agree(
    company: &Company,
    seat: u32,
    stream: TcpStream,
) -> Result<(Ends, PeerHello), HelloError> {
    let stream = match &company.peers {
        None => Stream::from(stream),
        Some(peers) => {
            let proved = peers.connect(stream, seat).await;
            proved.map_err(|error| HelloError::unproved(error, seat, &format!("node {seat}")))?
        }
    };
    let mut ends = conn::frames(stream, FRAME_BEFORE_LOGIN)?;
    let ours = (company.hello)(seat);
    let judge = |theirs: &_| company.judge(seat, theirs, When::Connecting);
    let theirs = hello::greet(&mut ends, &ours, &judge).await?;
    Ok((ends, theirs))
}

/// Looks the host up; what was known stays where that takes long or fails.
async fn resolve(host: &str, port: u16, known: &mut Vec<SocketAddr>) {
    match timeout(PEER_CONNECT, tokio::net::lookup_host((host, port))).await {
        Ok(Ok(found)) => *known = found.collect(),
        Ok(Err(error)) => tracing::debug!(host, %error, "the host is unknown"),
        Err(_) => tracing::debug!(host, "the look-up of the host takes long"),
    }
}

fn late(_: tokio::time::error::Elapsed) -> Error {
    Error::from(ErrorKind::TimedOut)
}

/// How long to wait before the next attempt; `chance` is in 0..1.
fn back_off(attempt: usize, chance: f64) -> Duration {
    let doubled = PEER_BACKOFF_MIN * (1 << attempt.min(8));
    let longest = doubled.min(PEER_BACKOFF_MAX);
    PEER_BACKOFF_MIN + (longest.saturating_sub(PEER_BACKOFF_MIN)).mul_f64(chance)
}

/// What lies in the kernel unsent cannot be overtaken, so it shall be little; and what is
/// sent to a dead server shall not stay there for minutes.
pub(super) fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    let socket = socket2::SockRef::from(stream);
    #[cfg(target_os = "linux")]
    {
        socket.set_tcp_notsent_lowat(u32::try_from(PEER_FRAGMENT).unwrap_or(u32::MAX))?;
        socket.set_tcp_user_timeout(Some(PEER_ORPHAN))?;
    }
    #[cfg(not(target_os = "linux"))]
    socket.set_send_buffer_size(2 * PEER_FRAGMENT)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_grows_and_stays_within_its_bounds() {
        for attempt in [0, 1, 2, 5, 100, usize::MAX] {
            for chance in [0.0, 0.5, 0.999] {
                let wait = back_off(attempt, chance);
                assert!(wait >= PEER_BACKOFF_MIN && wait <= PEER_BACKOFF_MAX, "{attempt} {wait:?}");
            }
        }
        assert_eq!(back_off(0, 0.999), PEER_BACKOFF_MIN);
        assert!(back_off(5, 0.999) > back_off(1, 0.999));
        // A path that returns is used again within 1 s, whenever it returns.
        assert!(PEER_BACKOFF_MAX + PEER_CONNECT.max(PEER_HELLO) < Duration::from_secs(1));
    }
}
