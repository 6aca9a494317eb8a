//! `chat --send` and `chat --tail` as a script uses them: what goes wrong and
//! what is kept.

use crate::harness::{Cluster, Stores, over_every_store, signal, texts, wait_until};
use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::time::Duration;

over_every_store! {
    what_a_signal_interrupts_is_sent_by_the_next_run,
    processes_of_one_user_on_one_machine_do_not_disturb_each_other,
}

const SOON: Duration = Duration::from_secs(15);

fn what_a_signal_interrupts_is_sent_by_the_next_run(stores: Stores) {
    let mut cluster = stores.start(3);
    cluster.leader();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    bob.register();
    let mut command = alice.chat(&["--send", "bob", "--json"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"one\n").unwrap();
    let mut said = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut said).unwrap();
    assert!(said.contains("one"), "committed: {said}");
    cluster.kill_all();
    input.write_all(b"two\nthree\n").unwrap();
    let outbox = alice.home().join("state/rustchat/alice/devices/1/outbox");
    wait_until(SOON, "the outbox has them", || {
        let kept = std::fs::read(&outbox).unwrap();
        kept.windows(5).any(|part| part == b"three").then_some(())
    });
    signal(child.id(), "TERM");
    let output = child.wait_with_output().unwrap();
    drop(input);
    let (_, err) = texts(&output);
    assert_eq!(output.status.code(), Some(75), "{err}");
    assert!(err.contains("2 messages are not committed"), "{err}");

    cluster.start_all();
    cluster.leader();
    let said = alice.send("bob", &["four"]);
    assert_eq!(said[0].seq, 4, "after the two of the run before");
    let heard = bob.tail().wait_for(4, SOON);
    let heard: Vec<_> = heard.iter().map(|said| said.text.as_str()).collect();
    assert_eq!(heard, ["one", "two", "three", "four"]);
}

#[test]
fn a_mistake_in_the_input_is_named_and_what_was_before_it_stands() {
    let cluster = Cluster::start(1);
    cluster.leader();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    bob.register();
    let output = alice.run(&["--send", "nobody"], &["hello?"]);
    assert_eq!(output.status.code(), Some(64));
    assert!(texts(&output).1.contains("no user \"nobody\""), "{}", texts(&output).1);
    let long = "x".repeat(16 * 1024 + 1);
    let output = alice.run(&["--send", "bob", "--json"], &["fine", "", &long, "never"]);
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(65), "{err}");
    assert!(err.contains("line 3 has more than 16 KiB"), "{err}");
    assert_eq!(out.lines().count(), 1, "{out}");
    alice.send("bob", &["later"]);
    let heard = bob.tail().wait_for(2, SOON);
    assert_eq!(heard.iter().map(|said| said.text.as_str()).collect::<Vec<_>>(), ["fine", "later"]);
}

fn processes_of_one_user_on_one_machine_do_not_disturb_each_other(stores: Stores) {
    let cluster = stores.start(3);
    cluster.leader();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    bob.register();
    alice.register();
    let lines = |by: char| (1..=200).map(|n| format!("{by} {n}")).collect::<Vec<_>>();
    let three: Vec<_> = ['a', 'b', 'c'].map(|by| alice.start_sending("bob", &lines(by))).into();
    let said: Vec<_> = three.into_iter().map(|sending| sending.ended(SOON)).collect();
    let heard = bob.tail().wait_for(600, SOON);
    assert_eq!(heard.len(), 600);
    for (by, said) in ['a', 'b', 'c'].into_iter().zip(said) {
        let texts: Vec<_> = said.iter().map(|s| s.text.clone()).collect();
        assert_eq!(texts, lines(by));
        let of_one: Vec<_> =
            heard.iter().filter(|h| h.text.starts_with(by)).map(|h| h.text.clone()).collect();
        assert_eq!(of_one, lines(by), "in order");
    }
}

#[test]
fn a_person_reads_lines_that_cannot_act_on_the_terminal_and_a_closed_pipe_is_no_failure() {
    let cluster = Cluster::start(1);
    cluster.leader();
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    bob.register();
    alice.send("bob", &["\u{1b}]52;c;eA==\u{7}\u{1b}[2Jhello \u{202e}evil"]);
    let mut command = bob.chat(&["--tail", "alice"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.ends_with("alice → bob: ␛]52;c;eA==␇␛[2Jhello \u{fffd}evil\n"), "{line:?}");
    // The pipe is closed now.
    alice.send("bob", &["anybody there?"]);
    let ended = wait_until(SOON, "the tail ends", || child.try_wait().unwrap());
    let err = child.wait_with_output().unwrap().stderr;
    assert!(ended.success(), "{ended}: {}", String::from_utf8_lossy(&err));
}
