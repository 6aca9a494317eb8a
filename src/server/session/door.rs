//! Up to the login: the hello, the redirect, registration and who the client is.

use super::{Account, Output, Phase, Query, Session, Trouble};
use crate::chat::command::{AddDevice, Command, Register};
use crate::chat::ids::{ClusterId, UserId};
use crate::chat::name::UserName;
use crate::chat::refusal::Refusal;
use crate::limits;
use crate::server::placement::Place;
use crate::server::replica::Replicated;
use crate::wire;
use crate::wire::message::{
    ClientMsg, Credentials, Cursor, Hello, Purpose, ServerAddress, ServerMsg, Welcome,
};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// A registration or login that has no outcome after this time is submitted again.
const RESUBMIT: Duration = Duration::from_secs(1);

/// A try to prove who the client is.
#[derive(Debug)]
pub enum Attempt {
    /// None is under way.
    None,
    /// The client's place is being found out.
    Placing,
    /// A new user's password is being hashed.
    Hashing { name: UserName, password: String },
    /// A known user's password is being compared; `taken` is the answer where it is wrong.
    Verifying { name: UserName, wrong: Refusal },
    /// A token, as its hash, waits for the state to be current.
    Token { name: String, hash: blake3::Hash },
    /// The command is on its way through the log.
    Entering(Box<Entering>),
}

/// A registration or login on its way through the log.
#[derive(Debug)]
pub struct Entering {
    command: Command,
    token: [u8; 32],
    token_hash: [u8; 32],
    name: UserName,
    /// Of a registration: the name may turn out to be the client's own already.
    password: Option<String>,
    /// When it is submitted again.
    again: Instant,
}

impl Session {
    pub(super) fn at_the_door(&mut self, message: ClientMsg, now: Instant) {
        match (&self.phase, message) {
            (Phase::Hello, ClientMsg::Hello(hello)) => self.on_hello(&hello),
            (Phase::Door(Attempt::None), ClientMsg::Register(c)) => self.on_register(c),
            (Phase::Door(Attempt::None), ClientMsg::Login(c)) => self.on_login(c),
            (Phase::Door(Attempt::None), ClientMsg::Token { name, token }) => {
                let hash = blake3::hash(&token);
                self.phase = Phase::Door(Attempt::Token { name, hash });
                self.ask(Query::Barrier);
            }
            (Phase::Entered, ClientMsg::Resume { cursor, have }) => {
                self.on_resume(&cursor, have, now);
            }
            _ => self.reject("this message is not allowed at this point"),
        }
    }

    fn on_hello(&mut self, hello: &Hello) {
        if hello.min > wire::VERSION || hello.max < wire::VERSION {
            let text = format!("this server speaks version {} of the protocol", wire::VERSION);
            let refusal = Refusal::Version;
            return self.end(ServerMsg::Refused { request: 0, refusal, text });
        }
        let identity = self.setup.state.identity();
        if let (Some(wanted), Some((cluster, _))) = (hello.cluster, identity)
            && wanted != cluster
            // Restored from a backup of that one: the welcome says so.
            && !self.setup.state.read(|r| r.state.meta().former.contains(&wanted))
        {
            let text = format!("this is the cluster {} ({cluster})", self.setup.cluster_name);
            let refusal = Refusal::WrongCluster;
            return self.end(ServerMsg::Refused { request: 0, refusal, text });
        }
        match hello.purpose {
            Purpose::Where => self.ask(Query::Where),
            Purpose::Status => self.ask(Query::Status(hello.events_after)),
            Purpose::Link => self.reject("this server has no links to other clusters"),
            Purpose::Chat if hello.device.is_none() => self.reject("the hello names no device"),
            Purpose::Chat if identity.is_none() => self.go_away(&self.waiting_for()),
            Purpose::Chat => {
                self.device = hello.device;
                self.phase = Phase::Door(Attempt::Placing);
                self.ask(Query::Place { placed: hello.placed });
            }
        }
    }

    fn waiting_for(&self) -> String {
        let (live, voters) = (self.cluster.live, self.cluster.voters);
        format!("no leader: {live} of {voters} servers are up")
    }

    pub(super) fn on_place(&mut self, place: Place, address: Option<ServerAddress>) {
        if !matches!(self.phase, Phase::Door(Attempt::Placing)) {
            return;
        }
        match (place, address) {
            (Place::Here, _) => self.welcome(),
            (Place::At(_), Some(address)) => self.end(ServerMsg::Redirect(address)),
            (Place::At(_), None) | (Place::Nowhere, _) => self.go_away(&self.waiting_for()),
        }
    }

