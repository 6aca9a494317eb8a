//! How long a frame may take from its first byte to its last. Sans-IO. It must not know
//! sockets, nor what a frame means.

use crate::limits;
use std::time::{Duration, Instant};

/// The frame that has begun and is not complete.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// When its first and its last byte so far arrived.
    begun: Option<(Instant, Instant)>,
}

impl Pace {
    /// Bytes have arrived.
    pub fn on_bytes(&mut self, now: Instant) {
        let first = self.begun.map_or(now, |(first, _)| first);
        self.begun = Some((first, now));
    }

    /// A frame is complete; `more` if there are bytes of the next one, which came last.
    pub fn on_frame(&mut self, more: bool) {
        self.begun = self.begun.filter(|_| more).map(|(_, last)| (last, last));
    }

    /// Nobody has read for this long: it is not the sender's time.
    pub fn excuse(&mut self, unread: Duration) {
        self.begun = self.begun.map(|(first, last)| (first + unread, last + unread));
    }

    /// When the frame must be complete, if no more bytes arrive before; `length` is what it
    /// says of itself, in bytes, once that is known. `None` between two frames.
    #[must_use]
    pub fn deadline(&self, length: Option<usize>) -> Option<Instant> {
        let (first, last) = self.begun?;
        if length.is_some_and(|length| length > limits::FRAME_LONG) {
            return Some((first + limits::FRAME_TIME_LONG).min(last + limits::FRAME_TIME));
        }
        Some(first + limits::FRAME_TIME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{FRAME_LONG, FRAME_TIME, FRAME_TIME_LONG};

    const STEP: Duration = Duration::from_secs(1);

    #[test]
    fn bytes_that_drip_give_a_short_frame_no_more_time() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        assert_eq!(pace.deadline(None), None);
        for n in 0..20 {
            pace.on_bytes(start + STEP * n);
            assert_eq!(pace.deadline(None), Some(start + FRAME_TIME));
            assert_eq!(pace.deadline(Some(FRAME_LONG)), Some(start + FRAME_TIME));
        }
    }

    #[test]
    fn a_long_frame_has_more_time_while_its_bytes_keep_coming() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.on_bytes(start);
        let long = Some(FRAME_LONG + 1);
        assert_eq!(pace.deadline(long), Some(start + FRAME_TIME));
        pace.on_bytes(start + FRAME_TIME / 2);
        assert_eq!(pace.deadline(long), Some(start + FRAME_TIME / 2 + FRAME_TIME));
        pace.on_bytes(start + FRAME_TIME_LONG - STEP);
        assert_eq!(pace.deadline(long), Some(start + FRAME_TIME_LONG));
    }

    #[test]
    fn the_next_frame_begins_with_its_own_first_byte() {
        let (mut pace, start) = (Pace::default(), Instant::now());
        pace.on_bytes(start);
        pace.on_bytes(start + STEP);
        pace.on_frame(true);
        pace.on_frame(true);
        assert_eq!(pace.deadline(None), Some(start + STEP + FRAME_TIME));
        pace.excuse(STEP * 5);
        assert_eq!(pace.deadline(None), Some(start + STEP * 6 + FRAME_TIME));
        pace.on_frame(false);
        assert_eq!(pace.deadline(None), None);
    }
}
