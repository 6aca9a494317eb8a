//! Random commands, rows and marks.

use super::{
    blob, body, cluster, conversation, device, kind, list, number, refusal, runs, some, target,
    text, user,
};
use crate::chat::command::{
    AddDevice, Advance, Attach, Command, Hear, Import, Meet, Register, RemoveDevice, Send,
    SetPassword, Speaker, Trusting,
};
use crate::chat::ids::{ChangeId, LoginId};
use crate::chat::link::{
    ChainHash, Export, Exported, Imported, Link, Marks, Messages, Stop, Stretch, Trust,
};
use crate::chat::name::UserName;
use crate::chat::write::{self, Invitation, Registration, SentIndex, Write};
use crate::wire::record::{LogId, Mark};
use rand::Rng;
use rand::rngs::StdRng;

fn registration(rng: &mut StdRng) -> Registration {
    [Registration::Open, Registration::Invite, Registration::Closed][rng.random_range(0..3)]
}

fn invitation(rng: &mut StdRng) -> Invitation {
    Invitation { code_hash: rng.random(), expires_at_ms: rng.random(), used: rng.random() }
}

fn speaker(rng: &mut StdRng) -> Speaker {
    Speaker { device: device(rng), epoch: rng.random() }
}

pub(crate) fn command(rng: &mut StdRng) -> Command {
    let (user, device, token_hash, device_key) =
        (user(rng), device(rng), rng.random(), blob(rng, 20));
    let (session, after) = (LoginId(rng.random()), rng.random());
    let (by, change) = (speaker(rng), ChangeId(rng.random()));
    match rng.random_range(0..14) {
        0 => Command::Found { cluster: cluster(rng), name: text(rng) },
        1 => {
            let (name, password_hash) = (text(rng), text(rng));
            Command::Register(Register {
                name,
                password_hash,
                device,
                token_hash,
                device_key,
                session,
                invite: some(rng, |rng| rng.random()),
            })
        }
        2 => Command::AddDevice(AddDevice {
            user,
            device,
            token_hash,
            device_key,
            session,
            after,
            passwords: rng.random(),
        }),
        3 => Command::Send(Send {
            device,
            epoch: rng.random(),
            group: rng.random(),
            first_number: rng.random(),
            confirmed: rng.random(),
            to: target(rng),
            bodies: list(rng, 0, body),
        }),
        4 => Command::Marks(list(rng, 0, |rng| Advance {
            user,
            conversation: conversation(rng),
            delivered: rng.random(),
            read: rng.random(),
        })),
        5 => Command::SetFormat(rng.random()),
        9 => Command::SetRegistration(registration(rng)),
        10 => Command::Invite(invitation(rng)),
        6 => Command::Attach(Attach { device, token_hash, session, after }),
        7 => Command::RemoveDevice(RemoveDevice { user, device, by, change }),
        8 => Command::SetPassword(SetPassword {
            user,
            by,
            passwords: rng.random(),
            password_hash: text(rng),
            keep_devices: rng.random(),
            change,
        }),
        11 => link_command(rng),
        _ => Command::Recover { generation: rng.random(), skip: rng.random() },
    }
}

fn link_command(rng: &mut StdRng) -> Command {
    let cluster = cluster(rng);
    match rng.random_range(0..9) {
        0 => {
            let (name, key, address) = (text(rng), rng.random(), text(rng));
            Command::Hear(Hear { cluster, name, key, address })
        }
        1 => Command::Forget { cluster, heard_ms: rng.random() },
        2 => Command::Trust(Trusting { cluster, key: rng.random(), alias: text(rng) }),
        3 => Command::Distrust { cluster },
        4 => Command::Resume { cluster },
        5 => Command::StopLink { cluster, why: stop(rng) },
        6 => Command::Rewind { cluster, generation: rng.random() },
        7 => Command::Meet(Meet { cluster, user: user(rng), name: text(rng) }),
        _ => Command::Import(Import {
            cluster,
            generation: rng.random(),
            first: rng.random(),
            before: hash(rng),
            items: list(rng, 0, export),
        }),
    }
}

fn stop(rng: &mut StdRng) -> Stop {
    if rng.random() { Stop::OtherHistory } else { Stop::RolledBack }
}

fn hash(rng: &mut StdRng) -> ChainHash {
    some(rng, |rng| rng.random()).unwrap_or_default()
}

