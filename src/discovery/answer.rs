//! The side that answers. While it has nothing to say its socket is closed, so
//! that nobody on the network can even tell that a server is here. It must not
//! know why it may answer.

use super::allowance::Allowance;
use crate::chat::ids::ClusterId;
use crate::limits;
use crate::tls::NodeKeys;
use crate::wire;
use crate::wire::discovery::{Answer, Question, decode_question, encode_answer};
use crate::wire::message::ServerAddress;
use bytes::Bytes;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

/// How often it looks whether it may answer, while nobody asks.
const LOOK: Duration = Duration::from_millis(100);
/// Ports below this one are those of a machine's services.
const FIRST_UNPRIVILEGED: u16 = 1024;
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
        if let (Some(Ok((length, SocketAddr::V4(from)))), Some(socket)) = (asked, &socket)
            && may_ask(&from, port)
            && let datagram = datagram.get(..length).unwrap_or_default()
            && let Ok(question) = decode_question(datagram)
            // To sign an answer is work: who gets none causes none.
            && allowance.take(*from.ip(), now)
            && let Some(answer) = reply(&question, datagram.len(), told)
            && let Err(why) = socket.send_to(&answer, from).await
        {
            tracing::debug!(event = "discovery.unsent", %why, "an answer could not be sent");
        }
    }
}

/// The answer to a question of that many bytes; never longer than that.
fn reply(question: &Question, length: usize, told: Told) -> Option<Bytes> {
    let nonce = question.nonce;
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
    encode_answer(&answer, length.min(limits::QUESTION_BYTES), hint).ok()
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

/// Whether a question from there may be answered. Our own port, on whatever machine, belongs to
/// a server: two that answer each other would never stop. Low ports belong to services that
/// might answer an answer.
const fn may_ask(from: &SocketAddrV4, own_port: u16) -> bool {
    from.port() != own_port && from.port() >= FIRST_UNPRIVILEGED
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::scripts::seeds;
    use crate::wire::discovery::{Purpose, decode_answer, encode_question};
    use crate::wire::random;
    use rand::Rng;

    fn told(rng: &mut rand::rngs::StdRng) -> Told {
        let members = rng.random_range(0..20);
        Told {
            cluster_name: random::text(rng),
            cluster: random::cluster(rng),
            generation: random::number(rng),
            leader: random::addresses(rng, 1).remove(0),
            members: random::addresses(rng, members),
            keys: None,
        }
    }

    #[test]
    fn servers_and_services_are_not_answered() {
        let from = |port| SocketAddrV4::new(Ipv4Addr::new(10, 0, 0, 1), port);
        assert!(may_ask(&from(1024), 7100) && may_ask(&from(60_000), 7100));
        assert!(!may_ask(&from(7100), 7100), "a server");
        assert!([0, 7, 53, 123, 1023].iter().all(|port| !may_ask(&from(*port), 7100)));
    }

    /// Answers, damaged questions and noise get no answer; a question gets none that is longer.
    #[test]
    fn only_questions_are_answered_and_never_at_length() {
        seeds(500, |rng| {
            let purpose = if rng.random() { Purpose::Client } else { Purpose::Cluster };
            let question = encode_question(&Question { version: 1, nonce: rng.random(), purpose });
            let asked = decode_question(&question).expect("a question");
            let answer = reply(&asked, question.len(), told(rng)).expect("an answer to it");
            assert!(answer.len() <= question.len(), "{} bytes", answer.len());
            assert_eq!(decode_answer(&answer, None).unwrap().nonce, asked.nonce);
            let mut padded = answer.to_vec();
            padded.resize(limits::QUESTION_BYTES, 0);
            let half = &question[..rng.random_range(0..question.len())];
            for other in [&answer, &padded[..], half, &random::blob(rng, 2048)] {
                let taken = decode_question(other);
                assert!(taken.is_err(), "taken for a question: {taken:?}");
            }
        });
    }
}
