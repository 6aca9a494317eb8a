//! Every message comes back as it was, over many random values, and no bytes make
//! a reader panic.

use super::*;
use crate::wire::record::{LogId, Row, Table, Vote};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

const SEEDS: u64 = 300;

/// Makes random values.
pub(crate) struct Random(pub(crate) StdRng);

impl Random {
    pub(crate) fn id(&mut self) -> LogId {
        LogId { term: self.0.random(), index: self.0.random() }
    }

    pub(crate) fn some_id(&mut self) -> Option<LogId> {
        self.0.random::<bool>().then(|| self.id())
    }

    pub(crate) fn vote(&mut self) -> Vote {
        Vote { term: self.0.random(), node: self.0.random(), committed: self.0.random() }
    }

    pub(crate) fn bytes(&mut self) -> Bytes {
        let n = self.0.random_range(0..40);
        (0..n).map(|_| self.0.random::<u8>()).collect()
    }

    pub(crate) fn some<T>(&mut self, make: impl Fn(&mut Self) -> T) -> Vec<T> {
        let n = self.0.random_range(0..4);
        (0..n).map(|_| make(self)).collect()
    }

    pub(crate) fn member(&mut self) -> Member {
        Member {
            raft_id: self.0.random(),
            seat: self.0.random(),
            host: format!("host{}", self.0.random::<u8>()),
            peer: self.0.random(),
            client: self.0.random(),
            incarnation: self.0.random::<bool>().then(|| self.0.random()),
            held: self.0.random(),
        }
    }

    pub(crate) fn membership(&mut self) -> Membership {
        let configs = self.some(|r| r.some(|r| r.0.random()));
        Membership { configs, members: self.some(Self::member) }
    }

    pub(crate) fn payload(&mut self) -> Payload {
        match self.0.random_range(0..3) {
            0 => Payload::Blank,
            1 => Payload::Batch(self.bytes()),
            _ => Payload::Membership(self.membership()),
        }
    }

    pub(crate) fn row(&mut self) -> Row {
        let table = Table::ALL[self.0.random_range(0..Table::ALL.len())];
        Row { table, key: self.bytes(), value: self.bytes() }
    }
}

#[test]
fn everything_comes_back_as_it_was() {
    for seed in 0..SEEDS {
        let r = &mut Random(StdRng::seed_from_u64(seed));
        let what = format!("seed {seed}");

        let payload = r.payload();
        assert_eq!(Payload::decode(payload.encode()), Ok(payload), "{what}");
        let batch = Batch { at_ms: r.0.random(), items: r.some(Random::bytes) };
        assert_eq!(Batch::decode(batch.clone().encode()), Ok(batch), "{what}");
        let membership = r.membership();
        assert_eq!(Membership::decode(membership.encode()), Ok(membership), "{what}");
        let member = r.member();
        assert_eq!(decode_admit(encode_admit(&member)), Ok(member), "{what}");

        let entries = r.some(|r| Entry { id: r.id(), payload: r.payload() });
        let (vote, prev, commit) = (r.vote(), r.some_id(), r.some_id());
        let append = Append { vote, prev, entries, commit };
        assert_eq!(Append::decode(append.encode()), Ok(append), "{what}");
        for answer in [
            AppendAnswer::Success,
            AppendAnswer::Partial(r.some_id()),
            AppendAnswer::Conflict,
            AppendAnswer::HigherVote(r.vote()),
        ] {
            assert_eq!(AppendAnswer::decode(answer.encode()), Ok(answer), "{what}");
        }
        let ask = AskVote { vote: r.vote(), last: r.some_id(), transfer: r.0.random() };
        assert_eq!(AskVote::decode(ask.encode()), Ok(ask), "{what}");
        let answer = VoteAnswer { vote: r.vote(), granted: r.0.random(), last: r.some_id() };
        assert_eq!(VoteAnswer::decode(answer.encode()), Ok(answer), "{what}");
        let transfer = Transfer { from: r.vote(), to: r.0.random(), last: r.some_id() };
        assert_eq!(Transfer::decode(transfer.encode()), Ok(transfer), "{what}");
        let forward = Forward { items: r.some(|r| (r.bytes(), r.0.random())) };
        assert_eq!(Forward::decode(forward.clone().encode()), Ok(forward), "{what}");
        let read = r.0.random::<bool>().then(|| r.0.random());
        assert_eq!(decode_read_answer(encode_read_answer(read)), Ok(read), "{what}");
    }
}

#[test]
fn snapshots_come_back_as_they_were() {
    for seed in 0..SEEDS {
        let r = &mut Random(StdRng::seed_from_u64(seed));
        let what = format!("seed {seed}");
        let offer = SnapshotOffer {
            vote: r.vote(),
            last: r.id(),
            membership: r.membership(),
            membership_id: r.some_id(),
            hash: r.0.random(),
        };
        assert_eq!(SnapshotOffer::decode(offer.encode()), Ok(offer), "{what}");
        let above = r.0.random::<bool>().then(|| r.0.random());
        let wanted = SnapshotWanted { above, hash: r.0.random(), session: r.0.random() };
        assert_eq!(SnapshotWanted::decode(wanted.encode()), Ok(wanted), "{what}");
        let rows = SnapshotRows {
            session: r.0.random(),
            number: r.0.random(),
            rows: r.some(Random::row),
            all: r.0.random(),
            last: r.0.random(),
        };
        assert_eq!(SnapshotRows::decode(rows.clone().encode()), Ok(rows), "{what}");
        let vote = r.0.random::<bool>().then(|| r.vote());
        let error = r.0.random::<bool>().then(|| "no room".to_owned());
        let done = SnapshotDone { vote, error };
        assert_eq!(SnapshotDone::decode(done.clone().encode()), Ok(done), "{what}");
    }
}

#[test]
fn no_bytes_make_a_reader_panic() {
    for seed in 0..SEEDS {
        let r = &mut Random(StdRng::seed_from_u64(seed));
        let whole = Append {
            vote: r.vote(),
            prev: r.some_id(),
            entries: r.some(|r| Entry { id: r.id(), payload: r.payload() }),
            commit: r.some_id(),
        };
        let mut bytes = whole.encode().to_vec();
        for _ in 0..r.0.random_range(1..5) {
            let at = r.0.random_range(0..bytes.len());
            bytes[at] = r.0.random();
        }
        bytes.truncate(r.0.random_range(0..=bytes.len()));
        let bytes = Bytes::from(bytes);
        // Whether it can be read does not matter here.
        drop(Append::decode(bytes.clone()));
        drop(Payload::decode(bytes.clone()));
        drop(Membership::decode(bytes.clone()));
        drop(SnapshotOffer::decode(bytes.clone()));
        drop(SnapshotRows::decode(bytes.clone()));
        drop(AdmitAnswer::decode(bytes.clone()));
        drop(Forward::decode(bytes.clone()));
        drop(TransferAnswer::decode(bytes.clone()));
        drop(AskVote::decode(bytes));
    }
}

#[test]
fn an_unknown_kind_of_entry_is_an_error_and_not_a_blank() {
    assert!(Payload::decode(Bytes::new()).is_err());
    // Field 9, which no build knows yet.
    assert!(Payload::decode(Bytes::from_static(&[0x48, 0x01])).is_err());
}
