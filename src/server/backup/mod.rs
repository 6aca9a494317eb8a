//! A cluster's whole state and history in one file: made from a running node or from a stopped
//! server's store, checked, and turned into a new cluster. It must not know where the file lies
//! or how it travels.
//!
//! ```text
//! source  store, and the state at one applied index → bytes, a piece at a time
//! file    pieces: what one of them looks like, and what proves that none is damaged
//! check   all that can be known of a backup without a cluster
//! restore pieces → an empty store
//! ```

mod check;
mod file;
mod manifest;
mod online;
mod restore;
mod source;
mod stopped;
#[cfg(test)]
mod tests;

pub use check::{Checked, check, inspect};
pub use manifest::{Counts, Head, Member, Place};
pub use online::stream;
pub use restore::{NewCluster, restore};
pub use source::Source;
pub use stopped::of_stopped;

use crate::store::StoreError;
use std::io;

/// Why a backup cannot be made, read or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file is damaged, cut, or no backup: do not trust any of it.
    #[error("the backup is damaged: {0}")]
    Damaged(String),
    /// The file cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// There is no majority that could say what is current: try later, or ask for a stale one.
    #[error("no majority answers, so nobody knows whether this server is up to date")]
    NoQuorum,
    /// It must not be done.
    #[error("{0}")]
    Refused(String),
}

fn damaged(what: impl std::fmt::Display) -> BackupError {
    BackupError::Damaged(what.to_string())
}
