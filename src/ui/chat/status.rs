//! What the status line says: who serves, who leads, whether what is written now gets through.
//! It must not know cells.

use super::model::Model;
use crate::client::Connection;
use crate::ui::theme::Role;

/// The state of the connection in words, and how it is to be seen.
#[must_use]
pub fn connection(model: &Model) -> (String, Role) {
    let name = &model.name;
    match &model.connection {
        Connection::Discovering => (format!("{name} ▸ discovering"), Role::Warning),
        Connection::Connecting { to } => (format!("{name} ▸ connecting to {to}"), Role::Warning),
        Connection::Waiting { why, .. } => {
            let left = model.retry_at_ms.saturating_sub(model.now_ms);
            let text = if left == 0 {
                format!("{name} ▸ reconnecting: {why}")
            } else {
                let (s, tenths) = (left / 1000, left % 1000 / 100);
                format!("{name} ▸ reconnecting in {s}.{tenths}s: {why}")
            };
            (text, Role::Warning)
        }
        Connection::Failed(error) => (format!("{name} ▸ stopped: {error}"), Role::Error),
        Connection::Ready { seat, .. } => ready(model, *seat),
    }
}

fn ready(model: &Model, seat: u32) -> (String, Role) {
    let at = format!("{}@n{seat}", model.name);
    let Some(state) = model.cluster else { return (at, Role::Good) };
    let (live, voters, term) = (state.live, state.voters, state.term);
    match state.leader {
        _ if voters > 0 && live * 2 <= voters => {
            let kept = model.waiting().0;
            let text = format!(
                "{at} ▸ no quorum {live} of {voters}: your messages are kept here ({kept})"
            );
            (text, Role::Error)
        }
        None => (format!("{at} ▸ no leader t{term}"), Role::Warning),
        Some(leader) => (format!("{at} ▸ n{leader} t{term}"), Role::Good),
    }
}

/// The other items, the most important first; on a narrow screen the last ones go.
#[must_use]
pub fn items(model: &Model) -> Vec<(String, Role)> {
    let mut out = Vec::new();
    let unread = model.unread();
    if unread > 0 {
        out.push((format!("unread {unread}"), Role::Unread));
    }
    let (waiting, failed) = model.waiting();
    if failed > 0 {
        out.push((format!("{failed} failed"), Role::Error));
    }
    if waiting > 0 {
        out.push((format!("{waiting} queued"), Role::Queued));
    }
    if !model.cluster_name.is_empty() {
        out.push((model.cluster_name.clone(), Role::Dim));
    }
    out
}
