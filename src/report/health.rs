//! Whether a node lives and whether it is ready, check by check, from its own statement. Pure; see
//! [`super`].

use super::judge::DOWN;
use super::reason::Reason;
use crate::chat::text::printable;
use crate::wire::statement::Status;
use std::time::Duration;

/// A node whose consensus has not answered for so long is stuck: start it anew.
pub const STUCK: Duration = Duration::from_secs(10);

/// One check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name; never changes.
    pub name: &'static str,
    /// It passed.
    pub ok: bool,
    /// What was found, for a person.
    pub text: String,
}

impl Check {
    /// One that passed, or did not.
    #[must_use]
    pub fn new(name: &'static str, ok: bool, text: impl Into<String>) -> Self {
        Self { name, ok, text: text.into() }
    }
}

/// As probes print them: `[+]leader ok`, `[-]leader none for 12.4s`.
#[must_use]
pub fn lines(checks: &[Check]) -> String {
    let line = |check: &Check| {
        let sign = if check.ok { '+' } else { '-' };
        format!("[{sign}]{} {}\n", check.name, printable(&check.text))
    };
    checks.iter().map(line).collect()
}

/// Whether the process is alive; `silent` is how long its consensus has not answered. True without
/// a leader, with a full disk, while it catches up and while its database is away.
#[must_use]
pub fn live(silent: Duration) -> Vec<Check> {
    let ok = silent < STUCK;
    let text = if ok { "ok".to_owned() } else { format!("still for {:.1}s", silent.as_secs_f64()) };
    vec![Check::new("raft_loop", ok, text)]
}

/// Whether clients should be sent to it.
#[must_use]
pub fn ready(status: &Status) -> Vec<Check> {
    let said = |reason: Reason| status.reasons.iter().any(|code| code == reason.code());
    let storage = !said(Reason::StorageUnavailable) && status.role != DOWN;
    let backlog = status.commit.saturating_sub(status.applied);
    let voter = status.role != "learner" && status.role != DOWN;
    vec![
        Check::new("leader", status.leader.is_some(), leader(status)),
        Check::new(
            "applied",
            !said(Reason::ApplyBacklog),
            format!("{backlog} behind the commit index"),
        ),
        Check::new("voter", voter, format!("it is {}", status.role)),
        Check::new("draining", !status.draining, if status.draining { "yes" } else { "no" }),
        Check::new("storage", storage, if storage { "ok" } else { status.why.as_str() }),
        Check::new("disk", !said(Reason::DiskFull), disk(status)),
    ]
}

fn leader(status: &Status) -> String {
    match (status.leader, status.elections.leaderless_ms) {
        (Some(seat), _) => format!("n{seat} in term {}", status.term),
        (None, Some(ms)) => format!("none for {:.1}s", Duration::from_millis(ms).as_secs_f64()),
        (None, None) => "none".to_owned(),
    }
}

fn disk(status: &Status) -> String {
    match super::document::free_ratio(&status.load) {
        Some(free) => format!("{:.0} % free", free * 100.0),
        None => "not here".to_owned(),
    }
}
