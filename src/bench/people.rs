//! People of the benchmark: real clients with accounts of their own, logged in before any clock
//! starts. It must not know what they send or get.

use super::progress::Progress;
use crate::chat::ids::UserId;
use crate::client::{Account, Client, ClientConfig, ClientEvent, Connection, Finding};
use crate::limits;
use anyhow::{Context, anyhow, bail};
use futures::StreamExt;
use futures::future::join_all;
use futures::stream;
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

/// No step takes longer than this, or the benchmark gives up.
pub const DEADLINE: Duration = Duration::from_secs(120);
/// Logins under way at a time. A server hashes one password after the other and lets so many of
/// one address wait: with more, some are sent away and come back later.
const AT_ONCE: usize = limits::PASSWORDS_PER_ADDRESS;

/// Somebody who is logged in.
pub struct Person {
    /// Their name.
    pub name: String,
    /// Who they are.
    pub user: UserId,
    /// The seat of their server.
    pub seat: u32,
    /// Its address, `host:port`.
    pub server: String,
    /// Their device.
    pub client: Client,
    /// What happens there; must be taken.
    pub events: Receiver<ClientEvent>,
}

/// An account that is registered by its first login.
pub fn account(name: String) -> Account {
    let password = Some(format!("bench-{name}-{:016x}", rand::random::<u64>()));
    Account { name, password, register: true, invite: None }
}

/// Logs in, with a device in memory.
pub async fn enter(finding: &Finding, account: Account) -> anyhow::Result<Person> {
    let name = account.name.clone();
    let config = ClientConfig { finding: finding.clone(), account, state_dir: None, device: None };
    let (client, mut events) = Client::start(config)?;
    let ready = ready(&mut events).await;
    let (user, seat, server) = ready.with_context(|| format!("{name} cannot log in"))?;
    Ok(Person { name, user, seat, server, client, events })
}

/// Logs in all of them, in their order.
pub async fn enter_all(
    finding: &Finding,
    accounts: Vec<Account>,
    progress: bool,
) -> anyhow::Result<Vec<Person>> {
    let mut progress = Progress::new(progress, accounts.len() as u64, "logged in");
    let entering = accounts.into_iter().map(|account| enter(finding, account));
    let mut entering = stream::iter(entering).buffered(AT_ONCE);
    let mut people = Vec::new();
    while let Some(person) = entering.next().await {
        people.push(person?);
        progress.tell(people.len() as u64);
    }
    Ok(people)
}

/// Ends all of them.
pub async fn leave(clients: impl IntoIterator<Item = Client>) {
    join_all(clients.into_iter().map(Client::close)).await;
}

/// Waits until the client is logged in: who it is, the seat that serves it and its address.
async fn ready(events: &mut Receiver<ClientEvent>) -> anyhow::Result<(UserId, u32, String)> {
    let mut trouble = "no server".to_owned();
    let wait = async {
        while let Some(event) = events.recv().await {
            match event {
                ClientEvent::Connection(Connection::Ready { user, seat, server, .. }) => {
                    return Ok((user, seat, server));
                }
                ClientEvent::Connection(Connection::Failed(error)) => return Err(error.into()),
                ClientEvent::Connection(Connection::Waiting { why, .. }) => trouble = why,
                _ => {}
            }
        }
        bail!("the client ended")
    };
    let ended = timeout(DEADLINE, wait).await;
    ended.unwrap_or_else(|_| Err(anyhow!("not in time: {trouble}")))
}
