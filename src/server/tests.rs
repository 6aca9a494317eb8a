//! A server in this process, over real sockets, with frames written by hand.

mod unavailable;

use super::{Pulse, ServeError, ServerConfig, StoreSpec, run};
use crate::chat::command::Target;
use crate::chat::event::Outcome;
use crate::chat::ids::{ConversationId, DeviceId, UserId};
use crate::chat::message::Body;
use crate::chat::refusal::Refusal;
use crate::limits;
use crate::raft::Seat;
use crate::store::Store;
use crate::store::memory::Memory;
use crate::wire::client::{decode_server, encode_client};
use crate::wire::conn::{Reader, Writer, frames};
use crate::wire::message::{
    ClientMsg, Credentials, Cursor, Fetch, Hello, MarkEntry, Purpose, Ready, SendRun, ServerMsg,
};
use crate::wire::stored;
use bytes::Bytes;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const DEADLINE: Duration = Duration::from_secs(20);

struct Running {
    address: SocketAddr,
    stop: CancellationToken,
    end: JoinHandle<Result<(), ServeError>>,
    pulse: watch::Receiver<Pulse>,
}

/// The server on `seat` of a cluster of `n`, on addresses of its own, so that tests do not meet.
fn config(own: u8, seat: u8, n: u8, store: Arc<dyn Store>) -> ServerConfig {
    let address = |port| SocketAddr::from(([127, 94, own, seat], port));
    let seats = (1..=n).map(|seat| Seat {
        seat: seat.into(),
        host: format!("127.94.{own}.{seat}"),
        peer: 24_201,
        client: 24_101,
    });
    ServerConfig {
        cluster_name: "west".to_owned(),
        cluster: None,
        seat: seat.into(),
        seats: seats.collect(),
        client_listen: address(24_101),
        peer_listen: address(24_201),
        admin_listen: None,
        keys: None,
        discovery_port: None,
        links: Vec::new(),
        trust_new_links: false,
        data: std::path::PathBuf::new(),
        store: StoreSpec::Open(store),
        rejoin: false,
        snapshot_log_bytes: limits::SNAPSHOT_LOG_BYTES,
        log_file_bytes: limits::LOG_FILE_BYTES,
    }
}

async fn launch(config: ServerConfig) -> Running {
    let (address, stop) = (config.client_listen, CancellationToken::new());
    let (ready, is_ready) = oneshot::channel();
    let (beat, pulse) = watch::channel(Pulse::default());
    let end = tokio::spawn(run(config, stop.clone(), ready, beat));
    timeout(DEADLINE, is_ready).await.expect("ready in time").expect("a server that starts");
    Running { address, stop, end, pulse }
}

/// A cluster of one.
async fn start(own: u8) -> Running {
    launch(config(own, 1, 1, Arc::new(Memory::new(1)))).await
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        timeout(DEADLINE, self.end).await.expect("an end in time").unwrap().unwrap();
    }
}

/// One connection.
struct Wire {
    reader: Reader,
    writer: Writer,
}

impl Wire {
    async fn open(server: &Running) -> Self {
        let stream = TcpStream::connect(server.address).await.unwrap();
        let (reader, writer) = frames(stream, limits::FRAME_SERVER).unwrap();
        Self { reader, writer }
    }

    async fn say(&mut self, message: &ClientMsg) {
        self.writer.push(&encode_client(message));
        timeout(DEADLINE, self.writer.flush_all()).await.expect("a server that reads").unwrap();
    }

    async fn hear(&mut self) -> Option<ServerMsg> {
        let frame = timeout(DEADLINE, self.reader.next()).await.expect("an answer in time");
        frame.unwrap().map(|frame| decode_server(frame).unwrap())
    }

    /// The first message that `wanted` picks; others are skipped.
    async fn find<T>(&mut self, mut wanted: impl FnMut(ServerMsg) -> Option<T>) -> T {
        loop {
            let message = self.hear().await.expect("not the end of the connection");
            if let Some(found) = wanted(message) {
                return found;
            }
        }
    }
}

/// A connection that was welcomed; waits until there is a leader.
async fn welcomed(server: &Running, device: u8) -> Wire {
    let until = Instant::now() + DEADLINE;
    loop {
        let mut wire = Wire::open(server).await;
        wire.say(&ClientMsg::Hello(Hello {
            min: 1,
            max: 1,
            features: 0,
            purpose: Purpose::Chat,
            device: Some(DeviceId([device; 16])),
            placed: false,
            cluster: None,
            events_after: None,
        }))
        .await;
        match wire.hear().await {
            Some(ServerMsg::Welcome(_)) => return wire,
            other => assert!(Instant::now() < until, "no leader in time: {other:?}"),
        }
    }
}

