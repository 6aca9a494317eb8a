//! A path between two servers that can be broken: a TCP proxy.

use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// What the path does with what is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Path {
    /// Hands it on.
    Open,
    /// Hands it on at about 4 MiB/s, with little room on the way.
    Slow,
    /// Swallows it, connection requests too.
    Hole,
    /// Swallows what the dialler sends.
    HalfHole,
}

const CHUNK: usize = 16 * 1024;

pub(super) struct Proxy {
    path: watch::Sender<Path>,
    cuts: watch::Sender<u64>,
    _end: tokio_util::sync::DropGuard,
}

impl Proxy {
    /// From `listen` to `target`.
    pub(super) fn start(listen: SocketAddr, target: SocketAddr) -> Self {
        let (path, paths) = watch::channel(Path::Open);
        let (cuts, cut) = watch::channel(0);
        let end = CancellationToken::new();
        let listener = listener(listen);
        let guard = end.clone().drop_guard();
        tokio::spawn(async move {
            end.run_until_cancelled(accept(listener, target, paths, cut)).await;
        });
        Self { path, cuts, _end: guard }
    }

    /// Changes what the path does.
    pub(super) fn set(&self, path: Path) {
        self.path.send_replace(path);
    }

    /// Cuts every connection there is.
    pub(super) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

/// With next to no backlog, so that connection requests that are not accepted are dropped,
/// and with little room, so that what is slow is not hidden in buffers.
fn listener(at: SocketAddr) -> TcpListener {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    socket.set_recv_buffer_size(4 * CHUNK).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket.bind(&at.into()).unwrap();
    socket.listen(0).unwrap();
    TcpListener::from_std(socket.into()).unwrap()
}

async fn accept(
    listener: TcpListener,
    target: SocketAddr,
    mut path: watch::Receiver<Path>,
    cut: watch::Receiver<u64>,
) {
    loop {
        path.wait_for(|path| *path != Path::Hole).await.unwrap();
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = path.wait_for(|path| *path == Path::Hole) => continue,
        };
        let (near, _) = accepted.unwrap();
        let (path, mut cut) = (path.clone(), cut.clone());
        cut.mark_unchanged();
        tokio::spawn(async move {
            let Ok(far) = TcpStream::connect(target).await else { return };
            let (near_read, near_write) = near.into_split();
            let (far_read, far_write) = far.into_split();
            let out = pump(near_read, far_write, path.clone(), |path| path == Path::HalfHole);
            let back = pump(far_read, near_write, path, |_| false);
            // An end in one direction is an end of both: servers do not half-close.
            tokio::select! {
                () = out => {}
                () = back => {}
                _ = cut.changed() => {}
            }
        });
    }
}

async fn pump(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut path: watch::Receiver<Path>,
    swallowed: fn(Path) -> bool,
) {
    let mut chunk = vec![0; CHUNK];
    let mut clock = tokio::time::interval(Duration::from_millis(4));
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let Ok(length @ 1..) = from.read(&mut chunk).await else { return };
        let state = path.wait_for(|path| *path != Path::Hole && !swallowed(*path)).await;
        let Ok(state) = state.map(|state| *state) else { return };
        if state == Path::Slow {
            clock.tick().await;
        }
        if to.write_all(&chunk[..length]).await.is_err() {
            return;
        }
    }
}
