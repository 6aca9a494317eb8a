//! The server in numbers, as Prometheus reads them. Most are taken from the node's statement when
//! somebody asks; times are recorded where they pass. It must not know who asks.

use super::desk::Desk;
use crate::limits;
use crate::raft::NodeStatus;
use crate::report::links::{self, State};
use crate::report::reason::Reason;
use crate::wire::statement::Status;
use metrics::{counter, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();

/// Upper bounds for times, in seconds: half a millisecond, doubled thirteen times.
const BOUNDS: [f64; 14] = [
    0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048,
    4.096,
];
/// What a node can be.
const ROLES: [&str; 6] = ["follower", "precandidate", "candidate", "leader", "learner", "down"];

/// From now on this process keeps numbers; once, before a server starts.
///
/// # Errors
/// Where the process has another recorder already.
pub fn install() -> Result<(), String> {
    let builder = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("duration_seconds".to_owned()), &BOUNDS)
        .map_err(|error| error.to_string())?;
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    metrics::set_global_recorder(recorder).map_err(|error| error.to_string())?;
    describe();
    drop(HANDLE.set(handle));
    Ok(())
}

/// Takes recorded times in while nobody asks, so that they do not pile up; for ever.
pub async fn keep() {
    let mut every = tokio::time::interval(limits::METRICS_UPKEEP);
    every.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        every.tick().await;
        if let Some(handle) = HANDLE.get() {
            handle.run_upkeep();
        }
    }
}

/// Everything as text; `None` where nothing is kept.
pub fn text(desk: &Desk) -> Option<String> {
    let handle = HANDLE.get()?;
    if let Some(status) = desk.statement(None) {
        of_statement(&status);
    }
    if let Some(shared) = desk.node() {
        of_elections(&shared.status());
    }
    Some(handle.render())
}

#[expect(clippy::cast_precision_loss, reason = "metrics are floats")]
const fn float(number: u64) -> f64 {
    number as f64
}

fn seconds(ms: u64) -> f64 {
    Duration::from_millis(ms).as_secs_f64()
}

fn flag(set: bool) -> f64 {
    if set { 1.0 } else { 0.0 }
}

/// Sets a counter that counts since its node began: a server may have one node after the other.
fn rise(name: &'static str, label: Option<(&'static str, &'static str)>, now: u64) {
    static SEEN: Mutex<BTreeMap<(&str, &str), u64>> = Mutex::new(BTreeMap::new());
    let counter = match label {
        None => counter!(name),
        Some((key, value)) => counter!(name, key => value),
    };
    let key = (name, label.map_or("", |(_, value)| value));
    let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
    let before = seen.insert(key, now).unwrap_or(0);
    counter.increment(if now < before { now } else { now - before });
}

