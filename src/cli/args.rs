//! What can be typed, as clap reads it. It must not know what the commands do.

use super::account::args::{DevicesArgs, LogoutArgs, PasswdArgs};
use super::backup::args::BackupArgs;
use super::bench::args::BenchArgs;
use super::config::ConfigArgs;
use super::keys::KeysArgs;
use super::manual::{CompletionsArgs, ManArgs};
use super::operate::args::{
    DrainArgs, HealthArgs, InviteArgs, LeaderArgs, LinkArgs, MemberArgs, RegistrationArgs,
};
use super::recover::args::RecoverArgs;
use super::setting_args::{AFTER_HELP, SettingArgs};
use crate::config::units::duration;
use crate::tls::Fingerprint;
use clap::builder::FalseyValueParser;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// A chat that stays up when machines die.
#[derive(Debug, Parser)]
#[command(name = "rustchat", version, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run one server of a cluster; without a nodes.conf it is a cluster of one
    #[command(after_help = AFTER_HELP)]
    Serve(Box<ServeArgs>),
    /// Chat: on the screen, or with --send and --tail without one
    Chat(ChatArgs),
    /// List your devices, or revoke one
    Devices(DevicesArgs),
    /// Revoke this device and remove what it kept here
    Logout(LogoutArgs),
    /// Change your password; all other devices are logged out
    Passwd(PasswdArgs),
    /// Watch the servers and their elections, every half second
    Dash(DashArgs),
    /// Print what every server says about itself
    Status(StatusArgs),
    /// Whether one server is well, a line for each check
    Health(HealthArgs),
    /// Who belongs to the cluster; add, promote and remove servers
    Member(MemberArgs),
    /// Who leads; let another server lead
    Leader(LeaderArgs),
    /// Send a server's clients elsewhere and let another one lead, before it is stopped
    Drain(DrainArgs),
    /// Take a drained server back
    Undrain(DrainArgs),
    /// Who may register: anybody, whoever has an invitation, or nobody
    Registration(RegistrationArgs),
    /// Print the code of an invitation, with which one new user may register
    Invite(InviteArgs),
    /// Other clusters: who was heard, whom this one trusts
    Link(LinkArgs),
    /// Print what happened: elections, members, disks and links, as all servers tell it
    Events(EventsArgs),
    /// Three servers on this machine and a chat to try; removed on exit unless --keep
    Demo(DemoArgs),
    /// Measure the chat: on servers of its own, or on a running cluster
    Bench(BenchArgs),
    /// Make a cluster's keys and its servers'; show whom this machine trusts
    Keys(KeysArgs),
    /// Print the protocol's descriptors (a protobuf FileDescriptorSet) for other languages
    Proto,
    /// Look into a server's data while it is stopped
    Store(StoreArgs),
    /// Check a server's configuration, or show what holds
    Config(ConfigArgs),
    /// Print a script that completes commands and options in a shell
    Completions(CompletionsArgs),
    /// Print the manual, or write a page for every command into a directory
    Man(ManArgs),
    /// Back a cluster up into a file, look at one, and start a new cluster from one
    Backup(BackupArgs),
    /// Go on with one server when a majority is lost for good
    Recover(RecoverArgs),
}

/// `rustchat serve`.
#[derive(Clone, Debug, Args)]
pub struct ServeArgs {
    /// Move a refused data directory aside and join again as a new member
    #[arg(long)]
    pub rejoin: bool,
    /// Stop when standard input closes: a server that must not outlive its parent
    #[arg(long, hide = true)]
    pub until_stdin_closes: bool,
    /// Bytes of one file of the log, for tests
    #[arg(long, hide = true, value_name = "BYTES")]
    pub log_file_bytes: Option<usize>,
    /// What the file and the environment may say too.
    #[command(flatten)]
    pub settings: SettingArgs,
}

