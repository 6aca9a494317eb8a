//! The life of a node: it waits until its cluster is founded or admits it, runs
//! openraft, and ends when something makes it stop. It must not know what an item
//! or a row means.

use super::boot::{self, Elections, Step, View};
use super::greet;
use super::log_store::Log;
use super::machine::StateMachine;
use super::mesh::{Handler, Mesh, MeshConfig};
use super::network::Network;
use super::shared::{LEASE, Leader, Raft, Shared};
use super::types::{StartError, StopReason};
use crate::store::{Identity, StoreError};
use crate::wire::peer::MessageKind;
use crate::wire::raft::{self, AdmitAnswer, Member, Payload};
use crate::wire::record::{LogEntry, LogId};
use bytes::Bytes;
use openraft::async_runtime::watch::WatchReceiver as _;
use openraft::{Config, ServerState, SnapshotPolicy, StepDownPolicy};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

/// How often to look at what no watch tells.
const LOOK: Duration = Duration::from_millis(50);
/// A drained node campaigns only when nobody has led for so long.
const DRAINED_WAIT: Duration = Duration::from_secs(6);
/// One question to be admitted.
const ADMIT_TIME: Duration = Duration::from_secs(6);

/// openraft's settings; milliseconds.
fn settings(name: &str) -> Config {
    Config {
        cluster_name: name.to_owned(),
        // Ticks every 100 ms, so that a heartbeat goes every 500 ms.
        heartbeat_interval: 493,
        heartbeat_min_interval: Some(0),
        election_timeout_min: 750,
        election_timeout_max: 1500,
        enable_pre_vote: Some(true),
        // `boot` allows it when a majority is heard.
        enable_elect: false,
        enable_leader_restore: Some(false),
        allow_log_reversion: Some(false),
        quorum_loss_probe_interval: Some(3000),
        install_snapshot_timeout: 60_000,
        // `compact` decides, by bytes.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        max_payload_entries: 256,
        api_channel_size: Some(4096),
        broadcast_submitted_on_append: Some(true),
        removed_leader_step_down: StepDownPolicy::After(1500),
        backoff: "100ms 200ms ..1s".to_owned(),
        ..Config::default()
    }
}

/// Opens the connections.
///
/// # Errors
/// The address cannot be listened on.
pub fn connect(
    shared: &Arc<Shared>,
    handler: &Arc<dyn Handler>,
    token: CancellationToken,
) -> Result<Mesh, StartError> {
    let config = MeshConfig {
        seat: shared.config.seat,
        seats: shared.config.seats.clone(),
        listen: shared.config.listen,
        peers: shared.config.peers.clone(),
    };
    let (hello, accept) = (greet::hello(shared), greet::accept(shared));
    let mesh = Mesh::start(config, hello, accept, Arc::clone(handler), token);
    let mesh = mesh.map_err(StartError::Listen)?;
    shared.set_mesh(Some(mesh.clone()));
    Ok(mesh)
}

/// Waits until there is a cluster to belong to. A pristine node founds one with the others,
/// or hears of one; others have theirs.
///
/// # Errors
/// The store failed.
pub async fn belong(shared: &Shared, knocked: &Notify) -> Result<(), StoreError> {
    let config = &shared.config;
    if !greet::pristine(shared.store.as_ref()) || config.rejoin || config.cluster.is_some() {
        return Ok(());
    }
    let Some(mesh) = shared.mesh() else { return Ok(()) };
    let mut peers = mesh.peers();
    loop {
        let (found, exists) = {
            let peers = peers.borrow_and_update();
            (boot::may_found(config, &peers), peers.values().any(|hello| !hello.pristine))
        };
        if found {
            return found_cluster(shared).await;
        }
        if exists {
            return Ok(());
        }
        tokio::select! {
            changed = peers.changed() => if changed.is_err() { return Ok(()) },
            () = knocked.notified() => return Ok(()),
        }
    }
}

