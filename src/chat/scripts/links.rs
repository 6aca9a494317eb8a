//! Random commands about other clusters: heard, trusted and not, restored from backups, honest
//! and hostile.

use super::{body, device, user};
use crate::chat::command::{Command, Hear, Import, Meet, Register, Send, Target, Trusting};
use crate::chat::ids::{ClusterId, DeviceId, LoginId, UserId};
use crate::chat::link::{Export, Imported, Link, Marks, Messages, Stop};
use crate::chat::message::Body;
use crate::chat::state::State;
use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IteratorRandom as _;

/// Other clusters. The second was the first one once: they have the same key.
const OTHERS: [(ClusterId, [u8; 32], &str); 4] = [
    (ClusterId([0xe1; 16]), [1; 32], "east"),
    (ClusterId([0xe2; 16]), [1; 32], "east"),
    (ClusterId([0xe3; 16]), [3; 32], "north"),
    (ClusterId([0xe4; 16]), [4; 32], "south"),
];
const NAMES: [&str; 6] = ["alice", "bob", "eve", "mallory", "Bad", ""];

fn other(rng: &mut StdRng) -> (ClusterId, [u8; 32], &'static str) {
    OTHERS[rng.random_range(0..OTHERS.len())]
}

/// Users of other clusters, and whoever else.
pub(crate) fn anyone(rng: &mut StdRng) -> UserId {
    if rng.random_bool(0.6) {
        return user(rng.random_range(0..6));
    }
    UserId { cluster: other(rng).0, number: rng.random_range(0..5) }
}

/// A new user with this device writes to one of another cluster.
pub(crate) fn told(number: u8) -> Vec<Command> {
    let (cluster, key, name) = OTHERS[2];
    let friend = UserId { cluster, number: 1 };
    let address = "192.0.2.1:7101".to_owned();
    let first_number = 1;
    vec![
        Command::Hear(Hear { cluster, name: name.to_owned(), key, address }),
        Command::Trust(Trusting { cluster, key, alias: name.to_owned() }),
        Command::Meet(Meet { cluster, user: friend, name: "bob".to_owned() }),
        Command::Register(Register {
            name: "writer".to_owned(),
            password_hash: "$argon2id$".to_owned(),
            device: device(number),
            token_hash: [number; 32],
            device_key: Bytes::new(),
            session: LoginId([number; 16]),
            invite: None,
        }),
        Command::Send(Send {
            device: device(number),
            epoch: 1,
            group: 0,
            first_number,
            confirmed: 0,
            to: Target::User(friend),
            bodies: vec![Body::text("over there")],
        }),
    ]
}

/// With these most logs begin.
pub(crate) fn first(rng: &mut StdRng) -> Vec<Command> {
    let mut all = Vec::new();
    for (cluster, key, name) in [OTHERS[0], OTHERS[2]] {
        if rng.random_bool(0.8) {
            all.push(Command::Hear(hear(rng, cluster, key, name)));
            all.push(Command::Trust(Trusting { cluster, key, alias: name.to_owned() }));
        }
    }
    all
}

fn hear(rng: &mut StdRng, cluster: ClusterId, key: [u8; 32], name: &str) -> Hear {
    let address = format!("192.0.2.{}:7101", rng.random_range(1..5));
    Hear { cluster, name: name.to_owned(), key, address }
}

/// One about another cluster.
pub(crate) fn command(rng: &mut StdRng, state: &State) -> Command {
    let (cluster, key, name) = other(rng);
    let key = if rng.random_bool(0.9) { key } else { [9; 32] };
    match rng.random_range(0..30) {
        0..3 => Command::Hear(hear(rng, cluster, key, name)),
        3 => {
            let heard_ms = state.link(cluster).map_or(0, |link| link.heard_ms);
            Command::Forget { cluster, heard_ms: heard_ms + rng.random_range(0..2) }
        }
        4..7 => {
            let names = ["east", "east", "north", "south", "west", "bad name", ""];
            let random = names[rng.random_range(0..names.len())];
            let alias = if rng.random_bool(0.7) { name } else { random };
            Command::Trust(Trusting { cluster, key, alias: alias.to_owned() })
        }
        7 => Command::Distrust { cluster },
        8 => Command::Resume { cluster },
        9 => {
            let why = if rng.random() { Stop::OtherHistory } else { Stop::RolledBack };
            Command::StopLink { cluster, why }
        }
        10 => Command::Rewind { cluster, generation: rng.random_range(0..3) },
        11..14 => {
            let number = rng.random_range(0..5);
            let user = UserId { cluster: other(rng).0, number };
            Command::Meet(Meet { cluster, user, name: name_of(rng, number) })
        }
        _ => Command::Import(import(rng, state)),
    }
}

