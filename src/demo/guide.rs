//! Who welcomes the user of the demo: a second user, who writes the welcome
//! through the cluster itself. It must not know how servers are started.

use crate::chat::command::Target;
use crate::chat::message::Body;
use crate::client::{Account, Client, ClientConfig, ClientEvent, Connection};
use anyhow::{Context, bail};
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

/// Registering and writing together take at most this long.
const TIME: Duration = Duration::from_secs(20);

/// Registers the user whom `config` describes, so that the screen finds them known.
pub async fn register(config: &ClientConfig) -> anyhow::Result<()> {
    let (client, mut events) = Client::start(config.clone())?;
    let ready = timeout(TIME, ready(&mut events)).await;
    client.close().await;
    ready.context("no answer in time")?
}

/// Writes the welcome to `user` as somebody of the name `guide`.
pub async fn welcome(
    like: &ClientConfig,
    guide: &str,
    user: &str,
    text: &str,
) -> anyhow::Result<()> {
    let password = Some(format!("{:032x}", rand::random::<u128>()));
    let config = ClientConfig {
        account: Account { name: guide.into(), password, register: true, invite: None },
        state_dir: None,
        device: None,
        finding: like.finding.clone(),
    };
    let (client, mut events) = Client::start(config)?;
    let written = timeout(TIME, write(&client, &mut events, user, text)).await;
    client.close().await;
    written.context("no answer in time")?
}

async fn write(
    client: &Client,
    events: &mut Receiver<ClientEvent>,
    user: &str,
    text: &str,
) -> anyhow::Result<()> {
    ready(events).await?;
    let user = client.lookup(user).await?.user;
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        client.send(Target::User(user), Body::text(line)).await?;
    }
    // Events must be taken, or the client waits for us.
    tokio::select! {
        () = client.flushed() => Ok(()),
        () = async { while events.recv().await.is_some() {} } => bail!("the client ended"),
    }
}

async fn ready(events: &mut Receiver<ClientEvent>) -> anyhow::Result<()> {
    while let Some(event) = events.recv().await {
        match event {
            ClientEvent::Connection(Connection::Ready { .. }) => return Ok(()),
            ClientEvent::Connection(Connection::Failed(why)) => bail!(why),
            _ => {}
        }
    }
    bail!("the client ended")
}
