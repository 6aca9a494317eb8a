//! A cluster of server processes: one file for all of them, each with its data,
//! its log and its address.

use super::channel;
use super::node::{Node, program};
use super::person::Person;
use super::proxy::Proxies;
use super::stores::Stores;
use crate::support::place::Place;
use crate::support::wait::wait_until;
use rustchat::tls;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// TCP port for clients, on every server's own address.
const CLIENT: u16 = 7101;
/// TCP port for the other servers.
const PEER: u16 = 7201;
/// HTTP port for probes and orders.
const ADMIN: u16 = 7301;
/// Contract: a leader is there within this time after a majority is.
pub const LEADER: Duration = Duration::from_secs(5);
/// A cluster with a leader is founded long before this.
const FOUNDED: Duration = Duration::from_secs(20);
/// Lines of a server's log that a failing test prints.
const LOG_LINES: usize = 60;

/// What one server says about itself.
#[derive(Clone, Debug)]
pub struct NodeStatus {
    /// Its seat.
    pub seat: u32,
    /// It answered.
    pub reachable: bool,
    /// follower, candidate, leader or learner.
    pub role: String,
    /// Its term; 0 if it did not answer.
    pub term: u64,
    /// Index of the last entry it applied.
    pub applied: u64,
    /// All that was printed about it.
    pub json: Value,
}

/// A cluster.
pub struct Cluster {
    nodes: BTreeMap<u32, Node>,
    proxies: Option<Proxies>,
    place: Place,
    discovery: u16,
    plain: bool,
    name: String,
    home: Option<TempDir>,
}

/// How a cluster is made.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    options: Vec<String>,
    environment: Vec<(String, String)>,
    stores: BTreeMap<u32, String>,
    proxied: bool,
    plain: bool,
    kept_in: Stores,
    name: Option<String>,
    discovery: Option<u16>,
}

impl Setup {
    /// Gives every server an option more.
    pub fn option(mut self, name: &str, value: &str) -> Self {
        self.options.extend([name.to_owned(), value.to_owned()]);
        self
    }

    /// Gives every server a variable in its environment.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Gives the server on a seat a store of its own: `mongodb://…`.
    pub fn store(mut self, seat: u32, url: &str) -> Self {
        self.stores.insert(seat, url.to_owned());
        self
    }

    /// Gives every server a store of a kind.
    pub fn kept_in(mut self, stores: Stores) -> Self {
        self.kept_in = stores;
        self
    }

    /// Puts a proxy in front of every server, for its peers and its clients. It reads along, so
    /// nothing is encrypted.
    pub fn proxied(mut self) -> Self {
        self.proxied = true;
        self.plain()
    }

    /// The cluster's name [default: test].
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// Asks and answers on another cluster's UDP port: the two can hear each other. 0: nobody is
    /// asked or answered.
    pub fn discovery(mut self, port: u16) -> Self {
        self.discovery = Some(port);
        self
    }

    /// Servers and clients without TLS.
    pub fn plain(mut self) -> Self {
        self.plain = true;
        self.variable("RUSTCHAT_INSECURE_PLAIN", "true")
    }

    /// Lets its leader answer on the same UDP port as the leader of another cluster, as on one
    /// network: the two hear each other.
    pub fn beside(mut self, other: &Cluster) -> Self {
        self.discovery = Some(other.discovery());
        self
    }

