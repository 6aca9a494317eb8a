//! Random views of other clusters.

use super::{cluster, number, some, text};
use crate::wire::statement::LinkView;
use rand::rngs::StdRng;

pub(super) fn link_view(rng: &mut StdRng) -> LinkView {
    LinkView {
        name: text(rng),
        announced: text(rng),
        cluster: cluster(rng),
        key: text(rng),
        address: text(rng),
        heard_at_ms: number(rng),
        trust: text(rng),
        line: text(rng),
        why: text(rng),
        round_trip_us: some(rng, number),
        imported: number(rng),
        theirs: some(rng, number),
        exported: number(rng),
        taken: some(rng, number),
        taken_ms: some(rng, number),
        turned_down: number(rng),
        broken: number(rng),
    }
}
