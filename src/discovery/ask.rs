//! The side that asks: broadcasts the question and collects answers for a bounded
//! time. It must not choose between clusters.

use crate::wire;
use crate::wire::discovery::{Answer, Purpose, Question, decode_answer, encode_question};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, interval_at, timeout_at};

/// The broadcast address of this machine alone.
const THIS_MACHINE: Ipv4Addr = Ipv4Addr::new(127, 255, 255, 255);
/// The question is repeated this often: datagrams get lost, and leaders are elected.
const REPEAT: Duration = Duration::from_millis(150);
/// Answers that are kept; far more than there are clusters in a network.
const ANSWERS: usize = 64;

/// How long to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// If nobody answers.
    pub silence: Duration,
    /// After the first answer, if none is the wanted one.
    pub others: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self { silence: Duration::from_secs(1), others: Duration::from_millis(300) }
    }
}

/// Where to ask if nothing else is said: the broadcast address of every IPv4 interface.
///
/// # Errors
/// The interfaces cannot be listed.
pub fn everywhere(port: u16) -> io::Result<Vec<SocketAddr>> {
    let mut targets = vec![SocketAddr::from((THIS_MACHINE, port))];
    for interface in if_addrs::get_if_addrs()? {
        if let if_addrs::IfAddr::V4(v4) = &interface.addr
            && !v4.ip.is_loopback()
            && let Some(broadcast) = v4.broadcast
        {
            let target = SocketAddr::from((broadcast, port));
            if !targets.contains(&target) {
                targets.push(target);
            }
        }
    }
    Ok(targets)
}

/// What to do with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// As if it had not come.
    Ignore,
    /// Among those to choose from.
    Keep,
    /// It is the one: nobody else needs to be heard.
    Take,
}

/// Asks at `targets`, and gives the answers in the order in which they came, one per cluster,
/// signer and leader. Returns at once when `judge` takes one, which is then the last.
///
/// # Errors
/// There is no socket, or nowhere could the question be sent to.
pub async fn ask(
    targets: &[SocketAddr],
    purpose: Purpose,
    patience: Patience,
    judge: impl Fn(&Answer) -> Judgement + Send,
) -> io::Result<Vec<Answer>> {
    let socket = socket()?;
    let nonce: [u8; 16] = rand::random();
    let question = encode_question(&Question { version: wire::VERSION, nonce, purpose });
    let begin = Instant::now();
    let mut deadline = begin + patience.silence;
    let mut again = interval_at(begin + REPEAT, REPEAT);
    let mut answers: Vec<Answer> = Vec::new();
    send_all(&socket, &question, targets).await?;
    loop {
        // However much comes, and however fast.
        if Instant::now() >= deadline {
            return Ok(answers);
        }
        tokio::select! {
            heard = timeout_at(deadline, hear(&socket, nonce)) => {
                let Ok(answer) = heard else { return Ok(answers) };
                let answer = answer?;
                let same = |a: &Answer| {
                    (a.cluster, a.signer, &a.leader)
                        == (answer.cluster, answer.signer, &answer.leader)
                };
                match judge(&answer) {
                    Judgement::Ignore => continue,
                    Judgement::Take => {
                        answers.retain(|a| !same(a));
                        answers.push(answer);
                        return Ok(answers);
                    }
                    Judgement::Keep if answers.iter().any(same) || answers.len() >= ANSWERS => {
                        continue;
                    }
                    Judgement::Keep => answers.push(answer),
                }
                deadline = deadline.min(Instant::now() + patience.others);
            }
            _ = again.tick() => send_all(&socket, &question, targets).await?,
        }
    }
}

/// A socket from which any interface's broadcast address can be reached.
fn socket() -> io::Result<UdpSocket> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_broadcast(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)).into())?;
    UdpSocket::from_std(socket.into())
}

/// Sends to every target; one that works is enough.
async fn send_all(socket: &UdpSocket, bytes: &[u8], targets: &[SocketAddr]) -> io::Result<()> {
    let mut failed = None;
    let mut sent = false;
    for target in targets.iter().filter(|t| matches!(t.ip(), IpAddr::V4(_))) {
        match socket.send_to(bytes, target).await {
            Ok(_) => sent = true,
            Err(why) => failed = Some(why),
        }
    }
    match failed {
        Some(why) if !sent => Err(why),
        _ => Ok(()),
    }
}

/// The next answer to our question; everything else is passed over.
async fn hear(socket: &UdpSocket, nonce: [u8; 16]) -> io::Result<Answer> {
    let mut datagram = [0; 2048];
    loop {
        let length = match socket.recv(&mut datagram).await {
            Ok(length) => length,
            // Asked one machine, and nobody listens there: others may still answer.
            Err(why) if why.kind() == io::ErrorKind::ConnectionRefused => continue,
            Err(why) => return Err(why),
        };
        let bytes = datagram.get(..length).unwrap_or_default();
        if let Ok(answer) = decode_answer(bytes, Some(nonce)) {
            return Ok(answer);
        }
    }
}