fn credentials(name: &str, password: &str) -> Credentials {
    let (name, password) = (name.to_owned(), password.to_owned());
    Credentials { name, password, ..Credentials::default() }
}

async fn authenticated(wire: &mut Wire) -> (UserId, Bytes) {
    wire.find(|message| match message {
        ServerMsg::Authenticated { user, token, .. } => Some((user, token)),
        ServerMsg::Refused { refusal, .. } => panic!("{refusal}"),
        _ => None,
    })
    .await
}

async fn resumed(wire: &mut Wire) -> Ready {
    wire.say(&ClientMsg::Resume { cursor: Cursor::default(), have: Vec::new() }).await;
    wire.find(|m| if let ServerMsg::Ready(ready) = m { Some(ready) } else { None }).await
}

async fn registered(server: &Running, name: &str, device: u8) -> (Wire, UserId, Bytes) {
    let mut wire = welcomed(server, device).await;
    wire.say(&ClientMsg::Register(credentials(name, "secret"))).await;
    let (user, token) = authenticated(&mut wire).await;
    resumed(&mut wire).await;
    (wire, user, token)
}

fn messages(first_number: u64, to: UserId, bodies: Vec<Body>) -> ClientMsg {
    let run = SendRun { group: 0, first_number, to: Target::User(to), bodies };
    ClientMsg::Send { runs: vec![run], confirmed: first_number - 1 }
}

/// Waits until every number up to `upto` is acknowledged.
async fn acked(wire: &mut Wire, upto: u64) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    wire.find(|message| {
        let ServerMsg::Ack(ack) = message else { return None };
        outcomes.extend(ack.outcomes.iter().map(|run| run.outcome));
        (ack.upto >= upto).then_some(())
    })
    .await;
    outcomes
}

/// Reads pushes until `upto`; every seq must follow on the one before.
async fn pushed(wire: &mut Wire, after: u64, upto: u64) -> ConversationId {
    let mut last = after;
    wire.find(|message| {
        let ServerMsg::Push { runs, .. } = message else { return None };
        for run in &runs {
            assert_eq!(run.first_seq, last + 1);
            last = run.last_seq();
        }
        (last >= upto).then(|| runs[0].conversation)
    })
    .await
}

#[tokio::test]
async fn two_people_talk_and_every_repeat_is_answered_alike() {
    let server = start(1).await;
    let (mut alice, _, token) = registered(&server, "alice", 1).await;
    let (mut bob, bob_id, _) = registered(&server, "Bob", 2).await;
    let hello = messages(1, bob_id, vec![Body::text("hello"), Body::text("there")]);
    alice.say(&hello).await;
    let first = acked(&mut alice, 2).await;
    let room = pushed(&mut bob, 0, 2).await;
    alice.say(&hello).await;
    assert_eq!(acked(&mut alice, 2).await, first, "a repeat is the same message");
    // Bob has read it: Alice sees that.
    let mark = MarkEntry { conversation: room, user: None, delivered: 2, read: 2 };
    bob.say(&ClientMsg::Mark(vec![mark])).await;
    let marks = alice.find(|m| if let ServerMsg::Marked(m) = m { Some(m) } else { None }).await;
    assert_eq!(marks, [MarkEntry { user: Some(bob_id), ..mark }]);
    // With her token, on a new connection, which takes the older one's place.
    let mut again = welcomed(&server, 1).await;
    again.say(&ClientMsg::Token { name: "alice".to_owned(), token, signature: Bytes::new() }).await;
    authenticated(&mut again).await;
    assert_eq!(resumed(&mut again).await.sends, [(0, 2)]);
    alice.find(|m| matches!(m, ServerMsg::GoAway { .. }).then_some(())).await;
    assert_eq!(alice.hear().await, None);
    again.say(&hello).await;
    assert_eq!(acked(&mut again, 2).await, first);
    let fetch = Fetch { request: 7, conversation: room, from: 2, to: 9, current: true };
    again.say(&ClientMsg::Fetch(fetch)).await;
    let (request, to, runs) = again
        .find(|message| match message {
            ServerMsg::History { request, to, runs, .. } => Some((request, to, runs)),
            _ => None,
        })
        .await;
    assert_eq!((request, to, runs[0].first_seq, runs.len()), (7, 2, 2, 1));
    server.stop().await;
}

