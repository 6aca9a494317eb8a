//! What comes over a socket or out of a store: frames, messages between servers, datagrams, and
//! values of the log and of the state.

use super::{bytes, fuzz, most_held};
use crate::limits;
use crate::wire::WireError;
use crate::wire::client::{decode_client, decode_server, encode_client, encode_server};
use crate::wire::discovery::{
    self, decode_answer, decode_question, encode_answer, encode_question,
};
use crate::wire::link::{
    decode_answer as decode_link_answer, decode_ask, encode_answer as encode_link_answer,
    encode_ask,
};
use crate::wire::log::{decode_command, encode_command};
use crate::wire::peer::{Lane, MessageKind, PeerFrame, PeerHello};
use crate::wire::raft::tests::Random;
use crate::wire::raft::{
    AdmitAnswer, Append, AppendAnswer, AskVote, Batch, Entry, Forward, Membership, OrderAnswer,
    Ordered, Payload, SnapshotDone, SnapshotOffer, SnapshotRows, SnapshotWanted, Transfer,
    TransferAnswer, VoteAnswer, decode_admit, decode_read_answer, decode_taken, encode_admit,
    encode_read_answer, encode_taken,
};
use crate::wire::random;
use crate::wire::record::{Row, Table};
use crate::wire::stored::{
    decode_mark, decode_runs, encode_mark, encode_runs, parse_history_index_key,
    parse_history_index_value, parse_history_key, parse_sent_index_key, rows, write_of,
};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::fmt::Debug;

/// What is decoded holds at most this many times the longest frame.
const TIMES: usize = 8;
/// What a server says is messages of a few bytes, which cost more to hold than to send.
const TIMES_SERVER: usize = 16;
/// What servers, which know each other, say or keep has no bound on empty values: they cost two
/// bytes to send, and to hold whatever an empty one takes. So this is a bound of the readers'
/// own doing, by the greatest of these values.
const TIMES_OWN: usize = 400;

/// One reader: bytes that it takes, and what must hold of any bytes.
struct Codec {
    name: &'static str,
    /// Most bytes that it may hold.
    most: usize,
    valid: fn(&mut StdRng) -> Bytes,
    /// Reads, and where that works, writes and reads again; what the first reading held.
    held: fn(Bytes) -> u64,
}

fn held<T: PartialEq + Debug>(
    bytes: Bytes,
    decode: impl Fn(Bytes) -> Result<T, WireError>,
    encode: impl Fn(&T) -> Bytes,
) -> u64 {
    let mut read = None;
    let most = most_held(|| read = decode(bytes).ok());
    if let Some(value) = read {
        assert_eq!(decode(encode(&value)).as_ref(), Ok(&value), "it does not come back");
    }
    most
}

fn each(target: &str, codecs: &[Codec]) {
    fuzz(target, |rng| {
        for codec in codecs {
            let bytes = bytes(rng, codec.valid);
            let length = bytes.len();
            let held = (codec.held)(bytes);
            let most = codec.most as u64;
            assert!(held <= most, "{}: {held} bytes, {most} allowed, for {length}", codec.name);
        }
    });
}

fn seeded(rng: &mut StdRng) -> Random {
    Random(StdRng::seed_from_u64(rng.random()))
}

#[test]
fn frames_of_clients_and_servers() {
    let client = Codec {
        name: "client",
        most: TIMES * limits::FRAME_CLIENT,
        valid: |rng| encode_client(&random::client_msg(rng)),
        held: |bytes| held(bytes, decode_client, encode_client),
    };
    let server = Codec {
        name: "server",
        most: TIMES_SERVER * limits::FRAME_SERVER,
        valid: |rng| encode_server(&random::server_msg(rng)),
        held: |bytes| held(bytes, decode_server, encode_server),
    };
    each("fuzz::wire::frames_of_clients_and_servers", &[client, server]);
}

#[test]
fn frames_of_other_clusters() {
    let ask = Codec {
        name: "ask",
        most: TIMES * LONGEST_MESSAGE,
        valid: |rng| encode_ask(&random::link_ask(rng)),
        held: |bytes| held(bytes, decode_ask, encode_ask),
    };
    let answer = Codec {
        name: "answer",
        most: TIMES_SERVER * limits::FRAME_SERVER,
        valid: |rng| encode_link_answer(&random::link_answer(rng)),
        held: |bytes| held(bytes, decode_link_answer, encode_link_answer),
    };
    each("fuzz::wire::frames_of_other_clusters", &[ask, answer]);
}

