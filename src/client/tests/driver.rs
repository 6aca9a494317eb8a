//! The whole client over real sockets, against a server of a few lines.

use super::model::{Cluster, cut};
use crate::chat::command::Target;
use crate::chat::ids::ConversationId;
use crate::chat::message::Body;
use crate::client::security::Security;
use crate::client::{
    Account, Client, ClientConfig, ClientError, ClientEvent, Connection, Finding, status,
};
use crate::limits;
use crate::wire::client::{decode_client, encode_server};
use crate::wire::conn::frames;
use crate::wire::message::{ClientMsg, Purpose, ServerAddress, ServerMsg, Status, Where};
use rand::SeedableRng;
use rand::rngs::StdRng;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::Receiver;
use tokio::time::{Instant, timeout};

const SOON: Duration = Duration::from_secs(20);

/// A server that the user names.
fn named(server: String) -> Finding {
    Finding { servers: vec![server], security: Security::PLAIN, ..Finding::default() }
}

/// A server with one listener, which says that it leads.
struct Server {
    cluster: Mutex<Cluster>,
    address: ServerAddress,
    /// Who leads, where it is not this one.
    leader: Mutex<Option<ServerAddress>>,
    /// From now on nothing is answered, although connections stand.
    dead: AtomicBool,
    connections: AtomicU64,
    /// Bytes that were written to clients.
    written: AtomicU64,
}

impl Server {
    async fn start() -> Arc<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let (host, client) = (at.ip().to_string(), at.port());
        let server = Arc::new(Self {
            cluster: Mutex::new(Cluster::new()),
            address: ServerAddress { seat: 1, host, client, peer: 0 },
            leader: Mutex::new(None),
            dead: AtomicBool::new(false),
            connections: AtomicU64::new(0),
            written: AtomicU64::new(0),
        });
        let this = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let serve = Arc::clone(&this).serve(stream);
                tokio::spawn(serve);
            }
        });
        server
    }

    async fn serve(self: Arc<Self>, stream: TcpStream) {
        let (mut reader, mut writer) = frames(stream, limits::FRAME_CLIENT).unwrap();
        let mut rng = StdRng::seed_from_u64(1);
        while let Ok(Some(frame)) = reader.next().await {
            if self.dead.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            let answers = match decode_client(frame).unwrap() {
                ClientMsg::Hello(hello) if hello.purpose == Purpose::Where => {
                    let other = self.leader.lock().unwrap().clone();
                    let servers = [Some(self.address.clone()), other.clone()];
                    let servers = servers.into_iter().flatten().collect();
                    let leader = other.or_else(|| Some(self.address.clone()));
                    vec![ServerMsg::Where(Where { leader, servers, ..Where::default() })]
                }
                ClientMsg::Hello(hello) if hello.purpose == Purpose::Status => {
                    vec![ServerMsg::Status(Box::new(Status { seat: 7, ..Status::default() }))]
                }
                ClientMsg::Lookup { request, name } => {
                    let user = self.cluster.lock().unwrap().bob;
                    vec![ServerMsg::Found { request, user, name, conversation: None }]
                }
                message => {
                    let mut cluster = self.cluster.lock().unwrap();
                    if matches!(message, ClientMsg::Hello(_)) {
                        self.connections.fetch_add(1, Ordering::SeqCst);
                        cluster.disconnect();
                    }
                    cluster.on_msg(message, &mut rng);
                    cluster.commit(1, &mut rng);
                    std::mem::take(&mut cluster.out)
                }
            };
            for answer in answers {
                let bytes = encode_server(&answer);
                writer.push(&bytes);
                if writer.flush_all().await.is_err() {
                    return;
                }
                self.written.fetch_add(bytes.len() as u64, Ordering::SeqCst);
            }
        }
    }

    fn config(&self) -> ClientConfig {
        let at = SocketAddr::new(self.address.host.parse().unwrap(), self.address.client);
        ClientConfig {
            finding: named(at.to_string()),
            account: Account {
                name: "alice".into(),
                password: Some("pw".into()),
                register: true,
                invite: None,
            },
            state_dir: None,
            device: Some(super::model::ALICE),
        }
    }

    /// Bob writes `count` messages while nobody is connected.
    fn bob_says(&self, count: u64) {
        let mut cluster = self.cluster.lock().unwrap();
        cluster.bob_says(count);
        cluster.commit(1, &mut StdRng::seed_from_u64(1));
    }

    /// What alice's marks are in her conversation with bob.
    fn marks(&self) -> (u64, u64) {
        let cluster = self.cluster.lock().unwrap();
        let mark = cluster.state.mark(ConversationId::new(0, 1), cluster.alice);
        mark.map_or((0, 0), |mark| (mark.delivered, mark.read))
    }
}

