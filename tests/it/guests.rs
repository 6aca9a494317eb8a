//! Users of one cluster at servers of another: what they write is committed at home, what they
//! miss comes from there, and whoever carries it sees nothing. Run again with
//! `cargo test --test it guests -- --nocapture`.

mod rogue;

use crate::harness::{Cluster, Person, Raw, Terminal, ends, program, texts, wait_until};
use bytes::Bytes;
use rogue::Rogue;
use rustchat::chat::ids::DeviceId;
use rustchat::chat::refusal::Refusal;
use rustchat::wire::message::{
    ClientMsg, Credentials, DeviceCertificate, Hello, Purpose, ServerMsg,
};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);
const AUTH: i32 = 77;

/// A cluster of a name and so many servers, with a leader.
fn named(name: &str, servers: u32) -> Cluster {
    let cluster = Cluster::setup().named(name).start(servers);
    founded(&cluster);
    cluster
}

fn founded(cluster: &Cluster) {
    cluster.leader();
    wait_until(SOON, "it is founded", || {
        cluster.status_json()["cluster"]["id"].is_string().then_some(())
    });
}

/// One cluster's operator trusts another cluster.
fn trust(of: &Cluster, other: &Cluster) {
    of.trusts(other.address(1), &other.fingerprint());
}

fn linked(west_servers: u32, east_servers: u32) -> (Cluster, Cluster) {
    let (west, east) = (named("west", west_servers), named("east", east_servers));
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
    let (west, east) = linked(1, 1);
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
    tail.wait_for(3, SOON);
    let news: Vec<_> = tail.end().into_iter().map(|said| said.text).collect();
    assert_eq!(news, ["from west", "from home", "four"], "what was read there is not new here");
    let text: Vec<_> = alice.tail().wait_for(3, SOON).into_iter().map(|said| said.text).collect();
    assert_eq!(text, ["from west", "from home", "four"]);
}

#[test]
fn who_was_never_at_home_is_told_to_go_there_first() {
    let (west, east) = linked(1, 1);
    let bob = east.person("bob");
    bob.register();
    let guest = at(&east.person("bob").elsewhere("other"), west.address(1));
    let said = ends(&guest.run(&["--send", "alice"], &[]), AUTH);
    assert!(said.contains("--cluster east") && said.contains("no password is told"), "{said}");
}

#[test]
fn nobody_is_carried_where_either_operator_does_not_say_so() {
    let (west, east) = (named("west", 1), named("east", 1));
    let bob = east.person("bob");
    bob.register();
    let guest = at(&bob, west.address(1));
    let said = ends(&guest.run(&["--send", "bob"], &["hello"]), AUTH);
    assert!(said.contains("not linked to this one"), "{said}");
    trust(&west, &east);
    let said = ends(&guest.run(&["--send", "bob"], &["hello"]), AUTH);
    assert!(said.contains("your cluster takes nobody from here"), "{said}");
    trust(&east, &west);
    guest.send("bob", &["hello"]);
    // Who is inside has to leave when that is taken back, on either side.
    for (cluster, other, name) in [(&east, &west, "west"), (&west, &east, "east")] {
        let tail = guest.tail();
        sessions(&east, 1);
        cluster.done(&["link", "distrust", name]);
        sessions(&east, 0);
        tail.end();
        let said = ends(&guest.run(&["--send", "bob"], &["again"]), AUTH);
        assert!(said.contains("takes no guest"), "{said}");
        trust(cluster, other);
        guest.send("bob", &["back"]);
    }
}

fn quit(mut terminal: Terminal) {
    terminal.keys("/quit\r");
    assert_eq!(terminal.ended(SOON), 0);
}

#[test]
fn while_home_is_away_what_is_written_waits_and_the_screen_says_so() {
    let (west, mut east) = linked(1, 1);
    let (alice, bob) = (east.person("alice"), east.person("bob"));
    alice.register();
    bob.register();
    alice.send("bob", &["before"]);
    let guest = at(&bob, west.address(1));
    let mut screen = guest.screen();
    screen.wait_for(SOON, "bob@east via west n1");
    screen.wait_for(SOON, "1 unread");
    screen.keys("\t");
    screen.wait_for(SOON, "alice  before");
    east.kill_all();
    screen.wait_for(SOON, "east cannot be reached through west");
    for text in ["one", "two", "three"] {
        screen.keys(&format!("{text}\r"));
    }
    let waits = "east cannot be reached through west: 3 queued; they are sent when it answers";
    screen.wait_for(SOON, waits);
    assert!(screen.text().contains("alice  before"), "what is here can be read");
    // Somebody who starts anew meanwhile finds the same, and loses nothing.
    quit(screen);
    let mut screen = guest.screen();
    screen.wait_for(SOON, waits);
    east.start_all();
    east.leader();
    screen.wait_for(SOON, "bob@east via west n1");
    let said = alice.tail().wait_for(3, SOON);
    let said: Vec<_> = said.iter().map(|said| said.text.as_str()).collect();
    assert_eq!(said, ["one", "two", "three"], "in order, and once");
    screen.keys("\x1b1four\r");
    screen.wait_for(SOON, "✓    bob  four");
    quit(screen);
}

