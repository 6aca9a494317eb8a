//! Benchmark of the bytes on the wire: a client's batch of messages, what a server pushes to its
//! clients, and an append between servers, each from the typed message to its frames and back.
//! `cargo bench --bench codec`

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a benchmark that fails may panic, and has no users"
)]

#[expect(dead_code, reason = "each benchmark uses a part of it")]
mod town;

use bytes::{Bytes, BytesMut};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};
use rustchat::chat::command::Command;
use rustchat::limits;
use rustchat::wire::frame::{Decoder, put_frame};
use rustchat::wire::message::{ClientMsg, SendRun, ServerMsg};
use rustchat::wire::peer::{Lane, MessageKind, PeerFrame};
use rustchat::wire::raft::{Append, Batch, Entry, Payload};
use rustchat::wire::record::{LogId, Vote};
use rustchat::wire::{client, stored};
use std::hint::black_box;
use town::{MESSAGES, Town};

/// Entries of the append, of one message each: many who write at once, one line each.
const ENTRIES: usize = 256;

/// A group that says elements and bytes of the frames a second.
fn group<'a>(
    criterion: &'a mut Criterion,
    name: &str,
    elements: usize,
    frames: &[u8],
) -> BenchmarkGroup<'a, WallTime> {
    let (elements, bytes) = (elements as u64, frames.len() as u64);
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::ElementsAndBytes { elements, bytes });
    group
}

fn framed(payload: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    put_frame(&mut out, payload);
    out
}

/// The only payload in these bytes.
fn payload(decoder: &mut Decoder, bytes: &[u8]) -> Bytes {
    decoder.feed(bytes);
    decoder.next().unwrap().expect("a whole frame")
}

/// A batch as a client sends it: one run of messages to one person.
fn client_batch(criterion: &mut Criterion) {
    let runs = Town::founded(1).0.sends().into_iter().map(|command| match command {
        Command::Send(send) => SendRun {
            group: send.group,
            first_number: send.first_number,
            to: send.to,
            bodies: send.bodies,
        },
        other => panic!("{other:?}"),
    });
    let message = ClientMsg::Send { runs: runs.collect(), confirmed: 0 };
    let frame = framed(&client::encode_client(&message));
    let mut decoder = Decoder::new(limits::FRAME_CLIENT);
    assert_eq!(client::decode_client(payload(&mut decoder, &frame)), Ok(message.clone()));
    let mut group = group(criterion, "client_batch", MESSAGES, &frame);
    group.bench_function("encode", |bencher| {
        bencher.iter(|| framed(&client::encode_client(black_box(&message))))
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| client::decode_client(payload(&mut decoder, black_box(&frame))).unwrap())
    });
    group.finish();
}

/// Messages of one entry in one conversation. Encoding is done once, for the store and for
/// every receiver.
fn push(criterion: &mut Criterion) {
    let (mut town, _) = Town::founded(1);
    let step = town.talk();
    let (runs, index) = stored::decode_runs(step.history().next().unwrap().clone()).unwrap();
    let encode = || framed(&client::encode_push(&stored::encode_runs(black_box(&runs), index)));
    let frame = encode();
    let mut decoder = Decoder::new(limits::FRAME_SERVER);
    let message = ServerMsg::Push { runs: runs.clone(), index };
    assert_eq!(client::decode_server(payload(&mut decoder, &frame)), Ok(message));
    let mut group = group(criterion, "push", MESSAGES, &frame);
    group.bench_function("encode", |bencher| bencher.iter(encode));
    group.bench_function("decode", |bencher| {
        bencher.iter(|| client::decode_server(payload(&mut decoder, black_box(&frame))).unwrap())
    });
    group.finish();
}

/// An append of `ENTRIES` entries as it is handed to the mesh.
fn append() -> Append {
    let (mut town, _) = Town::founded(MESSAGES);
    let items = town.talk().items;
    let entry = |(index, item): (u64, Bytes)| Entry {
        id: LogId { term: 1, index },
        payload: Payload::Batch(Batch { at_ms: index, items: vec![item] }.encode()),
    };
    Append {
        vote: Vote { term: 1, node: 1001, committed: true },
        prev: Some(LogId { term: 1, index: 1 }),
        entries: (2..).zip(items).take(ENTRIES).map(entry).collect(),
        commit: Some(LogId { term: 1, index: 1 }),
    }
}

/// The fragments of a message, framed, as the mesh sends them.
fn fragments(append: &Append) -> BytesMut {
    let message = append.encode();
    let mut out = BytesMut::new();
    let mut begin = 0;
    while begin < message.len() {
        let end = message.len().min(begin + limits::PEER_FRAGMENT);
        let frame = PeerFrame {
            lane: Lane::Log,
            kind: Some(MessageKind::Append),
            call: 1,
            answer: false,
            more: end < message.len(),
            credit: None,
            payload: message.slice(begin..end),
        };
        put_frame(&mut out, &frame.encode());
        begin = end;
    }
    out
}

/// The message that these fragments make.
fn whole(decoder: &mut Decoder, bytes: &[u8]) -> Append {
    decoder.feed(bytes);
    let mut message = BytesMut::new();
    loop {
        let frame = decoder.next().unwrap().expect("a whole frame");
        let frame = PeerFrame::decode(&frame).unwrap();
        message.extend_from_slice(&frame.payload);
        if !frame.more {
            return Append::decode(message.freeze()).unwrap();
        }
    }
}

fn peer_append(criterion: &mut Criterion) {
    let append = append();
    let frames = fragments(&append);
    let mut decoder = Decoder::new(limits::FRAME_PEER);
    assert_eq!(whole(&mut decoder, &frames), append);
    let mut group = group(criterion, "peer_append", ENTRIES, &frames);
    group.bench_function("encode", |bencher| bencher.iter(|| fragments(black_box(&append))));
    group.bench_function("decode", |bencher| {
        bencher.iter(|| whole(&mut decoder, black_box(&frames)))
    });
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    client_batch(&mut criterion);
    push(&mut criterion);
    peer_append(&mut criterion);
    criterion.final_summary();
}
