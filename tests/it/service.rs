//! A server under a service manager: what it is told, and the unit that we ship.

use crate::harness::{Cluster, LEADER, wait_until};
use clap::Parser;
use rustchat::cli::args::{Cli, Command};
use rustchat::limits;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(10);
/// What the manager asks for: a sign of life within 2 s.
const WATCHDOG: (&str, &str) = ("WATCHDOG_USEC", "2000000");

/// The manager's end.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<String>,
    home: TempDir,
}

impl Manager {
    fn new() -> Self {
        let home = TempDir::with_prefix("rustchat-it-").unwrap();
        let socket = UnixDatagram::bind(home.path().join("notify")).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, heard: Vec::new(), home }
    }

    fn cluster(&self, n: u32) -> Cluster {
        let address = self.home.path().join("notify");
        let setup = Cluster::setup().variable("NOTIFY_SOCKET", address.to_str().unwrap());
        setup.variable(WATCHDOG.0, WATCHDOG.1).of(n)
    }

    /// All that was said until now, in order.
    fn all(&mut self) -> &[String] {
        let mut buffer = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut buffer) {
            let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
            self.heard.extend(text.lines().map(str::to_owned));
        }
        &self.heard
    }

    fn count(&mut self, begin: &str) -> usize {
        self.all().iter().filter(|line| line.starts_with(begin)).count()
    }

    #[track_caller]
    fn wait_for(&mut self, begin: &str, times: usize, deadline: Duration) {
        wait_until(deadline, &format!("{begin}, {times} times"), || {
            (self.count(begin) >= times).then_some(())
        });
    }
}

#[test]
fn the_first_of_three_servers_is_ready_alone_and_lives() {
    let mut manager = Manager::new();
    let mut cluster = manager.cluster(3);
    cluster.up(1);
    manager.wait_for("READY=1", 1, SOON);
    manager.wait_for("STATUS=follower t0 no leader, 1 of 3 up lag 0", 1, SOON);
    manager.wait_for("WATCHDOG=1", 4, SOON);
    assert!(cluster.status().iter().all(|node| node.role != "leader"));
    assert_eq!(manager.count("READY=1"), 1);
    cluster.signal(1, "TERM");
    manager.wait_for("STOPPING=1", 1, SOON);
    assert_eq!(cluster.node(1).ended(SOON).code(), Some(0));
}

#[test]
fn the_manager_hears_of_leaders_reloads_and_the_end() {
    let mut manager = Manager::new();
    let mut cluster = manager.cluster(1);
    cluster.up(1);
    manager.wait_for("STATUS=leader t1 leader n1 lag 0", 1, LEADER);
    cluster.signal(1, "HUP");
    manager.wait_for("RELOADING=1", 1, SOON);
    manager.wait_for("READY=1", 2, SOON);
    let heard = manager.all();
    let at = |line: &str| heard.iter().position(|heard| heard.starts_with(line)).unwrap();
    assert_eq!(at("MONOTONIC_USEC="), at("RELOADING=1") + 1, "{heard:?}");
    let ready = heard.iter().rposition(|line| line == "READY=1").unwrap();
    assert!(at("RELOADING=1") < ready, "{heard:?}");
    manager.wait_for("WATCHDOG=1", 3, SOON);
    cluster.signal(1, "TERM");
    manager.wait_for("STOPPING=1", 1, SOON);
    assert_eq!(cluster.node(1).ended(SOON).code(), Some(0));
}

/// The values of a directive.
fn unit(key: &str) -> Vec<&'static str> {
    let lines = include_str!("../../assets/rustchat.service").lines();
    lines
        .filter_map(|line| line.split_once('=').filter(|(k, _)| *k == key))
        .map(|(_, v)| v)
        .collect()
}

fn seconds(key: &str) -> Duration {
    let [text] = unit(key)[..] else { panic!("{key} stands there not once") };
    Duration::from_secs(text.parse().unwrap_or_else(|why| panic!("{key}={text}: {why}")))
}

#[test]
fn the_unit_starts_what_there_is_and_waits_long_enough() {
    let [start] = unit("ExecStart")[..] else { panic!("one command is started") };
    let cli = Cli::try_parse_from(start.split(' ')).unwrap_or_else(|why| panic!("{start}: {why}"));
    let Command::Serve(args) = cli.command else { panic!("{start} is no server") };
    let file = rustchat::config::settings::DEFAULT_FILE;
    assert_eq!(args.settings.config.as_deref(), Some(file.as_ref()));
    assert_eq!(unit("Type"), ["notify"]);
    assert!(unit("ExecReload")[0].ends_with("-HUP $MAINPID"));
    assert!(seconds("TimeoutStopSec") > limits::SHUTDOWN_GRACE);
    assert!(seconds("WatchdogSec") > 4 * limits::BEAT);
    assert_eq!(unit("RestartPreventExitStatus"), ["64 65 78"]);
}
