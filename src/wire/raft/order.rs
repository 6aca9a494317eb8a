//! What an operator wants of the cluster, on its way to the server that can do it, and the answer.
//! It must not know how it is done.

use super::entry::Member;
use crate::wire::{WireError, convert, pb};
use bytes::Bytes;

/// What an operator wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// A new member, as a learner that stays one until it is promoted.
    Add(Member),
    /// The learner on this seat votes.
    Promote(u32),
    /// The members on this seat go.
    Remove(u32),
    /// The server on this seat leads; `None`: another one than now.
    Transfer(Option<u32>),
    /// The server on this seat takes no clients and does not lead, or does again.
    Drain(u32, bool),
}

/// An order and how it is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ordered {
    /// What is wanted.
    pub order: Order,
    /// Only say what would come of it.
    pub dry_run: bool,
}

/// What became of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrderAnswer {
    /// It is done, and where the log is concerned, committed; in words.
    Done(String),
    /// The server on this seat leads: ask it.
    Leader(u32),
    /// It would do harm, or makes no sense: says why.
    Refused(String),
    /// It cannot be done now, and nothing was: ask again later.
    NotNow(String),
    /// It was begun, and whether it comes about is not known.
    Unknown(String),
}

impl Ordered {
    /// Writes it for a peer.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let (kind, node, seat) = match &self.order {
            Order::Add(member) => (1, Some(member.into()), 0),
            Order::Promote(seat) => (2, None, *seat),
            Order::Remove(seat) => (3, None, *seat),
            Order::Transfer(seat) => (4, None, seat.unwrap_or(0)),
            Order::Drain(seat, true) => (5, None, *seat),
            Order::Drain(seat, false) => (6, None, *seat),
        };
        convert::write(&pb::Order { kind, node, seat, dry_run: self.dry_run })
    }

    /// Reads what a peer wrote.
    ///
    /// # Errors
    /// When the bytes are no order, or one of a newer build.
    pub fn decode(bytes: Bytes) -> Result<Self, WireError> {
        let m: pb::Order = convert::read(bytes)?;
        let order = match m.kind {
            1 => Order::Add(convert::need(m.node, "node")?.try_into()?),
            2 => Order::Promote(m.seat),
            3 => Order::Remove(m.seat),
            4 => Order::Transfer(Some(m.seat).filter(|seat| *seat > 0)),
            5 => Order::Drain(m.seat, true),
            6 => Order::Drain(m.seat, false),
            _ => return Err(WireError::Unknown("order")),
        };
        Ok(Self { order, dry_run: m.dry_run })
    }
}

impl OrderAnswer {
    /// Writes it for a peer.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let (result, text, leader) = match self {
            Self::Done(text) => (1, text.clone(), 0),
            Self::Leader(seat) => (2, String::new(), *seat),
            Self::Refused(text) => (3, text.clone(), 0),
            Self::NotNow(text) => (4, text.clone(), 0),
            Self::Unknown(text) => (5, text.clone(), 0),
        };
        convert::write(&pb::OrderAnswer { result, text, leader })
    }

    /// Reads what a peer wrote.
    ///
    /// # Errors
    /// When the bytes are no answer, or one of a newer build.
    pub fn decode(bytes: Bytes) -> Result<Self, WireError> {
        let m: pb::OrderAnswer = convert::read(bytes)?;
        Ok(match m.result {
            1 => Self::Done(m.text),
            2 => Self::Leader(m.leader),
            3 => Self::Refused(m.text),
            4 => Self::NotNow(m.text),
            5 => Self::Unknown(m.text),
            _ => return Err(WireError::Unknown("answer to an order")),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_and_answers_come_back_as_they_were() {
        let member =
            Member { raft_id: 4, seat: 4, host: "h".into(), held: true, ..Member::default() };
        let orders = [
            Order::Add(member),
            Order::Promote(4),
            Order::Remove(4),
            Order::Transfer(Some(2)),
            Order::Transfer(None),
            Order::Drain(1, true),
            Order::Drain(1, false),
        ];
        for (order, dry_run) in orders.into_iter().zip([true, false].into_iter().cycle()) {
            let ordered = Ordered { order, dry_run };
            assert_eq!(Ordered::decode(ordered.encode()), Ok(ordered));
        }
        for answer in [
            OrderAnswer::Done("a".into()),
            OrderAnswer::Leader(3),
            OrderAnswer::Refused("b".into()),
            OrderAnswer::NotNow("c".into()),
            OrderAnswer::Unknown("d".into()),
        ] {
            assert_eq!(OrderAnswer::decode(answer.encode()), Ok(answer));
        }
        assert!(Ordered::decode(Bytes::from_static(&[8, 99])).is_err());
    }
}
