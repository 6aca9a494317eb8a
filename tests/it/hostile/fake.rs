//! A server that speaks the protocol and means ill: every text that it can say is one that tries
//! something. It keeps no state and knows no consensus.

use crate::harness::program;
use crate::support::hostile::{attacks, texts};
use bytes::Bytes;
use rustchat::chat::ids::{ClusterId, ConversationId, DeviceId, UserId};
use rustchat::chat::message::{Body, KIND_TEXT, Run};
use rustchat::chat::refusal::Refusal;
use rustchat::chat::write::Kind;
use rustchat::limits;
use rustchat::wire::client::{decode_client, encode_server};
use rustchat::wire::frame::{Decoder, encode_frame};
use rustchat::wire::message::{
    ChangePassword, ClientMsg, ClusterState, ConversationInfo, Cursor, Member, Purpose, Ready,
    ServerAddress, ServerMsg, Status, Welcome, Where,
};
use rustchat::wire::statement::{Elections, Event, LastLeader, MemberView, PeerView};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// A client that says nothing for so long is given up.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of a text in a statement, so that all of them fit into one.
const LONGEST: usize = 300;
/// It has no keys: whoever asks it says that none are needed.
pub const PLAIN: &str = "--insecure-plain";
/// A bit of everything, in one text.
pub const POISON: &str = "\x1b]52;c;ZXZpbA==\x07\x1b]0;owned\x07\x1b[2J\u{9b}31m\u{202e}\r\nrustchat: \
                          all is well\x08\u{2028}\u{e0041}\u{200b}\x7f\0\tend";

/// What it does with those who come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Lets everybody in and shows them what it has.
    Open,
    /// The same, and knows of no other server.
    Alone,
    /// Lets nobody in.
    GoAway,
    /// Answers questions about itself with a refusal.
    Refuse,
    /// Says that somebody leads whose address is no address.
    Elsewhere,
    /// Sends everybody who comes to such an address.
    Redirect,
}

/// The server.
pub struct Fake {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Fake {
    /// Begins to listen on this machine.
    pub fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let ends = Arc::clone(&stop);
        let accepting = std::thread::spawn(move || {
            let mut serving = Vec::new();
            for stream in listener.incoming().map_while(Result::ok) {
                if ends.load(Ordering::SeqCst) {
                    break;
                }
                // A client that breaks off is no mistake of ours.
                serving.push(std::thread::spawn(move || drop(serve(stream, manner, address))));
            }
            serving.into_iter().for_each(|one| one.join().unwrap());
        });
        Self { address, stop, accepting: Some(accepting) }
    }

    /// The words by which `rustchat chat` comes here, as alice.
    pub fn chat(&self, home: &Path) -> Vec<String> {
        let password = home.join("password");
        std::fs::write(&password, "the password of alice\n").unwrap();
        let mut words = ["chat", "--user", "alice", "--register"].map(str::to_owned).to_vec();
        words.extend(["--password-file".to_owned(), password.to_str().unwrap().to_owned()]);
        words.extend(["--server".to_owned(), self.address.to_string()]);
        words.push(PLAIN.to_owned());
        words
    }

    /// The words by which the other commands ask here.
    pub fn asked(&self, words: &[&str]) -> Vec<String> {
        let mut all: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        all.extend(["--node".to_owned(), self.address.to_string(), PLAIN.to_owned()]);
        all
    }
}

/// `rustchat` with these words.
pub fn rustchat(home: &Path, words: &[String]) -> Command {
    let mut command = program(home);
    command.args(words);
    command
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes it up.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            drop(accepting.join());
        }
    }
}

fn serve(mut stream: TcpStream, manner: Manner, own: SocketAddr) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut decoder = Decoder::new(limits::FRAME_SERVER);
    let mut buffer = [0; 16 * 1024];
    loop {
        while let Some(frame) = decoder.next().map_err(std::io::Error::other)? {
            let message = decode_client(frame).map_err(std::io::Error::other)?;
            for answer in answers(&message, manner, own) {
                stream.write_all(&encode_frame(&encode_server(&answer)))?;
            }
        }
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            count => decoder.feed(&buffer[..count]),
        }
    }
}

