//! Random logs for tests, here and in `wire`: the same seed gives the same log.

pub(crate) mod links;

use super::command::{
    AddDevice, Advance, Attach, Command, Register, RemoveDevice, Send, SetPassword, Speaker, Target,
};
use super::ids::{ChangeId, ClusterId, ConversationId, DeviceId, LoginId, UserId};
use super::message::{Body, KIND_TEXT};
use super::state::State;
use super::write::{Invitation, Registration};
use crate::limits;
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use std::io::Write as _;

/// The cluster of every log.
pub(crate) const CLUSTER: ClusterId = ClusterId([0xc1; 16]);

/// An entry: the leader's time and the commands.
pub(crate) type Entry = (u64, Vec<Command>);

/// Says how to run a failed seed again.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let again = format!("seed {0}: run again with RUSTCHAT_SEED={0}\n", self.0);
            drop(std::io::stderr().write_all(again.as_bytes()));
        }
    }
}

/// Runs a test over `count` seeds, or over the one in `RUSTCHAT_SEED`.
pub(crate) fn seeds(count: u64, mut test: impl FnMut(&mut StdRng)) {
    let only = std::env::var("RUSTCHAT_SEED").ok().and_then(|s| s.parse::<u64>().ok());
    let range = only.map_or(0..count, |seed| seed..seed + 1);
    for seed in range {
        let _seed = Seed(seed);
        test(&mut StdRng::seed_from_u64(seed));
    }
}

/// A log of `entries` entries, in which much is repeated, refused, too early or too late.
pub(crate) fn log(rng: &mut StdRng, entries: usize) -> Vec<Entry> {
    let mut state = State::default();
    let mut log = Vec::new();
    let mut at_ms = 1_700_000_000_000;
    for k in 0..entries {
        let mut commands = Vec::new();
        if k == 0 {
            commands.push(Command::Found { cluster: CLUSTER, name: "west".to_owned() });
            commands.extend(links::first(rng));
        }
        for _ in 0..rng.random_range(1..6) {
            commands.push(command(rng, &state));
        }
        // Clocks jump, back too.
        at_ms = if rng.random_bool(0.1) { at_ms - 500 } else { at_ms + rng.random_range(0..900) };
        state.apply(at_ms, &commands);
        log.push((at_ms, commands));
    }
    log
}

/// One of a few devices, so that they meet again.
pub(crate) fn device(number: u8) -> DeviceId {
    DeviceId([number; 16])
}

/// One of a few users.
pub(crate) fn user(number: u64) -> UserId {
    UserId { cluster: CLUSTER, number }
}

fn command(rng: &mut StdRng, state: &State) -> Command {
    match rng.random_range(0..38) {
        0..3 => Command::Register(register(rng)),
        3 => Command::AddDevice(AddDevice {
            user: links::anyone(rng),
            device: device(rng.random_range(0..8)),
            token_hash: [rng.random_range(0..4); 32],
            device_key: Bytes::new(),
            session: login(rng),
            after: rng.random_range(0..3),
            passwords: rng.random_range(0..2),
        }),
        4..7 => {
            let count = rng.random_range(0..5);
            Command::Marks((0..count).map(|_| advance(rng, state)).collect())
        }
        7 => Command::SetFormat(rng.random_range(0..3)),
        8..10 => Command::Attach(attach(rng, state)),
        10 => Command::RemoveDevice(RemoveDevice {
            user: user(rng.random_range(0..6)),
            device: device(rng.random_range(0..9)),
            by: speaker(rng, state),
            change: ChangeId([1; 16]),
        }),
        12 => Command::SetRegistration(
            *[Registration::Open, Registration::Open, Registration::Invite, Registration::Closed]
                .choose(rng)
                .unwrap_or(&Registration::Open),
        ),
        13 => Command::Invite(Invitation {
            code_hash: [rng.random_range(0..3); 32],
            expires_at_ms: state.meta().last_at_ms + rng.random_range(0..9_000),
            used: false,
        }),
        11 => Command::SetPassword(SetPassword {
            user: user(rng.random_range(0..6)),
            by: speaker(rng, state),
            passwords: rng.random_range(0..3),
            password_hash: format!("$argon2id${}", rng.random_range(0..3)),
            keep_devices: rng.random(),
            change: ChangeId([2; 16]),
        }),
        14..24 => links::command(rng, state),
        _ => Command::Send(send(rng, state)),
    }
}

