//! Up to the login: the hello, the redirect, registration and who the client is.

use super::proof;
use super::{Account, Other, Output, Phase, Proven, Query, Session, Trouble};
use crate::chat::command::{AddDevice, Attach, Command, Register};
use crate::chat::ids::{ClusterId, LoginId, UserId};
use crate::chat::name::UserName;
use crate::chat::refusal::Refusal;
use crate::limits;
use crate::server::replica::Replicated;
use crate::wire::message::{
    Challenge, ClientMsg, Credentials, Cursor, Hello, PublicKey, Purpose, ServerMsg, Welcome,
};
use crate::wire::proof::login;
use crate::wire::{self, invitation};
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
    /// The same of a guest's.
    Receiving,
    /// A registration that this server would refuse waits for the state to be current.
    Registering { name: UserName, credentials: Credentials },
    /// A new user's password is being hashed.
    Hashing { name: UserName, credentials: Credentials },
    /// A known user's password is being compared; `taken` is the answer where it is wrong.
    Verifying { name: UserName, key: Option<PublicKey>, wrong: Refusal },
    /// A token that this server does not know, as its hash, waits for the state to be current.
    Token(Shown),
    /// The command is on its way through the log.
    Entering(Box<Entering>),
}

/// What a device without a password shows.
#[derive(Debug)]
pub struct Shown {
    /// The user's name.
    name: String,
    /// Of its token.
    hash: blake3::Hash,
    /// By its key, if it has one.
    signature: Bytes,
}

/// A registration or login on its way through the log.
#[derive(Debug)]
pub struct Entering {
    command: Command,
    session: LoginId,
    /// The device's new one; none after a login with a token.
    token: Bytes,
    name: UserName,
    /// Of a registration: the name may turn out to be the client's own already.
    credentials: Option<Credentials>,
    /// When it is submitted again.
    again: Instant,
}

