//! A server that means ill: every command that asks it, and the chat itself, show what it says, and
//! nothing of that acts on a terminal or passes for the program.

use super::fake::{Fake, Manner, PLAIN, POISON, messages, rustchat};
use super::{Running, SOON, only_own};
use crate::harness::{Terminal, signal, texts, wait_until};
use crate::support::{place::Place, terminal};
use rustchat::chat::ids::ClusterId;
use rustchat::limits;
use rustchat::wire::discovery::{Answer, decode_question, encode_answer};
use rustchat::wire::message::ServerAddress;
use serde_json::Value;
use socket2::{Domain, Socket, Type};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Output, Stdio};
use tempfile::TempDir;

/// How the poison begins where it is shown, and where it is written in JSON.
const SHOWN: &str = "␛]52;c;ZXZpbA==";
const WRITTEN: &str = r"\u001b]52;c;ZXZpbA==";

/// Runs to its end; both outputs are harmless.
#[track_caller]
fn ended(home: &Path, words: &[String]) -> Output {
    let mut command = rustchat(home, words);
    let mut child = Running::start(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    let read = |pipe: Option<Box<dyn Read + Send>>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            pipe.unwrap().read_to_end(&mut bytes).unwrap();
            bytes
        })
    };
    let stdout = read(child.0.stdout.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let stderr = read(child.0.stderr.take().map(|pipe| Box::new(pipe) as Box<dyn Read + Send>));
    let status = child.ended();
    let output = Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() };
    is_harmless(&output, words);
    output
}

#[track_caller]
fn is_harmless(output: &Output, words: &[String]) {
    assert_eq!(terminal::lines(&output.stdout), Ok(()), "{words:?}");
    assert_eq!(terminal::lines(&output.stderr), Ok(()), "{words:?}");
    let text = texts(output).1;
    let fake = text.lines().find(|line| line.starts_with("rustchat: all is well"));
    assert_eq!(fake, None, "{words:?}: {text}");
}

#[test]
fn what_it_says_of_itself_is_read_and_does_nothing() {
    let home = TempDir::new().unwrap();
    let fake = Fake::start(Manner::Open);
    let told = |words: &[&str]| {
        let (out, err) = texts(&ended(home.path(), &fake.asked(words)));
        assert!(!out.contains("\nrustchat: all"), "{words:?}: {out}");
        format!("{out}{err}")
    };
    for words in [
        &["status"][..],
        &["events"],
        &["events", "--kind", "member,disk,election"],
        &["member", "list"],
        &["health"],
        &["dash", "--once"],
    ] {
        let text = told(words);
        assert!(text.contains(SHOWN), "{words:?}: {text}");
    }
    for words in [
        &["status", "--json"][..],
        &["events", "--json"],
        &["member", "list", "--json"],
        &["leader", "show"],
    ] {
        let text = told(words);
        assert!(text.contains(WRITTEN) || words[0] == "leader", "{words:?}: {text}");
    }
    let document: Value = serde_json::from_str(&told(&["status", "--json"])).unwrap();
    assert_eq!(document["cluster"]["name"], POISON, "nothing is lost");
    let members: Value = serde_json::from_str(&told(&["member", "list", "--json"])).unwrap();
    assert!(members["members"].as_array().unwrap().len() > 40, "{members}");
}

#[test]
fn its_refusals_are_read_and_do_nothing() {
    let home = TempDir::new().unwrap();
    for manner in [Manner::GoAway, Manner::Refuse] {
        let fake = Fake::start(manner);
        for words in [&["status"][..], &["member", "list"], &["leader", "show"], &["health"]] {
            let text = texts(&ended(home.path(), &fake.asked(words))).0;
            assert!(text.contains(SHOWN), "{words:?}: {text}");
        }
        let text = texts(&ended(home.path(), &fake.asked(&["status", "--json"]))).0;
        assert!(text.contains(WRITTEN), "{text}");
        ended(home.path(), &fake.asked(&["events"]));
        ended(home.path(), &fake.asked(&["dash", "--once"]));
    }
}

/// Presses keys, each of which shows something, and leaves.
#[track_caller]
fn dashed(mut screen: Terminal, looks: &[(&str, &str)]) {
    screen.wait_for(SOON, SHOWN);
    screen.wait_for(SOON, " n1");
    for (keys, shown) in looks {
        screen.keys(keys);
        screen.wait_for(SOON, shown);
        let title = screen.text().lines().next().unwrap_or_default().to_owned();
        assert!(title.starts_with(" rustchat dash  ␛]52"), "{keys:?}: {title}");
    }
    screen.keys("q");
    assert_eq!(screen.ended(SOON), 0);
    wait_until(SOON, "the terminal is given back", || (!screen.is_full_screen()).then_some(()));
    only_own(&screen);
}

