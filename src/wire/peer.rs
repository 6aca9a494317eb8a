//! What two servers of one cluster say to each other: the hello, and the frames
//! that carry fragments of messages. It must not know what a message means, nor
//! the rules of credit and liveness.

use super::message::ServerAddress;
use super::{WireError, pb};
use crate::chat::ids::ClusterId;
use crate::limits;
use bytes::{BufMut as _, Bytes, BytesMut};
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
}

impl MessageKind {
    /// All kinds.
    pub const ALL: [Self; 11] = [
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
            | Self::Admit => Lane::Control,
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
    /// Appends the hello to `out` as a frame, length first.
    pub fn encode(self, out: &mut BytesMut) {
        let hello = self;
        put_frame(
            &pb::PeerHello {
                min: hello.min,
                max: hello.max,
                features: hello.features,
                cluster: hello.cluster.map_or_else(Bytes::new, |id| copied(&id.0)),
                generation: hello.generation,
                seat: hello.seat,
                raft_id: hello.raft_id,
                incarnation: copied(&hello.incarnation),
                membership_digest: hello.membership_digest,
                pristine: hello.pristine,
                cluster_name: hello.cluster_name,
                to_seat: hello.to_seat,
                acknowledged: hello.acknowledged,
                rejoin: hello.rejoin,
                refusal: hello.refusal.unwrap_or_default(),
                address: Some(pb::ServerAddress {
                    seat: hello.address.seat,
                    host: hello.address.host,
                    client: hello.address.client.into(),
                    peer: hello.address.peer.into(),
                }),
            },
            out,
        );
    }

    /// Reads the body of a frame.
    ///
    /// # Errors
    /// What makes it no hello.
    pub fn decode(body: &[u8]) -> Result<Self, WireError> {
        let hello = pb::PeerHello::decode(body).map_err(malformed)?;
        let address = hello.address.unwrap_or_default();
        Ok(Self {
            min: hello.min,
            max: hello.max,
            features: hello.features,
            cluster: match hello.cluster.as_ref() {
                [] => None,
                bytes => Some(ClusterId(sixteen(bytes, "cluster")?)),
            },
            generation: hello.generation,
            seat: hello.seat,
            raft_id: hello.raft_id,
            incarnation: sixteen(&hello.incarnation, "incarnation")?,
            membership_digest: hello.membership_digest,
            pristine: hello.pristine,
            cluster_name: hello.cluster_name,
            to_seat: hello.to_seat,
            acknowledged: hello.acknowledged,
            rejoin: hello.rejoin,
            refusal: Some(hello.refusal).filter(|text| !text.is_empty()),
            address: ServerAddress {
                seat: address.seat,
                host: address.host,
                client: port(address.client)?,
                peer: port(address.peer)?,
            },
        })
    }
}

impl PeerFrame {
    /// Appends the frame to `out`, length first.
    pub fn encode(self, out: &mut BytesMut) {
        let (credit_lane, credit) = self.credit.map_or((0, 0), |(lane, n)| (lane as u32, n));
        put_frame(
            &pb::PeerFrame {
                lane: self.lane as u32,
                kind: self.kind.map_or(0, |kind| kind as u32),
                call: self.call,
                answer: self.answer,
                more: self.more,
                credit_lane,
                credit,
                payload: self.payload,
            },
            out,
        );
    }

    /// Reads the body of a frame. The payload is a copy, so that a small message does not
    /// keep a large read buffer alive.
    ///
    /// # Errors
    /// What makes it no frame, or a lane, kind or combination that this build does not know.
    pub fn decode(body: &[u8]) -> Result<Self, WireError> {
        let frame = pb::PeerFrame::decode(body).map_err(malformed)?;
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

/// Length, then message. Nothing between servers comes near 4 GiB: messages are cut into
/// fragments before, and a hello holds names that were checked.
fn put_frame(message: &impl prost::Message, out: &mut BytesMut) {
    let length = message.encoded_len();
    out.reserve(4 + length);
    out.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    let whole = message.encode(out).is_ok();
    debug_assert!(whole, "a BytesMut grows by itself");
}

#[expect(clippy::needless_pass_by_value, reason = "the shape of map_err")]
fn malformed(error: prost::DecodeError) -> WireError {
    WireError::Malformed(error.to_string())
}

fn copied(bytes: &[u8; 16]) -> Bytes {
    Bytes::copy_from_slice(bytes)
}

fn sixteen(bytes: &[u8], field: &'static str) -> Result<[u8; 16], WireError> {
    bytes.try_into().map_err(|_| WireError::Field(field))
}

fn port(number: u32) -> Result<u16, WireError> {
    u16::try_from(number).map_err(|_| WireError::Field("port"))
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

    fn body(encode: impl FnOnce(&mut BytesMut)) -> Vec<u8> {
        let mut out = BytesMut::new();
        encode(&mut out);
        let length = u32::from_be_bytes(out[..4].try_into().unwrap());
        assert_eq!(length as usize, out.len() - 4);
        out[4..].to_vec()
    }

    #[test]
    fn a_hello_is_read_as_written() {
        for hello in [hello(), PeerHello { cluster: None, refusal: None, ..hello() }] {
            let body = body(|out| hello.clone().encode(out));
            assert!(body.len() < limits::FRAME_BEFORE_LOGIN);
            assert_eq!(PeerHello::decode(&body), Ok(hello));
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
            let body = body(|out| frame.clone().encode(out));
            assert!(body.len() <= limits::FRAME_PEER);
            assert_eq!(PeerFrame::decode(&body), Ok(frame));
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
