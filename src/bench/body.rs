//! Bodies that carry when they were due, so that latency is measured from then. The rest of them
//! is no text that repeats itself: that would take less room on a disk than what people write.

use crate::chat::message::Body;
use crate::limits;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

/// Hexadecimal digits of the time.
const DIGITS: usize = 16;
/// Bodies are cut out of a text of so many characters, from one of so many places on: a power of
/// two, and far more than what a store compresses at a time.
const PLACES: usize = 1 << 20;
const TEXT: usize = PLACES + limits::BODY_BYTES;

static NOISE: LazyLock<String> = LazyLock::new(|| noise(1).take(TEXT).collect());

/// Nanoseconds of UNIX time.
pub fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// Makes what bodies are cut out of, so that the first one takes no longer than the others.
pub fn prepare() {
    LazyLock::force(&NOISE);
}

/// A text body of `size` bytes (at least 17) that says it was due at `due_ns` of UNIX time.
pub fn stamped(size: usize, due_ns: u64) -> Body {
    let mut text = String::with_capacity(size);
    text += &format!("{due_ns:0DIGITS$x} ");
    let missing = size.saturating_sub(text.len());
    // Neighbours in time are far apart in the text (Knuth, TAOCP 3, 6.4).
    let scattered = due_ns.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - PLACES.ilog2());
    let from = usize::try_from(scattered).unwrap_or_default();
    text.push_str(NOISE.get(from..from + missing).unwrap_or_default());
    Body::text(text)
}

/// Characters without a pattern, the same for the same seed.
fn noise(seed: u64) -> impl Iterator<Item = char> {
    const LETTERS: [char; 32] = [
        'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 'n', 'o', 'p', 'q', 'r',
        's', 't', 'u', 'v', 'w', 'x', 'y', 'z', ' ', '.', ',', '-', '1', '2',
    ];
    // xorshift: any seed but 0 goes through all numbers.
    let steps = std::iter::successors(Some(seed | 1), |last| {
        let a = last ^ (last << 13);
        let b = a ^ (a >> 7);
        Some(b ^ (b << 17))
    });
    let letter = |bits: u64| LETTERS.get((bits % 32) as usize).copied().unwrap_or(' ');
    steps.skip(1).flat_map(move |bits| (0..12).map(move |n| letter(bits >> (5 * n))))
}

/// Nanoseconds since the body was due; `None` for a body of somebody else.
pub fn age_ns(body: &Body) -> Option<u64> {
    let digits = std::str::from_utf8(body.data.get(..DIGITS)?).ok()?;
    Some(now_ns().saturating_sub(u64::from_str_radix(digits, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_has_its_size_and_its_time() {
        let body = stamped(100, now_ns());
        assert_eq!(body.data.len(), 100);
        assert!(age_ns(&body).unwrap() < 60_000_000_000);
        assert_eq!(age_ns(&Body::text("hello")), None);
    }

    #[test]
    fn bodies_do_not_repeat_themselves() {
        let (one, two) = (stamped(1000, 7 << 20), stamped(1000, 8 << 20));
        let pieces = |body: &Body| -> Vec<_> {
            body.data[DIGITS..].windows(6).map(<[u8]>::to_vec).collect()
        };
        let all: Vec<_> = [pieces(&one), pieces(&two)].concat();
        let different: std::collections::BTreeSet<_> = all.iter().collect();
        assert!(different.len() * 100 > all.len() * 99, "{} of {}", different.len(), all.len());
        assert_eq!(one, stamped(1000, 7 << 20));
    }

    #[test]
    fn its_age_counts_from_when_it_was_due() {
        let late = stamped(17, now_ns() - 5_000_000_000);
        assert_eq!(late.data.len(), 17);
        assert!(age_ns(&late).unwrap() >= 5_000_000_000);
    }
}
