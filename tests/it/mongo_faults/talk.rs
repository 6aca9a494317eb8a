//! Three servers with databases, people who talk through them all the while, and what must
//! be true in the end. It must not know what is done to a database.

use crate::harness::{Cluster, LEADER, Said, Talk, wait_until};
use crate::support::mongod::{fresh_name, in_database, mongo_uri};
use crate::support::tcp_proxy::TcpProxy;
use mongodb::Client;
use mongodb::bson::{Document, doc};
use serde_json::Value;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Contract: a question that is not answered is asked again for 5 s. The one that was asked
/// last before may wait for others, and the machine may have much to do.
const GIVES_UP: Duration = Duration::from_secs(20);
/// A database that is back is found, and what was missed caught up with.
const BACK: Duration = Duration::from_secs(30);
/// For messages to get through, also while leadership changes.
const FLOW: Duration = Duration::from_secs(30);
/// Lines that alice sends with one command.
const LINES: usize = 10;

/// `uri` with another host in it: the same server, seen through something.
pub fn by_way_of(uri: &str, address: SocketAddr) -> String {
    let (scheme, rest) = uri.split_once("://").unwrap();
    let (hosts, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let person = hosts.rsplit_once('@').map_or(String::new(), |(person, _)| format!("{person}@"));
    let mark = if path.contains('?') { '&' } else { '?' };
    let slash = if path.is_empty() { "/" } else { "" };
    format!("{scheme}://{person}{address}{slash}{path}{mark}directConnection=true")
}

/// Where the first server of a URI is.
pub fn host_of(uri: &str) -> SocketAddr {
    let rest = uri.split_once("://").unwrap().1;
    let hosts = rest.split(['/', '?']).next().unwrap();
    let host = hosts.rsplit('@').next().unwrap().split(',').next().unwrap();
    let host = if host.contains(':') { host.to_owned() } else { format!("{host}:27017") };
    host.to_socket_addrs().unwrap().next().unwrap()
}

/// All messages to a person in a database, by their place in the conversation.
pub fn messages(uri: &str, to: &str) -> Vec<(i64, String)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let client = Client::with_uri_str(uri).await.unwrap();
        let messages = client.default_database().unwrap().collection::<Document>("messages");
        let mut cursor = messages.find(doc! { "to": to }).sort(doc! { "seq": 1 }).await.unwrap();
        let mut found = Vec::new();
        while cursor.advance().await.unwrap() {
            let message = cursor.deserialize_current().unwrap();
            let text = message.get_str("text").unwrap().to_owned();
            found.push((message.get_i64("seq").unwrap(), text));
        }
        found
    })
}

/// Three servers, each with a database of its own behind a proxy of its own.
pub struct Servers {
    pub cluster: Cluster,
    ways: Vec<TcpProxy>,
    /// The databases past the proxies.
    databases: Vec<String>,
}

impl Servers {
    /// On databases of the server that all tests share.
    pub fn start() -> Self {
        Self::on([mongo_uri(); 3])
    }

    /// On databases of these servers, in the order of seats.
    pub fn on(uris: [&str; 3]) -> Self {
        Self::with(uris, |setup| setup)
    }

    /// The same, with more to say about the processes.
    pub fn with(
        uris: [&str; 3],
        more: impl FnOnce(crate::harness::Setup) -> crate::harness::Setup,
    ) -> Self {
        let databases = uris.map(|uri| in_database(uri, &fresh_name("fault"))).to_vec();
        let ways: Vec<_> = uris.iter().map(|uri| TcpProxy::start(host_of(uri))).collect();
        let mut setup = more(Cluster::setup());
        for (seat, (uri, way)) in (1..).zip(databases.iter().zip(&ways)) {
            setup = setup.store(seat, &by_way_of(uri, way.address()));
        }
        let cluster = setup.start(3);
        cluster.leader();
        Self { cluster, ways, databases }
    }

    /// What is between a server and its database.
    pub fn way(&self, seat: u32) -> &TcpProxy {
        &self.ways[place(seat)]
    }

    /// A server's database, past what is between.
    pub fn database(&self, seat: u32) -> &str {
        &self.databases[place(seat)]
    }

    /// The other seats.
    pub fn others(&self, seat: u32) -> Vec<u32> {
        self.cluster.seats().into_iter().filter(|other| *other != seat).collect()
    }

    /// Kills leaders until the one on `seat` leads.
    #[track_caller]
    pub fn lead(&mut self, seat: u32) {
        for _ in 0..10 {
            let leader = self.cluster.leader().seat;
            if leader == seat {
                return;
            }
            self.cluster.kill(leader);
            wait_until(LEADER, "another one leads", || self.cluster.agreed());
            self.cluster.up(leader);
        }
        panic!("server {seat} is never elected");
    }

