//! Another cluster that its operator has turned against this one, or that somebody broke into:
//! whatever it tells is contained and counted, and the link to an honest cluster goes on.

mod asker;
mod peer;

use crate::harness::{Cluster, Person, Raw, Said, Talk, wait_until};
use peer::{Act, Peer, refused};
use rustchat::chat::ids::{ClusterId, DeviceId, UserId};
use rustchat::chat::link::{Export, Marks, Messages};
use rustchat::chat::message::Body;
use rustchat::wire::link::{Exports, LinkAnswer, LinkReason};
use serde_json::Value;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

/// `west`, which trusts an honest cluster and one that is not.
struct Ground {
    west: Cluster,
    /// Runs as long as this does.
    _east: Cluster,
    rogue: Peer,
    bob: UserId,
    tail: Talk,
    alice: Person,
}

impl Ground {
    fn new() -> Self {
        let west = Cluster::setup().named("west").start(1);
        let east = Cluster::setup().named("east").start(1);
        west.leader();
        east.leader();
        let rogue = Peer::start("rogue");
        west.trusts(rogue.address, &rogue.key.to_string());
        west.trusts(east.address(1), &east.fingerprint());
        east.trusts(west.address(1), &west.fingerprint());
        let (bob, alice) = (west.person("bob"), east.person("alice"));
        bob.register();
        alice.register();
        let mut look = Raw::connect(west.address(1), DeviceId([3; 16]));
        look.register("looker", "a password of looker");
        look.resume(vec![]);
        let id = look.lookup("bob");
        let tail = bob.tail();
        Self { west, _east: east, rogue, bob: id, tail, alice }
    }

    /// What the operator sees of the link to the rogue.
    fn seen(&self) -> Value {
        let text = self.west.done(&["link", "list", "--json"]);
        let json: Value = serde_json::from_str(&text).unwrap();
        let links = json["links"].as_array().unwrap();
        links
            .iter()
            .find(|link| link["cluster"] == "rogue")
            .unwrap_or_else(|| panic!("{json}"))
            .clone()
    }

    /// Waits until the operator sees a number of the link to the rogue reach this.
    #[track_caller]
    fn counts(&self, key: &str, least: u64) {
        wait_until(SOON, &format!("{key} is at least {least}"), || {
            (self.seen()[key].as_u64()? >= least).then_some(())
        });
    }

    /// Bob has these lines of mallory, each once and in order.
    #[track_caller]
    fn hears(&self, lines: &[&str]) {
        wait_until(SOON, &format!("bob hears {lines:?}"), || {
            (of(&self.tail.said(), "mallory@rogue").len() >= lines.len()).then_some(())
        });
        assert_eq!(of(&self.tail.said(), "mallory@rogue"), lines);
    }

    /// The honest cluster's messages come as ever.
    #[track_caller]
    fn others_go_on(&self, text: &str) {
        self.alice.send("bob@west", &[text]);
        wait_until(SOON, "the honest cluster's message comes", || {
            of(&self.tail.said(), "alice@east").contains(&text.to_owned()).then_some(())
        });
    }

    fn stopped(&self) -> bool {
        self.seen()["state"] == "stopped"
    }
}

fn of(said: &[Said], by: &str) -> Vec<String> {
    said.iter().filter(|said| said.from == by).map(|said| said.text.clone()).collect()
}

