//! What clients and servers say to each other, as the rest of the program
//! sees it. `proto/client.proto` is the description for other languages.

use crate::chat::command::Target;
use crate::chat::ids::{ClusterId, ConversationId, DeviceId, Group, Position, UserId};
use crate::chat::message::{Body, Run};
use crate::chat::refusal::Refusal;
use crate::chat::write::Kind;
use bytes::Bytes;

pub use super::certificate::{CERTIFIES, DeviceCertificate};
pub use super::statement::Status;

/// From a client to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientMsg {
    /// The first message of every connection.
    Hello(Hello),
    /// Registers a user and this device.
    Register(Credentials),
    /// Logs in with the password.
    Login(Credentials),
    /// Logs in with the token of an earlier registration or login.
    Token {
        /// The user's name, folded.
        name: String,
        /// As given in `Authenticated`.
        token: Bytes,
        /// See [`super::proof`]; empty where the device has no key.
        signature: Bytes,
    },
    /// Starts the flow of messages.
    Resume {
        /// What the client had seen of the log; the server waits until it has applied that.
        cursor: Cursor,
        /// Highest seq the device has, per conversation.
        have: Vec<(ConversationId, u64)>,
    },
    /// Messages.
    Send {
        /// Runs, in order of their numbers.
        runs: Vec<SendRun>,
        /// Every outcome up to this number is known to the client.
        confirmed: u64,
    },
    /// The user's own marks; `user` is ignored.
    Mark(Vec<MarkEntry>),
    /// Asks for history.
    Fetch(Fetch),
    /// Asks for a user by name.
    Lookup {
        /// Comes back in the answer.
        request: u32,
        /// Folded name.
        name: String,
    },
    /// Asks for the user's devices.
    Devices {
        /// Comes back in the answer.
        request: u32,
    },
    /// Revokes a device of the user.
    Revoke {
        /// Comes back in the answer.
        request: u32,
        /// Which one.
        device: DeviceId,
    },
    /// Changes the user's password.
    ChangePassword(ChangePassword),
    /// Asks for a certificate for this device.
    Certify {
        /// Comes back in the answer.
        request: u32,
    },
    /// A device of another cluster shows who it is.
    Visit {
        /// What its cluster says of it.
        certificate: DeviceCertificate,
        /// By the device, see [`super::proof::visit`].
        signature: Bytes,
    },
    /// Asks for a `Pong` with the same token.
    Ping(u64),
}

/// From a server to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerMsg {
    /// The server will serve this client.
    Welcome(Welcome),
    /// The client shall connect to this server instead.
    Redirect(ServerAddress),
    /// Who leads.
    Where(Where),
    /// The node's own statement.
    Status(Box<Status>),
    /// A refusal: of the login (`request` 0) or of what was asked for inside.
    Refused {
        /// Of the request, else 0.
        request: u32,
        /// Why.
        refusal: Refusal,
        /// For a person.
        text: String,
    },
    /// The login or registration succeeded.
    Authenticated {
        /// Who.
        user: UserId,
        /// Their name.
        name: String,
        /// The device's token; empty after a login with a token.
        token: Bytes,
    },
    /// What follows is live.
    Ready(Ready),
    /// Conversations the user is a member of: all at login, new ones later.
    Conversations(Vec<ConversationInfo>),
    /// Messages of one entry in one conversation.
    Push {
        /// In order of seq.
        runs: Vec<Run>,
        /// The log index of the entry: the client's cursor.
        index: u64,
    },
    /// Outcomes of the client's sends.
    Ack(Ack),
    /// Marks that moved.
    Marked(Vec<MarkEntry>),
    /// A page of history.
    History {
        /// Of the `Fetch`.
        request: u32,
        /// Where.
        conversation: ConversationId,
        /// First seq the page covers.
        from: u64,
        /// Last seq the page covers; smaller than asked where the page was full.
        to: u64,
        /// The messages.
        runs: Vec<Run>,
    },
    /// Answer to `Lookup`.
    Found {
        /// Of the `Lookup`.
        request: u32,
        /// The user.
        user: UserId,
        /// Their name.
        name: String,
        /// The direct conversation with them, if there is one.
        conversation: Option<ConversationId>,
    },
    /// Answer to `Devices`.
    Devices {
        /// Of the `Devices`.
        request: u32,
        /// Those in use first, then the revoked ones, each part by when it was seen last.
        devices: Vec<DeviceInfo>,
    },
    /// Answer to `Certify`.
    Certified {
        /// Of the `Certify`.
        request: u32,
        /// What this cluster says of the device.
        certificate: DeviceCertificate,
    },
    /// Answer to `Visit`: what follows is for the cluster that the device is of.
    Visiting,
    /// What was asked for is committed.
    Done {
        /// Of the `Revoke` or the `ChangePassword`.
        request: u32,
    },
    /// The server cannot take more now.
    Busy {
        /// Milliseconds.
        retry_after_ms: u32,
    },
    /// The server ends the connection.
    GoAway {
        /// Milliseconds.
        retry_after_ms: u32,
        /// For a person.
        text: String,
    },
    /// Answer to `Ping`.
    Pong(u64),
    /// What the server knows of the consensus; sent when it changes.
    Cluster(ClusterState),
}

