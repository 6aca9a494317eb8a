//! A TCP proxy in front of every server. It reads along in the connections
//! between servers: whose link it is stands in the hello, and every message is
//! counted by its kind. Links can be cut and made to swallow everything.

use crate::support::place::Place;
use rustchat::wire::frame::Decoder;
use rustchat::wire::peer::{MessageKind, PeerFrame, PeerHello};
use rustchat::wire::raft::VoteAnswer;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often a pump that waits looks whether its path has changed.
const TICK: Duration = Duration::from_millis(20);
/// Largest frame between servers that the proxy reads, in bytes.
const FRAME: usize = 1024 * 1024;

/// What a path does with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    /// Hands them on.
    Open,
    /// Closes connections, at once and whenever one is made.
    Cut,
    /// Lets connections stand and hands nothing on.
    Swallow,
}

/// All proxies of a cluster.
pub struct Proxies {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    ended: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Per direction (from, to); what is not there is open.
    paths: BTreeMap<(u32, u32), Path>,
    /// Questions seen, per direction and kind.
    counts: BTreeMap<(u32, u32, MessageKind), u64>,
    /// All frames seen and votes and pre-votes granted, by the server that sent them.
    frames: BTreeMap<u32, u64>,
    granted: BTreeMap<u32, u64>,
    /// Answers of any kind, by the server that gave them.
    answers: BTreeMap<u32, u64>,
    /// Connections between servers that are open now, as (dialler, listener, number).
    open: BTreeSet<(u32, u32, u64)>,
    next: u64,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn path(&self, from: u32, to: u32) -> Path {
        self.state().paths.get(&(from, to)).copied().unwrap_or(Path::Open)
    }
}

impl State {
    fn count(&mut self, from: u32, to: u32, frame: &PeerFrame) {
        *self.frames.entry(from).or_default() += 1;
        let answer = frame.answer && frame.kind.is_some();
        *self.answers.entry(from).or_default() += u64::from(answer);
        match (frame.kind, frame.answer) {
            (Some(kind), false) if !frame.more => {
                *self.counts.entry((from, to, kind)).or_default() += 1;
            }
            (Some(MessageKind::Vote | MessageKind::PreVote), true) => {
                let answer = VoteAnswer::decode(frame.payload.clone());
                let granted = answer.is_ok_and(|answer| answer.granted);
                *self.granted.entry(from).or_default() += u64::from(granted);
            }
            _ => {}
        }
    }
}

impl Proxies {
    /// Listens in front of the servers 1 to `n`.
    pub fn start(place: &Place, n: u32, peer: u16, client: u16) -> Self {
        let shared = Arc::new(Shared::default());
        for seat in 1..=n {
            for (port, between_servers) in [(peer, true), (client, false)] {
                let listener = TcpListener::bind((place.front(seat), port)).unwrap();
                listener.set_nonblocking(true).unwrap();
                let door = Door {
                    shared: Arc::clone(&shared),
                    seat,
                    target: (place.host(seat), port).into(),
                    between_servers,
                };
                std::thread::spawn(move || door.keep(&listener));
            }
        }
        Self { shared }
    }

    /// Changes the link between two servers, in both directions.
    pub fn link(&self, one: u32, other: u32, path: Path) {
        self.way(one, other, path);
        self.way(other, one, path);
    }

    /// Changes one direction of a link.
    pub fn way(&self, from: u32, to: u32, path: Path) {
        self.shared.state().paths.insert((from, to), path);
    }

    /// Changes every link between `some` and the rest of the servers 1 to `n`.
    pub fn part(&self, some: &[u32], n: u32, path: Path) {
        for one in some {
            for other in (1..=n).filter(|seat| !some.contains(seat)) {
                self.link(*one, other, path);
            }
        }
    }

    /// Questions of a kind seen so far, from all servers to all.
    pub fn seen(&self, kind: MessageKind) -> u64 {
        let state = self.shared.state();
        state.counts.iter().filter(|((_, _, k), _)| *k == kind).map(|(_, n)| n).sum()
    }

    /// Questions of a kind that one server has sent so far.
    pub fn seen_from(&self, seat: u32, kind: MessageKind) -> u64 {
        let state = self.shared.state();
        let own = |(from, _, k): &(u32, u32, MessageKind)| *from == seat && *k == kind;
        state.counts.iter().filter(|(key, _)| own(key)).map(|(_, n)| n).sum()
    }

    /// Votes and pre-votes that one server has asked for or granted so far.
    pub fn votes_of(&self, seat: u32) -> u64 {
        let asked = [MessageKind::Vote, MessageKind::PreVote];
        self.granted_by(seat) + asked.map(|kind| self.seen_from(seat, kind)).iter().sum::<u64>()
    }

    /// Votes and pre-votes that one server has granted so far.
    pub fn granted_by(&self, seat: u32) -> u64 {
        self.shared.state().granted.get(&seat).copied().unwrap_or_default()
    }

    /// Votes, acknowledgements and other answers that one server has given so far.
    pub fn answers_of(&self, seat: u32) -> u64 {
        self.shared.state().answers.get(&seat).copied().unwrap_or_default()
    }

