//! Takes connections of clients, as many as there is room for. Who finds none
//! is told to come back. It must not know what is said on a connection.

use super::session_task::{self, Permits};
use super::shared::Shared;
use crate::limits;
use crate::wire::client::encode_server;
use crate::wire::conn::{ConnError, frames};
use crate::wire::message::ServerMsg;
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

/// Accepts until the server stops.
pub async fn accept(shared: Arc<Shared>, listener: TcpListener, tasks: TaskTracker) {
    let sessions = Arc::new(Semaphore::new(limits::SESSIONS));
    let turned_away = Arc::new(Semaphore::new(limits::TURNED_AWAY));
    let before_login = Arc::new(Semaphore::new(limits::SESSIONS_BEFORE_LOGIN));
    let mut wait = RETRY;
    loop {
        let accepted = tokio::select! {
            () = shared.stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::select! {
                    () = shared.stop.cancelled() => return,
                    () = sleep(wait) => {}
                }
                wait = (wait * 2).min(RETRY_MAX);
                continue;
            }
        };
        wait = RETRY;
        let session = Arc::clone(&sessions).try_acquire_owned();
        let door = Arc::clone(&before_login).try_acquire_owned();
        match (session, door) {
            (Ok(session), Ok(door)) => {
                let permits = Permits { _session: session, before_login: Some(door) };
                tasks.spawn(session_task::serve(Arc::clone(&shared), stream, peer, permits));
            }
            _ => {
                if let Ok(place) = Arc::clone(&turned_away).try_acquire_owned() {
                    tasks.spawn(turn_away(stream, place));
                }
            }
        }
    }
}

/// Says "busy", and waits a moment for the client to take it: closing with its hello unread
/// would take the answer away from it.
async fn turn_away(stream: TcpStream, place: OwnedSemaphorePermit) {
    let told = async {
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
