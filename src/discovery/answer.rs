//! The side that answers. While it has nothing to say its socket is closed, so
//! that nobody on the network can even tell that a server is here. It must not
//! know why it may answer.

use crate::chat::ids::ClusterId;
use crate::limits;
use crate::tls::NodeKeys;
use crate::wire;
use crate::wire::discovery::{Answer, Question, decode_question, encode_answer};
use crate::wire::message::ServerAddress;
use bytes::Bytes;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// How often it looks whether it may answer, while nobody asks.
const LOOK: Duration = Duration::from_millis(100);
/// Answers in a second, and at once after a quiet time.
const ANSWERS_PER_SECOND: u32 = 5000;
/// A socket that cannot be opened is tried again after this time.
const REOPEN: Duration = Duration::from_secs(1);

/// What the leader says.
#[derive(Clone)]
pub struct Told {
    /// The cluster's name.
    pub cluster_name: String,
    /// The cluster.
    pub cluster: ClusterId,
    /// Rises with a restore.
    pub generation: u64,
    /// This server, by the host of `nodes.conf`.
    pub leader: ServerAddress,
    /// All servers.
    pub members: Vec<ServerAddress>,
    /// Signs the answer; `None`: it stays unsigned, and only clients without TLS take it.
    pub keys: Option<Arc<NodeKeys>>,
}

/// Answers questions on UDP `port` until `shutdown`. `told` is asked anew for every question:
/// `None` means silence. Several servers of one machine share the port, since a broadcast
/// reaches every socket that is bound to it.
pub async fn run(
    port: u16,
    told: impl Fn() -> Option<Told> + Send + Sync,
    shutdown: CancellationToken,
) {
    let mut look = tokio::time::interval(LOOK);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut allowance = Allowance::new(Instant::now());
    let mut socket: Option<UdpSocket> = None;
    let mut reopen_at = Instant::now();
    let mut datagram = [0; 2048];
    loop {
        let asked = async {
            match &socket {
                Some(socket) => socket.recv_from(&mut datagram).await,
                None => std::future::pending().await,
            }
        };
        let asked = tokio::select! {
            () = shutdown.cancelled() => return,
            _ = look.tick() => None,
            asked = asked => Some(asked),
        };
        let now = Instant::now();
        let Some(told) = told() else {
            socket = None;
            continue;
        };
        if socket.is_none() && now >= reopen_at {
            match open(port) {
                Ok(open) => socket = Some(open),
                Err(why) => {
                    tracing::warn!(event = "discovery.closed", port, %why, "cannot answer");
                    reopen_at = now + REOPEN;
                }
            }
        }
        if let (Some(Ok((length, from))), Some(socket)) = (asked, &socket)
            && let Some(answer) = reply(datagram.get(..length).unwrap_or_default(), told)
            && allowance.take(now)
            && let Err(why) = socket.send_to(&answer, from).await
        {
            tracing::debug!(event = "discovery.unsent", %why, "an answer could not be sent");
        }
    }
}

/// The answer to a datagram, if it is a question; never longer than that.
fn reply(datagram: &[u8], told: Told) -> Option<Bytes> {
    let Question { nonce, .. } = decode_question(datagram).ok()?;
    let answer = Answer {
        version: wire::VERSION,
        nonce,
        cluster_name: told.cluster_name,
        cluster: told.cluster,
        generation: told.generation,
        leader: told.leader,
        members: told.members,
        signer: None,
    };
    let hint = told.keys.as_ref().map(|keys| &keys.hint);
    encode_answer(&answer, datagram.len().min(limits::QUESTION_BYTES), hint).ok()
}

fn open(port: u16) -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_broadcast(true)?;
    socket.set_nonblocking(true)?;
    // Broadcasts reach a socket only if it is bound to every address.
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)).into())?;
    UdpSocket::from_std(socket.into())
}

/// A bucket of answers.
struct Allowance {
    left: u32,
    filled_at: Instant,
}

impl Allowance {
    const fn new(now: Instant) -> Self {
        Self { left: ANSWERS_PER_SECOND, filled_at: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled_at);
        let more = passed.as_millis() * u128::from(ANSWERS_PER_SECOND) / 1000;
        if more > 0 {
            let more = u32::try_from(more).unwrap_or(ANSWERS_PER_SECOND);
            self.left = self.left.saturating_add(more).min(ANSWERS_PER_SECOND);
            self.filled_at = now;
        }
        let free = self.left > 0;
        self.left = self.left.saturating_sub(1);
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_flood_gets_few_answers() {
        let now = Instant::now();
        let mut allowance = Allowance::new(now);
        let given = (0..100_000).filter(|_| allowance.take(now)).count();
        assert_eq!(given, ANSWERS_PER_SECOND as usize);
        assert!(allowance.take(now + Duration::from_millis(10)));
    }
}
