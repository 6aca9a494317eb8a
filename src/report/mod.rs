//! From what the nodes of a cluster say about themselves to what an operator reads: a verdict, the
//! reasons for it, one JSON document. Pure: `status`, `dash` and the probes share it. It must not
//! know how nodes are asked, nor how anything is drawn.

pub mod document;
pub mod health;
pub mod judge;
pub mod links;
pub mod reason;
pub mod story;
pub mod table;
pub mod timeline;

#[cfg(test)]
mod tests;
#[cfg(test)]
mod timeline_tests;

use crate::wire::statement::Status;
use std::time::Duration;

/// An answer older than this says nothing about now.
pub const STALE: Duration = Duration::from_millis(2500);

/// One node as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// `host:port` of its client port.
    pub addr: String,
    /// Its seat, if it or another node told it.
    pub seat: Option<u32>,
    /// What it said last.
    pub status: Option<Box<Status>>,
    /// How old that is.
    pub seen: Duration,
    /// How long the answer took.
    pub round_trip: Option<Duration>,
    /// Its clock minus the asker's, in milliseconds, half a round trip allowed for.
    pub skew_ms: Option<i64>,
    /// Why the last question has no answer: a [`Cause`] and words for a person.
    pub error: Option<(Cause, String)>,
}

impl Row {
    /// What it says now: its last answer, if that is the answer to the last question.
    #[must_use]
    pub fn fresh(&self) -> Option<&Status> {
        self.status.as_deref().filter(|_| self.error.is_none() && self.seen <= STALE)
    }

    /// As `n3`, or its address where its seat is not known.
    #[must_use]
    pub fn name(&self) -> String {
        self.seat.map_or_else(|| self.addr.clone(), |seat| format!("n{seat}"))
    }
}

/// Why a node does not answer, in a word that stays the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nothing listens there: the process is down.
    Refused,
    /// Nothing came back in time: the machine is down, stopped or cut off.
    Timeout,
    /// It closed the connection.
    Closed,
    /// There is no way there.
    NoRoute,
    /// It has no room for the question.
    Busy,
    /// It answered something that cannot be read: another program, or another version.
    Protocol,
    /// Something else.
    Other,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Refused,
        Self::Timeout,
        Self::Closed,
        Self::NoRoute,
        Self::Busy,
        Self::Protocol,
        Self::Other,
    ];

    /// The one that is written like this; that of a newer program is another.
    #[must_use]
    pub fn of(code: &str) -> Self {
        Self::ALL.into_iter().find(|cause| cause.code() == code).unwrap_or(Self::Other)
    }

    /// As it is shown and written.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Refused => "conn_refused",
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::NoRoute => "no_route",
            Self::Busy => "busy",
            Self::Protocol => "protocol",
            Self::Other => "error",
        }
    }
}