fn answers(message: &ClientMsg, manner: Manner, own: SocketAddr) -> Vec<ServerMsg> {
    match message {
        ClientMsg::Hello(hello) => match (hello.purpose, manner) {
            (Purpose::Status, Manner::GoAway) => vec![go_away()],
            (Purpose::Status, Manner::Refuse) => vec![refused(0, Refusal::Protocol)],
            (Purpose::Status, _) => {
                let mut status = status(own);
                status.members.truncate(if manner == Manner::Alone { 1 } else { usize::MAX });
                vec![ServerMsg::Status(Box::new(status))]
            }
            (Purpose::Where, Manner::Refuse) => vec![refused(0, Refusal::Overloaded)],
            (Purpose::Where, _) => vec![ServerMsg::Where(whereabouts(manner, own))],
            (_, Manner::GoAway) => vec![go_away()],
            (_, Manner::Redirect) => vec![ServerMsg::Redirect(server(2, POISON, 7101))],
            (_, _) => vec![ServerMsg::Welcome(welcome(own))],
        },
        ClientMsg::Register(_) | ClientMsg::Login(_) | ClientMsg::Token { .. } => {
            let token = Bytes::from_static(&[7; 32]);
            vec![ServerMsg::Authenticated { user: user(1), name: POISON.to_owned(), token }]
        }
        ClientMsg::Resume { .. } => flow(),
        ClientMsg::Lookup { request, .. }
        | ClientMsg::Devices { request }
        | ClientMsg::Revoke { request, .. }
        | ClientMsg::Certify { request }
        | ClientMsg::ChangePassword(ChangePassword { request, .. }) => {
            vec![refused(*request, Refusal::NoSuchUser)]
        }
        ClientMsg::Fetch(fetch) => {
            let run = |seq: u64| Run { first_seq: seq, ..messages()[seq as usize - 1].clone() };
            vec![ServerMsg::History {
                request: fetch.request,
                conversation: fetch.conversation,
                from: fetch.from,
                to: fetch.to,
                runs: (fetch.from..=fetch.to).map(run).collect(),
            }]
        }
        ClientMsg::Ping(token) => vec![ServerMsg::Pong(*token)],
        ClientMsg::Send { .. } | ClientMsg::Mark(_) | ClientMsg::Visit { .. } => Vec::new(),
    }
}

/// What follows the login: conversations, then a message for each thing that can be tried.
fn flow() -> Vec<ServerMsg> {
    let runs = messages();
    let last_seq = runs.len() as u64;
    let member = |number: u64, name: &str| Member {
        user: user(number),
        name: name.to_owned(),
        delivered: 0,
        read: 0,
    };
    let talk = |n: u64, kind, members: Vec<Member>, last_seq| ConversationInfo {
        id: ConversationId::new(0, n),
        kind,
        members,
        last_seq,
        title: POISON.to_owned(),
    };
    let both = vec![member(1, "alice"), member(2, POISON)];
    vec![
        ServerMsg::Conversations(vec![
            talk(1, Kind::Direct, both, last_seq),
            talk(2, Kind::Room, vec![member(1, "alice"), member(3, POISON)], 0),
        ]),
        ServerMsg::Ready(Ready {
            sends: vec![(0, 0)],
            window: 64,
            window_bytes: 1 << 20,
            cursor: Cursor { cluster: CLUSTER, generation: 1, positions: Vec::new() },
        }),
        ServerMsg::Push { runs, index: 9 },
        ServerMsg::Cluster(state()),
    ]
}

/// One message for each attack, all of one sender in one conversation.
pub fn messages() -> Vec<Run> {
    let run = |(seq, attack): (u64, crate::support::hostile::Attack)| Run {
        conversation: ConversationId::new(0, 1),
        first_seq: seq,
        at_ms: 1_795_442_520_000,
        sender: user(2),
        origin: CLUSTER,
        device: DeviceId([9; 16]),
        group: 0,
        first_number: seq,
        bodies: vec![Body { kind: KIND_TEXT, data: attack.bytes.into(), refers_to: None }],
    };
    (1..).zip(attacks()).map(run).collect()
}

