//! Two servers on one log, clients that come and go, and everything that can
//! go wrong between them.

use super::client::Client;
use crate::chat::command::{Command, Target};
use crate::chat::ids::{ClusterId, ConversationId, UserId};
use crate::raft::{Committed, Machine, SubmitError};
use crate::server::hub::{Hub, Mailbox};
use crate::server::placement::Place;
use crate::server::queries;
use crate::server::replica::{Replica, StateReader};
use crate::server::session::{Answer, Output, Proven, Query, Session, Setup};
use crate::store::Store;
use crate::store::memory::Memory;
use crate::store::record::LogId;
use crate::wire::client::decode_server;
use crate::wire::log::encode_command;
use crate::wire::message::{ClientMsg, ClusterState, ServerMsg};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::{IndexedMutRandom, IndexedRandom};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Waits for a store in memory, which never makes anybody wait.
pub fn block_on<F: Future>(future: F) -> F::Output {
    thread_local! {
        static RUNTIME: tokio::runtime::Runtime =
            tokio::runtime::Builder::new_current_thread().build().unwrap();
    }
    RUNTIME.with(|runtime| runtime.block_on(future))
}

pub struct Server {
    replica: Replica,
    pub hub: Hub,
    pub store: Arc<dyn Store>,
    pub state: StateReader,
    applied: usize,
}

impl Server {
    pub fn new(seat: u32) -> Self {
        let store: Arc<dyn Store> = Arc::new(Memory::new(seat));
        let hub = Hub::default();
        let load = Replica::load(Arc::clone(&store), hub.clone(), "west".to_owned());
        let (replica, state) = block_on(load).unwrap();
        Self { replica, hub, store, state, applied: 0 }
    }

    /// Applies one more entry of the log, if there is one.
    pub fn apply(&mut self, log: &[Vec<Command>]) -> bool {
        let Some(commands) = log.get(self.applied) else { return false };
        let index = self.applied as u64 + 1;
        self.applied += 1;
        let entry = Committed {
            id: LogId { term: 1, index },
            at_ms: 1_000 * index,
            items: commands.iter().map(encode_command).collect(),
            membership: None,
        };
        block_on(self.replica.apply(vec![entry])).unwrap();
        true
    }

    pub fn setup(&self, seat: u32) -> Arc<Setup> {
        let state = self.state.clone();
        Arc::new(Setup {
            cluster_name: "west".to_owned(),
            seat,
            servers: Vec::new(),
            features: 0,
            state,
        })
    }
}

/// A connection: a session with what the driver holds, and what is on its way.
struct Link {
    server: usize,
    session: Session,
    mailbox: Mailbox,
    questions: Vec<Query>,
    up: VecDeque<ClientMsg>,
    down: VecDeque<ServerMsg>,
}

pub struct World<'a> {
    rng: &'a mut StdRng,
    pub servers: Vec<Server>,
    pub clients: Vec<Client>,
    links: Vec<Option<Link>>,
    log: Vec<Vec<Command>>,
    /// Commands that were submitted and are not in the log, or never will be.
    queue: VecDeque<Command>,
    now: Instant,
    healthy: bool,
}

impl<'a> World<'a> {
    pub fn new(rng: &'a mut StdRng) -> Self {
        let found = Command::Found { cluster: ClusterId([7; 16]), name: "west".to_owned() };
        let names = ["alice", "bob", "carol"];
        let clients = names.iter().zip(1..).map(|(name, device)| Client::new(name, device));
        let mut world = Self {
            rng,
            servers: (1..=2).map(Server::new).collect(),
            clients: clients.collect(),
            links: (0..3).map(|_| None).collect(),
            log: vec![vec![found]],
            queue: VecDeque::new(),
            now: Instant::now(),
            healthy: false,
        };
        world.servers.iter_mut().for_each(|server| while server.apply(&world.log) {});
        world
    }

    fn chance(&mut self, often: f64) -> bool {
        !self.healthy && self.rng.random_bool(often)
    }

    pub fn step(&mut self) {
        self.now += Duration::from_millis(self.rng.random_range(0..60));
        let who = self.rng.random_range(0..self.clients.len());
        match self.rng.random_range(0..10) {
            0 => self.disturb(who),
            1 | 2 => self.write(who),
            3 => self.commit(),
            4 => {
                let server = self.servers.choose_mut(self.rng);
                server.map(|server| server.apply(&self.log));
            }
            _ => self.drive(who),
        }
    }

