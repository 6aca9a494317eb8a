//! Frames over a byte stream: the only code that reads or writes them. Both
//! halves may be used in `select!`: a future that is dropped loses nothing. It
//! must not know what a payload means, nor when a connection counts as dead.

use super::WireError;
use super::frame::Decoder;
use super::outgoing::Outgoing;
use super::pace::Pace;
use crate::limits;
use crate::tls::{ReadHalf, Stream, WriteHalf};
use bytes::{Buf, Bytes};
use std::future::poll_fn;
use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::Poll;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::time::timeout_at;

/// Why a connection gives no more frames.
#[derive(Debug, thiserror::Error)]
pub enum ConnError {
    /// The connection is lost: connect again.
    #[error("the connection failed: {0}")]
    Io(#[from] io::Error),
    /// The stream ended within a frame: the connection is lost.
    #[error("the connection ended within a message")]
    Truncated,
    /// The other side went on before it was its turn: close.
    #[error("the other side did not wait for its turn")]
    Early,
    /// What came is TLS: connect again with it.
    #[error("the other side speaks TLS: use it without --insecure-plain")]
    Encrypted,
    /// The other side breaks the rules: close, and do not trust the rest.
    #[error(transparent)]
    Wire(#[from] WireError),
}

/// A TLS alert read as the length of a frame: content type 21, version 3 (RFC 8446, section 5.1).
const ALERT: std::ops::Range<usize> = 0x1503_0000..0x1504_0000;

impl ConnError {
    fn of_frame(error: WireError) -> Self {
        match error {
            WireError::TooLong { length, .. } if ALERT.contains(&length) => Self::Encrypted,
            error => Self::Wire(error),
        }
    }
}

/// What comes over a connection.
pub type Reader = FrameReader<ReadHalf>;
/// What goes over a connection.
pub type Writer = FrameWriter<WriteHalf>;

/// Frames of a connection, each way. Small frames leave at once (no Nagle).
///
/// # Errors
/// Where the socket refuses the option.
pub fn frames(stream: impl Into<Stream>, limit: usize) -> io::Result<(Reader, Writer)> {
    let stream = stream.into();
    stream.socket().set_nodelay(true)?;
    let (read, write) = stream.split();
    Ok((FrameReader::new(read, limit), FrameWriter::new(write)))
}

/// The connection itself, where what follows is no frames. Everything that was said must be
/// written by then, and everything heard taken.
///
/// # Errors
/// [`ConnError::Early`] where the other side has gone on before it was its turn.
pub async fn whole(reader: Reader, mut writer: Writer) -> Result<Stream, ConnError> {
    writer.flush_all().await?;
    if !reader.decoder.is_empty() {
        return Err(ConnError::Early);
    }
    Stream::join(reader.inner, writer.inner).ok_or(ConnError::Truncated)
}

/// Reads frames. An idle connection holds no buffer.
#[derive(Debug)]
pub struct FrameReader<R> {
    inner: R,
    decoder: Decoder,
    pace: Option<Pace>,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads payloads of at most `limit` bytes from `inner`.
    pub fn new(inner: R, limit: usize) -> Self {
        Self { inner, decoder: Decoder::new(limit), pace: None }
    }

    /// From now on a frame that has begun must be complete in time (`limits::FRAME_TIME`);
    /// where it is not, [`FrameReader::next`] fails with `TimedOut`.
    pub fn hurry(&mut self) {
        self.pace = Some(Pace::default());
    }

    /// Tells that nobody has asked for frames for this long: that time is not the sender's.
    pub fn excuse(&mut self, unread: Duration) {
        if let Some(pace) = &mut self.pace {
            pace.excuse(unread);
        }
    }

    /// Changes the limit, in bytes, from the next frame on: after a login, for one.
    pub fn set_limit(&mut self, limit: usize) {
        self.decoder.set_limit(limit);
    }

    /// The next payload; `None` at the end of the stream. Cancel-safe.
    ///
    /// # Errors
    /// See [`ConnError`]; after any of them the connection must be closed.
    pub async fn next(&mut self) -> Result<Option<Bytes>, ConnError> {
        loop {
            if let Some(payload) = self.buffered()? {
                return Ok(Some(payload));
            }
            if self.read_in_time().await? == 0 {
                let clean = self.decoder.is_empty();
                return if clean { Ok(None) } else { Err(ConnError::Truncated) };
            }
        }
    }

    /// A payload that has already arrived, without waiting.
    ///
    /// # Errors
    /// As [`FrameReader::next`].
    pub fn buffered(&mut self) -> Result<Option<Bytes>, ConnError> {
        let payload = self.decoder.next().map_err(ConnError::of_frame)?;
        if let Some(pace) = self.pace.as_mut().filter(|_| payload.is_some()) {
            pace.on_frame(!self.decoder.is_empty());
        }
        Ok(payload)
    }

    async fn read_in_time(&mut self) -> io::Result<usize> {
        let end = self.pace.and_then(|pace| pace.deadline(self.decoder.promised()));
        let count = match end {
            None => self.read_some().await?,
            // What has arrived is looked at before the clock.
            Some(end) => timeout_at(end.into(), self.read_some()).await??,
        };
        if let Some(pace) = self.pace.as_mut().filter(|_| count > 0) {
            pace.on_bytes(Instant::now());
        }
        Ok(count)
    }

    /// Reads once, by way of the stack: a connection that waits costs no heap.
    async fn read_some(&mut self) -> io::Result<usize> {
        let Self { inner, decoder, .. } = self;
        poll_fn(|cx| {
            let mut space = [const { MaybeUninit::uninit() }; limits::READ_STEP];
            let mut space = ReadBuf::uninit(&mut space);
            Pin::new(&mut *inner).poll_read(cx, &mut space).map_ok(|()| {
                decoder.feed(space.filled());
                space.filled().len()
            })
        })
        .await
    }
}

/// Writes frames; holds what the stream has not taken yet.
#[derive(Debug)]
pub struct FrameWriter<W> {
    inner: W,
    out: Outgoing,
    /// The stream has taken bytes that it may still hold: one that encrypts does.
    dirty: bool,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// Writes to `inner`.
    pub fn new(inner: W) -> Self {
        Self { inner, out: Outgoing::default(), dirty: false }
    }

    /// Queues a payload as a frame; the length is put in front here. Nothing is written yet:
    /// the caller bounds [`FrameWriter::pending`].
    pub fn push(&mut self, payload: &[u8]) {
        self.out.push(payload);
    }

    /// The same for a payload that others may be sent too: a large one is shared, not copied.
    pub fn push_shared(&mut self, payload: Bytes) {
        self.out.push_shared(payload);
    }

    /// Bytes queued and not yet taken by the stream; 1 where it took all and may still hold some.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.out.remaining().max(usize::from(self.dirty))
    }

    /// Writes what the stream takes at once, or waits until it takes some; returns how many
    /// bytes. Ready at once, with 0, when nothing is pending: guard it in `select!` with
    /// `if writer.pending() > 0`. Cancel-safe.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn flush_some(&mut self) -> io::Result<usize> {
        if self.out.has_remaining() {
            let written = self.inner.write_buf(&mut self.out).await?;
            if written == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.dirty = true;
            self.push_through().await?;
            return Ok(written);
        }
        if self.dirty {
            self.inner.flush().await?;
            self.dirty = false;
        }
        Ok(0)
    }