    fn welcome(&mut self) {
        let (cluster, generation) = self.setup.state.identity().unwrap_or_default();
        let meta = |r: &Replicated| (r.state.meta().began_ms, r.state.meta().former.clone());
        let (began_ms, former) = self.setup.state.read(meta);
        self.phase = Phase::Door(Attempt::None);
        self.send(ServerMsg::Welcome(Welcome {
            version: wire::VERSION,
            features: 0,
            cluster,
            cluster_name: self.setup.cluster_name.clone(),
            generation,
            seat: self.setup.seat,
            servers: self.setup.servers.clone(),
            state: self.cluster,
            began_ms,
            former,
        }));
    }

    /// Refuses a try; the client may make another one.
    fn turn_down(&mut self, refusal: Refusal, text: impl Into<String>) {
        self.phase = Phase::Door(Attempt::None);
        self.refuse(0, refusal, text);
    }

    fn named(&mut self, credentials: &Credentials) -> Option<UserName> {
        if !(1..=limits::PASSWORD_BYTES).contains(&credentials.password.len()) {
            let text = format!("a password has 1 to {} bytes", limits::PASSWORD_BYTES);
            self.turn_down(Refusal::BadCredentials, text);
            return None;
        }
        match UserName::fold(&credentials.name) {
            Ok(name) => Some(name),
            Err(error) => {
                self.turn_down(Refusal::NameInvalid, error.to_string());
                None
            }
        }
    }

    fn on_register(&mut self, credentials: Credentials) {
        let Some(name) = self.named(&credentials) else { return };
        let password = credentials.password;
        match self.setup.state.read(|r| r.state.user_named(&name).map(|user| user.id)) {
            None => {
                self.ask(Query::Hash(password.clone()));
                self.phase = Phase::Door(Attempt::Hashing { name, password });
            }
            Some(owner) => self.on_name_taken(name, owner, password),
        }
    }

    /// A registration whose answer was lost finds its own name taken: then it is a login.
    fn on_name_taken(&mut self, name: UserName, owner: UserId, password: String) {
        let device = self.device.unwrap_or_default();
        let own =
            self.setup.state.read(|r| r.state.device(device).is_some_and(|d| d.row.user == owner));
        if own {
            self.ask(Query::Verify { name: name.clone(), password });
            self.phase = Phase::Door(Attempt::Verifying { name, wrong: Refusal::NameTaken });
        } else {
            self.turn_down(Refusal::NameTaken, "");
        }
    }

    fn on_login(&mut self, credentials: Credentials) {
        let Some(name) = self.named(&credentials) else { return };
        self.ask(Query::Verify { name: name.clone(), password: credentials.password });
        self.phase = Phase::Door(Attempt::Verifying { name, wrong: Refusal::BadCredentials });
    }

    /// The try cannot be decided now.
    fn put_off(&mut self, trouble: Trouble) {
        self.phase = Phase::Door(Attempt::None);
        match trouble {
            Trouble::Busy(retry_after_ms) => self.send(ServerMsg::Busy { retry_after_ms }),
            Trouble::NoQuorum => self.go_away(&self.waiting_for()),
            Trouble::Failed => self.go_away("this server cannot serve now"),
        }
    }

    pub(super) fn on_hashed(&mut self, result: Result<(String, [u8; 32]), Trouble>, now: Instant) {
        let Phase::Door(attempt) = &mut self.phase else { return };
        let Attempt::Hashing { name, password } = std::mem::replace(attempt, Attempt::None) else {
            return;
        };
        match result {
            Err(trouble) => self.put_off(trouble),
            Ok((password_hash, token)) => {
                let command = Command::Register(Register {
                    name: name.as_str().to_owned(),
                    password_hash,
                    device: self.device.unwrap_or_default(),
                    token_hash: *blake3::hash(&token).as_bytes(),
                    device_key: Bytes::new(),
                });
                self.propose(command, token, name, Some(password), now);
            }
        }
    }

    pub(super) fn on_verified(
        &mut self,
        result: Result<Option<(UserId, [u8; 32])>, Trouble>,
        now: Instant,
    ) {
        let Phase::Door(attempt) = &mut self.phase else { return };
        let Attempt::Verifying { name, wrong } = std::mem::replace(attempt, Attempt::None) else {
            return;
        };
        match result {
            Err(trouble) => self.put_off(trouble),
            Ok(None) => self.turn_down(wrong, ""),
            Ok(Some((user, token))) => {
                let command = Command::AddDevice(AddDevice {
                    user,
                    device: self.device.unwrap_or_default(),
                    token_hash: *blake3::hash(&token).as_bytes(),
                    device_key: Bytes::new(),
                });
                self.propose(command, token, name, None, now);
            }
        }
    }

