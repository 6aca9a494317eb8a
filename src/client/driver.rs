//! The task around the session: carries bytes, time, files and events. It decides
//! when to connect; what to say is decided in the session.

use super::backoff::Backoff;
use super::device::Known;
use super::dial::Conn;
use super::find::{Lost, Seeker, address};
use super::handle::{Asked, Shared};
use super::link::{Link, Step};
use super::next::Next;
use super::pump::Events;
use super::requests::Answer;
use super::security::Security;
use super::session::{self, Identity, Output, Session};
use super::{ClientConfig, ClientError, ClientEvent, Connection};
use crate::tls::{Changed, Fingerprint};
use crate::wire::client::{decode_server, encode_client};
use crate::wire::conn::ConnError;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

mod again;
mod visits;

/// Frames taken from what has arrived before anything else gets its turn.
const FRAMES_AT_ONCE: usize = 32;
/// The outbox is synced this long after something was written.
const SYNC_AFTER: Duration = Duration::from_millis(100);
/// At the end, what is written for the server has this long to leave.
const GOODBYE: Duration = Duration::from_millis(500);

/// The state of a running client.
pub struct Driver {
    shared: Arc<Shared>,
    session: Session,
    seeker: Seeker,
    /// Where to remember the cluster: the state directory and the user.
    memory: Option<(PathBuf, String)>,
    link: Link,
    /// Whom the server must prove to be.
    security: Security,
    /// The key of the cluster that the connection leads to.
    authority: Option<Fingerprint>,
    /// The connection leads to another cluster, which shall carry it on.
    visiting: bool,
    events: Events,
    questions: mpsc::Receiver<Asked>,
    replies: BTreeMap<u64, oneshot::Sender<Result<Answer, ClientError>>>,
    asked: u64,
    backoff: Backoff,
    /// Where to go without asking.
    next: Next,
    begin: Instant,
    sync_at: Option<Instant>,
    syncing: Option<JoinHandle<io::Result<()>>>,
}

impl Driver {
    /// A client that does not run yet.
    pub fn new(
        config: ClientConfig,
        shared: Arc<Shared>,
        seeker: Seeker,
        events: mpsc::Sender<ClientEvent>,
        questions: mpsc::Receiver<Asked>,
    ) -> Self {
        let user = config.account.name.clone();
        let device = shared.device();
        let identity = Identity {
            account: config.account,
            device: device.id,
            token: device.token.clone(),
            key: device.key.clone(),
            cluster: device.cluster,
            generation: device.generation,
            done: shared.outbox().done(),
            had: device.have.clone(),
        };
        drop(device);
        Self {
            session: Session::new(identity),
            shared,
            security: seeker.finding.security,
            authority: None,
            visiting: false,
            seeker,
            memory: config.state_dir.map(|dir| (dir, user)),
            link: Link::Waiting(Instant::now()),
            events: Events::new(events),
            questions,
            replies: BTreeMap::new(),
            asked: 0,
            backoff: Backoff::default(),
            next: Next::default(),
            begin: Instant::now(),
            sync_at: None,
            syncing: None,
        }
    }

    /// Runs until the program is done with the client, or nothing helps any more.
    pub async fn run(mut self) {
        let failed = loop {
            if let Err(why) = self.turn().await {
                break why;
            }
            if self.shared.stop.is_cancelled() {
                break ClientError::Closed;
            }
        };
        self.end(failed).await;
    }

