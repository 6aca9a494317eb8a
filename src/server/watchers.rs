//! Small tasks of a server that watch something: marks that are due, who leads,
//! who asks for the leader, and the founding of the cluster.

use super::shared::{Shared, cluster_state, lock};
use crate::chat::command::Command;
use crate::clock::now_ms;
use crate::discovery::answer::{self, Told};
use crate::limits;
use crate::wire::log;
use crate::wire::message::ClusterState;
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::watch;
use tokio::time::{sleep, sleep_until};

/// Milliseconds of a day.
const DAY_MS: u64 = 24 * 3600 * 1000;
/// From so many days on the end of a certificate is worth a word.
const EXPIRING_DAYS: u64 = 30;

/// Submits marks as they are due. After each time it rests: what comes meanwhile goes together.
pub async fn marks(shared: Arc<Shared>) {
    let (marks, wake) = &shared.marks;
    let watch = async {
        loop {
            let due = lock(marks).due(Instant::now(), &shared.setup.state);
            let submitted = !due.is_empty();
            for advances in due {
                let messages = advances.len();
                let item = log::encode_command(&Command::Marks(advances));
                if let Err(error) = shared.node.submit(item, messages) {
                    tracing::debug!(%error, "marks are submitted again later");
                }
            }
            let next = lock(marks).next(Instant::now());
            match next {
                _ if submitted => sleep(limits::MARKS_INTERVAL).await,
                None => wake.notified().await,
                Some(next) => {
                    tokio::select! {
                        () = wake.notified() => {}
                        () = sleep_until(next.into()) => {}
                    }
                }
            }
        }
    };
    shared.stop.run_until_cancelled(watch).await;
}

/// Answers clients that ask by UDP who leads, while this server does.
pub async fn discovery(shared: Arc<Shared>, port: u16) {
    let told = || {
        let leads = shared.node.status().borrow().leads_with_quorum;
        let (cluster, generation) = shared.setup.state.identity().filter(|_| leads)?;
        let leader = shared.address(shared.setup.seat)?;
        let cluster_name = shared.setup.cluster_name.clone();
        let members = shared.servers();
        let keys = shared.keys.as_ref().map(|identity| identity.keys());
        Some(Told { cluster_name, cluster, generation, leader, members, keys })
    };
    answer::run(port, told, shared.stop.clone()).await;
}

/// Looks whether the server's keys were renewed, and says when their time is nearly over.
pub async fn keys(shared: Arc<Shared>) {
    let Some(identity) = shared.keys.clone() else { return };
    let watch = async {
        let mut told = None;
        loop {
            let again = Arc::clone(&identity);
            match tokio::task::spawn_blocking(move || again.reload()).await {
                Ok(Ok(true)) => tracing::info!("the renewed key is in use"),
                Ok(Ok(false)) => {}
                Ok(Err(why)) => tracing::error!(%why, "the server's key stays as it was"),
                Err(why) => tracing::error!(%why, "the server's key could not be looked at"),
            }
            let left = identity.keys().until_ms.saturating_sub(now_ms()) / DAY_MS;
            if left < EXPIRING_DAYS && told != Some(left) {
                told = Some(left);
                tracing::warn!(days = left, "the server's certificate must be renewed: keys node");
            }
            sleep(limits::KEYS_LOOK).await;
        }
    };
    shared.stop.run_until_cancelled(watch).await;
}

/// Tells the sessions when the server was drained, or taken back.
pub async fn drained(shared: Arc<Shared>, now: watch::Sender<bool>) {
    let mut status = shared.node.status();
    loop {
        let draining = status.borrow_and_update().draining;
        now.send_if_modified(|known| std::mem::replace(known, draining) != draining);
        tokio::select! {
            () = shared.stop.cancelled() => return,
            changed = status.changed() => if changed.is_err() { return },
        }
    }
}

/// Tells the sessions when who leads has changed, and the operator the cluster's id once it is
/// founded.
pub async fn cluster(shared: Arc<Shared>, now: watch::Sender<ClusterState>) {
    let mut status = shared.node.status();
    let mut known = shared.setup.state.identity().is_some();
    loop {
        let state = cluster_state(&status.borrow_and_update());
        now.send_if_modified(|known| std::mem::replace(known, state) != state);
        if !known && let Some((cluster, _)) = shared.setup.state.identity() {
            known = true;
            tracing::info!(
                name = shared.setup.cluster_name,
                id = %cluster,
                "the cluster is founded: put cluster_id = \"{cluster}\" into nodes.conf, then no \
                 server ever founds a second one",
            );
        }
        tokio::select! {
            () = shared.stop.cancelled() => return,
            changed = status.changed() => if changed.is_err() { return },
        }
    }
}
