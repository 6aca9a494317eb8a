//! The client's side of the protocol, as a library: the chat screen, `--send`,
//! `--tail`, the benchmark and the tests all use it. It must not know screens,
//! servers or Raft.

pub mod device;
pub mod key;
pub mod outbox;
pub mod security;
pub mod session;
pub mod status;

mod backoff;
pub mod dial;
mod door;
mod driver;
mod find;
mod handle;
mod inbox;
mod link;
mod live;
mod marks;
mod next;
mod outbox_file;
mod pulse;
mod pump;
mod requests;
mod sends;
mod visit;

#[cfg(test)]
mod tests;

pub use crate::wire::message::{
    ClusterState, ConversationInfo, DeviceInfo, MarkEntry, Member, ServerAddress, Status,
};
pub use handle::Client;
pub use requests::NewPassword;

use crate::chat::command::Target;
use crate::chat::ids::{ConversationId, DeviceId, MessageId, UserId};
use crate::chat::message::{Body, Run};
use crate::chat::refusal::Refusal;
use crate::chat::text::printable;
use crate::tls::Fingerprint;
use security::Security;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

/// How a client finds its cluster.
#[derive(Clone, Debug, Default)]
pub struct Finding {
    /// `--server`: instead of the UDP question.
    pub servers: Vec<String>,
    /// `--cluster`: the one to choose where several answer.
    pub cluster: Option<String>,
    /// The name of the cluster that registered the user, if that may be another one than the one
    /// that answers: then they are its guest.
    pub home: Option<String>,
    /// UDP port of the question.
    pub discovery_port: u16,
    /// Addresses to ask; empty: the broadcast addresses of every interface.
    pub ask: Vec<std::net::SocketAddr>,
    /// Whom to trust.
    pub security: Security,
    /// The address of this machine that connections are made from; `None`: the system chooses.
    pub from: Option<IpAddr>,
}

/// How a client proves who it is.
#[derive(Clone)]
pub struct Account {
    /// Folded name.
    pub name: String,
    /// Needed where the device has no token.
    pub password: Option<String>,
    /// Register the user if it is new.
    pub register: bool,
    /// The code of an invitation, for servers that want one from new users.
    pub invite: Option<String>,
}

/// What a client needs to start.
#[derive(Clone)]
pub struct ClientConfig {
    /// Where the cluster is.
    pub finding: Finding,
    /// Who connects.
    pub account: Account,
    /// The program's state directory, in which every user has devices ([`device`]); `None`: a
    /// device in memory, which ends with the process (bench, tests).
    pub state_dir: Option<PathBuf>,
    /// The device in memory, where `state_dir` is `None`; random if not given. A given one may
    /// have sent before, so its first message waits for a server.
    pub device: Option<DeviceId>,
}

/// A server of another cluster, by way of which the user's own one is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /// The other cluster's name.
    pub cluster: String,
    /// The server's seat there.
    pub seat: u32,
}

/// Where the client stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Connection {
    /// Asks who leads.
    Discovering,
    /// Connects, or logs in.
    Connecting {
        /// `host:port`.
        to: String,
    },
    /// Logged in; messages flow.
    Ready {
        /// `host:port` of the server.
        server: String,
        /// Its seat.
        seat: u32,
        /// The cluster's name.
        cluster: String,
        /// Who the user is.
        user: UserId,
        /// The other cluster whose guest the user is; its servers carry what is said.
        via: Option<Via>,
    },
    /// A guest of a cluster that cannot reach the user's own now. It tries again.
    Away {
        /// The user's cluster.
        home: String,
        /// Whose guest they are.
        via: String,
        /// Milliseconds until the next try.
        retry_ms: u64,
    },
    /// Lost its server and tries again.
    Waiting {
        /// Milliseconds until the next try.
        retry_ms: u64,
        /// For a person.
        why: String,
    },
    /// Ended for good: wrong password, taken name, wrong cluster.
    Failed(ClientError),
}

