//! The map of other clusters: who is in it, and whom operators trust. Run again with
//! `cargo test --test it links_map -- --nocapture`.

use crate::harness::{Cluster, Setup, Terminal, ends, wait_until, watch};
use crate::operators::{get, probes::alerts_know};
use serde_json::Value;
use std::net::TcpListener;
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);
const REFUSED: i32 = 5;
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
    let (west, mut east) = west_and_east();
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
    let dash = west.done(&["dash", "--once"]);
    assert!(dash.contains("LINK") && dash.contains("east"), "{dash}");
    assert!(west.done(&["status"]).contains("links: east up"));
    let json = west.status_json();
    assert_eq!(
        (&json["links"][0]["cluster"], &json["links"][0]["state"]),
        (&"east".into(), &"up".into())
    );
    let (_, metrics) = get(west.admin(1), "/metrics").unwrap();
    alerts_know(&metrics, |name| name.starts_with("rustchat_link_"));
    assert!(metrics.contains("rustchat_link_up{cluster=\"east\"} 1"), "{metrics}");
    // The other side goes: that is a reason to look.
    let reasons = |json: &Value| json["reasons"].to_string();
    assert!(!reasons(&json).contains("link_down"), "{json}");
    east.kill(1);
    wait_until(SOON, "the link is down", || {
        reasons(&west.status_json()).contains("link_down").then_some(())
    });
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

/// Both ask and answer on one UDP port.
fn in_one_network(n: u32, more: impl Fn(Setup) -> Setup) -> (Cluster, Cluster) {
    let west = more(Cluster::setup().named("west")).start(n);
    let east = more(Cluster::setup().named("east").discovery(west.discovery())).start(1);
    west.leader();
    east.leader();
    (west, east)
}

/// Waits until `cluster` shows this one at the address.
#[track_caller]
fn shows(cluster: &Cluster, name: &str, address: &str) -> Value {
    wait_until(SOON, &format!("{name} at {address} is in the map"), || {
        cluster.link(name).filter(|link| link["addr"] == address)
    })
}

#[test]
fn clusters_of_a_network_hear_each_other_and_know_the_node_that_leads() {
    let (mut west, mut east) = in_one_network(3, |setup| setup);
    let leader = west.leader().seat;
    let heard = shows(&east, "west", &west.address(leader).to_string());
    assert_eq!(heard["fingerprint"], west.fingerprint());
    let heard = shows(&west, "east", &east.address(1).to_string());
    assert_eq!(
        (&heard["state"], &heard["fingerprint"]),
        (&"seen".into(), &east.fingerprint().into())
    );
    // Another leader: its node takes the place of the one before.
    west.kill(leader);
    let others: Vec<_> = west.seats().into_iter().filter(|seat| *seat != leader).collect();
    let next = west.leader_among(&others).seat;
    shows(&east, "west", &west.address(next).to_string());
    let json: Value = serde_json::from_str(&east.done(&["link", "list", "--json"])).unwrap();
    assert_eq!(json["links"].as_array().unwrap().len(), 1, "one node of one cluster: {json}");
    // What is known is not the leader's alone: nobody is there any more to be heard again.
    west.up(leader);
    west.leader();
    east.kill(1);
    west.kill(next);
    let others: Vec<_> = west.seats().into_iter().filter(|seat| *seat != next).collect();
    west.leader_among(&others);
    shows(&west, "east", &east.address(1).to_string());
}

#[test]
fn a_cluster_that_nobody_trusts_is_never_connected_to() {
    let (west, mut east) = in_one_network(1, |setup| setup);
    let at = east.address(1);
    shows(&west, "east", &at.to_string());
    let key = east.fingerprint();
    east.kill(1);
    let listener = TcpListener::bind(at).unwrap();
    listener.set_nonblocking(true).unwrap();
    watch(Duration::from_secs(8), "nobody connects to a cluster that was only seen", || {
        listener.accept().map_or(Ok(()), |(_, from)| Err(from.to_string()))
    });
    // As soon as it is trusted, somebody does.
    west.done(&["link", "trust", "east", "--fingerprint", &key]);
    wait_until(SOON, "a trusted cluster is connected to", || listener.accept().ok());
}

