//! `rustchat bench`: every job on servers of its own, with few messages. What it reports adds up,
//! its verdict is its exit code, and nothing is left behind. How fast anything is does not matter
//! here.

use crate::harness::{program, texts};
use serde_json::Value;
use std::process::Stdio;
use tempfile::TempDir;

/// Runs a job to its end: its exit code, its output and its complaints.
fn bench(words: &[&str]) -> (Option<i32>, String, String) {
    let home = TempDir::with_prefix("rustchat-it-").unwrap();
    let mut command = program(home.path());
    command.arg("bench").args(words).env("TMPDIR", home.path()).stdin(Stdio::null());
    let output = command.output().unwrap();
    let (out, err) = texts(&output);
    let names = std::fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let names: Vec<_> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    let left = names.iter().any(|name| name.starts_with("rustchat-demo-"));
    assert!(!left, "{words:?}: servers are left behind in {names:?}");
    (output.status.code(), out, err)
}

/// The same with its report.
fn report(words: &[&str]) -> (Option<i32>, Value) {
    let (code, out, err) = bench(&[words, &["--json"][..]].concat());
    let report = serde_json::from_str(&out);
    (code, report.unwrap_or_else(|why| panic!("{words:?}: {why}\n{out}{err}")))
}

fn number(report: &Value, field: &str) -> f64 {
    report[field].as_f64().unwrap_or_else(|| panic!("no {field} in {report}"))
}

/// So many were sent and received, and the figures fit to each other.
fn adds_up(report: &Value, messages: u64, deliveries: u64) {
    assert_eq!(report["system"], "rustchat");
    assert_eq!(report["messages"], messages, "{report}");
    assert_eq!(report["deliveries"], deliveries, "{report}");
    for (count, time, rate) in
        [("messages", "sent_s", "messages_per_s"), ("deliveries", "received_s", "deliveries_per_s")]
    {
        let again = number(report, rate) * number(report, time);
        assert!((again - number(report, count)).abs() < 0.01, "{rate} in {report}");
    }
    for [p50, p99, max] in
        [["p50_ms", "p99_ms", "max_ms"], ["ack_p50_ms", "ack_p99_ms", "ack_max_ms"]]
    {
        let [p50, p99, max] = [p50, p99, max].map(|field| number(report, field));
        assert!(0.0 < p50 && p50 <= p99 && p99 <= max, "{report}");
    }
    let syncs = report["fsyncs"].as_array().unwrap();
    assert_eq!((syncs.len(), &report["servers"]), (3, &Value::from(3)), "{report}");
    assert!(syncs.iter().filter_map(Value::as_u64).sum::<u64>() > 0, "{report}");
    assert_eq!(report["store"], "embedded");
    assert_eq!(report["size"], 100);
    assert_eq!(report["verdict"], Value::Null, "nothing was asked for");
}

#[test]
fn one_sender_and_one_receiver() {
    let (code, stream) = report(&["stream", "--messages", "200"]);
    assert_eq!((code, &stream["job"], &stream["tls"]), (Some(0), &"stream".into(), &true.into()));
    assert_eq!(stream["window"], 4096);
    adds_up(&stream, 200, 200);
    let (code, latency) = report(&["latency", "--messages", "30", "--insecure-plain"]);
    assert_eq!((code, &latency["job"]), (Some(0), &"latency".into()));
    assert_eq!((&latency["window"], &latency["tls"]), (&1.into(), &false.into()));
    adds_up(&latency, 30, 30);
}

#[test]
fn messages_at_a_rate_take_the_time_that_was_planned() {
    let words = ["rate", "--messages", "200", "--rate", "400", "--insecure-plain"];
    let (code, rate) = report(&words);
    assert_eq!((code, &rate["job"], &rate["rate"]), (Some(0), &"rate".into(), &400.into()));
    adds_up(&rate, 200, 200);
    // The last one is due after 199/400 s, and not acknowledged before.
    assert!(number(&rate, "sent_s") > 0.497, "{rate}");
}

