//! Raft's questions and answers between servers. It must not know who asks, nor
//! why.

use super::entry::{Entry, Member, payload_from, payload_to};
use crate::wire::record::{LogId, Vote};
use crate::wire::{WireError, convert, pb};
use bytes::Bytes;

/// AppendEntries (Raft paper, figure 2); a heartbeat has no entries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Append {
    /// The leader.
    pub vote: Vote,
    /// The entry before the first one.
    pub prev: Option<LogId>,
    /// To be appended.
    pub entries: Vec<Entry>,
    /// How far the cluster has committed.
    pub commit: Option<LogId>,
}

/// The answer to [`Append`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppendAnswer {
    /// All entries are there, durably.
    Success,
    /// The log matches up to here.
    Partial(Option<LogId>),
    /// `prev` is not in the log.
    Conflict,
    /// There is a newer leader or candidate.
    HigherVote(Vote),
}

/// RequestVote, also for a pre-vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskVote {
    /// The candidate and its term.
    pub vote: Vote,
    /// The candidate's last entry.
    pub last: Option<LogId>,
    /// The leader told the candidate to campaign.
    pub transfer: bool,
}

/// The answer to [`AskVote`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoteAnswer {
    /// The voter's vote now.
    pub vote: Vote,
    /// Whether it was given.
    pub granted: bool,
    /// The voter's last entry.
    pub last: Option<LogId>,
}

/// The leader tells a follower to campaign at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The leader.
    pub from: Vote,
    /// Raft id of the next one.
    pub to: u64,
    /// The entry that the next one must have.
    pub last: Option<LogId>,
}

/// The answer to [`Transfer`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferAnswer {
    /// It campaigns.
    Ok,
    /// It follows somebody else by now.
    VoteChanged(Vote),
    /// Its log does not reach so far.
    LogBehind(Option<LogId>),
}

/// Items for the leader, each with the number of messages in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forward {
    /// In order.
    pub items: Vec<(Bytes, u32)>,
}

/// The leader's answer to a server that wants to be admitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdmitAnswer {
    /// It is a learner under this Raft id.
    Admitted(u64),
    /// Ask the server on this seat.
    Leader(u32),
    /// Ask again later.
    NotNow(String),
}

impl Append {
    /// Writes it for a peer.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let entry = |e: &Entry| pb::LogEntry {
            id: Some(e.id.into()),
            payload: Some(payload_to(&e.payload)),
        };
        convert::write(&pb::AppendRequest {
            vote: Some(self.vote.into()),
            prev: self.prev.map(Into::into),
            entries: self.entries.iter().map(entry).collect(),
            commit: self.commit.map(Into::into),
        })
    }

    /// Reads what a peer wrote.
    ///
    /// # Errors
    /// When the bytes are something else.
    pub fn decode(bytes: Bytes) -> Result<Self, WireError> {
        let m: pb::AppendRequest = convert::read(bytes)?;
        let entry = |e: pb::LogEntry| -> Result<Entry, WireError> {
            let id = convert::need(e.id, "log id")?.into();
            Ok(Entry { id, payload: payload_from(e.payload)? })
        };
        Ok(Self {
            vote: convert::need(m.vote, "vote")?.into(),
            prev: m.prev.map(Into::into),
            entries: m.entries.into_iter().map(entry).collect::<Result<_, _>>()?,
            commit: m.commit.map(Into::into),
        })
    }
}

impl AppendAnswer {
    /// Writes it for a peer.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let (result, vote, matching) = match self {
            Self::Success => (1, None, None),
            Self::Partial(id) => (2, None, *id),
            Self::Conflict => (3, None, None),
            Self::HigherVote(vote) => (4, Some(*vote), None),
        };
        convert::write(&pb::AppendAnswer {
            result,
            vote: vote.map(Into::into),
            matching: matching.map(Into::into),
        })
    }

    /// Reads what a peer wrote.
    ///
    /// # Errors
    /// When the bytes are something else.
    pub fn decode(bytes: Bytes) -> Result<Self, WireError> {
        let m: pb::AppendAnswer = convert::read(bytes)?;
        match m.result {
            1 => Ok(Self::Success),
            2 => Ok(Self::Partial(m.matching.map(Into::into))),
            3 => Ok(Self::Conflict),
            4 => Ok(Self::HigherVote(convert::need(m.vote, "vote")?.into())),
            _ => Err(WireError::Unknown("answer to an append")),
        }
    }
}

impl AskVote {
    /// Writes it for a peer.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        convert::write(&pb::VoteRequest {
            vote: Some(self.vote.into()),
            last: self.last.map(Into::into),
            transfer: self.transfer,
        })
    }

    /// Reads what a peer wrote.
    ///
    /// # Errors
    /// When the bytes are something else.
    pub fn decode(bytes: Bytes) -> Result<Self, WireError> {
        let m: pb::VoteRequest = convert::read(bytes)?;
        Ok(Self {
            vote: convert::need(m.vote, "vote")?.into(),
            last: m.last.map(Into::into),
            transfer: m.transfer,
        })
    }
}

