//! Waiting for a condition with a deadline, and watching that nothing happens.

use std::time::{Duration, Instant};

/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(25);
/// Between two looks that nothing has happened: a look may cost a few processes.
const WATCH: Duration = Duration::from_millis(250);

/// Looks until there is something, and returns it; after `deadline` the test fails with `what`.
#[track_caller]
pub fn wait_until<T>(deadline: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < deadline, "not within {deadline:?}: {what}");
        std::thread::park_timeout(LOOK);
    }
}

/// Looks for `time`; the first `Err` fails the test at once.
#[track_caller]
pub fn watch(time: Duration, what: &str, mut look: impl FnMut() -> Result<(), String>) {
    let start = Instant::now();
    while start.elapsed() < time {
        if let Err(seen) = look() {
            panic!("{what}, but after {:?}: {seen}", start.elapsed());
        }
        std::thread::park_timeout(WATCH);
    }
}
