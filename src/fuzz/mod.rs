//! Every reader of bytes against bytes that nobody of ours wrote: valid ones that were damaged,
//! and noise. It panics on none, takes no more memory than its bound, and what it reads comes
//! back as it was read. It must not know what a reader is for.
//!
//! All targets together take about 20 s, or as many as `RUSTCHAT_TEST_FUZZ_SECONDS` says. A
//! failure prints its seed, and how to run it alone.

mod files;
mod state;
mod wire;

use bytes::{BufMut, Bytes, BytesMut};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::io::Write as _;
use std::time::{Duration, Instant};

/// Calls of [`fuzz`], which share the time.
const TARGETS: u32 = 13;
/// Seconds of all of them, where nothing else is wished for.
const SECONDS: u32 = 20;
/// Seeds that each target has in any case.
const LEAST: u64 = 50;
/// What comes out is at most this long, in bytes.
const LONGEST: usize = 300 * 1024;

/// Says how to run a failed seed again.
struct Seed<'a>(u64, &'a str);

impl Drop for Seed<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self(seed, target) = self;
            let again = format!(
                "seed {seed}: run again with RUSTCHAT_SEED={seed} cargo test --lib {target}\n"
            );
            drop(std::io::stderr().write_all(again.as_bytes()));
        }
    }
}

/// Runs a target over seeds, from 0 on, until its share of the time is over; or over the one in
/// `RUSTCHAT_SEED`. `target` is the path of the test.
pub(crate) fn fuzz(target: &str, mut test: impl FnMut(&mut StdRng)) {
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seconds = number("RUSTCHAT_TEST_FUZZ_SECONDS").unwrap_or(u64::from(SECONDS));
    let (only, begin) = (number("RUSTCHAT_SEED"), Instant::now());
    let share = Duration::from_secs(seconds) / TARGETS;
    for seed in only.unwrap_or(0).. {
        let enough = seed >= LEAST && begin.elapsed() > share;
        if enough || only.is_some_and(|only| seed > only) {
            return;
        }
        let _seed = Seed(seed, target);
        test(&mut StdRng::seed_from_u64(seed));
    }
}

/// A varint field key for a value of bytes.
fn key(field: u32) -> Vec<u8> {
    varint(u64::from(field) << 3 | 2)
}

fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while number > 0x7f {
        out.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap());
    out
}

/// `inner` as the value of a field.
fn within(field: u32, inner: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    out.put_slice(&key(field));
    out.put_slice(&varint(inner.len() as u64));
    out.put_slice(inner);
    out.freeze()
}

/// A field of no bytes, over and over, somewhere within: little to send, and much to hold.
fn bomb(rng: &mut StdRng) -> Bytes {
    let count = [10, 1_000, 30_000, 140_000][rng.random_range(0..4)];
    let mut bytes = Bytes::from([key(rng.random_range(1..16)), vec![0]].concat().repeat(count));
    for _ in 0..rng.random_range(0..4) {
        bytes = within(rng.random_range(1..18), &bytes);
    }
    bytes
}

/// Damages bytes once.
fn damage(rng: &mut StdRng, bytes: &mut Vec<u8>, other: &[u8]) {
    let at = rng.random_range(0..=bytes.len());
    match rng.random_range(0..9) {
        0 | 1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << rng.random_range(0..8);
            }
        }
        2 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte = rng.random();
            }
        }
        3 => bytes.truncate(at),
        4 => drop(bytes.splice(at..at, (0..rng.random_range(1..9)).map(|_| rng.random()))),
        5 => {
            bytes.truncate(at);
            bytes.extend_from_slice(&other[rng.random_range(0..=other.len())..]);
        }
        // A length that promises more than there is.
        6 => {
            let length = varint(1 << rng.random_range(7..64));
            drop(bytes.splice(at..at, length));
        }
        7 => {
            let part = bytes[at..bytes.len().min(at + 64)].repeat(rng.random_range(2..400));
            drop(bytes.splice(at..at, part));
        }
        _ => {
            for _ in 0..rng.random_range(1..200) {
                *bytes = within(rng.random_range(1..10), bytes).to_vec();
            }
        }
    }
    bytes.truncate(LONGEST);
}

/// Bytes that are valid, nearly valid, or noise; `valid` makes valid ones.
pub(crate) fn bytes(rng: &mut StdRng, valid: impl Fn(&mut StdRng) -> Bytes) -> Bytes {
    match rng.random_range(0..20) {
        0 => valid(rng),
        1 => bomb(rng),
        2 => crate::wire::random::blob(rng, 600),
        _ => {
            let (mut bytes, other) = (valid(rng).to_vec(), valid(rng));
            for _ in 0..rng.random_range(1..5) {
                damage(rng, &mut bytes, &other);
            }
            bytes.into()
        }
    }
}

/// The most that a call holds at once of the memory that it takes, in bytes.
pub(crate) fn most_held(call: impl FnOnce()) -> u64 {
    allocation_counter::measure(call).bytes_max
}
