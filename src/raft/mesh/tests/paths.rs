//! Paths that break and return.

use super::*;

const RETURN: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_black_hole_is_noticed_and_its_end_too() {
    let gate = Gate::new(|_| false);
    let (one, two, proxy) = pair(gate);
    until_usable(&one, 2, DEADLINE).await;
    until_peers(&two, 1, DEADLINE).await;
    for round in 0..3 {
        proxy.set(Path::Hole);
        // Sends that pile up in the kernel must not hide it.
        while one.send(2, MessageKind::Append, vec![0; 1 << 20].into()).is_ok() {}
        tokio::join!(
            until_peers(&one, 0, PEER_SILENCE + SLACK),
            until_peers(&two, 0, PEER_SILENCE + SLACK),
        );
        // Stay away long enough for dials to fail, the last of them at the connection itself.
        let mut peers = one.peers();
        peers.mark_unchanged();
        let back = tokio::time::timeout(RETURN + PEER_SILENCE / 4 * round, peers.changed()).await;
        assert!(back.is_err(), "connected through a hole");
        proxy.set(Path::Open);
        until_usable(&one, 2, RETURN).await;
        until_usable(&two, 1, RETURN).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_works_one_way_is_no_path() {
    let gate = Gate::new(|_| false);
    let (one, two, proxy) = pair(gate);
    until_usable(&one, 2, DEADLINE).await;
    until_peers(&two, 1, DEADLINE).await;
    proxy.set(Path::HalfHole);
    tokio::join!(
        until_peers(&one, 0, PEER_SILENCE + SLACK),
        until_peers(&two, 0, PEER_SILENCE + SLACK),
    );
    let (mut here, mut there) = (one.peers(), two.peers());
    here.mark_unchanged();
    there.mark_unchanged();
    let seen = tokio::time::timeout(2 * PEER_SILENCE, async {
        tokio::select! {
            _ = here.changed() => "the dialler",
            _ = there.changed() => "the listener",
        }
    });
    assert_eq!(seen.await.ok(), None, "believes in a connection");
    proxy.set(Path::Open);
    until_usable(&one, 2, RETURN).await;
    until_usable(&two, 1, RETURN).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_fails_what_waits_and_is_made_again() {
    let gate = Gate::new(|kind| kind == MessageKind::Append);
    let (one, two, proxy) = pair(gate.clone());
    until_usable(&one, 2, DEADLINE).await;
    let calls = |n: u32| {
        let mut started = gate.started.subscribe();
        let (one, proxy) = (&one, &proxy);
        async move {
            let call = one.call(2, MessageKind::Append, n.to_be_bytes().to_vec().into(), DEADLINE);
            let cut = async {
                // The first waits at the handler, later ones behind it.
                let begun = |all: &Vec<(u32, MessageKind, Bytes)>| {
                    all.iter().any(|(_, kind, _)| *kind == MessageKind::Append)
                };
                started.wait_for(begun).await.unwrap();
                proxy.cut();
            };
            let (answer, ()) = tokio::join!(call, cut);
            answer
        }
    };
    for n in 0..5 {
        until_usable(&one, 2, RETURN + SLACK).await;
        let answer = within(PEER_SILENCE, "the call fails", calls(n)).await;
        assert!(matches!(answer, Err(CallError::Lost | CallError::NotConnected)), "{answer:?}");
    }
    until_usable(&two, 1, RETURN + SLACK).await;
    // The first is still being handled: one at a time, over all connections. What comes
    // later in a less urgent lane shows that the second has arrived.
    one.send(2, MessageKind::Append, Bytes::new()).unwrap();
    for kind in [MessageKind::Forward; 20] {
        one.call(2, kind, Bytes::new(), DEADLINE).await.unwrap();
    }
    assert_eq!(gate.started(MessageKind::Append), 1);
    gate.open.send_replace(true);
    let answer = one.call(2, MessageKind::Append, Bytes::new(), DEADLINE).await;
    assert_eq!(answer, Ok(Bytes::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_leaks_when_connections_churn() {
    let gate = Gate::new(|_| false);
    let (one, two, proxy) = pair(gate);
    until_usable(&one, 2, DEADLINE).await;
    until_peers(&two, 1, DEADLINE).await;
    let (before, first) = (one.shared.tasks.len(), one.shared.connection(2));
    let first = Arc::downgrade(&first.unwrap());
    for _ in 0..20 {
        let made = one.established();
        proxy.cut();
        let mut peers = one.peers();
        let again = async {
            while one.established() == made {
                peers.changed().await.unwrap()
            }
        };
        within(DEADLINE, "it is made again", again).await;
        until_usable(&one, 2, DEADLINE).await;
    }
    let ended = async {
        while one.shared.tasks.len() > before || first.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    within(DEADLINE, "the tasks of old connections end", ended).await;
    assert_eq!(one.shared.tasks.len(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_has_a_deadline_and_the_round_trip_is_known() {
    let gate = Gate::new(|_| true);
    let (one, _two, _proxy) = pair(gate);
    until_peers(&one, 1, DEADLINE).await;
    let answer = one.call(2, MessageKind::Vote, Bytes::new(), Duration::from_millis(50)).await;
    assert_eq!(answer, Err(CallError::Timeout));
    let connection = one.shared.connection(2).unwrap();
    assert_eq!(connection.waiting(), 0, "nobody waits any more");
    let known = async {
        while one.health(2).and_then(|health| health.round_trip).is_none() {
            tokio::task::yield_now().await;
        }
    };
    within(DEADLINE, "the round trip", known).await;
    assert!(one.health(2).unwrap().heard.elapsed() < PEER_SILENCE);
    assert_eq!(one.health(3), None);
}
