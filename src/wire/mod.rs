//! Bytes ↔ typed messages. The only place that sees protobuf types or TCP
//! frames; everything else speaks the types below. It must not know sessions,
//! stores, Raft or what a message is answered with.

pub mod certificate;
pub mod client;
pub mod conn;
pub mod discovery;
pub mod frame;
pub mod invitation;
pub mod link;
pub mod log;
pub mod message;
pub mod peer;
pub mod proof;
pub mod raft;
pub mod record;
pub mod statement;
pub mod stored;

mod convert;
mod outgoing;
mod pace;
mod pb;
#[cfg(test)]
pub(crate) mod random;
#[cfg(test)]
mod tests;
mod weigh;

/// The protobuf descriptors of everything in `proto/`, as an encoded `FileDescriptorSet`,
/// for programs in other languages.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/rustchat.fds"));

/// The protocol version that this build speaks, with clients and with servers.
pub const VERSION: u32 = 1;

/// Version of what servers say to each other, the commands of the log included: servers of
/// different ones do not talk, since a command that one of them does not know would stop it.
pub const PEER_VERSION: u32 = 3;

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The length prefix says more than this connection may send now.
    #[error("a frame of {length} bytes, where at most {limit} are allowed")]
    TooLong {
        /// What the prefix said.
        length: usize,
        /// What is allowed.
        limit: usize,
    },
    /// The bytes are no valid protobuf of the expected type.
    #[error("a frame that cannot be read: {0}")]
    Malformed(String),
    /// A field has a value that makes no sense.
    #[error("a frame with a bad {0}")]
    Field(&'static str),
    /// A kind of message or command that this build does not know.
    #[error("an unknown {0}")]
    Unknown(&'static str),
}
