//! Measures the chat with real clients on a running cluster: messages that are
//! stored by a majority, delivered, acknowledged and marked delivered. It must
//! not know servers; who starts them hands in where they are.

mod body;
mod cast;
pub mod connections;
mod count;
mod due;
pub mod failover;
mod figures;
mod flood;
mod hands;
pub mod history;
pub mod links;
mod links_report;
mod measure;
mod people;
mod priority;
mod progress;
mod report;
mod sending;
mod verdict;

pub use figures::Figures;
pub use hands::Hands;
pub use links_report::LinksReport;
pub use report::Report;
pub use verdict::{Bounds, Verdict};

use crate::client::Finding;
use sending::Pace;

/// Messages in flight of all senders together, at most: with more of them they only wait in line
/// at the servers, and the latency that is shown is that of the line.
const IN_FLIGHT: u64 = 16_384;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The job.
    pub job: Job,
    /// Messages in all.
    pub messages: u64,
    /// Bytes of a body; at least 17.
    pub size: usize,
    /// Messages that a sender has sent and that are not yet committed; at most the server's own
    /// window.
    pub window: u64,
    /// Logins with a wrong password, a second, meanwhile.
    pub bad_logins: u32,
    /// The servers are on this machine, at loopback addresses: so are strangers then.
    pub own_servers: bool,
    /// Where the cluster is.
    pub finding: Finding,
    /// Shows progress on standard error.
    pub progress: bool,
    /// What must be reached.
    pub bounds: Bounds,
}

/// The jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// One sender, one receiver on another server, as fast as the window allows.
    Stream,
    /// The same with one message at a time.
    Latency,
    /// The same at a fixed rate, whether or not the servers keep up.
    Rate {
        /// Messages a second; at least 1.
        per_second: u32,
    },
    /// Senders with a receiver each, on another server where there are as many as that takes.
    Pairs {
        /// How many pairs; at least 1.
        pairs: u32,
    },
    /// One sender, and a user with devices that are all online.
    Fanout {
        /// How many devices; at least 1.
        devices: u32,
    },
}

impl Job {
    /// Its name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Stream => "stream",
            Self::Latency => "latency",
            Self::Rate { .. } => "rate",
            Self::Pairs { .. } => "pairs",
            Self::Fanout { .. } => "fanout",
        }
    }

    const fn senders(self) -> u32 {
        match self {
            Self::Pairs { pairs } => pairs,
            _ => 1,
        }
    }
}

impl Plan {
    /// When each sender's messages go out.
    fn pace(&self) -> Pace {
        let share = IN_FLIGHT / u64::from(self.job.senders().max(1));
        match self.job {
            Job::Latency => Pace::Window(1),
            Job::Rate { per_second } => Pace::Rate(per_second),
            Job::Pairs { .. } => Pace::Window(self.window.min(share).max(1)),
            Job::Stream | Job::Fanout { .. } => Pace::Window(self.window),
        }
    }
}

/// Runs the plan.
///
/// # Errors
/// Where clients cannot register or lose their way; says which step failed.
pub async fn run(plan: &Plan) -> anyhow::Result<Report> {
    measure::run(plan).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_senders_share_what_may_be_in_flight() {
        let window = |job, window| {
            let finding = Finding::default();
            let (size, messages, bad_logins) = (100, 100_000, 0);
            let (own_servers, progress, bounds) = (true, false, Bounds::default());
            let plan = Plan {
                job,
                messages,
                size,
                window,
                bad_logins,
                own_servers,
                finding,
                progress,
                bounds,
            };
            plan.pace()
        };
        assert_eq!(window(Job::Stream, 4096), Pace::Window(4096));
        assert_eq!(window(Job::Latency, 4096), Pace::Window(1));
        assert_eq!(window(Job::Rate { per_second: 7 }, 4096), Pace::Rate(7));
        assert_eq!(window(Job::Fanout { devices: 100 }, 64), Pace::Window(64));
        assert_eq!(window(Job::Pairs { pairs: 2 }, 4096), Pace::Window(4096));
        assert_eq!(window(Job::Pairs { pairs: 100 }, 4096), Pace::Window(163));
        assert_eq!(window(Job::Pairs { pairs: 100 }, 20), Pace::Window(20));
        assert_eq!(window(Job::Pairs { pairs: 1_000_000 }, 20), Pace::Window(1));
    }
}