fn of_statement(s: &Status) {
    // The hash of the executable is found out a moment after the start.
    if !s.build.is_empty() {
        let (version, build) = (s.version.clone(), s.build.clone());
        gauge!("rustchat_build_info", "version" => version, "build" => build).set(1.0);
    }
    for role in ROLES {
        gauge!("rustchat_raft_role", "role" => role).set(flag(s.role == role));
    }
    gauge!("rustchat_ready").set(flag(s.ready == Some(true)));
    gauge!("rustchat_draining").set(flag(s.draining));
    gauge!("rustchat_raft_has_leader").set(flag(s.leader.is_some()));
    gauge!("rustchat_raft_is_leader").set(flag(s.role == "leader"));
    gauge!("rustchat_raft_term").set(float(s.term));
    let needed = s.voters / 2 + 1;
    for (state, voters) in [("live", s.live), ("needed", needed), ("configured", s.voters)] {
        gauge!("rustchat_raft_quorum_voters", "state" => state).set(f64::from(voters));
    }
    gauge!("rustchat_raft_last_log_index").set(float(s.last_index));
    gauge!("rustchat_raft_commit_index").set(float(s.commit));
    gauge!("rustchat_raft_applied_index").set(float(s.applied));
    gauge!("rustchat_raft_snapshot_index").set(float(s.snapshot_index));
    gauge!("rustchat_raft_log_bytes").set(float(s.load.log_bytes));
    of_peers(s);
    of_links(s);
    rise("rustchat_raft_leader_changes_seen_total", None, s.elections.changes);
    rise("rustchat_raft_elections_won_total", None, s.elections.won);
    rise("rustchat_raft_leaderless_seconds_total", None, s.elections.leaderless_total_ms / 1000);
    let up = !s.reasons.iter().any(|code| code == Reason::StorageUnavailable.code());
    gauge!("rustchat_storage_up", "kind" => s.store.clone()).set(flag(up));
    rise("rustchat_storage_fsyncs_total", None, s.fsyncs);
    gauge!("rustchat_storage_fsync_pending_seconds")
        .set(seconds(s.load.fsync_pending_ms.unwrap_or(0)));
    if s.load.disk_total > 0 {
        gauge!("rustchat_storage_disk_free_bytes").set(float(s.load.disk_free));
        gauge!("rustchat_storage_disk_total_bytes").set(float(s.load.disk_total));
    }
    if let Some(until) = s.certificate_until_ms {
        gauge!("rustchat_certificate_expiry_timestamp_seconds").set(seconds(until));
    }
    gauge!("rustchat_sessions").set(f64::from(s.sessions));
    rise("rustchat_messages_accepted_total", None, s.load.accepted);
    rise("rustchat_messages_delivered_total", None, s.load.delivered);
    rise("process_cpu_seconds_total", None, s.load.cpu_ms / 1000);
    gauge!("process_resident_memory_bytes").set(float(s.resident_bytes));
    gauge!("rustchat_clock_seconds").set(seconds(s.now_ms));
    gauge!("process_start_time_seconds").set(seconds(s.now_ms.saturating_sub(s.uptime_ms)));
}

fn of_peers(s: &Status) {
    static KNOWN: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.extend(s.peers.iter().map(|peer| peer.seat));
    // A series stays for ever: who is no peer any more is told to be down.
    for seat in known.iter().filter(|seat| s.peers.iter().all(|peer| peer.seat != **seat)) {
        gauge!("rustchat_raft_peer_up", "peer" => seat.to_string()).set(0.0);
    }
    for peer in &s.peers {
        let seat = peer.seat.to_string();
        gauge!("rustchat_raft_peer_up", "peer" => seat.clone()).set(flag(peer.live));
        if let Some(index) = peer.matched {
            gauge!("rustchat_raft_peer_match_index", "peer" => seat.clone()).set(float(index));
        }
        if let Some(ms) = peer.heard_ms {
            gauge!("rustchat_raft_peer_last_contact_seconds", "peer" => seat.clone())
                .set(seconds(ms));
        }
        if let Some(us) = peer.round_trip_us {
            gauge!("rustchat_raft_peer_rtt_seconds", "peer" => seat)
                .set(Duration::from_micros(us).as_secs_f64());
        }
    }
}

/// The links to other clusters that are trusted. The leader alone pulls: on other servers a link is
/// not up.
fn of_links(s: &Status) {
    static KNOWN: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let all = links::of_node(s);
    let trusted = || all.iter().filter(|link| link.is_open());
    known.extend(trusted().map(|link| link.name().to_owned()));
    // A series stays for ever: of one that is not trusted any more there is nothing to say.
    for name in known.iter().filter(|name| trusted().all(|link| link.name() != name.as_str())) {
        gauge!("rustchat_link_up", "cluster" => name.clone()).set(f64::NAN);
        gauge!("rustchat_link_stopped", "cluster" => name.clone()).set(f64::NAN);
        gauge!("rustchat_link_queue_depth", "cluster" => name.clone()).set(f64::NAN);
    }
    for link in trusted() {
        let name = || link.name().to_owned();
        let (up, stopped) = (link.state == State::Up, link.state == State::Stopped);
        gauge!("rustchat_link_up", "cluster" => name()).set(flag(up));
        gauge!("rustchat_link_stopped", "cluster" => name()).set(flag(stopped));
        if let Some(queued) = link.queued {
            gauge!("rustchat_link_queue_depth", "cluster" => name()).set(float(queued));
        }
        counter!("rustchat_link_turned_down_total", "cluster" => name())
            .absolute(link.view.turned_down);
    }
}

