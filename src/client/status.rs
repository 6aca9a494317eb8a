//! Asks one node about itself; works without a leader. It must not judge the
//! answer.

use super::dial;
use crate::wire::conn::ConnError;
use crate::wire::message::{Purpose, ServerMsg, Status};
use std::time::Duration;

/// Why a node's state is not known.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// It cannot be reached, or not in time.
    #[error(transparent)]
    Unreachable(#[from] ConnError),
    /// It answered with something else.
    #[error("{0}")]
    NoStatus(String),
}

/// What the node at `address` (`host:port` for clients) says about itself within `timeout`.
///
/// # Errors
/// See [`StatusError`].
pub async fn status(address: &str, timeout: Duration) -> Result<Status, StatusError> {
    match dial::ask(address, Purpose::Status, timeout).await? {
        ServerMsg::Status(status) => Ok(*status),
        ServerMsg::Busy { .. } => Err(StatusError::NoStatus("the node is busy".into())),
        ServerMsg::GoAway { text, .. } | ServerMsg::Refused { text, .. } => {
            Err(StatusError::NoStatus(text))
        }
        _ => Err(StatusError::NoStatus("the node gave another answer".into())),
    }
}
