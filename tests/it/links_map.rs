//! The map of other clusters: who is in it, and whom operators trust. Run again with
//! `cargo test --test it links_map -- --nocapture`.

use crate::harness::{Cluster, wait_until};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);
const REFUSED: i32 = 1;
const USAGE: i32 = 64;
const AUTH: i32 = 77;

fn named(name: &str) -> Cluster {
    Cluster::setup().named(name).start(1)
}

/// Two clusters of one server, which have a leader and do not hear each other.
fn west_and_east() -> (Cluster, Cluster) {
    let both = (named("west"), named("east"));
    both.0.leader();
    both.1.leader();
    both
}

#[test]
fn a_cluster_is_trusted_by_the_address_of_a_server_once_its_key_is_compared() {
    let (west, east) = west_and_east();
    let (at, key) = (east.address(1).to_string(), east.fingerprint());
    let none = west.done(&["link", "list"]);
    assert!(none.contains("no other cluster"), "{none}");
    // Nobody is there to compare the key.
    let said = west.fails(AUTH, &["link", "trust", &at]);
    assert!(said.contains(&format!("--fingerprint {key}")), "it says what to type: {said}");
    let said = west.fails(AUTH, &["link", "trust", &at, "--fingerprint", &west.fingerprint()]);
    assert!(said.contains(&key), "it shows the key that is there: {said}");
    assert_eq!(west.link("east"), None, "nothing was noted");

    let said = west.done(&["link", "trust", &at, "--fingerprint", &key]);
    assert!(said.contains("NAME@east"), "{said}");
    let link = west.link("east").expect("it is in the map");
    assert_eq!((&link["fingerprint"], &link["addr"]), (&key.into(), &at.into()));
    // The other side has to trust this one too.
    wait_until(SOON, "the link is down, and why", || {
        let link = west.link("east")?;
        let why = link["why"].as_str()?;
        (link["state"] == "down" && why.contains("not trusted")).then_some(())
    });
    let (at, key) = (west.address(1).to_string(), west.fingerprint());
    east.done(&["link", "trust", &at, "--fingerprint", &key, "--as", "home"]);
    wait_until(SOON, "the links are up", || {
        let both = [west.link("east")?, east.link("home")?];
        both.iter().all(|link| link["state"] == "up" && link["queued"] == 0).then_some(())
    });
    let table = west.done(&["link", "list"]);
    assert!(table.contains("east") && table.contains("up"), "{table}");
}

#[test]
fn a_trust_is_taken_back_and_given_again_by_name_or_key() {
    let (west, east) = west_and_east();
    let (at, key) = (east.address(1).to_string(), east.fingerprint());
    west.done(&["link", "trust", &at, "--fingerprint", &key]);
    west.done(&["link", "distrust", "east"]);
    assert_eq!(west.link("east").unwrap()["state"], "distrusted");
    let said = west.fails(AUTH, &["link", "trust", "east"]);
    assert!(said.contains(&key), "a name alone is not enough: {said}");
    west.done(&["link", "trust", &key]);
    west.done(&["link", "distrust", &at]);
    west.done(&["link", "trust", "east", "--fingerprint", &key]);
    assert_ne!(west.link("east").unwrap()["state"], "distrusted");
    let said = west.fails(REFUSED, &["link", "resume", "east"]);
    assert!(said.contains("not stopped"), "{said}");
    for who in ["north", "SHA256:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        for order in ["trust", "distrust", "resume"] {
            let said = west.fails(REFUSED, &["link", order, who]);
            assert!(said.contains("link list"), "{said}");
        }
    }
    west.fails(USAGE, &["link", "trust", &at, "--fingerprint", "SHA256:short"]);
}

#[test]
fn names_behind_the_at_are_unique_and_another_can_be_chosen() {
    let (west, east, other) = (named("west"), named("east"), named("east"));
    for cluster in [&west, &east, &other] {
        cluster.leader();
    }
    let trust = |code, of: &Cluster, more: &[&str]| {
        let (at, key) = (of.address(1).to_string(), of.fingerprint());
        let words = [&["link", "trust", &at, "--fingerprint", &key], more].concat();
        west.fails(code, &words)
    };
    trust(0, &east, &[]);
    for (name, why) in [
        (None, "another cluster"),
        (Some("west"), "this cluster itself"),
        (Some("East!"), "cannot stand behind"),
    ] {
        let more: Vec<&str> = name.iter().flat_map(|name| ["--as", name]).collect();
        let said = trust(REFUSED, &other, &more);
        assert!(said.contains(why) && said.contains("--as"), "{said}");
    }
    trust(0, &other, &["--as", "far-east"]);
    let (near, far) = (west.link("east").unwrap(), west.link("far-east").unwrap());
    assert_eq!((&near["announced"], &far["announced"]), (&"east".into(), &"east".into()));
    assert_ne!(near["fingerprint"], far["fingerprint"]);
    // Another name for one that is trusted already.
    trust(0, &east, &["--as", "near"]);
    assert!(west.link("near").is_some() && west.link("east").is_none());
    let said = trust(REFUSED, &west, &[]);
    assert!(said.contains("of this cluster itself"), "{said}");
}
