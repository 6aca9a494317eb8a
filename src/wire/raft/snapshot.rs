//! A snapshot on its way: an offer, what the receiver has, pages, the end. It
//! must not know which rows a receiver needs.

use super::entry::Membership;
use crate::wire::record::{LogId, Row, Table, Vote};
use crate::wire::{WireError, convert, pb};
use bytes::Bytes;

/// A snapshot that a leader offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SnapshotOffer {
    /// The leader.
    pub vote: Vote,
    /// The last entry in it.
    pub last: LogId,
    /// The membership in it, and where that stands.
    pub membership: Membership,
    /// Place of that membership.
    pub membership_id: Option<LogId>,
    /// The rolling hash at `last`.
    pub hash: [u8; 32],
}

/// What the receiver of a snapshot has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotWanted {
    /// The last index it has applied; `None`: nothing.
    pub above: Option<u64>,
    /// The rolling hash there.
    pub hash: [u8; 32],
    /// Names this transfer; never 0.
    pub session: u64,
}

/// A page of a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotRows {
    /// Of [`SnapshotWanted`].
    pub session: u64,
    /// From 0, without gaps.
    pub number: u64,
    /// History and state.
    pub rows: Vec<Row>,
    /// The receiver's history is another one and goes; page 0 says it.
    pub all: bool,
    /// Nothing follows: install it.
    pub last: bool,
}

/// The answer to a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotDone {
    /// The receiver's vote, after the last page.
    pub vote: Option<Vote>,
    /// Why the transfer ends here.
    pub error: Option<String>,
}

impl SnapshotOffer {
    /// Writes it for a peer.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        convert::write(&pb::SnapshotOffer {
            vote: Some(self.vote.into()),
            last: Some(self.last.into()),
            membership: Some((&self.membership).into()),
            membership_id: self.membership_id.map(Into::into),
            hash: convert::bytes(&self.hash),
        })
    }

    /// Reads what a peer wrote.
    ///
    /// # Errors
    /// When the bytes are something else.
    pub fn decode(bytes: Bytes) -> Result<Self, WireError> {
        let m: pb::SnapshotOffer = convert::read(bytes)?;
        Ok(Self {
            vote: convert::need(m.vote, "vote")?.into(),
            last: convert::need(m.last, "log id")?.into(),
            membership: convert::need(m.membership, "membership")?.try_into()?,
            membership_id: m.membership_id.map(Into::into),
            hash: convert::fixed(&m.hash, "hash")?,
        })
    }
}

impl SnapshotWanted {
    /// Writes it for a peer.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        convert::write(&pb::SnapshotWanted {
            all: self.above.is_none(),
            above: self.above.unwrap_or_default(),
            hash: convert::bytes(&self.hash),
            session: self.session,
        })
    }

    /// Reads what a peer wrote.
    ///
    /// # Errors
    /// When the bytes are something else.
    pub fn decode(bytes: Bytes) -> Result<Self, WireError> {
        let m: pb::SnapshotWanted = convert::read(bytes)?;
        Ok(Self {
            above: (!m.all).then_some(m.above),
            hash: convert::fixed(&m.hash, "hash")?,
            session: m.session,
        })
    }
}

impl SnapshotRows {
    /// Writes it for a peer.
    #[must_use]
    pub fn encode(self) -> Bytes {
        let row = |r: Row| pb::Row { table: r.table as u32, key: r.key, value: r.value };
        convert::write(&pb::SnapshotRows {
            session: self.session,
            rows: self.rows.into_iter().map(row).collect(),
            last: self.last,
            number: self.number,
            all: self.all,
        })
    }

    /// Reads what a peer wrote.
    ///
    /// # Errors
    /// When the bytes are something else, or a table is one of a newer build.
    pub fn decode(bytes: Bytes) -> Result<Self, WireError> {
        let m: pb::SnapshotRows = convert::read(bytes)?;
        let row = |r: pb::Row| -> Result<Row, WireError> {
            let table = Table::from_number(r.table).ok_or(WireError::Unknown("table"))?;
            Ok(Row { table, key: r.key, value: r.value })
        };
        Ok(Self {
            session: m.session,
            number: m.number,
            rows: m.rows.into_iter().map(row).collect::<Result<_, _>>()?,
            all: m.all,
            last: m.last,
        })
    }
}

impl SnapshotDone {
    /// Writes it for a peer.
    #[must_use]
    pub fn encode(self) -> Bytes {
        convert::write(&pb::SnapshotDone {
            vote: self.vote.map(Into::into),
            ok: self.error.is_none(),
            error: self.error.unwrap_or_default(),
        })
    }

    /// Reads what a peer wrote.
    ///
    /// # Errors
    /// When the bytes are something else.
    pub fn decode(bytes: Bytes) -> Result<Self, WireError> {
        let m: pb::SnapshotDone = convert::read(bytes)?;
        Ok(Self { vote: m.vote.map(Into::into), error: (!m.ok).then_some(m.error) })
    }
}
