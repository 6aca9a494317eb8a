//! What a node says about itself beyond its status: why it did not start, why
//! it stopped, and what happened in its elections. It must not know openraft.

use crate::store::StoreError;

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

/// Something that happened in an election.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// No leader was heard for the election time, or a majority came up without one.
    Timeout,
    /// This node asked a peer whether it would vote for it.
    PreVoteRequested,
    /// A peer's answer to a pre-vote, or this node's answer to a peer's.
    PreVoteAnswered,
    /// This node asked a peer for its vote.
    VoteRequested,
    /// A peer's answer, or this node's answer to a peer.
    VoteAnswered,
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
}

/// A line of the election history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElectionEvent {
    /// When, in milliseconds of UNIX time.
    pub at_ms: u64,
    /// The term it is about.
    pub term: u64,
    /// What happened.
    pub kind: EventKind,
    /// Seat of the other side, if there is one.
    pub peer: Option<u32>,
    /// Why, in words for a person.
    pub text: String,
}