    /// `n` servers, none of them started.
    pub fn of(mut self, n: u32) -> Cluster {
        for seat in 1..=n {
            if let Some(url) = self.kept_in.fresh(seat) {
                self.stores.entry(seat).or_insert(url);
            }
        }
        let place = Place::take();
        let home = TempDir::with_prefix("rustchat-it-").unwrap();
        let conf = home.path().join("nodes.conf");
        let name = self.name.clone().unwrap_or_else(|| "test".to_owned());
        let discovery = self.discovery.unwrap_or(place.discovery);
        let mut text = format!("cluster = \"{name}\"\ndiscovery = {discovery}\n");
        for seat in 1..=n {
            let own = place.host(seat);
            let host = if self.proxied { place.front(seat) } else { own };
            write!(
                text,
                "[[node]]\nid = {seat}\nhost = \"{host}\"\nlisten = \"{own}\"\n\
                 client = {CLIENT}\npeer = {PEER}\nadmin = {ADMIN}\n"
            )
            .unwrap();
        }
        std::fs::write(&conf, text).unwrap();
        if self.plain {
            channel::without_tls(&place);
        } else {
            make_keys(home.path(), &name, n);
        }
        let proxies = self.proxied.then(|| Proxies::start(&place, n, PEER, CLIENT));
        let node = |seat| {
            let mut options = self.options.clone();
            if let Some(url) = self.stores.get(&seat) {
                options.extend(["--store".to_owned(), url.clone()]);
            }
            (seat, Node::new(seat, home.path(), &conf, &options, &self.environment))
        };
        let (nodes, plain) = ((1..=n).map(node).collect(), self.plain);
        Cluster { nodes, proxies, place, plain, name, discovery, home: Some(home) }
    }

    /// `n` servers that run.
    pub fn start(self, n: u32) -> Cluster {
        let mut cluster = self.of(n);
        cluster.start_all();
        cluster
    }
}

impl Cluster {
    /// For other than default servers.
    pub fn setup() -> Setup {
        Setup::default()
    }

    /// `n` servers, none of them started.
    pub fn of(n: u32) -> Self {
        Setup::default().of(n)
    }

    /// `n` servers that run, not necessarily with a leader yet.
    pub fn start(n: u32) -> Self {
        Setup::default().start(n)
    }

    /// One server more, with a `nodes.conf` of its own that has it too; it is not started.
    pub fn extra(&mut self, seat: u32) -> &mut Node {
        let (host, conf) = (self.place.host(seat), self.home().join(format!("nodes-{seat}.conf")));
        let mut text = std::fs::read_to_string(self.conf()).unwrap();
        write!(
            text,
            "[[node]]\nid = {seat}\nhost = \"{host}\"\nclient = {CLIENT}\npeer = {PEER}\n\
             admin = {ADMIN}\n"
        )
        .unwrap();
        std::fs::write(&conf, text).unwrap();
        if !self.plain {
            tls::make_node(&self.home().join("keys"), seat, false, SystemTime::now()).unwrap();
        }
        let node = Node::new(seat, self.home(), &conf, &[], &self.environment());
        self.nodes.entry(seat).or_insert(node)
    }

    /// A server's address for probes and orders.
    pub fn admin(&self, seat: u32) -> SocketAddr {
        (self.place.host(seat), ADMIN).into()
    }

    /// A command that knows the cluster by its file.
    pub fn rustchat(&self, args: &[&str]) -> Output {
        let mut command = self.program();
        command.args(args).env("RUSTCHAT_NODES", self.conf()).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// The program, as everybody runs it who has to do with this cluster.
    pub fn program(&self) -> Command {
        let mut command = program(self.home());
        command.envs(self.environment());
        command
    }

    fn environment(&self) -> Vec<(String, String)> {
        let plain = ("RUSTCHAT_INSECURE_PLAIN".to_owned(), "true".to_owned());
        self.plain.then_some(plain).into_iter().collect()
    }

    /// The same, which must succeed; what it printed.
    #[track_caller]
    pub fn done(&self, args: &[&str]) -> String {
        let output = self.rustchat(args);
        let (out, err) = super::texts(&output);
        assert!(output.status.success(), "{args:?}: {} {out} {err}", output.status);
        out
    }

    /// The same, which must end with this code; what it said about it.
    #[track_caller]
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let output = self.rustchat(args);
        let (out, err) = super::texts(&output);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {out} {err}");
        out + &err
    }

    /// Starts every server that is down.
    pub fn start_all(&mut self) {
        for node in self.nodes.values_mut().filter_map(|n| (!n.runs()).then_some(n)) {
            node.start(&[]);
        }
    }

    /// Starts one server.
    pub fn up(&mut self, seat: u32) {
        self.node(seat).start(&[]);
    }

