//! Messages that mean ill from one real client to another, over a real server: the whole table is
//! read on a screen and in the outputs for scripts, and does nothing there.

use super::{Running, SOON, only_own};
use crate::harness::{Cluster, Person, Raw, Terminal, signal, texts, wait_until};
use crate::support::hostile::{Attack, attacks};
use crate::support::terminal;
use rustchat::chat::command::Target;
use rustchat::chat::ids::DeviceId;
use rustchat::chat::message::{Body, KIND_TEXT};
use rustchat::limits;
use rustchat::wire::message::{ClientMsg, SendRun};
use std::collections::BTreeSet;
use std::fs::File;
use std::ops::Range;

/// Messages that are sent together.
const TOGETHER: usize = 8;

/// An attack between two words by which it is found again.
fn marked((n, attack): (usize, Attack)) -> Vec<u8> {
    let room = limits::BODY_BYTES - 20;
    let bytes = &attack.bytes[..attack.bytes.len().min(room)];
    [format!("k{n}k ").as_bytes(), bytes, format!(" e{n}e").as_bytes()].concat()
}

/// Mallory writes all of it to each of these users, by hand.
fn send_all(cluster: &Cluster, to: &[&str]) -> Vec<Vec<u8>> {
    let mut mallory = Raw::connect(cluster.address(1), DeviceId([7; 16]));
    mallory.register("mallory", "the password of mallory");
    mallory.resume(Vec::new());
    let to: Vec<_> = to.iter().map(|to| Target::User(mallory.lookup(to))).collect();
    let all: Vec<_> = attacks().into_iter().enumerate().map(marked).collect();
    let mut first_number = 1;
    for (some, to) in to.iter().flat_map(|to| all.chunks(TOGETHER).map(move |some| (some, *to))) {
        let body = |data: &Vec<u8>| {
            let data = data.clone().into();
            Body { kind: KIND_TEXT, data, refers_to: None }
        };
        let bodies = some.iter().map(body).collect();
        let runs = vec![SendRun { group: 0, first_number, to, bodies }];
        mallory.send(&ClientMsg::Send { runs, confirmed: first_number - 1 });
        first_number += some.len() as u64;
        mallory.ack(first_number - 1);
    }
    all
}

/// What the rows of a screen show beside the messages: the list of conversations with its edge,
/// the rule and the status line.
fn around(screen: &str) -> Vec<String> {
    let rows: Vec<&str> = screen.lines().collect();
    let left = |row: &&str| row.chars().take(22).collect::<String>();
    let mut all: Vec<_> = rows.iter().take(21).map(left).collect();
    all.extend(rows.get(21).map(|row| row.chars().take(60).collect()));
    all.extend(rows.get(22).map(|row| (*row).to_owned()));
    all
}

/// What these rows show of messages.
fn messages(screen: &str, rows: Range<usize>) -> Vec<String> {
    let some = screen.lines().skip(rows.start).take(rows.len());
    some.map(|row| row.chars().skip(22).collect()).collect()
}

/// Looks at the screen as it is now; its frame must be what it always was.
#[track_caller]
fn look(screen: &Terminal, frame: &[String], seen: &mut BTreeSet<String>) -> String {
    let text = screen.text();
    assert_eq!(around(&text), frame, "\n{text}");
    let words = text.split([' ', '\n', '│']);
    seen.extend(words.filter(|word| word.ends_with(['k', 'e'])).map(str::to_owned));
    text
}

#[test]
fn the_whole_table_is_read_on_a_screen_and_does_nothing() {
    let cluster = Cluster::start(1);
    cluster.leader();
    let alice = cluster.person("alice");
    alice.register();
    let count = send_all(&cluster, &["alice"]).len();
    let mut screen = alice.screen();
    screen.wait_for(SOON, &format!("{count} unread: Tab opens them"));
    screen.keys("\t\x1b[1;5F");
    let last = format!(" e{}e", count - 1);
    screen.wait_for(SOON, &last);
    wait_until(SOON, "nothing is unread", || (!screen.text().contains("unread")).then_some(()));
    let frame = around(&screen.text());
    assert_eq!(frame[0], " rustchat            │", "{frame:?}");
    assert_eq!(frame[1], ">1 mallory           │", "{frame:?}");
    assert!(frame[2..21].iter().all(|row| row == "                     │"), "{frame:?}");
    assert!(frame[22].starts_with(" alice@n1 ▸ n1 t1"), "{frame:?}");
    let mut seen = BTreeSet::new();
    let began = "this is where you and mallory began";
    let mut text = look(&screen, &frame, &mut seen);
    while !text.contains(began) {
        screen.keys("\x1b[5~");
        let top = messages(&text, 1..3);
        text = wait_until(SOON, "an earlier screen is drawn to its last row", || {
            let now = look(&screen, &frame, &mut seen);
            let drawn = now != text && messages(&now, 19..21) == top;
            (drawn || now.contains(began)).then_some(now)
        });
    }
    for (n, attack) in attacks().iter().enumerate() {
        let (begin, end) = (format!("k{n}k"), format!("e{n}e"));
        wait_until(SOON, &format!("message {n} is seen: {attack:?}"), || {
            look(&screen, &frame, &mut seen);
            (seen.contains(&begin) && seen.contains(&end)).then_some(())
        });
    }
    screen.keys("\x1b[200~before \x1b]52;c;ZXZpbA==\x07\u{9b}2J\u{202e}\u{200b}after\x1b[201~");
    screen.wait_for(SOON, "after");
    screen.keys("\x03/quit\r");
    assert_eq!(screen.ended(SOON), 0);
    wait_until(SOON, "the terminal is given back", || (!screen.is_full_screen()).then_some(()));
    only_own(&screen);
}