#[test]
fn a_configured_address_does_without_a_broadcast_and_tells_nothing() {
    let east = Cluster::setup().named("east").start(3);
    let leader = east.leader().seat;
    let follower = east.seats().into_iter().find(|seat| *seat != leader).unwrap();
    let nobody = format!("{}:7101", east.elsewhere(1));
    let links = format!("{nobody},{}", east.address(follower));
    let west = Cluster::setup().named("west").discovery(0).option("--links", &links).start(1);
    west.leader();
    let heard = shows(&west, "east", &east.address(follower).to_string());
    assert_eq!(
        (&heard["state"], &heard["fingerprint"]),
        (&"seen".into(), &east.fingerprint().into())
    );
    let said = east.done(&["link", "list"]);
    assert!(said.contains("no other cluster"), "{said}");
}

#[test]
fn a_link_moves_on_to_another_server_where_its_own_is_gone() {
    let mut east = Cluster::setup().named("east").start(3);
    east.leader();
    let mut west = named("west");
    west.leader();
    let links = [(&west, &east, east.address(1)), (&east, &west, west.address(1))];
    for (here, there, at) in links {
        here.done(&["link", "trust", &at.to_string(), "--fingerprint", &there.fingerprint()]);
    }
    let is_up = |west: &Cluster| west.link("east").filter(|link| link["state"] == "up");
    wait_until(SOON, "the link is up", || is_up(&west));
    let first = east.address(1).to_string();
    wait_until(SOON, "it was asked for its other servers", || {
        let log = west.node(1).wrote("log");
        log.lines().any(|line| line.contains("seek.met") && line.contains(&first)).then_some(())
    });
    east.kill(1);
    wait_until(Duration::from_secs(40), "the link is up by another server", || {
        is_up(&west).filter(|link| link["addr"] != first)
    });
}

#[test]
fn whoever_is_new_is_trusted_where_an_operator_says_so() {
    let (west, east) =
        in_one_network(1, |setup| setup.variable("RUSTCHAT_TRUST_NEW_LINKS", "true"));
    wait_until(SOON, "both links are up", || {
        let both = [west.link("east")?, east.link("west")?];
        both.iter().all(|link| link["state"] == "up").then_some(())
    });
    // What an operator took back is not given again.
    west.done(&["link", "distrust", "east"]);
    watch(Duration::from_secs(5), "it stays distrusted", || {
        let state = west.link("east").unwrap()["state"].clone();
        if state == "distrusted" { Ok(()) } else { Err(state.to_string()) }
    });
}

#[test]
fn of_several_clusters_a_person_names_one_and_the_one_used_last_is_taken() {
    let (west, east) = in_one_network(1, |setup| setup);
    let bob = west.person("bob").anywhere();
    let said = ends(&bob.run(&["--send", "bob"], &["where?"]), USAGE);
    assert!(said.contains("west") && said.contains("east") && said.contains("--cluster"), "{said}");
    ends(&bob.run(&["--send", "bob", "--cluster", "east"], &["here"]), 0);
    // Another device of the same user, which no cluster knows yet.
    ends(&bob.run(&["--send", "bob"], &["here again"]), 0);
    let known = |cluster: &Cluster| {
        cluster.status_json()["nodes"][0]["messages_accepted"].as_u64().unwrap()
    };
    assert_eq!((known(&east), known(&west)), (2, 0));
    ends(&bob.run(&["--send", "bob", "--cluster", "west"], &["and there"]), 0);
    assert_eq!((known(&east), known(&west)), (2, 1));
}

#[test]
fn on_a_terminal_a_person_compares_the_key_and_says_yes() {
    let (west, east) = west_and_east();
    let (at, conf) = (east.address(1).to_string(), west.conf());
    let conf = conf.to_str().unwrap();
    for answer in ["no", "yes"] {
        let words = ["link", "trust", &at, "--nodes", conf];
        let mut terminal = Terminal::run(west.home(), words);
        terminal.wait_for(SOON, &east.fingerprint());
        terminal.wait_for(SOON, "(yes/no)?");
        terminal.keys(&format!("{answer}\r"));
        assert_eq!(terminal.ended(SOON) == 0, answer == "yes");
        assert_eq!(west.link("east").is_some(), answer == "yes", "{}", terminal.text());
    }
}
