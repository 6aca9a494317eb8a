//! What this node knows of its links at this moment, for operators. It must not know how it
//! came to be.

use crate::chat::link::LinkNumber;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How the line to another cluster stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Line {
    /// This node does not pull: it does not lead, or the other cluster is not trusted.
    #[default]
    Idle,
    /// It tries to connect.
    Connecting,
    /// Exports are pulled.
    Up,
    /// Not now, and why.
    Down(String),
}

/// One link as this node sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LinkNow {
    /// The line on which this node pulls.
    pub line: Line,
    /// The last answer took so long.
    pub round_trip: Option<Duration>,
    /// How far the other one's exports go, as it said last.
    pub theirs: Option<u64>,
    /// How far the other cluster has taken ours, as it said last to this node, and when.
    pub taken: Option<(u64, Instant)>,
    /// `host:port` of its servers, as one of them said last to this node on a guest's behalf; at
    /// most [`crate::limits::LINK_SERVERS`].
    pub servers: Vec<String>,
    /// Answers that broke the protocol.
    pub broken: u64,
}

/// All links as this node sees them. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Board {
    inner: Arc<Mutex<BTreeMap<LinkNumber, LinkNow>>>,
}

impl Board {
    /// Changes what is known of a link.
    pub fn note(&self, link: LinkNumber, change: impl FnOnce(&mut LinkNow)) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        change(inner.entry(link).or_default());
    }

    /// What is known of a link.
    #[must_use]
    pub fn of(&self, link: LinkNumber) -> LinkNow {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.get(&link).cloned().unwrap_or_default()
    }
}
