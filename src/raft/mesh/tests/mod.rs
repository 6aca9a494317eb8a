//! Meshes in one process, over real loopback sockets.

mod lanes;
mod paths;
mod proxy;
mod review;
mod strangers;

use super::*;
use crate::limits::PEER_SILENCE;
use crate::wire::message::ServerAddress;
use proxy::{Path, Proxy};
use std::sync::atomic::AtomicU32;

/// For what has no deadline of its own.
const DEADLINE: Duration = Duration::from_secs(10);
/// What a busy machine may add to a deadline of the mesh.
const SLACK: Duration = Duration::from_millis(500);
const PORT: u16 = 17_201;

/// Answers with what it was asked; some kinds only once the gate is open.
struct Gate {
    open: watch::Sender<bool>,
    gated: fn(MessageKind) -> bool,
    started: watch::Sender<Vec<(u32, MessageKind, Bytes)>>,
    finished: watch::Sender<usize>,
}

impl Gate {
    fn new(gated: fn(MessageKind) -> bool) -> Arc<Self> {
        Arc::new(Self {
            open: watch::Sender::default(),
            gated,
            started: watch::Sender::default(),
            finished: watch::Sender::default(),
        })
    }

    fn started(&self, kind: MessageKind) -> usize {
        self.started.borrow().iter().filter(|(_, one, _)| *one == kind).count()
    }
}

#[async_trait]
impl Handler for Gate {
    async fn on_message(&self, from: u32, kind: MessageKind, payload: Bytes) -> Option<Bytes> {
        self.started.send_modify(|all| all.push((from, kind, payload.clone())));
        if (self.gated)(kind) {
            self.open.subscribe().wait_for(|open| *open).await.ok()?;
        }
        self.finished.send_modify(|n| *n += 1);
        Some(payload)
    }
}

/// A mesh that ends with its test.
struct Node {
    mesh: Mesh,
    token: CancellationToken,
}

impl Drop for Node {
    fn drop(&mut self) {
        self.token.cancel();
    }
}

impl std::ops::Deref for Node {
    type Target = Mesh;

    fn deref(&self) -> &Mesh {
        &self.mesh
    }
}

/// A loopback network that no other test of this or another process uses.
fn network() -> [u8; 2] {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let n = std::process::id().wrapping_mul(61) + NEXT.fetch_add(1, Ordering::Relaxed);
    [100 + (n / 250 % 100) as u8, (1 + n % 250) as u8]
}

fn seats(n: u32) -> Vec<Seat> {
    let [a, b] = network();
    let seat = |seat| Seat { seat, host: format!("127.{a}.{b}.{seat}"), peer: PORT, client: 1 };
    (1..=n).map(seat).collect()
}

fn address(seats: &[Seat], seat: u32) -> SocketAddr {
    let seat = &seats[seat as usize - 1];
    format!("{}:{}", seat.host, seat.peer).parse().unwrap()
}

fn hello(seat: u32, to_seat: u32) -> PeerHello {
    PeerHello {
        min: 1,
        max: 1,
        seat,
        raft_id: seat.into(),
        cluster_name: "west".into(),
        to_seat,
        address: ServerAddress { seat, ..ServerAddress::default() },
        ..PeerHello::default()
    }
}

fn start_with(seat: u32, seats: &[Seat], handler: Arc<dyn Handler>, accept: Accept) -> Node {
    start_saying(seat, seats, handler, accept, Arc::new(move |to| hello(seat, to)))
}

fn start_saying(
    seat: u32,
    seats: &[Seat],
    handler: Arc<dyn Handler>,
    accept: Accept,
    hello: MakeHello,
) -> Node {
    let token = CancellationToken::new();
    let listen = address(seats, seat);
    let config = MeshConfig { seat, seats: seats.to_vec(), listen, peers: None };
    Node { mesh: Mesh::start(config, hello, accept, handler, token.clone()).unwrap(), token }
}

fn start(seat: u32, seats: &[Seat], handler: Arc<dyn Handler>) -> Node {
    start_with(seat, seats, handler, Arc::new(|_, _| Ok(())))
}

/// Two servers; what the first sends to the second goes through a proxy.
fn pair(handler: Arc<dyn Handler>) -> (Node, Node, Proxy) {
    let seats = seats(3);
    let proxy = Proxy::start(address(&seats, 3), address(&seats, 2));
    let (mut own, other) = (seats[..2].to_vec(), seats[..2].to_vec());
    own[1].host.clone_from(&seats[2].host);
    let two = start(2, &other, Arc::clone(&handler));
    (start(1, &own, handler), two, proxy)
}

async fn within<T>(deadline: Duration, what: &str, wait: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(deadline, wait).await;
    done.unwrap_or_else(|_| panic!("not within {deadline:?}: {what}"))
}

async fn until_peers(node: &Mesh, n: usize, deadline: Duration) {
    let mut peers = node.peers();
    let what = format!("node {} comes to {n} peers", node.shared.seat);
    within(deadline, &what, peers.wait_for(|all| all.len() == n)).await.unwrap();
}

/// Asks until there is an answer.
async fn until_usable(node: &Mesh, seat: u32, deadline: Duration) {
    let mut peers = node.peers();
    within(deadline, "the connection is usable", async {
        let ping = Bytes::from_static(b"ping");
        while node.call(seat, MessageKind::Vote, ping.clone(), DEADLINE).await.is_err() {
            peers.wait_for(|all| all.contains_key(&seat)).await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_pair_has_one_connection_and_calls_go_both_ways() {
    for n in 2..=5 {
        let seats = seats(n);
        let gate = Gate::new(|_| false);
        let nodes: Vec<_> = (1..=n).map(|seat| start(seat, &seats, gate.clone())).collect();
        for node in &nodes {
            until_peers(node, n as usize - 1, DEADLINE).await;
        }
        for node in &nodes {
            for (kind, to) in
                MessageKind::ALL.into_iter().flat_map(|kind| (1..=n).map(move |to| (kind, to)))
            {
                let payload = Bytes::from(vec![to as u8; 100_000]);
                let answer = node.call(to, kind, payload.clone(), DEADLINE).await;
                let own = to == node.shared.seat;
                assert_eq!(answer, if own { Err(CallError::NotConnected) } else { Ok(payload) });
            }
        }
        let ends: u64 = nodes.iter().map(|node| node.established()).sum();
        assert_eq!(ends, u64::from(n * (n - 1)), "two ends for each of n(n-1)/2 pairs");
        for node in nodes {
            node.token.cancel();
            within(DEADLINE, "every task ends", node.ended()).await;
            assert!(node.peers().borrow().is_empty());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn at_shutdown_everything_ends_also_handlers_that_wait() {
    let seats = seats(2);
    let gate = Gate::new(|_| true);
    let (one, two) = (start(1, &seats, gate.clone()), start(2, &seats, gate.clone()));
    until_peers(&one, 1, DEADLINE).await;
    let ask = |kind| one.call(2, kind, Bytes::new(), DEADLINE);
    let end = async {
        let mut started = gate.started.subscribe();
        started.wait_for(|all| all.len() == 3).await.unwrap();
        two.token.cancel();
        two.ended().await;
    };
    let (vote, append, forward, ()) = within(DEADLINE, "all of it ends", async {
        tokio::join!(
            ask(MessageKind::Vote),
            ask(MessageKind::Append),
            ask(MessageKind::Forward),
            end
        )
    })
    .await;
    assert_eq!([vote, append, forward], [const { Err(CallError::Lost) }; 3]);
    drop(one);
}