const CLUSTER: ClusterId = ClusterId([5; 16]);

fn user(number: u64) -> UserId {
    UserId { cluster: CLUSTER, number }
}

fn server(seat: u32, host: &str, client: u16) -> ServerAddress {
    ServerAddress { seat, host: host.to_owned(), client, peer: 0 }
}

fn state() -> ClusterState {
    ClusterState { leader: Some(1), term: 3, live: 1, voters: 1 }
}

fn go_away() -> ServerMsg {
    ServerMsg::GoAway { retry_after_ms: 60_000, text: POISON.to_owned() }
}

fn refused(request: u32, refusal: Refusal) -> ServerMsg {
    ServerMsg::Refused { request, refusal, text: POISON.to_owned() }
}

fn welcome(own: SocketAddr) -> Welcome {
    Welcome {
        version: 1,
        cluster: CLUSTER,
        cluster_name: POISON.to_owned(),
        generation: 1,
        seat: 1,
        servers: vec![server(1, &own.ip().to_string(), own.port()), server(2, POISON, 7101)],
        state: state(),
        ..Welcome::default()
    }
}

fn whereabouts(manner: Manner, own: SocketAddr) -> Where {
    let leader = match manner {
        Manner::Elsewhere => server(2, POISON, 7101),
        _ => server(1, &own.ip().to_string(), own.port()),
    };
    Where {
        cluster: CLUSTER,
        cluster_name: POISON.to_owned(),
        leader: Some(leader),
        servers: vec![server(2, POISON, 7101)],
        term: 3,
        generation: 1,
    }
}

/// All that can be tried, and short enough.
fn short() -> impl Iterator<Item = String> {
    let cut = |(_, text): (_, String)| text[..text.floor_char_boundary(LONGEST)].to_owned();
    texts().into_iter().map(cut)
}

/// A statement with all of it in every place.
fn status(own: SocketAddr) -> Status {
    let kinds = ["started", "member", "storage", "lost_leader", "new_leader", "prevote", "vote"];
    let more = ["elected", "timeout", "transfer", "drain", POISON];
    let kinds = kinds.into_iter().chain(more).cycle();
    let now_ms = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let now_ms = u64::try_from(now_ms.as_millis()).unwrap();
    let event = |(id, (text, kind)): (u64, (String, &str))| Event {
        id,
        at_ms: now_ms - 60_000 + id,
        seat: 1,
        term: 3,
        kind: kind.to_owned(),
        peer: Some(2),
        granted: Some(id % 2 == 0),
        cause: text.clone(),
        took_ms: Some(12),
        text,
    };
    let own_address = server(1, &own.ip().to_string(), own.port());
    let member = |(n, host): (u32, String)| MemberView {
        raft_id: u64::from(n),
        server: server(n, &host, 7101),
        voter: true,
        held: n % 2 == 0,
    };
    let peer = |(n, refusal): (u32, String)| PeerView { seat: n, refusal, ..PeerView::default() };
    let last = LastLeader { seat: 2, term: 2, lost_at_ms: now_ms, cause: POISON.to_owned() };
    Status {
        seat: 1,
        role: format!("leader{POISON}"),
        term: 3,
        cluster: CLUSTER,
        cluster_name: POISON.to_owned(),
        generation: 1,
        servers: vec![own_address],
        voters: 1,
        live: 1,
        store: POISON.to_owned(),
        version: POISON.to_owned(),
        raft_id: 1,
        ready: Some(false),
        reasons: vec!["storage_unavailable".to_owned(), POISON.to_owned()],
        why: POISON.to_owned(),
        now_ms,
        peers: (2..).zip(short()).map(peer).collect(),
        members: (1..).zip(short()).map(member).collect(),
        elections: Elections { last_leader: Some(last), ..Elections::default() },
        events: (1..).zip(short().zip(kinds)).map(event).collect(),
        build: POISON.to_owned(),
        ..Status::default()
    }
}