/// Writes the first membership, as every founder does.
async fn found_cluster(shared: &Shared) -> Result<(), StoreError> {
    tracing::info!("a majority of nodes.conf is there: the cluster is founded");
    let payload = Payload::Membership(boot::first_membership(&shared.config)).encode();
    let entry = LogEntry { id: LogId { term: 0, index: 0 }, payload };
    let (tell, told) = oneshot::channel();
    let on_durable = Box::new(move |result| drop(tell.send(result)));
    shared.store.append(vec![entry], on_durable).await?;
    told.await.unwrap_or_else(|_| Err(StoreError::Io(std::io::Error::other("no answer"))))
}

/// Asks the others until the leader admits this data directory under a new Raft id.
///
/// # Errors
/// The store failed.
pub async fn be_admitted(shared: &Shared) -> Result<(), StoreError> {
    let Some(mesh) = shared.mesh() else { return Ok(()) };
    let config = &shared.config;
    let own = config.seats.iter().find(|seat| seat.seat == config.seat);
    let Some(own) = own else { return Ok(()) };
    let wish = raft::encode_admit(&Member {
        raft_id: 0,
        seat: own.seat,
        host: own.host.clone(),
        peer: own.peer,
        client: own.client,
        incarnation: Some(config.incarnation),
        held: false,
    });
    let mut peers = mesh.peers();
    loop {
        let hellos: Vec<_> = peers.borrow_and_update().values().cloned().collect();
        for hello in hellos {
            if let Some(id) = ask_admission(&mesh, hello.seat, &wish).await {
                let (cluster, generation) = (hello.cluster, hello.generation);
                tracing::info!(id, generation, "admitted");
                let stored = shared.store.identity();
                // Known at once: the state passes through earlier generations before it is there.
                let cluster = stored.cluster.or(cluster);
                let identity = Identity { raft_id: id, cluster, generation, ..stored };
                shared.store.save_identity(identity).await?;
                shared.admit(id);
                return Ok(());
            }
        }
        drop(tokio::time::timeout(10 * LOOK, peers.changed()).await);
    }
}

async fn ask_admission(mesh: &Mesh, seat: u32, wish: &Bytes) -> Option<u64> {
    let ask = |seat| mesh.call(seat, MessageKind::Admit, wish.clone(), ADMIT_TIME);
    let mut answer = AdmitAnswer::decode(ask(seat).await.ok()?).ok()?;
    if let AdmitAnswer::Leader(leader) = answer {
        answer = AdmitAnswer::decode(ask(leader).await.ok()?).ok()?;
    }
    match answer {
        AdmitAnswer::Admitted(id) => Some(id),
        AdmitAnswer::Leader(_) => None,
        AdmitAnswer::NotNow(why) => {
            tracing::info!(seat, why, "not admitted yet");
            None
        }
    }
}

/// Starts openraft.
///
/// # Errors
/// Why it cannot start, in words; `Halt` knows it better where the store failed.
pub async fn start_raft(shared: &Arc<Shared>, machine: StateMachine) -> Result<(), String> {
    let settings = settings(&shared.config.cluster_name).validate().map_err(|e| e.to_string())?;
    let (store, tally) = (Arc::clone(&shared.store), Arc::clone(&shared.tally));
    let log = Log::new(store, tally, shared.halt.clone(), shared.syncs.clone());
    let network = Network::new(Arc::clone(shared));
    let raft = Raft::new(shared.raft_id(), Arc::new(settings), network, log, machine).await;
    shared.set_raft(raft.map_err(|e| e.to_string())?);
    Ok(())
}

/// Campaigns when a majority is heard and nobody leads, for as long as the node runs.
pub async fn campaign(shared: Arc<Shared>) {
    let Some(mesh) = shared.mesh() else { return };
    let Some(raft) = shared.wait_for_raft().await else { return };
    let mut peers = mesh.peers();
    let mut elections = Elections::default();
    loop {
        let view = view(&shared, raft);
        for step in elections.on_view(&view, Instant::now(), rand::random()) {
            match step {
                Step::Allow(allowed) => raft.runtime_config().elect(allowed),
                Step::Elect => {
                    let term = raft.metrics().borrow_watched().current_term;
                    let text = "nobody leads, and a majority is heard";
                    shared.events.campaign(term + 1, shared.why_no_leader(), text);
                    if raft.trigger().elect(true).await.is_err() {
                        return;
                    }
                }
            }
        }
        let look = Instant::now() + LOOK;
        let next = elections.next().map_or(look, |next| next.min(look));
        tokio::select! {
            changed = peers.changed() => {
                // Replication that waits to try again need not wait for who has come back.
                if changed.is_err() || raft.trigger().reset_backoff([]).await.is_err() {
                    return;
                }
                peers.mark_unchanged();
            }
            () = tokio::time::sleep_until(next.into()) => {}
        }
    }
}

