//! What a server answers over HTTP, with a leader and without.

use super::get;
use crate::harness::{Cluster, wait_until, watch};
use serde_json::Value;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(10);

#[test]
fn probes_tell_life_from_readiness_and_name_what_is_missing() {
    let mut cluster = Cluster::start(3);
    let leader = cluster.leader().seat;
    let seats = cluster.seats();
    for seat in &seats {
        let ready = || get(cluster.admin(*seat), "/readyz").ok().filter(|(code, _)| *code == 200);
        let (_, body) = wait_until(SOON, "every server is ready", ready);
        for check in ["raft_loop ok", "leader n", "voter it is", "storage ok", "draining no"] {
            assert!(body.contains(&format!("[+]{check}")), "{body}");
        }
    }
    let gone: Vec<u32> = seats.iter().copied().filter(|seat| *seat != leader).collect();
    gone.iter().for_each(|seat| cluster.kill(*seat));
    let not_ready = || get(cluster.admin(leader), "/readyz").ok().filter(|(code, _)| *code == 503);
    let (_, body) = wait_until(SOON, "one of three is not ready", not_ready);
    assert!(body.contains("[-]leader none for "), "{body}");
    // Nothing restarts it for that: it lives.
    watch(Duration::from_secs(2), "it is alive", || {
        let answer = get(cluster.admin(leader), "/livez").map_err(|why| why.to_string())?;
        let alive = answer == (200, "[+]raft_loop ok\n".to_owned());
        if alive { Ok(()) } else { Err(format!("{answer:?}")) }
    });
    assert!(cluster.node(leader).runs());
    let (code, _) = get(cluster.admin(leader), "/readyz?local").unwrap();
    assert_eq!(code, 200, "for itself it is well");
    let address = cluster.address(leader).to_string();
    let said = cluster.fails(2, &["health", "--node", &address]);
    assert!(said.contains("[-]leader none for ") && said.contains("[+]storage ok"), "{said}");
}

#[test]
fn every_server_tells_the_cluster_its_events_and_its_numbers() {
    let cluster = Cluster::start(3);
    let leader = cluster.leader();
    let alice = cluster.person("alice");
    alice.register();
    alice.send("alice", &["one", "two"]);
    let seat = super::follower(&cluster);
    let json = |path: &str| -> Value {
        let (code, body) = get(cluster.admin(seat), path).unwrap();
        assert_eq!(code, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    };
    let status = json("/v1/status");
    assert_eq!(status["from"], seat.to_string());
    assert!(status["leader"].is_object(), "{status}");
    assert_eq!(status["nodes"].as_array().unwrap().len(), 3);
    assert_eq!(status["leader"]["id"], leader.seat.to_string());
    let (code, body) = get(cluster.admin(leader.seat), "/v1/events").unwrap();
    let events: Value = serde_json::from_str(&body).unwrap();
    let kinds: Vec<_> =
        events["events"].as_array().unwrap().iter().filter_map(|e| e["kind"].as_str()).collect();
    assert_eq!(code, 200);
    for kind in ["started", "timeout", "prevote_asked", "prevote", "vote_asked", "vote", "elected"]
    {
        assert!(kinds.contains(&kind), "{kind} in {kinds:?}");
    }
    let last = events["events"].as_array().unwrap().last().unwrap()["id"].as_str().unwrap();
    let (_, body) = get(cluster.admin(leader.seat), &format!("/v1/events?after={last}")).unwrap();
    assert!(body.contains("\"events\":[]"), "nothing is told twice: {body}");
    numbers(&cluster, leader.seat);
}

/// The metrics are what was done, in the form that Prometheus reads.
fn numbers(cluster: &Cluster, leader: u32) {
    let (code, text) = get(cluster.admin(leader), "/metrics").unwrap();
    assert_eq!(code, 200);
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let line = line.unwrap_or_else(|| panic!("{name} in\n{text}"));
        line.parse::<f64>().unwrap()
    };
    assert_eq!(value("rustchat_raft_is_leader"), 1.0);
    assert_eq!(value("rustchat_raft_role{role=\"leader\"}"), 1.0);
    assert_eq!(value("rustchat_raft_role{role=\"follower\"}"), 0.0);
    assert_eq!(value("rustchat_raft_quorum_voters{state=\"needed\"}"), 2.0);
    assert_eq!(value("rustchat_raft_elections_won_total"), 1.0);
    assert!(value("rustchat_storage_fsync_duration_seconds_count") >= 1.0);
    assert!(value("rustchat_raft_commit_duration_seconds_count") >= 1.0);
    assert!(value("rustchat_raft_apply_duration_seconds_count") >= 1.0);
    assert!(value("rustchat_storage_disk_free_bytes") > 0.0);
    let sum: f64 = cluster
        .seats()
        .into_iter()
        .map(|seat| {
            let (_, text) = get(cluster.admin(seat), "/metrics").unwrap();
            let name = "rustchat_messages_accepted_total ";
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
            line.parse::<f64>().unwrap()
        })
        .sum();
    assert_eq!(sum, 2.0, "alice has sent two messages");
    // For promtool, which the gate runs on it.
    std::fs::write(concat!(env!("CARGO_TARGET_TMPDIR"), "/metrics.txt"), &text).unwrap();
    // Those about links are told once there are any.
    alerts_know(&text, |name| !name.starts_with("rustchat_link_"));
    for line in text.lines().filter(|line| line.starts_with("# TYPE rustchat")) {
        let name = line.split(' ').nth(2).unwrap();
        let help = text.lines().any(|l| l.starts_with(&format!("# HELP {name} ")));
        assert!(help, "{name} has no words");
    }
}

/// Alerts on a number that no server tells would never be raised.
pub fn alerts_know(metrics: &str, about: impl Fn(&str) -> bool) {
    let rules = include_str!("../../../assets/prometheus/rustchat.rules.yml");
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let names = rules.split(|c| !letter(c)).filter(|word| word.starts_with("rustchat_"));
    let names: std::collections::BTreeSet<&str> = names.collect();
    let names: Vec<_> = names.into_iter().filter(|name| about(name)).collect();
    assert!(names.len() > 2, "{names:?}");
    for name in names {
        let told = metrics.lines().any(|line| line.starts_with(name));
        assert!(told, "an alert names {name}, which is not in\n{metrics}");
    }
}
