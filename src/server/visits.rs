//! Guests: devices of other clusters that this server carries home, and devices of users here
//! that another cluster carries to it. It must not know what is said on the way, nor what a
//! session makes of it.

use super::links::Carried;
use super::shared::Shared;
use super::strangers::Guest;
use crate::chat::link::Link;
use crate::limits;
use crate::link::carry::carry;
use crate::link::guests::Seat;
use crate::link::visit::{No, Shown, distrusted, judge, way_home};
use crate::tls::{self, Stream};
use crate::wire::client::{decode_client, encode_server};
use crate::wire::conn::{ConnError, Reader, Writer, whole};
use crate::wire::message::{Challenge, ClientMsg, DeviceCertificate, ServerMsg};
use bytes::Bytes;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::time::timeout;

/// A guest that is turned away takes its answer within this time.
const FAREWELL: Duration = Duration::from_secs(1);
/// Who is sent away comes back after this time.
const COME_BACK_MS: u32 = 1_000;

/// Carries a guest home until it goes. `challenge` is what its device has to sign; `stranger` is
/// its place until it has shown who it is.
///
/// # Errors
/// The guest or its cluster is lost, or what it says cannot be read.
pub async fn serve(
    shared: &Shared,
    (mut reader, mut writer): (Reader, Writer),
    challenge: Challenge,
    mut stranger: Guest,
) -> Result<(), ConnError> {
    let first = stranger.stays_for(reader.next()).await;
    let Some(frame) = first.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?? else {
        return Ok(());
    };
    let ClientMsg::Visit { certificate, signature } = decode_client(frame)? else {
        let answer = No::Unproven("it shows none").answer();
        return turn_away(reader, writer, &answer).await;
    };
    // From here on it waits for this server, and not the other way round.
    stranger.turn(true);
    let (link, seat, home) = match let_in(shared, &certificate, &signature, &challenge).await {
        Ok(all) => all,
        Err(answer) => return turn_away(reader, writer, &answer).await,
    };
    drop(stranger);
    writer.push(&encode_server(&ServerMsg::Visiting));
    let guest = timeout(FAREWELL, whole(reader, writer)).await;
    let guest = guest.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let mut draining = shared.draining.clone();
    tokio::select! {
        carried = carry(guest, home) => carried?,
        () = distrusted(shared, link.cluster) => {}
        Ok(_) = draining.wait_for(|draining| *draining) => {}
        () = shared.stop.cancelled() => {}
    }
    drop(seat);
    Ok(())
}

/// The way home of a guest that has shown who it is; else what it is told.
async fn let_in(
    shared: &Shared,
    certificate: &DeviceCertificate,
    signature: &Bytes,
    challenge: &Challenge,
) -> Result<(Link, Seat, Stream), ServerMsg> {
    if *shared.draining.borrow() {
        let text = "this server is drained".to_owned();
        return Err(ServerMsg::GoAway { retry_after_ms: COME_BACK_MS, text });
    }
    let shown = Shown { certificate, signature };
    let link = judge(shared, shown, challenge, SystemTime::now()).map_err(|no| no.answer())?;
    let seat = shared.guests.come(link.number, certificate.user);
    let seat = seat.ok_or_else(|| No::Full.answer())?;
    let home = shared
        .stop
        .run_until_cancelled(way_home(shared, &shared.board, &link, certificate.user))
        .await;
    let stops =
        || ServerMsg::GoAway { retry_after_ms: COME_BACK_MS, text: "this server stops".to_owned() };
    let home = home.ok_or_else(stops)?.map_err(|no| no.answer())?;
    Ok((link, seat, home))
}

/// Closing at once, with something unread, would take the answer from the guest.
async fn turn_away(
    mut reader: Reader,
    mut writer: Writer,
    answer: &ServerMsg,
) -> Result<(), ConnError> {
    tracing::debug!(?answer, "a guest is turned away");
    let told = async {
        writer.push(&encode_server(answer));
        writer.finish().await?;
        while reader.next().await?.is_some() {}
        Ok(())
    };
    timeout(FAREWELL, told).await.unwrap_or(Ok(()))
}

/// A device of a user here that has come by way of another cluster.
pub struct Arrived {
    /// Its connection; the other cluster sees nothing of it.
    pub stream: Stream,
    /// Its place until it has logged in, as of any other stranger.
    pub stranger: Guest,
    /// Its place among those whom the other cluster carries.
    pub seat: Seat,
}

/// Takes in a device that another cluster carries, as if it had just connected here; `None` where
/// there is no room for it. It counts for the address of the other cluster's server.
///
/// # Errors
/// It does not speak TLS, goes away or takes too long.
pub async fn take_in(
    shared: &Arc<Shared>,
    carried: Carried,
    peer: SocketAddr,
) -> Result<Option<Arrived>, ConnError> {
    let Carried { user, by, line: (reader, writer) } = carried;
    let (Some(keys), Some(seat)) = (&shared.keys, shared.carried.come(by.number, user)) else {
        return Ok(None);
    };
    let Some(stranger) = shared.strangers.come(peer.ip()) else { return Ok(None) };
    let tls = tls::Server::new(keys)?;
    let accepted = async { Ok(tls.accept_within(whole(reader, writer).await?).await?) };
    let accepted = stranger.stays_for(timeout(limits::LOGIN_TIME, accepted)).await;
    let late = || ConnError::from(io::Error::from(io::ErrorKind::TimedOut));
    let stream: Result<Stream, ConnError> = accepted.map_err(|_| late())?.map_err(|_| late())?;
    Ok(Some(Arrived { stream: stream?, stranger, seat }))
}