    /// Frames of any kind, answers too, that one server has sent to others so far.
    pub fn frames_of(&self, seat: u32) -> u64 {
        self.shared.state().frames.get(&seat).copied().unwrap_or_default()
    }

    /// Connections between servers that are open now, as (lower seat, higher seat).
    pub fn connections(&self) -> Vec<(u32, u32)> {
        let state = self.shared.state();
        state.open.iter().map(|(a, b, _)| (*a.min(b), *a.max(b))).collect()
    }
}

impl Drop for Proxies {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
    }
}

/// A listening proxy.
struct Door {
    shared: Arc<Shared>,
    seat: u32,
    target: SocketAddr,
    between_servers: bool,
}

impl Door {
    fn keep(&self, listener: &TcpListener) {
        while !self.shared.ended.load(Ordering::Relaxed) {
            match listener.accept() {
                Ok((stream, _)) => self.let_in(stream),
                Err(_) => std::thread::park_timeout(TICK),
            }
        }
    }

    fn let_in(&self, near: TcpStream) {
        let Ok(far) = TcpStream::connect(self.target) else { return };
        for stream in [&near, &far] {
            stream.set_nonblocking(false).unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(TICK)).unwrap();
        }
        let number = {
            let mut state = self.shared.state();
            state.next += 1;
            state.next
        };
        let link = Arc::new(Link {
            shared: Arc::clone(&self.shared),
            dialler: Mutex::new(None),
            listener: self.seat,
            number,
            between_servers: self.between_servers,
            near,
            far,
        });
        let back = Arc::clone(&link);
        std::thread::spawn(move || link.pump(true));
        std::thread::spawn(move || back.pump(false));
    }
}

/// One connection through the proxy.
struct Link {
    shared: Arc<Shared>,
    /// Who dialled, once its hello was seen.
    dialler: Mutex<Option<u32>>,
    listener: u32,
    number: u64,
    between_servers: bool,
    near: TcpStream,
    far: TcpStream,
}

/// What is read along in one direction.
struct Reader {
    decoder: Decoder,
    /// Hellos that are still to come before the first frame.
    hellos: usize,
}

impl Link {
    fn dialler(&self) -> Option<u32> {
        *self.dialler.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the path does now; open until the hello says whose it is.
    fn path(&self, forth: bool) -> Path {
        match self.dialler() {
            Some(dialler) if forth => self.shared.path(dialler, self.listener),
            Some(dialler) => self.shared.path(self.listener, dialler),
            None => Path::Open,
        }
    }

    fn pump(&self, forth: bool) {
        let (mut from, mut to) =
            if forth { (&self.near, &self.far) } else { (&self.far, &self.near) };
        let mut reader = Reader { decoder: Decoder::new(FRAME), hellos: 1 + usize::from(forth) };
        let mut bytes = vec![0; 64 * 1024];
        while !self.shared.ended.load(Ordering::Relaxed) {
            match self.path(forth) {
                Path::Open => {}
                Path::Swallow => {
                    std::thread::park_timeout(TICK);
                    continue;
                }
                Path::Cut => break,
            }
            let count = match from.read(&mut bytes) {
                Ok(0) => break,
                Ok(count) => count,
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    continue;
                }
                Err(_) => break,
            };
            if self.between_servers {
                self.read_along(forth, &mut reader, &bytes[..count]);
                // The hello may just have told that this path is not open.
                if !self.passes(forth) {
                    break;
                }
            }
            if to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        self.close();
    }

    /// Waits while the path swallows; false when it is cut.
    fn passes(&self, forth: bool) -> bool {
        while !self.shared.ended.load(Ordering::Relaxed) {
            match self.path(forth) {
                Path::Open => return true,
                Path::Cut => return false,
                Path::Swallow => std::thread::park_timeout(TICK),
            }
        }
        false
    }

    fn read_along(&self, forth: bool, reader: &mut Reader, bytes: &[u8]) {
        reader.decoder.feed(bytes);
        while let Ok(Some(frame)) = reader.decoder.next() {
            if reader.hellos > 0 {
                reader.hellos -= 1;
                if forth && let Ok(hello) = PeerHello::decode(&frame) {
                    *self.dialler.lock().unwrap_or_else(PoisonError::into_inner) = Some(hello.seat);
                    self.shared.state().open.insert((hello.seat, self.listener, self.number));
                }
                continue;
            }
            let (Ok(frame), Some(dialler)) = (PeerFrame::decode(&frame), self.dialler()) else {
                continue;
            };
            let (a, b) = if forth { (dialler, self.listener) } else { (self.listener, dialler) };
            self.shared.state().count(a, b, &frame);
        }
    }

    fn close(&self) {
        drop(self.near.shutdown(Shutdown::Both));
        drop(self.far.shutdown(Shutdown::Both));
        if let Some(dialler) = self.dialler() {
            self.shared.state().open.remove(&(dialler, self.listener, self.number));
        }
    }
}
