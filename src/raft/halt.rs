//! The first reason to stop wins, and everybody hears of it. Where the store is
//! unavailable, leadership is handed over first: openraft could not do that any
//! more once it has seen an error, so errors wait until then. It must not know who
//! hands over, or how.

use super::types::StopReason;
use crate::store::StoreError;
use std::io;
use std::sync::Arc;
use tokio::sync::watch;

/// Where the reason to stop is kept; cheap to clone.
#[derive(Clone, Debug)]
pub struct Halt {
    reason: Arc<watch::Sender<Option<StopReason>>>,
    over: Arc<watch::Sender<bool>>,
}

impl Halt {
    /// Nothing has happened yet.
    pub fn new() -> Self {
        Self { reason: Arc::default(), over: Arc::default() }
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

    /// As [`Halt::store`], for those that may wait: where the store is unavailable, the error is
    /// returned only when openraft may end.
    pub async fn store_in_the_end(&self, error: StoreError) -> io::Error {
        let waits = matches!(error, StoreError::Unavailable(_));
        let error = self.store(error);
        if waits {
            self.wait_for_end().await;
        }
        error
    }

    /// Resolves after [`Halt::end`].
    pub async fn wait_for_end(&self) {
        // An error means that nobody is left to end it.
        drop(self.over.subscribe().wait_for(|over| *over).await);
    }

    /// An error where the store was found unavailable before: it is not asked any more, also
    /// when it answers again, for it may be open anew by then.
    ///
    /// # Errors
    /// Where it was.
    pub fn check_store(&self) -> io::Result<()> {
        match &*self.reason.borrow() {
            Some(StopReason::Unavailable(text)) => Err(io::Error::other(text.clone())),
            _ => Ok(()),
        }
    }

    /// What could be done was done: openraft may end. Nothing is written from now on.
    pub fn end(&self) {
        self.over.send_replace(true);
    }

    /// Whether [`Halt::end`] was called.
    pub fn is_over(&self) -> bool {
        *self.over.borrow()
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