#[test]
fn the_dashboard_shows_it_and_its_recording_does_nothing() {
    let home = TempDir::new().unwrap();
    let fake = Fake::start(Manner::Open);
    let words = fake.asked(&["dash", "--record", "tape.ndjson"]);
    let looks = [("2", "TIMELINE"), ("3", "Who hears whom"), ("4", "LINKS"), ("5", "SESSIONS")];
    let more = [("1", "ROLE"), ("?", "this help"), ("\x1b", "ROLE")];
    dashed(Terminal::run(home.path(), &words), &[&looks[..], &more].concat());
    // One node alone has details, and every event.
    let alone = Fake::start(Manner::Alone);
    let screen = Terminal::run(home.path(), alone.asked(&["dash"]));
    dashed(
        screen,
        &[("\r", "DETAILS OF n1"), ("G", "peer n"), ("\x1b", "ROLE"), ("2\r", "TIMELINE")],
    );
    let tape = std::fs::read(home.path().join("tape.ndjson")).unwrap();
    assert_eq!(terminal::lines(&tape), Ok(()));
    let words = ["dash", "--once", "--replay", "tape.ndjson"].map(str::to_owned);
    let text = texts(&ended(home.path(), &words)).0;
    assert!(text.contains(SHOWN), "{text}");
}

#[test]
fn the_chat_shows_what_it_pushes_and_does_nothing() {
    let home = TempDir::new().unwrap();
    let fake = Fake::start(Manner::Open);
    let mut words = fake.chat(home.path());
    let mut screen = Terminal::run_in(home.path(), &words, &[("RUSTCHAT_LOG", "debug")]);
    screen.wait_for(SOON, "unread");
    screen.keys("\t\x1b[1;5F/status\r");
    screen.wait_for(SOON, "servers are up");
    screen.keys("\x0e\x10\x1b[5~\x1b[5~/switch rust\t\x15/switch pay\r\x1b[1;5H");
    screen.wait_for(SOON, "this is where you and");
    screen.keys("\x15/quit\r");
    assert_eq!(screen.ended(SOON), 0);
    wait_until(SOON, "the terminal is given back", || (!screen.is_full_screen()).then_some(()));
    only_own(&screen);

    let count = messages().len();
    words.push("--tail".to_owned());
    for json in [false, true] {
        words.extend(json.then(|| "--json".to_owned()));
        // Each time on a device that has printed nothing.
        words.extend(["--state".to_owned(), format!("state-{json}")]);
        let out = home.path().join("printed");
        let mut command = rustchat(home.path(), &words);
        let mut child = Running::start(command.stdout(File::create(&out).unwrap()));
        let lines = wait_until(SOON, "a line for each message", || {
            let bytes = std::fs::read(&out).unwrap();
            (bytes.iter().filter(|byte| **byte == b'\n').count() >= count).then_some(bytes)
        });
        signal(child.0.id(), "TERM");
        child.ended();
        assert_eq!(terminal::lines(&lines), Ok(()), "{words:?}");
        let text = String::from_utf8(lines).unwrap();
        assert!(text.contains(if json { WRITTEN } else { SHOWN }), "{text}");
        words.truncate(words.len() - 2);
    }
}

#[test]
fn the_chat_shows_why_it_is_not_let_in_and_does_nothing() {
    for manner in [Manner::GoAway, Manner::Refuse, Manner::Elsewhere, Manner::Redirect] {
        let home = TempDir::new().unwrap();
        let fake = Fake::start(manner);
        let words = fake.chat(home.path());
        let mut screen = Terminal::run_in(home.path(), &words, &[("RUSTCHAT_LOG", "debug")]);
        screen.wait_for(SOON, "reconnecting");
        screen.keys("/quit\r");
        assert_eq!(screen.ended(SOON), 0, "{manner:?}");
        wait_until(SOON, "the terminal is given back", || (!screen.is_full_screen()).then_some(()));
        only_own(&screen);
        let logs = std::fs::read_dir(home.path().join("state/rustchat/log")).unwrap();
        let log = std::fs::read(logs.map(Result::unwrap).next().unwrap().path()).unwrap();
        assert_eq!(terminal::lines(&log), Ok(()), "{manner:?}");
        let text = String::from_utf8(log).unwrap();
        assert!(text.contains("lost its server"), "{manner:?}: {text}");
        assert!(text.lines().all(|line| line.starts_with("20")), "{manner:?}: {text}");
    }
}