fn name_of(rng: &mut StdRng, number: u64) -> String {
    let random = rng.random_range(0..NAMES.len());
    let own = usize::try_from(number).unwrap_or(0).min(3);
    NAMES[if rng.random_bool(0.9) { own } else { random }].to_owned()
}

/// What mostly follows on what was taken over.
pub(crate) fn import(rng: &mut StdRng, state: &State) -> Import {
    let link = state.links().choose(rng).cloned().unwrap_or_default();
    let Imported { generation, position, hash } = link.imported;
    let off = |rng: &mut StdRng| if rng.random_bool(0.1) { rng.random_range(0..3) } else { 1 };
    let count = if rng.random_bool(0.05) { 0 } else { rng.random_range(1..5) };
    Import {
        cluster: link.cluster,
        generation: if rng.random_bool(0.95) { generation } else { rng.random_range(0..3) },
        first: position + off(rng),
        before: if rng.random_bool(0.97) { hash } else { [1; 32] },
        items: (0..count).map(|_| export(rng, state, &link)).collect(),
    }
}

/// What a cluster tells: mostly something that it may.
pub(crate) fn export(rng: &mut StdRng, state: &State, link: &Link) -> Export {
    let ids = std::iter::once(&link.cluster).chain(&link.former);
    let cluster = *ids.choose(rng).unwrap_or(&link.cluster);
    let theirs = UserId { cluster, number: rng.random_range(1..5) };
    let theirs = if rng.random_bool(0.95) { theirs } else { anyone(rng) };
    let ours = if rng.random_bool(0.95) { user(rng.random_range(1..5)) } else { anyone(rng) };
    if rng.random_bool(0.3) {
        let (delivered, read) = (place(rng, state, theirs, ours), place(rng, state, theirs, ours));
        return Export::Marks(Marks { reader: theirs, writer: ours, delivered, read });
    }
    let device = if rng.random_bool(0.95) {
        DeviceId([(theirs.number as u8) | (cluster.0[0] << 4); 16])
    } else {
        device(rng.random_range(0..9))
    };
    let last = state.sent(device, 0).map_or(0, |sent| sent.last_number);
    let first_number = match rng.random_range(0..50) {
        0..10 => rng.random_range(last.saturating_sub(5)..last.saturating_add(5)),
        10 => rng.random(),
        11 => (1 << 62) - rng.random_range(0..3),
        12 => u64::MAX - rng.random_range(0..3),
        _ => last + 1,
    };
    let count = if rng.random_bool(0.02) { 600 } else { rng.random_range(0..4) };
    Export::Messages(Messages {
        sender: theirs,
        name: name_of(rng, theirs.number),
        to: ours,
        origin: if rng.random_bool(0.97) { cluster } else { other(rng).0 },
        device,
        first_number,
        at_ms: if rng.random_bool(0.9) { state.meta().last_at_ms } else { rng.random() },
        bodies: (0..count).map(|_| body(rng)).collect(),
    })
}

/// A message that a reader may have come to.
fn place(
    rng: &mut StdRng,
    state: &State,
    reader: UserId,
    writer: UserId,
) -> Option<(DeviceId, u64)> {
    if rng.random_bool(0.2) {
        return rng.random_bool(0.5).then(|| (device(rng.random_range(0..9)), rng.random()));
    }
    let room = state.conversation(state.direct(reader, writer)?)?;
    let stretch = room.row.trail.iter().choose(rng)?;
    Some((stretch.device, stretch.first_number + rng.random_range(0..=stretch.count)))
}
