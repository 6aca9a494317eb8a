//! What two servers of one cluster say to each other: the hello, and the frames
//! that carry fragments of messages. It must not know what a message means, nor
//! the rules of credit and liveness.

use super::message::ServerAddress;
use super::{WireError, convert, pb};
use crate::chat::ids::ClusterId;
use crate::limits;
use bytes::Bytes;
use prost::Message as _;

/// The first frame of a connection between servers, in each direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerHello {
    /// Lowest protocol version it speaks.
    pub min: u32,
    /// Highest protocol version it speaks.
    pub max: u32,
    /// Reserved bits.
    pub features: u64,
    /// Its cluster; `None` while it knows none.
    pub cluster: Option<ClusterId>,
    /// The cluster's generation; 0 while it knows none.
    pub generation: u64,
    /// Its seat in `nodes.conf`.
    pub seat: u32,
    /// Its Raft id: seat + 1000 · g.
    pub raft_id: u64,
    /// Made with its data directory.
    pub incarnation: [u8; 16],
    /// Of its `nodes.conf`: the cluster's name and every seat's addresses.
    pub membership_digest: Bytes,
    /// Nothing is in its log, its vote and its state.
    pub pristine: bool,
    /// The cluster's name.
    pub cluster_name: String,
    /// The seat that it believes to talk to.
    pub to_seat: u32,
    /// Highest log index of the receiver's that it acknowledged to the receiver.
    pub acknowledged: u64,
    /// Asks to be admitted as a learner under a new Raft id.
    pub rejoin: bool,
    /// Why it will not talk to the receiver; `None` where it will.
    pub refusal: Option<String>,
    /// Where it can be reached.
    pub address: ServerAddress,
}

/// The lanes of a connection, in the order in which they are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lane {
    /// Small and urgent: heartbeats, votes, quorum reads.
    Control = 0,
    /// Entries of the log.
    Log = 1,
    /// Commands on their way to the leader.
    Forward = 2,
    /// Snapshots.
    Snapshot = 3,
}

impl Lane {
    /// All lanes, the most urgent first.
    pub const ALL: [Self; 4] = [Self::Control, Self::Log, Self::Forward, Self::Snapshot];

    /// Bytes of questions, with `limits::PEER_FRAGMENT_COST` for each fragment, that may be
    /// under way or waiting in one direction. The longest message fits.
    #[must_use]
    pub const fn window(self) -> usize {
        match self {
            Self::Control => limits::PEER_CONTROL_BYTES,
            Self::Log | Self::Forward | Self::Snapshot => limits::PEER_LANE_BYTES,
        }
    }

    fn from_wire(number: u32) -> Result<Self, WireError> {
        let at = usize::try_from(number).ok().and_then(|n| Self::ALL.get(n));
        at.copied().ok_or(WireError::Unknown("lane"))
    }
}

/// What a message between servers is. The numbers are part of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MessageKind {
    /// Entries for the log.
    Append = 1,
    /// An append without entries, which must not wait behind entries.
    Heartbeat = 2,
    /// Asks for a vote.
    Vote = 3,
    /// Asks whether a vote would be given.
    PreVote = 4,
    /// Asks to campaign at once.
    TransferLeader = 5,
    /// Asks for the index of a quorum read.
    ReadIndex = 6,
    /// Commands for the leader.
    Forward = 7,
    /// Opens the transfer of a snapshot.
    SnapshotOffer = 8,
    /// A part of a snapshot.
    SnapshotRows = 9,
    /// Closes the transfer of a snapshot.
    SnapshotDone = 10,
    /// Asks the leader to admit the sender to the cluster.
    Admit = 11,
    /// What an operator wants.
    Order = 12,
}

impl MessageKind {
    /// All kinds.
    pub const ALL: [Self; 12] = [
        Self::Append,
        Self::Heartbeat,
        Self::Vote,
        Self::PreVote,
        Self::TransferLeader,
        Self::ReadIndex,
        Self::Forward,
        Self::SnapshotOffer,
        Self::SnapshotRows,
        Self::SnapshotDone,
        Self::Admit,
        Self::Order,
    ];