    fn propose(
        &mut self,
        command: Command,
        token: [u8; 32],
        name: UserName,
        password: Option<String>,
        now: Instant,
    ) {
        let token_hash = *blake3::hash(&token).as_bytes();
        self.out.push(Output::Await(token_hash));
        self.out.push(Output::Submit(command.clone()));
        let entering =
            Entering { command, token, token_hash, name, password, again: now + RESUBMIT };
        self.phase = Phase::Door(Attempt::Entering(Box::new(entering)));
    }

    fn entering(&mut self) -> Option<&mut Entering> {
        match &mut self.phase {
            Phase::Door(Attempt::Entering(entering)) => Some(entering),
            _ => None,
        }
    }

    /// Submits a registration or login again that may have been lost.
    pub(super) fn submit_entry(&mut self, now: Instant) {
        let Some(entering) = self.entering() else { return };
        if now >= entering.again {
            entering.again = now + RESUBMIT;
            let command = entering.command.clone();
            self.out.push(Output::Submit(command));
        }
    }

    /// Raft did not take the registration or login.
    pub(super) fn submit_entry_at(&mut self, at: Instant) {
        if let Some(entering) = self.entering() {
            entering.again = at;
        }
    }

    pub(super) fn entry_tick(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Door(Attempt::Entering(entering)) => Some(entering.again),
            _ => None,
        }
    }

    /// Where the event was lost, the state shows that the device is ready.
    pub(super) fn look_for_entry(&mut self) {
        let device = self.device.unwrap_or_default();
        let Some(entering) = self.entering() else { return };
        let wanted = entering.token_hash;
        let owner = self.setup.state.read(|r| {
            r.state.device(device).filter(|d| d.row.token_hash == wanted).map(|d| d.row.user)
        });
        if let Some(user) = owner {
            self.on_ready(wanted, user);
        }
    }

    pub(super) fn on_ready(&mut self, token_hash: [u8; 32], user: UserId) {
        let Some(entering) = self.entering().filter(|e| e.token_hash == token_hash) else { return };
        let token = Bytes::copy_from_slice(&entering.token);
        let name = entering.name.as_str().to_owned();
        self.enter(user, name, token);
    }

    pub(super) fn on_device_refused(&mut self, token_hash: [u8; 32], refusal: Refusal) {
        let Some(entering) = self.entering().filter(|e| e.token_hash == token_hash) else { return };
        let (name, password) = (entering.name.clone(), entering.password.take());
        let owner = self.setup.state.read(|r| r.state.user_named(&name).map(|user| user.id));
        match (refusal, owner, password) {
            (Refusal::NameTaken, Some(owner), Some(password)) => {
                self.on_name_taken(name, owner, password);
            }
            _ => self.turn_down(refusal, ""),
        }
    }

    pub(super) fn on_barrier(&mut self, result: Result<(), Trouble>) {
        let Phase::Door(attempt) = &mut self.phase else { return };
        let Attempt::Token { name, hash } = std::mem::replace(attempt, Attempt::None) else {
            return;
        };
        if let Err(trouble) = result {
            return self.put_off(trouble);
        }
        let device = self.device.unwrap_or_default();
        let known = self.setup.state.read(|r| {
            let row = &r.state.device(device)?.row;
            let owner = r.state.user(row.user)?.name.as_str().to_owned();
            Some((row.user, owner, blake3::Hash::from_bytes(row.token_hash)))
        });
        match known {
            None => self.turn_down(Refusal::UnknownDevice, ""),
            // `blake3::Hash` compares in constant time.
            Some((user, owner, token)) if token == hash && owner == name => {
                self.enter(user, owner, Bytes::new());
            }
            Some(_) => self.turn_down(Refusal::BadCredentials, "the device's token is not valid"),
        }
    }

    fn enter(&mut self, user: UserId, name: String, token: Bytes) {
        let device = self.device.unwrap_or_default();
        self.account = Some(Account { user, device });
        self.phase = Phase::Entered;
        self.out.push(Output::Join { user, device });
        self.send(ServerMsg::Authenticated { user, name, token });
    }

    fn on_resume(
        &mut self,
        cursor: &Cursor,
        have: Vec<(crate::chat::ids::ConversationId, u64)>,
        now: Instant,
    ) {
        self.deadline = now + limits::LOGIN_TIME;
        let fresh = cursor.cluster == ClusterId::default();
        let ours = self.setup.state.identity() == Some((cursor.cluster, cursor.generation));
        // What a client has of another cluster or of a state before a restore means nothing here.
        let have = if ours { have } else { Vec::new() };
        let seen = cursor.positions.iter().filter(|p| p.group == 0).map(|p| p.index).max();
        let seen = seen.filter(|_| ours && !fresh).unwrap_or(0);
        let behind = self.setup.state.read(|r| r.applied < seen);
        self.phase = Phase::Waiting { have };
        if behind {
            self.ask(Query::Applied(seen));
        } else {
            self.start();
        }
    }
}