/// How a client finds its cluster and who it is.
#[derive(Clone, Debug, Args)]
pub struct ConnectArgs {
    /// Who you are, and where you are registered: at another cluster you are its guest
    #[arg(long, value_name = "NAME[@CLUSTER]")]
    pub user: String,
    /// A server to ask instead of the local network (may be repeated)
    #[arg(long, value_name = "HOST:PORT")]
    pub server: Vec<String>,
    /// Which cluster, where several answer
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// A file with the password in its first line [default: ask]
    #[arg(long, value_name = "FILE", env = "RUSTCHAT_PASSWORD_FILE")]
    pub password_file: Option<PathBuf>,
    /// Register the user first if the name is new
    #[arg(long)]
    pub register: bool,
    /// The invitation to register with, where new users need one
    #[arg(long, value_name = "CODE", env = "RUSTCHAT_INVITE", hide_env_values = true)]
    pub invite: Option<String>,
    /// Where devices and unsent messages are kept [default: the user's state directory]
    #[arg(long, value_name = "DIR", env = "RUSTCHAT_STATE")]
    pub state: Option<PathBuf>,
    /// UDP port on which the cluster is asked for
    #[arg(long, value_name = "PORT", env = "RUSTCHAT_DISCOVERY", default_value_t = 7100)]
    pub discovery: u16,
    /// Take a cluster on another machine that is new here for what it says
    #[arg(long, conflicts_with = "fingerprint")]
    pub trust_new: bool,
    /// Whom to trust.
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// Whom to trust.
#[derive(Clone, Debug, Default, Args)]
pub struct TrustArgs {
    /// The key that the cluster must have, as `rustchat keys show` prints it
    #[arg(long, value_name = "SHA256:…")]
    pub fingerprint: Option<Fingerprint>,
    /// Use no TLS, as servers that were started with the same option
    #[arg(long, env = "RUSTCHAT_INSECURE_PLAIN", value_parser = FalseyValueParser::new())]
    pub insecure_plain: bool,
}

/// `rustchat chat`.
#[derive(Clone, Debug, Args)]
pub struct ChatArgs {
    /// Where to, and as whom.
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// No colours and no line drawing
    #[arg(long)]
    pub plain: bool,
    /// Colours of the screen: dark, light, mono or plain [default: what suits the terminal]
    #[arg(long, value_name = "THEME", env = "RUSTCHAT_THEME")]
    pub theme: Option<String>,
    /// Send standard input to this user, one message a line; success means all are committed
    #[arg(long, value_name = "TO", conflicts_with = "tail")]
    pub send: Option<String>,
    /// Print messages as they come, first the unread ones [of the conversation with a user]
    #[arg(long, value_name = "CONVERSATION", num_args = 0..=1)]
    pub tail: Option<Option<String>>,
    /// With --send or --tail: an object in JSON for every message
    #[arg(long)]
    pub json: bool,
}

/// Which servers to ask.
#[derive(Clone, Debug, Args)]
pub struct TargetArgs {
    /// The servers of the cluster [default: ./nodes.conf if it is there]
    #[arg(long, value_name = "FILE", env = "RUSTCHAT_NODES")]
    pub nodes: Option<PathBuf>,
    /// A server to ask, by its client port (may be repeated)
    #[arg(long, value_name = "HOST:PORT")]
    pub node: Vec<String>,
    /// Whom to trust.
    #[command(flatten)]
    pub trust: TrustArgs,
}

/// How servers are found that nobody names.
#[derive(Clone, Debug, Args)]
pub struct SeekArgs {
    /// Which cluster, where several answer on the network
    #[arg(long, value_name = "NAME")]
    pub cluster: Option<String>,
    /// UDP port on which the cluster is asked for, where no server is named
    #[arg(long, value_name = "PORT", env = "RUSTCHAT_DISCOVERY", default_value_t = 7100)]
    pub discovery: u16,
}

/// `rustchat dash`.
#[derive(Clone, Debug, Args)]
pub struct DashArgs {
    /// Which servers.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Or how they are found.
    #[command(flatten)]
    pub seek: SeekArgs,
    /// Print one plain frame and exit as `status` does
    #[arg(long)]
    pub once: bool,
    /// Allow changes: T transfer, D drain, M promote, X remove; each asks first. They go to this
    /// admin address of a server on this machine [default: as nodes.conf says]
    #[arg(long, value_name = "HOST:PORT", num_args = 0..=1, conflicts_with_all = ["once", "replay"])]
    pub admin: Option<Option<String>>,
    /// Write every answer to this new file, one JSON object a line
    #[arg(long, value_name = "FILE", conflicts_with_all = ["once", "replay"])]
    pub record: Option<PathBuf>,
    /// Play such a file instead of asking anybody; with --once its last frame
    #[arg(long, value_name = "FILE", conflicts_with_all = ["node", "nodes"])]
    pub replay: Option<PathBuf>,
    /// Colours of the screen: dark, light, mono or plain [default: what suits the terminal]
    #[arg(long, value_name = "THEME", env = "RUSTCHAT_THEME")]
    pub theme: Option<String>,
}

/// `rustchat status`.
#[derive(Clone, Debug, Args)]
pub struct StatusArgs {
    /// Which servers.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Or how they are found.
    #[command(flatten)]
    pub seek: SeekArgs,
    /// One JSON document
    #[arg(long)]
    pub json: bool,
    /// How long a server may take to answer
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub timeout: Duration,
    /// Print anew every second, until a signal comes; with --json one document a line
    #[arg(long, conflicts_with = "wait")]
    pub watch: bool,
    /// Wait until it is so: healthy, leader, or applied=N by every voter; then print once
    #[arg(long, value_name = "WHAT", value_parser = goal)]
    pub wait: Option<Goal>,
    /// How long --wait waits in all; then it exits with 75
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = duration, requires = "wait")]
    pub within: Duration,
}