#[tokio::test]
async fn names_passwords_and_lookups_are_judged() {
    let server = start(2).await;
    let (mut alice, alice_id, _) = registered(&server, "alice", 1).await;
    let refused = |m| match m {
        ServerMsg::Refused { refusal, request, .. } => Some((refusal, request)),
        _ => None,
    };
    let mut other = welcomed(&server, 9).await;
    other.say(&ClientMsg::Register(credentials("alice", "x"))).await;
    assert_eq!(other.find(refused).await.0, Refusal::NameTaken);
    other.say(&ClientMsg::Register(credentials("1alice", "x"))).await;
    assert_eq!(other.find(refused).await.0, Refusal::NameInvalid);
    for name in ["alice", "nobody"] {
        other.say(&ClientMsg::Login(credentials(name, "wrong"))).await;
        assert_eq!(other.find(refused).await.0, Refusal::BadCredentials);
    }
    other.say(&ClientMsg::Login(credentials("Alice", "secret"))).await;
    assert_eq!(authenticated(&mut other).await.0, alice_id);
    alice.say(&ClientMsg::Lookup { request: 3, name: "nobody".to_owned() }).await;
    assert_eq!(alice.find(refused).await, (Refusal::NoSuchUser, 3));
    alice.say(&ClientMsg::Lookup { request: 4, name: "alice".to_owned() }).await;
    let found =
        alice.find(|m| if let ServerMsg::Found { user, .. } = m { Some(user) } else { None });
    assert_eq!(found.await, alice_id);
    server.stop().await;
}

#[tokio::test]
async fn a_reader_that_stops_delays_nobody_and_gets_everything_when_it_goes_on() {
    let server = start(3).await;
    let (mut alice, ..) = registered(&server, "alice", 1).await;
    let (mut slow, bob_id, _) = registered(&server, "bob", 2).await;
    let mut fast = welcomed(&server, 3).await;
    fast.say(&ClientMsg::Login(credentials("bob", "secret"))).await;
    authenticated(&mut fast).await;
    resumed(&mut fast).await;
    // Far more than the sockets and the session hold together.
    let (rounds, count) = (60, 20);
    for round in 0..rounds {
        let bodies = vec![Body::text("x".repeat(limits::BODY_BYTES)); count];
        let first = round * count as u64 + 1;
        for (k, body) in bodies.into_iter().enumerate() {
            alice.say(&messages(first + k as u64, bob_id, vec![body])).await;
        }
        acked(&mut alice, first + count as u64 - 1).await;
        pushed(&mut fast, first - 1, first + count as u64 - 1).await;
    }
    pushed(&mut slow, 0, rounds * count as u64).await;
    server.stop().await;
}

#[tokio::test]
async fn strangers_have_short_frames_and_everybody_is_told_of_the_end() {
    let server = start(4).await;
    let (mut alice, ..) = registered(&server, "alice", 1).await;
    let mut stranger = welcomed(&server, 9).await;
    stranger.writer.push(&vec![0; limits::FRAME_BEFORE_LOGIN + 1]);
    stranger.writer.flush_all().await.unwrap();
    let end = timeout(DEADLINE, stranger.reader.next()).await.expect("an end in time");
    assert!(!matches!(end, Ok(Some(_))), "{end:?}");
    let mut asker = Wire::open(&server).await;
    let hello = |purpose| {
        let device = None;
        let (min, max, features) = (1, 1, 0);
        ClientMsg::Hello(Hello {
            min,
            max,
            features,
            purpose,
            device,
            placed: false,
            cluster: None,
            events_after: None,
        })
    };
    asker.say(&hello(Purpose::Status)).await;
    let status = asker.find(|m| if let ServerMsg::Status(s) = m { Some(s) } else { None }).await;
    assert_eq!((status.seat, &status.role[..], status.sessions), (1, "leader", 1));
    asker.say(&hello(Purpose::Where)).await;
    let leads = asker.find(|m| if let ServerMsg::Where(w) = m { Some(w.leader) } else { None });
    assert_eq!(leads.await.map(|leader| leader.seat), Some(1));
    server.stop().await;
    alice.find(|m| matches!(m, ServerMsg::GoAway { .. }).then_some(())).await;
    assert_eq!(alice.hear().await, None);
}

#[tokio::test]
async fn tokens_are_in_no_row() {
    let store: Arc<dyn Store> = Arc::new(Memory::new(1));
    let server = launch(config(6, 1, 1, Arc::clone(&store))).await;
    let (_alice, _, registered_token) = registered(&server, "alice", 1).await;
    let mut other = welcomed(&server, 2).await;
    other.say(&ClientMsg::Login(credentials("alice", "secret"))).await;
    let (_, login_token) = authenticated(&mut other).await;
    assert_eq!((registered_token.len(), login_token.len()), (32, 32));
    let rows = store.load().await.unwrap();
    let rows: Vec<_> = rows.iter().flat_map(|write| stored::rows(1, write)).collect();
    let holds = |bytes: &[u8]| rows.iter().any(|row| row.value.windows(32).any(|w| w == bytes));
    for token in [registered_token, login_token] {
        assert!(holds(blake3::hash(&token).as_bytes()), "its hash is how it is known");
        assert!(!holds(&token));
    }
    server.stop().await;
}
