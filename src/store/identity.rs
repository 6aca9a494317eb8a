//! Whose data a store holds. It must not know where that is written down.

use crate::chat::ids::ClusterId;

/// Whose data a store holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster, once it is founded.
    pub cluster: Option<ClusterId>,
    /// The cluster's generation, raised by a restore.
    pub generation: u64,
    /// The server's number in `nodes.conf`.
    pub seat: u32,
    /// The server's Raft id: seat + 1000 · g.
    pub raft_id: u64,
    /// Random, made when the store was: tells a copied or emptied store from the real one.
    pub incarnation: [u8; 16],
}

impl Identity {
    /// The identity of a store that was made just now.
    #[must_use]
    pub fn fresh(seat: u32) -> Self {
        Self {
            cluster: None,
            generation: 0,
            seat,
            raft_id: u64::from(seat),
            incarnation: rand::random(),
        }
    }
}