impl Session {
    pub(super) fn at_the_door(&mut self, message: ClientMsg, now: Instant) {
        match (&self.phase, message) {
            (Phase::Hello, ClientMsg::Hello(hello)) => self.on_hello(&hello),
            (_, ClientMsg::Register(_) | ClientMsg::Login(_)) if self.carried.is_some() => {
                self.reject("by way of another cluster only a device's token opens");
            }
            (Phase::Door(Attempt::None), ClientMsg::Register(c)) => self.on_register(c),
            (Phase::Door(Attempt::None), ClientMsg::Login(c)) => self.on_login(c),
            (Phase::Door(Attempt::None), ClientMsg::Token { name, token, signature }) => {
                self.on_token(Shown { name, hash: blake3::hash(&token), signature }, now);
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
            && hello.purpose != Purpose::Visit
            // Restored from a backup of that one: the welcome says so.
            && !self.setup.state.read(|r| r.state.meta().former.contains(&wanted))
        {
            let text = format!("this is the cluster {} ({cluster})", self.setup.cluster_name);
            let refusal = Refusal::WrongCluster;
            return self.end(ServerMsg::Refused { request: 0, refusal, text });
        }
        match hello.purpose {
            purpose if self.carried.is_some() && purpose != Purpose::Chat => {
                self.reject("by way of another cluster one only chats");
            }
            Purpose::Where => self.ask(Query::Where),
            Purpose::Status => self.ask(Query::Status(hello.events_after)),
            Purpose::Link | Purpose::Visit if identity.is_none() => {
                self.go_away(&self.waiting_for());
            }
            Purpose::Link => self.hand_over(Other::Cluster),
            Purpose::Visit => {
                self.phase = Phase::Door(Attempt::Receiving);
                self.ask(Query::Place { placed: hello.placed });
            }
            Purpose::Chat if hello.device.is_none() => self.reject("the hello names no device"),
            Purpose::Chat if identity.is_none() => self.go_away(&self.waiting_for()),
            Purpose::Chat => {
                self.device = hello.device;
                self.phase = Phase::Door(Attempt::Placing);
                let placed = hello.placed || self.carried.is_some();
                self.ask(Query::Place { placed });
            }
        }
    }

    pub(super) fn waiting_for(&self) -> String {
        let (live, voters) = (self.cluster.live, self.cluster.voters);
        format!("no leader: {live} of {voters} servers are up")
    }

    pub(super) fn welcome(&mut self) {
        let (cluster, generation) = self.setup.state.identity().unwrap_or_default();
        let meta = |r: &Replicated| (r.state.meta().began_ms, r.state.meta().former.clone());
        let (began_ms, former) = self.setup.state.read(meta);
        self.phase = Phase::Door(Attempt::None);
        self.send(ServerMsg::Welcome(Welcome {
            version: wire::VERSION,
            features: self.setup.features,
            cluster,
            cluster_name: self.setup.cluster_name.clone(),
            generation,
            seat: self.setup.seat,
            servers: self.setup.servers.clone(),
            state: self.cluster,
            began_ms,
            former,
            challenge: self.challenge(),
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
        match self.setup.state.read(|r| r.state.user_named(&name).map(|user| user.id)) {
            None if self.may_register(&credentials).is_ok() => self.hash(name, credentials),
            None => {
                self.phase = Phase::Door(Attempt::Registering { name, credentials });
                self.ask(Query::Barrier);
            }
            Some(owner) => self.on_name_taken(name, owner, credentials),
        }
    }

    /// Nobody who cannot come in makes the server hash.
    fn may_register(&self, credentials: &Credentials) -> Result<(), Refusal> {
        let invite = invite_hash(&credentials.invite);
        self.setup.state.read(|r| r.state.may_register(invite))
    }

    fn hash(&mut self, name: UserName, credentials: Credentials) {
        self.ask(Query::Hash(credentials.password.clone()));
        self.phase = Phase::Door(Attempt::Hashing { name, credentials });
    }

    fn on_current(&mut self, name: UserName, credentials: Credentials) {
        match self.setup.state.read(|r| r.state.user_named(&name).map(|user| user.id)) {
            Some(owner) => self.on_name_taken(name, owner, credentials),
            None => match self.may_register(&credentials) {
                Ok(()) => self.hash(name, credentials),
                Err(refusal) => self.turn_down(refusal, ""),
            },
        }
    }

    /// A registration whose answer was lost finds its own name taken: then it is a login.
    fn on_name_taken(&mut self, name: UserName, owner: UserId, credentials: Credentials) {
        let device = self.device.unwrap_or_default();
        let own =
            self.setup.state.read(|r| r.state.device(device).is_some_and(|d| d.row.user == owner));
        if own {
            self.verify(name, credentials, Refusal::NameTaken);
        } else {
            self.turn_down(Refusal::NameTaken, "");
        }
    }

    fn on_login(&mut self, credentials: Credentials) {
        let Some(name) = self.named(&credentials) else { return };
        self.verify(name, credentials, Refusal::BadCredentials);
    }

    fn verify(&mut self, name: UserName, credentials: Credentials, wrong: Refusal) {
        let Credentials { password, key, .. } = credentials;
        self.ask(Query::Verify { name: name.clone(), password });
        self.phase = Phase::Door(Attempt::Verifying { name, key, wrong });
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
        let Attempt::Hashing { name, credentials } = std::mem::replace(attempt, Attempt::None)
        else {
            return;
        };
        match result {
            Err(trouble) => self.put_off(trouble),
            Ok((password_hash, token)) => {
                let session = LoginId(self.unique());
                let command = Command::Register(Register {
                    name: name.as_str().to_owned(),
                    password_hash,
                    device: self.device.unwrap_or_default(),
                    token_hash: *blake3::hash(&token).as_bytes(),
                    device_key: key_bytes(credentials.key),
                    session,
                    invite: invite_hash(&credentials.invite),
                });
                let (token, credentials) = (Bytes::copy_from_slice(&token), Some(credentials));
                let again = now + RESUBMIT;
                self.propose(Entering { command, session, token, name, credentials, again });
            }
        }
    }

    pub(super) fn on_verified(&mut self, result: Result<Option<Proven>, Trouble>, now: Instant) {
        let Phase::Door(attempt) = &mut self.phase else { return };
        let Attempt::Verifying { name, key, wrong } = std::mem::replace(attempt, Attempt::None)
        else {
            return;
        };
        match result {
            Err(trouble) => self.put_off(trouble),
            Ok(None) => self.turn_down(wrong, ""),
            Ok(Some(Proven { user, passwords, token })) => {
                let session = LoginId(self.unique());
                let command = Command::AddDevice(AddDevice {
                    user,
                    device: self.device.unwrap_or_default(),
                    token_hash: *blake3::hash(&token).as_bytes(),
                    device_key: key_bytes(key),
                    session,
                    after: self.epoch(),
                    passwords,
                });
                let (token, credentials) = (Bytes::copy_from_slice(&token), None);
                let again = now + RESUBMIT;
                self.propose(Entering { command, session, token, name, credentials, again });
            }
        }
    }

    /// The device's epoch, as far as this server knows.
    fn epoch(&self) -> u64 {
        let device = self.device.unwrap_or_default();
        self.setup.state.read(|r| r.state.device(device).map_or(0, |known| known.row.epoch))
    }

    fn propose(&mut self, entering: Entering) {
        self.out.push(Output::Arrive(self.device.unwrap_or_default()));
        self.out.push(Output::Submit(entering.command.clone()));
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
        let session = entering.session;
        let found = self.setup.state.read(|r| {
            let row = &r.state.device(device).filter(|d| d.row.session == session)?.row;
            Some((row.user, row.epoch))
        });
        if let Some((user, epoch)) = found {
            self.on_attached(session, user, epoch);
        }
    }

    pub(super) fn on_attached(&mut self, session: LoginId, user: UserId, epoch: u64) {
        let Some(entering) = self.entering().filter(|e| e.session == session) else { return };
        let (token, name) = (entering.token.clone(), entering.name.as_str().to_owned());
        let device = self.device.unwrap_or_default();
        self.account = Some(Account { user, device, epoch });
        self.phase = Phase::Entered;
        self.out.push(Output::Join { user, device, epoch });
        self.send(ServerMsg::Authenticated { user, name, token });
    }

    pub(super) fn on_device_refused(&mut self, session: LoginId, refusal: Refusal) {
        let Some(entering) = self.entering().filter(|e| e.session == session) else { return };
        if refusal == Refusal::Overtaken {
            // Whoever still wants in asks again: a client that has gone elsewhere does not.
            return self.go_away("another login of this device came first");
        }
        let (name, credentials) = (entering.name.clone(), entering.credentials.take());
        let owner = self.setup.state.read(|r| r.state.user_named(&name).map(|user| user.id));
        match (refusal, owner, credentials) {
            (Refusal::NameTaken, Some(owner), Some(credentials)) => {
                self.on_name_taken(name, owner, credentials);
            }
            _ => self.turn_down(refusal, ""),
        }
    }

    /// A token that this server knows goes to the log at once: apply has the last word. One that
    /// it does not know may be newer than its state.
    fn on_token(&mut self, shown: Shown, now: Instant) {
        match self.judge(&shown) {
            Ok(name) => self.attach(name, shown.hash, now),
            Err(_) => {
                self.phase = Phase::Door(Attempt::Token(shown));
                self.ask(Query::Barrier);
            }
        }
    }

    pub(super) fn on_barrier(&mut self, result: Result<(), Trouble>, now: Instant) {
        let Phase::Door(attempt) = &mut self.phase else { return };
        let attempt = std::mem::replace(attempt, Attempt::None);
        let shown = match (attempt, result) {
            (Attempt::Token(_) | Attempt::Registering { .. }, Err(trouble)) => {
                return self.put_off(trouble);
            }
            (Attempt::Registering { name, credentials }, Ok(())) => {
                return self.on_current(name, credentials);
            }
            (Attempt::Token(shown), Ok(())) => shown,
            _ => return,
        };
        match self.judge(&shown) {
            Ok(name) => self.attach(name, shown.hash, now),
            Err(refusal @ Refusal::UnknownDevice) => self.turn_down(refusal, ""),
            Err(refusal) => self.turn_down(refusal, "the device's token is not valid"),
        }
    }

    /// Whose token it is, as far as this server knows.
    fn judge(&self, shown: &Shown) -> Result<UserName, Refusal> {
        let device = self.device.unwrap_or_default();
        let challenge = self.challenge();
        self.setup.state.read(|r| {
            let row = &r.state.device(device).ok_or(Refusal::UnknownDevice)?.row;
            // Whom another cluster carries it carries for one user, by the key that it was shown.
            let meant = self.carried.is_none_or(|user| user == row.user && !row.key.is_empty());
            if row.revoked || !meant {
                return Err(Refusal::UnknownDevice);
            }
            let owner = &r.state.user(row.user).ok_or(Refusal::UnknownDevice)?.name;
            // `blake3::Hash` compares in constant time.
            let right = blake3::Hash::from_bytes(row.token_hash) == shown.hash;
            let text = login(r.state.meta().cluster, device, &challenge);
            let proven = right
                && owner.as_str() == shown.name
                && proof::is_by(&row.key, &text, &shown.signature);
            proven.then(|| owner.clone()).ok_or(Refusal::BadCredentials)
        })
    }

    /// What this connection's client has to sign.
    pub(super) fn challenge(&self) -> Challenge {
        *blake3::keyed_hash(&self.seed, b"challenge").as_bytes()
    }

    fn attach(&mut self, name: UserName, hash: blake3::Hash, now: Instant) {
        let session = LoginId(self.unique());
        let command = Command::Attach(Attach {
            device: self.device.unwrap_or_default(),
            token_hash: *hash.as_bytes(),
            session,
            after: self.epoch(),
        });
        let (token, credentials, again) = (Bytes::new(), None, now + RESUBMIT);
        self.propose(Entering { command, session, token, name, credentials, again });
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

fn key_bytes(key: Option<PublicKey>) -> Bytes {
    key.map(|key| Bytes::copy_from_slice(&key)).unwrap_or_default()
}

fn invite_hash(code: &str) -> Option<[u8; 32]> {
    (!code.is_empty()).then(|| invitation::hash(code))
}
