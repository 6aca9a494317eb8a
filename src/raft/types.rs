//! What a node says about itself beyond its status: why it did not start, why
//! it stopped, and what happened in its elections. It must not know openraft.

use crate::store::StoreError;
use std::collections::BTreeMap;
use std::time::Duration;

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The store failed, or holds what this node must not use; the variant says which exit code.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The address for the other servers cannot be listened on (exit 69 or 78).
    #[error("the address for the other servers cannot be used: {0}")]
    Listen(std::io::Error),
    /// The configuration makes no sense: nothing to retry.
    #[error("{0}")]
    Config(String),
}

/// Why a node stopped.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StopReason {
    /// Somebody called `shutdown`, or cancelled the token.
    #[error("it was told to stop")]
    Shutdown,
    /// The disk failed: exit 74.
    #[error("{0}")]
    Disk(String),
    /// What is on disk is less, or other, than what was acknowledged: exit 65.
    #[error("{0}")]
    Corrupt(String),
    /// The directory is another process's, cluster's or seat's: exit 78.
    #[error("{0}")]
    NotOurs(String),
    /// The database cannot be reached: start the node again when it is back.
    #[error("{0}")]
    Unavailable(String),
    /// The other servers refuse this node's data: exit 65; the text names `--rejoin`.
    #[error("{0}")]
    Refused(String),
    /// Raft itself failed: exit 1, the supervisor starts the process anew.
    #[error("{0}")]
    Raft(String),
}

impl From<&StoreError> for StopReason {
    fn from(error: &StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::Io(_) => Self::Disk(text),
            StoreError::Corrupt(_) => Self::Corrupt(text),
            StoreError::NotOurs(_) => Self::NotOurs(text),
            StoreError::Unavailable(_) => Self::Unavailable(text),
        }
    }
}

/// Something that happened on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// This node campaigns: no leader was heard for the election time, or a majority came up
    /// without one.
    Timeout,
    /// This node asked a peer whether it would vote for it.
    PreVoteRequested,
    /// A peer's answer to that.
    PreVoteAnswered,
    /// This node told a peer whether it would vote for it.
    PreVoted,
    /// This node asked a peer for its vote.
    VoteRequested,
    /// A peer's answer to that.
    VoteAnswered,
    /// This node gave its vote to a peer, or refused it.
    Voted,
    /// This node became leader.
    Elected,
    /// This node stopped leading.
    SteppedDown,
    /// This node knows another leader than before.
    NewLeader,
    /// This node no longer knows a leader.
    LostLeader,
    /// Leadership is handed over.
    Transfer,
    /// The membership changed.
    Member,
    /// This node was drained, or taken back.
    Drain,
    /// This node began to run.
    Started,
    /// This node stops.
    Stopping,
}

impl EventKind {
    /// As it is written; never changes.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::PreVoteRequested => "prevote_asked",
            Self::PreVoteAnswered => "prevote",
            Self::PreVoted => "prevoted",
            Self::VoteRequested => "vote_asked",
            Self::VoteAnswered => "vote",
            Self::Voted => "voted",
            Self::Elected => "elected",
            Self::SteppedDown => "stepped_down",
            Self::NewLeader => "new_leader",
            Self::LostLeader => "lost_leader",
            Self::Transfer => "transfer",
            Self::Member => "member",
            Self::Drain => "drain",
            Self::Started => "started",
            Self::Stopping => "stopping",
        }
    }
}

/// Why something happened, of a closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// Nobody has led yet, as far as this process knows.
    NoLeader,
    /// The leader was silent, though there is a connection with it.
    Timeout,
    /// The connection with the leader was lost.
    ConnectionLost,
    /// Leadership was handed over.
    Transfer,
    /// An operator asked for it.
    Operator,
    /// The leader stopped in an orderly way.
    LeaderStopped,
    /// No majority answered the leader any more.
    QuorumAckLost,
    /// Another one leads in a newer term.
    NewerTerm,
    /// Refused: the candidate's log is behind.
    LogBehind,
    /// Refused: the candidate's term is behind.
    TermBehind,
    /// Refused: a leader is alive.
    LeaderAlive,
    /// Refused: the vote of this term is given to another.
    AlreadyVoted,
    /// Refused for another reason.
    Refused,
    /// There was no answer.
    NotAnswered,
}

impl Cause {
    /// As it is written; never changes.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::NoLeader => "no_leader",
            Self::Timeout => "timeout",
            Self::ConnectionLost => "connection_lost",
            Self::Transfer => "transfer",
            Self::Operator => "operator",
            Self::LeaderStopped => "leader_stopped",
            Self::QuorumAckLost => "quorum_ack_lost",
            Self::NewerTerm => "newer_term",
            Self::LogBehind => "log_behind",
            Self::TermBehind => "term_behind",
            Self::LeaderAlive => "leader_alive",
            Self::AlreadyVoted => "already_voted",
            Self::Refused => "refused",
            Self::NotAnswered => "not_answered",
        }
    }
}

/// A line of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeEvent {
    /// Rises with every event, also over restarts of the process.
    pub id: u64,
    /// When, in milliseconds of UNIX time.
    pub at_ms: u64,
    /// The term it is about.
    pub term: u64,
    /// What happened.
    pub kind: EventKind,
    /// Seat of the other side, if there is one.
    pub peer: Option<u32>,
    /// Of an answer: whether it was a yes.
    pub granted: Option<bool>,
    /// Why.
    pub cause: Option<Cause>,
    /// How long it took: of a new leader the time without one, of an answer its round trip.
    pub took: Option<Duration>,
    /// The same, in words for a person.
    pub text: String,
}

/// Elections in numbers, since the process started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ElectionCounts {
    /// Elections that this node started, by cause.
    pub started: BTreeMap<Cause, u64>,
    /// Elections that it won.
    pub won: u64,
    /// Pre-votes that others refused it, by reason.
    pub refused: BTreeMap<Cause, u64>,
    /// Times that it saw another leader than the one before.
    pub changes: u64,
    /// The same in the last 15 minutes.
    pub changes_15m: u64,
    /// How long it has known no leader by now; `None`: it knows one.
    pub leaderless: Option<Duration>,
    /// Time without a leader, in all.
    pub leaderless_total: Duration,
    /// Who led before.
    pub last_leader: Option<LostLeader>,
}

/// A leader that leads no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostLeader {
    /// Its seat.
    pub seat: u32,
    /// The term in which it led.
    pub term: u64,
    /// When it was lost, in milliseconds of UNIX time.
    pub lost_at_ms: u64,
    /// Why.
    pub cause: Cause,
}
