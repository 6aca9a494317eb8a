//! Any commands that can be read, in any order: two servers that applied the same have the same
//! rows, also if one was started again from its own meanwhile.

use super::{bytes, fuzz};
use crate::chat::command::Command;
use crate::chat::scripts::log;
use crate::chat::state::State;
use crate::wire::log::{decode_command, encode_command};
use crate::wire::random;
use crate::wire::record::Row;
use crate::wire::stored::{next_hash, rows};
use rand::Rng;
use rand::rngs::StdRng;

/// Commands that were damaged on their way and can still be read, or any others.
fn damaged(rng: &mut StdRng, commands: &[Command]) -> Vec<Command> {
    let mut all = Vec::new();
    for command in commands {
        let valid = |rng: &mut StdRng| {
            let same = rng.random_bool(0.8);
            encode_command(&if same { command.clone() } else { random::command(rng) })
        };
        let bytes = if rng.random_bool(0.4) { valid(rng) } else { bytes(rng, valid) };
        all.extend(decode_command(bytes).ok());
    }
    all
}

fn all_rows(state: &State) -> Vec<Row> {
    state.rows().flat_map(|write| rows(1, &write)).collect()
}

#[test]
fn any_commands_give_every_server_the_same_rows() {
    fuzz("fuzz::state", |rng| {
        let log = log(rng, 40);
        let restart = rng.random_range(0..log.len());
        let (mut one, mut other) = (State::default(), State::default());
        let (mut hash, mut other_hash) = ([0; 32], [0; 32]);
        for (n, (at_ms, commands)) in log.iter().enumerate() {
            let at_ms = if rng.random_bool(0.02) { rng.random() } else { *at_ms };
            let commands = damaged(rng, commands);
            let (first, second) = (one.apply(at_ms, &commands), other.apply(at_ms, &commands));
            assert_eq!(first, second, "entry {n}: {commands:?}");
            for (hash, applied) in [(&mut hash, first), (&mut other_hash, second)] {
                let written: Vec<Row> =
                    applied.writes.iter().flat_map(|write| rows(n as u64, write)).collect();
                *hash = next_hash(hash, &written);
            }
            if n == restart {
                let kept = all_rows(&other);
                other = State::default();
                for row in &kept {
                    other.load(crate::wire::stored::write_of(row).expect("a row of our own"));
                }
            }
        }
        assert_eq!(hash, other_hash);
        assert_eq!(all_rows(&one), all_rows(&other));
    });
}
