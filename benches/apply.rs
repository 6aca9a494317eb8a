//! Benchmark of apply: an entry of 512 messages from several senders, by the chat domain alone,
//! and by the replica of a server with its embedded store. `cargo bench --bench apply`

#![expect(clippy::unwrap_used, reason = "a benchmark that fails may panic, and has no users")]

#[expect(dead_code, reason = "each benchmark uses a part of it")]
mod town;

use criterion::{BatchSize, BenchmarkId, Criterion, SamplingMode, Throughput};
use rustchat::raft::{Committed, Machine as _};
use rustchat::server::{Hub, Replica};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};
use town::{MESSAGES, Step, Town, append, opened, runtime};

/// How many people write at once.
const SENDERS: [usize; 3] = [1, 8, 64];

/// The pure part: commands in, writes and events out.
fn chat(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("apply/chat");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    for senders in SENDERS {
        let (mut town, _) = Town::founded(senders);
        let mut state = town.state().clone();
        let mut next = || {
            let step = town.talk();
            (step.at_ms, step.commands)
        };
        group.bench_function(BenchmarkId::from_parameter(senders), |bencher| {
            let apply = |(at_ms, commands): (u64, Vec<_>)| {
                let applied = state.apply(at_ms, &commands);
                assert!(applied.writes.len() > senders);
                (applied, commands)
            };
            bencher.iter_batched(&mut next, apply, BatchSize::NumIterations(1));
        });
    }
    group.finish();
}

fn committed(step: &Step) -> Committed {
    let items = step.items.clone();
    Committed { id: step.id, at_ms: step.at_ms, items, membership: None }
}

/// What a server does with an entry that is committed: decode, apply, encode the rows, write
/// them in one transaction, hand them to the sessions. The log has the entry on disk before.
fn replica(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut group = criterion.benchmark_group("apply/replica");
    group.throughput(Throughput::Elements(MESSAGES as u64));
    group.sampling_mode(SamplingMode::Flat).sample_size(20);
    group.measurement_time(Duration::from_secs(3));
    for senders in SENDERS {
        let (_dir, store) = opened();
        let (mut town, founding) = Town::founded(senders);
        let load = Replica::load(Arc::clone(&store), Hub::default(), "west".to_owned());
        let (mut replica, _) = runtime.block_on(load).unwrap();
        runtime.block_on(async {
            append(store.as_ref(), vec![founding.entry()]).await;
            replica.apply(vec![committed(&founding)]).await.unwrap();
        });
        group.bench_function(BenchmarkId::from_parameter(senders), |bencher| {
            bencher.iter_custom(|times| {
                let steps: Vec<_> = (0..times).map(|_| town.talk()).collect();
                runtime.block_on(async {
                    append(store.as_ref(), steps.iter().map(Step::entry).collect()).await;
                    let mut took = Duration::ZERO;
                    for step in &steps {
                        let entries = vec![committed(step)];
                        let begin = Instant::now();
                        black_box(replica.apply(entries).await).unwrap();
                        took += begin.elapsed();
                    }
                    let last = steps.last().map(|step| &step.mark);
                    assert_eq!(Some(&replica.mark()), last, "the same state as the town's own");
                    took
                })
            });
        });
        runtime.block_on(store.close()).unwrap();
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    chat(&mut criterion);
    replica(&mut criterion);
    criterion.final_summary();
}
