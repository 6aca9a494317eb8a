//! Bodies that carry when they were due, so that latency is measured from then.

use crate::chat::message::Body;
use std::time::{SystemTime, UNIX_EPOCH};

/// Hexadecimal digits of the time.
const DIGITS: usize = 16;

/// Nanoseconds of UNIX time.
pub fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// A text body of `size` bytes (at least 17) that says it was due at `due_ns` of UNIX time.
pub fn stamped(size: usize, due_ns: u64) -> Body {
    let mut text = String::with_capacity(size);
    text += &format!("{due_ns:0DIGITS$x} ");
    let missing = size.saturating_sub(text.len());
    text.extend(std::iter::repeat_n('x', missing));
    Body::text(text)
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
    fn its_age_counts_from_when_it_was_due() {
        let late = stamped(17, now_ns() - 5_000_000_000);
        assert_eq!(late.data.len(), 17);
        assert!(age_ns(&late).unwrap() >= 5_000_000_000);
    }
}
