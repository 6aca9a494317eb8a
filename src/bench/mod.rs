//! Measures the chat with real clients on a running cluster: messages that are
//! stored by a majority, delivered, acknowledged and marked delivered. It must
//! not know servers; who starts them hands in where they are.

mod body;
mod flood;
pub mod links;
mod report;
mod stream;

pub use report::{LinksReport, Report};

use crate::client::{Account, ClientConfig, Finding};

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The job.
    pub job: Job,
    /// Messages in all.
    pub messages: u64,
    /// Bytes of a body; at least 17.
    pub size: usize,
    /// Messages sent and not yet committed; at most the server's own window.
    pub window: u64,
    /// Logins with a wrong password, a second, meanwhile.
    pub bad_logins: u32,
    /// The servers are on this machine, at loopback addresses: so are strangers then.
    pub own_servers: bool,
    /// Where the cluster is.
    pub finding: Finding,
    /// Shows progress on standard error.
    pub progress: bool,
}

/// The jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// One sender, one receiver on another server, as fast as the window allows.
    Stream,
    /// The same with one message at a time.
    Latency,
}

impl Job {
    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Latency => "latency",
        }
    }
}

/// Runs the plan.
///
/// # Errors
/// Where clients cannot register or lose their way; says which step failed.
pub async fn run(plan: &Plan) -> anyhow::Result<Report> {
    match plan.job {
        Job::Stream => stream::run(plan, plan.window).await,
        Job::Latency => stream::run(plan, 1).await,
    }
}

/// A client with an account of its own and a device in memory.
fn client_config(finding: &Finding, name: String) -> ClientConfig {
    let password = Some(format!("bench-{name}-{:016x}", rand::random::<u64>()));
    ClientConfig {
        finding: finding.clone(),
        account: Account { name, password, register: true, invite: None },
        state_dir: None,
        device: None,
    }
}
