//! What people type to measure the chat: each job with its own options. It must not know what is
//! measured.

use crate::cli::args::TrustArgs;
use clap::{Args, Subcommand, value_parser};

/// `rustchat bench`.
#[derive(Clone, Debug, Args)]
pub struct BenchArgs {
    /// What to measure
    #[command(subcommand)]
    pub job: JobArgs,
}

/// What can be measured.
#[derive(Clone, Debug, Subcommand)]
pub enum JobArgs {
    /// One sender, one receiver on another server, a window of messages in flight
    Stream {
        /// What, and where.
        #[command(flatten)]
        messages: MessagesArgs,
        /// In flight.
        #[command(flatten)]
        window: WindowArgs,
    },
    /// The same with one message in flight
    Latency {
        /// What, and where.
        #[command(flatten)]
        messages: MessagesArgs,
    },
    /// The same with --rate messages a second, each timed from when it was due
    Rate {
        /// What, and where.
        #[command(flatten)]
        messages: MessagesArgs,
        /// Messages a second
        #[arg(long, value_name = "N", default_value_t = 1000, value_parser = value_parser!(u32).range(1..=1_000_000))]
        rate: u32,
    },
    /// --pairs senders and as many receivers
    Pairs {
        /// What, and where.
        #[command(flatten)]
        messages: MessagesArgs,
        /// In flight.
        #[command(flatten)]
        window: WindowArgs,
        /// Senders, and as many receivers
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u32).range(1..=1000))]
        pairs: u32,
    },
    /// One sender, and a user with --devices devices that all receive; there are no rooms yet
    Fanout {
        /// What, and where.
        #[command(flatten)]
        messages: MessagesArgs,
        /// In flight.
        #[command(flatten)]
        window: WindowArgs,
        /// Devices of the one user who receives
        #[arg(long, value_name = "N", default_value_t = 100, value_parser = value_parser!(u32).range(1..=1000))]
        devices: u32,
    },
    /// Many idle clients, and what becomes of them when a server is killed, and then another one;
    /// half as many open files again as there are clients are needed (`ulimit -n`)
    Connections(ConnectionsArgs),
    /// Several linked clusters: one sender, and a receiver in each of the others
    Links {
        /// Clusters that it starts itself
        #[arg(long, value_name = "N", default_value_t = 6, value_parser = value_parser!(u32).range(2..=20))]
        clusters: u32,
        /// Servers of each
        #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u32).range(1..=9))]
        servers: u32,
        /// What.
        #[command(flatten)]
        load: LoadArgs,
        /// In flight.
        #[command(flatten)]
        window: WindowArgs,
    },
    /// The leader of own servers is killed again and again while one sends at a fixed rate
    Failover(FailoverArgs),
    /// Many messages are stored on own servers: what that costs a stream, pages of old messages,
    /// a new start, memory and disk
    History(HistoryArgs),
}

/// `rustchat bench failover`.
#[derive(Clone, Debug, Args)]
pub struct FailoverArgs {
    /// Where.
    #[command(flatten)]
    pub own: OwnArgs,
    /// Times that the leader is killed as by `kill -9`
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = value_parser!(u32).range(..=10_000))]
    pub rounds: u32,
    /// Times that it hands leadership over
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = value_parser!(u32).range(..=10_000))]
    pub planned: u32,
    /// Messages a second
    #[arg(long, value_name = "N", default_value_t = 5000, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub rate: u32,
    /// Bytes of a message
    #[arg(long, value_name = "B", default_value_t = 100, value_parser = value_parser!(u32).range(17..=16_384))]
    pub size: u32,
    /// Exit with 1 if half of the kills kept anything new from being acknowledged for longer than so
    /// many seconds
    #[arg(long, value_name = "S", value_parser = bound)]
    pub max_median: Option<f64>,
    /// Exit with 1 if any of them did for longer than so many seconds
    #[arg(long, value_name = "S", value_parser = bound)]
    pub max_longest: Option<f64>,
    /// Exit with 1 if acknowledgements paused for more than so many milliseconds while leadership
    /// was handed over
    #[arg(long, value_name = "MS", value_parser = bound)]
    pub max_pause: Option<f64>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// `rustchat bench history`.
#[derive(Clone, Debug, Args)]
pub struct HistoryArgs {
    /// Where.
    #[command(flatten)]
    pub own: OwnArgs,
    /// Messages that are stored; a tenth of them in one conversation
    #[arg(long, value_name = "N", default_value_t = 1_000_000, value_parser = value_parser!(u64).range(100..))]
    pub stored: u64,
    /// Users whose messages they are; half of them write, to ten of the others each
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = value_parser!(u32).range(2..=1000))]
    pub users: u32,
    /// Messages of the stream that is measured before and afterwards
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = value_parser!(u64).range(1..))]
    pub messages: u64,
    /// Pages of 50 old messages that are read
    #[arg(long, value_name = "N", default_value_t = 2000, value_parser = value_parser!(u32).range(1..=1_000_000))]
    pub pages: u32,
    /// Bytes of a message
    #[arg(long, value_name = "B", default_value_t = 100, value_parser = value_parser!(u32).range(17..=16_384))]
    pub size: u32,
    /// In flight.
    #[command(flatten)]
    pub window: WindowArgs,
    /// Exit with 1 if the 99th percentile of the time for a page was above so many milliseconds
    #[arg(long, value_name = "MS", value_parser = bound)]
    pub max_page_p99: Option<f64>,
    /// Exit with 1 if a follower that was killed needed more than so many seconds to be back
    #[arg(long, value_name = "S", value_parser = bound)]
    pub max_restart: Option<f64>,
    /// Exit with 1 if a server had more than so many MiB of memory
    #[arg(long, value_name = "MIB", value_parser = bound)]
    pub max_resident: Option<f64>,
    /// Exit with 1 if the stream's rate afterwards was less than this part of that before
    #[arg(long, value_name = "PART", value_parser = bound)]
    pub min_ratio: Option<f64>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// `rustchat bench connections`.
