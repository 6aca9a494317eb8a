//! A client without a library: one connection, frames by hand, so that a
//! scenario decides itself what is sent when, read, or never read.

use super::channel::Channel;
use super::crowd::{Stranger, connect_from};
use crate::support::wait::wait_until;
use bytes::Bytes;
use rustchat::chat::command::Target;
use rustchat::chat::ids::{ClusterId, ConversationId, DeviceId, UserId};
use rustchat::chat::message::Body;
use rustchat::limits;
use rustchat::wire::client::{decode_server, encode_client};
use rustchat::wire::frame::{Decoder, encode_frame};
use rustchat::wire::message::{
    Ack, Challenge, ClientMsg, Credentials, Cursor, Hello, PublicKey, Purpose, Ready, SendRun,
    ServerMsg,
};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// No single answer takes longer than this in a healthy cluster.
const ANSWER: Duration = Duration::from_secs(10);

/// A connection that says only what it is told to say.
pub struct Raw {
    stream: Channel,
    decoder: Decoder,
    /// The device of the connection.
    pub device: DeviceId,
    /// Set once logged in.
    pub user: UserId,
    /// The device's token, after `register` or `login`.
    pub token: Bytes,
    /// The device's public key, sent with a password.
    pub key: Option<PublicKey>,
    /// Sent with a token.
    pub signature: Bytes,
    /// What the server wanted signed, and its cluster.
    pub challenge: (ClusterId, Challenge),
}

impl Raw {
    /// Connects to exactly this server, without discovery or redirect; a server that hears of
    /// the leader last is asked again.
    #[track_caller]
    pub fn connect(address: SocketAddr, device: DeviceId) -> Self {
        wait_until(ANSWER, &format!("{address} says welcome"), || {
            let mut raw = Self::try_open(address, device).ok()?;
            raw.hello(true);
            match raw.receive() {
                ServerMsg::Welcome(welcome) => {
                    raw.challenge = (welcome.cluster, welcome.challenge);
                    Some(raw)
                }
                ServerMsg::GoAway { .. } => None,
                other => panic!("{address} answered the hello with {other:?}"),
            }
        })
    }

    /// Opens the socket and says nothing yet.
    pub fn open(address: SocketAddr, device: DeviceId) -> Self {
        Self::try_open(address, device).unwrap_or_else(|e| panic!("{address}: {e}"))
    }

    fn try_open(address: SocketAddr, device: DeviceId) -> std::io::Result<Self> {
        Self::over(TcpStream::connect(address)?, device)
    }

    /// The same from an address of ours.
    pub fn open_from(source: Ipv4Addr, address: SocketAddr, device: DeviceId) -> Self {
        let stream = connect_from(source, address).unwrap_or_else(|e| panic!("{address}: {e}"));
        Self::over(stream, device).unwrap()
    }

    /// The connection, of which nothing more is read here.
    pub fn into_stranger(self) -> Stranger {
        Stranger::of(self.stream)
    }

