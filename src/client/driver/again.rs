//! A connection that is lost, and what comes after it. It must not know what is said on one.

use super::Driver;
use crate::client::find::address;
use crate::client::link::Link;
use crate::client::{ClientEvent, Connection};
use std::time::Duration;
use tokio::time::Instant;

impl Driver {
    /// Hands an event on, and learns from it.
    pub(super) fn on_event(&mut self, event: ClientEvent) {
        let cluster = match &event {
            ClientEvent::Cluster(state) => Some(*state),
            _ => None,
        };
        self.events.push(event);
        let Some(state) = cluster else { return };
        self.next.led_by(state.leader);
        if state.leader.is_none()
            && state.live <= state.voters / 2
            && state.voters > 0
            && !self.session.is_live()
        {
            // It cannot let anybody in, and others may.
            self.next.in_vain();
            self.lost("the server is cut off from the others".into());
        }
    }

    /// The wait is over.
    pub(super) fn go_on(&mut self) {
        let to = self.next.take(self.now(), rand::random()).map(address);
        match to {
            Some(to) => self.dial(to, true),
            None => self.find(),
        }
    }

    /// The connection is gone.
    pub(super) fn lost(&mut self, why: String) {
        self.session.on_lost();
        self.wait(None, why);
    }

    /// Tries nothing for so long.
    pub(super) fn wait_for(&mut self, retry_ms: u64) {
        self.link = Link::Waiting(Instant::now() + Duration::from_millis(retry_ms));
    }

    /// Tries again later.
    pub(super) fn wait(&mut self, retry_ms: Option<u64>, why: String) {
        self.next.lost(self.now());
        let wait = self.backoff.next(rand::random());
        let retry_ms = retry_ms.map_or(wait, |ms| ms.max(wait).saturating_add(wait / 4));
        self.wait_for(retry_ms);
        tracing::debug!(event = "client.waiting", retry_ms, %why, "lost its server");
        self.events.push(ClientEvent::Connection(Connection::Waiting { retry_ms, why }));
    }
}
