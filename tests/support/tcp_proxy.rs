//! A proxy in front of one TCP server, whatever that speaks: its connections can be cut,
//! swallowed, slowed down, and cut in the middle of something.

use super::place::Place;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often a pump that waits looks whether its path has changed.
const TICK: Duration = Duration::from_millis(10);
/// Where the proxy listens, on an address of its own.
const PORT: u16 = 27018;

/// What a direction does with bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// Hands them on.
    Open,
    /// Closes connections, at once and whenever one is made.
    Cut,
    /// Lets connections stand and hands nothing on.
    Swallow,
    /// Hands everything on so much later.
    Slow(Duration),
}

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// Whoever has connected to the proxy.
    Client,
    /// The server behind it.
    Server,
}

/// Where a connection is cut.
#[derive(Clone, Debug)]
pub enum Trap {
    /// After so many more bytes of one side, over all connections.
    Bytes(From, u64),
    /// Right behind these bytes from the client: the server gets no whole question.
    Question(Vec<u8>),
    /// Where the server answers after these bytes from the client: it has done what was
    /// asked, and nobody hears of it.
    Answer(Vec<u8>),
}

/// A trap that waits.
struct Set {
    trap: Trap,
    /// How often its bytes pass before.
    skip: usize,
    /// What both directions do afterwards.
    then: Flow,
}

struct State {
    forth: Flow,
    back: Flow,
    trap: Option<Set>,
    sprung: usize,
    open: usize,
}

struct Shared {
    target: SocketAddr,
    ended: AtomicBool,
    state: Mutex<State>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The proxy. On drop it stops to listen and closes its connections.
pub struct TcpProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _place: Place,
}

impl TcpProxy {
    /// In front of `target`, which need not be there yet.
    pub fn start(target: SocketAddr) -> Self {
        let place = Place::take();
        let listener = TcpListener::bind((place.host(1), PORT)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let state = State { forth: Flow::Open, back: Flow::Open, trap: None, sprung: 0, open: 0 };
        let shared =
            Arc::new(Shared { target, ended: AtomicBool::new(false), state: Mutex::new(state) });
        let address = listener.local_addr().unwrap();
        let keeper = Arc::clone(&shared);
        std::thread::spawn(move || {
            while !keeper.ended.load(Ordering::Relaxed) {
                match listener.accept() {
                    Ok((stream, _)) => let_in(&keeper, stream),
                    Err(_) => std::thread::park_timeout(TICK),
                }
            }
        });
        Self { address, shared, _place: place }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes both directions, and takes a trap away.
    pub fn set(&self, flow: Flow) {
        let mut state = self.shared.state();
        (state.forth, state.back, state.trap) = (flow, flow, None);
    }

    /// Changes one direction.
    pub fn set_from(&self, from: From, flow: Flow) {
        let mut state = self.shared.state();
        match from {
            From::Client => state.forth = flow,
            From::Server => state.back = flow,
        }
    }

    /// Cuts one connection where the trap says, once its bytes have passed `skip` times;
    /// then both directions do what `then` says.
    pub fn trap(&self, trap: Trap, skip: usize, then: Flow) {
        self.shared.state().trap = Some(Set { trap, skip, then });
    }

    /// How many traps have cut a connection so far.
    pub fn sprung(&self) -> usize {
        self.shared.state().sprung
    }

    /// Connections that stand now.
    pub fn connections(&self) -> usize {
        self.shared.state().open
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::Relaxed);
    }
}

fn let_in(shared: &Arc<Shared>, near: TcpStream) {
    let Ok(far) = TcpStream::connect(shared.target) else { return };
    for stream in [&near, &far] {
        stream.set_nonblocking(false).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(TICK)).unwrap();
    }
    shared.state().open += 1;
    let link = Link { shared: Arc::clone(shared), near, far, mute: Mutex::new(None) };
    let forth = Arc::new(link);
    let back = Arc::clone(&forth);
    std::thread::spawn(move || forth.pump(From::Client));
    std::thread::spawn(move || back.pump(From::Server));
}

