//! Other clusters: their exports are pulled and proposed here, ours are answered there, and
//! names are asked for. It must not know Raft, sessions or stores: what it needs of this cluster
//! is [`Home`].

pub mod answer;
pub mod board;
pub mod carry;
pub mod dial;
pub mod guests;
pub mod heard;
pub mod home;
pub mod pull;
pub mod puller;
pub mod seeker;
pub mod visit;

pub use board::{Board, Line as LineState, LinkNow};
pub use home::{Home, Me};
