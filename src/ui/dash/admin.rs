//! What an operator may change from the screen, and the question before it: what the quorum will
//! be, and the name of the node typed by hand. Pure. It must not know how a change is made.

use super::model::State;
use crate::report::Row;
use futures::future::BoxFuture;
use std::sync::Arc;

/// A change, with the seat of the node that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// It shall lead.
    Transfer(u32),
    /// It shall take no new clients, and not lead.
    Drain(u32),
    /// It shall take part again.
    Undrain(u32),
    /// It shall vote.
    Promote(u32),
    /// It shall be no member any more.
    Remove(u32),
}

/// Makes a change: what was done, or why it was not, in words for a person.
pub type Act = Arc<dyn Fn(Action) -> BoxFuture<'static, Result<String, String>> + Send + Sync>;

impl Action {
    /// The node it is about.
    #[must_use]
    pub const fn seat(self) -> u32 {
        match self {
            Self::Transfer(seat)
            | Self::Drain(seat)
            | Self::Undrain(seat)
            | Self::Promote(seat)
            | Self::Remove(seat) => seat,
        }
    }

    /// As a title.
    #[must_use]
    pub fn title(self) -> String {
        let seat = self.seat();
        match self {
            Self::Transfer(_) => format!("Hand leadership over to n{seat}"),
            Self::Drain(_) => format!("Drain n{seat}: no new clients, no leadership"),
            Self::Undrain(_) => format!("Take n{seat} back: it was drained"),
            Self::Promote(_) => format!("Promote n{seat}: it votes from then on"),
            Self::Remove(_) => format!("Remove n{seat} from the cluster for good"),
        }
    }
}

/// The question before a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialog {
    /// What is asked for.
    pub action: Action,
    /// What was typed so far.
    pub typed: String,
}

impl Dialog {
    /// Nothing typed yet.
    #[must_use]
    pub const fn new(action: Action) -> Self {
        Self { action, typed: String::new() }
    }

    /// The name was typed.
    #[must_use]
    pub fn is_sure(&self) -> bool {
        self.typed == format!("n{}", self.action.seat())
    }
}

/// What the quorum is now and will be then, a line each.
#[must_use]
pub fn consequence(state: &State, action: Action) -> Vec<String> {
    let judgement = &state.judgement;
    let Some(voters) = judgement.voters else {
        return vec!["Nobody answers: what the quorum is cannot be told.".into()];
    };
    let row = state.rows.iter().find(|row| row.seat == Some(action.seat()));
    let lives = row.and_then(Row::fresh).is_some();
    let live = judgement.live;
    let (then_voters, then_live) = match action {
        Action::Promote(_) => (voters + 1, live + u32::from(lives)),
        Action::Remove(_) if votes(state, action.seat()) => {
            (voters.saturating_sub(1), live.saturating_sub(u32::from(lives)))
        }
        _ => (voters, live),
    };
    let line = |when: &str, voters: u32, live: u32| {
        let needed = voters / 2 + 1;
        let lose = live.checked_sub(needed);
        let lose = lose.map_or("NO QUORUM".to_owned(), |n| format!("can lose {n}"));
        format!("{when} {needed} of {voters} needed, {live} live, {lose}")
    };
    let mut lines =
        vec![line("Quorum now: ", voters, live), line("Quorum then:", then_voters, then_live)];
    if !lives {
        lines.push(format!("n{} does not answer.", action.seat()));
    }
    lines
}

/// Whether the node on a seat votes, by what the others say.
fn votes(state: &State, seat: u32) -> bool {
    let members = state.rows.iter().filter_map(Row::fresh).max_by_key(|s| s.applied);
    let members = members.map(|s| s.members.as_slice()).unwrap_or_default();
    let of_seat = members.iter().filter(|m| m.server.seat == seat);
    members.is_empty() || of_seat.clone().any(|m| m.voter)
}