    /// Kills one server with SIGKILL.
    pub fn kill(&mut self, seat: u32) {
        self.node(seat).kill();
    }

    /// Kills every server with SIGKILL.
    pub fn kill_all(&mut self) {
        self.nodes.values_mut().for_each(Node::kill);
    }

    /// Sends a signal to one server: `TERM`, `STOP`, `CONT`.
    pub fn signal(&mut self, seat: u32, name: &str) {
        super::signal(self.node(seat).pid(), name);
    }

    /// The server on a seat.
    pub fn node(&mut self, seat: u32) -> &mut Node {
        self.nodes.get_mut(&seat).unwrap_or_else(|| panic!("no seat {seat}"))
    }

    /// The seats, in order.
    pub fn seats(&self) -> Vec<u32> {
        self.nodes.keys().copied().collect()
    }

    /// The proxies in front of the servers.
    pub fn paths(&self) -> &Proxies {
        self.proxies.as_ref().expect("made with Setup::proxied")
    }

    /// The file that all servers read.
    pub fn conf(&self) -> PathBuf {
        self.home().join("nodes.conf")
    }

    /// UDP port of the cluster's discovery.
    pub fn discovery(&self) -> u16 {
        self.discovery
    }

    /// The fingerprint of its key, as its operator sees it.
    pub fn fingerprint(&self) -> String {
        tls::authority_of(&self.home().join("keys")).unwrap().to_string()
    }

    /// Its operator trusts the cluster at this address, whose key they know.
    #[track_caller]
    pub fn trusts(&self, address: SocketAddr, key: &str) {
        let address = address.to_string();
        // A cluster that has a leader is founded a moment later.
        wait_until(FOUNDED, "the other cluster can be trusted", || {
            let output = self.rustchat(&["link", "trust", &address, "--fingerprint", key]);
            match output.status.code() {
                Some(0) => Some(()),
                Some(75) => None,
                _ => panic!("{output:?}"),
            }
        });
    }

    /// What its `rustchat link list --json` shows of the cluster that is called so here.
    pub fn link(&self, name: &str) -> Option<Value> {
        let json: Value = serde_json::from_str(&self.done(&["link", "list", "--json"])).unwrap();
        json["links"].as_array().unwrap().iter().find(|link| link["cluster"] == name).cloned()
    }

    /// A server's own address for clients, past any proxy.
    pub fn address(&self, seat: u32) -> SocketAddr {
        (self.place.host(seat), CLIENT).into()
    }

    /// An address that nobody listens on, for a stranger to come from; `n` below 40.
    pub fn elsewhere(&self, n: u8) -> Ipv4Addr {
        self.place.elsewhere(n)
    }

    /// Where the others believe a server to be: at the proxy in front of it, if there is one.
    pub fn host(&self, seat: u32) -> Ipv4Addr {
        if self.proxies.is_some() { self.place.front(seat) } else { self.place.host(seat) }
    }

    /// Where the files of all servers are.
    pub fn home(&self) -> &std::path::Path {
        self.home.as_ref().map(TempDir::path).expect("present until drop")
    }

    /// Someone with a home directory and a password, not yet registered.
    pub fn person(&self, name: &str) -> Person {
        Person::new(name, self.home(), (&self.name, self.discovery), self.plain)
    }

    /// What `rustchat status --json` prints.
    pub fn status_json(&self) -> Value {
        let mut command = self.program();
        command.args(["status", "--json", "--timeout", "1s"]);
        for seat in self.nodes.keys() {
            command.arg("--node").arg(self.address(*seat).to_string());
        }
        let output = command.output().unwrap();
        serde_json::from_slice(&output.stdout).unwrap_or_else(|why| {
            let err = String::from_utf8_lossy(&output.stderr);
            panic!("status printed no JSON ({why}, {}): {err}", output.status)
        })
    }

    /// The document, where nothing is wrong with the cluster; the disk of the machine that runs
    /// the tests may be nearly full.
    pub fn well(&self) -> Option<Value> {
        let json = self.status_json();
        let only_disk = json["reasons"] == serde_json::json!(["disk_low"]);
        (json["verdict"] == "healthy" || only_disk).then_some(json)
    }