    /// Does what can be done now, then waits until something happens.
    async fn turn(&mut self) -> Result<(), ClientError> {
        self.absorb();
        let now = self.now();
        self.session.on_tick(now);
        self.act()?;
        self.pass_on();
        // What was taken may have to be told.
        self.act()?;
        self.start_sync();
        let read = self.events.has_room();
        if !read {
            self.session.on_deaf(self.now());
        }
        let shared = self.shared.clone();
        let wake = self.session.wake().map(|ms| self.begin + Duration::from_millis(ms));
        let sync_at = self.sync_at;
        tokio::select! {
            step = self.link.step(read) => self.on_step(step),
            () = shared.stop.cancelled() => {}
            () = shared.wake.notified() => {}
            Some(asked) = self.questions.recv() => self.on_asked(asked),
            () = self.events.moved() => {}
            () = until(wake) => {}
            () = until(sync_at), if self.syncing.is_none() => {}
            result = synced(&mut self.syncing) => {
                self.syncing = None;
                return result.map_err(outbox_failed);
            }
        }
        Ok(())
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Takes over what the program left in the shared state.
    fn absorb(&mut self) {
        let now = self.now();
        let fresh = self.shared.outbox().take();
        if !fresh.is_empty() {
            self.sync_at.get_or_insert_with(|| Instant::now() + SYNC_AFTER);
            self.session.queue(now, fresh);
        }
        for (id, (delivered, read)) in self.shared.take_marks() {
            self.session.mark(now, id, delivered, read);
        }
        if self.shared.reconnect.swap(false, Ordering::Relaxed) {
            self.session.on_lost();
            self.backoff.reset();
            self.find();
        }
    }

    fn on_asked(&mut self, asked: Asked) {
        let gone: Vec<u64> =
            self.replies.iter().filter(|(_, r)| r.is_closed()).map(|(id, _)| *id).collect();
        for id in gone {
            self.replies.remove(&id);
            self.session.forget(id);
        }
        self.asked += 1;
        self.replies.insert(self.asked, asked.answer);
        self.session.ask(self.now(), self.asked, asked.question);
    }

    fn on_step(&mut self, step: Step) {
        match step {
            Step::Waited => self.go_on(),
            Step::Found(Ok(found)) => {
                self.security = found.security;
                self.visiting = found.visit;
                self.next.found(self.now(), found.leader.seat, &found.servers);
                self.dial(address(&found.leader), false);
            }
            Step::Found(Err(Lost::Nobody(why))) => self.wait(None, why),
            // Who was connected may find its cluster again.
            Step::Found(Err(Lost::Changed(error))) if self.session.has_been_live() => {
                self.wait(None, error.to_string());
            }
            Step::Found(Err(Lost::Choose(error) | Lost::Changed(error))) => {
                self.session.on_hopeless(error);
            }
            Step::Dialled { to, placed, conn: Ok(conn) } => self.on_dialled(to, placed, conn),
            Step::Dialled { to, conn: Err(why), .. } => self.on_not_dialled(to, &why),
            Step::Visited { to, placed, way } => self.on_visited(to, placed, way),
            Step::Frame(Ok(Some(frame))) => self.on_frames(frame),
            Step::Frame(Ok(None)) => self.lost("the server closed the connection".into()),
            Step::Frame(Err(why)) => self.lost(why.to_string()),
            Step::Wrote(Ok(_)) => {}
            Step::Wrote(Err(why)) => self.lost(why.to_string()),
        }
    }

    /// Before anything is said it must be clear who hears it.
    fn on_dialled(&mut self, to: String, placed: bool, conn: Conn) {
        self.authority = conn.authority;
        // Where a redirect leads, it leads within the cluster.
        self.security = self.security.expecting(conn.authority);
        match conn.authority {
            Some(key) if !self.is_trusted(key, &to) => {
                let error = ClientError::NewCluster { server: to, key };
                // Who was at home does not end because a stranger answers in its stead.
                match self.visiting && self.session.has_been_live() {
                    true => self.wait(None, error.to_string()),
                    false => self.session.on_hopeless(error),
                }
            }
            _ if self.visiting => self.visit(to, placed, conn),
            _ => {
                self.session.comes_by(None);
                self.link = Link::Up(Box::new(conn));
                self.session.on_connected(self.now(), to, placed);
            }
        }
    }

    /// The way to a server failed. Where it led to somebody with another key than the one that is
    /// named or remembered, a person must know, unless the client was connected before.
    fn on_not_dialled(&mut self, to: String, why: &io::Error) {
        match Changed::of(why) {
            Some(Changed { expected, found })
                if !self.session.has_been_live() && self.is_named(expected) =>
            {
                self.session.on_hopeless(ClientError::KeyChanged { server: to, expected, found });
            }
            _ => {
                if why.kind() == io::ErrorKind::TimedOut {
                    self.next.in_vain();
                }
                self.wait(None, format!("{to}: {why}"));
            }
        }
    }

    fn is_named(&self, key: Fingerprint) -> bool {
        self.seeker.finding.security.expected == Some(key) || self.seeker.pins.has(key)
    }

    /// A key that is named or remembered; a new one on this machine, or where the user said so.
    fn is_trusted(&self, key: Fingerprint, server: &str) -> bool {
        let given = self.seeker.finding.security;
        let named = self.is_named(key);
        let (host, _) = server.rsplit_once(':').unwrap_or((server, ""));
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let here = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
        named || given.trust_new || here
    }

    /// Takes a frame, and those that have arrived behind it.
    fn on_frames(&mut self, frame: Bytes) {
        let now = self.now();
        let mut next = Some(frame);
        let mut left = FRAMES_AT_ONCE;
        while let Some(frame) = next.take() {
            match decode_server(frame) {
                Ok(message) => self.session.on_msg(now, message),
                Err(why) => return self.lost(why.to_string()),
            }
            left -= 1;
            let buffered = match self.link.conn() {
                Some(conn) if left > 0 && self.session.is_up() => conn.reader.buffered(),
                _ => Ok(None),
            };
            match buffered {
                Ok(frame) => next = frame,
                Err(why) => return self.lost(why.to_string()),
            }
        }
    }

    /// Does what the session says.
    fn act(&mut self) -> Result<(), ClientError> {
        while let Some(output) = self.session.pop() {
            match output {
                Output::Send(message) => {
                    if let Some(conn) = self.link.conn() {
                        conn.writer.push(&encode_client(&message));
                    }
                }
                Output::Event(event) => self.on_event(event),
                Output::Confirmed(upto) => {
                    self.shared.outbox().confirm(upto).map_err(outbox_failed)?;
                    self.shared.moved.notify_waiters();
                }
                Output::Settle(last) => {
                    self.backoff.reset();
                    if !self.visiting {
                        self.next.served_by(self.session.seat);
                    }
                    self.shared.outbox().settle(last)?;
                    self.shared.moved.notify_waiters();
                    if visits::lacks_certificate(&self.shared.device()) {
                        self.session.certify(self.now());
                    }
                }
                Output::Token(token) => {
                    self.shared.device().set_token(token).map_err(state_failed)?;
                }
                Output::Met { cluster, name } => {
                    self.seeker.judge(self.session.server(), cluster, &name, self.authority)?;
                }
                Output::Certificate(said) => {
                    self.shared.device().set_certificate(said).map_err(state_failed)?;
                }
                Output::Known(known) => self.remember(&known)?,
                Output::Renew => self.renew()?,
                Output::Began { restored: backup, began_ms } => {
                    let had = self.shared.device().have.clone();
                    self.events.push(ClientEvent::Restored { backup, began_ms, had });
                }
                Output::ForgetHad => {
                    self.shared.device().save_have(BTreeMap::new()).map_err(state_failed)?;
                }
                Output::RenewKeeping => self.renew_keeping()?,
                Output::Reply(handle, result) => {
                    if let Some(reply) = self.replies.remove(&handle) {
                        // Whoever asked may have stopped waiting.
                        drop(reply.send(result));
                    }
                }
                // Home serves its guests itself; it names no other way.
                Output::Redirect(_) if self.visiting => self.lost("sent elsewhere".into()),
                Output::Redirect(to) => self.dial(address(&to), true),
                Output::Close { retry_ms, why } => self.wait(retry_ms, why),
                Output::Failed(why) => return Err(why),
            }
        }
        Ok(())
    }

    /// Hands events on, and marks as delivered what the program has taken.
    fn pass_on(&mut self) {
        let now = self.now();
        let by_hand = self.shared.unheard.load(Ordering::Relaxed);
        for (id, seq) in self.events.pass_on(|run| !by_hand && !self.session.is_own(run)) {
            self.session.mark(now, id, seq, 0);
        }
    }

    fn find(&mut self) {
        self.events.push(ClientEvent::Connection(Connection::Discovering));
        self.link = Link::find(self.seeker.clone());
    }

    fn dial(&mut self, to: String, placed: bool) {
        let connecting = Connection::Connecting { to: to.clone() };
        self.events.push(ClientEvent::Connection(connecting));
        self.link = Link::dial(to, placed, self.seeker.finding.from, self.security);
    }

    /// Keeps what a cluster says about itself.
    fn remember(&mut self, known: &session::Known) -> Result<(), ClientError> {
        if let Some(found) = self.authority {
            self.seeker.pins.add(known.cluster, &known.name, found).map_err(state_failed)?;
        }
        let mut device = self.shared.device();
        let bound = (device.cluster, device.generation);
        if bound != (Some(known.cluster), Some(known.generation)) {
            let (cluster, generation) = (known.cluster, known.generation);
            device.bind(cluster, generation, &known.name).map_err(state_failed)?;
        }
        drop(device);
        if !self.visiting {
            self.next.know(&known.servers);
        }
        self.seeker.bound = Some(known.cluster);
        self.seeker.last = Some(known.cluster);
        self.seeker.last_name.clone_from(&known.name);
        self.seeker.learned = known.servers.iter().map(address).collect();
        if let Some((state, user)) = &self.memory {
            let known = Known {
                cluster: known.cluster.to_string(),
                name: known.name.clone(),
                servers: self.seeker.learned.clone(),
            };
            known.save(state, user).map_err(state_failed)?;
        }
        Ok(())
    }

    /// Becomes a new device for a cluster that does not know the old one.
    fn renew(&mut self) -> Result<(), ClientError> {
        let mut device = self.shared.device();
        device.renew().map_err(state_failed)?;
        self.session.renewed(device.id, device.key.clone());
        drop(device);
        self.shared.outbox().restart().map_err(outbox_failed)?;
        self.seeker.bound = None;
        self.find();
        Ok(())
    }

    /// Becomes a new device; messages without an outcome are sent under its numbers.
    fn renew_keeping(&mut self) -> Result<(), ClientError> {
        let mut device = self.shared.device();
        device.renew().map_err(state_failed)?;
        self.session.renewed_keeping(device.id, device.key.clone());
        drop(device);
        self.shared.outbox().renumber(0).map_err(outbox_failed)?;
        self.find();
        Ok(())
    }

    /// Syncs the outbox in the background where it is time.
    fn start_sync(&mut self) {
        if self.syncing.is_none() && self.sync_at.is_some_and(|at| Instant::now() >= at) {
            self.sync_at = None;
            let file = self.shared.outbox().to_sync();
            self.syncing = file.map(|file| tokio::task::spawn_blocking(move || file.sync_data()));
        }
    }

    /// Says goodbye, frees the device and tells why.
    async fn end(mut self, why: ClientError) {
        if let Some(conn) = self.link.conn() {
            drop(tokio::time::timeout(GOODBYE, goodbye(conn)).await);
        }
        if let Err(error) = self.shared.outbox().close() {
            tracing::warn!(event = "client.outbox", %error, "the outbox could not be closed");
        }
        self.shared.device().release();
        if why != ClientError::Closed {
            self.shared.fail(why.clone());
        }
        self.shared.ended.cancel();
        for (_, reply) in std::mem::take(&mut self.replies) {
            drop(reply.send(Err(why.clone())));
        }
        self.questions.close();
        if why != ClientError::Closed {
            self.events.push(ClientEvent::Connection(Connection::Failed(why)));
        }
        tokio::select! {
            () = self.events.drain() => {}
            () = self.shared.stop.cancelled() => {}
        }
    }
}

/// Sends what waits, and hears the server out: closing while it still speaks could take the last
/// marks from it.
async fn goodbye(conn: &mut Conn) -> Result<(), ConnError> {
    conn.writer.finish().await?;
    while conn.reader.next().await?.is_some() {}
    Ok(())
}

fn outbox_failed(why: io::Error) -> ClientError {
    ClientError::State(format!("the outbox cannot be written: {why}"))
}

fn state_failed(why: io::Error) -> ClientError {
    ClientError::State(format!("the state directory cannot be written: {why}"))
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// The end of the sync that runs, if one does.
async fn synced(syncing: &mut Option<JoinHandle<io::Result<()>>>) -> io::Result<()> {
    match syncing {
        Some(task) => task.await.unwrap_or_else(|error| Err(io::Error::other(error))),
        None => std::future::pending().await,
    }
}
