//! Tests that need a network or mounts of their own run again in namespaces that
//! are made for them and gone with them: on nobody else's network, in nobody
//! else's file systems.

use std::process::Command;

/// Set in the process that runs inside the namespaces.
const INSIDE: &str = "RUSTCHAT_TEST_INSIDE_NAMESPACES";

/// Whether this process is the one inside.
pub fn is() -> bool {
    std::env::var_os(INSIDE).is_some()
}

/// Runs one test of this binary again with own network and mount namespaces; as an
/// ordinary user also with an own user namespace, in which it is root.
pub fn run_again(test: &str) {
    let root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout == b"0\n");
    let flags = if root { "-nm" } else { "-Urnm" };
    let output = Command::new("unshare")
        .args([flags, "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(INSIDE, "1")
        .output()
        .expect("`unshare` (package util-linux) is needed for the tests with several hosts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success() && text.contains("1 passed"),
        "inside the namespaces (these need `ip` of package iproute2 and, for others than root, \
         unprivileged user namespaces):\n{text}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Runs a line of shell as root of the namespaces; it must succeed.
#[track_caller]
pub fn sh(script: &str) {
    let output = Command::new("sh").args(["-c", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
}
