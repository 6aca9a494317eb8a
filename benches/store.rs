//! Benchmark of the embedded store: appends to its log, rows of applied entries, and pages of
//! history. `cargo bench --bench store`

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark that fails may panic, and has no users"
)]

#[expect(dead_code, reason = "each benchmark uses a part of it")]
mod town;

use bytes::Bytes;
use criterion::{Bencher, Criterion, SamplingMode, Throughput};
use rustchat::chat::ids::ConversationId;
use rustchat::limits;
use rustchat::store::Store;
use rustchat::store::record::LogEntry;
use rustchat::wire::client::{self, Page};
use rustchat::wire::stored;
use std::hint::black_box;
use std::time::{Duration, Instant};
use town::{MESSAGES, SIZE, Step, Town, append, opened, runtime};

/// Messages of a page that somebody scrolls back.
const PAGE: u64 = 50;
/// Entries behind the history that is read.
const HISTORY: usize = 400;
/// People who write at once.
const SENDERS: usize = 8;

/// Entries of 512 messages, each on disk before the next one, or only the last of them waited
/// for: then those that arrive during a sync share the next one, as under load.
fn appends(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut group = criterion.benchmark_group("store/append");
    group.throughput(Throughput::Bytes((MESSAGES * SIZE) as u64));
    group.sampling_mode(SamplingMode::Flat).sample_size(20);
    group.measurement_time(Duration::from_secs(3));
    for (name, each) in [("each_synced", true), ("synced_behind", false)] {
        let (_dir, store) = opened();
        let (mut town, founding) = Town::founded(SENDERS);
        runtime.block_on(append(store.as_ref(), vec![founding.entry()]));
        let mut appended = |times: u64| {
            let entries: Vec<_> = (0..times).map(|_| town.talk().entry()).collect();
            let last = entries.last().map(|entry| entry.id);
            let begin = Instant::now();
            runtime.block_on(write(store.as_ref(), entries, each));
            let took = begin.elapsed();
            assert_eq!(store.bounds().last, last);
            took
        };
        group.bench_function(name, |bencher: &mut Bencher<'_>| {
            bencher.iter_custom(&mut appended);
        });
        runtime.block_on(store.close()).unwrap();
    }
    group.finish();
}

/// Appends entries one by one, and waits for each of them or for the last one.
async fn write(store: &dyn Store, entries: Vec<LogEntry>, each: bool) {
    let mut entries = entries.into_iter().peekable();
    while let Some(entry) = entries.next() {
        if each || entries.peek().is_none() {
            append(store, vec![entry]).await;
        } else {
            store.append(vec![entry], Box::new(|result| result.unwrap())).await.unwrap();
        }
    }
}

/// The rows of applied entries, each entry in one transaction.
fn commits(criterion: &mut Criterion) {
    let runtime = runtime();
    let (_dir, store) = opened();
    let (mut town, founding) = Town::founded(SENDERS);
    runtime.block_on(commit(store.as_ref(), vec![founding]));
    let mut group = criterion.benchmark_group("store/commit");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    group.sampling_mode(SamplingMode::Flat).sample_size(20);
    group.measurement_time(Duration::from_secs(3));
    group.bench_function(format!("rows_of_{MESSAGES}"), |bencher| {
        bencher.iter_custom(|times| {
            let steps = (0..times).map(|_| town.talk()).collect();
            runtime.block_on(commit(store.as_ref(), steps))
        });
    });
    group.finish();
    runtime.block_on(store.close()).unwrap();
}

/// Commits steps, whose entries are in the log before; how long it took.
async fn commit(store: &dyn Store, steps: Vec<Step>) -> Duration {
    append(store, steps.iter().map(Step::entry).collect()).await;
    let begin = Instant::now();
    for step in steps {
        store.commit(step.mark, step.applied.writes, step.rows).await.unwrap();
    }
    begin.elapsed()
}

/// A page of history, from the disk to the frame that a client gets.
fn pages(criterion: &mut Criterion) {
    let runtime = runtime();
    let (_dir, store) = opened();
    let (mut town, founding) = Town::founded(SENDERS);
    let steps: Vec<_> = std::iter::once(founding)
        .chain(std::iter::repeat_with(|| town.talk()).take(HISTORY))
        .collect();
    let value = steps.last().and_then(|step| step.history().next()).unwrap().clone();
    let newest = newest(value);
    runtime.block_on(async {
        commit(store.as_ref(), steps).await;
        store.persist().await.unwrap();
    });
    let (conversation, last) = newest;
    let mut from = 1;
    let mut group = criterion.benchmark_group("store/history");
    group.throughput(Throughput::Elements(PAGE));
    group.bench_function(format!("page_of_{PAGE}"), |bencher| {
        bencher.iter(|| {
            // Pages far from each other, over all of it.
            from = (from + 7919) % (last - PAGE) + 1;
            let page = Page { request: 1, conversation, from, to: from + PAGE - 1 };
            let read = store.history(conversation, page.from, page.to, limits::PAGE_BYTES);
            let values = runtime.block_on(read).unwrap();
            black_box(client::encode_history(page, &values).unwrap())
        });
    });
    group.finish();
    runtime.block_on(store.close()).unwrap();
}

/// The conversation of a value of history, and the seq of its last message.
fn newest(value: Bytes) -> (ConversationId, u64) {
    let (runs, _) = stored::decode_runs(value).unwrap();
    let run = runs.last().expect("a value has messages");
    (run.conversation, run.last_seq())
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    appends(&mut criterion);
    commits(&mut criterion);
    pages(&mut criterion);
    criterion.final_summary();
}
