//! What a service manager is told: that the server is ready, lives, reloads or ends,
//! and how it is doing (sd_notify). A core that turns the server's pulse into words,
//! and a socket. Ready means that it listens and consensus runs, never that there
//! is a leader: the first server of a cluster waits for the others, and they for it.

use crate::raft::{NodeStatus, Role};
use crate::server::Pulse;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

/// Between two words on how it is doing.
const STATUS_REST: Duration = Duration::from_secs(1);

/// The manager that started this process, if one did.
pub struct Manager {
    socket: Option<String>,
    core: Core,
}

impl Manager {
    /// As the environment says.
    #[must_use]
    pub fn new() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|text| !text.is_empty());
        let for_us =
            variable("WATCHDOG_PID").is_none_or(|pid| pid == std::process::id().to_string());
        let watchdog = variable("WATCHDOG_USEC").and_then(|text| text.parse().ok());
        let watchdog = watchdog.filter(|_| for_us).map(Duration::from_micros);
        Self { socket: variable("NOTIFY_SOCKET"), core: Core::new(watchdog) }
    }

    /// The server has beaten.
    pub fn heed(&mut self, pulse: &Pulse) {
        let now = Instant::now();
        let words = self.core.heed(pulse, now);
        if self.say(&words) {
            self.core.said(now);
        }
    }

    /// The configuration is read anew.
    pub fn reloading(&mut self) {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        self.say(&["RELOADING=1".to_owned(), format!("MONOTONIC_USEC={micros}")]);
    }

    /// That is done, whatever came of it.
    pub fn reloaded(&mut self) {
        if self.core.ready {
            self.say(&["READY=1".to_owned()]);
        }
    }

    /// The server ends.
    pub fn stopping(&mut self) {
        self.say(&["STOPPING=1".to_owned(), "STATUS=stopping".to_owned()]);
        self.core.stopping = true;
    }

    /// Whether it went out; where nobody listens it has.
    fn say(&self, words: &[String]) -> bool {
        let Some(socket) = &self.socket else { return true };
        if words.is_empty() {
            return true;
        }
        let sent = send(socket, words.join("\n").as_bytes());
        if let Err(error) = &sent {
            tracing::warn!(%error, "the service manager cannot be told");
        }
        sent.is_ok()
    }
}

/// Never waits: a manager that does not read must not stop a server.
fn send(address: &str, words: &[u8]) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    match address.strip_prefix('@') {
        None => socket.send_to(words, address).map(drop),
        Some(name) => abstractly(&socket, name, words),
    }
}

#[cfg(target_os = "linux")]
fn abstractly(socket: &UnixDatagram, name: &str, words: &[u8]) -> io::Result<()> {
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
    socket.send_to_addr(words, &address).map(drop)
}

#[cfg(not(target_os = "linux"))]
fn abstractly(_: &UnixDatagram, _: &str, _: &[u8]) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// What is said when. Pure.
struct Core {
    /// The manager wants to hear of the server within this time.
    watchdog: Option<Duration>,
    ready: bool,
    stopping: bool,
    beats: u64,
    fed: Option<Instant>,
    status: Option<(String, Instant)>,
    /// What the last words would change, once they are out.
    saying: Saying,
}

#[derive(Default)]
struct Saying {
    ready: bool,
    fed: bool,
    status: Option<String>,
}

impl Core {
    fn new(watchdog: Option<Duration>) -> Self {
        let (ready, stopping, beats) = (false, false, 0);
        Self {
            watchdog,
            ready,
            stopping,
            beats,
            fed: None,
            status: None,
            saying: Saying::default(),
        }
    }

    /// What to say now.
    fn heed(&mut self, pulse: &Pulse, now: Instant) -> Vec<String> {
        let lives = pulse.beats > self.beats;
        self.beats = pulse.beats;
        self.saying = Saying::default();
        let mut words = Vec::new();
        if !self.ready && pulse.node.is_some() {
            self.saying.ready = true;
            words.push("READY=1".to_owned());
        }
        // A quarter: two may be lost and it is still in time.
        let due = |every: Duration| self.fed.is_none_or(|fed| now - fed >= every / 4);
        if lives && self.watchdog.is_some_and(due) {
            self.saying.fed = true;
            words.push("WATCHDOG=1".to_owned());
        }
        let status = describe(pulse.node.as_ref());
        let new =
            self.status.as_ref().is_none_or(|(old, at)| *old != status && now - *at >= STATUS_REST);
        if new && !self.stopping && (self.ready || self.saying.ready) {
            words.push(format!("STATUS={status}"));
            self.saying.status = Some(status);
        }
        words
    }

