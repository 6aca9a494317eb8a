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

    /// Length of the payload that has begun and is incomplete, as its prefix says it, in bytes.
    #[must_use]
    pub fn promised(&self) -> Option<usize> {
        self.buffer.first_chunk::<HEADER>().map(|prefix| u32::from_be_bytes(*prefix) as usize)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::scripts::seeds;
    use crate::limits;
    use crate::wire::random;
    use rand::Rng;

    #[test]
    fn frames_come_out_however_the_bytes_are_cut() {
        seeds(300, |rng| {
            let frames = random::list(rng, 1, |rng| random::blob(rng, 40_000));
            let mut stream = BytesMut::new();
            frames.iter().for_each(|frame| put_frame(&mut stream, frame));
            let most = rng.random_range(1..20_000);
            let (mut decoder, mut got) = (Decoder::new(40_000), Vec::new());
            while stream.has_remaining() {
                let part = stream.split_to(rng.random_range(1..=most).min(stream.len()));
                decoder.feed(&part);
                while let Some(frame) = decoder.next().unwrap() {
                    got.push(frame);
                }
            }
            assert_eq!(got, frames);
            assert!(decoder.is_empty());
            assert_eq!(decoder.capacity(), 0, "memory is held between frames");
        });
    }

    #[test]
    fn a_promise_reserves_nothing() {
        let mut decoder = Decoder::new(limits::FRAME_SERVER);
        decoder.feed(&u32::try_from(limits::FRAME_SERVER).unwrap().to_be_bytes());
        assert_eq!(decoder.next(), Ok(None));
        assert!(decoder.capacity() < 100, "{} bytes for a header", decoder.capacity());
        let mut received = HEADER;
        while received < limits::FRAME_SERVER {
            decoder.feed(&[0; 1000]);
            received += 1000;
            assert_eq!(decoder.next().is_ok_and(|f| f.is_none()), received < limits::FRAME_SERVER);
            assert!(decoder.capacity() <= 2 * received + limits::READ_STEP);
        }
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_at_its_header() {
        let mut decoder = Decoder::new(10);
        decoder.feed(&encode_frame(&[1; 10]));
        assert_eq!(decoder.next().unwrap().unwrap().len(), 10);
        decoder.feed(&11_u32.to_be_bytes());
        assert_eq!(decoder.next(), Err(WireError::TooLong { length: 11, limit: 10 }));
        decoder.set_limit(11);
        decoder.feed(&[2; 11]);
        assert_eq!(decoder.next().unwrap().unwrap().len(), 11);
    }
}