fn speaker(rng: &mut StdRng, state: &State) -> Speaker {
    let device = device(rng.random_range(0..9));
    let epoch = state.device(device).map_or(0, |known| known.row.epoch);
    Speaker { device, epoch: if rng.random_bool(0.8) { epoch } else { rng.random_range(0..4) } }
}

fn attach(rng: &mut StdRng, state: &State) -> Attach {
    let device = device(rng.random_range(0..9));
    let epoch = state.device(device).map_or(0, |known| known.row.epoch);
    let after = if rng.random_bool(0.8) { epoch } else { rng.random_range(0..=epoch + 1) };
    Attach { device, token_hash: [rng.random_range(0..3); 32], session: login(rng), after }
}

/// One of a few logins, so that some are repeated.
fn login(rng: &mut StdRng) -> LoginId {
    LoginId([rng.random_range(0..5); 16])
}

fn register(rng: &mut StdRng) -> Register {
    let names = ["alice", "bob", "carol", "dave", "erin", "Bad", "1bad", ""];
    let name = names.choose(rng).copied().unwrap_or_default().to_owned();
    let device = device(rng.random_range(0..8));
    let token_hash = [rng.random_range(0..2); 32];
    let password_hash = "$argon2id$".to_owned();
    let (device_key, session) = (Bytes::from_static(b"key"), login(rng));
    let invite = rng.random_bool(0.7).then(|| [rng.random_range(0..3); 32]);
    Register { name, password_hash, device, token_hash, device_key, session, invite }
}

fn advance(rng: &mut StdRng, state: &State) -> Advance {
    let conversation = conversation(rng, state);
    let last = state.conversation(conversation).map_or(3, |room| room.row.last_seq);
    Advance {
        user: links::anyone(rng),
        conversation,
        delivered: rng.random_range(0..last + 3),
        read: rng.random_range(0..last + 3),
    }
}

fn conversation(rng: &mut StdRng, state: &State) -> ConversationId {
    let known = state.meta().last_conversation;
    ConversationId::new(0, rng.random_range(0..known + 2))
}

fn send(rng: &mut StdRng, state: &State) -> Send {
    let device = device(rng.random_range(0..9));
    let group = u16::from(rng.random_bool(0.02));
    let last = state.sent(device, group).map_or(0, |sent| sent.last_number);
    let first_number = if rng.random_bool(0.6) {
        last + 1
    } else {
        rng.random_range(last.saturating_sub(6)..last + 4)
    };
    let to = if rng.random_bool(0.5) {
        Target::Conversation(conversation(rng, state))
    } else {
        Target::User(links::anyone(rng))
    };
    let count = if rng.random_bool(0.05) { 90 } else { rng.random_range(0..6) };
    let confirmed = if rng.random_bool(0.3) { rng.random_range(0..=last + 1) } else { 0 };
    let bodies = (0..count).map(|_| body(rng)).collect();
    // Mostly by the session that speaks for the device, else one before or before there were any.
    let epoch = state.device(device).map_or(0, |known| known.row.epoch);
    let epoch = if rng.random_bool(0.8) { epoch } else { rng.random_range(0..=epoch + 1) };
    Send { device, epoch, group, first_number, confirmed, to, bodies }
}

fn body(rng: &mut StdRng) -> Body {
    let length = match rng.random_range(0..40) {
        0 => 0,
        1 => limits::BODY_BYTES + 1,
        _ => rng.random_range(1..20),
    };
    Body { kind: KIND_TEXT, data: vec![b'x'; length].into(), refers_to: None }
}
