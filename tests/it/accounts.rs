//! Who may log in: registration, refusals, devices that need no password again.

use crate::harness::{
    Cluster, Person, Raw, Stores, Terminal, ends, over_every_store, program, texts,
};
use bytes::Bytes;
use rustchat::chat::ids::DeviceId;
use rustchat::chat::refusal::Refusal;
use rustchat::client::key::DeviceKey;
use rustchat::wire::message::{ClientMsg, ServerMsg};
use serde_json::Value;
use std::time::Duration;

over_every_store! {
    a_name_belongs_to_whoever_registered_it,
    a_wrong_password_and_an_unknown_name_get_one_answer,
    a_device_needs_its_password_once,
    accounts_outlive_their_leader,
    a_device_that_is_revoked_is_out_at_once_and_needs_the_password_again,
    who_logs_out_leaves_nothing_behind,
    another_password_logs_the_other_devices_out,
    a_login_that_was_overheard_is_worth_nothing,
    new_users_come_by_invitation_where_an_operator_says_so,
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

/// Runs a command about the account of this person, which must end with this code.
#[track_caller]
fn account(cluster: &Cluster, person: &Person, code: i32, words: &[&str]) -> String {
    let mut command = program(person.home());
    command.arg(words[0]).args(["--user", &person.name]).args(&words[1..]);
    command.args(["--discovery", &cluster.discovery().to_string()]);
    ends(&command.output().unwrap(), code)
}

fn devices(cluster: &Cluster, person: &Person) -> Vec<Value> {
    let out = account(cluster, person, 0, &["devices", "--json"]);
    let document: Value = serde_json::from_str(&out).unwrap_or_else(|why| panic!("{why}: {out}"));
    document["devices"].as_array().unwrap().clone()
}

/// A session that the server ends by itself, as one of a device that it does not know.
fn is_put_out(raw: &mut Raw) {
    let refusal = raw.until("the session is ended", |message| match message {
        ServerMsg::Refused { request: 0, refusal, .. } => Some(refusal),
        _ => None,
    });
    assert_eq!(refusal, Refusal::UnknownDevice);
    assert!(raw.try_receive().is_err(), "nothing follows");
}

fn a_device_that_is_revoked_is_out_at_once_and_needs_the_password_again(stores: Stores) {
    let cluster = stores.start(3);
    let leader = cluster.leader().seat;
    let alice = cluster.person("alice");
    alice.register();
    let other = cluster.seats().into_iter().find(|seat| *seat != leader).unwrap();
    let device = DeviceId([0xab; 16]);
    let mut laptop = Raw::connect(cluster.address(other), device);
    laptop.login("alice", "the password of alice");
    laptop.resume(vec![]);
    let token = laptop.token.clone();

    let all = devices(&cluster, &alice);
    let this: Vec<_> = all.iter().map(|device| device["this"] == true).collect();
    assert_eq!(this.iter().filter(|this| **this).count(), 1, "{all:?}");
    assert_eq!((all.len(), all.iter().filter(|d| d["revoked"] == false).count()), (2, 2));
    account(&cluster, &alice, 64, &["devices", "--revoke", "ff00"]);
    let said = account(&cluster, &alice, 0, &["devices", "--revoke", "abab"]);
    assert!(said.contains("abababababab is revoked"), "{said}");
    is_put_out(&mut laptop);
    let listed = devices(&cluster, &alice);
    assert_eq!(listed[1]["id"].as_str(), Some(&*device.to_string()));
    assert_eq!(listed[1]["revoked"], true);

    let mut again = Raw::connect(cluster.address(other), device);
    let (name, signature) = ("alice".to_owned(), Bytes::new());
    again.send(&ClientMsg::Token { name, token, signature });
    let refusal = again.until("a refusal", |message| match message {
        ServerMsg::Refused { refusal, .. } => Some(refusal),
        _ => None,
    });
    assert_eq!(refusal, Refusal::UnknownDevice);
    again.login("alice", "the password of alice");
    again.resume(vec![]);
    assert_eq!(devices(&cluster, &alice)[1]["revoked"], false);
}

fn who_logs_out_leaves_nothing_behind(stores: Stores) {
    let cluster = stores.start(1);
    cluster.leader();
    let alice = cluster.person("alice");
    alice.register();
    let laptop = cluster.person("alice").elsewhere("laptop");
    laptop.register();
    let kept = laptop.home().join("state/rustchat/alice/devices/1");
    assert!(kept.join("token").is_file(), "{}", kept.display());
    let said = account(&cluster, &laptop, 0, &["logout"]);
    assert!(said.contains("logged out"), "{said}");
    assert!(!kept.exists());
    let all = devices(&cluster, &alice);
    assert_eq!((all.len(), &all[1]["revoked"]), (2, &Value::Bool(true)), "{all:?}");
    // Again, and then somebody must know the password.
    account(&cluster, &laptop, 0, &["logout"]);
    refused(&laptop.known().without_password(), &[]);
}

fn another_password_logs_the_other_devices_out(stores: Stores) {
    let cluster = stores.start(3);
    let leader = cluster.leader().seat;
    let alice = cluster.person("alice");
    alice.register();
    let mut laptop = Raw::connect(cluster.address(leader), DeviceId([2; 16]));
    laptop.login("alice", "the password of alice");
    laptop.resume(vec![]);
    let home = alice.home().to_owned();
    std::fs::write(home.join("new"), "a better one\n").unwrap();
    std::fs::write(home.join("wrong"), "guessed\n").unwrap();
    let passwd = |code, old: &str, more: &[&str]| {
        let words = ["passwd", "--password-file", old, "--new-password-file", "new"];
        account(&cluster, &alice, code, &[&words[..], more].concat())
    };
    let why = passwd(77, "wrong", &[]);
    assert!(why.contains("old password"), "{why}");
    passwd(0, "password", &["--keep-devices"]);
    assert!(devices(&cluster, &alice).iter().all(|device| device["revoked"] == false));
    passwd(0, "new", &[]);
    // The same once more, as after an answer that was lost.
    passwd(0, "password", &[]);
    is_put_out(&mut laptop);
    let old = cluster.person("alice").elsewhere("thief").known();
    refused(&old, &[]);
    old.with_password("a better one").register();
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

/// Whoever heard all that a device said when it logged in says it again.
fn a_login_that_was_overheard_is_worth_nothing(stores: Stores) {
    let cluster = stores.start(1);
    let leader = cluster.leader().seat;
    let (key, device) = (DeviceKey::generate().unwrap(), DeviceId([4; 16]));
    let connect = || Raw::connect(cluster.address(leader), device);
    let mut alice = connect();
    alice.key = Some(key.public());
    alice.register("alice", "a password of alice");
    let token = alice.token.clone();
    let mut again = connect();
    again.signature = key.sign(again.challenge.0, device, &again.challenge.1);
    again.token_login("alice", token.clone());
    let mut thief = connect();
    let (name, signature) = ("alice".to_owned(), again.signature.clone());
    for signature in [Bytes::new(), signature] {
        let (name, token) = (name.clone(), token.clone());
        thief.send(&ClientMsg::Token { name, token, signature });
        let refusal = thief.until("a refusal", |message| match message {
            ServerMsg::Refused { refusal, .. } => Some(refusal),
            _ => None,
        });
        assert_eq!(refusal, Refusal::BadCredentials);
    }
    again.resume(vec![]);
}

fn new_users_come_by_invitation_where_an_operator_says_so(stores: Stores) {
    let cluster = stores.start(3);
    cluster.leader();
    cluster.person("alice").register();
    cluster.done(&["registration", "invite"]);
    let bob = cluster.person("bob");
    let why = refused(&bob, &[]);
    assert!(why.contains("--invite CODE"), "{why}");
    let why = refused(&bob, &["--invite", "abcde-fghjk"]);
    assert!(why.contains("unknown, used or expired"), "{why}");
    let code = cluster.done(&["invite", "--valid", "1h"]).trim().to_owned();
    let typed = code.to_uppercase();
    let output = bob.run(&["--invite", &typed, "--send", "alice"], &["let in"]);
    assert!(output.status.success(), "{}", texts(&output).1);
    let why = refused(&cluster.person("carol"), &["--invite", &code]);
    assert!(why.contains("unknown, used or expired"), "{why}");
    // Who is registered logs in as ever.
    cluster.person("alice").elsewhere("laptop").register();
    cluster.done(&["registration", "closed"]);
    let code = cluster.done(&["invite"]).trim().to_owned();
    let why = refused(&cluster.person("carol"), &["--invite", &code]);
    assert!(why.contains("no new users"), "{why}");
    cluster.done(&["registration", "open"]);
    cluster.person("carol").register();
    cluster.same_state();
}
