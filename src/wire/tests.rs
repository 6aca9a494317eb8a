//! Every codec over many random values: what is written comes back, and no
//! bytes whatever make a reader panic or take memory they do not bring.

use super::client::{
    Page, decode_client, decode_server, encode_client, encode_history, encode_push, encode_server,
};
use super::discovery::{
    Answer, Purpose, Question, decode_answer, decode_question, encode_answer, encode_question,
};
use super::link::{
    LinkAnswer, decode_answer as decode_link_answer, decode_ask,
    encode_answer as encode_link_answer, encode_ask,
};
use super::log::{decode_command, encode_command};
use super::message::{ClientMsg, SendRun, ServerAddress, ServerMsg};
use super::record::{Row, Table};
use super::stored::{
    decode_mark, decode_runs, encode_mark, encode_runs, history_key, next_hash,
    parse_history_index_key, parse_history_index_value, rows, sent_index_key, write_of,
};
use super::{WireError, convert, pb, random};
use crate::chat::command::{Command, Send, Target};
use crate::chat::ids::{ConversationId, DeviceId};
use crate::chat::message::{Body, Run};
use crate::chat::scripts::{log, seeds};
use crate::chat::state::State;
use crate::limits;
use crate::tls::{Authority, NodeKeys};
use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;
use std::collections::BTreeMap;
use std::time::SystemTime;

#[test]
fn everything_comes_back_as_it_was_written() {
    seeds(5000, |rng| {
        let message = random::client_msg(rng);
        assert_eq!(decode_client(encode_client(&message)), Ok(message));
        let message = random::server_msg(rng);
        assert_eq!(decode_server(encode_server(&message)), Ok(message));
        let ask = random::link_ask(rng);
        assert_eq!(decode_ask(encode_ask(&ask)), Ok(ask));
        let answer = random::link_answer(rng);
        assert_eq!(decode_link_answer(encode_link_answer(&answer)), Ok(answer));
        let command = random::command(rng);
        assert_eq!(decode_command(encode_command(&command)), Ok(command));
        let mark = random::mark(rng);
        assert_eq!(decode_mark(encode_mark(&mark)), Ok(mark));
        let write = random::write(rng);
        assert_eq!(write_of(&rows(7, &write)[0]), Ok(write));
    });
}

fn decode_all(bytes: &Bytes) {
    drop(decode_client(bytes.clone()));
    drop(decode_server(bytes.clone()));
    drop(decode_ask(bytes.clone()));
    drop(decode_link_answer(bytes.clone()));
    drop(decode_command(bytes.clone()));
    drop(decode_mark(bytes.clone()));
    drop(decode_runs(bytes.clone()));
    drop(decode_question(bytes));
    drop(decode_answer(bytes, None));
    for table in Table::ALL {
        let (key, value) = bytes.split_at(bytes.len().min(16));
        let (key, value) = (Bytes::copy_from_slice(key), Bytes::copy_from_slice(value));
        drop(write_of(&Row { table, key, value: value.clone() }));
        let page = Page { request: 1, conversation: ConversationId(1), from: 1, to: u64::MAX };
        drop(encode_history(page, &[(1, value.clone()), (2, value.clone()), (3, value)]));
    }
}

#[test]
fn no_bytes_make_a_reader_panic() {
    seeds(3000, |rng| decode_all(&random::blob(rng, 600)));
}

/// Random bytes hardly ever get past the first field; damaged messages do.
#[test]
fn no_damaged_message_makes_a_reader_panic() {
    seeds(3000, |rng| {
        let bytes = match rng.random_range(0..6) {
            4 => encode_ask(&random::link_ask(rng)),
            5 => encode_link_answer(&random::link_answer(rng)),
            0 => encode_client(&random::client_msg(rng)),
            1 => encode_server(&random::server_msg(rng)),
            2 => encode_command(&random::command(rng)),
            _ => rows(7, &random::write(rng))[0].value.clone(),
        };
        let mut bytes = bytes.to_vec();
        for _ in 0..rng.random_range(1..4) {
            if bytes.is_empty() {
                break;
            }
            let at = rng.random_range(0..bytes.len());
            match rng.random_range(0..3) {
                0 => bytes[at] = rng.random(),
                1 => bytes.truncate(at),
                _ => bytes.insert(at, 0xff),
            }
        }
        decode_all(&bytes.into());
    });
}

