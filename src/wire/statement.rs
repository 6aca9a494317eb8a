//! What a node says about itself when it is asked: its state, its peers as it sees them, and
//! its election history. Typed values; it must not know how they are encoded, nor judge them.

use super::message::ServerAddress;
use crate::chat::ids::ClusterId;
use bytes::Bytes;

/// A node's own statement about itself. `None` is unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Its seat.
    pub seat: u32,
    /// follower, candidate, leader or learner; down while it waits for its database.
    pub role: String,
    /// Its term.
    pub term: u64,
    /// The seat it voted for in that term.
    pub vote: Option<u32>,
    /// Term of its last log entry.
    pub last_term: u64,
    /// Index of its last log entry.
    pub last_index: u64,
    /// Its commit index.
    pub commit: u64,
    /// Index of the last entry it applied.
    pub applied: u64,
    /// Seat of the leader it knows.
    pub leader: Option<u32>,
    /// Clients that are logged in here.
    pub sessions: u32,
    /// The cluster.
    pub cluster: ClusterId,
    /// Its name.
    pub cluster_name: String,
    /// Its generation.
    pub generation: u64,
    /// The members it knows.
    pub servers: Vec<ServerAddress>,
    /// Number of voters.
    pub voters: u32,
    /// Voters it hears, itself included.
    pub live: u32,
    /// Kind of store.
    pub store: String,
    /// Version of the program.
    pub version: String,
    /// Log index of its last snapshot.
    pub snapshot_index: u64,
    /// Rolling hash of the state at `applied`.
    pub hash: Bytes,
    /// Milliseconds since it heard the leader; `None` on the leader.
    pub heartbeat_age_ms: Option<u64>,
    /// Milliseconds since a majority answered it; leader only.
    pub quorum_ack_age_ms: Option<u64>,
    /// Its Raft id.
    pub raft_id: u64,
    /// Seats it has a live connection with.
    pub links: Vec<u32>,
    /// Times it has synced its log to disk.
    pub fsyncs: u64,
    /// Resident memory, in bytes; 0 where it cannot be told.
    pub resident_bytes: u64,
    /// Whether it serves clients; `None`: its program is too old to say so.
    pub ready: Option<bool>,
    /// Why it is not ready: codes, such as `storage_unavailable`. A newer program may say some
    /// that this one does not know.
    pub reasons: Vec<String>,
    /// The same for a person; empty where there is nothing to say.
    pub why: String,
    /// Its clock, in milliseconds of UNIX time.
    pub now_ms: u64,
    /// Milliseconds since its process started.
    pub uptime_ms: u64,
    /// It was told to take no new clients and not to lead.
    pub draining: bool,
    /// The other servers as it sees them.
    pub peers: Vec<PeerView>,
    /// The membership that counts here, by Raft ids; empty until there is one.
    pub members: Vec<MemberView>,
    /// Its elections in numbers.
    pub elections: Elections,
    /// What it does and what that costs.
    pub load: Load,
    /// Its newest events after the one that was asked for, oldest first.
    pub events: Vec<Event>,
    /// The first bytes of the hash of its executable, in hexadecimal; empty: not known.
    pub build: String,
    /// Until when its certificate is valid, in milliseconds of UNIX time; `None`: it uses no TLS.
    pub certificate_until_ms: Option<u64>,
    /// The other clusters that it knows.
    pub clusters: Vec<LinkView>,
}

/// Another cluster as one node sees it: most of it is in the log; the line is the leader's alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkView {
    /// What stands behind the `@` here; empty until it is trusted.
    pub name: String,
    /// What it calls itself.
    pub announced: String,
    /// Its id.
    pub cluster: ClusterId,
    /// The fingerprint of its authority's key, `SHA256:…`.
    pub key: String,
    /// `host:port` of the node of it that was heard last.
    pub address: String,
    /// When that was, in milliseconds of UNIX time.
    pub heard_at_ms: u64,
    /// seen, trusted, distrusted or stopped.
    pub trust: String,
    /// The line on which this node pulls: idle, connecting, up or down.
    pub line: String,
    /// Why it is stopped, or the line down; empty where there is nothing to say.
    pub why: String,
    /// Its last answer took so long, in microseconds.
    pub round_trip_us: Option<u64>,
    /// The last position of its exports that was taken.
    pub imported: u64,
    /// The last one there is, as it said last.
    pub theirs: Option<u64>,
    /// The last position of what it is told.
    pub exported: u64,
    /// The last one that it has taken, as it said last to this node.
    pub taken: Option<u64>,
    /// Milliseconds since it said so.
    pub taken_ms: Option<u64>,
    /// Its exports that broke a rule.
    pub turned_down: u64,
    /// Its answers that made no sense, since this node started.
    pub broken: u64,
}

