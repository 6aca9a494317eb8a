//! One database and two processes: one goes on. A process that has ended holds nothing.

use super::refused::CONFIG;
use super::talk::{Chat, Servers};
use crate::harness::{Setup, program, wait_until};
use crate::support::mongod::{Server, mongo_uri};
use crate::support::place::Place;
use crate::support::tcp_proxy::Flow;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

/// Contract: a process is known to be silent after 4 s; the rest is for the machine.
const TAKES: Duration = Duration::from_secs(30);

/// A second process on the database of a server, with a file and addresses of its own: the
/// same seat of the same cluster, as on another machine.
struct Second {
    child: Child,
    log: PathBuf,
    _place: Place,
}

impl Second {
    fn start(servers: &Servers, seat: u32) -> Self {
        let home = servers.cluster.home().join("second");
        std::fs::create_dir_all(&home).unwrap();
        let place = Place::take();
        let mut conf = std::fs::read_to_string(servers.cluster.conf()).unwrap();
        for other in servers.others(seat) {
            // Past the proxies, which so see nothing of it.
            let (host, own) = (servers.cluster.host(other), servers.cluster.address(other).ip());
            conf = conf.replace(&format!("host = \"{host}\""), &format!("host = \"{own}\""));
        }
        let own = servers.cluster.address(seat).ip();
        let listen = format!("listen = \"{}\"", place.host(seat));
        let conf = conf.replace(&format!("listen = \"{own}\""), &listen);
        std::fs::write(home.join("nodes.conf"), conf).unwrap();
        let log = home.join("log");
        let mut command = program(&home);
        command.args(["serve", "--until-stdin-closes", "--insecure-plain"]);
        command.args(["--nodes", "nodes.conf"]);
        command.args(["--node", &seat.to_string(), "--store", servers.database(seat)]);
        command.env("RUSTCHAT_LOG", "error,rustchat=debug");
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        command.stderr(std::fs::File::create(&log).unwrap());
        Self { child: command.spawn().unwrap(), log, _place: place }
    }

    fn wrote(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[test]
fn a_second_process_is_refused_and_the_first_goes_on() {
    let mut servers = Servers::start();
    let chat = Chat::start(&servers.cluster);
    let leader = servers.cluster.leader();
    let pid = servers.cluster.node(leader.seat).pid().to_string();
    let mut second = Second::start(&servers, leader.seat);
    let code = wait_until(TAKES, "the second one ends", || second.child.try_wait().unwrap()).code();
    let said = second.wrote();
    assert_eq!(code, Some(CONFIG), "{said}");
    assert!(said.contains(&format!("pid {pid}")) && said.contains("host"), "{said}");
    chat.flows();
    let now = servers.cluster.leader();
    assert_eq!((now.seat, now.term), (leader.seat, leader.term));
    let sent = chat.end();
    servers.hold(&sent);
}

/// It is stopped, a second process takes its database, and it goes on: it ends by itself,
/// and gives none of the answers that the others wait for.
#[test]
fn a_stalled_process_whose_database_was_taken_over_ends_without_a_word() {
    let shared = mongo_uri();
    let mut servers = Servers::with([shared; 3], Setup::proxied);
    let chat = Chat::start(&servers.cluster);
    let leader = servers.cluster.leader().seat;
    let seat = servers.others(leader)[0];
    servers.cluster.signal(seat, "STOP");
    // What they ask it now lies before its door when it goes on: entries, and votes.
    servers.cluster.kill(leader);
    let mut second = Second::start(&servers, seat);
    wait_until(TAKES, "the second one takes the database", || {
        second.wrote().contains("taking the database of a silent process").then_some(())
    });
    wait_until(TAKES, "the second one takes part", || {
        second.wrote().contains("connected with node").then_some(())
    });
    servers.cluster.up(leader);
    chat.flows();

    // It cannot hear yet that the database is another's, and all that time it is asked.
    let before = servers.cluster.paths().answers_of(seat);
    servers.way(seat).set(Flow::Swallow);
    servers.cluster.signal(seat, "CONT");
    wait_until(TAKES, "the first one gives up", || {
        let log = servers.cluster.node(seat).wrote("log");
        log.contains("the store cannot go on").then_some(())
    });
    servers.way(seat).set(Flow::Open);
    let code = servers.cluster.node(seat).ended(TAKES).code();
    let said = servers.cluster.node(seat).wrote("log");
    assert_eq!(code, Some(CONFIG), "{said}");
    assert!(said.contains("another rustchat process"), "{said}");
    assert_eq!(servers.cluster.paths().answers_of(seat), before, "it has answered");

    assert!(second.child.try_wait().unwrap().is_none(), "the second one goes on");
    chat.flows();
    drop(second);
    servers.cluster.up(seat);
    chat.flows();
    let sent = chat.end();
    servers.hold(&sent);
}

/// One process is killed, then all of them, and their MongoDB too, while people talk.
#[test]
fn killed_servers_come_back_at_once_with_everything() {
    let mut private = Server::private();
    let uri = private.uri();
    let mut servers = Servers::on([&uri; 3]);
    let chat = Chat::start(&servers.cluster);
    let leader = servers.cluster.leader().seat;
    servers.cluster.kill(leader);
    servers.cluster.up(leader);
    servers.comes_back(leader);
    chat.flows();
    servers.cluster.kill_all();
    servers.cluster.start_all();
    servers.cluster.leader();
    chat.flows();
    servers.cluster.kill_all();
    private.kill();
    private.start();
    servers.cluster.start_all();
    servers.cluster.leader();
    chat.flows();
    let sent = chat.end();
    servers.hold(&sent);
    for seat in servers.cluster.seats() {
        let log = servers.cluster.node(seat).wrote("log");
        assert!(!log.contains("silent process"), "{seat} has waited for itself: {log}");
    }
}
