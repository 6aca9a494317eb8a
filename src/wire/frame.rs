//! Frames: a 4-byte big-endian length, then the payload. Sans-IO: bytes are fed
//! in, payloads come out. It must not know sockets or what a payload means.

use super::WireError;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes of the length prefix.
pub const HEADER: usize = 4;

/// Puts payloads together again from bytes that arrive in pieces.
///
/// Memory follows the bytes received, never the length that a prefix promises; between
/// frames nothing is held.
#[derive(Debug)]
pub struct Decoder {
    buffer: BytesMut,
    limit: usize,
}

impl Decoder {
    /// A decoder that takes payloads of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { buffer: BytesMut::new(), limit }
    }

    /// Changes the limit, in bytes, from the next frame on.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Takes bytes in. Call [`Decoder::next`] until it gives nothing before feeding again,
    /// so that the buffer stays as small as one frame and one read.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next payload, or `None` while it is incomplete. After an error the stream is
    /// out of step: the connection must be closed.
    ///
    /// # Errors
    /// [`WireError::TooLong`] as soon as the prefix says more than the limit.
    #[expect(clippy::should_implement_trait, reason = "incomplete is not the end, as in Iterator")]
    pub fn next(&mut self) -> Result<Option<Bytes>, WireError> {
        let Some(prefix) = self.buffer.first_chunk::<HEADER>() else { return Ok(None) };
        let length = u32::from_be_bytes(*prefix) as usize;
        if length > self.limit {
            return Err(WireError::TooLong { length, limit: self.limit });
        }
        if self.buffer.len() - HEADER < length {
            return Ok(None);
        }
        self.buffer.advance(HEADER);
        let payload = self.buffer.split_to(length).freeze();
        if self.buffer.is_empty() {
            self.buffer = BytesMut::new();
        }
        Ok(Some(payload))
    }

    /// True between two frames: an end of the stream is in order only here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.buffer.capacity()
    }
}

/// Appends a frame to `out`. `payload` must be shorter than 4 GiB; every limit is far below.
pub fn put_frame(out: &mut BytesMut, payload: &[u8]) {
    out.reserve(HEADER + payload.len());
    out.put_u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
    out.put_slice(payload);
}

/// A payload as a frame of its own.
#[must_use]
pub fn encode_frame(payload: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    put_frame(&mut out, payload);
    out.freeze()
}