    /// The lane it travels in.
    #[must_use]
    pub const fn lane(self) -> Lane {
        match self {
            Self::Heartbeat
            | Self::Vote
            | Self::PreVote
            | Self::TransferLeader
            | Self::ReadIndex
            | Self::Admit
            | Self::Order => Lane::Control,
            Self::Append => Lane::Log,
            Self::Forward => Lane::Forward,
            Self::SnapshotOffer | Self::SnapshotRows | Self::SnapshotDone => Lane::Snapshot,
        }
    }

    fn from_wire(number: u32) -> Result<Self, WireError> {
        let known = Self::ALL.into_iter().find(|kind| *kind as u32 == number);
        known.ok_or(WireError::Unknown("kind of message between servers"))
    }
}

/// A frame after the hello: a fragment of a message, a ping, its answer, or credit alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerFrame {
    /// The lane; `Control` where there is no message.
    pub lane: Lane,
    /// What the message is; `None`: there is none, and a `call` other than 0 is a ping.
    pub kind: Option<MessageKind>,
    /// The number of the question; 0 where no answer is wanted.
    pub call: u64,
    /// It answers the question of that number.
    pub answer: bool,
    /// Further fragments of this message follow in this lane.
    pub more: bool,
    /// Bytes that the sender of this frame is ready to take again in a lane.
    pub credit: Option<(Lane, u32)>,
    /// The fragment.
    pub payload: Bytes,
}

impl PeerHello {
    /// The payload of a frame.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        convert::write(&pb::PeerHello {
            min: self.min,
            max: self.max,
            features: self.features,
            cluster: self.cluster.map_or_else(Bytes::new, |id| convert::bytes(&id.0)),
            generation: self.generation,
            seat: self.seat,
            raft_id: self.raft_id,
            incarnation: convert::bytes(&self.incarnation),
            membership_digest: self.membership_digest.clone(),
            pristine: self.pristine,
            cluster_name: self.cluster_name.clone(),
            to_seat: self.to_seat,
            acknowledged: self.acknowledged,
            rejoin: self.rejoin,
            refusal: self.refusal.clone().unwrap_or_default(),
            address: Some((&self.address).into()),
        })
    }

    /// Reads the payload of a frame.
    ///
    /// # Errors
    /// What makes it no hello.
    pub fn decode(payload: &[u8]) -> Result<Self, WireError> {
        let hello = pb::PeerHello::decode(payload).map_err(malformed)?;
        Ok(Self {
            min: hello.min,
            max: hello.max,
            features: hello.features,
            cluster: convert::cluster_or_none(&hello.cluster)?,
            generation: hello.generation,
            seat: hello.seat,
            raft_id: hello.raft_id,
            incarnation: convert::fixed(&hello.incarnation, "incarnation")?,
            membership_digest: hello.membership_digest,
            pristine: hello.pristine,
            cluster_name: hello.cluster_name,
            to_seat: hello.to_seat,
            acknowledged: hello.acknowledged,
            rejoin: hello.rejoin,
            refusal: Some(hello.refusal).filter(|text| !text.is_empty()),
            address: hello.address.unwrap_or_default().try_into()?,
        })
    }
}

impl PeerFrame {
    /// The payload of a frame.
    #[must_use]
    pub fn encode(self) -> Bytes {
        let (credit_lane, credit) = self.credit.map_or((0, 0), |(lane, n)| (lane as u32, n));
        convert::write(&pb::PeerFrame {
            lane: self.lane as u32,
            kind: self.kind.map_or(0, |kind| kind as u32),
            call: self.call,
            answer: self.answer,
            more: self.more,
            credit_lane,
            credit,
            payload: self.payload,
        })
    }

