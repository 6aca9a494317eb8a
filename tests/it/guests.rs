//! Users of one cluster at servers of another: what they write is committed at home, what they
//! miss comes from there, and whoever carries it sees nothing. Run again with
//! `cargo test --test it guests -- --nocapture`.

use crate::harness::{Cluster, Person, ends, wait_until};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);
const AUTH: i32 = 77;

/// A cluster of a name and so many servers, with a leader.
fn named(name: &str, servers: u32) -> Cluster {
    let cluster = Cluster::setup().named(name).start(servers);
    cluster.leader();
    cluster
}

/// One cluster's operator trusts another cluster.
fn trust(of: &Cluster, other: &Cluster) {
    let (at, key) = (other.address(1).to_string(), other.fingerprint());
    of.done(&["link", "trust", &at, "--fingerprint", &key]);
}

fn linked(west_servers: u32) -> (Cluster, Cluster) {
    let (west, east) = (named("west", west_servers), named("east", 1));
    trust(&west, &east);
    trust(&east, &west);
    wait_until(SOON, "the links are up", || {
        let both = [west.link("east")?, east.link("west")?];
        both.iter().all(|link| link["state"] == "up").then_some(())
    });
    (west, east)
}

/// The same person at a server of another cluster, by address.
fn at(person: &Person, server: std::net::SocketAddr) -> Person {
    person.away("east", &["--server", &server.to_string()])
}

#[test]
fn a_guest_goes_on_where_they_were_and_goes_on_at_home_afterwards() {
    let (west, east) = linked(1);
    let (alice, bob) = (east.person("alice"), east.person("bob"));
    alice.register();
    bob.register();
    alice.send("bob", &["one", "two"]);
    let guest = at(&bob, west.address(1));
    let tail = guest.tail();
    let unread = tail.wait_for(2, SOON);
    assert_eq!(unread[1].text, "two");
    alice.send("bob", &["three"]);
    assert_eq!(tail.wait_for(3, SOON)[2].text, "three", "it is pushed");
    tail.end();
    let sent = guest.send("alice", &["from west"]);
    assert_eq!(sent[0].seq, 4);
    // At home nothing comes again, and the device's numbers go on.
    let back = bob.send("alice", &["from home"]);
    assert_eq!(back[0].seq, 5);
    let device = |id: &str| id.rsplit_once('-').map(|(device, _)| device.to_owned());
    assert_eq!(device(&sent[0].id), device(&back[0].id), "it is the same device");
    let tail = bob.tail();
    alice.send("bob", &["four"]);
    let news = tail.wait_for(1, SOON);
    assert_eq!((news[0].text.as_str(), news.len()), ("four", 1));
    tail.end();
    let text: Vec<_> = alice.tail().wait_for(2, SOON).into_iter().map(|said| said.text).collect();
    assert_eq!(text, ["from west", "from home"]);
}

#[test]
fn who_was_never_at_home_is_told_to_go_there_first() {
    let (west, east) = linked(1);
    let bob = east.person("bob");
    bob.register();
    let guest = at(&east.person("bob").elsewhere("other"), west.address(1));
    let said = ends(&guest.run(&["--send", "alice"], &[]), AUTH);
    assert!(said.contains("--cluster east") && said.contains("no password is told"), "{said}");
}