#[test]
fn a_guest_goes_to_another_server_when_theirs_dies() {
    let (mut west, east) = linked(3, 1);
    let (alice, bob) = (east.person("alice"), east.person("bob"));
    alice.register();
    bob.register();
    let leader = west.leader().seat;
    let guest = at(&bob, west.address(leader));
    let screen = guest.screen();
    screen.wait_for(SOON, "bob@east via west n");
    let seat =
        west.seats().into_iter().find(|seat| screen.text().contains(&format!("via west n{seat}")));
    let seat = seat.expect("one of the three carries the guest");
    west.kill(seat);
    alice.send("bob", &["still there?"]);
    screen.wait_for(SOON, "1 unread");
    let text = screen.text();
    assert!(!text.contains(&format!("via west n{seat}")), "{text}");
    assert!(text.contains("via west n"), "{text}");
    quit(screen);
}

#[test]
fn a_guest_comes_home_to_another_server_when_the_one_there_dies() {
    let (west, mut east) = linked(1, 3);
    let (alice, bob) = (east.person("alice"), east.person("bob"));
    alice.register();
    bob.register();
    let tail = at(&bob, west.address(1)).tail();
    alice.send("bob", &["one"]);
    tail.wait_for(1, SOON);
    // West was told the address of this one.
    east.kill(1);
    east.leader_among(&[2, 3]);
    alice.send("bob", &["two"]);
    let said: Vec<_> = tail.wait_for(2, 2 * SOON).into_iter().map(|said| said.text).collect();
    assert_eq!(said, ["one", "two"]);
}

#[test]
fn a_script_waits_for_home_and_says_why() {
    let (west, mut east) = linked(1, 1);
    let (alice, bob) = (east.person("alice"), east.person("bob"));
    alice.register();
    bob.register();
    east.kill_all();
    let sending = at(&bob, west.address(1)).start_sending("alice", &["at last".to_owned()]);
    let log = || std::fs::read_to_string(bob.home().join("send.log")).unwrap();
    wait_until(SOON, "it says why it waits", || {
        log().contains("east cannot be reached through west").then_some(())
    });
    east.start_all();
    assert_eq!(sending.ended(SOON)[0].text, "at last");
    assert!(log().contains("rustchat: east via west n1"), "{}", log());
    assert_eq!(alice.tail().wait_for(1, SOON)[0].text, "at last");
}

#[test]
fn a_device_that_is_revoked_at_home_is_out_where_it_is_a_guest() {
    let (west, east) = linked(1, 1);
    let bob = east.person("bob");
    bob.register();
    let guest = at(&bob, west.address(1));
    let tail = guest.tail();
    sessions(&east, 1);
    let laptop = east.person("bob").elsewhere("laptop");
    laptop.register();
    let out = account(&east, &laptop, &["devices", "--json"]);
    let all: serde_json::Value = serde_json::from_str(&out).unwrap();
    let of_guest = all["devices"].as_array().unwrap().iter().find(|d| d["this"] == false).unwrap();
    account(&east, &laptop, &["devices", "--revoke", of_guest["id"].as_str().unwrap()]);
    tail.fails(SOON);
    let said = ends(&guest.run(&["--send", "bob"], &["again"]), AUTH);
    assert!(said.contains("--cluster east"), "{said}");
}

/// This cluster has so many users who are logged in.
fn sessions(cluster: &Cluster, count: u64) {
    wait_until(SOON, &format!("{count} are logged in"), || {
        (cluster.status_json()["nodes"][0]["sessions"] == count).then_some(())
    });
}