#[test]
fn unknown_messages_are_told_from_damaged_ones() {
    // Field 100, a length-delimited value of one byte: a message of a newer protocol.
    let newer = Bytes::from_static(&[0xa2, 0x06, 0x01, 0x00]);
    assert_eq!(decode_client(newer.clone()), Err(WireError::Unknown("client message")));
    assert_eq!(decode_server(newer.clone()), Err(WireError::Unknown("server message")));
    assert_eq!(decode_command(newer.clone()), Err(WireError::Unknown("command")));
    assert_eq!(decode_ask(newer.clone()), Err(WireError::Unknown("ask")));
    assert_eq!(decode_link_answer(newer.clone()), Err(WireError::Unknown("answer")));
    // The same field beside a known one is only newer.
    let mut ping = encode_client(&ClientMsg::Ping(7)).to_vec();
    ping.extend_from_slice(&newer);
    assert_eq!(decode_client(ping.into()), Ok(ClientMsg::Ping(7)));
    let mut relayed = encode_link_answer(&LinkAnswer::Relayed).to_vec();
    relayed.extend_from_slice(&newer);
    assert_eq!(decode_link_answer(relayed.into()), Ok(LinkAnswer::Relayed));
    let damaged = Bytes::from_static(&[0x0a, 0x7f]);
    assert!(matches!(decode_client(damaged), Err(WireError::Malformed(_))));
}

#[test]
fn lengths_and_counts_are_checked() {
    let hello = |device: &'static [u8], purpose| {
        let hello = pb::Hello { device: device.into(), purpose, ..pb::Hello::default() };
        let frame = Some(pb::client_frame::Frame::Hello(hello));
        decode_client(convert::write(&pb::ClientFrame { frame }))
    };
    assert!(hello(&[1; 16], 1).is_ok());
    assert_eq!(hello(&[1; 15], 1), Err(WireError::Field("device id")));
    assert_eq!(hello(&[], 1), Err(WireError::Field("device id")));
    assert!(hello(&[], 2).is_ok());
    assert_eq!(hello(&[], 0), Err(WireError::Unknown("purpose")));

    let send = |group, first_number, count| {
        let bodies = vec![Body::text("x"); count];
        let to = Target::Conversation(ConversationId(1));
        let runs = vec![SendRun { group, first_number, to, bodies }];
        decode_client(encode_client(&ClientMsg::Send { runs, confirmed: 0 }))
    };
    let window = limits::WINDOW_MESSAGES as usize;
    assert!(send(0, 1, window).is_ok());
    assert_eq!(send(0, 1, window + 1), Err(WireError::Field("number of messages")));
    assert_eq!(send(0, 1, 0), Err(WireError::Field("run without bodies")));
    assert_eq!(send(0, 0, 1), Err(WireError::Field("send number")));
    assert_eq!(send(0, u64::MAX, 1), Err(WireError::Field("send number")));
}

#[test]
fn bodies_are_not_copied() {
    let data = Bytes::from(vec![b'x'; 1000]);
    let bodies = vec![Body { kind: 1, data, refers_to: None }];
    let to = Target::Conversation(ConversationId(1));
    let device = DeviceId::default();
    let send = Send { device, epoch: 0, group: 0, first_number: 1, confirmed: 0, to, bodies };
    let encoded = encode_command(&Command::Send(send));
    let inside = encoded.as_ptr_range();
    let Ok(Command::Send(send)) = decode_command(encoded.clone()) else { panic!() };
    assert!(inside.contains(&send.bodies[0].data.as_ptr()), "the body was copied");
}

/// Some values of history, as they are stored, and what is in them.
fn stored(rng: &mut StdRng, conversation: ConversationId) -> (Vec<(u64, Bytes)>, Vec<Run>) {
    let mut next = random::number(rng);
    let (mut values, mut all) = (Vec::new(), Vec::new());
    for index in 0..rng.random_range(1..6) {
        let runs = random::runs(rng, conversation, next);
        values.push((next, encode_runs(&runs, index)));
        next = runs.last().unwrap().last_seq() + 1;
        all.extend(runs);
    }
    (values, all)
}

