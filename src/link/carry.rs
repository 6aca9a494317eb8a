//! Carries bytes between two connections, each way at the pace of the one that takes them. It
//! must not know what they are: they are encrypted for somebody else.

use crate::limits;
use crate::tls::{ReadHalf, Stream, WriteHalf};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// When one side has said its last, the other one has this long to say its own.
const FAREWELL: Duration = Duration::from_secs(1);

/// Carries until either side ends, is silent for `limits::CLIENT_SILENCE` or takes nothing for
/// `limits::CLIENT_STUCK`. It holds at most `limits::CARRY_STEP` bytes each way.
///
/// # Errors
/// How a side was lost.
pub async fn carry(guest: Stream, home: Stream) -> io::Result<()> {
    let ((from_guest, to_guest), (from_home, to_home)) = (guest.split(), home.split());
    let mut there = std::pin::pin!(one_way(from_guest, to_home));
    let mut back = std::pin::pin!(one_way(from_home, to_guest));
    tokio::select! {
        ended = &mut there => {
            ended?;
            timeout(FAREWELL, back).await.unwrap_or(Ok(()))
        }
        ended = &mut back => {
            ended?;
            timeout(FAREWELL, there).await.unwrap_or(Ok(()))
        }
    }
}

async fn one_way(from: ReadHalf, to: WriteHalf) -> io::Result<()> {
    pump(from, to, limits::CLIENT_SILENCE, limits::CLIENT_STUCK).await
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    silence: Duration,
    stuck: Duration,
) -> io::Result<()> {
    let late = || io::Error::from(io::ErrorKind::TimedOut);
    // On the heap: what waits for the other side is not on the stack of a task.
    let mut step = vec![0; limits::CARRY_STEP];
    loop {
        let count = timeout(silence, from.read(&mut step)).await.map_err(|_| late())??;
        if count == 0 {
            return timeout(FAREWELL, to.shutdown()).await.map_err(|_| late())?;
        }
        let given = async {
            to.write_all(&step[..count]).await?;
            to.flush().await
        };
        timeout(stuck, given).await.map_err(|_| late())??;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::{TcpListener, TcpStream};

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (near, listener.accept().await.unwrap().0)
    }

    #[tokio::test]
    async fn all_bytes_come_through_both_ways_and_the_end_does_too() {
        let ((mut device, guest), (home, mut server)) = (pair().await, pair().await);
        let carried = tokio::spawn(carry(guest.into(), home.into()));
        let asked: Vec<u8> = (0..200_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        let mut heard = vec![0; asked.len()];
        let (said, read) = tokio::join!(device.write_all(&asked), server.read_exact(&mut heard));
        said.unwrap();
        read.unwrap();
        assert_eq!(heard, asked);
        server.write_all(b"good bye").await.unwrap();
        drop(server);
        let mut last = Vec::new();
        device.read_to_end(&mut last).await.unwrap();
        assert_eq!(last, b"good bye");
        drop(device);
        carried.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn a_guest_who_takes_nothing_holds_a_step_and_is_given_up() {
        let ((mut server, from_home), (to_guest, guest)) =
            (tokio::io::duplex(1024), tokio::io::duplex(1024));
        let stuck = Duration::from_millis(50);
        let carried = tokio::spawn(pump(from_home, to_guest, limits::CLIENT_SILENCE, stuck));
        let mut taken = 0;
        // It takes what there is room for, and then the connection ends.
        while let Ok(count) = server.write(&[7; 512]).await {
            taken += count;
        }
        assert!(taken <= limits::CARRY_STEP + 2 * 1024, "{taken} bytes were taken");
        let error = carried.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        drop(guest);
    }

    #[tokio::test]
    async fn a_side_that_says_nothing_is_given_up() {
        let ((from, _other), (to, _guest)) = (tokio::io::duplex(64), tokio::io::duplex(64));
        let silence = Duration::from_millis(10);
        let error = pump(from, to, silence, limits::CLIENT_STUCK).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
