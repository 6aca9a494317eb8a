//! Disks that take their time to sync: what waits meanwhile shares the next sync, so a stream is
//! carried by few of them.

use crate::harness::{Cluster, texts};
use crate::operators::get;
use crate::support::slow_fsync;
use serde_json::Value;
use std::process::Stdio;
use std::time::Duration;

/// What is added to each sync; the metrics tell those apart that took less than 4 ms.
const ADDED: Duration = Duration::from_millis(5);
const MESSAGES: u64 = 4000;
/// A sync carries more messages than this on the average. A thousand is usual; what keeps the bound
/// far below is a machine that is so busy that few of them are there when a sync begins.
const PER_SYNC: u64 = 10;

#[test]
fn a_stream_over_slow_disks_arrives_once_and_shares_its_syncs() {
    let library = slow_fsync::library();
    let cluster = Cluster::setup()
        .variable("LD_PRELOAD", library.to_str().unwrap())
        .variable(slow_fsync::DELAY, &ADDED.as_micros().to_string())
        .start(3);
    let leader = cluster.healthy().seat;

    let mut bench = cluster.program();
    bench.args(["bench", "stream", "--json", "--messages", &MESSAGES.to_string(), "--server"]);
    bench.arg(cluster.address(leader).to_string()).stdin(Stdio::null());
    let output = bench.output().unwrap();
    let (out, err) = texts(&output);
    // It fails itself where a message arrives twice or out of order.
    assert!(output.status.success(), "{out}{err}");
    let report: Value = serde_json::from_str(&out).unwrap();
    let carried = (report["messages"].as_u64(), report["deliveries"].as_u64());
    assert_eq!(carried, (Some(MESSAGES), Some(MESSAGES)), "{report}");

    for seat in cluster.seats() {
        let (fast, all) =
            (syncs_within(&cluster, seat, "0.004"), syncs_within(&cluster, seat, "+Inf"));
        assert!(fast == 0 && all > 0, "{fast} of {all} syncs of server {seat} were not slowed");
    }
    let syncs: Vec<_> = report["fsyncs"].as_array().unwrap().iter().map(Value::as_u64).collect();
    assert_eq!(syncs.len(), 3, "{report}");
    let shared = syncs.iter().all(|n| n.is_some_and(|n| 0 < n && n * PER_SYNC < MESSAGES));
    assert!(shared, "{syncs:?} syncs for {MESSAGES} messages");
    cluster.same_state();
}

/// How many of a server's appends were on its disk within so many seconds.
fn syncs_within(cluster: &Cluster, seat: u32, seconds: &str) -> u64 {
    let (_, metrics) = get(cluster.admin(seat), "/metrics").unwrap();
    let name = format!("rustchat_storage_fsync_duration_seconds_bucket{{le=\"{seconds}\"}} ");
    let value = metrics.lines().find_map(|line| line.strip_prefix(&name));
    value.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name}in {metrics}"))
}
