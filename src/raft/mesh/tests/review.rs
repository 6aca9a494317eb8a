//! What is learned after two servers have agreed to talk.

use super::strangers::{reluctant, until_refused};
use super::*;
use crate::chat::ids::ClusterId;

#[tokio::test(flavor = "multi_thread")]
async fn a_live_connection_is_judged_again_on_either_side() {
    for refuser in [1, 2] {
        let seats = seats(2);
        let gate = Gate::new(|_| false);
        let (accept, refuse, _asks) = reluctant();
        refuse.send_replace(false);
        let other = 3 - refuser;
        let (here, there) =
            (start_with(refuser, &seats, gate.clone(), accept), start(other, &seats, gate.clone()));
        until_usable(&here, other, DEADLINE).await;
        until_usable(&there, refuser, DEADLINE).await;

        refuse.send_replace(true);
        here.judge_again();
        until_refused(&here, other, true, "its log was damaged").await;
        until_refused(&there, refuser, false, "its log was damaged").await;
        assert!(here.peers().borrow().is_empty() && there.peers().borrow().is_empty());
        let message = here.send(other, MessageKind::Append, Bytes::new());
        assert_eq!(message, Err(CallError::NotConnected));

        refuse.send_replace(false);
        until_usable(&here, other, DEADLINE).await;
        until_usable(&there, refuser, DEADLINE).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_learned_late_ends_the_connection_with_another_one() {
    let seats = seats(3);
    let gate = Gate::new(|_| false);
    let anyone = || -> Accept { Arc::new(|_, _| Ok(())) };
    let (own, learns) = watch::channel(None);
    let of = |seat: u32, cluster: watch::Receiver<Option<u8>>| -> MakeHello {
        Arc::new(move |to| PeerHello {
            cluster: cluster.borrow().map(|n| ClusterId([n; 16])),
            ..hello(seat, to)
        })
    };
    let (_same, same) = watch::channel(Some(1));
    let (_other, other) = watch::channel(Some(2));
    let one = start_saying(1, &seats, gate.clone(), anyone(), of(1, same));
    let two = start_saying(2, &seats, gate.clone(), anyone(), of(2, learns));
    until_usable(&two, 1, DEADLINE).await;
    let three = start_saying(3, &seats, gate, anyone(), of(3, other));
    until_usable(&two, 3, DEADLINE).await;
    let made = two.established();

    own.send_replace(Some(1));
    two.judge_again();
    let id = |n| ClusterId([n; 16]);
    let reason = format!("it belongs to the cluster {}, this server to {}", id(2), id(1));
    until_refused(&two, 3, true, &reason).await;
    // Whichever of them hears it first, the other one finds it by itself or is told.
    let mut known = three.refusals();
    let known = known.wait_for(|all| all.contains_key(&2));
    within(DEADLINE, "the third knows it too", known).await.unwrap();
    assert_eq!(two.peers().borrow().keys().copied().collect::<Vec<_>>(), [1]);
    until_usable(&two, 1, DEADLINE).await;
    assert_eq!(two.established(), made, "the connection with the own cluster stands");
    drop(one);
}

/// What is learned between the judgement and the connection is not lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_is_judged_again_once_it_stands() {
    let seats = seats(2);
    let gate = Gate::new(|_| false);
    let (asked, _) = watch::channel(0);
    let accept: Accept = Arc::new(move |_, _| {
        asked.send_modify(|n| *n += 1);
        if *asked.borrow() == 1 { Ok(()) } else { Err("it was learned just now".into()) }
    });
    let two = start_with(2, &seats, gate.clone(), accept);
    let one = start(1, &seats, gate);
    until_refused(&two, 1, true, "it was learned just now").await;
    until_refused(&one, 2, false, "it was learned just now").await;
    assert_eq!(two.established(), 1);
}
