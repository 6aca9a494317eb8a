//! What people do about their account without chatting: their devices, their password. It must not
//! know how a server carries it out.

pub mod args;

mod devices;
mod logout;
mod passwd;

pub use devices::devices;
pub use logout::logout;
pub use passwd::passwd;

use super::connect::ask_password;
use super::outcome::{Failure, Kind};
use crate::chat::text::printable;
use crate::client::{Client, ClientConfig, ClientError, ClientEvent, Connection};
use std::io::{self, Write};
use std::time::Duration;
use tokio::time::timeout;

/// A server must have let the client in by then.
const LOGIN: Duration = Duration::from_secs(30);

/// Logs in; asks for a password where one is needed and `ask` allows it. Messages that come
/// are left alone.
///
/// # Errors
/// The login is refused, or no server answers in time.
async fn log_in(mut config: ClientConfig, ask: bool) -> Result<Client, Failure> {
    config.account.register = false;
    loop {
        match timeout(LOGIN, try_log_in(config.clone())).await {
            Err(_) => return Err(Failure::text(Kind::Again, "no server let us in within 30 s")),
            Ok(Err(ClientError::PasswordNeeded)) if ask && config.account.password.is_none() => {
                ask_password(&mut config.account).await?;
            }
            Ok(result) => return Ok(result?),
        }
    }
}

async fn try_log_in(config: ClientConfig) -> Result<Client, ClientError> {
    let (client, mut events) = Client::start(config)?;
    client.mark_by_hand();
    while let Some(event) = events.recv().await {
        match event {
            // From here on nobody listens, so nothing that comes is kept.
            ClientEvent::Connection(Connection::Ready { .. }) => return Ok(client),
            ClientEvent::Connection(Connection::Failed(why)) => {
                client.close().await;
                return Err(why);
            }
            ClientEvent::Connection(Connection::Waiting { why, .. }) => {
                tracing::debug!(%why, "no connection yet");
            }
            _ => {}
        }
    }
    Err(ClientError::Closed)
}

fn say(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    for line in text.lines() {
        match writeln!(out, "{}", printable(line)) {
            Err(why) if why.kind() != io::ErrorKind::BrokenPipe => return Err(why.into()),
            _ => {}
        }
    }
    Ok(())
}