    /// Flushes as far as that goes without waiting.
    async fn push_through(&mut self) -> io::Result<()> {
        let Self { inner, dirty, .. } = self;
        poll_fn(|cx| {
            let flushed = Pin::new(&mut *inner).poll_flush(cx)?;
            *dirty = flushed.is_pending();
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Writes everything that is queued. Cancel-safe: what was not written stays queued.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn flush_all(&mut self) -> io::Result<()> {
        while self.pending() > 0 {
            self.flush_some().await?;
        }
        Ok(())
    }

    /// Writes everything that is queued and ends this direction.
    ///
    /// # Errors
    /// When the connection is lost.
    pub async fn finish(&mut self) -> io::Result<()> {
        self.flush_all().await?;
        self.inner.shutdown().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::random;
    use rand::rngs::StdRng;
    use rand::{Rng, SeedableRng};
    use std::time::Duration;
    use tokio::io::AsyncWriteExt;

    const LIMIT: usize = 100_000;

    fn frames_of(rng: &mut StdRng) -> Vec<Bytes> {
        (0..300).map(|_| random::blob(rng, 3000)).collect()
    }

    /// Both ends drop their futures all the time, as a session's `select!` does.
    #[tokio::test]
    async fn dropped_futures_lose_nothing() {
        let mut rng = StdRng::seed_from_u64(1);
        let sent = frames_of(&mut rng);
        let (near, far) = tokio::io::duplex(700);
        let (mut writer, mut reader) = (FrameWriter::new(near), FrameReader::new(far, LIMIT));
        let mut got = Vec::new();
        let mut next = sent.iter();
        let all = async {
            while got.len() < sent.len() {
                tokio::select! {
                    biased;
                    () = tokio::task::yield_now(), if rng.random_bool(0.5) => {
                        if writer.pending() < 10_000 && let Some(frame) = next.next() {
                            writer.push(frame);
                        }
                    }
                    frame = reader.next() => got.push(frame.unwrap().unwrap()),
                    n = writer.flush_some(), if writer.pending() > 0 => assert!(n.unwrap() > 0),
                    () = tokio::task::yield_now() => {}
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), all).await.expect("all frames within 20 s");
        assert_eq!(got, sent);
        assert_eq!(writer.pending(), 0);
        writer.finish().await.unwrap();
        assert!(reader.next().await.unwrap().is_none(), "the end is the end");
    }

    #[tokio::test]
    async fn an_end_within_a_frame_is_an_error() {
        for part in [&[0_u8, 0][..], &[0, 0, 0, 5, 1, 2]] {
            let (mut near, far) = tokio::io::duplex(100);
            near.write_all(part).await.unwrap();
            drop(near);
            let error = FrameReader::new(far, LIMIT).next().await.unwrap_err();
            assert!(matches!(error, ConnError::Truncated), "{error}");
        }
    }

    #[tokio::test]
    async fn a_reader_that_waits_holds_no_memory() {
        let (near, far) = tokio::io::duplex(100_000);
        let (mut writer, mut reader) = (FrameWriter::new(near), FrameReader::new(far, LIMIT));
        writer.push(&[7; 50_000]);
        writer.flush_all().await.unwrap();
        assert_eq!(writer.out.capacity(), 0);
        assert_eq!(reader.next().await.unwrap().unwrap().len(), 50_000);
        tokio::select! {
            biased;
            frame = reader.next() => panic!("{frame:?}"),
            () = tokio::task::yield_now() => {}
        }
        assert_eq!(reader.decoder.capacity(), 0);
    }
}
