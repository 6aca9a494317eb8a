//! Whether a process may have as many connections as it will need. It must not know what for.

use anyhow::bail;

/// Files that a process has open beside its clients' connections, at most.
const OTHERS: u64 = 512;

/// Sees to it that this process, and those that it starts, may hold the connections of so many
/// clients: on one server all of them, and here half as many again while they look for another
/// server.
///
/// # Errors
/// The system does not allow it.
pub fn allow(clients: u32) -> anyhow::Result<()> {
    let needed = needed(clients);
    let (now, most) = limits();
    if now.is_none_or(|now| now >= needed) {
        return Ok(());
    }
    if most.is_none_or(|most| most >= needed) && raise(needed) {
        return Ok(());
    }
    let (now, most) = (now.unwrap_or(u64::MAX), most.unwrap_or(u64::MAX));
    bail!(
        "{clients} clients need {needed} open files in one process, and {now} are allowed here \
         (at most {most}): raise that with `ulimit -n {needed}`, as root with `ulimit -Hn` first, \
         or take fewer with --clients {}",
        fitting(most)
    )
}

fn needed(clients: u32) -> u64 {
    u64::from(clients) * 3 / 2 + OTHERS
}

/// How many clients so many files are enough for.
fn fitting(files: u64) -> u64 {
    files.saturating_sub(OTHERS) / 3 * 2
}

/// The bound that holds, and the one up to which it may be raised; `None`: there is none.
#[cfg(unix)]
fn limits() -> (Option<u64>, Option<u64>) {
    let limits = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    (limits.current, limits.maximum)
}

#[cfg(unix)]
fn raise(needed: u64) -> bool {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limits = Rlimit { current: Some(needed), ..getrlimit(Resource::Nofile) };
    setrlimit(Resource::Nofile, limits).is_ok()
}

#[cfg(not(unix))]
fn limits() -> (Option<u64>, Option<u64>) {
    (None, None)
}

#[cfg(not(unix))]
fn raise(_needed: u64) -> bool {
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_clients_as_are_advised_fit() {
        assert_eq!(needed(10_000), 15_512);
        for files in [0, 1, 600, 1024, 4096, 20_000, 65_536] {
            let clients = u32::try_from(fitting(files)).unwrap();
            assert!(clients == 0 || needed(clients) <= files, "{clients} for {files}");
        }
    }
}