#[test]
fn many_pairs_share_the_messages_and_every_device_gets_all() {
    let words = ["pairs", "--pairs", "5", "--messages", "203", "--insecure-plain"];
    let (code, pairs) = report(&words);
    assert_eq!((code, &pairs["job"], &pairs["pairs"]), (Some(0), &"pairs".into(), &5.into()));
    adds_up(&pairs, 203, 203);
    let words = ["fanout", "--devices", "4", "--messages", "50", "--insecure-plain"];
    let (code, fanout) = report(&words);
    assert_eq!((code, &fanout["job"], &fanout["devices"]), (Some(0), &"fanout".into(), &4.into()));
    adds_up(&fanout, 50, 200);
}

#[test]
fn the_verdict_is_the_exit_code() {
    let stream = ["stream", "--messages", "50", "--servers", "1", "--insecure-plain"];
    let with = |more: &[&'static str]| [&stream[..], more].concat();
    let (code, met) = report(&with(&["--min-rate", "0.001", "--max-p99", "600000"]));
    assert_eq!(code, Some(0), "{met}");
    assert_eq!(met["verdict"], serde_json::json!({"passed": true, "why": []}));
    let (code, missed) = report(&with(&["--min-rate", "1e12", "--max-p99", "0.000001"]));
    assert_eq!(code, Some(1), "{missed}");
    assert_eq!(missed["verdict"]["passed"], false);
    assert_eq!(missed["verdict"]["why"].as_array().unwrap().len(), 2, "{missed}");
    assert_eq!(missed["deliveries"], 50, "the measurement itself is whole");
    let (code, out, err) = bench(&with(&["--min-rate", "1e12"]));
    assert_eq!(code, Some(1), "{err}");
    assert!(out.contains("stream: 50 messages") && out.contains("not passed: "), "{out}");
    let (code, out, err) = bench(&with(&["--max-p99", "0"]));
    assert_eq!((code, out.as_str()), (Some(64), ""));
    assert!(err.contains("is no number above 0"), "{err}");
    let (code, _, err) = bench(&["rate", "--pairs", "3"]);
    assert_eq!(code, Some(64), "an option of another job");
    assert!(err.contains("--pairs"), "{err}");
}

/// Of each kill: how many were on that server, and that all of them came back.
fn came_back(kill: &Value, clients: f64) {
    assert!(number(kill, "clients") > 0.0 && number(kill, "clients") <= clients, "{kill}");
    let [half, most, all] =
        ["resumed_p50_s", "resumed_p99_s", "resumed_s"].map(|f| number(kill, f));
    assert!(0.0 < half && half <= most && most <= all, "{kill}");
    for acks in [&kill["quiet"], &kill["meanwhile"]] {
        assert!(number(acks, "messages") > 0.0, "{kill}");
        let [p50, p99, max] =
            ["ack_p50_ms", "ack_p99_ms", "ack_max_ms"].map(|field| number(acks, field));
        assert!(0.0 < p50 && p50 <= p99 && p99 <= max, "{kill}");
    }
}

#[test]
fn idle_clients_come_back_when_their_server_is_killed() {
    let words = ["connections", "--clients", "30", "--idle", "1"];
    let bounds = ["--max-client-bytes", "1000000000", "--max-resume", "0.000001"];
    let (code, crowd) = report(&[&words[..], &bounds].concat());
    assert_eq!((code, &crowd["job"]), (Some(1), &"connections".into()), "{crowd}");
    assert_eq!((&crowd["clients"], &crowd["tls"]), (&30.into(), &true.into()), "{crowd}");
    let why = crowd["verdict"]["why"].as_array().unwrap();
    assert_eq!(why.len(), 2, "the follower's clients and the leader's: {crowd}");
    let resident = |field: &str| {
        let all = crowd[field].as_array().unwrap().iter().filter_map(Value::as_u64);
        all.collect::<Vec<_>>()
    };
    let [before, connected, idle] =
        ["resident_before", "resident_connected", "resident_idle"].map(resident);
    assert!([&before, &connected, &idle].iter().all(|each| each.len() == 3), "{crowd}");
    let more = idle.iter().sum::<u64>().saturating_sub(before.iter().sum());
    assert_eq!(crowd["bytes_per_client"], more / 30, "{crowd}");
    came_back(&crowd["follower"], 30.0);
    came_back(&crowd["leader"], 30.0);
    assert_ne!(crowd["follower"]["seat"], crowd["leader"]["seat"], "{crowd}");
    let words = ["connections", "--clients", "3", "--servers", "2"];
    let (code, out, err) = bench(&words);
    assert_eq!((code, out.as_str()), (Some(64), ""), "two servers are none when one is killed");
    assert!(err.contains("--servers"), "{err}");
}

#[test]
fn between_clusters_too() {
    let words = ["links", "--clusters", "2", "--servers", "1", "--messages", "40"];
    let (code, links) = report(&[&words[..], &["--min-rate", "1e12"]].concat());
    assert_eq!((code, &links["job"]), (Some(1), &"links".into()), "{links}");
    assert_eq!((&links["messages"], &links["deliveries"]), (&40.into(), &40.into()), "{links}");
    assert_eq!(links["verdict"]["passed"], false, "{links}");
}

/// So many times, each above zero, and what is said of them fits to them.
fn times(times: &Value, rounds: usize) {
    let each: Vec<_> = times["each_ms"].as_array().unwrap().iter().map(|ms| ms.as_f64()).collect();
    let each: Vec<f64> = each.into_iter().flatten().filter(|ms| *ms > 0.0).collect();
    assert_eq!((each.len(), &times["rounds"]), (rounds, &rounds.into()), "{times}");
    let [median, p90, longest] =
        ["median_ms", "p90_ms", "longest_ms"].map(|field| number(times, field));
    assert!(median <= p90 && p90 <= longest && each.contains(&longest), "{times}");
}

#[test]
fn no_message_is_lost_when_leaders_are_killed_and_hand_over() {
    let words = ["failover", "--rounds", "1", "--planned", "1", "--rate", "200"];
    let (code, failover) = report(&[&words[..], &["--max-median", "600"]].concat());
    assert_eq!((code, &failover["job"]), (Some(0), &"failover".into()), "{failover}");
    assert_eq!(failover["messages"], failover["deliveries"], "{failover}");
    assert!(number(&failover, "messages") > 0.0, "{failover}");
    assert_eq!((&failover["missing"], &failover["repeated"]), (&0.into(), &0.into()));
    for kind in ["kills", "back", "planned"] {
        times(&failover[kind], 1);
    }
    assert_eq!(failover["verdict"], serde_json::json!({"passed": true, "why": []}));
    let words = ["failover", "--rounds", "0", "--planned", "1", "--rate", "100"];
    let (code, missed) = report(&[&words[..], &["--max-pause", "0.000001"]].concat());
    assert_eq!((code, &missed["kills"]), (Some(1), &Value::Null), "{missed}");
    assert_eq!(missed["verdict"]["passed"], false, "{missed}");
}

#[test]
fn a_history_is_stored_and_read_again() {
    let words = ["history", "--stored", "3000", "--users", "6", "--messages", "200"];
    let more = ["--pages", "20", "--insecure-plain", "--min-ratio", "1e9"];
    let (code, history) = report(&[&words[..], &more].concat());
    assert_eq!((code, &history["job"]), (Some(1), &"history".into()), "a bound was missed");
    assert_eq!(history["verdict"]["why"].as_array().unwrap().len(), 1, "{history}");
    let counts = ["stored", "long", "conversations", "pages", "servers"];
    // Three who write, to all three who read, and the two with the long conversation.
    assert_eq!(counts.map(|field| number(&history, field)), [3000.0, 300.0, 10.0, 20.0, 3.0]);
    let [p50, p99, max] =
        ["page_p50_ms", "page_p99_ms", "page_max_ms"].map(|f| number(&history, f));
    assert!(0.0 < p50 && p50 <= p99 && p99 <= max, "{history}");
    let again = number(&history, "ratio") * number(&history, "empty_per_s");
    assert!((again - number(&history, "full_per_s")).abs() < 0.01, "{history}");
    assert!(number(&history, "restart_s") > 0.0, "{history}");
    for memory in ["idle", "loaded", "restarted"] {
        let each = history["resident_bytes"][memory].as_array().unwrap();
        assert_eq!(
            each.iter().filter_map(Value::as_u64).filter(|b| *b > 0).count(),
            3,
            "{history}"
        );
    }
    let disk = history["disk_bytes"].as_array().unwrap();
    assert!(disk.len() == 3 && disk.iter().all(|b| b.as_u64() > Some(3000 * 100)), "{history}");
}
