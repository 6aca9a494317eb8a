//! How the operator's screen changes. Pure: answers and the time come in as messages.

use super::admin::Action;
use super::choice::Choice;
use super::keys::press;
use super::model::State;
use crate::report::Row;
use crate::report::reason::Reason;
use crossterm::event::KeyEvent;

/// Every node is asked this often, in milliseconds.
const POLL_MS: u64 = 500;
/// While nobody leads, or just has begun to: an election takes milliseconds.
const FAST_MS: u64 = 100;

/// What happened.
#[derive(Clone, Debug)]
pub enum Msg {
    /// The time now, in milliseconds of UNIX time.
    Now(u64),
    /// The same, and who has not been asked for a while shall be.
    Poll(u64),
    /// A node answered, or did not.
    Answer(Box<Row>),
    /// A change was made, or was not.
    Acted(Result<String, String>),
    /// Something that was asked for was done, or was not.
    Notice(Result<String, String>),
    /// A key was pressed.
    Key(KeyEvent),
}

/// What the program shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Ask the node at this address, for its events after this one too.
    Ask(String, u64),
    /// Make this change.
    Act(Action),
    /// Write what is shown to a file.
    Save,
    /// Play the recording differently.
    Play(Play),
    /// End.
    Quit,
}

/// How a recording is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Play {
    /// Pause, or go on.
    Toggle,
    /// One round back.
    Back,
    /// One round on.
    On,
}

/// Where a recording is being played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replay {
    /// Rounds played.
    pub at: usize,
    /// Rounds there are.
    pub of: usize,
    /// It stands still.
    pub paused: bool,
}

/// Everything that the operator's screen shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Model {
    /// The cluster, as it is known.
    pub state: State,
    /// The same as it was when the screen was frozen.
    pub frozen: Option<Box<State>>,
    /// What the person at the screen has chosen.
    pub choice: Choice,
    /// Changes may be made.
    pub admin: bool,
    /// A recording is made.
    pub recording: bool,
    /// A recording is played.
    pub replay: Option<Replay>,
}

impl Model {
    /// Nodes that were not asked yet.
    #[must_use]
    pub fn new(addresses: Vec<String>, now_ms: u64) -> Self {
        Self {
            state: State::new(addresses, now_ms),
            frozen: None,
            choice: Choice::default(),
            admin: false,
            recording: false,
            replay: None,
        }
    }

    /// The cluster as it is shown.
    #[must_use]
    pub fn shown(&self) -> &State {
        self.frozen.as_deref().unwrap_or(&self.state)
    }
}

/// Changes the model and says what is to be done.
pub fn update(model: &mut Model, msg: Msg) -> Vec<Effect> {
    match msg {
        Msg::Now(now_ms) => {
            model.state.refresh(now_ms);
            Vec::new()
        }
        Msg::Poll(now_ms) => {
            model.state.refresh(now_ms);
            questions(&mut model.state, false)
        }
        Msg::Answer(row) => {
            model.state.answer(*row);
            questions(&mut model.state, true)
        }
        Msg::Acted(result) | Msg::Notice(result) => {
            let good = result.is_ok();
            model.choice.notice = Some((result.unwrap_or_else(|why| why), good));
            Vec::new()
        }
        Msg::Key(key) => press(model, key),
    }
}

/// Questions to the nodes that have none on the way: to those whose turn it is, or to those
/// `new` ones that were never asked.
fn questions(state: &mut State, new: bool) -> Vec<Effect> {
    let passing = state.nodes.iter().any(|node| !node.passing.is_empty());
    // One that others have just lost may be dead: an old answer of its says nothing about that.
    let unsure = state.judgement.reasons.contains(&Reason::PartialPartition);
    let quick = state.judgement.leader.is_none() || passing || unsure;
    let pause = if quick { FAST_MS } else { POLL_MS };
    let now_ms = state.now_ms;
    let mut asks = Vec::new();
    for node in state.nodes.iter_mut().filter(|node| !node.asking) {
        let due = node.asked_ms == 0 || node.asked_ms + pause <= now_ms;
        if if new { node.is_new() && node.asked_ms == 0 } else { due } {
            (node.asking, node.asked_ms) = (true, now_ms);
            let after = node.row.seat.and_then(|seat| state.timeline.last_id(seat));
            asks.push(Effect::Ask(node.row.addr.clone(), after.unwrap_or(0)));
        }
    }
    asks
}