/// Another server as one node sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerView {
    /// Its seat.
    pub seat: u32,
    /// There is a live connection with it.
    pub live: bool,
    /// Milliseconds since something of it was heard.
    pub heard_ms: Option<u64>,
    /// The last round trip, in microseconds.
    pub round_trip_us: Option<u64>,
    /// On the leader: the last log index that it is known to hold.
    pub matched: Option<u64>,
    /// Why the two do not talk; empty where nobody refused.
    pub refusal: String,
}

/// A member as the log has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberView {
    /// Its Raft id: seat + 1000 · g.
    pub raft_id: u64,
    /// Where it is reached; its seat.
    pub server: ServerAddress,
    /// It votes.
    pub voter: bool,
    /// It waits for an operator to promote it.
    pub held: bool,
}

/// A node's elections in numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Elections {
    /// Elections that it started.
    pub started: u64,
    /// Elections that it won.
    pub won: u64,
    /// Times that it saw another leader than the one before.
    pub changes: u64,
    /// The same in the last 15 minutes.
    pub changes_15m: u64,
    /// Milliseconds that it has known no leader by now; `None`: it knows one.
    pub leaderless_ms: Option<u64>,
    /// Milliseconds without a leader since it started, in all.
    pub leaderless_total_ms: u64,
    /// Who led before the leader of now, or before there was none.
    pub last_leader: Option<LastLeader>,
}

/// A leader that leads no longer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LastLeader {
    /// Its seat.
    pub seat: u32,
    /// The term in which it led.
    pub term: u64,
    /// When it was lost, in milliseconds of UNIX time.
    pub lost_at_ms: u64,
    /// Why, in a code: see [`Event::cause`].
    pub cause: String,
}

/// What a node does and what that costs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// Processor time of its process, in milliseconds.
    pub cpu_ms: u64,
    /// Bytes that are free where its data is; 0 where it keeps none on a disk of its own.
    pub disk_free: u64,
    /// Bytes in all there.
    pub disk_total: u64,
    /// 99 of 100 syncs of the last ten seconds took at most this long, in microseconds.
    pub fsync_p99_us: Option<u64>,
    /// A sync that is under way has taken this long, in milliseconds.
    pub fsync_pending_ms: Option<u64>,
    /// 99 of 100 of this leader's entries of the last ten seconds were committed within this
    /// time, in microseconds.
    pub commit_p99_us: Option<u64>,
    /// Bytes of its log since the last snapshot.
    pub log_bytes: u64,
    /// When its last snapshot was made, in milliseconds of UNIX time.
    pub snapshot_at_ms: Option<u64>,
    /// Messages that its clients sent and that are committed, since it started.
    pub accepted: u64,
    /// Messages that it pushed to its clients, since it started.
    pub delivered: u64,
}

/// Something that happened on a node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Rises with every event of a node, also over its restarts.
    pub id: u64,
    /// When, by that node's clock, in milliseconds of UNIX time.
    pub at_ms: u64,
    /// The seat of the node that tells it.
    pub seat: u32,
    /// The term that it is about; 0: none.
    pub term: u64,
    /// What, in a code: `timeout`, `prevote_asked`, `prevote`, `vote_asked`, `vote`, `elected`,
    /// `stepped_down`, `new_leader`, `lost_leader`, `transfer`, `member`, `drain`, `storage`,
    /// `started`, `stopping`. A newer program may know more.
    pub kind: String,
    /// Seat of the other side, if there is one.
    pub peer: Option<u32>,
    /// Of an answer: whether it was a yes.
    pub granted: Option<bool>,
    /// Why, in a code: of an election or a lost leader `timeout`, `no_leader`, `connection_lost`,
    /// `transfer`, `leader_stopped`, `quorum_ack_lost`, `operator`; of a refusal `log_behind`,
    /// `term_behind`, `leader_alive`, `already_voted`, `not_answered`, `refused`; else empty.
    pub cause: String,
    /// How long it took, in milliseconds: of `elected` and `new_leader` the time without a
    /// leader, of an answer its round trip.
    pub took_ms: Option<u64>,
    /// The same for a person.
    pub text: String,
}
