//! Progress on standard error. It must not know what goes on.

use std::io::Write;
use std::time::{Duration, Instant};

/// It is told at most this often.
const PAUSE: Duration = Duration::from_secs(1);

/// How far something is.
pub struct Progress {
    shown: bool,
    all: u64,
    what: &'static str,
    told: Instant,
}

impl Progress {
    /// Of `all`, none is there; `what` ends the line, as in "3 of 10 received".
    pub fn new(shown: bool, all: u64, what: &'static str) -> Self {
        Self { shown, all, what, told: Instant::now() }
    }

    /// So many are there.
    pub fn tell(&mut self, done: u64) {
        if !self.shown || self.told.elapsed() < PAUSE {
            return;
        }
        self.told = Instant::now();
        let mut out = std::io::stderr().lock();
        // Progress that cannot be shown is no reason to stop measuring.
        drop(writeln!(out, "{done} of {} {}", self.all, self.what));
    }
}

/// Says something at once, where progress is shown.
pub fn say(shown: bool, what: &str) {
    if shown {
        // Progress that cannot be shown is no reason to stop measuring.
        drop(writeln!(std::io::stderr().lock(), "{what}"));
    }
}