/// Why a client connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To chat.
    Chat,
    /// To learn who leads.
    Where,
    /// To learn the node's state.
    Status,
    /// Another cluster.
    Link,
    /// A device of another cluster, on its way there.
    Visit,
}

/// The first message of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// Lowest protocol version the client speaks.
    pub min: u32,
    /// Highest one.
    pub max: u32,
    /// Reserved bits.
    pub features: u64,
    /// What for.
    pub purpose: Purpose,
    /// The device, for `Purpose::Chat`.
    pub device: Option<DeviceId>,
    /// True after a redirect.
    pub placed: bool,
    /// The cluster the client expects; with `Purpose::Visit` the one it is of.
    pub cluster: Option<ClusterId>,
    /// With `Purpose::Status`: the events after this one are wanted; `None`: none are.
    pub events_after: Option<u64>,
}

/// An Ed25519 public key.
pub type PublicKey = [u8; 32];
/// What a server wants signed: other random bytes on each connection.
pub type Challenge = [u8; 32];

/// Name and password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name as typed; the server folds it.
    pub name: String,
    /// Never logged.
    pub password: String,
    /// The device's public key, if it has one: from now on its token alone is not enough.
    pub key: Option<PublicKey>,
    /// With a registration: the code of an invitation; empty: none.
    pub invite: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Credentials({:?})", self.name)
    }
}

/// A new password for the old one.
#[derive(Clone, PartialEq, Eq)]
pub struct ChangePassword {
    /// Comes back in the answer.
    pub request: u32,
    /// Never logged.
    pub old: String,
    /// Never logged.
    pub new: String,
    /// False: every other device of the user is revoked.
    pub keep_devices: bool,
}

impl std::fmt::Debug for ChangePassword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ChangePassword({}, keep {})", self.request, self.keep_devices)
    }
}

/// A device as its user sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    /// Which one.
    pub id: DeviceId,
    /// Its first login, in milliseconds of UNIX time.
    pub added_at_ms: u64,
    /// Its latest login, in milliseconds of UNIX time; 0 where none was noted.
    pub seen_at_ms: u64,
    /// It may not log in with its token.
    pub revoked: bool,
    /// The one that asks.
    pub own: bool,
}

/// A server as others reach it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerAddress {
    /// Its seat in `nodes.conf`.
    pub seat: u32,
    /// Host name or address.
    pub host: String,
    /// TCP port for clients.
    pub client: u16,
    /// TCP port for the other servers; 0 where it is not told.
    pub peer: u16,
}

impl ServerAddress {
    /// Where clients reach it, as `host:port`.
    #[must_use]
    pub fn for_clients(&self) -> String {
        place(&self.host, self.client)
    }
}

/// A host and a port as people write them: `host:port`, `[fd00::1]:port`.
#[must_use]
pub fn place(host: &str, port: u16) -> String {
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// What a client had seen of the logs of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor {
    /// All zero: nothing yet.
    pub cluster: ClusterId,
    /// Rises with a restore.
    pub generation: u64,
    /// One per group.
    pub positions: Vec<Position>,
}

