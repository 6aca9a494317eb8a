//! The first reason to stop wins, and everybody hears of it. It must not know
//! what a reason means.

use super::types::StopReason;
use crate::store::StoreError;
use std::io;
use std::sync::Arc;
use tokio::sync::watch;

/// Where the reason to stop is kept; cheap to clone.
#[derive(Clone, Debug)]
pub struct Halt {
    reason: Arc<watch::Sender<Option<StopReason>>>,
}

impl Halt {
    /// Nothing has happened yet.
    pub fn new() -> Self {
        Self { reason: Arc::new(watch::Sender::new(None)) }
    }

    /// Stops the node, unless it stops already for another reason.
    pub fn stop(&self, reason: StopReason) {
        self.reason.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                tracing::info!(%reason, "the node stops");
                *current = Some(reason);
            }
            first
        });
    }

    /// Stops the node because of its store; the error in the form that openraft passes on.
    pub fn store(&self, error: StoreError) -> io::Error {
        self.stop(StopReason::from(&error));
        match error {
            StoreError::Io(error) => error,
            other => io::Error::other(other),
        }
    }

    /// The reason, if there is one.
    pub fn reason(&self) -> Option<StopReason> {
        self.reason.borrow().clone()
    }

    /// Resolves when there is a reason.
    pub async fn wait(&self) -> StopReason {
        let mut seen = self.reason.subscribe();
        match seen.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(StopReason::Shutdown),
            Err(_) => StopReason::Shutdown,
        }
    }
}