fn account(cluster: &Cluster, person: &Person, words: &[&str]) -> String {
    let mut command = program(person.home());
    command.arg(words[0]).args(["--user", &person.name]).args(&words[1..]);
    command.arg("--password-file").arg(person.home().join("password"));
    command.args(["--discovery", &cluster.discovery().to_string()]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{words:?}: {}", texts(&output).1);
    texts(&output).0
}

fn finds(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

#[test]
fn whoever_carries_a_guest_sees_no_secret_and_no_word_and_cannot_speak_for_them() {
    let (west, east) = linked(1, 1);
    let (alice, bob) = (east.person("alice"), east.person("bob"));
    alice.register();
    bob.register();
    alice.send("bob", &["come home soon"]);
    let rogue = Rogue::start(&west, &east);
    let guest = at(&bob, rogue.address());
    guest.send("alice", &["meet me at the harbour"]);
    let seen = rogue.seen();
    let device = bob.state().join("bob/devices/1");
    let token = std::fs::read_to_string(device.join("token")).unwrap();
    let digits = |at: usize| u8::from_str_radix(&token[at..at + 2], 16).unwrap();
    let token: Vec<u8> = (0..token.len() / 2).map(|at| digits(2 * at)).collect();
    let password = "the password of bob";
    assert!(seen.there.len() > 500 && token.len() == 32, "{}", seen.there.len());
    let all = [&seen.visit[..], &seen.carried].concat();
    for secret in [&token[..], password.as_bytes(), b"harbour", b"come home soon", b"alice", b"bob"]
    {
        assert!(!finds(&all, secret), "it saw {}", String::from_utf8_lossy(secret));
    }
    assert!(finds(&all, &seen.certificate.device.0), "it sees which device it is, and no more");

    // All that bob has said, once more: east hears noise.
    let user = seen.certificate.user;
    rogue.says_itself(user, &seen.there);
    // What somebody else says on such a way is nothing, even with bob's password.
    let device = DeviceId([6; 16]);
    let credentials =
        Credentials { name: "bob".into(), password: password.into(), ..Credentials::default() };
    let answer =
        rogue.logs_in(user, hello(Purpose::Chat, Some(device)), ClientMsg::Login(credentials));
    assert!(matches!(answer, ServerMsg::Refused { refusal: Refusal::Protocol, .. }), "{answer:?}");
    // Bob's visit, once more, to an honest server of the same cluster.
    let answer = visited(&west, &seen.certificate, &seen.signature);
    assert_eq!(answer, Refusal::BadCredentials);

    rogue.tamper(true);
    let sending = guest.start_sending("alice", &["changed on the way".to_owned()]);
    wait_until(SOON, "the rogue has carried something for another connection", || {
        let now = rogue.seen();
        (now.there != seen.there && now.there.len() > 100).then_some(())
    });
    assert_eq!(sending.said(), [], "nothing is committed");
    rogue.tamper(false);
    sending.ended(SOON);
    let said: Vec<_> = alice.tail().wait_for(2, SOON).into_iter().map(|said| said.text).collect();
    assert_eq!(said, ["meet me at the harbour", "changed on the way"], "each of them once");
}

fn hello(purpose: Purpose, device: Option<DeviceId>) -> ClientMsg {
    ClientMsg::Hello(Hello {
        min: 1,
        max: 1,
        features: 0,
        purpose,
        device,
        placed: true,
        cluster: None,
        events_after: None,
    })
}

/// What a server of west says to a guest who shows this.
fn visited(west: &Cluster, certificate: &DeviceCertificate, signature: &Bytes) -> Refusal {
    let mut raw = Raw::open(west.address(1), certificate.device);
    raw.send(&hello(Purpose::Visit, None));
    raw.until("it greets", |message| matches!(message, ServerMsg::Welcome(_)).then_some(()));
    let (certificate, signature) = (certificate.clone(), signature.clone());
    raw.send(&ClientMsg::Visit { certificate, signature });
    raw.until("it answers", |message| match message {
        ServerMsg::Refused { refusal, .. } => Some(refusal),
        _ => None,
    })
}

#[test]
fn who_can_reach_home_goes_home_and_who_cannot_is_a_guest() {
    // Both answer on the same port, as on one network.
    let east = named("east", 1);
    let west = Cluster::setup().named("west").discovery(east.discovery()).start(1);
    founded(&west);
    trust(&west, &east);
    trust(&east, &west);
    let bob = east.person("bob");
    let chosen = Person::new("bob", east.home(), ("", east.discovery()), false);
    let output = chosen.run(&["--cluster", "east", "--send", "bob"], &["first"]);
    assert!(output.status.success(), "{}", texts(&output).1);
    let anywhere = bob.away("east", &[]);
    let told = |person: &Person| texts(&person.run(&["--send", "bob"], &["hello"])).1;
    assert!(!told(&anywhere).contains("via"), "home answers: one goes home");
    let through = bob.away("east", &["--cluster", "west"]);
    let said = told(&through);
    assert!(said.contains("east via west n1"), "{said}");
}
