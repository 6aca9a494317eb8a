//! The answers as one JSON document: sorted keys, ids as text, times in seconds,
//! `null` for what is not known. Adding keys is no break; `schema` rises with one.

use super::Asked;
use super::judge::Judgement;
use crate::chat::ids::ClusterId;
use crate::client::Status;
use serde_json::{Value, json};
use std::time::Duration;

/// Rises when a reader of the document would break.
const SCHEMA: u32 = 1;
/// How a node says that its store is not well.
const UNAVAILABLE: &str = "storage_unavailable";

/// The whole document.
pub fn document(nodes: &[Asked], judgement: &Judgement) -> Value {
    let statuses = || nodes.iter().filter_map(Asked::status);
    let named =
        statuses().find(|s| s.cluster != ClusterId::default()).or_else(|| statuses().next());
    let rows: Vec<_> = (0..nodes.len()).map(|place| node(nodes, place, judgement)).collect();
    let leader = judgement.leader.and_then(|place| nodes.get(place));
    json!({
        "at": jiff::Timestamp::now().to_string(),
        "cluster": {
            "generation": named.map(|s| s.generation),
            "id": named.filter(|s| s.cluster != ClusterId::default()).map(|s| s.cluster.to_string()),
            "name": named.map(|s| s.cluster_name.clone()),
        },
        "elections": null,
        "from": null,
        "last_leader": null,
        "leader": leader.and_then(|node| Some(json!({
            "addr": node.addr,
            "id": seat(node.seat?),
            "term": node.status()?.term,
        }))),
        "links": null,
        "nodes": rows,
        "quorum": {
            "can_lose": judgement.needed().map(|needed| judgement.live.saturating_sub(needed)),
            "live": judgement.live,
            "needed": judgement.needed(),
            "voters": judgement.voters,
        },
        "reasons": judgement.reasons,
        "schema": SCHEMA,
        "verdict": judgement.verdict.word(),
    })
}

/// One node. Every key is there, whether the node answered or not.
fn node(nodes: &[Asked], place: usize, judgement: &Judgement) -> Value {
    let Some(asked) = nodes.get(place) else { return Value::Null };
    let s = asked.status();
    let rtt = asked.answer.as_ref().ok().map(|(_, rtt)| rtt.as_secs_f64());
    json!({
        "addr": asked.addr,
        "applied": s.map(|s| s.applied),
        "build": null,
        "clock_skew_seconds": null,
        "commit": s.map(|s| s.commit),
        "draining": null,
        "error": asked.answer.as_ref().err(),
        "fsync_p99_seconds": null,
        "fsyncs": s.map(|s| s.fsyncs),
        "hash": s.filter(|s| !s.hash.is_empty()).map(|s| hex(&s.hash)),
        "heartbeat_age_seconds": s.and_then(|s| seconds(s.heartbeat_age_ms)),
        "id": asked.seat.map(seat),
        "lag_entries": judgement.lag(nodes, place),
        "last_log": s.map(|s| json!({ "index": s.last_index, "term": s.last_term })),
        "leader": s.and_then(|s| s.leader).map(seat),
        "peers": s.map(|s| s.links.iter().copied().map(seat).collect::<Vec<_>>()),
        "quorum_ack_age_seconds": s.and_then(|s| seconds(s.quorum_ack_age_ms)),
        "raft_id": s.map(|s| s.raft_id.to_string()),
        "reachable": s.is_some(),
        "ready": s.and_then(|s| s.ready),
        "reasons": judgement.of_node.get(&place),
        "replication_per_second": null,
        "resident_bytes": s.map(|s| s.resident_bytes).filter(|bytes| *bytes > 0),
        "role": s.map(|s| s.role.clone()),
        "rtt_seconds": rtt,
        "seen_seconds": s.map(|_| 0.0),
        "sessions": s.map(|s| s.sessions),
        "snapshot": s.map(|s| json!({ "at": null, "index": s.snapshot_index })),
        "storage": s.map(storage),
        "term": s.map(|s| s.term),
        "version": s.map(|s| s.version.clone()),
        "vote": s.and_then(|s| s.vote).map(seat),
        "voter": s.map(|s| s.role != "learner"),
        "why": s.map(|s| &s.why).filter(|why| !why.is_empty()),
    })
}

fn storage(status: &Status) -> Value {
    json!({
        "applied": status.applied,
        "disk_free_ratio": null,
        "kind": status.store,
        "ok": status.ready.map(|_| !status.reasons.iter().any(|code| code == UNAVAILABLE)),
    })
}

fn seat(seat: u32) -> String {
    seat.to_string()
}

fn seconds(ms: Option<u64>) -> Option<f64> {
    ms.map(|ms| Duration::from_millis(ms).as_secs_f64())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
