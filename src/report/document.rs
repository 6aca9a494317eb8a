//! The answers as one JSON document: sorted keys, ids as text, times in seconds,
//! `null` for what is not known. Adding keys is no break; `schema` rises with one.

use super::Row;
use super::judge::Judgement;
use super::links::LinkState;
use super::reason::Reason;
use crate::chat::ids::ClusterId;
use crate::wire::statement::{Elections, Event, Load, MemberView, PeerView, Status};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// Rises when a reader of the document would break.
const SCHEMA: u32 = 1;

/// The whole document. `now_ms` is the asker's clock in milliseconds of UNIX time; `from` is the
/// seat of the node that made it, `None` for a program that asked all of them.
#[must_use]
pub fn document(rows: &[Row], judgement: &Judgement, now_ms: u64, from: Option<u32>) -> Value {
    let statuses = || rows.iter().filter_map(Row::fresh);
    let named =
        statuses().find(|s| s.cluster != ClusterId::default()).or_else(|| statuses().next());
    let nodes: Vec<_> = (0..rows.len()).map(|place| node(rows, place, judgement)).collect();
    let leader = judgement.leader.and_then(|place| rows.get(place));
    // Who has led longest knows most.
    let history = statuses().max_by_key(|s| (s.elections.changes, s.uptime_ms));
    json!({
        "at": time(now_ms),
        "cluster": {
            "generation": named.map(|s| s.generation),
            "id": named.filter(|s| s.cluster != ClusterId::default()).map(|s| s.cluster.to_string()),
            "name": named.map(|s| s.cluster_name.clone()),
        },
        "elections": history.map(|s| elections(&s.elections, judgement)),
        "from": from.map(seat),
        "last_leader": history.and_then(|s| s.elections.last_leader.as_ref()).map(|last| json!({
            "cause": last.cause,
            "id": seat(last.seat),
            "lost_at": time(last.lost_at_ms),
            "term": last.term,
        })),
        "leader": leader.and_then(|row| Some(json!({
            "addr": row.addr,
            "id": seat(row.seat?),
            "term": row.fresh()?.term,
        }))),
        "links": links(rows),
        "nodes": nodes,
        "quorum": {
            "can_lose": judgement.can_lose(),
            "live": judgement.live,
            "needed": judgement.needed(),
            "voters": judgement.voters,
        },
        "reasons": codes(&judgement.reasons),
        "schema": SCHEMA,
        "verdict": judgement.verdict.word(),
    })
}

/// The other clusters, each as one object.
#[must_use]
pub fn links(rows: &[Row]) -> Vec<Value> {
    super::links::links(rows).iter().map(link).collect()
}

fn link(link: &LinkState) -> Value {
    let view = &link.view;
    json!({
        "addr": view.address,
        "announced": view.announced,
        "broken": view.broken,
        "cluster": link.name(),
        "exported": view.exported,
        "fingerprint": view.key,
        "heard_seconds": link.heard.as_secs_f64(),
        "id": view.cluster.to_string(),
        "imported": view.imported,
        "oldest_seconds": link.oldest.map(|oldest| oldest.as_secs_f64()),
        "queued": link.queued,
        "rtt_seconds": micros(view.round_trip_us),
        "state": link.state.word(),
        "theirs": view.theirs,
        "turned_down": view.turned_down,
        "why": Some(&view.why).filter(|why| !why.is_empty()),
    })
}

/// An event as one object.
#[must_use]
pub fn event(event: &Event) -> Value {
    json!({
        "at": time(event.at_ms),
        "cause": Some(&event.cause).filter(|cause| !cause.is_empty()),
        "granted": event.granted,
        "id": event.id.to_string(),
        "kind": event.kind,
        "node": seat(event.seat),
        "peer": event.peer.map(seat),
        "term": Some(event.term).filter(|term| *term > 0),
        "text": event.text,
        "took_seconds": event.took_ms.map(|ms| Duration::from_millis(ms).as_secs_f64()),
    })
}

fn elections(e: &Elections, judgement: &Judgement) -> Value {
    json!({
        "flapping": judgement.reasons.contains(&Reason::Flapping),
        "last_15m": e.changes_15m,
        "leaderless_seconds": seconds(e.leaderless_ms),
        "leaderless_total_seconds": seconds(Some(e.leaderless_total_ms)),
        "total": e.changes,
    })
}

/// One node. Every key is there, whether the node answered or not.
fn node(rows: &[Row], place: usize, judgement: &Judgement) -> Value {
    let Some(row) = rows.get(place) else { return Value::Null };
    let mut node = process(row, judgement.of_node.get(&place));
    if let (Value::Object(node), Value::Object(raft)) =
        (&mut node, raft(row.fresh(), judgement.lag(rows, place)))
    {
        node.extend(raft);
    }
    node
}

