//! Clients that send anything, in any order.

use super::door::{hello, register, server};
use super::world::{Server, block_on};
use crate::chat::command::Command;
use crate::chat::scripts::seeds;
use crate::limits;
use crate::server::placement::Place;
use crate::server::queries;
use crate::server::session::{Answer, NewPassword, Output, Proven, Query, Session, Trouble};
use crate::wire::message::{ClientMsg, ClusterState, Cursor};
use crate::wire::random;
use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;
use std::time::{Duration, Instant};

fn answer(rng: &mut StdRng, server: &Server, query: Query) -> Answer {
    let trouble = [Trouble::Busy(5), Trouble::NoQuorum, Trouble::Failed][rng.random_range(0..3)];
    let fine = rng.random_bool(0.9);
    let result = |fine| if fine { Ok(()) } else { Err(trouble) };
    match query {
        Query::Place { .. } => Answer::Place(Place::Here, None),
        Query::Hash(_) => Answer::Hashed(result(fine).map(|()| ("hash".to_owned(), [3; 32]))),
        Query::Verify { name, .. } => Answer::Verified(result(fine).map(|()| {
            let user = server.state.read(|r| r.state.user_named(&name).map(|u| u.id));
            user.map(|user| Proven { user, passwords: 0, token: [4; 32] })
        })),
        Query::NewPassword { wanted, .. } => Answer::NewPassword {
            request: wanted.request,
            keep_devices: wanted.keep_devices,
            result: result(fine).map(|()| NewPassword::There),
        },
        Query::Barrier => Answer::Barrier(result(fine)),
        Query::Applied(_) => Answer::Applied(fine),
        Query::Page(wanted) => {
            let page = block_on(queries::page(&*server.store, wanted));
            Answer::Page(wanted.conversation, page.map_err(|_| trouble))
        }
        Query::Outcomes { device, from, to } => {
            let found = queries::outcomes(&*server.store, &server.state, device, from, to);
            Answer::Outcomes(block_on(found).map_err(|_| trouble))
        }
        Query::Where
        | Query::Status(_)
        | Query::History(_)
        | Query::Lookup { .. }
        | Query::Certify { .. } => Answer::Request(Bytes::new()),
    }
}

/// What a client that means well would say next, or anything.
fn message(rng: &mut StdRng, k: usize) -> ClientMsg {
    let token = Bytes::from(vec![2; 32]);
    match k {
        0 if rng.random_bool(0.9) => ClientMsg::Hello(hello(2)),
        1 if rng.random_bool(0.8) => {
            ClientMsg::Token { name: "bob".to_owned(), token, signature: Bytes::new() }
        }
        2 if rng.random_bool(0.8) => {
            let cursor = Cursor::default();
            let have = random::list(rng, 0, |rng| (random::conversation(rng), random::number(rng)));
            ClientMsg::Resume { cursor, have }
        }
        _ => random::client_msg(rng),
    }
}

#[test]
fn nothing_a_client_says_ends_the_server_or_fills_it() {
    let server = server(vec![register("carol", 3)]);
    let mut live = 0;
    seeds(3_000, |rng| {
        let mut now = Instant::now();
        let cluster = ClusterState { leader: Some(1), term: 1, live: 1, voters: 1 };
        let mut session = Session::new(server.setup(1), cluster, rng.random(), now);
        for k in 0..30 {
            now += Duration::from_millis(rng.random_range(0..400));
            session.on_frame(message(rng, k), now);
            session.on_tick(now);
            while session.go_on(now) {}
            for _ in 0..100 {
                let outputs = session.outputs();
                if outputs.is_empty() {
                    break;
                }
                for output in outputs {
                    match output {
                        Output::Ask(query) => {
                            session.on_answer(answer(rng, &server, query), now);
                        }
                        Output::Submit(command @ Command::Attach(_)) => {
                            server.state.write(|r| r.state.apply(1, &[command]));
                            session.on_behind(now);
                        }
                        _ => {}
                    }
                }
            }
            assert!(session.held_bytes() <= limits::WINDOW_BYTES as usize);
            live += usize::from(session.is_idle());
        }
    });
    assert!(live > 0 || std::env::var_os("RUSTCHAT_SEED").is_some(), "none got in");
}
