//! Addresses of a cluster's own: 127.a.b.N and a discovery port, taken by nobody
//! else while the cluster lives, because a killed server needs the same ones again.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

/// Bound on .250 of the addresses: whoever else wants them goes on looking.
const GUARD_PORT: u16 = 7099;
const DISCOVERY_FROM: u32 = 10_000;
const DISCOVERY_COUNT: u32 = 22_000;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// The addresses of one cluster.
pub struct Place {
    a: u8,
    b: u8,
    /// UDP port of the cluster's discovery.
    pub discovery: u16,
    _guards: [TcpListener; 2],
}

impl Place {
    /// Addresses that no other cluster on this machine has.
    pub fn take() -> Self {
        for _ in 0..1000 {
            let count = NEXT.fetch_add(1, Ordering::Relaxed);
            let number = std::process::id().wrapping_mul(67).wrapping_add(count);
            let a = u8::try_from(1 + number / 254 % 250).unwrap();
            let b = u8::try_from(1 + number % 254).unwrap();
            let discovery = DISCOVERY_FROM + (number.wrapping_mul(7)) % DISCOVERY_COUNT;
            let discovery = u16::try_from(discovery).unwrap();
            let addresses = TcpListener::bind((Ipv4Addr::new(127, a, b, 250), GUARD_PORT));
            // The number as a TCP port stands for the UDP port, which the servers share.
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, discovery));
            if let (Ok(addresses), Ok(port)) = (addresses, port) {
                return Self { a, b, discovery, _guards: [addresses, port] };
            }
        }
        panic!("no free loopback addresses");
    }

    /// Where the server on `seat` listens.
    pub fn host(&self, seat: u32) -> Ipv4Addr {
        Ipv4Addr::new(127, self.a, self.b, u8::try_from(seat).unwrap())
    }

    /// An address that none of the servers has, for somebody else; `n` below 40.
    pub fn elsewhere(&self, n: u8) -> Ipv4Addr {
        assert!(n < 40, "there are 40 of them");
        Ipv4Addr::new(127, self.a, self.b, 20 + n)
    }

    /// Where the others believe it to be, if its links go through proxies.
    pub fn front(&self, seat: u32) -> Ipv4Addr {
        Ipv4Addr::new(127, self.a, self.b, 100 + u8::try_from(seat).unwrap())
    }
}
