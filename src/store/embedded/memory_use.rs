//! Memory must not grow with the number of messages. Measured in a process of its
//! own, so that other tests do not count.

use crate::limits::{APPLY_ENTRIES, SNAPSHOT_LOG_BYTES};
use crate::store::Store;
use crate::store::record::LogId;
use crate::store::samples::{Sample, take};
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

const DIR: &str = "RUSTCHAT_TEST_MEMORY_DIR";
const BATCH: &str = "RUSTCHAT_TEST_MEMORY_BATCH";
const MESSAGES: usize = 300_000;
/// Growth is counted from here on.
const FIRST: usize = 100_000;
/// Bytes that it may grow by.
const GROWTH: u64 = 20 << 20;

fn resident() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 4096
}

/// The process that is measured. Does nothing unless it is started for that.
#[tokio::test]
async fn process_that_is_measured() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let batch: usize = std::env::var(BATCH).unwrap().parse().unwrap();
    let store = super::open(Path::new(&dir), 1, None).unwrap();
    let text = "x".repeat(100);
    let texts = vec![text.as_str(); batch];
    let mut sample = Sample::new();
    let mut sent = 0;
    take(&store, sample.found()).await.unwrap();
    let (mut at_first, mut highest, mut purges, mut purged_at) = (0, 0, 0, 0);
    while sent < MESSAGES {
        // Small entries are applied together, as many as a node does while more are there.
        let (mut writes, mut rows) = (Vec::new(), Vec::new());
        let mut mark = None;
        for _ in 0..APPLY_ENTRIES.min((300 / batch).max(1)) {
            let step = sample.send(&texts);
            store.append(vec![step.entry], Box::new(|done| done.unwrap())).await.unwrap();
            writes.extend(step.writes);
            rows.extend(step.rows);
            mark = Some(step.mark);
            sent += batch;
        }
        let mark = mark.unwrap();
        let id = mark.applied.unwrap();
        store.commit(mark, writes, rows).await.unwrap();
        if store.log_bytes() >= SNAPSHOT_LOG_BYTES {
            // As a node does: half of it stays, for followers that were away for a short time.
            let half = (id.index - purged_at) / 2;
            store.persist().await.unwrap();
            store.purge(LogId { index: id.index - half, ..id }).await.unwrap();
            (purged_at, purges) = (id.index, purges + 1);
        }
        if sent < FIRST {
            at_first = resident();
        }
        highest = resident().max(highest);
    }
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n@ {at_first} {highest} {purges} {}", store.syncs()).unwrap();
    drop(out);
    store.close().await.unwrap();
}

fn measure(batch: usize) -> (u64, u64) {
    let temp = tempfile::tempdir().unwrap();
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::embedded::memory_use::process_that_is_measured", "--nocapture"])
        .env(DIR, temp.path())
        .env(BATCH, batch.to_string())
        // What was freed counts as little as it can: how much of it a C library keeps varies from
        // run to run by as much as is measured here.
        .env("MALLOC_ARENA_MAX", "1")
        .env("MALLOC_TRIM_THRESHOLD_", "131072")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix("@ "));
    let line = line.unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    let numbers: Vec<u64> = line.split(' ').map(|number| number.parse().unwrap()).collect();
    writeln!(
        std::io::stderr(),
        "batches of {batch}: {} KiB after {FIRST} messages, at most {} KiB, {} purges, {} syncs",
        numbers[0] >> 10,
        numbers[1] >> 10,
        numbers[2],
        numbers[3]
    )
    .unwrap();
    (numbers[0], numbers[1])
}

#[test]
fn memory_does_not_grow_with_messages() {
    for batch in [300, 20, 1] {
        let (first, highest) = measure(batch);
        assert!(highest - first <= GROWTH, "batches of {batch}: from {first} to {highest} bytes");
    }
}
