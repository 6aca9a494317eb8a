//! Strangers who guess passwords while something is measured: many names, and many addresses
//! where the servers are on this machine. It must not know what is measured.

use super::Plan;
use super::priority::lower_priority;
use super::report::BadLogins;
use crate::chat::ids::DeviceId;
use crate::client::security::Security;
use crate::limits;
use crate::tls::{self, Stream};
use crate::wire;
use crate::wire::client::{decode_server, encode_client};
use crate::wire::conn::frames;
use crate::wire::message::{ClientMsg, Credentials, Hello, Purpose, ServerMsg, Status};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::{TcpSocket, lookup_host};
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Tries under way at a time; where all are, the next one is left out and counts as lost.
const AT_ONCE: usize = 1024;
/// A try takes at most this long.
const PATIENCE: Duration = Duration::from_secs(10);
/// Addresses and names that they come from.
const ADDRESSES: u64 = 100;
const NAMES: u64 = 1000;

#[derive(Default)]
struct Counts {
    refused: AtomicU64,
    busy: AtomicU64,
    lost: AtomicU64,
}

/// A flood under way.
pub struct Flood {
    per_second: u32,
    counts: Arc<Counts>,
    /// It has a thread of its own, which yields to all others: what strangers spend on their
    /// guesses is not the servers' cost, nor that of whoever is measured.
    thread: Option<JoinHandle<()>>,
    stop: CancellationToken,
}

impl Flood {
    /// Begins, with the servers that are known by now; with none wanted there is none.
    pub fn start(plan: &Plan, servers: &[Status]) -> io::Result<Self> {
        let (counts, stop) = (Arc::<Counts>::default(), CancellationToken::new());
        let addresses = servers.first().map_or(&[][..], |status| &status.servers);
        let to: Vec<String> = addresses.iter().map(|server| server.for_clients()).collect();
        let per_second = plan.bad_logins;
        let mut flood = Self { per_second, counts, thread: None, stop };
        if per_second > 0 && !to.is_empty() {
            let (counts, stop) = (Arc::clone(&flood.counts), flood.stop.clone());
            let pause = Duration::from_secs(1) / per_second;
            let (many, security) = (plan.own_servers, plan.finding.security);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let thread = std::thread::Builder::new().name("flood".to_owned());
            flood.thread = Some(thread.spawn(move || {
                lower_priority();
                runtime.block_on(async {
                    let tasks = TaskTracker::new();
                    let all = (tasks.clone(), stop.clone());
                    let guesses = keep_guessing(to, many, security, pause, counts, all);
                    stop.run_until_cancelled(guesses).await;
                    tasks.close();
                    tasks.wait().await;
                });
            })?);
        }
        Ok(flood)
    }

    /// Ends it; what became of the tries that were answered by now.
    pub async fn end(self) -> BadLogins {
        self.stop.cancel();
        if let Some(thread) = self.thread {
            // A thread that panicked has said so.
            drop(tokio::task::spawn_blocking(move || thread.join()).await);
        }
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let Counts { refused, busy, lost } = &*self.counts;
        BadLogins {
            per_second: self.per_second,
            refused: count(refused),
            busy: count(busy),
            lost: count(lost),
        }
    }
}

async fn keep_guessing(
    to: Vec<String>,
    many: bool,
    security: Security,
    pause: Duration,
    counts: Arc<Counts>,
    (tasks, stop): (TaskTracker, CancellationToken),
) {
    let mut due = interval(pause);
    due.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for (n, server) in (0..).zip(to.iter().cycle()) {
        due.tick().await;
        if tasks.len() > AT_ONCE {
            counts.lost.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let from =
            many.then(|| Ipv4Addr::new(127, 0, 0, 2 + u8::try_from(n % ADDRESSES).unwrap_or(0)));
        let (server, counts, stop) = (server.clone(), Arc::clone(&counts), stop.clone());
        tasks.spawn(async move {
            let tried = timeout(PATIENCE, guess(&server, from, n, security));
            let counter = match stop.run_until_cancelled(tried).await {
                None => return,
                Some(Ok(Ok(ServerMsg::Refused { .. }))) => &counts.refused,
                Some(Ok(Ok(ServerMsg::Busy { .. }))) => &counts.busy,
                Some(_) => &counts.lost,
            };
            counter.fetch_add(1, Ordering::Relaxed);
        });
    }
}

/// One try; what the server says to it.
async fn guess(
    server: &str,
    from: Option<Ipv4Addr>,
    n: u64,
    security: Security,
) -> anyhow::Result<ServerMsg> {
    let to = lookup_host(server).await?.next().ok_or(io::ErrorKind::NotFound);
    let to = to.map_err(io::Error::from)?;
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if let Some(from) = from.filter(|_| to.is_ipv4()) {
        socket.bind(SocketAddr::new(IpAddr::V4(from), 0))?;
    }
    let stream = socket.connect(to).await?;
    let stream = match security.plain {
        true => Stream::from(stream),
        false => tls::connect(stream, security.expected).await?,
    };
    let (mut reader, mut writer) = frames(stream, limits::FRAME_SERVER)?;
    writer.push(&encode_client(&ClientMsg::Hello(Hello {
        min: wire::VERSION,
        max: wire::VERSION,
        features: 0,
        purpose: Purpose::Chat,
        device: Some(DeviceId(rand::random())),
        placed: true,
        cluster: None,
        events_after: None,
    })));
    let name = format!("guess{}", n % NAMES);
    let password = "a wrong password".to_owned();
    let (key, invite) = (None, String::new());
    let mut login = Some(ClientMsg::Login(Credentials { name, password, key, invite }));
    writer.flush_all().await?;
    loop {
        let payload = reader.next().await?.ok_or(io::ErrorKind::UnexpectedEof);
        match decode_server(payload.map_err(io::Error::from)?)? {
            ServerMsg::Welcome(_) => {
                if let Some(login) = login.take() {
                    writer.push(&encode_client(&login));
                    writer.flush_all().await?;
                }
            }
            ServerMsg::Cluster(_) => {}
            answer => return Ok(answer),
        }
    }
}
