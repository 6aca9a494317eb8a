//! Sessions against a model: real hub, replica and store, a log that loses and
//! delays commands, connections that break, and clients that believe nothing.

mod client;
mod door;
mod guests;
mod hostile;
mod reads;
mod world;

use crate::chat::scripts::seeds;
use world::World;

#[test]
fn every_client_ends_with_every_message_once_and_every_ack_is_true() {
    seeds(1_500, |rng| {
        let mut world = World::new(rng);
        for _ in 0..250 {
            world.step();
        }
        world.heal();
        world.check();
    });
}