/// Each of these breaks a rule; what is honest between them is taken.
#[test]
fn forged_exports_are_turned_down_and_the_rest_is_taken() {
    let ground = Ground::new();
    let (rogue, bob) = (&ground.rogue, ground.bob);
    let says = |number, text: &str| rogue.says(bob, number, &[text]);
    let device = DeviceId([7; 16]);
    let third = ClusterId([9; 16]);
    let forged = [
        Messages { sender: bob, name: "bob".to_owned(), device, ..says(1, "as one of yours") },
        Messages {
            sender: UserId { cluster: third, number: 1 },
            device,
            ..says(1, "as one of a third cluster")
        },
        Messages { to: UserId { cluster: third, number: 1 }, device, ..says(1, "to a third") },
        Messages { to: UserId { number: 999, ..bob }, device, ..says(1, "to nobody") },
        Messages { name: "Mallory!".to_owned(), device, ..says(1, "a bad name") },
        Messages { name: "eve".to_owned(), ..says(50, "another name than before") },
        Messages { sender: rogue.user(2), ..says(50, "one name for two, by another's device") },
        Messages { origin: third, ..says(50, "of another origin") },
        Messages { bodies: vec![], ..says(50, "") },
        Messages { bodies: vec![Body::text("x".repeat(16 * 1024 + 1))], ..says(50, "") },
        Messages { bodies: vec![Body::text("x"); 513], ..says(50, "") },
        Messages { first_number: 0, ..says(50, "number 0") },
        Messages { first_number: u64::MAX, ..says(50, "number 2^64 - 1") },
    ];
    let marks = [
        Marks { reader: bob, writer: bob, delivered: None, read: Some((device, 1)) },
        Marks { reader: rogue.user(77), writer: bob, delivered: None, read: Some((device, 1)) },
    ];
    rogue.tell(Export::Messages(says(1, "honest 1")));
    let count = forged.len() + marks.len();
    for (number, messages) in (2..).zip(forged) {
        rogue.tell(Export::Messages(messages));
        rogue.tell(Export::Messages(says(number, &format!("honest {number}"))));
    }
    for marks in marks {
        rogue.tell(Export::Marks(marks));
    }
    // What was told once is not taken twice.
    rogue.tell(Export::Messages(says(1, "honest 1, once more")));
    rogue.tell(Export::Messages(rogue.says(bob, 14, &["honest 14, once more", "the last"])));
    let honest: Vec<String> = (1..=14).map(|number| format!("honest {number}")).collect();
    let mut honest: Vec<&str> = honest.iter().map(String::as_str).collect();
    honest.push("the last");
    ground.hears(&honest);
    ground.counts("turned_down", count as u64);
    assert_eq!(ground.seen()["turned_down"], count);
    ground.others_go_on("good day");
    ground.west.same_state();
}

/// Answers that do not follow on what was asked for bring nothing in, and are counted.
#[test]
fn gaps_replays_and_nonsense_bring_nothing_in() {
    let ground = Ground::new();
    let (rogue, bob) = (&ground.rogue, ground.bob);
    let one = Export::Messages(rogue.says(bob, 1, &["first"]));
    rogue.tell(one.clone());
    ground.hears(&["first"]);
    let exports = |first, generation, items: Vec<Export>, last| {
        LinkAnswer::Exports(Exports { generation, first, before: [0; 32], items, last })
    };
    let wrong = [
        exports(1, 1, vec![one.clone()], 9),
        exports(3, 1, vec![one.clone()], 9),
        exports(2, 7, vec![one.clone()], 9),
        exports(2, 1, vec![one; 3], 2),
        exports(u64::MAX, 1, vec![], u64::MAX),
        LinkAnswer::Hello { version: 1 },
        refused(LinkReason::Unknown),
    ];
    for (count, answer) in (1..).zip(wrong) {
        rogue.act(Act::Answer(answer));
        ground.counts("broken", count);
        rogue.act(Act::Honest);
    }
    ground.others_go_on("good day");
    rogue.tell(Export::Messages(rogue.says(bob, 2, &["second"])));
    ground.hears(&["first", "second"]);
}

