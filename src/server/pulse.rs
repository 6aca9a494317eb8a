//! What the owner of a server sees of it while it runs: that it lives, and what it
//! is doing. It must not know who looks, or what becomes of a server that is still.

use super::shared::Shared;
use crate::limits;
use crate::raft::NodeStatus;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;
use tokio::time::MissedTickBehavior;

/// The state of a server at its last beat.
#[derive(Clone, Debug, Default)]
pub struct Pulse {
    /// Rises while the server lives: while consensus answers, whoever leads, or while its
    /// database is waited for.
    pub beats: u64,
    /// When it beat last; `None`: not yet.
    pub at: Option<Instant>,
    /// What its node says; `None` while the database is waited for.
    pub node: Option<NodeStatus>,
}

/// One beat more.
fn beat(pulse: &watch::Sender<Pulse>, node: Option<NodeStatus>) {
    pulse.send_modify(|pulse| {
        pulse.beats += 1;
        pulse.at = Some(Instant::now());
        pulse.node = node;
    });
}

/// Beats as the node does.
pub async fn follow(shared: Arc<Shared>, pulse: watch::Sender<Pulse>) {
    let mut beats = shared.node.beats();
    let watch = async {
        while beats.changed().await.is_ok() {
            beat(&pulse, Some(shared.status()));
        }
    };
    shared.stop.run_until_cancelled(watch).await;
}

/// Does `work` while no node runs, and beats meanwhile.
pub async fn during<T>(pulse: &watch::Sender<Pulse>, work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    let mut every = tokio::time::interval(limits::BEAT);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            done = &mut work => return done,
            _ = every.tick() => beat(pulse, None),
        }
    }
}