    fn of(&self, seat: u32) -> Value {
        let all = self.cluster.status();
        all.into_iter().find(|node| node.seat == seat).map(|node| node.json).unwrap_or_default()
    }

    /// Whether it has given its database up, and why.
    pub fn given_up(&self, seat: u32) -> Option<String> {
        let json = self.of(seat);
        let reasons = json["reasons"].as_array().cloned().unwrap_or_default();
        let gone = json["ready"] == false && reasons.iter().any(|r| *r == "storage_unavailable");
        gone.then(|| json["why"].as_str().unwrap_or_default().to_owned())
    }

    /// Waits until a server has given its database up and the others have a leader.
    #[track_caller]
    pub fn goes_on_without(&mut self, seat: u32) -> String {
        let why = wait_until(GIVES_UP, &format!("{seat} says that its database is away"), || {
            self.given_up(seat)
        });
        assert!(!why.is_empty(), "it says no more than that it is not ready");
        let others = self.others(seat);
        wait_until(LEADER, "the others have a leader", || self.cluster.agreed_among(&others));
        assert!(self.cluster.node(seat).runs(), "{seat} has ended");
        why
    }

    /// Waits until a server serves again, in the process in which it did before.
    #[track_caller]
    pub fn comes_back(&mut self, seat: u32) {
        let what = format!("{seat} is ready again");
        wait_until(BACK, &what, || {
            assert!(self.cluster.node(seat).runs(), "{seat} has ended");
            (self.of(seat)["ready"] == true).then_some(())
        });
    }

    /// The same state on all three, every message in every database, and nobody has panicked.
    #[track_caller]
    pub fn hold(&mut self, sent: &[Said]) {
        for seat in self.cluster.seats() {
            self.comes_back(seat);
        }
        assert_eq!(self.cluster.same_state().len(), 3, "all three answer");
        let sent: Vec<_> =
            sent.iter().map(|said| (i64::try_from(said.seq).unwrap(), said.text.clone())).collect();
        for seat in self.cluster.seats() {
            let what = format!("the database of {seat} has all messages");
            // It is written behind the commits.
            let found = wait_until(BACK, &what, || {
                let found = messages(self.database(seat), "bob");
                (found.len() >= sent.len()).then_some(found)
            });
            assert_eq!(found, sent, "what the database of {seat} holds");
            let log = self.cluster.node(seat).wrote("log");
            assert!(!log.contains("panicked"), "{log}");
        }
    }
}

fn place(seat: u32) -> usize {
    usize::try_from(seat).unwrap() - 1
}

/// Alice, who writes to bob all the while, and bob, who reads.
pub struct Chat {
    enough: Arc<AtomicBool>,
    sender: JoinHandle<Vec<Said>>,
    tail: Talk,
}

impl Chat {
    /// They begin; returns when messages flow.
    #[track_caller]
    pub fn start(cluster: &Cluster) -> Self {
        let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
        bob.register();
        let tail = bob.tail();
        let enough = Arc::new(AtomicBool::new(false));
        let stop = Arc::clone(&enough);
        let sender = std::thread::spawn(move || {
            let mut sent = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let lines: Vec<_> =
                    (1..=LINES).map(|n| format!("line {}", sent.len() + n)).collect();
                let lines: Vec<_> = lines.iter().map(String::as_str).collect();
                sent.extend(alice.send("bob", &lines));
            }
            sent
        });
        let chat = Self { enough, sender, tail };
        chat.flows();
        chat
    }

    /// Waits until bob has seen messages that were not even sent yet.
    #[track_caller]
    pub fn flows(&self) {
        assert!(!self.sender.is_finished(), "alice has stopped");
        let seen = self.tail.said().len();
        self.tail.wait_for(seen + 3 * LINES, FLOW);
    }

    /// They end: bob has seen what alice was told is committed, once and in order.
    #[track_caller]
    pub fn end(self) -> Vec<Said> {
        self.enough.store(true, Ordering::Relaxed);
        let sent = self.sender.join().unwrap();
        let said = self.tail.wait_for(sent.len(), FLOW);
        assert_eq!(said, sent, "what bob has seen, and what alice was told");
        let lines: Vec<_> = (1..=sent.len()).map(|n| format!("line {n}")).collect();
        let texts: Vec<_> = self.tail.end().into_iter().map(|said| said.text).collect();
        assert_eq!(texts, lines, "what bob has seen, and what alice has written");
        sent
    }
}
