//! What the status line says: who serves, who leads, whether what is written now gets through.
//! It must not know cells.

use super::model::Model;
use crate::client::Connection;
use crate::ui::cells;
use crate::ui::theme::Role;
use crate::wire::message::ClusterState;

/// Cells between two items.
const SEPARATOR: usize = 3;
/// A connection's text is clipped to this width before items go.
const REASON: usize = 36;

/// The state of the connection in words, and how it is to be seen.
#[must_use]
pub fn connection(model: &Model) -> (String, Role) {
    let name = &model.name;
    match &model.connection {
        Connection::Discovering => (format!("{name} ▸ discovering"), Role::Warning),
        // A server that answers but cannot let anybody in says why.
        Connection::Connecting { .. } if model.cluster.is_some_and(|state| !quorum(state)) => {
            no_quorum(model, name)
        }
        Connection::Connecting { to } => (format!("{name} ▸ connecting to {to}"), Role::Warning),
        Connection::Waiting { why, .. } => {
            let why = reason(why);
            let left = model.retry_at_ms.saturating_sub(model.now_ms);
            let text = if left == 0 {
                format!("{name} ▸ reconnecting: {why}")
            } else {
                let (s, tenths) = (left / 1000, left % 1000 / 100);
                format!("{name} ▸ reconnecting in {s}.{tenths}s: {why}")
            };
            (text, Role::Warning)
        }
        Connection::Away { home, via, .. } => (away(model, home, via), Role::Warning),
        Connection::Failed(error) => (format!("{name} ▸ stopped: {error}"), Role::Error),
        Connection::Ready { cluster, via: Some(via), .. } => {
            let by = format!("{name}@{cluster} via {} n{}", via.cluster, via.seat);
            ready(model, by)
        }
        Connection::Ready { seat, .. } => ready(model, format!("{name}@n{seat}")),
    }
}

/// A guest's own cluster is out of reach. It has the whole line, for it says what is queued.
fn away(model: &Model, home: &str, via: &str) -> String {
    match model.waiting().0 {
        0 => format!("{home} cannot be reached through {via}; what you write is kept here"),
        n => {
            let them = if n == 1 { "it is" } else { "they are" };
            format!(
                "{home} cannot be reached through {via}: {n} queued; {them} sent when it answers"
            )
        }
    }
}

/// A reason without the numbers of the operating system, which tell a person nothing.
#[must_use]
pub fn reason(why: &str) -> &str {
    why.split_once(" (os error ").map_or(why, |(words, _)| words)
}

fn ready(model: &Model, at: String) -> (String, Role) {
    let Some(state) = model.cluster else { return (at, Role::Good) };
    let term = state.term;
    match state.leader {
        _ if !quorum(state) => no_quorum(model, &at),
        None => (format!("{at} ▸ no leader t{term}"), Role::Warning),
        Some(leader) => (format!("{at} ▸ n{leader} t{term}"), Role::Good),
    }
}

/// Whether a majority of the servers is up, as far as is known.
#[must_use]
pub const fn quorum(state: ClusterState) -> bool {
    state.voters == 0 || state.live * 2 > state.voters
}

fn no_quorum(model: &Model, at: &str) -> (String, Role) {
    let state = model.cluster.unwrap_or_default();
    let (live, voters, kept) = (state.live, state.voters, model.waiting().0);
    let kept = format!("your messages are kept here ({kept})");
    (format!("{at} ▸ no quorum {live} of {voters}: {kept}"), Role::Error)
}

/// What fits into `width` cells: the connection and the other items. On a narrow screen the last
/// items go first, but a long reason is clipped before what is queued goes; the connection and
/// what is unread stay.
#[must_use]
pub fn fit(model: &Model, width: usize) -> (String, Vec<(String, Role)>) {
    let text = connection(model).0;
    let mut items = items(model);
    let room = |items: &[(String, Role)]| {
        let others: usize = items.iter().map(|(text, _)| cells::width(text) + SEPARATOR).sum();
        width.saturating_sub(others)
    };
    let kept = usize::from(items.first().is_some_and(|(_, role)| *role == Role::Unread));
    while items.len() > kept {
        let last = items.last().is_some_and(|(_, role)| *role == Role::Dim);
        let least = if last { cells::width(&text) } else { cells::width(&text).min(REASON) };
        if room(&items) >= least {
            break;
        }
        items.pop();
    }
    (cells::clip(&text, room(&items)), items)
}

/// The other items, the most important first.
fn items(model: &Model) -> Vec<(String, Role)> {
    let mut out = Vec::new();
    let unread = model.unread();
    if unread > 0 {
        out.push((format!("unread {unread}"), Role::Unread));
    }
    let (waiting, failed) = model.waiting();
    if failed > 0 {
        out.push((format!("{failed} failed"), Role::Error));
    }
    if matches!(model.connection, Connection::Away { .. }) {
        return out;
    }
    if waiting > 0 {
        out.push((format!("{waiting} queued"), Role::Queued));
    }
    if !model.cluster_name.is_empty() {
        out.push((model.cluster_name.clone(), Role::Dim));
    }
    out
}