/// The server's side of the hello.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Welcome {
    /// The version both will speak.
    pub version: u32,
    /// Bits: [`CERTIFIES`].
    pub features: u64,
    /// The cluster.
    pub cluster: ClusterId,
    /// Its name.
    pub cluster_name: String,
    /// Its generation.
    pub generation: u64,
    /// The seat of the server that answers.
    pub seat: u32,
    /// All servers, for the client's cache.
    pub servers: Vec<ServerAddress>,
    /// Who leads.
    pub state: ClusterState,
    /// When this generation began, in milliseconds of UNIX time; 0 for the first one. Messages
    /// from before stood in an earlier one under the same seqs, or were lost with it.
    pub began_ms: u64,
    /// Ids that the cluster had before it was restored from a backup.
    pub former: Vec<ClusterId>,
    /// To be signed with a token.
    pub challenge: Challenge,
}

/// Who leads, and whether a majority is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClusterState {
    /// Seat of the leader, if one is known.
    pub leader: Option<u32>,
    /// The term.
    pub term: u64,
    /// Voters that the server hears, itself included.
    pub live: u32,
    /// Voters.
    pub voters: u32,
}

/// Answer to `Purpose::Where`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Where {
    /// The cluster.
    pub cluster: ClusterId,
    /// Its name.
    pub cluster_name: String,
    /// The leader, if one is known.
    pub leader: Option<ServerAddress>,
    /// All servers.
    pub servers: Vec<ServerAddress>,
    /// The term.
    pub term: u64,
    /// The cluster's generation; 0 where none is known.
    pub generation: u64,
}

/// What follows `Resume`: from here on the client may send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// Per group: every number up to this one has its outcome.
    pub sends: Vec<(Group, u64)>,
    /// Messages that may be sent and not yet acknowledged.
    pub window: u32,
    /// Bytes of bodies that may be sent and not yet acknowledged.
    pub window_bytes: u32,
    /// Where the server is.
    pub cursor: Cursor,
}

/// Messages of one device with contiguous numbers, all to one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SendRun {
    /// The group in which the device counts.
    pub group: Group,
    /// Number of the first body.
    pub first_number: u64,
    /// Where they go.
    pub to: Target,
    /// The messages.
    pub bodies: Vec<Body>,
}

/// What became of numbers that follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutcomeRun {
    /// The first number.
    pub first_number: u64,
    /// How many.
    pub count: u32,
    /// What became of them.
    pub outcome: crate::chat::event::Outcome,
}

/// Outcomes of sends.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ack {
    /// The group.
    pub group: Group,
    /// Cumulative: every number up to this one has its outcome.
    pub upto: u64,
    /// What became of the newest ones.
    pub outcomes: Vec<OutcomeRun>,
    /// A gap: send again from this number.
    pub expected: Option<u64>,
    /// The log index that decided it.
    pub index: u64,
}

/// A member's marks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MarkEntry {
    /// Where.
    pub conversation: ConversationId,
    /// Whose; `None` from a client, which speaks for itself alone.
    pub user: Option<UserId>,
    /// Highest seq stored by one of their devices.
    pub delivered: u64,
    /// Highest seq seen.
    pub read: u64,
}

/// Asks for history, both seqs included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetch {
    /// Comes back in the answer; not 0.
    pub request: u32,
    /// Where.
    pub conversation: ConversationId,
    /// First seq.
    pub from: u64,
    /// Last seq.
    pub to: u64,
    /// True: a quorum read. False: what the server has (scroll-back).
    pub current: bool,
}

/// A member of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub user: UserId,
    /// Their name today.
    pub name: String,
    /// Highest seq stored by one of their devices.
    pub delivered: u64,
    /// Highest seq seen.
    pub read: u64,
}

/// A conversation as a member sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConversationInfo {
    /// Which one.
    pub id: ConversationId,
    /// Direct or room.
    pub kind: Kind,
    /// Everybody in it, with their marks.
    pub members: Vec<Member>,
    /// Seq of the last message.
    pub last_seq: u64,
    /// Rooms only.
    pub title: String,
}