fn of_elections(node: &NodeStatus) {
    for (cause, number) in &node.elections.started {
        rise("rustchat_raft_elections_started_total", Some(("cause", cause.code())), *number);
    }
    for (reason, number) in &node.elections.refused {
        rise("rustchat_raft_prevotes_rejected_total", Some(("reason", reason.code())), *number);
    }
}

fn describe() {
    let gauges = [
        ("rustchat_build_info", "Version and executable of this server"),
        ("rustchat_raft_role", "1 for the role that this server has"),
        (
            "rustchat_certificate_expiry_timestamp_seconds",
            "Until when this server can prove who it is, in seconds of UNIX time",
        ),
        ("rustchat_ready", "Whether clients should be sent to this server"),
        ("rustchat_draining", "Whether it was drained"),
        ("rustchat_raft_has_leader", "Whether this server knows a leader"),
        ("rustchat_raft_is_leader", "Whether this server leads"),
        ("rustchat_raft_term", "Its term"),
        ("rustchat_raft_quorum_voters", "Voters that it hears, that are needed, and in all"),
        ("rustchat_raft_last_log_index", "Index of its last log entry"),
        ("rustchat_raft_commit_index", "Its commit index"),
        ("rustchat_raft_applied_index", "Index of the last entry that it applied"),
        ("rustchat_raft_snapshot_index", "Log index of its last snapshot"),
        ("rustchat_raft_log_bytes", "Bytes of its log since the last snapshot"),
        ("rustchat_raft_peer_up", "Whether it has a live connection with that server"),
        ("rustchat_raft_peer_match_index", "On the leader: what that server is known to hold"),
        ("rustchat_raft_peer_last_contact_seconds", "Since that server was heard"),
        ("rustchat_raft_peer_rtt_seconds", "The last round trip to that server"),
        ("rustchat_link_up", "On the leader: whether that cluster's messages are pulled"),
        ("rustchat_link_stopped", "Whether nothing is taken until an operator says so"),
        ("rustchat_link_queue_depth", "What that cluster has not taken, as it told this server"),
        ("rustchat_storage_up", "Whether its store answers"),
        ("rustchat_storage_fsync_pending_seconds", "How long a sync under way has taken"),
        ("rustchat_storage_disk_free_bytes", "Free where its data is"),
        ("rustchat_storage_disk_total_bytes", "In all where its data is"),
        ("rustchat_sessions", "Clients that are logged in here"),
        ("rustchat_clock_seconds", "Its clock when it was asked, in UNIX time"),
        ("process_resident_memory_bytes", "Resident memory"),
        ("process_start_time_seconds", "When the process started, in UNIX time"),
    ];
    for (name, text) in gauges {
        metrics::describe_gauge!(name, text);
    }
    let counters = [
        ("rustchat_raft_leader_changes_seen_total", "Times that it saw a new leader"),
        ("rustchat_raft_elections_started_total", "Elections that it started, by cause"),
        ("rustchat_raft_elections_won_total", "Elections that it won"),
        ("rustchat_raft_prevotes_rejected_total", "Pre-votes that were refused to it, by reason"),
        ("rustchat_raft_leaderless_seconds_total", "Time without a leader"),
        ("rustchat_link_turned_down_total", "Its messages and marks that broke a rule"),
        ("rustchat_storage_fsyncs_total", "Times that it synced its log"),
        ("rustchat_messages_accepted_total", "Messages of its clients that were committed"),
        ("rustchat_messages_delivered_total", "Messages pushed to its clients"),
        ("process_cpu_seconds_total", "Processor time"),
    ];
    for (name, text) in counters {
        metrics::describe_counter!(name, text);
    }
    let times = [
        ("rustchat_storage_fsync_duration_seconds", "Until log entries are durable here"),
        ("rustchat_raft_commit_duration_seconds", "Until entries of this leader are applied"),
        ("rustchat_raft_apply_duration_seconds", "To apply a batch of committed entries"),
    ];
    for (name, text) in times {
        metrics::describe_histogram!(name, text);
    }
}
