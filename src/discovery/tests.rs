//! Question and answer over real sockets on loopback.

use super::answer::{self, Told};
use super::ask::{Judgement, Patience, ask, everywhere};
use crate::chat::ids::ClusterId;
use crate::limits;
use crate::wire::discovery::{Purpose, Question, decode_answer, encode_question};
use crate::wire::message::ServerAddress;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A UDP port that nobody uses now.
fn free_port() -> u16 {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    socket.local_addr().unwrap().port()
}

fn told(cluster: u8, seat: u32) -> Told {
    let server = |seat| ServerAddress { seat, host: "127.0.0.1".into(), client: 7101, peer: 7201 };
    Told {
        cluster_name: format!("c{cluster}"),
        cluster: ClusterId([cluster; 16]),
        generation: 1,
        leader: server(seat),
        members: (1..=9).map(server).collect(),
        keys: None,
    }
}

fn take(wanted: bool) -> Judgement {
    if wanted { Judgement::Take } else { Judgement::Keep }
}

struct Server {
    leads: Arc<AtomicBool>,
    stop: CancellationToken,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn server(port: u16, cluster: u8, seat: u32, leads: bool) -> Server {
    let server = Server { leads: Arc::new(leads.into()), stop: CancellationToken::new() };
    let leads = server.leads.clone();
    let say = move || leads.load(Ordering::SeqCst).then(|| told(cluster, seat));
    tokio::spawn(answer::run(port, say, server.stop.clone()));
    server
}

fn here(port: u16) -> Vec<SocketAddr> {
    vec![SocketAddr::from(([127, 255, 255, 255], port))]
}

const PATIENCE: Patience =
    Patience { silence: Duration::from_secs(3), others: Duration::from_millis(300) };

#[tokio::test]
async fn of_three_servers_on_one_machine_the_leader_alone_answers() {
    let port = free_port();
    let servers: Vec<_> = (1..=3).map(|seat| server(port, 7, seat, seat == 2)).collect();
    let found = ask(&here(port), Purpose::Client, PATIENCE, |_| Judgement::Take).await.unwrap();
    assert_eq!(found.iter().map(|a| a.leader.seat).collect::<Vec<_>>(), [2]);
    assert_eq!(found[0].cluster, ClusterId([7; 16]));
    servers[1].leads.store(false, Ordering::SeqCst);
    servers[0].leads.store(true, Ordering::SeqCst);
    let found =
        ask(&here(port), Purpose::Client, PATIENCE, |a| take(a.leader.seat == 1)).await.unwrap();
    assert_eq!(found.iter().map(|a| a.leader.seat).collect::<Vec<_>>(), [1]);
}

#[tokio::test]
async fn several_clusters_are_told_apart_and_the_wanted_one_ends_the_wait() {
    let port = free_port();
    let _servers = [server(port, 1, 1, true), server(port, 2, 1, true)];
    let found = ask(&here(port), Purpose::Client, PATIENCE, |_| Judgement::Keep).await.unwrap();
    let mut clusters: Vec<_> = found.iter().map(|a| a.cluster_name.as_str()).collect();
    clusters.sort_unstable();
    assert_eq!(clusters, ["c1", "c2"]);
    let begin = tokio::time::Instant::now();
    let long = Patience { silence: Duration::from_secs(60), others: Duration::from_secs(60) };
    let wanted = ClusterId([2; 16]);
    let found =
        ask(&here(port), Purpose::Client, long, |a| take(a.cluster == wanted)).await.unwrap();
    assert_eq!(found.last().unwrap().cluster, wanted);
    assert!(begin.elapsed() < Duration::from_secs(30));
}

#[tokio::test]
async fn who_may_not_answer_has_no_socket() {
    let port = free_port();
    let server = server(port, 1, 1, false);
    let silence = Duration::from_millis(300);
    let patience = Patience { silence, others: silence };
    assert_eq!(ask(&here(port), Purpose::Client, patience, |_| Judgement::Take).await.unwrap(), []);
    // Without the option to share, this works only if nobody has the port.
    drop(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port)).unwrap());
    server.leads.store(true, Ordering::SeqCst);
    assert_eq!(
        ask(&here(port), Purpose::Client, PATIENCE, |_| Judgement::Take).await.unwrap().len(),
        1
    );
}

#[tokio::test]
async fn an_answer_is_never_longer_than_its_question_and_nothing_else_is_answered() {
    let port = free_port();
    let _server = server(port, 1, 1, true);
    assert_eq!(
        ask(&here(port), Purpose::Client, PATIENCE, |_| Judgement::Take).await.unwrap().len(),
        1
    );
    let socket = tokio::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let question =
        encode_question(&Question { version: 1, nonce: [5; 16], purpose: Purpose::Client });
    assert_eq!(question.len(), limits::QUESTION_BYTES);
    socket.send_to(&question, to).await.unwrap();
    let mut answer = [0; 2048];
    let length = socket.recv(&mut answer).await.unwrap();
    assert!(length <= question.len(), "{length} bytes");
    // An answer, a short question and noise: if one of them were answered, that would arrive
    // before the answer to the good question sent last.
    socket.send_to(&answer[..length], to).await.unwrap();
    socket.send_to(&question[..limits::QUESTION_LEAST - 1], to).await.unwrap();
    socket.send_to(&[0xff; 600], to).await.unwrap();
    let last = encode_question(&Question { version: 1, nonce: [6; 16], purpose: Purpose::Cluster });
    socket.send_to(&last, to).await.unwrap();
    let length = socket.recv(&mut answer).await.unwrap();
    let heard = decode_answer(&answer[..length], None).unwrap();
    assert_eq!(heard.nonce, [6; 16]);
}

/// A socket of somebody else on this machine; at the servers' own port, as if it were a server.
fn at(port: u16) -> UdpSocket {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::DGRAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_broadcast(true).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket.bind(&SocketAddr::from(([127, 0, 0, 9], port)).into()).unwrap();
    socket.into()
}

/// Two servers hear a question in each other's name: nobody answers, so nothing goes on for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_that_are_made_to_ask_each_other_stay_silent() {
    let port = free_port();
    let _servers = [server(port, 1, 1, true), server(port, 2, 1, true)];
    let found = ask(&here(port), Purpose::Client, PATIENCE, |_| Judgement::Keep).await.unwrap();
    assert_eq!(found.len(), 2, "both have their sockets open");
    let (spoofed, honest) = (at(port), at(0));
    let question =
        |nonce| encode_question(&Question { version: 1, nonce, purpose: Purpose::Client });
    spoofed.send_to(&question([5; 16]), here(port)[0]).unwrap();
    // Who has answered a question that was sent later has read the first one.
    honest.send_to(&question([6; 16]), here(port)[0]).unwrap();
    let mut answer = [0; 2048];
    for _ in 0..2 {
        let length = honest.recv(&mut answer).expect("an answer of each server");
        assert_eq!(decode_answer(&answer[..length], None).unwrap().nonce, [6; 16]);
    }
    spoofed.set_nonblocking(true).unwrap();
    let heard = spoofed.recv(&mut answer);
    assert!(heard.is_err(), "a server was answered: {heard:?}");
}

#[test]
fn this_machine_and_every_network_are_asked() {
    let targets = everywhere(7100).unwrap();
    assert_eq!(targets[0], SocketAddr::from(([127, 255, 255, 255], 7100)));
    assert!(targets.iter().all(|t| t.port() == 7100));
}