    /// The same over a connection that was made already.
    pub fn over(stream: TcpStream, device: DeviceId) -> std::io::Result<Self> {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(ANSWER))?;
        let stream = Channel::over(stream)?;
        let decoder = Decoder::new(limits::FRAME_SERVER);
        Ok(Self {
            stream,
            decoder,
            device,
            user: UserId::default(),
            token: Bytes::new(),
            key: None,
            signature: Bytes::new(),
            challenge: Default::default(),
        })
    }

    /// Says hello; `placed` as after a redirect.
    pub fn hello(&mut self, placed: bool) {
        self.send(&ClientMsg::Hello(Hello {
            min: 1,
            max: 1,
            features: 0,
            purpose: Purpose::Chat,
            device: Some(self.device),
            placed,
            cluster: None,
            events_after: None,
        }));
    }

    /// Registers a new user.
    pub fn register(&mut self, name: &str, password: &str) {
        let (name, password) = (name.to_owned(), password.to_owned());
        self.send(&ClientMsg::Register(Credentials {
            name,
            password,
            key: self.key,
            invite: String::new(),
        }));
        self.authenticated();
    }

    /// Logs in with the password, as a further device.
    pub fn login(&mut self, name: &str, password: &str) {
        let (name, password) = (name.to_owned(), password.to_owned());
        self.send(&ClientMsg::Login(Credentials {
            name,
            password,
            key: self.key,
            invite: String::new(),
        }));
        self.authenticated();
    }

    /// Logs in with the token of an earlier connection of the same device.
    pub fn token_login(&mut self, name: &str, token: Bytes) {
        let (name, signature) = (name.to_owned(), self.signature.clone());
        self.send(&ClientMsg::Token { name, token, signature });
        self.authenticated();
    }

    fn authenticated(&mut self) {
        let (user, token) = self.until("the login", |message| match message {
            ServerMsg::Authenticated { user, token, .. } => Some((user, token)),
            ServerMsg::Refused { refusal, .. } => panic!("the login was refused: {refusal}"),
            _ => None,
        });
        self.user = user;
        if !token.is_empty() {
            self.token = token;
        }
    }

    /// Starts the flow; returns what came before `Ready`, and `Ready`.
    pub fn resume(&mut self, have: Vec<(ConversationId, u64)>) -> (Vec<ServerMsg>, Ready) {
        self.send(&ClientMsg::Resume { cursor: Cursor::default(), have });
        let mut before = Vec::new();
        loop {
            match self.receive() {
                ServerMsg::Ready(ready) => return (before, ready),
                other => before.push(other),
            }
        }
    }

    /// Sends texts under the numbers from `first_number` on.
    pub fn say(&mut self, to: Target, first_number: u64, texts: &[&str]) {
        let bodies = texts.iter().map(|t| Body::text(*t)).collect();
        let runs = vec![SendRun { group: 0, first_number, to, bodies }];
        self.send(&ClientMsg::Send { runs, confirmed: 0 });
    }

    /// The next acknowledgement that covers `number`; anything else is passed over.
    pub fn ack(&mut self, number: u64) -> Ack {
        self.until("an acknowledgement", |message| match message {
            ServerMsg::Ack(ack) if ack.upto >= number => Some(ack),
            _ => None,
        })
    }

    /// Who has this name.
    pub fn lookup(&mut self, name: &str) -> UserId {
        self.send(&ClientMsg::Lookup { request: 77, name: name.to_owned() });
        self.until("the answer to a lookup", |message| match message {
            ServerMsg::Found { user, request: 77, .. } => Some(user),
            _ => None,
        })
    }

    /// Reads until `pick` likes a message.
    pub fn until<T>(&mut self, what: &str, mut pick: impl FnMut(ServerMsg) -> Option<T>) -> T {
        let end = Instant::now() + ANSWER;
        while Instant::now() < end {
            if let Some(found) = pick(self.receive()) {
                return found;
            }
        }
        panic!("{what} did not come within {ANSWER:?}")
    }

    /// Writes one message.
    pub fn send(&mut self, message: &ClientMsg) {
        self.try_send(message).unwrap();
    }

    /// Writes one message, or says why it could not be.
    pub fn try_send(&mut self, message: &ClientMsg) -> std::io::Result<()> {
        self.stream.write_all(&encode_frame(&encode_client(message)))
    }

    /// Reads one message; panics where none comes within 10 s.
    pub fn receive(&mut self) -> ServerMsg {
        self.try_receive().unwrap_or_else(|e| panic!("nothing was received: {e}"))
    }

    /// Reads one message, or says why none came.
    pub fn try_receive(&mut self) -> std::io::Result<ServerMsg> {
        loop {
            if let Some(frame) = self.decoder.next().expect("a valid frame") {
                return Ok(decode_server(frame).expect("a valid message"));
            }
            let mut buffer = [0; 16 * 1024];
            let count = self.stream.read(&mut buffer)?;
            if count == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            self.decoder.feed(&buffer[..count]);
        }
    }
}