/// One line a message: what must not change however runs are cut.
fn messages(runs: &[Run]) -> Vec<String> {
    let each = |run: &Run| {
        let line = |(k, body): (u64, &Body)| {
            let (seq, id) = (run.first_seq + k, run.id(k));
            format!("{} {seq} {id} {} {body:?}", run.conversation, run.sender)
        };
        (0..).zip(&run.bodies).map(line).collect::<Vec<_>>()
    };
    runs.iter().flat_map(each).collect()
}

#[test]
fn stored_values_are_handed_on_as_they_are() {
    seeds(1000, |rng| {
        let conversation = random::conversation(rng);
        let (values, all) = stored(rng, conversation);
        for (_, value) in &values {
            let (runs, index) = decode_runs(value.clone()).unwrap();
            assert_eq!(decode_server(encode_push(value)), Ok(ServerMsg::Push { runs, index }));
        }
        // As a store gives them: the first value holds `from`, the last one holds `to` or is full.
        let (first, last) = (all[0].first_seq, all.last().unwrap().last_seq());
        let from = rng.random_range(first..=values.get(1).map_or(last, |v| v.0 - 1));
        let to = rng.random_range(values.last().unwrap().0.max(from)..=last + 3);
        let page = Page { request: 9, conversation, from, to };
        let decoded = decode_server(encode_history(page, &values).unwrap());
        let Ok(ServerMsg::History { request: 9, conversation: c, from: f, to: t, runs }) = decoded
        else {
            panic!("{decoded:?}")
        };
        assert_eq!((c, f, t), (conversation, from, to.min(last)));
        let cut = all.iter().cloned().filter_map(|run| super::client::cut(run, from, to));
        assert_eq!(messages(&runs), messages(&cut.collect::<Vec<_>>()));
        let seqs = runs.iter().flat_map(|run| run.first_seq..=run.last_seq());
        assert!(seqs.eq(from..=to.min(last)), "{from}..={to} of {first}..={last}");
    });
}

#[test]
fn an_empty_page_covers_what_was_asked() {
    let page = Page { request: 1, conversation: ConversationId(5), from: 3, to: 8 };
    let Ok(ServerMsg::History { to, runs, .. }) = decode_server(encode_history(page, &[]).unwrap())
    else {
        panic!()
    };
    assert_eq!((to, runs), (8, vec![]));
}

#[test]
fn keys_sort_as_their_numbers() {
    let device = DeviceId([3; 16]);
    let keys = [0, 1, 255, 256, 1 << 40, u64::MAX];
    assert!(keys.is_sorted_by_key(|n| history_key(ConversationId(1), *n)));
    assert!(keys.is_sorted_by_key(|n| history_key(ConversationId(*n), 0)));
    assert!(keys.is_sorted_by_key(|n| sent_index_key(device, 0, *n)));
}

#[test]
fn an_entry_finds_what_it_wrote() {
    seeds(200, |rng| {
        let conversation = random::conversation(rng);
        let (index, first_seq) = (random::number(rng), random::number(rng));
        let runs = random::runs(rng, conversation, first_seq);
        let rows = rows(index, &crate::chat::write::Write::History { conversation, runs });
        let [history, by_index] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!(history.key, history_key(conversation, first_seq));
        assert_eq!(decode_runs(history.value.clone()).unwrap().1, index);
        assert_eq!(parse_history_index_key(&by_index.key), Ok((index, conversation)));
        assert_eq!(parse_history_index_value(&by_index.value), Ok(first_seq));
        let moved = Row { key: history_key(conversation, first_seq + 1), ..history.clone() };
        assert_eq!(write_of(&moved), Err(WireError::Field("history value")));
    });
}

