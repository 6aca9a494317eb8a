//! Who asks: another machine, a page in a browser, or a program on this machine, and whose. It
//! must not know what is asked.

use super::reply::answer;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The connection that a question came through.
#[derive(Clone, Debug)]
pub struct Caller {
    peer: SocketAddr,
    own: SocketAddr,
    long: Arc<AtomicBool>,
}

impl Caller {
    /// From `peer`, to this server's `own` address.
    pub fn new(peer: SocketAddr, own: SocketAddr) -> Self {
        Self { peer, own, long: Arc::default() }
    }

    /// The answer takes long.
    pub fn takes_long(&self) {
        self.long.store(true, Ordering::Relaxed);
    }

    /// Whether the answer takes long.
    pub fn is_long(&self) -> bool {
        self.long.load(Ordering::Relaxed)
    }

    /// Whether the program that asks runs as this server's user or as root; what a server keeps is
    /// no other user's. Blocks for a moment.
    pub fn is_ours(&self) -> bool {
        if !cfg!(target_os = "linux") {
            return true;
        }
        let own = rustix::process::geteuid().as_raw();
        let table = if self.peer.is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" };
        let sockets = std::fs::read_to_string(table).unwrap_or_default();
        let owner = owner(&sockets, self.peer, self.own);
        owner.is_some_and(|user| user == 0 || user == own)
    }
}

/// The user whose socket is connected from `local` to `remote`, in the kernel's table.
fn owner(sockets: &str, local: SocketAddr, remote: SocketAddr) -> Option<u32> {
    let (local, remote) = (in_table(local), in_table(remote));
    sockets.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let same = fields.next()? == local && fields.next()? == remote;
        // State, queues, timer, retransmissions; then the user.
        same.then(|| fields.nth(4)?.parse().ok()).flatten()
    })
}

/// An address as the kernel writes it: words of the machine's byte order.
fn in_table(address: SocketAddr) -> String {
    let bytes = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let words = bytes.chunks_exact(4).filter_map(|word| word.try_into().ok());
    let words: String = words.map(|word| format!("{:08X}", u32::from_ne_bytes(word))).collect();
    format!("{words}:{:04X}", address.port())
}

/// Someone who may want something: only programs on this machine may, for there are no accounts of
/// operators yet. Everybody else is answered why not.
#[derive(Clone, Copy, Debug)]
pub struct Operator;

impl<S: Sync> FromRequestParts<S> for Operator {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Response> {
        let peer = parts.extensions.get::<IpAddr>();
        match peer.map_or(Some(ELSEWHERE), |peer| turned_away(*peer, &parts.headers)) {
            Some(why) => Err(answer(StatusCode::FORBIDDEN, "forbidden", why)),
            None => Ok(Self),
        }
    }
}

const ELSEWHERE: &str = "this is for programs on this machine alone";

/// Why nothing is done for who asks, if nothing is.
pub fn turned_away(peer: IpAddr, headers: &HeaderMap) -> Option<&'static str> {
    if !peer.to_canonical().is_loopback() {
        return Some(ELSEWHERE);
    }
    // A page in a browser on this machine must not be able to give orders, whatever name its
    // server hides behind.
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    (!host.is_some_and(is_address)).then_some("name this server by its address")
}

fn is_address(host: &str) -> bool {
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.parse::<SocketAddr>().is_ok() || bare.parse::<IpAddr>().is_ok() || name == "localhost"
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn the_owner_of_a_connection_is_found_and_of_no_other() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (server, peer) = listener.accept().unwrap();
            let caller = Caller::new(peer, server.local_addr().unwrap());
            assert!(caller.is_ours(), "{address}: this process is this user's");
            let other = SocketAddr::new(peer.ip(), 1);
            assert!(!Caller::new(other, server.local_addr().unwrap()).is_ours());
            drop(client);
        }
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n\
                     0: 0100007F:1234 0100007F:1C85 01 00000000:00000000 00:00000000 00000000  1000 0 7\n";
        let (peer, own) = ("127.0.0.1:4660".parse().unwrap(), "127.0.0.1:7301".parse().unwrap());
        if cfg!(target_endian = "little") {
            assert_eq!(owner(table, peer, own), Some(1000));
            assert_eq!(owner(table, own, peer), None);
        }
    }
}
