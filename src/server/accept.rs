//! Takes connections of clients, as many as there is room for. Who finds none
//! is told to come back. It must not know what is said on a connection.

use super::session_task::{self, Permits};
use super::shared::Shared;
use crate::limits;
use crate::tls::{self, Stream};
use crate::wire::client::encode_server;
use crate::wire::conn::{ConnError, frames};
use crate::wire::message::ServerMsg;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_util::task::TaskTracker;

/// Who found no room comes back after this time.
const FULL_MS: u32 = 1_000;
/// A client that found no room takes the answer within this time.
const FAREWELL: Duration = Duration::from_secs(1);
/// The wait after a failed accept (no more file descriptors, for one), and the longest.
const RETRY: Duration = Duration::from_millis(5);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// Where clients connect. It stays open while the server waits for its database.
#[derive(Clone)]
pub struct Door {
    listener: Arc<TcpListener>,
    tls: Option<tls::Server>,
}

impl Door {
    /// Behind this listener.
    #[must_use]
    pub fn new(listener: TcpListener) -> Self {
        Self { listener: Arc::new(listener), tls: None }
    }

    /// The same where clients speak TLS, if there is any.
    #[must_use]
    pub fn securing(self, tls: Option<tls::Server>) -> Self {
        Self { tls, ..self }
    }

    /// The connection with what was accepted. The caller bounds the time.
    ///
    /// # Errors
    /// The client does not speak TLS, or went away.
    pub async fn secured(&self, stream: TcpStream) -> io::Result<Stream> {
        match &self.tls {
            None => Ok(stream.into()),
            Some(tls) => tls.accept(stream).await,
        }
    }

    /// The next connection. Where one cannot be accepted, it waits a moment and goes on.
    pub async fn next(&self) -> (TcpStream, SocketAddr) {
        let mut wait = RETRY;
        loop {
            match self.listener.accept().await {
                Ok(accepted) => return accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    sleep(wait).await;
                    wait = (wait * 2).min(RETRY_MAX);
                }
            }
        }
    }
}

/// Accepts until the server stops.
pub async fn accept(shared: Arc<Shared>, door: Door, tasks: TaskTracker) {
    let sessions = Arc::new(Semaphore::new(limits::SESSIONS));
    let turned_away = Arc::new(Semaphore::new(limits::TURNED_AWAY));
    let strangers = shared.strangers.clone();
    while let Some((stream, peer)) = shared.stop.run_until_cancelled(door.next()).await {
        let session = Arc::clone(&sessions).try_acquire_owned().ok();
        // Nobody gives way for one who cannot stay.
        let guest = session.as_ref().and_then(|_| strangers.come(peer.ip()));
        match (session, guest) {
            (Some(session), Some(guest)) => {
                let permits = Permits { _session: session, before_login: Some(guest) };
                let (shared, door) = (Arc::clone(&shared), door.clone());
                tasks.spawn(async move { let_in(shared, door, stream, peer, permits).await });
            }
            _ => {
                if let Ok(place) = Arc::clone(&turned_away).try_acquire_owned() {
                    tasks.spawn(turn_away(door.clone(), stream, place));
                }
            }
        }
    }
}

/// Serves the client once its connection stands.
async fn let_in(
    shared: Arc<Shared>,
    door: Door,
    stream: TcpStream,
    peer: SocketAddr,
    permits: Permits,
) {
    let Some(guest) = &permits.before_login else { return };
    // Apart, for a handshake needs more than the session that follows, whose task would be as large.
    let secured = Box::pin(guest.stays_for(door.secured(stream)));
    let secured = shared.stop.run_until_cancelled(secured).await;
    match secured {
        Some(Ok(Ok(stream))) => session_task::serve(shared, stream, peer, permits).await,
        Some(Ok(Err(error))) => tracing::debug!(%peer, %error, "a client does not speak TLS"),
        Some(Err(out)) => tracing::debug!(%peer, ?out, "a client had to go"),
        None => {}
    }
}

/// Says "busy", and waits a moment for the client to take it: closing with its hello unread
/// would take the answer away from it.
async fn turn_away(door: Door, stream: TcpStream, place: OwnedSemaphorePermit) {
    let told = async {
        let stream = door.secured(stream).await?;
        let (mut reader, mut writer) = frames(stream, limits::FRAME_BEFORE_LOGIN)?;
        writer.push(&encode_server(&ServerMsg::Busy { retry_after_ms: FULL_MS }));
        writer.finish().await?;
        while reader.next().await?.is_some() {}
        Ok::<(), ConnError>(())
    };
    let told = timeout(FAREWELL, told).await;
    tracing::debug!(?told, "no room for a client");
    drop(place);
}
