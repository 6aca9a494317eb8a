//! The clock of this machine, as everything that is shown or stored has it. A leaf; consensus and
//! timeouts measure with [`std::time::Instant`] instead, which never jumps.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds of UNIX time; 0 before 1970.
#[must_use]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
