//! Lanes over sockets: order, precedence, bounds.

use super::*;
use crate::limits::{PEER_CONTROL_HANDLERS, PEER_LANE_BYTES};
use futures::stream::{FuturesUnordered, StreamExt as _};

const PART: usize = 256 * 1024;

fn numbered(n: usize, length: usize) -> Bytes {
    let mut payload = vec![n as u8; length.max(4)];
    payload[..4].copy_from_slice(&(n as u32).to_be_bytes());
    payload.into()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_receiver_of_bulk_delays_nothing_urgent() {
    let gate = Gate::new(|kind| kind == MessageKind::SnapshotRows);
    let (one, _two, _proxy) = pair(gate.clone());
    until_peers(&one, 1, DEADLINE).await;
    // Twice what the lane takes, so that it is full on both sides.
    let parts = 2 * PEER_LANE_BYTES / PART;
    let rows = |n| one.call(2, MessageKind::SnapshotRows, numbered(n, PART), 3 * DEADLINE);
    let mut bulk: FuturesUnordered<_> = (0..parts).map(rows).collect();
    let urgent = async {
        for _ in 0..100 {
            for kind in [MessageKind::Heartbeat, MessageKind::Append, MessageKind::Forward] {
                one.call(2, kind, numbered(1, 1000), DEADLINE).await.expect("an answer");
            }
        }
    };
    tokio::select! {
        () = within(DEADLINE, "the urgent calls", urgent) => {}
        answer = bulk.next() => panic!("the gate is closed: {answer:?}"),
    }
    assert_eq!(gate.started(MessageKind::SnapshotRows), 1, "one at a time");
    gate.open.send_replace(true);
    let mut answered = 0;
    while let Some(answer) = within(3 * DEADLINE, "the bulk", bulk.next()).await {
        assert_eq!(answer.map(|rows| rows.len()), Ok(PART));
        answered += 1;
    }
    assert_eq!(answered, parts);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_urgent_overtakes_bulk_that_is_under_way() {
    let gate = Gate::new(|_| false);
    let (one, _two, proxy) = pair(gate.clone());
    until_peers(&one, 1, DEADLINE).await;
    proxy.set(Path::Slow);
    let parts = 16;
    let rows = |n| one.call(2, MessageKind::SnapshotRows, numbered(n, PART), 3 * DEADLINE);
    let mut bulk: FuturesUnordered<_> = (0..parts).map(rows).collect();
    let first = within(DEADLINE, "the first part", bulk.next()).await.unwrap();
    assert_eq!(first.map(|rows| rows.len()), Ok(PART));
    // One after the other: each must overtake what is left.
    let urgent = async {
        for n in 0..5 {
            one.call(2, MessageKind::Heartbeat, numbered(n, 10), DEADLINE).await.expect("answer");
        }
    };
    let mut done = 1;
    tokio::pin!(urgent);
    loop {
        tokio::select! {
            () = &mut urgent => break,
            Some(rows) = bulk.next() => {
                rows.expect("an answer");
                done += 1;
            }
        }
    }
    assert!(done < parts, "five heartbeats took as long as {parts} parts of bulk");
    while let Some(rows) = within(3 * DEADLINE, "the rest", bulk.next()).await {
        rows.expect("an answer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_the_log_are_handled_in_order_and_one_at_a_time() {
    let gate = Gate::new(|_| false);
    let (one, _two, _proxy) = pair(gate.clone());
    until_peers(&one, 1, DEADLINE).await;
    for n in 0..1000 {
        let payload = numbered(n, if n % 50 == 0 { 100_000 } else { n });
        while one.send(2, MessageKind::Append, payload.clone()) == Err(CallError::Full) {
            tokio::task::yield_now().await;
        }
    }
    let mut finished = gate.finished.subscribe();
    within(DEADLINE, "all are handled", finished.wait_for(|n| *n == 1000)).await.unwrap();
    for (n, (from, kind, payload)) in gate.started.borrow().iter().enumerate() {
        assert_eq!((*from, *kind), (1, MessageKind::Append));
        assert_eq!(payload[..4], (n as u32).to_be_bytes());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn queues_are_bounded_and_a_full_one_says_so() {
    let gate = Gate::new(|kind| kind == MessageKind::Append);
    let (one, _two, _proxy) = pair(gate.clone());
    until_peers(&one, 1, DEADLINE).await;
    let send = || one.send(2, MessageKind::Append, numbered(0, PART));
    let stuck = || async {
        let patience = Duration::from_millis(300);
        one.call(2, MessageKind::Append, numbered(0, PART), patience).await
    };
    let mut sent = 0;
    // Full for `send` may only mean that the socket is slower than we are; a call that finds
    // no room either means that the lane is full on both sides.
    while sent < 1000 {
        match send() {
            Ok(()) => sent += 1,
            Err(CallError::Full) if stuck().await == Err(CallError::Timeout) => {
                if send() == Err(CallError::Full) {
                    break;
                }
                sent += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    let bound = 2 * PEER_LANE_BYTES / PART + 2;
    assert!(sent <= bound, "{sent} messages are under way, where {bound} fit");
    let long = Bytes::from(vec![0; PEER_LANE_BYTES]);
    assert_eq!(one.send(2, MessageKind::Append, long), Err(CallError::TooLong));
    let answer = one.call(2, MessageKind::Vote, Bytes::new(), DEADLINE).await;
    assert_eq!(answer, Ok(Bytes::new()), "other lanes are free");
    gate.open.send_replace(true);
    let mut finished = gate.finished.subscribe();
    within(DEADLINE, "it drains", finished.wait_for(|n| *n > sent)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_slow_reads_do_not_hold_up_a_vote() {
    let gate = Gate::new(|kind| kind == MessageKind::ReadIndex);
    let (one, _two, _proxy) = pair(gate.clone());
    until_peers(&one, 1, DEADLINE).await;
    let reads = 2 * PEER_CONTROL_HANDLERS;
    let read = |_| one.call(2, MessageKind::ReadIndex, Bytes::new(), DEADLINE);
    let mut open: FuturesUnordered<_> = (0..reads).map(read).collect();
    tokio::select! {
        vote = one.call(2, MessageKind::Vote, Bytes::new(), DEADLINE) => assert!(vote.is_ok()),
        read = open.next() => panic!("the gate is closed: {read:?}"),
    }
    assert!(gate.started(MessageKind::ReadIndex) <= PEER_CONTROL_HANDLERS);
    gate.open.send_replace(true);
    while let Some(read) = within(DEADLINE, "the reads", open.next()).await {
        assert!(read.is_ok());
    }
}