    fn disturb(&mut self, who: usize) {
        let Some(link) = &mut self.links[who] else { return };
        match self.rng.random_range(0..6) {
            0 | 1 => self.links[who] = None,
            2 => {
                let term = self.rng.random_range(1..1_000);
                let cluster = ClusterState { leader: Some(1), term, live: 2, voters: 2 };
                link.session.on_cluster(cluster, self.now);
                self.act(who);
            }
            // Everything on the way to the leader is lost.
            3 => self.queue.clear(),
            _ => self.servers.iter().for_each(|server| server.hub.all_behind()),
        }
    }

    fn write(&mut self, who: usize) {
        let users: Vec<UserId> = self.clients.iter().filter_map(|c| c.user).collect();
        let Some(&to) = users.choose(self.rng) else { return };
        let to = match self.rng.random_range(0..12) {
            0 => Target::Conversation(ConversationId(999)),
            1 => Target::Conversation(ConversationId(1)),
            _ => Target::User(to),
        };
        for _ in 0..self.rng.random_range(1..8) {
            self.clients[who].write(to);
        }
    }

    /// Some of what was submitted becomes an entry; commands of different sessions mix.
    fn commit(&mut self) {
        let mut entry = Vec::new();
        for _ in 0..self.rng.random_range(1..8) {
            let Some(command) = self.queue.pop_front() else { break };
            if self.chance(0.05) {
                continue;
            }
            if self.chance(0.05) {
                entry.push(command.clone());
            }
            entry.push(command);
        }
        if !entry.is_empty() {
            self.log.push(entry);
        }
    }

    /// Lets a connection make some progress.
    fn drive(&mut self, who: usize) {
        if self.links[who].is_none() {
            let server = self.rng.random_range(0..self.servers.len());
            let cluster = ClusterState { leader: Some(1), term: 1, live: 2, voters: 2 };
            let setup = self.servers[server].setup(server as u32 + 1);
            self.links[who] = Some(Link {
                server,
                session: Session::new(setup, cluster, self.rng.random(), self.now),
                mailbox: self.servers[server].hub.attach(),
                questions: Vec::new(),
                up: VecDeque::from([self.clients[who].connect()]),
                down: VecDeque::new(),
            });
        }
        self.answer(who);
        for _ in 0..self.rng.random_range(1..4) {
            let Some(link) = &mut self.links[who] else { return };
            if let Some(message) = link.up.pop_front() {
                link.session.on_frame(message, self.now);
            }
            self.act(who);
        }
        self.deliver(who);
        self.listen(who);
    }

    fn answer(&mut self, who: usize) {
        let lazy = self.chance(0.3);
        let Some(link) = &mut self.links[who] else { return };
        if link.questions.is_empty() || lazy {
            return;
        }
        let at = self.rng.random_range(0..link.questions.len());
        let query = link.questions.remove(at);
        let server = &mut self.servers[link.server];
        let answer = match query {
            Query::Place { .. } => Answer::Place(Place::Here, None),
            Query::Hash(_) => Answer::Hashed(Ok(("hash".to_owned(), self.rng.random()))),
            Query::Verify { name, .. } => {
                while server.apply(&self.log) {}
                let user = server.state.read(|r| r.state.user_named(&name).map(|u| u.id));
                let token = self.rng.random();
                Answer::Verified(Ok(user.map(|user| Proven { user, passwords: 0, token })))
            }
            Query::Barrier => {
                while server.apply(&self.log) {}
                Answer::Barrier(Ok(()))
            }
            Query::Applied(index) => {
                while server.state.read(|r| r.applied) < index && server.apply(&self.log) {}
                Answer::Applied(true)
            }
            Query::Page(wanted) => {
                let conversation = wanted.conversation;
                let page = block_on(queries::page(&*server.store, wanted));
                Answer::Page(conversation, Ok(page.unwrap()))
            }
            Query::Outcomes { device, from, to } => {
                let found = queries::outcomes(&*server.store, &server.state, device, from, to);
                Answer::Outcomes(Ok(block_on(found).unwrap()))
            }
            other => panic!("{other:?} was not asked for by any client"),
        };
        link.session.on_answer(answer, self.now);
        self.act(who);
    }

    fn deliver(&mut self, who: usize) {
        let (lazy, slow) = (self.chance(0.2), self.chance(0.3));
        let Some(link) = &mut self.links[who] else { return };
        link.session.on_tick(self.now);
        while let Some(delivery) = if lazy { None } else { link.mailbox.try_next() } {
            link.session.on_delivery(delivery, self.now);
        }
        if link.mailbox.take_behind() {
            link.session.on_behind(self.now);
        }
        while !slow && link.session.go_on(self.now) {}
        if link.mailbox.replaced() {
            link.session.on_replaced();
        }
        self.act(who);
    }

