//! The outbox file: what a process wrote is there for the next one, and nothing
//! that is not whole is believed.

use super::for_seeds;
use crate::chat::command::Target;
use crate::chat::ids::{ClusterId, ConversationId, DeviceId, MessageId, UserId};
use crate::chat::message::Body;
use crate::client::Outgoing;
use crate::client::outbox::Outbox;
use crate::limits;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::path::Path;

fn to(n: u64) -> Target {
    if n.is_multiple_of(2) {
        Target::Conversation(ConversationId(n))
    } else {
        Target::User(UserId { cluster: ClusterId([3; 16]), number: n })
    }
}

fn body(n: u64) -> Body {
    let origin = ClusterId([1; 16]);
    let id = MessageId { origin, device: DeviceId([2; 16]), group: 0, number: n };
    Body { refers_to: n.is_multiple_of(3).then_some(id), ..Body::text(format!("message {n}")) }
}

fn write(outbox: &mut Outbox, count: u64) {
    for _ in 0..count {
        let n = outbox.last() + 1;
        assert_eq!(outbox.append(to(n), vec![body(n)]).unwrap(), n);
    }
}

fn expected(numbers: std::ops::RangeInclusive<u64>) -> Vec<Outgoing> {
    numbers.map(|number| Outgoing { number, to: to(number), body: body(number) }).collect()
}

fn open(path: &Path) -> Outbox {
    Outbox::open(path).unwrap()
}

#[test]
fn the_next_process_finds_what_has_no_outcome() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox");
    let mut outbox = open(&path);
    write(&mut outbox, 10);
    outbox.confirm(4).unwrap();
    drop(outbox);
    let mut outbox = open(&path);
    assert_eq!((outbox.done(), outbox.last()), (4, 10));
    assert_eq!(outbox.take(), expected(5..=10));
    write(&mut outbox, 1);
    assert_eq!(outbox.take(), expected(11..=11));
    outbox.confirm(11).unwrap();
    outbox.close().unwrap();
    let mut outbox = open(&path);
    assert_eq!((outbox.pending(), outbox.last()), (0, 11));
    assert!(outbox.has_room(), "numbers go on");
    write(&mut outbox, 1);
    assert_eq!(outbox.take(), expected(12..=12));
}

#[test]
fn a_file_that_ends_anywhere_gives_what_is_whole_and_waits_for_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox");
    let mut outbox = open(&path);
    write(&mut outbox, 6);
    outbox.confirm(2).unwrap();
    drop(outbox);
    let whole = std::fs::read(&path).unwrap();
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let mut outbox = open(&path);
        let (done, last) = (outbox.done(), outbox.last());
        assert_eq!(outbox.take(), expected(done + 1..=last), "cut at {length}");
        if !outbox.has_room() {
            // Number 7 may exist: the server alone knows.
            outbox.settle(6).unwrap();
            assert!(outbox.has_room());
            assert_eq!(outbox.last(), 6, "cut at {length}");
        }
    }
}

#[test]
fn damage_anywhere_never_panics_nor_invents_messages() {
    let dir = tempfile::tempdir().unwrap();
    for_seeds(300, |seed| {
        let mut rng = StdRng::seed_from_u64(seed);
        let path = dir.path().join(format!("outbox-{seed}"));
        let mut outbox = open(&path);
        write(&mut outbox, 20);
        outbox.confirm(rng.random_range(0..20)).unwrap();
        drop(outbox);
        let mut bytes = std::fs::read(&path).unwrap();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..bytes.len());
            bytes[at] ^= 1 << rng.random_range(0..8);
        }
        std::fs::write(&path, &bytes).unwrap();
        let mut outbox = open(&path);
        let (done, last) = (outbox.done(), outbox.last());
        assert_eq!(outbox.take(), expected(done + 1..=last));
        assert!(last <= 20);
        assert!(!outbox.has_room(), "no number is given before the server was heard");
    });
}

#[test]
fn numbers_that_a_power_failure_took_are_not_given_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox");
    let mut outbox = open(&path);
    write(&mut outbox, 3);
    drop(outbox);
    let bytes = std::fs::read(&path).unwrap();
    // Only a part of the third message reached the disk, but all of it the cluster, and a fourth.
    std::fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
    let mut outbox = open(&path);
    assert!(!outbox.has_room());
    outbox.settle(4).unwrap();
    assert_eq!((outbox.pending(), outbox.last()), (0, 4), "all of them have an outcome");
    write(&mut outbox, 1);
    assert_eq!(outbox.last(), 5);
}

#[test]
fn a_copy_of_an_outbox_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox");
    let mut outbox = open(&path);
    write(&mut outbox, 3);
    drop(outbox);
    let mut outbox = open(&path);
    write(&mut outbox, 1);
    let why = outbox.settle(5).unwrap_err().to_string();
    assert!(why.contains("copy from an earlier time"), "{why}");
    let mut outbox = open(&path);
    outbox.confirm(3).unwrap();
    assert!(outbox.settle(2).is_err(), "the cluster knows less than it confirmed");
}

#[test]
fn it_has_bounds_and_the_file_does_not_grow_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("outbox");
    let mut outbox = open(&path);
    let large = Body::text("x".repeat(limits::BODY_BYTES));
    for _ in 0..2000 {
        outbox.append(to(1), vec![large.clone()]).unwrap();
        outbox.confirm(outbox.last()).unwrap();
    }
    let length = std::fs::metadata(&path).unwrap().len();
    assert!(length < 2 * limits::OUTBOX_FILE, "{length} bytes");
    while outbox.has_room() {
        outbox.append(to(1), vec![large.clone()]).unwrap();
    }
    assert!(outbox.pending() <= limits::OUTBOX_MESSAGES);
    outbox.confirm(outbox.last()).unwrap();
    assert!(outbox.has_room());
}
