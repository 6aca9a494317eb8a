//! The higher seat's part: listens, and lets in whom it knows. Also what follows on
//! both sides once two servers agree to talk. It must not know how to dial.

use super::connection::{Connection, Serving};
use super::hello::{self, Ends, HelloError};
use super::{Company, When, dial};
use crate::limits::{
    FRAME_BEFORE_LOGIN, PEER_BACKOFF_MIN, PEER_SILENCE, PEER_STRANGERS, PEER_STRANGERS_OF_ONE,
};
use crate::tls::Stream;
use crate::wire::conn;
use crate::wire::peer::PeerHello;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Accepts, for ever.
pub(super) async fn keep(company: Company, listener: TcpListener) {
    let strangers = Arc::new(Semaphore::new(PEER_STRANGERS));
    let mut rooms: BTreeMap<IpAddr, Arc<Semaphore>> = BTreeMap::new();
    loop {
        match listener.accept().await {
            Ok((stream, from)) => {
                // Nobody fills the door alone; who finds no place tries again, as servers do.
                rooms.retain(|_, room| room.available_permits() < PEER_STRANGERS_OF_ONE);
                let room = rooms
                    .entry(from.ip())
                    .or_insert_with(|| Arc::new(Semaphore::new(PEER_STRANGERS_OF_ONE)));
                let own = Arc::clone(room).try_acquire_owned();
                let all = Arc::clone(&strangers).try_acquire_owned();
                let (Ok(own), Ok(all)) = (own, all) else { continue };
                let place = (own, all);
                // In the order of their arrival, so that the newest wins.
                let number = company.shared.number();
                let guests = company.clone();
                company.spawn(async move {
                    if let Err(error) = let_in(&guests, (stream, from), number, place).await {
                        tracing::debug!(%from, %error, "a connection was not let in");
                        guests.note(error);
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "connections of other servers cannot be accepted");
                tokio::time::sleep(PEER_BACKOFF_MIN).await;
            }
        }
    }
}

async fn let_in(
    company: &Company,
    (stream, from): (TcpStream, SocketAddr),
    number: u64,
    place: (OwnedSemaphorePermit, OwnedSemaphorePermit),
) -> Result<(), HelloError> {
    dial::prepare(&stream)?;
    let agreed = tokio::time::timeout(PEER_SILENCE, agree(company, stream, from));
    let (ends, theirs) =
        agreed.await.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
    drop(place);
    serve(company, theirs, number, ends).await;
    Ok(())
}

/// Both prove who they are and agree to talk.
async fn agree(
    company: &Company,
    stream: TcpStream,
    from: SocketAddr,
) -> Result<(Ends, PeerHello), HelloError> {
    let stream = match &company.peers {
        None => Stream::from(stream),
        Some(peers) => {
            let proved = peers.accept(stream).await;
            let who = format!("who connected from {}", from.ip());
            proved.map_err(|error| HelloError::unproved(error, 0, &who))?
        }
    };
    let proof = stream.proof();
    let mut ends = conn::frames(stream, FRAME_BEFORE_LOGIN)?;
    let judge = |theirs: &PeerHello| {
        if !proof.is_node(theirs.seat) {
            return Err(format!("its certificate is not of node {}", theirs.seat));
        }
        if theirs.seat > company.shared.seat {
            return Err("the lower seat dials".to_owned());
        }
        company.judge(theirs.seat, theirs, When::Connecting)
    };
    let theirs = hello::welcome(&mut ends, &*company.hello, &judge).await?;
    Ok((ends, theirs))
}

/// Makes it the connection with that server, until it ends.
pub(super) async fn serve(company: &Company, theirs: PeerHello, number: u64, ends: Ends) {
    let shared = &company.shared;
    let seat = theirs.seat;
    let Some(slot) = shared.slot(seat) else { return };
    let connection = Arc::new(Connection::new(seat, theirs, number, &shared.shutdown));
    if !shared.admit(&connection) {
        return;
    }
    tracing::info!(seat, "connected with node {seat}");
    let gone = Gone { company, connection: &connection };
    let serving = Serving {
        handler: Arc::clone(&company.handler),
        turns: slot.turns.clone(),
        tasks: shared.tasks.clone(),
        shutdown: shared.shutdown.clone(),
    };
    let ended = connection.run(ends, serving).await;
    drop(gone);
    tracing::info!(seat, %ended, "no longer connected with node {seat}");
}

/// Takes the connection out also when its task is dropped at shutdown.
struct Gone<'a> {
    company: &'a Company,
    connection: &'a Arc<Connection>,
}

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        self.company.shared.dismiss(self.connection);
        self.connection.close();
    }
}

impl Company {
    /// Whether to talk to `theirs`, who was expected at `seat` (a guest: whom it claims to be).
    pub(super) fn judge(&self, seat: u32, theirs: &PeerHello, when: When) -> Result<(), String> {
        if theirs.seat != seat {
            return Err(format!("it is node {}, not node {seat}", theirs.seat));
        }
        if self.shared.slot(seat).is_none() {
            return Err(format!("there is no other node {seat} in nodes.conf or the membership"));
        }
        (self.accept)(theirs, when)
    }

    /// Remembers a refusal.
    pub(super) fn note(&self, error: HelloError) {
        match error {
            HelloError::ByUs { seat, reason } => self.shared.refused(seat, true, reason),
            HelloError::ByThem { seat, reason } => self.shared.refused(seat, false, reason),
            HelloError::Closed | HelloError::Conn(_) | HelloError::Io(_) => {}
        }
    }
}