fn peer_frame(rng: &mut StdRng) -> PeerFrame {
    let kind = MessageKind::ALL[rng.random_range(0..MessageKind::ALL.len())];
    let credit = random::some(rng, |rng| (Lane::ALL[rng.random_range(0..4)], random::small(rng)));
    PeerFrame {
        lane: kind.lane(),
        kind: Some(kind),
        call: rng.random(),
        answer: rng.random(),
        more: rng.random(),
        credit,
        payload: random::blob(rng, 200),
    }
}

fn peer_hello(rng: &mut StdRng) -> PeerHello {
    PeerHello {
        min: 1,
        max: random::small(rng),
        features: rng.random(),
        cluster: random::some(rng, random::cluster),
        generation: rng.random(),
        seat: random::small(rng),
        raft_id: rng.random(),
        incarnation: rng.random(),
        membership_digest: random::blob(rng, 32),
        pristine: rng.random(),
        cluster_name: random::text(rng),
        to_seat: random::small(rng),
        acknowledged: rng.random(),
        rejoin: rng.random(),
        refusal: random::some(rng, |_| "no".to_owned()),
        address: random::addresses(rng, 1).remove(0),
    }
}

#[test]
fn frames_between_servers() {
    let most = TIMES * limits::FRAME_PEER;
    let frame = Codec {
        name: "peer frame",
        most,
        valid: |rng| peer_frame(rng).encode(),
        held: |bytes| held(bytes, |b| PeerFrame::decode(&b), |frame| frame.clone().encode()),
    };
    let hello = Codec {
        name: "peer hello",
        most,
        valid: |rng| peer_hello(rng).encode(),
        held: |bytes| held(bytes, |b| PeerHello::decode(&b), PeerHello::encode),
    };
    each("fuzz::wire::frames_between_servers", &[frame, hello]);
}

/// A codec of a type with `encode` and `decode`; valid bytes are made by the expression.
macro_rules! message {
    ($name:ty, |$r:ident| $valid:expr) => {
        Codec {
            name: stringify!($name),
            most: TIMES_OWN * LONGEST_MESSAGE,
            valid: |rng| {
                let $r = &mut seeded(rng);
                $valid
            },
            held: |bytes| held(bytes, <$name>::decode, |value| value.clone().encode()),
        }
    };
}

/// What the damaged messages here reach at most, in bytes; real ones are longer.
const LONGEST_MESSAGE: usize = super::LONGEST;

fn append(r: &mut Random) -> Append {
    let (vote, prev, commit) = (r.vote(), r.some_id(), r.some_id());
    let entries = r.some(|r| Entry { id: r.id(), payload: r.payload() });
    Append { vote, prev, entries, commit }
}

fn consensus() -> Vec<Codec> {
    vec![
        message!(Append, |r| append(r).encode()),
        message!(AppendAnswer, |r| AppendAnswer::Partial(r.some_id()).encode()),
        message!(AskVote, |r| {
            AskVote { vote: r.vote(), last: r.some_id(), transfer: true }.encode()
        }),
        message!(VoteAnswer, |r| {
            VoteAnswer { vote: r.vote(), granted: true, last: r.some_id() }.encode()
        }),
        message!(Transfer, |r| Transfer { from: r.vote(), to: 7, last: r.some_id() }.encode()),
        message!(TransferAnswer, |r| r.bytes()),
        message!(Forward, |r| Forward { items: r.some(|r| (r.bytes(), 9)) }.encode()),
        message!(AdmitAnswer, |r| r.bytes()),
        message!(Ordered, |r| r.bytes()),
        message!(OrderAnswer, |r| r.bytes()),
        message!(Payload, |r| r.payload().encode()),
        message!(Batch, |r| Batch { at_ms: 8, items: r.some(Random::bytes) }.encode()),
        message!(Membership, |r| r.membership().encode()),
    ]
}

fn snapshots() -> Vec<Codec> {
    vec![
        message!(SnapshotOffer, |r| {
            let (vote, last, membership) = (r.vote(), r.id(), r.membership());
            let membership_id = r.some_id();
            SnapshotOffer { vote, last, membership, membership_id, hash: [5; 32] }.encode()
        }),
        message!(SnapshotWanted, |_r| {
            SnapshotWanted { above: Some(3), hash: [4; 32], session: 5 }.encode()
        }),
        message!(SnapshotRows, |r| {
            let rows = r.some(Random::row);
            SnapshotRows { session: 1, number: 2, rows, ..SnapshotRows::default() }.encode()
        }),
        message!(SnapshotDone, |r| {
            SnapshotDone { vote: Some(r.vote()), error: Some("no room".to_owned()) }.encode()
        }),
        Codec {
            name: "admit",
            most: TIMES_OWN * LONGEST_MESSAGE,
            valid: |rng| encode_admit(&seeded(rng).member()),
            held: |bytes| held(bytes, decode_admit, encode_admit),
        },
        Codec {
            name: "read index",
            most: TIMES_OWN * LONGEST_MESSAGE,
            valid: |rng| encode_read_answer(Some(rng.random())),
            held: |bytes| held(bytes, decode_read_answer, |read| encode_read_answer(*read)),
        },
        Codec {
            name: "taken",
            most: TIMES_OWN * LONGEST_MESSAGE,
            valid: |rng| encode_taken(rng.random()),
            held: |bytes| held(bytes, decode_taken, |taken| encode_taken(*taken)),
        },
    ]
}

