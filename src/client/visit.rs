//! The way home by way of another cluster: its server is shown what home says of this device, and
//! carries what follows; only home can read it. It must not know what is said there, nor when it
//! is time to go.

use super::dial::Conn;
use super::find::Seeker;
use super::key::DeviceKey;
use super::{ClientError, Via};
use crate::chat::ids::ClusterId;
use crate::chat::refusal::Refusal;
use crate::limits;
use crate::tls::{self, Changed, Fingerprint};
use crate::wire;
use crate::wire::client::{decode_server, encode_client};
use crate::wire::conn::{ConnError, frames, whole};
use crate::wire::message::{
    ClientMsg, DeviceCertificate, Hello, Purpose, ServerAddress, ServerMsg, Welcome,
};
use std::io;
use std::time::Duration;
use tokio::time::timeout;

/// The other cluster's server must greet within this time.
const GREETING: Duration = Duration::from_secs(3);
/// Longer than the other cluster tries to reach this one's home.
const WAY_HOME: Duration = Duration::from_secs(12);

/// What a guest has to show, and whom it expects at the end of the way.
#[derive(Clone, Debug)]
pub struct Pass {
    /// The cluster that the device is of.
    pub home: ClusterId,
    /// Its name.
    pub name: String,
    /// Its key, as it was met at home. No other one is ever taken by way of another cluster.
    pub key: Fingerprint,
    /// What it says of the device.
    pub certificate: DeviceCertificate,
    /// The device's own.
    pub own: DeviceKey,
}

/// The way home.
#[derive(Debug)]
pub struct Way {
    /// The connection, to home itself.
    pub conn: Conn,
    /// Who carries it.
    pub via: Via,
    /// That cluster.
    pub cluster: ClusterId,
    /// The key that it has proved.
    pub key: Option<Fingerprint>,
    /// `host:port` of its servers.
    pub servers: Vec<String>,
}

/// Why there is none.
#[derive(Debug)]
pub enum NoWay {
    /// Try again: the other cluster's server is lost, or busy.
    Lost(String),
    /// Try again: the cluster of this name does not reach home now.
    Away(String),
    /// Another one of its servers has room.
    Redirect(ServerAddress),
    /// A person must know.
    Hopeless(ClientError),
}

impl From<ConnError> for NoWay {
    fn from(error: ConnError) -> Self {
        Self::Lost(error.to_string())
    }
}

impl From<io::Error> for NoWay {
    fn from(error: io::Error) -> Self {
        Self::Lost(error.to_string())
    }
}

/// Asks a server of another cluster for the way home. `conn` leads to one whose key is trusted;
/// `placed`: another one of its servers sent the client there.
///
/// # Errors
/// See [`NoWay`].
pub async fn visit(
    to: String,
    mut conn: Conn,
    placed: bool,
    pass: Pass,
    seeker: Seeker,
) -> Result<Way, NoWay> {
    let key = conn.authority;
    let met = greet(&mut conn, placed, &pass).await?;
    seeker.judge(&to, met.cluster, &met.cluster_name, key).map_err(NoWay::Hopeless)?;
    if met.cluster == pass.home || met.former.contains(&pass.home) {
        return Err(NoWay::Lost("this is home".to_owned()));
    }
    let signature = pass.own.sign_visit(met.cluster, &met.challenge, pass.home);
    let certificate = pass.certificate.clone();
    conn.writer.push(&encode_client(&ClientMsg::Visit { certificate, signature }));
    match next(&mut conn, WAY_HOME).await? {
        ServerMsg::Visiting => {}
        other => return Err(refused(other, &met.cluster_name, &pass)),
    }
    let servers = met.servers.iter().map(ServerAddress::for_clients).collect();
    let via = Via { cluster: met.cluster_name, seat: met.seat };
    let conn = within(conn, &to, &pass).await?;
    Ok(Way { conn, via, cluster: met.cluster, key, servers })
}

async fn greet(conn: &mut Conn, placed: bool, pass: &Pass) -> Result<Welcome, NoWay> {
    conn.writer.push(&encode_client(&ClientMsg::Hello(Hello {
        min: wire::VERSION,
        max: wire::VERSION,
        features: 0,
        purpose: Purpose::Visit,
        device: None,
        placed,
        cluster: Some(pass.home),
        events_after: None,
    })));
    match next(conn, GREETING).await? {
        ServerMsg::Welcome(met) => Ok(met),
        ServerMsg::Redirect(to) => Err(NoWay::Redirect(to)),
        other => Err(refused(other, "this cluster", pass)),
    }
}

async fn next(conn: &mut Conn, patience: Duration) -> Result<ServerMsg, NoWay> {
    let told = async {
        conn.writer.flush_all().await?;
        let frame = conn.reader.next().await?.ok_or(io::ErrorKind::UnexpectedEof);
        Ok::<_, ConnError>(decode_server(frame.map_err(io::Error::from)?)?)
    };
    let told = timeout(patience, told).await;
    Ok(told.map_err(|_| NoWay::Lost("the server does not answer".to_owned()))??)
}

/// What an answer means that lets nobody through.
fn refused(answer: ServerMsg, via: &str, pass: &Pass) -> NoWay {
    match answer {
        ServerMsg::Refused { refusal: Refusal::Unreachable, .. } => NoWay::Away(via.to_owned()),
        ServerMsg::Refused { refusal: Refusal::Overloaded, text, .. }
        | ServerMsg::GoAway { text, .. } => NoWay::Lost(text),
        ServerMsg::Busy { .. } => NoWay::Lost("the server is busy".to_owned()),
        ServerMsg::Refused { refusal, text, .. } => {
            let why = if text.is_empty() { refusal.to_string() } else { text };
            let (via, home) = (via.to_owned(), pass.name.clone());
            NoWay::Hopeless(ClientError::NoGuest { via, home, why })
        }
        _ => NoWay::Lost("the server does not follow the protocol".to_owned()),
    }
}

/// The connection to home, within the one to the other cluster.
async fn within(conn: Conn, to: &str, pass: &Pass) -> Result<Conn, NoWay> {
    let outer = whole(conn.reader, conn.writer).await?;
    let inner = timeout(GREETING, tls::connect_within(outer, pass.key)).await;
    let inner = inner.map_err(|_| NoWay::Lost("the way home is silent".to_owned()))?;
    let inner = inner.map_err(|error| match Changed::of(&error) {
        Some(Changed { expected, found }) => {
            let server = format!("{}, by way of {to}", pass.name);
            NoWay::Hopeless(ClientError::KeyChanged { server, expected, found })
        }
        None => error.into(),
    })?;
    let authority = inner.authority();
    let (reader, writer) = frames(inner, limits::FRAME_SERVER)?;
    Ok(Conn { reader, writer, authority })
}