/// What `status --wait` waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// All is well.
    Healthy,
    /// Somebody leads, with a majority.
    Leader,
    /// Every voter has applied the log up to this index.
    Applied(u64),
}

/// `rustchat events`.
#[derive(Clone, Debug, Args)]
pub struct EventsArgs {
    /// Which servers.
    #[command(flatten)]
    pub target: TargetArgs,
    /// Or how they are found.
    #[command(flatten)]
    pub seek: SeekArgs,
    /// One JSON object a line
    #[arg(long)]
    pub json: bool,
    /// Go on with what happens from now on, until a signal comes
    #[arg(long)]
    pub follow: bool,
    /// Only what is not older than this: 1h, 15m, 90s
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub since: Option<Duration>,
    /// Only these kinds [default: all]
    #[arg(long, value_name = "KIND", value_enum, value_delimiter = ',')]
    pub kind: Vec<KindName>,
    /// How long a server may take to answer
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = duration)]
    pub timeout: Duration,
}

/// Kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum KindName {
    /// Who leads, and how that came about
    Election,
    /// Who is a member, who runs, who is drained
    Member,
    /// Disks and databases
    Disk,
    /// Links to other clusters
    Link,
}

/// `rustchat demo`.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Your name in the demo
    #[arg(long, value_name = "NAME", default_value = "alice")]
    pub user: String,
    /// Keep the data of the servers
    #[arg(long)]
    pub keep: bool,
}

/// `rustchat store`.
#[derive(Clone, Debug, Args)]
pub struct StoreArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: StoreCommand,
}

/// What can be done with a server's data.
#[derive(Clone, Debug, Subcommand)]
pub enum StoreCommand {
    /// Say whether it is whole; changes nothing
    Check {
        /// Print what it holds too, a line for each user, conversation and message
        #[arg(long)]
        dump: bool,
        /// The data directory of a stopped server [default: where `serve` keeps it]
        #[arg(conflicts_with_all = ["store", "node", "nodes"])]
        dir: Option<PathBuf>,
        /// `embedded`, or the URL of a database, as `serve` has it [default: as nodes.conf says]
        #[arg(long, value_name = "STORE")]
        store: Option<String>,
        /// Which [[node]] of nodes.conf; found by its own addresses if not given
        #[arg(long, value_name = "SEAT")]
        node: Option<u32>,
        /// The servers of the cluster [default: ./nodes.conf if it is there]
        #[arg(long, value_name = "FILE", env = "RUSTCHAT_NODES")]
        nodes: Option<PathBuf>,
    },
}

/// Reads `healthy`, `leader` or `applied=N`.
fn goal(text: &str) -> Result<Goal, String> {
    let index = text.strip_prefix("applied=").and_then(|index| index.parse().ok());
    match (text, index) {
        ("healthy", _) => Ok(Goal::Healthy),
        ("leader", _) => Ok(Goal::Leader),
        (_, Some(index)) => Ok(Goal::Applied(index)),
        _ => Err(format!("{text:?} is none of healthy, leader, applied=N")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn goals_are_read() {
        assert_eq!(goal("healthy"), Ok(Goal::Healthy));
        assert_eq!(goal("leader"), Ok(Goal::Leader));
        assert_eq!(goal("applied=42"), Ok(Goal::Applied(42)));
        for bad in ["", "applied", "applied=", "applied=-1", "Leader"] {
            assert!(goal(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn tail_takes_a_conversation_or_none() {
        let tail = |line: &str| match Cli::try_parse_from(line.split(' ')) {
            Ok(Cli { command: Command::Chat(chat) }) => Some(chat.tail),
            _ => None,
        };
        assert_eq!(tail("rustchat chat --user a"), Some(None));
        assert_eq!(tail("rustchat chat --user a --tail --json"), Some(Some(None)));
        assert_eq!(tail("rustchat chat --user a --tail bob"), Some(Some(Some("bob".into()))));
        assert_eq!(tail("rustchat chat --user a --tail --send bob"), None);
    }
}
