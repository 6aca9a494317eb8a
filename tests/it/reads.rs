//! Reads that must be current ask a majority; scroll-back does not.

use crate::harness::{Path, Raw, Stores, over_every_store};
use rustchat::chat::command::Target;
use rustchat::chat::event::Outcome;
use rustchat::chat::ids::DeviceId;
use rustchat::wire::message::{ClientMsg, Fetch, ServerMsg};

over_every_store! {
    a_server_that_is_cut_off_answers_no_current_read,
}

/// A server that is cut off from the others shows what it has, and says nothing as if it were
/// current.
fn a_server_that_is_cut_off_answers_no_current_read(stores: Stores) {
    let cluster = stores.setup().proxied().start(3);
    let leader = cluster.leader().seat;
    let alone = cluster.seats().into_iter().find(|seat| *seat != leader).unwrap();
    let mut alice = Raw::connect(cluster.address(alone), DeviceId([1; 16]));
    alice.register("alice", "a password of alice");
    alice.resume(vec![]);
    alice.say(Target::User(alice.user), 1, &["before the cut"]);
    let Outcome::Committed { conversation, .. } = alice.ack(1).outcomes[0].outcome else {
        panic!("it was refused");
    };
    let mut fetch = |request: u32, current: bool| {
        alice.send(&ClientMsg::Fetch(Fetch { request, conversation, from: 1, to: 1, current }));
        alice.until("an answer to a read", |message| match message {
            ServerMsg::History { request: got, runs, .. } if got == request => Some(Ok(runs)),
            ServerMsg::Refused { request: got, refusal, .. } if got == request => {
                Some(Err(refusal))
            }
            _ => None,
        })
    };
    assert_eq!(fetch(1, true).unwrap().len(), 1, "with a majority there is an answer");
    cluster.paths().part(&[alone], 3, Path::Swallow);
    assert!(fetch(2, true).is_err(), "nobody confirmed that this is current");
    assert_eq!(fetch(3, false).unwrap().len(), 1, "scroll-back needs nobody");
}
