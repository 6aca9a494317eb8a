//! Commands as bytes: the items of a log entry. It must not know what a
//! command does, nor how Raft puts items into entries.

use super::{WireError, convert, pb};
use crate::chat::command::Command;
use bytes::Bytes;

/// Encodes a command. Its bodies are copied once, here.
#[must_use]
pub fn encode_command(command: &Command) -> Bytes {
    convert::write(&pb::Command::from(command))
}

/// Reads a command; bodies share `bytes`.
///
/// # Errors
/// [`WireError::Unknown`] for a command of a newer build: the node must stop, not skip it.
pub fn decode_command(bytes: Bytes) -> Result<Command, WireError> {
    convert::read::<pb::Command>(bytes)?.try_into()
}