fn stretch(rng: &mut StdRng) -> Stretch {
    let (first_seq, first_number) = (number(rng), number(rng));
    Stretch { first_seq, count: rng.random_range(1..99), device: device(rng), first_number }
}

/// What another cluster is told.
pub(crate) fn export(rng: &mut StdRng) -> Export {
    let place = |rng: &mut StdRng| (device(rng), rng.random());
    if rng.random() {
        let (delivered, read) = (some(rng, place), some(rng, place));
        return Export::Marks(Marks { reader: user(rng), writer: user(rng), delivered, read });
    }
    Export::Messages(Messages {
        sender: user(rng),
        name: text(rng),
        to: user(rng),
        origin: cluster(rng),
        device: device(rng),
        first_number: rng.random(),
        at_ms: rng.random(),
        bodies: list(rng, 0, body),
    })
}

fn link(rng: &mut StdRng) -> Link {
    let trusts = [
        Trust::Seen,
        Trust::Trusted,
        Trust::Distrusted,
        Trust::Stopped(Stop::OtherHistory),
        Trust::Stopped(Stop::RolledBack),
    ];
    Link {
        number: rng.random_range(1..64),
        cluster: some(rng, cluster).unwrap_or_default(),
        former: list(rng, 0, cluster),
        name: text(rng),
        alias: text(rng),
        key: rng.random(),
        address: text(rng),
        heard_ms: rng.random(),
        trust: trusts[rng.random_range(0..trusts.len())],
        imported: Imported { generation: rng.random(), position: rng.random(), hash: hash(rng) },
        exported: Exported { position: rng.random(), hash: hash(rng) },
        turned_down: rng.random(),
        rows: rng.random(),
    }
}

pub(crate) fn write(rng: &mut StdRng) -> Write {
    let (user, device, conversation) = (user(rng), device(rng), conversation(rng));
    match rng.random_range(0..10) {
        0 => Write::Meta(write::Meta {
            cluster: some(rng, cluster).unwrap_or_default(),
            name: text(rng),
            generation: rng.random(),
            format: rng.random(),
            last_user: rng.random(),
            last_conversation: rng.random(),
            last_at_ms: rng.random(),
            began_ms: rng.random(),
            former: list(rng, 0, cluster),
            registration: registration(rng),
            invitations: list(rng, 0, invitation),
        }),
        1 => Write::User(write::User {
            id: user,
            name: UserName::exact("alice.b-2").unwrap(),
            password_hash: text(rng),
            registered_at_ms: rng.random(),
            passwords: rng.random(),
        }),
        2 => Write::Device(write::Device {
            id: device,
            user,
            token_hash: rng.random(),
            key: blob(rng, 20),
            added_at_ms: rng.random(),
            epoch: rng.random(),
            session: some(rng, |rng| LoginId(rng.random())).unwrap_or_default(),
            seen_at_ms: rng.random(),
            revoked: rng.random(),
        }),
        3 => Write::Conversation(write::Conversation {
            id: conversation,
            kind: kind(rng),
            members: list(rng, 0, self::user),
            last_seq: rng.random(),
            title: text(rng),
            trail: list(rng, 0, stretch),
        }),
        4 => {
            let (delivered, read) = (rng.random(), rng.random());
            Write::Mark(write::Mark { conversation, user, delivered, read })
        }
        5 => Write::Sent(write::Sent {
            device,
            group: rng.random(),
            last_number: rng.random(),
            refusals: list(rng, 0, |rng| (rng.random(), refusal(rng))),
        }),
        7 => Write::Link(link(rng)),
        8 => Write::Exports {
            link: rng.random_range(1..64),
            first: number(rng),
            before: hash(rng),
            items: list(rng, 1, export),
        },
        6 => {
            let first_seq = number(rng);
            Write::History { conversation, runs: runs(rng, conversation, first_seq) }
        }
        _ => {
            let first_number = number(rng);
            Write::SentIndex(SentIndex {
                device,
                group: rng.random(),
                first_number,
                last_number: first_number + rng.random_range(0..512),
                conversation,
                first_seq: number(rng),
                at_ms: rng.random(),
            })
        }
    }
}

pub(crate) fn mark(rng: &mut StdRng) -> Mark {
    let id =
        |rng: &mut StdRng| LogId { term: rng.random_range(0..3), index: rng.random_range(0..3) };
    Mark {
        applied: some(rng, id),
        hash: some(rng, |rng| rng.random()).unwrap_or_default(),
        membership: blob(rng, 20),
        membership_id: some(rng, id),
    }
}
