//! How the operator's screen changes. Pure: answers and the time come in as messages.

use super::model::Model;
use crate::wire::message::Status;
use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What happened.
#[derive(Clone, Debug)]
pub enum Msg {
    /// The time now, in milliseconds of UNIX time.
    Now(u64),
    /// It is time to ask, and what time it is.
    Poll(u64),
    /// A node answered, or did not.
    Answer {
        /// `host:port`, as in the question.
        address: String,
        /// Its statement, or why there is none.
        result: Result<Box<Status>, String>,
    },
    /// A key was pressed.
    Key(KeyEvent),
}

/// What the program shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask the node at this address.
    Ask(String),
    /// End.
    Quit,
}

/// Changes the model and says what is to be done.
pub fn update(model: &mut Model, msg: Msg) -> Vec<Effect> {
    match msg {
        Msg::Now(now_ms) => {
            model.now_ms = model.now_ms.max(now_ms);
            Vec::new()
        }
        Msg::Poll(now_ms) => {
            model.now_ms = model.now_ms.max(now_ms);
            questions(model, false)
        }
        Msg::Answer { address, result } => {
            model.answer(&address, result);
            questions(model, true)
        }
        Msg::Key(key) => press(model, key),
    }
}

/// Questions to the nodes that have none on the way: to all, or to those `new` ones that were
/// never asked.
fn questions(model: &mut Model, new: bool) -> Vec<Effect> {
    let never = |n: &super::model::Node| n.status.is_none() && n.error.is_none();
    let idle = model.nodes.iter_mut().filter(|n| !n.asking && (!new || never(n)));
    idle.map(|node| {
        node.asking = true;
        Effect::Ask(node.address.clone())
    })
    .collect()
}

fn press(model: &mut Model, key: KeyEvent) -> Vec<Effect> {
    let last = model.nodes.len().saturating_sub(1);
    match (key.code, key.modifiers) {
        _ if key.kind == KeyEventKind::Release => {}
        (KeyCode::Char('c' | 'd'), KeyModifiers::CONTROL) => return vec![Effect::Quit],
        (KeyCode::Char('q' | 'Q') | KeyCode::Esc, _) => return vec![Effect::Quit],
        (KeyCode::Down | KeyCode::Char('j'), _) => model.first = (model.first + 1).min(last),
        (KeyCode::Up | KeyCode::Char('k'), _) => model.first = model.first.saturating_sub(1),
        _ => {}
    }
    Vec::new()
}