    /// What every server says about itself, in the order of seats.
    pub fn status(&self) -> Vec<NodeStatus> {
        let json = self.status_json();
        let nodes = json["nodes"].as_array().unwrap_or_else(|| panic!("no nodes in {json}"));
        let mut all: Vec<_> = nodes.iter().map(NodeStatus::read).collect();
        all.sort_by_key(|node| node.seat);
        all
    }

    /// The leader that all servers that run agree on, if they do.
    pub fn agreed(&self) -> Option<NodeStatus> {
        self.agreed_among(&self.seats())
    }

    /// The leader that those of these servers that run agree on, if they do.
    pub fn agreed_among(&self, seats: &[u32]) -> Option<NodeStatus> {
        let mut all = self.status();
        all.retain(|node| node.reachable && seats.contains(&node.seat));
        let leader = all.iter().find(|node| node.role == "leader")?;
        let agree = all.iter().all(|node| {
            node.term == leader.term && (node.role == "leader") == (node.seat == leader.seat)
        });
        agree.then(|| leader.clone())
    }

    /// Waits, as long as the contract allows, for a leader that all servers agree on.
    #[track_caller]
    pub fn leader(&self) -> NodeStatus {
        wait_until(LEADER, "the servers agree on a leader", || self.agreed())
    }

    /// Waits for a leader, and until every voter is up and heard, as orders about majorities need.
    #[track_caller]
    pub fn healthy(&self) -> NodeStatus {
        wait_until(LEADER, "all is well", || {
            (self.status_json()["verdict"] == "healthy").then_some(())
        });
        self.leader()
    }

    /// Waits for a leader that these servers agree on.
    #[track_caller]
    pub fn leader_among(&self, seats: &[u32]) -> NodeStatus {
        wait_until(LEADER, "these servers agree on a leader", || self.agreed_among(seats))
    }

    /// Waits until all servers that run have applied the same entries with the same result.
    #[track_caller]
    pub fn same_state(&self) -> Vec<NodeStatus> {
        wait_until(Duration::from_secs(20), "the servers have the same state", || {
            let all: Vec<_> = self.status().into_iter().filter(|node| node.reachable).collect();
            let key = |node: &NodeStatus| (node.applied, node.json["hash"].to_string());
            let same = all.windows(2).all(|two| key(&two[0]) == key(&two[1]));
            (same && all.iter().all(|node| node.json["hash"].is_string())).then_some(all)
        })
    }

    fn print_logs(&self) {
        for node in self.nodes.values() {
            let log = node.wrote("log");
            let lines: Vec<_> = log.lines().collect();
            let from = lines.len().saturating_sub(LOG_LINES);
            eprintln!("--- server {}: the last lines of its log", node.seat);
            lines[from..].iter().for_each(|line| eprintln!("{line}"));
        }
    }
}

/// As `rustchat keys init` makes them.
fn make_keys(home: &std::path::Path, name: &str, n: u32) {
    let (dir, now) = (home.join("keys"), SystemTime::now());
    tls::make_keys(&dir, name, now).unwrap();
    for seat in 1..=n {
        tls::make_node(&dir, seat, false, now).unwrap();
    }
}

impl NodeStatus {
    fn read(json: &Value) -> Self {
        let number = |key: &str| json[key].as_u64().unwrap_or(0);
        Self {
            seat: json["id"].as_str().and_then(|id| id.parse().ok()).unwrap_or(0),
            reachable: json["reachable"].as_bool().unwrap_or(false),
            role: json["role"].as_str().unwrap_or("").to_owned(),
            term: number("term"),
            applied: number("applied"),
            json: json.clone(),
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.print_logs();
            let test = std::thread::current().name().unwrap_or("").to_owned();
            eprintln!("run it again with: cargo test --test it -- --exact {test}");
            if let Some(home) = self.home.take() {
                eprintln!("the servers' files are kept in {}", home.keep().display());
            }
        }
        self.nodes.clear();
    }
}