/// Without a screen it is told once, on standard error.
#[test]
fn a_script_is_told_why_it_is_not_let_in_in_one_line() {
    let wanted: [(_, &[&str]); 5] = [
        (Manner::GoAway, &[]),
        (Manner::Elsewhere, &[]),
        (Manner::Redirect, &[]),
        (Manner::Refuse, &[]),
        // It is another cluster than the one that is meant.
        (Manner::Open, &["--cluster", "west"]),
    ];
    for (manner, more) in wanted {
        let home = TempDir::new().unwrap();
        let fake = Fake::start(manner);
        let mut words = fake.chat(home.path());
        words.extend(more.iter().chain(&["--tail"]).map(|word| (*word).to_owned()));
        let err = home.path().join("err");
        let mut command = rustchat(home.path(), &words);
        let mut child = Running::start(command.stderr(File::create(&err).unwrap()));
        let said = wait_until(SOON, "it says why", || {
            let said = std::fs::read(&err).unwrap();
            said.ends_with(b"\n").then_some(said)
        });
        signal(child.0.id(), "TERM");
        child.ended();
        assert_eq!(terminal::lines(&said), Ok(()), "{manner:?}");
        let text = String::from_utf8(said).unwrap();
        assert_eq!(text.lines().count(), 1, "{manner:?}: {text}");
        // Who refuses to say where the leader is says nothing that is shown.
        assert!(text.contains(SHOWN) || manner == Manner::Refuse, "{manner:?}: {text}");
    }
}

/// Answers questions on the network as two clusters whose names try something.
fn answer(home: &Path) {
    let place = Place::take();
    let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    socket.set_reuse_address(true).unwrap();
    let all = SocketAddr::from((Ipv4Addr::UNSPECIFIED, place.discovery));
    socket.bind(&all.into()).unwrap();
    let socket: UdpSocket = socket.into();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let leader = ServerAddress { seat: 1, host: POISON.to_owned(), client: 7101, peer: 0 };
    let answering = std::thread::spawn(move || {
        let mut buffer = [0; 2048];
        while let Ok((count, from)) = socket.recv_from(&mut buffer) {
            let Ok(question) = decode_question(&buffer[..count]) else { break };
            for cluster in [1, 2] {
                let answer = Answer {
                    version: 1,
                    nonce: question.nonce,
                    cluster_name: format!("{POISON}{cluster}"),
                    cluster: ClusterId([cluster; 16]),
                    generation: 1,
                    leader: leader.clone(),
                    members: Vec::new(),
                    signer: None,
                };
                let answer = encode_answer(&answer, limits::QUESTION_BYTES, None).unwrap();
                socket.send_to(&answer, from).unwrap();
            }
        }
    });
    let port = place.discovery.to_string();
    for words in [&["status"][..], &["events"], &["dash", "--once"]] {
        let words = [words, &["--discovery", &port, PLAIN]].concat();
        let words: Vec<_> = words.into_iter().map(str::to_owned).collect();
        let output = ended(home, &words);
        let err = texts(&output).1;
        assert_eq!(output.status.code(), Some(64), "{words:?}: {err}");
        assert_eq!(err.lines().count(), 1, "{words:?}: {err}");
        assert_eq!(err.matches(SHOWN).count(), 2, "{words:?}: {err}");
    }
    // Anything else than a question ends it.
    let end = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    end.send_to(b"end", (Ipv4Addr::LOCALHOST, place.discovery)).unwrap();
    answering.join().unwrap();
}

#[test]
fn names_of_clusters_on_the_network_are_told_and_do_nothing() {
    answer(TempDir::new().unwrap().path());
}

/// Whatever listens where orders are taken, or where a backup is asked for.
#[test]
fn what_an_admin_port_answers_is_read_and_does_nothing() {
    let home = TempDir::new().unwrap();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let text = serde_json::json!({ "result": "done", "text": POISON }).to_string();
    let failed = serde_json::json!({ "result": "refused", "text": POISON }).to_string();
    let bodies = [("200 OK", text), ("409 Conflict", failed), ("409 Conflict", POISON.to_owned())];
    let commands: [&[&str]; 3] = [
        &["leader", "step-down", "--admin", &address],
        &["drain", "1", "--admin", &address],
        &["backup", "create", "--node", &address, "--out", "file"],
    ];
    for (words, (code, body)) in commands.iter().zip(bodies) {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        let listener = listener.try_clone().unwrap();
        let answering = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let count = stream.read(&mut [0; 8192]).unwrap();
            assert!(count > 0, "an empty request");
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {code}\r\ncontent-type: application/json\r\n\
                 content-length: {length}\r\nconnection: close\r\n\r\n"
            );
            stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
        });
        let (out, err) = texts(&ended(home.path(), &words));
        assert!(format!("{out}{err}").contains(SHOWN), "{words:?}: {out}{err}");
        answering.join().unwrap();
    }
}
