//! `rustchat events`, and `status` that waits or goes on: what a script sees of an election, of a
//! cluster without a leader, and of one that is found on the network.

use crate::harness::{Cluster, LEADER, signal, texts, wait_until};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(20);

fn run(cluster: &Cluster, words: &[&str]) -> Output {
    command(cluster, words).output().unwrap()
}

fn command(cluster: &Cluster, words: &[&str]) -> Command {
    let mut command = cluster.program();
    command.args(words).arg("--nodes").arg(cluster.conf());
    command
}

/// The events of the servers that answer, and the exit code.
fn events(cluster: &Cluster, more: &[&str]) -> (Option<i32>, Vec<Value>) {
    let output = run(cluster, &[&["events", "--json", "--timeout", "1s"], more].concat());
    let (out, _) = texts(&output);
    let parse =
        |line: &str| serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}"));
    (output.status.code(), out.lines().map(parse).collect())
}

#[test]
fn the_survivors_tell_the_whole_election() {
    let mut cluster = Cluster::start(3);
    let old = cluster.leader();
    let before = wait_until(LEADER, "every server answers", || {
        let (code, all) = events(&cluster, &[]);
        (code == Some(0)).then_some(all)
    });
    assert!(before.iter().any(|e| e["kind"] == "elected"), "{before:?}");
    cluster.kill(old.seat);
    let new = cluster.leader();
    let (term, seat) = (new.term, new.seat.to_string());
    let all = wait_until(SOON, "the follower tells of its leader too", || {
        let (code, all) = events(&cluster, &[]);
        assert_eq!(code, Some(1), "one of them cannot be asked");
        all.iter().any(|e| e["kind"] == "new_leader" && e["term"] == term).then_some(all)
    });
    let of_term = |e: &&Value| e["term"] == term && e["node"] == *seat;
    let kinds: Vec<_> = all.iter().filter(of_term).map(|e| e["kind"].as_str().unwrap()).collect();
    let place = |kind: &str| {
        kinds.iter().position(|k| *k == kind).unwrap_or_else(|| panic!("no {kind} in {kinds:?}"))
    };
    let order = ["timeout", "prevote_asked", "prevote", "vote_asked", "vote", "elected"].map(place);
    assert!(order.is_sorted(), "{kinds:?}");
    let elected = all.iter().filter(of_term).find(|e| e["kind"] == "elected").unwrap();
    assert!(elected["cause"].is_string() && elected["took_seconds"].is_f64(), "{elected}");
    let dead = old.seat.to_string();
    assert!(all.iter().any(|e| e["kind"] == "lost_leader" && e["peer"] == *dead));
    let mut ids: Vec<_> = all.iter().map(|e| (e["node"].clone(), e["id"].clone())).collect();
    let count = ids.len();
    ids.sort_by_key(|id| format!("{id:?}"));
    ids.dedup();
    assert_eq!(ids.len(), count, "each is told once");
    let times: Vec<_> = all.iter().map(|e| e["at"].as_str().unwrap().parse().unwrap()).collect();
    assert!(times.is_sorted_by_key(|at: &jiff::Timestamp| *at), "in order of time");

    // Still told with a single server, and filters narrow it.
    cluster.kill(seat.parse().unwrap());
    let (code, left) = events(&cluster, &["--kind", "election"]);
    assert_eq!(code, Some(1));
    assert!(left.iter().any(|e| e["kind"] == "voted"), "{left:?}");
    assert_eq!(events(&cluster, &["--kind", "link,disk"]).1, Vec::<Value>::new());
    assert_eq!(events(&cluster, &["--since", "0s"]).1, Vec::<Value>::new());
    let text = texts(&run(&cluster, &["events"])).0;
    assert!(text.contains(&format!("votes for n{seat}")), "{text}");
    cluster.kill_all();
    assert_eq!(events(&cluster, &[]), (Some(3), vec![]));
}