    /// The client takes what it was sent.
    fn listen(&mut self, who: usize) {
        let Some(link) = &mut self.links[who] else { return };
        let client = &mut self.clients[who];
        while let Some(message) = link.down.pop_front() {
            link.up.extend(client.on(message));
        }
        link.up.extend(client.flush());
        if let Some(end) = &client.ended {
            let known = matches!(end, ServerMsg::GoAway { .. });
            assert!(known, "{} was refused: {end:?}", client.name);
            self.links[who] = None;
        }
    }

    fn act(&mut self, who: usize) {
        loop {
            let healthy = self.healthy;
            let Some(link) = &mut self.links[who] else { return };
            let outputs = link.session.outputs();
            if outputs.is_empty() {
                return;
            }
            for output in outputs {
                match output {
                    Output::Send(message) => link.down.push_back(message),
                    Output::Encoded(bytes) => link.down.push_back(decode_server(bytes).unwrap()),
                    Output::Submit(command) => {
                        let dice = if healthy { 9 } else { self.rng.random_range(0..30) };
                        match dice {
                            0 => link.session.on_not_taken(&command, SubmitError::Busy, self.now),
                            1 => {
                                let error = SubmitError::NoLeader;
                                link.session.on_not_taken(&command, error, self.now);
                            }
                            2 => {}
                            3 => self.queue.push_front(command),
                            _ => self.queue.push_back(command),
                        }
                    }
                    Output::Ask(query) => link.questions.push(query),
                    Output::Arrive(device) => link.mailbox.arrive(device),
                    Output::Join { user, device, epoch } => {
                        link.mailbox.join(user, device, epoch);
                    }
                    Output::Marks(_) | Output::Close | Output::HandOver { .. } => {}
                }
            }
        }
    }

    /// Nothing goes wrong any more: everybody must come to rest.
    pub fn heal(&mut self) {
        self.healthy = true;
        for round in 0.. {
            self.now += Duration::from_millis(100);
            for who in 0..self.clients.len() {
                self.drive(who);
                while self.links[who].as_ref().is_some_and(|link| !link.questions.is_empty()) {
                    self.answer(who);
                }
            }
            while !self.queue.is_empty() {
                self.commit();
            }
            self.servers.iter_mut().for_each(|server| while server.apply(&self.log) {});
            let idle = |link: &Option<Link>| {
                link.as_ref().is_some_and(|l| l.session.is_idle() && l.up.is_empty())
            };
            let sent = self.clients.iter().all(|client| client.outbox.is_empty() && client.ready);
            if sent && round > 20 && self.links.iter().all(idle) {
                return;
            }
            assert!(round < 1_000, "no rest: {}", self.summary());
        }
    }

    fn summary(&self) -> String {
        let lines = self.clients.iter().zip(&self.links).map(|(client, link)| {
            let outbox: Vec<_> = client.outbox.keys().collect();
            let session = link.as_ref().map(|link| format!("{:?}", link.session));
            format!("\n{} {} {outbox:?} {:?} {session:?}", client.name, client.ready, client.ended)
        });
        lines.collect()
    }

    pub fn check(&self) {
        let hash = |server: &Server| server.store.mark().hash;
        assert_eq!(hash(&self.servers[0]), hash(&self.servers[1]));
        let store = &self.servers[0].store;
        self.servers[0].state.read(|r| {
            for client in &self.clients {
                let numbers = client.outcomes.keys().copied();
                let sent = r.state.sent(client.device, 0).map_or(0, |sent| sent.last_number);
                assert!(numbers.eq(1..=sent), "{}: an outcome is missing", client.name);
                for room in r.state.conversations_of(client.user.unwrap()) {
                    let id = room.row.id;
                    let all = block_on(store.history(id, 1, room.row.last_seq, usize::MAX));
                    let runs = all
                        .unwrap()
                        .into_iter()
                        .flat_map(|(_, value)| crate::wire::stored::decode_runs(value).unwrap().0);
                    let stands = runs.flat_map(|run| {
                        let id = move |k| (run.first_seq + k, (run.device, run.first_number + k));
                        (0..run.count()).map(id).collect::<Vec<_>>()
                    });
                    let stands: Vec<_> = stands.collect();
                    let seen: Vec<_> = client.seen.get(&id).into_iter().flatten().collect();
                    let seen: Vec<_> = seen.into_iter().map(|(seq, id)| (*seq, *id)).collect();
                    // What the user had read before the device came is not pushed.
                    let from = seen.first().map_or(1, |first| first.0);
                    let stands: Vec<_> = stands.into_iter().filter(|s| s.0 >= from).collect();
                    assert_eq!(seen, stands, "{} in {id}", client.name);
                }
            }
        });
    }
}