#[test]
fn messages_between_servers() {
    let mut codecs = consensus();
    codecs.extend(snapshots());
    each("fuzz::wire::messages_between_servers", &codecs);
}

#[test]
fn datagrams_of_discovery() {
    /// Longest datagram that is read.
    const DATAGRAM: usize = 2048;
    let question = Codec {
        name: "question",
        most: TIMES * DATAGRAM,
        valid: |rng| {
            let purpose = discovery::Purpose::Client;
            encode_question(&discovery::Question { version: 1, nonce: rng.random(), purpose })
        },
        held: |mut bytes| {
            bytes.truncate(DATAGRAM);
            held(bytes, |b| decode_question(&b), encode_question)
        },
    };
    let answer = Codec {
        name: "answer",
        most: TIMES_OWN * DATAGRAM,
        valid: |rng| {
            let answer = discovery::Answer {
                version: 1,
                nonce: rng.random(),
                cluster_name: random::text(rng),
                cluster: random::cluster(rng),
                generation: rng.random(),
                leader: random::addresses(rng, 1).remove(0),
                members: random::addresses(rng, 5),
                signer: None,
            };
            encode_answer(&answer, DATAGRAM, None).unwrap()
        },
        held: |mut bytes| {
            bytes.truncate(DATAGRAM);
            let encode =
                |answer: &discovery::Answer| encode_answer(answer, usize::MAX, None).unwrap();
            held(bytes, |b| decode_answer(&b, None), encode)
        },
    };
    each("fuzz::wire::datagrams_of_discovery", &[question, answer]);
}

#[test]
fn commands_of_the_log() {
    let command = Codec {
        name: "command",
        most: TIMES_OWN * super::LONGEST,
        valid: |rng| encode_command(&random::command(rng)),
        held: |bytes| held(bytes, decode_command, encode_command),
    };
    each("fuzz::wire::commands_of_the_log", &[command]);
}

/// A row as bytes: its table, the length of its key, the key and the value.
fn row_of(bytes: &Bytes) -> Option<Row> {
    let (table, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (key, value) = rest.split_at_checked(usize::from(*length))?;
    let table = Table::ALL[usize::from(*table) % Table::ALL.len()];
    Some(Row { table, key: Bytes::copy_from_slice(key), value: bytes.slice_ref(value) })
}

fn bytes_of(row: &Row) -> Bytes {
    let at = Table::ALL.iter().position(|table| *table == row.table).unwrap();
    let head = [u8::try_from(at).unwrap(), u8::try_from(row.key.len()).unwrap()];
    [&head[..], &row.key, &row.value].concat().into()
}

#[test]
fn rows_of_the_store() {
    let row = Codec {
        name: "row",
        most: TIMES_OWN * super::LONGEST,
        valid: |rng| bytes_of(&rows(7, &random::write(rng))[0]),
        held: |bytes| {
            let Some(row) = row_of(&bytes) else { return 0 };
            drop(parse_history_key(&row.key));
            drop(parse_history_index_key(&row.key));
            drop(parse_history_index_value(&row.value));
            drop(parse_sent_index_key(&row.key));
            let decode = |bytes: Bytes| write_of(&row_of(&bytes).unwrap_or_else(|| row.clone()));
            held(bytes, decode, |write| bytes_of(&rows(7, write)[0]))
        },
    };
    let runs = Codec {
        name: "runs",
        most: TIMES_OWN * super::LONGEST,
        valid: |rng| encode_runs(&[random::run(rng), random::run(rng)], rng.random()),
        held: |bytes| held(bytes, decode_runs, |(runs, index)| encode_runs(runs, *index)),
    };
    let mark = Codec {
        name: "mark",
        most: TIMES_OWN * super::LONGEST,
        valid: |rng| encode_mark(&random::mark(rng)),
        held: |bytes| held(bytes, decode_mark, encode_mark),
    };
    each("fuzz::wire::rows_of_the_store", &[row, runs, mark]);
}
