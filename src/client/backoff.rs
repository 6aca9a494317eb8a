//! How long to wait before the next try. It must not know what is tried.

/// The first wait is at most this long, in milliseconds.
const FIRST_MS: u64 = 50;
/// No wait is longer, in milliseconds.
const MOST_MS: u64 = 2000;

/// Waits that double up to two seconds, with full jitter: clients that lost the same server
/// do not come back all at once.
#[derive(Debug, Default)]
pub struct Backoff {
    tries: u32,
}

impl Backoff {
    /// The next wait, in milliseconds; `random` is uniform in 0..1.
    pub fn next(&mut self, random: f64) -> u64 {
        let most = FIRST_MS.saturating_mul(1 << self.tries.min(10)).min(MOST_MS);
        self.tries = self.tries.saturating_add(1);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and 2000"
        )]
        let wait = (most as f64 * random) as u64;
        wait
    }

    /// It worked.
    pub const fn reset(&mut self) {
        self.tries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_two_seconds() {
        let mut backoff = Backoff::default();
        let waits: Vec<_> = (0..8).map(|_| backoff.next(1.0)).collect();
        assert_eq!(waits, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
        backoff.reset();
        assert_eq!((backoff.next(0.0), backoff.next(0.5)), (0, 50));
    }
}