/// Takes events until one is `wanted`.
async fn until(
    events: &mut Receiver<ClientEvent>,
    what: &str,
    wanted: impl Fn(&ClientEvent) -> bool,
) -> ClientEvent {
    let mut seen = Vec::new();
    let search = async {
        while let Some(event) = events.recv().await {
            if wanted(&event) {
                return Some(event);
            }
            seen.push(event);
        }
        None
    };
    match timeout(SOON, search).await {
        Ok(Some(event)) => event,
        _ => panic!("waited for {what}; there was {seen:?}"),
    }
}

fn is_ready(event: &ClientEvent) -> bool {
    matches!(event, ClientEvent::Connection(Connection::Ready { .. }))
}

/// Polls until `done`.
async fn wait(what: &str, done: impl Fn() -> bool) {
    let deadline = Instant::now() + SOON;
    let mut look = tokio::time::interval(Duration::from_millis(20));
    while !done() {
        assert!(Instant::now() < deadline, "waited for {what}");
        look.tick().await;
    }
}

#[tokio::test]
async fn a_message_goes_out_and_comes_back_with_its_outcome() {
    let server = Server::start().await;
    let (client, mut events) = Client::start(server.config()).unwrap();
    let bob = client.lookup("bob").await.unwrap();
    let number = client.send(Target::User(bob.user), Body::text("hello")).await.unwrap();
    assert_eq!(number, 1);
    until(&mut events, "the outcome", |e| matches!(e, ClientEvent::Committed { .. })).await;
    let there = until(&mut events, "the message", |e| matches!(e, ClientEvent::Messages(_))).await;
    assert!(matches!(there, ClientEvent::Messages(run) if run.bodies == [Body::text("hello")]));
    timeout(SOON, client.flushed()).await.unwrap();
    let history = client.history(ConversationId::new(0, 1), 1, 1, true).await.unwrap();
    assert_eq!(history.len(), 1);
    let too_long = Body::text("x".repeat(limits::BODY_BYTES + 1));
    let refused = client.send(Target::User(bob.user), too_long).await;
    assert!(matches!(refused, Err(ClientError::Refused(_))));
    timeout(SOON, client.close()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_dies_silently_is_noticed_while_something_waits() {
    let server = Server::start().await;
    let (client, mut events) = Client::start(server.config()).unwrap();
    until(&mut events, "the login", is_ready).await;
    server.dead.store(true, Ordering::SeqCst);
    let bob = Target::User(server.cluster.lock().unwrap().bob);
    let begin = Instant::now();
    client.send(bob, Body::text("anybody there?")).await.unwrap();
    let waiting =
        |e: &ClientEvent| matches!(e, ClientEvent::Connection(Connection::Waiting { .. }));
    until(&mut events, "the loss", waiting).await;
    assert!(begin.elapsed() < Duration::from_secs(10), "a few seconds: {:?}", begin.elapsed());
    server.dead.store(false, Ordering::SeqCst);
    until(&mut events, "the outcome", |e| matches!(e, ClientEvent::Committed { .. })).await;
    assert!(server.connections.load(Ordering::SeqCst) >= 2);
    assert!(server.cluster.lock().unwrap().committed(1).is_some());
}

/// Others hear the leader, and this client's packets to it are lost.
#[tokio::test]
async fn a_leader_that_is_silent_keeps_nobody_from_its_followers() {
    let server = Server::start().await;
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = silent.local_addr().unwrap().port();
    *server.leader.lock().unwrap() =
        Some(ServerAddress { seat: 2, host: "127.0.0.1".into(), client, peer: 0 });
    let (client, mut events) = Client::start(server.config()).unwrap();
    until(&mut events, "the login", is_ready).await;
    timeout(SOON, client.close()).await.unwrap();
    drop(silent);
}

#[tokio::test]
async fn messages_count_as_delivered_when_the_program_has_taken_them() {
    let server = Server::start().await;
    server.bob_says(5);
    let (client, mut events) = Client::start(server.config()).unwrap();
    wait("the login", || server.connections.load(Ordering::SeqCst) > 0).await;
    client.lookup("bob").await.unwrap();
    assert_eq!(server.marks(), (0, 0), "nobody took them");
    until(&mut events, "bob's", |e| matches!(e, ClientEvent::Messages(_))).await;
    let rest = async {
        while let Some(event) = events.recv().await {
            drop(event);
        }
    };
    tokio::select! {
        () = rest => panic!("the client ended"),
        () = wait("the mark", || server.marks() == (5, 0)) => {}
    }
    client.mark(ConversationId::new(0, 1), 5, 3);
    wait("the read mark", || server.marks() == (5, 3)).await;
}

#[tokio::test]
async fn a_program_that_takes_nothing_holds_its_server_back_and_loses_nothing() {
    let server = Server::start().await;
    // Far more than the client may hold and the sockets' buffers take.
    let total = 6000 * 8 * 1024;
    {
        let mut cluster = server.cluster.lock().unwrap();
        cluster.bob_bytes = 8 * 1024;
        for _ in 0..120 {
            cluster.bob_says(50);
            cluster.commit(1, &mut StdRng::seed_from_u64(1));
        }
    }
    let (_client, mut events) = Client::start(server.config()).unwrap();
    // For half a second nothing more is written.
    let (before, same) = (AtomicU64::new(0), AtomicU64::new(0));
    let held_back = || {
        let written = server.written.load(Ordering::SeqCst);
        if before.swap(written, Ordering::SeqCst) != written {
            same.store(0, Ordering::SeqCst);
        }
        written > 1024 * 1024 && same.fetch_add(1, Ordering::SeqCst) > 25
    };
    wait("the server is held back", held_back).await;
    let written = server.written.load(Ordering::SeqCst);
    assert!(written < total / 2, "{written} of {total} bytes were taken from the server");
    let history = server.cluster.lock().unwrap().history[&ConversationId::new(0, 1)].clone();
    let last = history.last().unwrap().last_seq();
    let mut next = 1;
    while next <= last {
        let event = until(&mut events, "messages", |e| matches!(e, ClientEvent::Messages(_))).await;
        let ClientEvent::Messages(run) = event else { continue };
        assert_eq!(run.first_seq, next);
        next = run.last_seq() + 1;
        let stands = history.iter().find_map(|r| cut(r, run.first_seq, run.first_seq)).unwrap();
        assert_eq!(stands.bodies[0], run.bodies[0]);
    }
}

#[tokio::test]
async fn the_state_of_a_node_is_asked_without_a_login() {
    let server = Server::start().await;
    let at = format!("127.0.0.1:{}", server.address.client);
    assert_eq!(status::status(&at, SOON, Security::PLAIN).await.unwrap().seat, 7);
    server.dead.store(true, Ordering::SeqCst);
    let silent = status::status(&at, Duration::from_millis(200), Security::PLAIN).await;
    assert!(silent.is_err());
    assert!(status::status("127.0.0.1:1", SOON, Security::PLAIN).await.is_err());
}

#[tokio::test]
async fn without_a_server_a_client_says_why_it_waits_and_keeps_its_messages() {
    let state = tempfile::tempdir().unwrap();
    let server = Server::start().await;
    let nowhere = named("127.0.0.1:1".into());
    let config = ClientConfig {
        finding: nowhere,
        state_dir: Some(state.path().into()),
        device: None,
        ..server.config()
    };
    let (client, mut events) = Client::start(config.clone()).unwrap();
    let to = Target::User(server.cluster.lock().unwrap().bob);
    assert_eq!(client.send(to, Body::text("later")).await, Ok(1));
    let waiting =
        |e: &ClientEvent| matches!(e, ClientEvent::Connection(Connection::Waiting { .. }));
    until(&mut events, "why", waiting).await;
    assert_eq!(client.unfinished(), 1);
    let device = client.device();
    timeout(SOON, client.close()).await.unwrap();
    let (client, mut events) = Client::start(config).unwrap();
    assert_eq!((client.device(), client.unfinished()), (device, 1), "the next process has them");
    until(&mut events, "the queued one", |e| matches!(e, ClientEvent::Queued(_))).await;
}
