//! Takes connections of clients, as many as there is room for. Who finds none
//! is told to come back. It must not know what is said on a connection.

use super::session_task::{self, Permits};
use super::shared::Shared;
use crate::limits;
use crate::wire::client::encode_server;
use crate::wire::frame::encode_frame;
use crate::wire::message::ServerMsg;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::task::TaskTracker;

/// Who found no room comes back after this time.
const FULL_MS: u32 = 1_000;
/// The wait after a failed accept (no more file descriptors, for one), and the longest.
const RETRY: Duration = Duration::from_millis(5);
const RETRY_MAX: Duration = Duration::from_secs(1);

/// Accepts until the server stops.
pub async fn accept(shared: Arc<Shared>, listener: TcpListener, tasks: TaskTracker) {
    let sessions = Arc::new(Semaphore::new(limits::SESSIONS));
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
                let permits = Permits { session, before_login: Some(door) };
                tasks.spawn(session_task::serve(Arc::clone(&shared), stream, peer, permits));
            }
            _ => turn_away(&stream, peer),
        }
    }
}

/// Says "busy" without waiting for anything: a fresh socket has room for it.
fn turn_away(stream: &TcpStream, peer: SocketAddr) {
    let busy = encode_frame(&encode_server(&ServerMsg::Busy { retry_after_ms: FULL_MS }));
    let written: io::Result<usize> = stream.try_write(&busy);
    tracing::debug!(%peer, ?written, "no room for a client");
}
