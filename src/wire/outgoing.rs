//! Bytes on their way out, in order: small frames lie together, large payloads are
//! shared with whoever else is sent them and never copied. It must not know sockets
//! or what a payload means.

use super::frame::{HEADER, put_frame};
use crate::limits;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::VecDeque;
use std::io::IoSlice;

/// Frames that were not written yet, to be taken from the front as a [`Buf`]. Memory follows
/// what is queued; once all is taken nothing is held.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// None of them is empty.
    pieces: VecDeque<Bytes>,
    /// What follows the pieces.
    tail: BytesMut,
    /// Bytes in both.
    length: usize,
}

impl Outgoing {
    /// Appends a payload as a frame, as a copy.
    pub(super) fn push(&mut self, payload: &[u8]) {
        put_frame(&mut self.tail, payload);
        self.length += HEADER + payload.len();
        if self.tail.len() >= limits::OUT_PIECE {
            self.seal();
        }
    }

    /// Appends a payload as a frame; a large one is not copied.
    pub(super) fn push_shared(&mut self, payload: Bytes) {
        if payload.len() < limits::OUT_SHARED {
            return self.push(&payload);
        }
        self.tail.put_u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
        self.length += HEADER + payload.len();
        self.seal();
        self.pieces.push_back(payload);
    }

    /// What comes next goes into a buffer of its own, so that none grows by copying much.
    fn seal(&mut self) {
        self.pieces.push_back(std::mem::take(&mut self.tail).freeze());
    }

    /// Bytes of memory held, those that are shared among them.
    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.pieces.iter().map(Bytes::len).sum::<usize>()
            + self.pieces.capacity()
            + self.tail.capacity()
    }
}

impl Buf for Outgoing {
    fn remaining(&self) -> usize {
        self.length
    }

    fn chunk(&self) -> &[u8] {
        self.pieces.front().map_or(&self.tail[..], |piece| &piece[..])
    }

    fn chunks_vectored<'a>(&'a self, into: &mut [IoSlice<'a>]) -> usize {
        let tail = Some(&self.tail[..]).filter(|tail| !tail.is_empty());
        let all = self.pieces.iter().map(|piece| &piece[..]).chain(tail);
        let mut filled = 0;
        for (slot, bytes) in into.iter_mut().zip(all) {
            *slot = IoSlice::new(bytes);
            filled += 1;
        }
        filled
    }

    fn advance(&mut self, mut count: usize) {
        debug_assert!(count <= self.length, "more is taken than there is");
        self.length = self.length.saturating_sub(count);
        if self.length == 0 {
            *self = Self::default();
            return;
        }
        while let Some(first) = self.pieces.front_mut() {
            if count < first.len() {
                first.advance(count);
                return;
            }
            count -= first.len();
            self.pieces.pop_front();
        }
        self.tail.advance(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::scripts::seeds;
    use crate::wire::frame::Decoder;
    use crate::wire::random;
    use rand::Rng;

    const LIMIT: usize = 100_000;

    #[test]
    fn frames_come_out_whole_however_they_are_taken() {
        seeds(200, |rng| {
            let frames = random::list(rng, 1, |rng| random::blob(rng, 3 * limits::OUT_PIECE));
            let (mut out, mut decoder, mut got) =
                (Outgoing::default(), Decoder::new(LIMIT), Vec::new());
            let mut next = frames.iter();
            while got.len() < frames.len() {
                if rng.random_bool(0.5)
                    && let Some(frame) = next.next()
                {
                    let before = out.remaining();
                    if rng.random() {
                        out.push(frame)
                    } else {
                        out.push_shared(frame.clone())
                    }
                    assert_eq!(out.remaining(), before + HEADER + frame.len());
                }
                let mut slices = [IoSlice::new(&[]); 3];
                let filled = out.chunks_vectored(&mut slices);
                let bytes: Vec<u8> =
                    slices[..filled].iter().flat_map(|slice| slice.to_vec()).collect();
                assert!(slices[..filled].iter().all(|slice| !slice.is_empty()));
                assert_eq!(filled == 0, !out.has_remaining());
                assert!(bytes.starts_with(out.chunk()));
                let taken = rng.random_range(0..=bytes.len());
                decoder.feed(&bytes[..taken]);
                out.advance(taken);
                while let Some(frame) = decoder.next().unwrap() {
                    got.push(frame);
                }
            }
            assert_eq!(got, frames);
            assert!(decoder.is_empty());
            assert_eq!((out.remaining(), out.capacity()), (0, 0));
        });
    }

    #[test]
    fn a_large_payload_is_shared_and_small_ones_take_little_more_than_they_are_long() {
        let mut out = Outgoing::default();
        let large = Bytes::from(vec![1; limits::OUT_SHARED]);
        out.push_shared(large.clone());
        assert!(out.pieces.iter().any(|piece| piece.as_ptr() == large.as_ptr()));
        for _ in 0..10 * limits::OUT_PIECE / 100 {
            out.push_shared(Bytes::from(vec![2; 100]));
        }
        let most = out.remaining() + 2 * limits::OUT_PIECE;
        assert!(out.capacity() <= most, "{} bytes for {}", out.capacity(), out.remaining());
    }
}
