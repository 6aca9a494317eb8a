//! Signals to processes.

use std::process::Command;

/// Sends a signal (`TERM`, `STOP`, …) to a process. The shell's own `kill` is everywhere.
pub fn signal(pid: u32, name: &str) {
    let status = Command::new("sh").arg("-c").arg(format!("kill -{name} {pid}")).status();
    assert!(status.is_ok_and(|status| status.success()), "kill -{name} {pid}");
}
