//! Whom the mesh does not talk to.

use super::*;
use crate::limits::{FRAME_BEFORE_LOGIN, FRAME_PEER, PEER_STRANGERS};
use crate::wire::conn::{Reader, Writer, frames};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Counts how often it was asked, and refuses while told to.
pub fn reluctant() -> (Accept, watch::Sender<bool>, watch::Receiver<u32>) {
    let (refuse, refuses) = watch::channel(true);
    let (asked, asks) = watch::channel(0);
    let accept: Accept = Arc::new(move |_, _| {
        asked.send_modify(|n| *n += 1);
        if *refuses.borrow() { Err("its log was damaged".into()) } else { Ok(()) }
    });
    (accept, refuse, asks)
}

pub async fn until_refused(node: &Mesh, seat: u32, by_us: bool, reason: &str) {
    let mut refusals = node.refusals();
    let expected = PeerRefusal { by_us, reason: reason.into() };
    let what = format!("node {} knows that {seat}: {reason}", node.shared.seat);
    let known = refusals.wait_for(|all| all.get(&seat) == Some(&expected));
    within(DEADLINE, &what, known).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn either_side_can_refuse_and_both_know_why() {
    for refuser in [1, 2] {
        let seats = seats(2);
        let gate = Gate::new(|_| false);
        let (accept, refuse, mut asks) = reluctant();
        let other = 3 - refuser;
        let (here, there) =
            (start_with(refuser, &seats, gate.clone(), accept), start(other, &seats, gate.clone()));
        until_refused(&here, other, true, "its log was damaged").await;
        until_refused(&there, refuser, false, "its log was damaged").await;
        // Told once, not with every try; and neither side ever believes in a connection.
        let (mut told, mut peers) = (there.refusals(), there.peers());
        told.mark_unchanged();
        peers.mark_unchanged();
        let more = *asks.borrow() + 3;
        within(DEADLINE, "it is tried again", asks.wait_for(|n| *n >= more)).await.unwrap();
        assert!(!told.has_changed().unwrap() && !peers.has_changed().unwrap());
        assert!(peers.borrow().is_empty() && here.peers().borrow().is_empty());

        refuse.send_replace(false);
        until_usable(&here, other, DEADLINE).await;
        until_usable(&there, refuser, DEADLINE).await;
        assert!(here.refusals().borrow().is_empty() && there.refusals().borrow().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_seat_is_not_talked_to() {
    let seats = seats(3);
    let gate = Gate::new(|_| false);
    let mut wrong = seats.clone();
    wrong[1].host.clone_from(&seats[2].host);
    let (one, three) = (start(1, &wrong, gate.clone()), start(3, &seats, gate.clone()));
    until_refused(&one, 2, false, "it looks for node 2, this is node 3").await;
    until_usable(&one, 3, DEADLINE).await;
    assert_eq!(one.peers().borrow().keys().copied().collect::<Vec<_>>(), [3]);
    assert_eq!(three.peers().borrow().keys().copied().collect::<Vec<_>>(), [1]);
    let message = one.send(2, MessageKind::Append, Bytes::new());
    assert_eq!(message, Err(CallError::NotConnected));
}

type Raw = (Reader, Writer);

/// Says `hello` to a mesh like a dialler, and returns its answer.
async fn knock(at: SocketAddr, hello: &PeerHello) -> (Raw, PeerHello) {
    let (mut read, mut write) = frames(TcpStream::connect(at).await.unwrap(), FRAME_PEER).unwrap();
    write.push(&hello.encode());
    write.flush_all().await.unwrap();
    let answer = read.next().await.unwrap().expect("an answer");
    ((read, write), PeerHello::decode(&answer).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_belong_here_hears_why() {
    let seats = seats(2);
    let two = start(2, &seats, Gate::new(|_| false));
    let good = hello(1, 2);
    for (bad, reason) in [
        (PeerHello { seat: 7, ..good.clone() }, "the lower seat dials"),
        (
            PeerHello { seat: 2, ..good.clone() },
            "there is no other node 2 in nodes.conf or the membership",
        ),
        (
            PeerHello { seat: 0, ..good.clone() },
            "there is no other node 0 in nodes.conf or the membership",
        ),
        (
            PeerHello { cluster_name: "east".into(), ..good.clone() },
            "it belongs to cluster \"east\", this is a server of \"west\"",
        ),
        (
            PeerHello { min: 2, max: 3, ..good.clone() },
            "it speaks versions 2 to 3 of the protocol, this server 1 to 1",
        ),
    ] {
        let ((mut read, _write), answer) = knock(address(&seats, 2), &bad).await;
        assert_eq!(answer.refusal.as_deref(), Some(reason));
        let end = within(DEADLINE, "it is closed", read.next()).await;
        assert!(matches!(end, Ok(None)), "{end:?}");
    }
    assert!(two.peers().borrow().is_empty());
}

#[test]
fn clusters_are_compared_where_both_are_known() {
    use crate::chat::ids::ClusterId;
    let with = |cluster: Option<u8>, seat, to| PeerHello {
        cluster: cluster.map(|n| ClusterId([n; 16])),
        ..hello(seat, to)
    };
    for (ours, theirs, fits) in [
        (None, None, true),
        (None, Some(1), true),
        (Some(1), None, true),
        (Some(1), Some(1), true),
        (Some(1), Some(2), false),
    ] {
        let result = super::super::hello::check(&with(ours, 1, 2), &with(theirs, 2, 1));
        assert_eq!(result.is_ok(), fits, "{ours:?} {theirs:?} {result:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_connection_replaces_an_older_one() {
    let seats = seats(2);
    let two = start(2, &seats, Gate::new(|_| false));
    let good = hello(1, 2);
    let ((mut old, mut write), _) = knock(address(&seats, 2), &good).await;
    assert!(two.peers().borrow().is_empty(), "not before the dialler has confirmed");
    write.push(&good.encode());
    write.flush_all().await.unwrap();
    until_peers(&two, 1, DEADLINE).await;
    let number = two.shared.connection(1).unwrap().number;

    let ((_new, mut write), _) = knock(address(&seats, 2), &good).await;
    write.push(&good.encode());
    write.flush_all().await.unwrap();
    let closed = async { while let Ok(Some(_)) = old.next().await {} };
    within(PEER_SILENCE, "the older one is closed", closed).await;
    let connection = two.shared.connection(1).unwrap();
    assert!(connection.number > number);
    // One that was accepted earlier and agreed on later is not newer.
    let late = Arc::new(Connection::new(1, good, number, &two.shared.shutdown));
    assert!(!two.shared.admit(&late));
    assert!(Arc::ptr_eq(&two.shared.connection(1).unwrap(), &connection));
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_does_no_harm() {
    let seats = seats(2);
    let gate = Gate::new(|_| false);
    let (one, two) = (start(1, &seats, gate.clone()), start(2, &seats, gate));
    until_usable(&one, 2, DEADLINE).await;
    let made = two.established();
    for seed in 0..100 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut stream = TcpStream::connect(address(&seats, 2)).await.unwrap();
        let mut bytes = vec![0; rng.random_range(1..3000)];
        rng.fill(&mut bytes[..]);
        match seed % 4 {
            0 => {}
            1 => bytes[..1].fill(0),
            2 => bytes = (FRAME_BEFORE_LOGIN as u32 + 1).to_be_bytes().to_vec(),
            _ => bytes.splice(..0, (bytes.len() as u32).to_be_bytes()).for_each(drop),
        }
        // It may be closed before all is written.
        drop(stream.write_all(&bytes).await);
        drop(stream.shutdown().await);
        let mut answer = Vec::new();
        let end = within(DEADLINE, "it is closed", stream.read_to_end(&mut answer)).await;
        assert!(end.is_err() || answer.is_empty() || answer.len() > 4, "seed {seed}");
        let call = one.call(2, MessageKind::Vote, Bytes::new(), DEADLINE).await;
        assert_eq!(call, Ok(Bytes::new()), "seed {seed}");
    }
    assert_eq!(two.established(), made, "the connection is the same");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_after_the_hello_ends_that_connection_only() {
    let seats = seats(3);
    let gate = Gate::new(|_| false);
    let (two, three) = (start(2, &seats, gate.clone()), start(3, &seats, gate));
    until_usable(&two, 3, DEADLINE).await;
    let good = hello(1, 3);
    for payload in [vec![0xff; 9], vec![8, 9], vec![16, 99], vec![0; FRAME_PEER + 1]] {
        let ((mut read, mut write), _) = knock(address(&seats, 3), &good).await;
        write.push(&good.encode());
        write.push(&payload);
        // It may be closed before all is written.
        drop(write.flush_all().await);
        let closed = async { while let Ok(Some(_)) = read.next().await {} };
        within(PEER_SILENCE, "it is closed", closed).await;
        until_peers(&three, 1, DEADLINE).await;
        until_usable(&two, 3, DEADLINE).await;
    }
    assert_eq!(two.established(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_who_say_nothing_do_not_keep_the_door_shut() {
    let seats = seats(2);
    let gate = Gate::new(|_| false);
    let two = start(2, &seats, gate.clone());
    let mut silent = Vec::new();
    for _ in 0..PEER_STRANGERS + 8 {
        let mut stream = TcpStream::connect(address(&seats, 2)).await.unwrap();
        stream.write_all(&[0, 0, 15, 0]).await.unwrap();
        silent.push(stream);
    }
    let one = start(1, &seats, gate);
    until_usable(&one, 2, DEADLINE).await;
    until_peers(&two, 1, DEADLINE).await;
    drop(silent);
}
