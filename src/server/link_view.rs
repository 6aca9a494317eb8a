//! What this server says about other clusters: their rows, and what it knows of the lines to them.
//! It must not decide what is well.

use super::shared::Shared;
use crate::chat::link::{Link, Stop, Trust};
use crate::link::{LineState, LinkNow};
use crate::tls::Fingerprint;
use crate::wire::statement::LinkView;

/// All of them, by their numbers.
#[must_use]
pub fn all(shared: &Shared) -> Vec<LinkView> {
    let board = &shared.board;
    shared.setup.state.read(|r| r.state.links().map(|l| view(l, &board.of(l.number))).collect())
}

fn view(link: &Link, now: &LinkNow) -> LinkView {
    let (line, down) = match &now.line {
        LineState::Idle => ("idle", ""),
        LineState::Connecting => ("connecting", ""),
        LineState::Up => ("up", ""),
        LineState::Down(why) => ("down", why.as_str()),
    };
    let (trust, why) = match link.trust {
        Trust::Seen => ("seen", ""),
        Trust::Trusted => ("trusted", down),
        Trust::Distrusted => ("distrusted", ""),
        Trust::Stopped(stop) => ("stopped", stopped(stop)),
    };
    LinkView {
        name: link.alias.clone(),
        announced: link.name.clone(),
        cluster: link.cluster,
        key: Fingerprint::from(link.key).to_string(),
        address: link.address.clone(),
        heard_at_ms: link.heard_ms,
        trust: trust.to_owned(),
        line: line.to_owned(),
        why: why.to_owned(),
        round_trip_us: now.round_trip.map(|t| u64::try_from(t.as_micros()).unwrap_or(u64::MAX)),
        imported: link.imported.position,
        theirs: now.theirs,
        exported: link.exported.position,
        taken: now.taken.map(|(position, _)| position),
        taken_ms: now
            .taken
            .map(|(_, at)| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX)),
        turned_down: link.turned_down,
        broken: now.broken,
    }
}

const fn stopped(stop: Stop) -> &'static str {
    match stop {
        Stop::OtherHistory => "it tells another history than before",
        Stop::RolledBack => "it has fewer messages for this cluster than were taken already",
    }
}
