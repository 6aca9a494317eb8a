//! The session, over links of every quality.

use super::for_seeds;
use super::sim::{Faults, Sim};
use crate::chat::command::Target;
use crate::chat::ids::{ConversationId, UserId};
use crate::client::ClientEvent;
use rand::Rng;

/// Two people write for a while, then everything must come through.
fn talk(seed: u64, faults: Faults, unkind: bool) -> Sim {
    let mut sim = Sim::new(seed, faults);
    sim.cluster.unkind = unkind;
    for _ in 0..600 {
        if sim.rng.random_bool(0.08) {
            let to = target(&mut sim);
            let count = sim.rng.random_range(1..12);
            sim.say(to, count);
        }
        if sim.rng.random_bool(0.05) {
            let count = sim.rng.random_range(1..5);
            sim.cluster.bob_says(count);
        }
        sim.step();
    }
    let lived = sim.times_live();
    if faults.cut == 0.0 && faults.crash == 0.0 {
        sim.calm();
        assert!(sim.times_live() <= lived + 1, "no new connection is needed");
    }
    sim.heal();
    sim.check();
    sim
}

fn target(sim: &mut Sim) -> Target {
    let nobody = UserId { number: 99, ..sim.cluster.bob };
    match sim.rng.random_range(0..10) {
        0 => Target::User(nobody),
        1 => Target::Conversation(ConversationId(77)),
        2 => Target::User(sim.cluster.alice),
        3 => match sim.cluster.state.direct(sim.cluster.alice, sim.cluster.bob) {
            Some(id) => Target::Conversation(id),
            None => Target::User(sim.cluster.bob),
        },
        _ => Target::User(sim.cluster.bob),
    }
}

#[test]
fn a_good_link_needs_no_second_question() {
    for_seeds(200, |seed| {
        let sim = talk(seed, Faults::default(), false);
        assert_eq!(sim.cluster.fetches, 0, "pushes and outcomes are enough");
        assert_eq!(sim.times_live(), 2, "once, and once after the cut at the end");
    });
}

#[test]
fn each_message_once_and_in_order_over_connections_that_break() {
    for_seeds(1000, |seed| {
        let faults = Faults { cut: 0.02, ..Faults::default() };
        let sim = talk(seed, faults, seed % 2 == 0);
        // Own first messages of a conversation, whose outcome a cut took, may look like a gap.
        assert!(sim.cluster.fetches <= 12, "a server knows what the client has");
    });
}

#[test]
fn what_a_link_loses_comes_without_another_connection() {
    for_seeds(500, |seed| {
        let faults = Faults { lose: 0.03, repeat: 0.03, reorder: 0.1, ..Faults::default() };
        talk(seed, faults, seed % 2 == 0);
    });
}

#[test]
fn each_message_once_and_in_order_over_a_link_that_loses_repeats_and_reorders() {
    for_seeds(1000, |seed| {
        let faults = Faults { lose: 0.05, repeat: 0.05, reorder: 0.1, cut: 0.005, crash: 0.0 };
        talk(seed, faults, seed % 2 == 0);
    });
}

#[test]
fn each_message_once_and_in_order_over_processes_that_die() {
    for_seeds(1000, |seed| {
        let faults = Faults { lose: 0.01, repeat: 0.02, reorder: 0.02, cut: 0.01, crash: 0.01 };
        talk(seed, faults, seed % 2 == 0);
    });
}

#[test]
fn own_messages_are_queued_then_committed_then_there() {
    let mut sim = Sim::new(1, Faults::default());
    let bob = Target::User(sim.cluster.bob);
    sim.say(bob, 3);
    sim.heal();
    let order: Vec<_> = sim
        .events
        .iter()
        .filter_map(|event| match event {
            ClientEvent::Queued(_) => Some("queued"),
            ClientEvent::Committed { .. } => Some("committed"),
            ClientEvent::Messages(_) => Some("there"),
            _ => None,
        })
        .collect();
    assert_eq!(order, ["queued", "queued", "queued", "committed", "there"]);
}

#[test]
fn more_refusals_than_the_cluster_remembers_are_all_told() {
    let mut sim = Sim::new(1, Faults::default());
    let nobody = Target::User(UserId { number: 99, ..sim.cluster.bob });
    sim.say(nobody, 300);
    let bob = Target::User(sim.cluster.bob);
    sim.say(bob, 1);
    sim.heal();
    sim.check();
    let refused = |e: &&ClientEvent| matches!(e, ClientEvent::Refused { .. });
    assert_eq!(sim.events.iter().filter(refused).count(), 300);
}