/// What a node does over its life: rows to the store, a restart from them, and on.
#[test]
fn a_state_lives_on_in_its_rows() {
    seeds(60, |rng| {
        let log = log(rng, 50);
        let (mut full, mut node) = (State::default(), State::default());
        let mut store = BTreeMap::new();
        let (mut hash, mut other) = ([0; 32], [0; 32]);
        for (index, (at_ms, commands)) in (1..).zip(&log) {
            let commands: Vec<_> =
                commands.iter().map(|c| decode_command(encode_command(c)).unwrap()).collect();
            let applied = full.apply(*at_ms, &commands);
            let rows: Vec<_> = applied.writes.iter().flat_map(|w| rows(index, w)).collect();
            hash = next_hash(&hash, &rows);
            let again = node.apply(*at_ms, &commands);
            let again: Vec<_> =
                again.writes.iter().flat_map(|w| super::stored::rows(index, w)).collect();
            other = next_hash(&other, &again);
            assert_eq!(hash, other, "entry {index}");
            store.extend(rows.into_iter().map(|row| ((row.table, row.key.clone()), row)));
            if rng.random_bool(0.2) {
                node = restarted(&store);
                assert_eq!(node, full, "entry {index}");
            }
        }
    });
}

fn restarted(store: &BTreeMap<(Table, Bytes), Row>) -> State {
    let mut state = State::default();
    for row in store.values() {
        if row.table < Table::History || row.table == Table::Links {
            state.load(write_of(row).unwrap());
        }
    }
    state
}

#[test]
fn the_hash_tells_rows_apart_however_they_are_cut() {
    let row = |key: &'static [u8], value: &'static [u8]| Row {
        table: Table::Users,
        key: key.into(),
        value: value.into(),
    };
    let all = [
        vec![],
        vec![row(b"", b"")],
        vec![row(b"ab", b"c")],
        vec![row(b"a", b"bc")],
        vec![row(b"a", b"b"), row(b"", b"c")],
        vec![Row { table: Table::Devices, ..row(b"ab", b"c") }],
    ];
    let mut hashes: Vec<_> = all.iter().map(|rows| next_hash(&[0; 32], rows)).collect();
    hashes.push(next_hash(&[1; 32], &all[2]));
    let count = hashes.len();
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), count);
}

#[test]
fn a_question_is_padded_and_an_answer_is_never_longer() {
    let authority = Authority::make("west", SystemTime::now()).unwrap();
    let text = authority.node(3, SystemTime::now(), 9).unwrap();
    let keys = NodeKeys::parse(&text, 3).unwrap();
    seeds(500, |rng| {
        let signed: bool = rng.random();
        let purpose = if rng.random() { Purpose::Client } else { Purpose::Cluster };
        let question = Question { version: random::small(rng), nonce: rng.random(), purpose };
        let asked = encode_question(&question);
        assert_eq!(asked.len(), limits::QUESTION_BYTES);
        assert_eq!(decode_question(&asked), Ok(question));
        assert_eq!(decode_question(&asked[..511]), Err(WireError::Field("padding")));
        let count = rng.random_range(0..40);
        let answer = Answer {
            version: random::small(rng),
            nonce: question.nonce,
            cluster_name: "west".to_owned(),
            cluster: random::cluster(rng),
            generation: random::number(rng),
            leader: ServerAddress { seat: 3, ..random::addresses(rng, 1).remove(0) },
            members: random::addresses(rng, count),
            signer: None,
        };
        let keys = signed.then_some(&keys);
        let answer = Answer { signer: keys.map(|keys| keys.fingerprint), ..answer };
        let told = encode_answer(&answer, asked.len(), keys.map(|k| &k.hint)).unwrap();
        assert!(told.len() <= asked.len());
        let got = decode_answer(&told, None).unwrap();
        let fitting = answer.members[..got.members.len()].to_vec();
        assert_eq!(got, Answer { members: fitting, ..answer.clone() });
        let mut bent = told.to_vec();
        bent[rng.random_range(0..told.len())] ^= 1 << rng.random_range(0..8);
        let signer = decode_answer(&bent, None).ok().and_then(|answer| answer.signer);
        assert!(signer.is_none() || signer != answer.signer);
        let dropped = got.members.len() < answer.members.len();
        assert!(!dropped || told.len() + 80 > asked.len(), "a member was left out for nothing");
        assert!(matches!(
            encode_answer(&answer, 20, None),
            Err(WireError::TooLong { limit: 20, .. })
        ));
    });
}