/// Why a client cannot go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The server refused; trying again changes nothing.
    #[error("{0}")]
    Refused(Refusal),
    /// The user is not registered or the password is wrong, and none was given.
    #[error("this device has no token: a password is needed")]
    PasswordNeeded,
    /// Several clusters answer and none was chosen.
    #[error("several clusters answer: {}; choose with --cluster NAME", .0.join(", "))]
    ChooseCluster(Vec<String>),
    /// Several clusters of one name answer, each with its own key.
    #[error(
        "several clusters call themselves {}: {}; choose with --fingerprint",
        printable(.name),
        .keys.iter().map(|(key, server)| format!("{key} at {}", printable(server))).collect::<Vec<_>>().join(", ")
    )]
    ChooseKey {
        /// The name.
        name: String,
        /// Keys, and where they lead.
        keys: Vec<(Fingerprint, String)>,
    },
    /// A cluster that was never used from here, on another machine: a person must compare its
    /// fingerprint. Nothing was told to it.
    #[error(
        "the cluster at {server} is new here; its key is {key}. Compare it with what its \
         operator sees in `rustchat keys show`, then add --fingerprint {key} (or --trust-new to \
         take any)"
    )]
    NewCluster {
        /// `host:port`.
        server: String,
        /// Its key.
        key: Fingerprint,
    },
    /// A cluster shows another key than it had: somebody may stand in between. Nothing was told
    /// to it.
    #[error(
        "THE KEY HAS CHANGED at {server}: it is {found}, and was {expected}. Either somebody \
         stands between you and the cluster, or it was made anew with other keys. Nothing was \
         told to it. If another cluster is meant: --fingerprint {found}. If this one has new keys, as \
         its operator must say: rustchat keys forget {expected}"
    )]
    KeyChanged {
        /// `host:port`.
        server: String,
        /// The key that is remembered.
        expected: Fingerprint,
        /// The key that was shown.
        found: Fingerprint,
    },
    /// A server without TLS speaks for a cluster whose key is remembered. Nothing was told to it.
    #[error(
        "this server uses no TLS, and the cluster {} is known here by its key {expected}: leave \
         --insecure-plain out. Nothing was told to it. If its operator says that it uses none any \
         more: rustchat keys forget {expected}",
        printable(.name)
    )]
    NoKey {
        /// The cluster's name.
        name: String,
        /// Its key.
        expected: Fingerprint,
    },
    /// Only another cluster answers, and this machine has nothing with which to be its guest.
    #[error(
        "{} is not here, and this machine has no free device of {user} that it vouches for: log in \
         there once with --user {user} --cluster {}; no password is told to another cluster",
        printable(.home), printable(.home)
    )]
    NoCertificate {
        /// The user.
        user: String,
        /// Their cluster.
        home: String,
    },
    /// Another cluster, or the user's own one, does not take this guest: trying again changes
    /// nothing.
    #[error("{} takes no guest from {}: {}", printable(.via), printable(.home), printable(.why))]
    NoGuest {
        /// The other cluster.
        via: String,
        /// The user's.
        home: String,
        /// What it says.
        why: String,
    },
    /// The device is not logged in at home any more. Nothing was asked for here.
    #[error(
        "this device is not logged in any more: log in at home once, with --cluster {}",
        printable(.home)
    )]
    GoHome {
        /// The user's cluster.
        home: String,
    },
    /// The state directory cannot be used.
    #[error("{0}")]
    State(String),
    /// The client was closed.
    #[error("the client is closed")]
    Closed,
    /// No answer in time; nothing is known about the outcome.
    #[error("no answer in time")]
    Timeout,
}

/// Answer to a look-up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundUser {
    /// Who.
    pub user: UserId,
    /// Their name, folded.
    pub name: String,
    /// The direct conversation with them, if anybody ever wrote.
    pub conversation: Option<ConversationId>,
}

/// A message of the user's own, from typing to reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// The device's number: with the device, the message's id.
    pub number: u64,
    /// Where it goes.
    pub to: Target,
    /// What it says.
    pub body: Body,
}

/// What happened, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// The connection changed.
    Connection(Connection),
    /// Who leads, as the server sees it.
    Cluster(ClusterState),
    /// A conversation is new or changed as a whole (at login, or opened).
    Conversation(ConversationInfo),
    /// Messages, each exactly once and without gaps in a conversation: unread ones first, then live.
    /// A device's own messages come here too, after `Committed`.
    Messages(Run),
    /// An own message waits in the outbox (also at start: those of an earlier process).
    Queued(Outgoing),
    /// Own messages are committed.
    Committed {
        /// First number.
        first_number: u64,
        /// How many.
        count: u64,
        /// The id of the first; the others' numbers follow.
        id: MessageId,
        /// Where.
        conversation: ConversationId,
        /// Seq of the first.
        first_seq: u64,
        /// Milliseconds of UNIX time.
        at_ms: u64,
    },
    /// An own message was refused, for good.
    Refused {
        /// Its number.
        number: u64,
        /// Why.
        refusal: Refusal,
    },
    /// Someone's marks moved.
    Marked(MarkEntry),
    /// The cluster went on from an earlier time: what was shown of it may be gone, and other
    /// messages may stand in its place. Everything unread comes again, the rest is history.
    Restored {
        /// From a backup; else recovered from what one server had.
        backup: bool,
        /// When, in milliseconds of UNIX time: messages from before are those that were there.
        began_ms: u64,
        /// Up to where messages had been printed from this device.
        had: BTreeMap<ConversationId, u64>,
    },
    /// Own messages without an outcome got other numbers: these are all of them.
    Renumbered(Vec<Outgoing>),
}