/// A drained node leaves it to the others to lead, unless they have not for a while.
fn spared(shared: &Shared) -> bool {
    shared.draining() && shared.silence().is_some_and(|age| age < DRAINED_WAIT)
}

fn view(shared: &Shared, raft: &Raft) -> View {
    let metrics = raft.metrics();
    let metrics = metrics.borrow_watched();
    let other = metrics.current_leader.is_some_and(|id| id != shared.raft_id());
    let heard = other && shared.silence().is_some_and(|age| age < LEASE);
    let leads = metrics.state == ServerState::Leader;
    let vote = (!metrics.vote.is_committed()).then(|| metrics.vote.leader_id());
    View {
        me: shared.raft_id(),
        configs: metrics.membership_config.get_joint_config().clone(),
        live: shared.live(),
        led: heard || leads,
        spared: !leads && spared(shared),
        voted: vote.map(|id| (id.term, id.voted_for)),
    }
}

/// Proposes the item that founds the cluster, once this node leads one without an identity.
/// When the identity is known it is written down, and the other servers are judged by it; a
/// node that belongs to another cluster stops.
pub async fn found(shared: Arc<Shared>, item: Bytes, submit: super::batch::Proposals) {
    let mut proposed_in = None;
    loop {
        if let Some((cluster, generation)) = shared.applied.known().identity {
            let stored = shared.store.identity();
            let expected = stored.cluster.or(shared.config.cluster).unwrap_or(cluster);
            if expected != cluster {
                let text = format!(
                    "the other servers belong to cluster {cluster}, but this node to {expected}: \
                     compare `cluster_id` in nodes.conf, and the data directories"
                );
                shared.halt.stop(StopReason::NotOurs(text));
                return;
            }
            if let Some(mesh) = shared.mesh() {
                mesh.judge_again();
            }
            // The state may still have to come to the generation that a recovery began.
            let generation = generation.max(stored.generation);
            let identity = Identity { cluster: Some(cluster), generation, ..stored };
            if stored == identity {
                return;
            }
            if let Err(error) = shared.store.save_identity(identity).await {
                drop(shared.halt.store(error));
            }
            return;
        }
        let term = shared.applied.last().map(|id| id.term);
        // A full queue: it is proposed again, as soon as there is room.
        let due = shared.leader() == Leader::Me && proposed_in != term;
        if due && submit.submit(item.clone(), 1).is_ok() {
            proposed_in = term;
        }
        tokio::time::sleep(LOOK / 5).await;
    }
}

/// Stops the node when a server refuses its data directory for good.
pub async fn heed_refusals(shared: Arc<Shared>, mesh: Mesh) {
    let mut refusals = mesh.refusals();
    loop {
        let stale = refusals.borrow_and_update().iter().find_map(|(seat, refusal)| {
            let ours = !refusal.by_us && refusal.reason.contains(greet::CURE);
            ours.then(|| format!("node {seat} refuses this node: {}", refusal.reason))
        });
        if let Some(text) = stale {
            shared.halt.stop(StopReason::Refused(text));
            return;
        }
        if refusals.changed().await.is_err() {
            return;
        }
    }
}

/// Stops the node when openraft has ended by itself.
pub async fn heed_raft(shared: Arc<Shared>) {
    let Some(raft) = shared.wait_for_raft().await else { return };
    let mut metrics = raft.metrics();
    loop {
        let ended = metrics.borrow_watched().running_state.clone().err();
        if let Some(error) = ended {
            shared.halt.stop(StopReason::Raft(format!("raft has ended: {error}")));
            return;
        }
        if metrics.changed().await.is_err() {
            shared.halt.stop(StopReason::Raft("raft has ended".into()));
            return;
        }
    }
}

/// Stops the node when its store finds by itself that it cannot go on.
pub async fn heed_store(shared: Arc<Shared>) {
    let error = shared.store.failed().await;
    drop(shared.halt.store(error));
}