/// The process, its machine and how it answered.
fn process(row: &Row, reasons: Option<&BTreeSet<Reason>>) -> Value {
    let s = row.fresh();
    let load = s.map(|s| &s.load);
    json!({
        "addr": row.addr,
        "build": s.map(|s| &s.build).filter(|build| !build.is_empty()),
        "certificate_until_ms": s.and_then(|s| s.certificate_until_ms),
        "clock_skew_seconds": row.skew_ms.filter(|_| s.is_some()).map(signed_seconds),
        "cpu_seconds": load.and_then(|l| seconds(Some(l.cpu_ms))),
        "draining": s.map(|s| s.draining),
        "error": row.error.as_ref().map(|(_, text)| text),
        "error_code": row.error.as_ref().map(|(cause, _)| cause.code()),
        "fsync_p99_seconds": load.and_then(|l| micros(l.fsync_p99_us)),
        "fsyncs": s.map(|s| s.fsyncs),
        "hash": s.filter(|s| !s.hash.is_empty()).map(|s| hex(&s.hash)),
        "id": row.seat.map(seat),
        "messages_accepted": load.map(|l| l.accepted),
        "messages_delivered": load.map(|l| l.delivered),
        "reachable": s.is_some(),
        "ready": s.and_then(|s| s.ready),
        "reasons": reasons.map(codes),
        "resident_bytes": s.map(|s| s.resident_bytes).filter(|bytes| *bytes > 0),
        "rtt_seconds": row.round_trip.map(|rtt| rtt.as_secs_f64()),
        "seen_seconds": row.status.as_ref().map(|_| row.seen.as_secs_f64()),
        "sessions": s.map(|s| s.sessions),
        "storage": s.map(storage),
        "uptime_seconds": s.and_then(|s| seconds(Some(s.uptime_ms))),
        "version": s.map(|s| s.version.clone()),
        "why": s.map(|s| &s.why).filter(|why| !why.is_empty()),
    })
}

/// Its part in the consensus.
fn raft(s: Option<&Status>, lag: Option<u64>) -> Value {
    json!({
        "applied": s.map(|s| s.applied),
        "commit": s.map(|s| s.commit),
        "commit_p99_seconds": s.and_then(|s| micros(s.load.commit_p99_us)),
        "elections_started": s.map(|s| s.elections.started),
        "elections_won": s.map(|s| s.elections.won),
        "heartbeat_age_seconds": s.and_then(|s| seconds(s.heartbeat_age_ms)),
        "lag_entries": lag,
        "last_log": s.map(|s| json!({ "index": s.last_index, "term": s.last_term })),
        "leader": s.and_then(|s| s.leader).map(seat),
        "log_bytes": s.map(|s| s.load.log_bytes),
        "members": s.map(|s| s.members.iter().map(member).collect::<Vec<_>>()),
        "peers": s.map(|s| s.links.iter().copied().map(seat).collect::<Vec<_>>()),
        "quorum_ack_age_seconds": s.and_then(|s| seconds(s.quorum_ack_age_ms)),
        "raft_id": s.map(|s| s.raft_id.to_string()),
        "reachability": s.map(|s| s.peers.iter().map(peer).collect::<Vec<_>>()),
        "replication_per_second": null,
        "role": s.map(|s| s.role.clone()),
        "snapshot": s.map(|s| json!({
            "at": s.load.snapshot_at_ms.map(time),
            "index": s.snapshot_index,
        })),
        "term": s.map(|s| s.term),
        "vote": s.and_then(|s| s.vote).map(seat),
        "voter": s.map(|s| s.role != "learner"),
    })
}

fn peer(peer: &PeerView) -> Value {
    json!({
        "heard_seconds": seconds(peer.heard_ms),
        "id": seat(peer.seat),
        "live": peer.live,
        "match": peer.matched,
        "refusal": Some(&peer.refusal).filter(|text| !text.is_empty()),
        "rtt_seconds": micros(peer.round_trip_us),
    })
}

fn member(member: &MemberView) -> Value {
    json!({
        "addr": member.server.for_clients(),
        "held": member.held,
        "id": seat(member.server.seat),
        "raft_id": member.raft_id.to_string(),
        "voter": member.voter,
    })
}

fn storage(status: &Status) -> Value {
    json!({
        "applied": status.applied,
        "disk_free_ratio": free_ratio(&status.load),
        "kind": status.store,
        "ok": status.ready.map(|_| {
            let gone = Reason::StorageUnavailable.code();
            !status.reasons.iter().any(|code| code == gone)
        }),
    })
}

/// How much of the data disk is free, 0 to 1.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
pub fn free_ratio(load: &Load) -> Option<f64> {
    (load.disk_total > 0).then(|| load.disk_free as f64 / load.disk_total as f64)
}

fn codes(reasons: &BTreeSet<Reason>) -> Vec<&'static str> {
    let mut codes: Vec<_> = reasons.iter().map(|reason| reason.code()).collect();
    codes.sort_unstable();
    codes
}

fn seat(seat: u32) -> String {
    seat.to_string()
}

/// A time, in milliseconds of UNIX time, as RFC 3339 in UTC.
#[must_use]
pub fn time(ms: u64) -> Option<String> {
    let ms = i64::try_from(ms).ok()?;
    jiff::Timestamp::from_millisecond(ms).ok().map(|at| at.to_string())
}

fn seconds(ms: Option<u64>) -> Option<f64> {
    ms.map(|ms| Duration::from_millis(ms).as_secs_f64())
}

#[expect(clippy::cast_precision_loss, reason = "it is far from 2^52")]
fn signed_seconds(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

fn micros(us: Option<u64>) -> Option<f64> {
    us.map(|us| Duration::from_micros(us).as_secs_f64())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
