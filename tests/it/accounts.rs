//! Who may log in: registration, refusals, devices that need no password again.

use crate::harness::{Cluster, Person, Stores, Terminal, over_every_store, texts};
use std::time::Duration;

over_every_store! {
    a_name_belongs_to_whoever_registered_it,
    a_wrong_password_and_an_unknown_name_get_one_answer,
    a_device_needs_its_password_once,
    accounts_outlive_their_leader,
}

const AUTH: Option<i32> = Some(77);
const SOON: Duration = Duration::from_secs(15);

#[track_caller]
fn refused(person: &Person, options: &[&str]) -> String {
    let output = person.run(&[options, &["--send", "alice"]].concat(), &["hello"]);
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), AUTH, "{options:?}: {out}{err}");
    err
}

fn a_name_belongs_to_whoever_registered_it(stores: Stores) {
    let cluster = stores.start(3);
    cluster.leader();
    let alice = cluster.person("alice");
    alice.register();
    // Again, by the same device and by another one that knows the password.
    alice.register();
    cluster.person("alice").elsewhere("laptop").register();
    // The same letters in capitals are the same name.
    cluster.person("Alice").with_password("the password of alice").register();
    let thief = cluster.person("alice").elsewhere("thief").with_password("guessed");
    let taken = refused(&thief, &[]);
    assert!(taken.contains("registered already"), "{taken}");
}

fn a_wrong_password_and_an_unknown_name_get_one_answer(stores: Stores) {
    let cluster = stores.start(1);
    cluster.leader();
    cluster.person("alice").register();
    let wrong = cluster.person("alice").elsewhere("thief").with_password("guessed").known();
    let unknown = cluster.person("nobody").known();
    let (wrong, unknown) = (refused(&wrong, &[]), refused(&unknown, &[]));
    assert_eq!(wrong.replace("alice", "NAME"), unknown.replace("nobody", "NAME"));
}

fn a_device_needs_its_password_once(stores: Stores) {
    let cluster = stores.start(1);
    cluster.leader();
    let alice = cluster.person("alice");
    alice.register();
    let token = cluster.person("alice").known().without_password();
    let output = token.run(&["--send", "alice"], &["a note to myself"]);
    assert!(output.status.success(), "{}", texts(&output).1);
    // Another device has no token and nobody to ask.
    let other = cluster.person("alice").elsewhere("laptop").known().without_password();
    let why = refused(&other, &[]);
    assert!(why.contains("password"), "{why}");
}

fn accounts_outlive_their_leader(stores: Stores) {
    let mut cluster = stores.start(3);
    let leader = cluster.leader();
    cluster.person("alice").register();
    cluster.kill(leader.seat);
    cluster.leader();
    cluster.person("alice").elsewhere("laptop").known().register();
}

#[test]
fn a_person_is_asked_for_the_password_once() {
    let cluster = Cluster::start(1);
    cluster.leader();
    let home = cluster.person("alice").home().to_owned();
    let discovery = cluster.discovery().to_string();
    let words = ["chat", "--user", "alice", "--discovery", &discovery];
    let mut first = Terminal::run(&home, [&words[..], &["--register"]].concat());
    first.wait_for(SOON, "Password of alice:");
    first.keys("a secret\r");
    first.wait_for(SOON, "Once more:");
    first.keys("a secret\r");
    first.wait_for(SOON, "alice@n1");
    first.keys("/quit\r");
    assert_eq!(first.ended(SOON), 0);
    assert!(!first.text().contains("a secret"), "it was shown: {}", first.text());

    let mut again = Terminal::run(&home, words);
    again.wait_for(SOON, "alice@n1");
    again.keys("/quit\r");
    assert_eq!(again.ended(SOON), 0);
}
