//! What operators type to run a cluster. It must not know what is done.

use crate::cli::args::{TargetArgs, TrustArgs};
use crate::config::units::duration;
use crate::tls::Fingerprint;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// Where orders go.
#[derive(Clone, Debug, Args)]
pub struct AdminArgs {
    /// The admin address of a server on this machine (may be repeated) [default: as nodes.conf
    /// says]
    #[arg(long, value_name = "HOST:PORT", env = "RUSTCHAT_ADMIN_ADDRESS")]
    pub admin: Vec<String>,
    /// The servers of the cluster [default: ./nodes.conf if it is there]
    #[arg(long, value_name = "FILE", env = "RUSTCHAT_NODES")]
    pub nodes: Option<PathBuf>,
}

/// `rustchat member`.
#[derive(Clone, Debug, Args)]
pub struct MemberArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: MemberCommand,
}

/// What can be done with members.
#[derive(Clone, Debug, Subcommand)]
pub enum MemberCommand {
    /// Who belongs to the cluster; works without a leader
    List {
        /// Which servers to ask.
        #[command(flatten)]
        target: TargetArgs,
        /// One JSON document
        #[arg(long)]
        json: bool,
    },
    /// Add a server: it is a learner, which changes no majority, until it is promoted
    Add {
        /// A seat from 1 to 999 that nobody has
        seat: u32,
        /// Where the others and the clients reach it: an address or a name
        host: String,
        /// Its TCP port for clients
        #[arg(long, value_name = "PORT", default_value_t = 7101)]
        client: u16,
        /// Its TCP port for the other servers
        #[arg(long, value_name = "PORT", default_value_t = 7201)]
        peer: u16,
        /// How it is asked for.
        #[command(flatten)]
        order: OrderArgs,
    },
    /// Let a learner that has caught up vote
    Promote {
        /// Its seat
        seat: u32,
        /// How it is asked for.
        #[command(flatten)]
        order: OrderArgs,
    },
    /// Take a server out of the cluster; refused where the rest would have no majority
    Remove {
        /// Its seat
        seat: u32,
        /// Do not ask whether it is meant
        #[arg(long)]
        yes: bool,
        /// How it is asked for.
        #[command(flatten)]
        order: OrderArgs,
    },
}

/// How something is asked for.
#[derive(Clone, Debug, Args)]
pub struct OrderArgs {
    /// Where it goes.
    #[command(flatten)]
    pub admin: AdminArgs,
    /// Only say what would come of it
    #[arg(long)]
    pub dry_run: bool,
}

/// `rustchat leader`.
#[derive(Clone, Debug, Args)]
pub struct LeaderArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: LeaderCommand,
}

/// What can be done with the leader.
#[derive(Clone, Debug, Subcommand)]
pub enum LeaderCommand {
    /// Who leads, and since when
    Show {
        /// Which servers to ask.
        #[command(flatten)]
        target: TargetArgs,
    },
    /// Let the server on a seat lead; done only once it does
    Transfer {
        /// Its seat [default: the one that has most of the log]
        seat: Option<u32>,
        /// How it is asked for.
        #[command(flatten)]
        order: OrderArgs,
    },
    /// Let another server lead than now
    StepDown {
        /// How it is asked for.
        #[command(flatten)]
        order: OrderArgs,
    },
}

/// `rustchat drain`, `rustchat undrain`.
#[derive(Clone, Debug, Args)]
pub struct DrainArgs {
    /// The server's seat
    pub seat: u32,
    /// Wait until it has no clients and does not lead
    #[arg(long)]
    pub wait: bool,
    /// How long to wait
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    pub timeout: Duration,
    /// Whom to trust.
    #[command(flatten)]
    pub trust: TrustArgs,
    /// How it is asked for.
    #[command(flatten)]
    pub order: OrderArgs,
}

/// `rustchat registration`.
#[derive(Clone, Debug, Args)]
pub struct RegistrationArgs {
    /// Who may register from now on
    #[arg(value_enum)]
    pub policy: PolicyName,
    /// Where it goes.
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// Who may register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum PolicyName {
    /// Anybody
    Open,
    /// Whoever has an invitation
    Invite,
    /// Nobody
    Closed,
}

impl PolicyName {
    /// As servers read it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Invite => "invite",
            Self::Closed => "closed",
        }
    }
}

/// `rustchat invite`.
#[derive(Clone, Debug, Args)]
pub struct InviteArgs {
    /// How long it is valid: 90m, 12h, 7d
    #[arg(long, value_name = "TIME", default_value = "7d", value_parser = duration)]
    pub valid: Duration,
    /// Where it goes.
    #[command(flatten)]
    pub admin: AdminArgs,
}

/// `rustchat link`.
#[derive(Clone, Debug, Args)]
pub struct LinkArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: LinkCommand,
}

/// What can be done with other clusters. WHO is its name, its id, the fingerprint of its key, or
/// HOST:PORT of one of its servers.
#[derive(Clone, Debug, Subcommand)]
pub enum LinkCommand {
    /// Which other clusters were heard, which are trusted, and how the links to them stand
    List {
        /// Which servers to ask.
        #[command(flatten)]
        target: TargetArgs,
        /// One JSON document
        #[arg(long)]
        json: bool,
    },
    /// Trust another cluster: users of both may write to each other once it trusts this one too
    Trust {
        /// Its name, id or fingerprint in the map, or HOST:PORT of one of its servers
        who: String,
        /// What it is called here, behind the @ [default: what it calls itself]
        #[arg(long = "as", value_name = "NAME")]
        name: Option<String>,
        /// The key that it must have, as its operator sees it in `rustchat keys show`
        #[arg(long, value_name = "SHA256:…")]
        fingerprint: Option<Fingerprint>,
        /// Where it goes.
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Take the trust back: nothing more goes either way
    Distrust {
        /// Its name, id, fingerprint or address in the map
        who: String,
        /// Where it goes.
        #[command(flatten)]
        admin: AdminArgs,
    },
    /// Go on with a link that was stopped, once you know why the other side told another history
    Resume {
        /// Its name, id, fingerprint or address in the map
        who: String,
        /// Where it goes.
        #[command(flatten)]
        admin: AdminArgs,
    },
}

/// `rustchat health`.
#[derive(Clone, Debug, Args)]
pub struct HealthArgs {
    /// The server to ask, by its client port [default: the first of nodes.conf, or this machine's]
    #[arg(long, value_name = "HOST:PORT")]
    pub node: Option<String>,
    /// The servers of the cluster [default: ./nodes.conf if it is there]
    #[arg(long, value_name = "FILE", env = "RUSTCHAT_NODES")]
    pub nodes: Option<PathBuf>,
    /// How long it may take to answer
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub timeout: Duration,
    /// Whom to trust.
    #[command(flatten)]
    pub trust: TrustArgs,
}
