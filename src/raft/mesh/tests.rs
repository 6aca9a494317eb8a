//! Meshes in one process, over real loopback sockets.

use super::*;
use crate::wire::message::ServerAddress;
use std::sync::atomic::AtomicU32;

const DEADLINE: Duration = Duration::from_secs(10);
const PORT: u16 = 17_201;

struct Echo;

#[async_trait]
impl Handler for Echo {
    async fn on_message(&self, _: u32, _: MessageKind, payload: Bytes) -> Option<Bytes> {
        Some(payload)
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

fn hello(seat: u32) -> MakeHello {
    Arc::new(move |to_seat| PeerHello {
        min: 1,
        max: 1,
        seat,
        raft_id: seat.into(),
        cluster_name: "west".into(),
        to_seat,
        address: ServerAddress { seat, ..ServerAddress::default() },
        ..PeerHello::default()
    })
}

fn start(seat: u32, seats: &[Seat], handler: Arc<dyn Handler>) -> (Mesh, CancellationToken) {
    let own = seats.iter().find(|s| s.seat == seat).unwrap();
    let listen = format!("{}:{}", own.host, own.peer).parse().unwrap();
    let token = CancellationToken::new();
    let config = MeshConfig { seat, seats: seats.to_vec(), listen };
    let accept: Accept = Arc::new(|_| Ok(()));
    (Mesh::start(config, hello(seat), accept, handler, token.clone()).unwrap(), token)
}

async fn until_peers(mesh: &Mesh, n: usize, within: Duration) {
    let mut peers = mesh.peers();
    let wait = tokio::time::timeout(within, peers.wait_for(|all| all.len() == n)).await;
    assert!(wait.is_ok(), "node {} does not come to {n} peers", mesh.shared.seat);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_pair_has_one_connection_and_calls_go_both_ways() {
    for n in 2..=5 {
        let seats = seats(n);
        let nodes: Vec<_> = (1..=n).map(|seat| start(seat, &seats, Arc::new(Echo))).collect();
        for (mesh, _) in &nodes {
            until_peers(mesh, n as usize - 1, DEADLINE).await;
        }
        let ends: u64 = nodes.iter().map(|(mesh, _)| mesh.established()).sum();
        assert_eq!(ends, u64::from(n * (n - 1)), "two ends for each of n(n-1)/2 pairs");
        for (mesh, _) in &nodes {
            for (kind, to) in
                MessageKind::ALL.into_iter().flat_map(|kind| (1..=n).map(move |to| (kind, to)))
            {
                let payload = Bytes::from(vec![to as u8; 100_000]);
                let answer = mesh.call(to, kind, payload.clone(), DEADLINE).await;
                let own = to == mesh.shared.seat;
                assert_eq!(answer, if own { Err(CallError::NotConnected) } else { Ok(payload) });
            }
        }
        for (mesh, token) in nodes {
            token.cancel();
            tokio::time::timeout(DEADLINE, mesh.ended()).await.expect("tasks end");
            assert!(mesh.peers().borrow().is_empty());
        }
    }
}
