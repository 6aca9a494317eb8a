//! What the answers are made from: the node that serves now, or what it said last while there is
//! none. It must not know HTTP.

use crate::client::security::Security;
use crate::server::pulse::Pulse;
use crate::server::shared::Shared;
use crate::server::status;
use crate::wire::statement::Status;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// What the server does now.
#[derive(Clone, Default)]
pub enum Now {
    /// It opens its store for the first time.
    #[default]
    Starting,
    /// It serves.
    Serving(Arc<Shared>),
    /// It waits for its database.
    Waiting(watch::Receiver<Status>),
}

/// See the module; cheap to clone.
#[derive(Clone)]
pub struct Desk {
    now: watch::Receiver<Now>,
    pulse: watch::Receiver<Pulse>,
    begun: Instant,
    /// Where its own client port is reached.
    client: String,
    /// Whom it takes for servers of its cluster.
    security: Security,
}

impl Desk {
    /// `pulse` shows that the server lives; `client` is `host:port` of its client port, and
    /// `security` how servers are asked.
    #[must_use]
    pub fn new(
        now: watch::Receiver<Now>,
        pulse: watch::Receiver<Pulse>,
        client: String,
        security: Security,
    ) -> Self {
        Self { now, pulse, begun: Instant::now(), client, security }
    }

    /// How other servers are asked.
    pub(super) const fn security(&self) -> Security {
        self.security
    }

    /// The node, while one serves.
    pub(super) fn node(&self) -> Option<Arc<Shared>> {
        match &*self.now.borrow() {
            Now::Serving(shared) => Some(Arc::clone(shared)),
            Now::Starting | Now::Waiting(_) => None,
        }
    }

    /// The server's own statement; `None` before its store was opened.
    pub(super) fn statement(&self, events_after: Option<u64>) -> Option<Status> {
        match &*self.now.borrow() {
            Now::Starting => None,
            Now::Serving(shared) => Some(status::answer(shared, events_after)),
            Now::Waiting(known) => Some(known.borrow().clone()),
        }
    }

    /// How long the server has shown no sign of life.
    pub(super) fn silent(&self) -> Duration {
        self.pulse.borrow().at.unwrap_or(self.begun).elapsed()
    }

    /// `host:port` of its client port.
    pub(super) fn client(&self) -> &str {
        &self.client
    }
}