#[test]
fn what_happens_is_followed_until_a_signal() {
    let mut cluster = Cluster::start(3);
    let old = cluster.leader();
    let mut follows = command(&cluster, &["events", "--json", "--follow"]);
    let mut child = follows.stdout(Stdio::piped()).spawn().unwrap();
    let out = BufReader::new(child.stdout.take().unwrap());
    let (say, heard) = std::sync::mpsc::sync_channel(4096);
    let reader = std::thread::spawn(move || {
        out.lines().map_while(Result::ok).for_each(|line| drop(say.send(line)));
    });
    let told = |line: &String| serde_json::from_str::<Value>(line).unwrap();
    wait_until(SOON, "the first election is told", || {
        heard.try_iter().find(|line| told(line)["kind"] == "elected")
    });
    let mut watches = command(&cluster, &["status", "--watch", "--json"]);
    let watches = watches.stdout(Stdio::piped()).spawn().unwrap();
    cluster.kill(old.seat);
    let new = cluster.leader();
    // It asks twice a second, so that a second look of ours is later than one of its.
    wait_until(SOON, "the new leader serves for a moment", || {
        let (_, all) = events(&cluster, &[]);
        let at = all.iter().find(|e| e["kind"] == "elected" && e["term"] == new.term)?;
        let at: jiff::Timestamp = at["at"].as_str()?.parse().ok()?;
        (jiff::Timestamp::now().duration_since(at).as_secs() >= 3).then_some(())
    });
    signal(child.id(), "TERM");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    reader.join().unwrap();
    let all: Vec<Value> = heard.try_iter().map(|line| told(&line)).collect();
    for kind in ["lost_leader", "timeout", "vote_asked", "elected"] {
        assert!(all.iter().any(|event| event["kind"] == kind), "no {kind} in {all:?}");
    }
    signal(watches.id(), "TERM");
    let output = watches.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "as the last look: one is missing");
    let looks = texts(&output).0;
    let last: Value = serde_json::from_str(looks.lines().last().unwrap()).unwrap();
    assert_eq!(last["verdict"], "degraded");
}

#[test]
fn a_script_waits_for_what_it_needs() {
    let mut cluster = Cluster::of(3);
    let wait = |cluster: &Cluster, goal: &str, within: &str| {
        let output = run(cluster, &["status", "--wait", goal, "--within", within]);
        (output.status.code(), texts(&output).1)
    };
    let (code, err) = wait(&cluster, "leader", "300ms");
    assert_eq!(code, Some(75), "{err}");
    assert!(err.contains("--wait"), "{err}");
    cluster.up(1);
    cluster.up(2);
    assert_eq!(wait(&cluster, "leader", "30s").0, Some(0), "also where one is missing");
    assert_eq!(wait(&cluster, "healthy", "300ms").0, Some(75));
    assert_eq!(wait(&cluster, "applied=1", "300ms").0, Some(75), "a voter is missing");
    cluster.up(3);
    assert_eq!(wait(&cluster, "healthy", "30s").0, Some(0));
    assert_eq!(wait(&cluster, "applied=1", "30s").0, Some(0));
    assert_eq!(wait(&cluster, "applied=1000000", "300ms").0, Some(75));
    assert_eq!(wait(&cluster, "bliss", "1s").0, Some(64));
}

#[test]
fn a_cluster_is_found_on_the_network_by_those_who_name_nobody() {
    let cluster = Cluster::start(3);
    cluster.leader();
    let place = cluster.home().join("elsewhere");
    std::fs::create_dir(&place).unwrap();
    let port = cluster.discovery().to_string();
    for words in [&["status"][..], &["events"], &["dash", "--once"]] {
        wait_until(LEADER, "the leader answers on the network", || {
            let mut command = cluster.program();
            command.args(words).args(["--discovery", &port]).current_dir(&place);
            let output = command.output().unwrap();
            let (out, _) = texts(&output);
            let all = ["1", "2", "3"].iter().all(|seat| out.contains(&format!("n{seat}")));
            let told = all || out.contains("3 of 3 servers are up");
            (output.status.code() == Some(0) && told).then_some(())
        });
    }
    let mut command = cluster.program();
    command.args(["status", "--cluster", "atlantis", "--discovery", &port]).current_dir(&place);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(69));
    assert!(texts(&output).1.contains("--node"), "{}", texts(&output).1);
}
