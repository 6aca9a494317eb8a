//! What Raft says between servers and writes into the log, as bytes: an
//! encoding of our own, so that a new version of the Raft library changes
//! neither the log on disk nor what a newer server says to an older one. It must
//! not know openraft, nor what a batch's items mean.

mod entry;
mod order;
mod rpc;
mod snapshot;
#[cfg(test)]
pub(crate) mod tests;

pub use entry::*;
pub use order::*;
pub use rpc::*;
pub use snapshot::*;
