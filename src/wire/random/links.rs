//! What two clusters say to each other.

use super::log::export;
use super::{blob, cluster, list, small, text, user};
use crate::wire::link::{Exports, LinkAnswer, LinkAsk, LinkHello, LinkReason, LinkRefused, Pull};
use rand::Rng;
use rand::rngs::StdRng;

pub(crate) fn link_ask(rng: &mut StdRng) -> LinkAsk {
    match rng.random_range(0..4) {
        0 => LinkAsk::Hello(LinkHello {
            versions: (small(rng), small(rng)),
            cluster: cluster(rng),
            name: text(rng),
            generation: rng.random(),
            seat: small(rng),
            signature: blob(rng, 200),
        }),
        1 => LinkAsk::Pull(Pull {
            generation: rng.random(),
            position: rng.random(),
            hash: rng.random(),
            wait_ms: rng.random(),
            max_bytes: rng.random(),
        }),
        2 => LinkAsk::Resolve(text(rng)),
        _ => LinkAsk::Relay(user(rng)),
    }
}

pub(crate) fn link_answer(rng: &mut StdRng) -> LinkAnswer {
    let reasons = [
        LinkReason::Unknown,
        LinkReason::Version,
        LinkReason::NotTrusted,
        LinkReason::OtherHistory,
        LinkReason::RolledBack,
        LinkReason::Generation,
        LinkReason::Busy,
        LinkReason::NoSuchUser,
        LinkReason::Malformed,
    ];
    match rng.random_range(0..5) {
        0 => LinkAnswer::Hello { version: rng.random() },
        1 => LinkAnswer::Exports(Exports {
            generation: rng.random(),
            first: rng.random(),
            before: rng.random(),
            items: list(rng, 0, export),
            last: rng.random(),
        }),
        2 => LinkAnswer::Resolved { user: user(rng), name: text(rng) },
        3 => LinkAnswer::Relayed,
        _ => LinkAnswer::Refused(LinkRefused {
            reason: reasons[rng.random_range(0..reasons.len())],
            text: text(rng),
            retry_ms: rng.random(),
            generation: rng.random(),
        }),
    }
}