/// What `--tail` with `options` prints for somebody who has as many unread messages.
#[track_caller]
fn tail(person: &Person, options: &[&str], count: usize) -> String {
    let printed = person.home().join("printed");
    let mut command = person.chat(options);
    let mut child = Running::start(command.stdout(File::create(&printed).unwrap()));
    let lines = wait_until(SOON, "a line for each message", || {
        let bytes = std::fs::read(&printed).unwrap();
        (bytes.iter().filter(|byte| **byte == b'\n').count() >= count).then_some(bytes)
    });
    signal(child.0.id(), "TERM");
    assert!(child.ended().success(), "{options:?}");
    assert_eq!(terminal::lines(&lines), Ok(()), "{options:?}");
    String::from_utf8(lines).unwrap()
}

#[test]
fn programs_get_all_of_it_and_a_terminal_nothing_that_acts() {
    let cluster = Cluster::start(1);
    cluster.leader();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    alice.register();
    bob.register();
    let sent = send_all(&cluster, &["alice", "bob"]);
    let json = tail(&alice, &["--tail", "--json"], sent.len());
    for (line, bytes) in json.lines().zip(&sent) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["text"].as_str(), std::str::from_utf8(bytes).ok(), "nothing is lost");
    }
    let plain = tail(&bob, &["--tail"], sent.len());
    for (n, line) in plain.lines().enumerate() {
        let (time, rest) = line.split_once(" mallory → bob: ").unwrap_or_else(|| panic!("{line}"));
        assert_eq!(time.len(), "14:02:00".len(), "{line}");
        let is_text = std::str::from_utf8(&sent[n]).is_ok();
        let own = [format!("k{n}k "), format!(" e{n}e")];
        let whole = rest.starts_with(&own[0]) && rest.ends_with(&own[1]);
        assert!(if is_text { whole } else { rest == "(not a text)" }, "{line}");
    }
    assert!(plain.contains("␛]52;c;ZXZpbA==␇"), "{plain}");

    let lines = sent.iter().filter_map(|bytes| std::str::from_utf8(bytes).ok());
    let lines: Vec<_> = lines.filter(|line| !line.contains(['\n', '\r'])).collect();
    let output = bob.run(&["--send", "alice", "--json"], &lines);
    let (said, err) = texts(&output);
    assert!(output.status.success(), "{err}");
    assert_eq!(terminal::lines(&output.stdout), Ok(()));
    assert_eq!(terminal::lines(&output.stderr), Ok(()));
    assert_eq!(said.lines().count(), lines.len());
    for (line, text) in said.lines().zip(&lines) {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["text"], **text);
    }
}

/// What a stopped server holds is looked at by people, too.
#[test]
fn a_dump_of_the_data_shows_all_of_it_and_does_nothing() {
    let mut cluster = Cluster::start(1);
    cluster.leader();
    cluster.person("alice").register();
    let sent = send_all(&cluster, &["alice"]);
    cluster.kill_all();
    let output = cluster.node(1).check(&["--dump"]);
    let (out, err) = texts(&output);
    assert!(output.status.success(), "{err}");
    assert_eq!(terminal::lines(&output.stdout), Ok(()));
    let messages = out.lines().filter(|line| line.starts_with("message ")).count();
    assert_eq!(messages, sent.len(), "{out}");
    assert!(out.contains(r"k0k \u{1b}]52;c;ZXZpbA==\u{7} e0e"), "{out}");
    let log = cluster.node(1).wrote("log");
    assert_eq!(terminal::lines(log.as_bytes()), Ok(()));
}