/// One connection through the proxy.
struct Link {
    shared: Arc<Shared>,
    near: TcpStream,
    far: TcpStream,
    /// The next answer is not handed on; what the directions do afterwards.
    mute: Mutex<Option<Flow>>,
}

impl Link {
    fn pump(&self, from: From) {
        let (mut source, mut sink) = match from {
            From::Client => (&self.near, &self.far),
            From::Server => (&self.far, &self.near),
        };
        let mut bytes = vec![0; 64 * 1024];
        // The end of what was seen before: what a trap waits for may be in two pieces.
        let mut seen = Vec::new();
        while self.waits(from, Duration::ZERO) {
            let count = match source.read(&mut bytes) {
                Ok(0) => break,
                Ok(count) => count,
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    continue;
                }
                Err(_) => break,
            };
            let delay = match self.flow(from) {
                Flow::Slow(delay) => delay,
                _ => Duration::ZERO,
            };
            if !self.waits(from, delay) {
                break;
            }
            let passing = self.passing(from, &mut seen, &bytes[..count]);
            if sink.write_all(&bytes[..passing.unwrap_or(count)]).is_err() || passing.is_some() {
                break;
            }
        }
        drop(self.near.shutdown(Shutdown::Both));
        drop(self.far.shutdown(Shutdown::Both));
        if from == From::Client {
            self.shared.state().open -= 1;
        }
    }

    fn flow(&self, from: From) -> Flow {
        let state = self.shared.state();
        match from {
            From::Client => state.forth,
            From::Server => state.back,
        }
    }

    /// Waits for `delay`, and while the direction swallows; false when it is cut.
    fn waits(&self, from: From, delay: Duration) -> bool {
        let start = Instant::now();
        while !self.shared.ended.load(Ordering::Relaxed) {
            let flow = self.flow(from);
            if flow == Flow::Cut {
                return false;
            }
            if flow != Flow::Swallow && start.elapsed() >= delay {
                return true;
            }
            std::thread::park_timeout(TICK);
        }
        false
    }

    /// How many of the bytes are handed on before the connection is cut here, if it is.
    fn passing(&self, from: From, seen: &mut Vec<u8>, bytes: &[u8]) -> Option<usize> {
        let mut state = self.shared.state();
        let mut mute = self.mute.lock().unwrap_or_else(PoisonError::into_inner);
        if from == From::Server
            && let Some(then) = mute.take()
        {
            return Some(spring(&mut state, then, 0));
        }
        let Some(mut set) = state.trap.take() else {
            seen.clear();
            return None;
        };
        match &mut set.trap {
            Trap::Bytes(side, left) if *side == from => {
                let count = bytes.len() as u64;
                if *left <= count {
                    let pass = usize::try_from(*left).unwrap();
                    return Some(spring(&mut state, set.then, pass));
                }
                *left -= count;
            }
            Trap::Question(needle) | Trap::Answer(needle) if from == From::Client => {
                let end = found(seen, bytes, needle, &mut set.skip);
                let keep = seen.len().min(needle.len() - 1);
                seen.drain(..seen.len() - keep);
                if let Some(end) = end {
                    if matches!(set.trap, Trap::Question(_)) {
                        return Some(spring(&mut state, set.then, end));
                    }
                    *mute = Some(set.then);
                    return None;
                }
            }
            _ => {}
        }
        state.trap = Some(set);
        None
    }
}

/// The trap has cut a connection, of whose bytes so many are still handed on.
fn spring(state: &mut State, then: Flow, pass: usize) -> usize {
    (state.forth, state.back) = (then, then);
    state.sprung += 1;
    pass
}

/// Where in `bytes` the wanted ones end, after so many others of them; `seen` is what came before.
fn found(seen: &mut Vec<u8>, bytes: &[u8], needle: &[u8], skip: &mut usize) -> Option<usize> {
    let before = seen.len();
    seen.extend_from_slice(bytes);
    let mut places = seen.windows(needle.len()).enumerate().filter(|(_, part)| *part == needle);
    let place = places.by_ref().find(|_| {
        let last = *skip == 0;
        *skip = skip.saturating_sub(1);
        last
    });
    place.map(|(at, _)| at + needle.len() - before)
}
