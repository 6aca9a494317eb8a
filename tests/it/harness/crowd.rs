//! Sockets of strangers: many of them, from loopback addresses of their own, that say what
//! they are told to and never wait for an answer. It must not know what a scenario asserts.

use super::channel::Channel;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// A connection is made within this time or not at all.
const CONNECT: Duration = Duration::from_secs(5);

/// A connection from this address of ours.
pub fn connect_from(source: Ipv4Addr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP))?;
    socket.bind(&SocketAddr::from((source, 0)).into())?;
    socket.connect_timeout(&to.into(), CONNECT)?;
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// One who never waits.
pub struct Stranger(Channel);

impl Stranger {
    /// Connects from this address, and speaks no TLS.
    pub fn bare(source: Ipv4Addr, to: SocketAddr) -> io::Result<Self> {
        Ok(Self::of(Channel::Plain(connect_from(source, to)?)))
    }

    /// Connects from this address, and speaks as the server does.
    pub fn from(source: Ipv4Addr, to: SocketAddr) -> io::Result<Self> {
        let stream = connect_from(source, to)?;
        stream.set_read_timeout(Some(CONNECT))?;
        Ok(Self::of(Channel::over(stream)?))
    }

    /// Goes on with a connection, however far that has come.
    pub fn of(channel: Channel) -> Self {
        channel.socket().set_nonblocking(true).unwrap();
        Self(channel)
    }

    /// Sends bytes; what the connection does not take is lost.
    pub fn say(&mut self, bytes: &[u8]) {
        drop(self.0.write(bytes).and_then(|_| self.0.flush()));
    }

    /// True once the other side has ended the connection; what it sent is passed over.
    pub fn is_out(&mut self) -> bool {
        let mut passed_over = [0; 4096];
        loop {
            match self.0.read(&mut passed_over) {
                Ok(0) => return true,
                Ok(_) => {}
                Err(why) if why.kind() == ErrorKind::WouldBlock => return false,
                Err(_) => return true,
            }
        }
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        drop(self.0.socket().shutdown(Shutdown::Both));
    }
}

/// Lets this process, and those it starts, have so many files open.
pub fn allow_files(wanted: u64) {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|now| now < wanted) {
        limit.current = Some(limit.maximum.map_or(wanted, |most| most.min(wanted)));
        setrlimit(Resource::Nofile, limit).unwrap();
    }
    let now = getrlimit(Resource::Nofile).current;
    assert!(
        now.is_none_or(|now| now >= wanted),
        "this test needs {wanted} open files, and at most {now:?} are allowed (ulimit -Hn)"
    );
}