    /// Reads the payload of a frame. The fragment is a copy, so that a small message does
    /// not keep a large read buffer alive.
    ///
    /// # Errors
    /// What makes it no frame, or a lane, kind or combination that this build does not know.
    pub fn decode(payload: &[u8]) -> Result<Self, WireError> {
        let frame = pb::PeerFrame::decode(payload).map_err(malformed)?;
        let lane = Lane::from_wire(frame.lane)?;
        let kind = match frame.kind {
            0 => None,
            number => Some(MessageKind::from_wire(number)?),
        };
        let expected = kind.map_or(Lane::Control, MessageKind::lane);
        if lane != expected {
            return Err(WireError::Field("lane for its kind"));
        }
        if kind.is_none() && (frame.more || !frame.payload.is_empty()) {
            return Err(WireError::Field("payload without a kind"));
        }
        let credit = match frame.credit {
            0 => None,
            bytes => Some((Lane::from_wire(frame.credit_lane)?, bytes)),
        };
        Ok(Self {
            lane,
            kind,
            call: frame.call,
            answer: frame.answer,
            more: frame.more,
            credit,
            payload: frame.payload,
        })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn malformed(error: prost::DecodeError) -> WireError {
    WireError::Malformed(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> PeerHello {
        PeerHello {
            min: 1,
            max: 2,
            features: 3,
            cluster: Some(ClusterId([4; 16])),
            generation: 5,
            seat: 6,
            raft_id: 1006,
            incarnation: [7; 16],
            membership_digest: Bytes::from_static(b"digest"),
            pristine: true,
            cluster_name: "west".into(),
            to_seat: 8,
            acknowledged: 9,
            rejoin: true,
            refusal: Some("no".into()),
            address: ServerAddress { seat: 6, host: "h".into(), client: 10, peer: 11 },
        }
    }

    #[test]
    fn a_hello_is_read_as_written() {
        for hello in [hello(), PeerHello { cluster: None, refusal: None, ..hello() }] {
            let payload = hello.encode();
            assert!(payload.len() < limits::FRAME_BEFORE_LOGIN);
            assert_eq!(PeerHello::decode(&payload), Ok(hello));
        }
    }

    #[test]
    fn a_frame_is_read_as_written() {
        for kind in MessageKind::ALL {
            let frame = PeerFrame {
                lane: kind.lane(),
                kind: Some(kind),
                call: u64::MAX,
                answer: true,
                more: true,
                credit: Some((Lane::Snapshot, u32::MAX)),
                payload: vec![1; limits::PEER_FRAGMENT].into(),
            };
            let payload = frame.clone().encode();
            assert!(payload.len() <= limits::FRAME_PEER);
            assert_eq!(PeerFrame::decode(&payload), Ok(frame));
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let encoded = |frame: pb::PeerFrame| frame.encode_to_vec();
        let kind = MessageKind::Append as u32;
        for (frame, error) in [
            (pb::PeerFrame { lane: 4, ..Default::default() }, WireError::Unknown("lane")),
            (
                pb::PeerFrame { kind: 99, ..Default::default() },
                WireError::Unknown("kind of message between servers"),
            ),
            (
                pb::PeerFrame { kind, lane: 0, ..Default::default() },
                WireError::Field("lane for its kind"),
            ),
            (
                pb::PeerFrame { more: true, ..Default::default() },
                WireError::Field("payload without a kind"),
            ),
            (
                pb::PeerFrame { credit: 1, credit_lane: 9, ..Default::default() },
                WireError::Unknown("lane"),
            ),
        ] {
            assert_eq!(PeerFrame::decode(&encoded(frame)), Err(error));
        }
        let bad = pb::PeerHello { incarnation: Bytes::from_static(b"short"), ..Default::default() };
        assert_eq!(PeerHello::decode(&bad.encode_to_vec()), Err(WireError::Field("incarnation")));
        assert!(matches!(PeerFrame::decode(&[0xff; 9]), Err(WireError::Malformed(_))));
    }
}
