//! Running a cluster: probes and metrics, members that come and go, leaders that move, servers
//! that are drained, and a restart of all of them under load.

mod leaders;
mod members;
pub mod probes;
mod rolling;

use crate::harness::Cluster;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// The code and the body of `GET path`.
pub fn get(address: SocketAddr, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let code = head.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    Ok((code, body.to_owned()))
}

/// A follower, by its seat.
fn follower(cluster: &Cluster) -> u32 {
    let leader = cluster.leader().seat;
    cluster.seats().into_iter().find(|seat| *seat != leader).unwrap()
}
