//! The operator's screen: every node is asked about itself, each on its own, and shown with what
//! it says. It must not know servers or Raft; it asks through [`crate::client::status`] alone.

pub mod admin;
pub mod choice;
pub mod model;
pub mod record;
pub mod update;
pub mod view;

mod figures;
mod head;
mod history;
mod keys;
mod links;
mod panes;
mod player;
mod run;
mod table;
mod views;

#[cfg(test)]
mod tests;

pub use run::{Setup, run};

use crate::client::security::Security;
use crate::client::status;
use crate::report::judge::Verdict;
use std::time::Duration;
use update::{Model, Msg, update};

/// Asks every node once, also those that are learned from the answers, each for at most
/// `patience`: for one frame.
pub async fn ask(addresses: Vec<String>, patience: Duration, security: Security) -> Model {
    let rows = status::ask_all(addresses, patience, Some(0), security).await;
    let now_ms = crate::clock::now_ms();
    let mut model = Model::new(rows.iter().map(|row| row.addr.clone()).collect(), now_ms);
    for row in rows {
        let (addr, seat) = (row.addr.clone(), row.seat);
        drop(update(&mut model, Msg::Answer(Box::new(row))));
        // Who does not answer is known by what others say.
        if let Some(node) = model.state.nodes.iter_mut().find(|node| node.row.addr == addr) {
            node.row.seat = node.row.seat.or(seat);
        }
    }
    drop(update(&mut model, Msg::Now(now_ms)));
    model
}

/// A recording as it is at its end: for one frame.
#[must_use]
pub fn replayed(rounds: Vec<record::Round>) -> Model {
    let mut player = player::Player::new(rounds);
    let mut model = player.model();
    player.finish(&mut model);
    model
}

/// The verdict on what a model shows.
#[must_use]
pub const fn verdict(model: &Model) -> Verdict {
    model.state.judgement.verdict
}
