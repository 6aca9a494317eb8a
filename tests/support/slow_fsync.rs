//! Disks that are slow to sync: a library for `LD_PRELOAD` that adds a delay to every sync of a
//! process, built from `slow_fsync.c` when it is first needed.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The variable that says how many microseconds are added.
pub const DELAY: &str = "SLOW_FSYNC_US";

/// The library; fails with what to install where it cannot be built.
#[track_caller]
pub fn library() -> PathBuf {
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut build = Command::new(project.join("tests/support/build"));
    let output = build.arg("slow-fsync").stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|why| panic!("tests/support/build: {why}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "slow_fsync.c could not be built:\n{said}");
    project.join("target/support/slow-fsync/slow_fsync.so")
}