/// Bytes that are no answer, or too many, or never all of them: from four clusters at once, so
/// that an honest one between them shows that none waits for another.
#[test]
fn garbage_floods_and_tarpits_cost_a_line_and_no_memory() {
    let ground = Ground::new();
    let (rogue, bob) = (&ground.rogue, ground.bob);
    rogue.tell(Export::Messages(rogue.says(bob, 1, &["first"])));
    ground.hears(&["first"]);
    let tarpits = [Act::Length(u32::MAX), Act::Length(1 << 20), Act::Drip, Act::Silence];
    let tarpits: Vec<Peer> = (1..)
        .zip(tarpits)
        .map(|(number, act)| {
            let peer = Peer::start(&format!("tarpit-{number}"));
            peer.act(act);
            ground.west.trusts(peer.address, &peer.key.to_string());
            peer
        })
        .collect();
    wait_until(SOON, "all are asked", || {
        tarpits.iter().all(|peer| peer.asked().1 > 0).then_some(())
    });
    let before = resident(&ground.west);
    let many = [0x12, 0xff, 0xff, 0x3f].into_iter().chain([0x22, 0x00].repeat(400_000)).collect();
    let garbage = [vec![0xff; 1000], Vec::new(), vec![0x12; 900_000], many];
    for (count, bytes) in (1..).zip(garbage) {
        rogue.act(Act::Bytes(bytes));
        ground.counts("broken", count);
        rogue.act(Act::Honest);
        ground.others_go_on(&format!("good day {count}"));
    }
    wait_until(SOON, "the lines are given up and tried again", || {
        tarpits.iter().all(|peer| peer.asked().1 > 1).then_some(())
    });
    let grown = resident(&ground.west).saturating_sub(before);
    assert!(grown < 64 << 20, "{grown} bytes more");
    rogue.tell(Export::Messages(rogue.says(bob, 2, &["second"])));
    ground.hears(&["first", "second"]);
}

fn resident(cluster: &Cluster) -> u64 {
    cluster.status()[0].json["resident_bytes"].as_u64().unwrap_or_else(|| panic!("memory"))
}

/// Another history than before stops this link, until the operator starts it again.
#[test]
fn a_history_that_was_rewritten_stops_this_link_alone() {
    let ground = Ground::new();
    let (rogue, bob) = (&ground.rogue, ground.bob);
    rogue.tell(Export::Messages(rogue.says(bob, 1, &["first"])));
    rogue.tell(Export::Messages(rogue.says(bob, 2, &["second"])));
    ground.hears(&["first", "second"]);
    rogue.rewrite(2, Export::Messages(rogue.says(bob, 2, &["something else"])));
    rogue.tell(Export::Messages(rogue.says(bob, 3, &["third"])));
    wait_until(SOON, "the link is stopped", || ground.stopped().then_some(()));
    let why = ground.seen()["why"].as_str().unwrap_or_default().to_owned();
    assert!(why.contains("history"), "{why}");
    ground.others_go_on("good day");
    ground.hears(&["first", "second"]);
    ground.west.done(&["link", "resume", "rogue"]);
    // It is taken from the beginning; what is here already stays as it was.
    ground.hears(&["first", "second", "third"]);
    assert!(!ground.stopped());
}

/// One with fewer exports than were taken has lost some, or hides them.
#[test]
fn a_cluster_that_was_rolled_back_is_stopped() {
    let ground = Ground::new();
    let (rogue, bob) = (&ground.rogue, ground.bob);
    rogue.tell(Export::Messages(rogue.says(bob, 1, &["first"])));
    ground.hears(&["first"]);
    rogue.act(Act::Answer(refused(LinkReason::RolledBack)));
    wait_until(SOON, "the link is stopped", || ground.stopped().then_some(()));
    ground.others_go_on("good day");
}

/// After a recovery its exports count anew: they are read again, and nothing comes twice.
#[test]
fn a_later_generation_is_read_from_its_beginning_and_nothing_comes_twice() {
    let ground = Ground::new();
    let (rogue, bob) = (&ground.rogue, ground.bob);
    rogue.tell(Export::Messages(rogue.says(bob, 1, &["first", "second"])));
    ground.hears(&["first", "second"]);
    rogue.generation(2);
    rogue.tell(Export::Messages(rogue.says(bob, 3, &["third"])));
    ground.hears(&["first", "second", "third"]);
    // One that goes back to an earlier one is not believed.
    rogue.generation(1);
    rogue.tell(Export::Messages(rogue.says(bob, 4, &["fourth"])));
    ground.counts("broken", 1);
    ground.others_go_on("good day");
    ground.hears(&["first", "second", "third"]);
}