#[derive(Clone, Debug, Args)]
pub struct ConnectionsArgs {
    /// Clients, each with a connection
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = value_parser!(u32).range(1..=20_000))]
    pub clients: u32,
    /// Seconds that they are idle before memory is measured
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = value_parser!(u64).range(1..=86_400))]
    pub idle: u64,
    /// Where.
    #[command(flatten)]
    pub own: OwnArgs,
    /// What is wanted.
    #[command(flatten)]
    pub bounds: CrowdBoundArgs,
}

/// Messages through one cluster.
#[derive(Clone, Debug, Args)]
pub struct MessagesArgs {
    /// Where.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// What.
    #[command(flatten)]
    pub load: LoadArgs,
}

/// On own servers, to which something is done.
#[derive(Clone, Debug, Args)]
pub struct OwnArgs {
    /// Servers that it starts itself
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u32).range(3..=9))]
    pub servers: u32,
    /// Use no TLS
    #[arg(long)]
    pub insecure_plain: bool,
}

/// On which servers.
#[derive(Clone, Debug, Args)]
pub struct PlaceArgs {
    /// Servers that it starts itself
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u32).range(1..=9))]
    pub servers: u32,
    /// Where they keep their data: `embedded`, or a MongoDB server, on which each gets a
    /// database of its own that is removed at the end
    #[arg(long, value_name = "STORE", default_value = "embedded")]
    pub store: String,
    /// A server of a running cluster, instead of own ones
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["servers", "store"])]
    pub server: Option<String>,
    /// Whom to trust.
    #[command(flatten)]
    pub trust: TrustArgs,
    /// Logins with a wrong password a second meanwhile; from many loopback addresses where the
    /// servers are its own
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = value_parser!(u32).range(..=10_000))]
    pub bad_logins: u32,
}

/// How much, and what is enough.
#[derive(Clone, Debug, Args)]
pub struct LoadArgs {
    /// Messages in all [default: 100000; rate, links: 10000; fanout: 2000]
    #[arg(long, value_name = "N", value_parser = value_parser!(u64).range(1..))]
    pub messages: Option<u64>,
    /// Bytes of a message
    #[arg(long, value_name = "B", default_value_t = 100, value_parser = value_parser!(u32).range(17..=16_384))]
    pub size: u32,
    /// What is wanted.
    #[command(flatten)]
    pub bounds: BoundArgs,
}

/// What is enough, and how it is told.
#[derive(Clone, Debug, Args)]
pub struct BoundArgs {
    /// Exit with 1 unless so many messages a second were received
    #[arg(long, value_name = "N", value_parser = bound)]
    pub min_rate: Option<f64>,
    /// Exit with 1 if the 99th percentile, from sending to receiving, was above so many
    /// milliseconds
    #[arg(long, value_name = "MS", value_parser = bound)]
    pub max_p99: Option<f64>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// What is enough with many clients, and how it is told.
#[derive(Clone, Debug, Args)]
pub struct CrowdBoundArgs {
    /// Exit with 1 if the servers together needed more memory for each idle client than so many
    /// bytes
    #[arg(long, value_name = "BYTES", value_parser = value_parser!(u64).range(1..))]
    pub max_client_bytes: Option<u64>,
    /// Exit with 1 if clients of a killed server were without one for more than so many seconds
    #[arg(long, value_name = "SECONDS", value_parser = bound)]
    pub max_resume: Option<f64>,
    /// One JSON object
    #[arg(long)]
    pub json: bool,
}

/// How many in flight.
#[derive(Clone, Debug, Args)]
pub struct WindowArgs {
    /// Messages that a sender has sent and that are not yet acknowledged; with many pairs at most
    /// their share of 16384
    #[arg(long, value_name = "W", default_value_t = 4096, value_parser = value_parser!(u64).range(1..))]
    pub window: u64,
}

/// Reads a number above 0.
fn bound(text: &str) -> Result<f64, String> {
    let number = text.parse().ok().filter(|number: &f64| number.is_finite() && *number > 0.0);
    number.ok_or_else(|| format!("{text:?} is no number above 0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_numbers_above_0() {
        assert_eq!(bound("1000"), Ok(1000.0));
        assert_eq!(bound("0.5"), Ok(0.5));
        for bad in ["", "0", "-1", "nan", "inf", "5ms"] {
            assert!(bound(bad).is_err(), "{bad}");
        }
    }
}
