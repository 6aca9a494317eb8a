//! Consensus: one Raft node on top of openraft, the mesh of servers, batching,
//! forwarding, quorum reads and snapshots. The only place that names openraft.
//! Its data is bytes: it must not know users, messages or sessions.

pub mod mesh;
pub mod node;
pub mod rescue;
pub mod types;

mod batch;
mod beat;
mod boot;
mod compact;
mod events;
mod greet;
mod halt;
mod hand_over;
mod inbound;
mod kinds;
mod life;
mod log_store;
mod machine;
mod members;
mod network;
mod orders;
mod read;
mod shared;
mod status;
mod tally;
#[cfg(test)]
mod tests;
mod timing;
mod transfer;
mod turns;

use crate::chat::ids::ClusterId;
use crate::store::StoreError;
use crate::wire::record::{LogId, Mark, Row};
use crate::wire::statement::{MemberView, PeerView};
use async_trait::async_trait;
use bytes::Bytes;
pub use timing::Reading;

/// Log filter for the library below: it warns of what is ordinary here, such as a peer that is
/// down.
pub const QUIET: &str = "openraft=error";

/// One server of the cluster, as `nodes.conf` gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Its number, 1 to 999.
    pub seat: u32,
    /// Where the others reach it.
    pub host: String,
    /// TCP port for the other servers.
    pub peer: u16,
    /// TCP port for clients; only handed on.
    pub client: u16,
}

/// What a node needs to start.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// The cluster's name.
    pub cluster_name: String,
    /// The id from `nodes.conf`, if it is there: then this node never founds a cluster.
    pub cluster: Option<ClusterId>,
    /// This server.
    pub seat: u32,
    /// All servers, this one included.
    pub seats: Vec<Seat>,
    /// Address to listen on for the others.
    pub listen: std::net::SocketAddr,
    /// Makes connections that prove who is who; `None`: plain ones.
    pub peers: Option<crate::tls::Peers>,
    /// 16 random bytes made with the data directory.
    pub incarnation: [u8; 16],
    /// This node's Raft id: seat + 1000 · g.
    pub raft_id: u64,
    /// Ask to be admitted as a learner under a new Raft id.
    pub rejoin: bool,
    /// Log bytes since the last snapshot that bring the next one.
    pub snapshot_log_bytes: u64,
    /// It was drained before, in this process.
    pub draining: bool,
}

/// An entry that is committed.
#[derive(Clone, Debug)]
pub struct Committed {
    /// Its place.
    pub id: LogId,
    /// The leader's time, in milliseconds of UNIX time.
    pub at_ms: u64,
    /// What was submitted, in order. Empty for entries of Raft itself.
    pub items: Vec<Bytes>,
    /// Set where the entry changes the membership: encoded, to be kept in the mark.
    pub membership: Option<Bytes>,
}

/// What committed entries are applied to. The node calls it from one task, in log order.
#[async_trait]
pub trait Machine: Send + 'static {
    /// Applies entries and commits them to the store, mark last. An error ends the node.
    async fn apply(&mut self, entries: Vec<Committed>) -> Result<(), StoreError>;

    /// How far the state has come.
    fn mark(&self) -> Mark;

    /// The small state as rows, in the order of tables, for a snapshot at [`Machine::mark`].
    fn state_rows(&self) -> Vec<Row>;

    /// A snapshot was installed in the store: load the state anew.
    async fn reload(&mut self) -> Result<(), StoreError>;

    /// An item that founds the cluster, proposed by the first leader of a pristine cluster.
    fn founding_item(&self) -> Bytes;

    /// The cluster's id and generation, once founded.
    fn identity(&self) -> Option<(ClusterId, u64)>;
}

/// What the node is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Not a voter yet.
    #[default]
    Learner,
    /// Follows, or waits for a majority.
    Follower,
    /// Asks whether the others would vote for it.
    PreCandidate,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
}

/// The node's own statement, kept in a watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeStatus {
    /// What it is doing.
    pub role: Role,
    /// Its term.
    pub term: u64,
    /// The seat it voted for in that term.
    pub vote: Option<u32>,
    /// Its last log entry.
    pub last: Option<LogId>,
    /// Its commit index.
    pub commit: u64,
    /// The last index applied.
    pub applied: u64,
    /// Seat of the leader it knows.
    pub leader: Option<u32>,
    /// This node leads and a majority answered within the lease.
    pub leads_with_quorum: bool,
    /// Number of voters.
    pub voters: u32,
    /// Voters it hears, itself included.
    pub live: u32,
    /// The other servers.
    pub peers: Vec<PeerView>,
    /// The membership that counts here.
    pub members: Vec<MemberView>,
    /// Elections in numbers.
    pub elections: types::ElectionCounts,
    /// It was told to take no new clients and not to lead.
    pub draining: bool,
    /// Bytes of the log since the last snapshot.
    pub log_bytes: u64,
    /// Log index of the last snapshot.
    pub snapshot: u64,
    /// Milliseconds since the last message of the leader; `None` on the leader.
    pub heartbeat_age_ms: Option<u64>,
    /// Milliseconds since a majority answered; leader only.
    pub quorum_ack_age_ms: Option<u64>,
    /// Its Raft id.
    pub raft_id: u64,
    /// The last error that stopped it.
    pub stopped: Option<String>,
}

/// Why an item was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// No leader is known: submit again later.
    #[error("no leader is known")]
    NoLeader,
    /// The queue is full: tell the client to wait.
    #[error("the queue is full")]
    Busy,
    /// The node has stopped.
    #[error("the node has stopped")]
    Stopped,
}

/// Why a quorum read did not come about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No majority answered in time: try again.
    #[error("no majority answered in time")]
    NoQuorum,
    /// The node has stopped.
    #[error("the node has stopped")]
    Stopped,
}