    /// The words went out.
    fn said(&mut self, now: Instant) {
        let Saying { ready, fed, status } = std::mem::take(&mut self.saying);
        self.ready |= ready;
        if fed {
            self.fed = Some(now);
        }
        if let Some(status) = status {
            self.status = Some((status, now));
        }
    }
}

/// `follower t42 leader n2 lag 0`.
fn describe(node: Option<&NodeStatus>) -> String {
    let Some(node) = node else { return "waiting for the database".to_owned() };
    let role = match node.role {
        Role::Learner => "learner",
        Role::Follower => "follower",
        Role::PreCandidate => "precandidate",
        Role::Candidate => "candidate",
        Role::Leader => "leader",
    };
    let leader = match node.leader {
        Some(seat) => format!("leader n{seat}"),
        None => format!("no leader, {} of {} up", node.live, node.voters),
    };
    let lag = node.commit.saturating_sub(node.applied);
    format!("{role} t{} {leader} lag {lag}", node.term)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulse(beats: u64, leader: Option<u32>) -> Pulse {
        let node = NodeStatus {
            role: Role::Follower,
            term: 42,
            leader,
            commit: 9,
            applied: 7,
            live: 1,
            voters: 3,
            ..NodeStatus::default()
        };
        Pulse { beats, node: Some(node), ..Pulse::default() }
    }

    fn say(core: &mut Core, pulse: &Pulse, now: Instant) -> Vec<String> {
        let words = core.heed(pulse, now);
        core.said(now);
        words
    }

    #[test]
    fn ready_is_said_once_and_without_a_leader() {
        let (mut core, now) = (Core::new(None), Instant::now());
        assert!(say(&mut core, &Pulse { beats: 1, ..Pulse::default() }, now).is_empty());
        let words = say(&mut core, &pulse(2, None), now);
        assert_eq!(words, ["READY=1", "STATUS=follower t42 no leader, 1 of 3 up lag 2"]);
        assert!(say(&mut core, &pulse(3, None), now + STATUS_REST).is_empty());
    }

    #[test]
    fn what_did_not_go_out_is_said_again() {
        let (mut core, now) = (Core::new(Some(Duration::from_secs(4))), Instant::now());
        let words = core.heed(&pulse(1, None), now);
        assert_eq!(words.len(), 3, "{words:?}");
        assert_eq!(core.heed(&pulse(2, None), now), words);
    }

    #[test]
    fn the_watchdog_is_fed_by_beats_alone() {
        let every = Duration::from_secs(4);
        let (mut core, mut now) = (Core::new(Some(every)), Instant::now());
        let mut fed = |beats, leader, after| {
            now += after;
            say(&mut core, &pulse(beats, leader), now).contains(&"WATCHDOG=1".to_owned())
        };
        assert!(fed(1, None, Duration::ZERO));
        assert!(!fed(2, None, every / 8), "often enough");
        assert!(fed(3, None, every / 4), "no leader is needed");
        assert!(!fed(3, Some(2), every / 2), "a server that is still is not fed for");
        assert!(fed(4, Some(2), every));
    }

    #[test]
    fn the_status_follows_but_not_at_every_change() {
        let (mut core, now) = (Core::new(None), Instant::now());
        say(&mut core, &pulse(1, None), now);
        let next = pulse(2, Some(2));
        assert!(say(&mut core, &next, now + STATUS_REST / 2).is_empty());
        let words = say(&mut core, &next, now + STATUS_REST);
        assert_eq!(words, ["STATUS=follower t42 leader n2 lag 2"]);
        core.stopping = true;
        assert!(say(&mut core, &pulse(3, Some(1)), now + STATUS_REST * 3).is_empty());
    }
}