impl VoteAnswer {
    /// Writes it for a peer.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        convert::write(&pb::VoteAnswer {
            vote: Some(self.vote.into()),
            granted: self.granted,
            last: self.last.map(Into::into),
        })
    }

    /// Reads what a peer wrote.
    ///
    /// # Errors
    /// When the bytes are something else.
    pub fn decode(bytes: Bytes) -> Result<Self, WireError> {
        let m: pb::VoteAnswer = convert::read(bytes)?;
        Ok(Self {
            vote: convert::need(m.vote, "vote")?.into(),
            granted: m.granted,
            last: m.last.map(Into::into),
        })
    }
}

impl Transfer {
    /// Writes it for a peer.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        convert::write(&pb::TransferLeader {
            from: Some(self.from.into()),
            to: self.to,
            last: self.last.map(Into::into),
        })
    }

    /// Reads what a peer wrote.
    ///
    /// # Errors
    /// When the bytes are something else.
    pub fn decode(bytes: Bytes) -> Result<Self, WireError> {
        let m: pb::TransferLeader = convert::read(bytes)?;
        let from = convert::need(m.from, "vote")?.into();
        Ok(Self { from, to: m.to, last: m.last.map(Into::into) })
    }
}

impl TransferAnswer {
    /// Writes it for a peer.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        convert::write(&match self {
            Self::Ok => pb::TransferAnswer { ok: true, vote: None, last: None },
            Self::VoteChanged(vote) => {
                pb::TransferAnswer { ok: false, vote: Some((*vote).into()), last: None }
            }
            Self::LogBehind(id) => {
                pb::TransferAnswer { ok: false, vote: None, last: id.map(Into::into) }
            }
        })
    }

    /// Reads what a peer wrote.
    ///
    /// # Errors
    /// When the bytes are something else.
    pub fn decode(bytes: Bytes) -> Result<Self, WireError> {
        let m: pb::TransferAnswer = convert::read(bytes)?;
        Ok(match (m.ok, m.vote) {
            (true, _) => Self::Ok,
            (false, Some(vote)) => Self::VoteChanged(vote.into()),
            (false, None) => Self::LogBehind(m.last.map(Into::into)),
        })
    }
}

impl Forward {
    /// Writes it for a peer.
    #[must_use]
    pub fn encode(self) -> Bytes {
        let (items, messages) = self.items.into_iter().unzip();
        convert::write(&pb::Forward { items, messages })
    }

    /// Reads what a peer wrote.
    ///
    /// # Errors
    /// When the bytes are something else.
    pub fn decode(bytes: Bytes) -> Result<Self, WireError> {
        let m: pb::Forward = convert::read(bytes)?;
        if m.items.len() != m.messages.len() {
            return Err(WireError::Field("number of messages"));
        }
        Ok(Self { items: m.items.into_iter().zip(m.messages).collect() })
    }
}

/// Writes whether forwarded items were queued.
#[must_use]
pub fn encode_taken(taken: bool) -> Bytes {
    convert::write(&pb::ForwardAnswer { taken })
}

/// Reads what [`encode_taken`] wrote.
///
/// # Errors
/// When the bytes are something else.
pub fn decode_taken(bytes: Bytes) -> Result<bool, WireError> {
    Ok(convert::read::<pb::ForwardAnswer>(bytes)?.taken)
}

/// Writes the question for a quorum read's index.
#[must_use]
pub fn encode_read_index() -> Bytes {
    convert::write(&pb::ReadIndex {})
}

/// Writes the index of a quorum read; `None`: there was no quorum, or no leader.
#[must_use]
pub fn encode_read_answer(read: Option<u64>) -> Bytes {
    convert::write(&pb::ReadIndexAnswer {
        ok: read.is_some(),
        read: read.map(|index| pb::LogId { term: 0, index }),
    })
}

/// Reads what [`encode_read_answer`] wrote.
///
/// # Errors
/// When the bytes are something else.
pub fn decode_read_answer(bytes: Bytes) -> Result<Option<u64>, WireError> {
    let m: pb::ReadIndexAnswer = convert::read(bytes)?;
    Ok(m.read.filter(|_| m.ok).map(|id| id.index))
}

/// Writes the wish to be admitted; the member's Raft id does not matter.
#[must_use]
pub fn encode_admit(member: &Member) -> Bytes {
    convert::write(&pb::AdmitRequest { node: Some(member.into()) })
}

/// Reads what [`encode_admit`] wrote.
///
/// # Errors
/// When the bytes are something else.
pub fn decode_admit(bytes: Bytes) -> Result<Member, WireError> {
    convert::need(convert::read::<pb::AdmitRequest>(bytes)?.node, "node")?.try_into()
}

impl AdmitAnswer {
    /// Writes it for a peer.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let (raft_id, leader, error) = match self {
            Self::Admitted(id) => (*id, 0, String::new()),
            Self::Leader(seat) => (0, *seat, String::new()),
            Self::NotNow(why) => (0, 0, why.clone()),
        };
        convert::write(&pb::AdmitAnswer { raft_id, leader, error })
    }

    /// Reads what a peer wrote.
    ///
    /// # Errors
    /// When the bytes are something else.
    pub fn decode(bytes: Bytes) -> Result<Self, WireError> {
        let m: pb::AdmitAnswer = convert::read(bytes)?;
        Ok(match (m.raft_id, m.leader) {
            (0, 0) => Self::NotNow(m.error),
            (0, seat) => Self::Leader(seat),
            (id, _) => Self::Admitted(id),
        })
    }
}
