//! What the person at the screen has chosen to see: the view, the order, the filter, what is
//! open. It must not know where the figures come from.

use super::admin::Dialog;
use super::model::State;
use crate::report::Row;

/// Seconds of one column of the leader strip, by the steps of the zoom.
pub const ZOOM: [u64; 7] = [1, 2, 5, 10, 30, 60, 300];

/// What fills the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum View {
    /// The nodes, and a little of everything.
    #[default]
    Nodes,
    /// The history.
    Timeline,
    /// Who hears whom.
    Matrix,
    /// Links to other clusters.
    Links,
    /// Clients, in numbers.
    Sessions,
}

impl View {
    /// With the keys 1 to 5.
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Nodes, "nodes"),
        (Self::Timeline, "timeline"),
        (Self::Matrix, "matrix"),
        (Self::Links, "links"),
        (Self::Sessions, "sessions"),
    ];
}

/// What the nodes are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sort {
    /// Their seats.
    #[default]
    Seat,
    /// The leader first, what does not answer last.
    Role,
    /// Who is furthest behind first.
    Lag,
    /// Whose answer is oldest first.
    Seen,
}

impl Sort {
    /// The next one.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Seat => Self::Role,
            Self::Role => Self::Lag,
            Self::Lag => Self::Seen,
            Self::Seen => Self::Seat,
        }
    }

    /// As it is shown.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Seat => "seat",
            Self::Role => "role",
            Self::Lag => "lag",
            Self::Seen => "age",
        }
    }
}

/// Everything that keys change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// What fills the screen.
    pub view: View,
    /// The keys that move, move the timeline.
    pub in_timeline: bool,
    /// The address of the node that is marked.
    pub marked: Option<String>,
    /// Lines of the timeline above the first one shown.
    pub scrolled: usize,
    /// The details of the marked node are open.
    pub detail: bool,
    /// Every event is shown, not only elections.
    pub expanded: bool,
    /// The help is open.
    pub help: bool,
    /// Only what has this text in it.
    pub filter: String,
    /// The filter is being typed.
    pub typing: bool,
    /// The order of the nodes.
    pub sort: Sort,
    /// Only nodes that are not well.
    pub faults: bool,
    /// All columns, whatever the width.
    pub wide: bool,
    /// Cells that the columns are shifted to the left.
    pub shift: usize,
    /// A place in [`ZOOM`].
    pub zoom: usize,
    /// The question before a change.
    pub dialog: Option<Dialog>,
    /// The last word on something that was asked for, and whether it is good.
    pub notice: Option<(String, bool)>,
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            view: View::Nodes,
            in_timeline: false,
            marked: None,
            scrolled: 0,
            detail: false,
            expanded: false,
            help: false,
            filter: String::new(),
            typing: false,
            sort: Sort::Seat,
            faults: false,
            wide: false,
            shift: 0,
            zoom: 1,
            dialog: None,
            notice: None,
        }
    }
}

impl Choice {
    /// The places of the nodes that are shown, in their order.
    #[must_use]
    pub fn places(&self, state: &State) -> Vec<usize> {
        let mut places: Vec<usize> = (0..state.rows.len()).collect();
        places.retain(|place| self.shows(state, *place));
        let row = |place: &usize| state.rows.get(*place);
        match self.sort {
            Sort::Seat => {}
            Sort::Role => places.sort_by_key(|place| {
                match row(place).and_then(Row::fresh).map(|s| s.role.as_str()) {
                    Some("leader") => 0,
                    Some("candidate") => 1,
                    Some("precandidate") => 2,
                    Some(_) => 3,
                    None => 4,
                }
            }),
            Sort::Lag => places
                .sort_by_key(|place| std::cmp::Reverse(state.judgement.lag(&state.rows, *place))),
            Sort::Seen => places.sort_by_key(|place| std::cmp::Reverse(row(place).map(|r| r.seen))),
        }
        places
    }

    fn shows(&self, state: &State, place: usize) -> bool {
        let Some(row) = state.rows.get(place) else { return false };
        let reasons = state.judgement.of_node.get(&place);
        if self.faults && row.error.is_none() && reasons.is_none_or(|all| all.is_empty()) {
            return false;
        }
        let role = row.fresh().map_or("unreachable", |s| s.role.as_str());
        let codes = reasons.into_iter().flatten().map(|reason| reason.code());
        let cause = row.error.as_ref().map(|(cause, _)| cause.code());
        let name = row.name();
        let mut words =
            [name.as_str(), row.addr.as_str(), role].into_iter().chain(codes).chain(cause);
        words.any(|word| self.takes(word))
    }

    /// Whether the filter lets a text through.
    #[must_use]
    pub fn takes(&self, text: &str) -> bool {
        self.filter.is_empty() || text.to_lowercase().contains(&self.filter.to_lowercase())
    }

    /// The place of the node that is marked: the first one if none was chosen, or it is gone.
    #[must_use]
    pub fn marked(&self, state: &State) -> Option<usize> {
        let places = self.places(state);
        let addr = |place: &&usize| state.rows.get(**place).map(|row| &row.addr);
        let chosen = places.iter().find(|place| addr(place) == self.marked.as_ref());
        chosen.or_else(|| places.first()).copied()
    }

    /// Marks the node `by` places further.
    pub fn mark(&mut self, state: &State, by: isize) {
        let places = self.places(state);
        let Some(now) = self.marked(state) else { return };
        let at = places.iter().position(|place| *place == now).unwrap_or(0);
        let to = at.saturating_add_signed(by).min(places.len().saturating_sub(1));
        let row = places.get(to).and_then(|place| state.rows.get(*place));
        self.marked = row.map(|row| row.addr.clone());
    }
}
