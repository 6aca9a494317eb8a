//! Frames on a byte stream: a 4-byte big-endian length, then the body. The length
//! is checked before anything is reserved for it. It must not know what is in a
//! frame.

use crate::limits::READ_STEP;
use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Why there is no next frame.
#[derive(Debug, thiserror::Error)]
pub(super) enum FrameError {
    #[error("the other side closed the connection")]
    Closed,
    #[error(transparent)]
    Io(#[from] std::io::Error),
    #[error("a frame of {length} bytes, where at most {limit} are allowed")]
    TooLong { length: usize, limit: usize },
}

/// Reads frames.
pub(super) struct Frames<R> {
    from: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, buffer: BytesMut::new() }
    }

    /// The body of the next frame. What was read of it stays when the future is dropped.
    pub(super) async fn next(&mut self, limit: usize) -> Result<BytesMut, FrameError> {
        self.fill(4).await?;
        let prefix = self.buffer.first_chunk::<4>().copied().unwrap_or_default();
        let length = usize::try_from(u32::from_be_bytes(prefix)).unwrap_or(usize::MAX);
        if length > limit {
            return Err(FrameError::TooLong { length, limit });
        }
        self.fill(4 + length).await?;
        self.buffer.advance(4);
        Ok(self.buffer.split_to(length))
    }

    async fn fill(&mut self, bytes: usize) -> Result<(), FrameError> {
        while self.buffer.len() < bytes {
            self.buffer.reserve(READ_STEP);
            if self.from.read_buf(&mut self.buffer).await? == 0 {
                return Err(FrameError::Closed);
            }
        }
        Ok(())
    }
}
