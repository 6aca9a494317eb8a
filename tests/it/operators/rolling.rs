//! All servers are restarted, one after the other, while people write.

use crate::harness::{Cluster, Person, Said, wait_until};
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(30);
/// Contract: no send waits longer for its acknowledgement.
const LONGEST: Duration = Duration::from_millis(1500);

/// Somebody who sends the next message as soon as the one before is acknowledged.
struct Writer {
    child: Child,
    stop: Arc<AtomicBool>,
    acknowledged: Arc<AtomicUsize>,
    thread: JoinHandle<(Vec<String>, Duration)>,
}

impl Writer {
    fn start(person: &Person, to: &str) -> Self {
        let mut command = person.chat(&["--send", to, "--json"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut stdin = child.stdin.take().unwrap();
        let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let (told, counted): (_, Arc<AtomicUsize>) = (Arc::clone(&stop), Arc::clone(&acknowledged));
        let thread = std::thread::spawn(move || {
            let (mut sent, mut longest) = (Vec::new(), Duration::ZERO);
            while !told.load(Ordering::Relaxed) {
                let text = format!("line {}", sent.len());
                let begin = Instant::now();
                writeln!(stdin, "{text}").unwrap();
                stdin.flush().unwrap();
                let line = lines.next().expect("an acknowledgement").unwrap();
                // The first one waits for the connection too.
                if !sent.is_empty() {
                    longest = longest.max(begin.elapsed());
                }
                assert_eq!(Said::read(&line).text, text);
                sent.push(text);
                counted.fetch_add(1, Ordering::Relaxed);
            }
            (sent, longest)
        });
        Self { child, stop, acknowledged, thread }
    }

    fn more(&self, messages: usize) {
        let want = self.acknowledged.load(Ordering::Relaxed) + messages;
        wait_until(SOON, "messages are acknowledged", || {
            (self.acknowledged.load(Ordering::Relaxed) >= want).then_some(())
        });
    }

    /// What was sent and acknowledged, and the longest wait.
    fn end(mut self) -> (Vec<String>, Duration) {
        self.stop.store(true, Ordering::Relaxed);
        let told = self.thread.join().unwrap();
        let status = wait_until(SOON, "the sender ends", || self.child.try_wait().unwrap());
        assert!(status.success(), "{status}");
        told
    }
}

/// Each server is drained, ended and started again. Every message is there once, nobody waits
/// long, and the leader changes at most once for each server.
#[test]
fn a_rolling_restart_loses_nothing_and_blocks_nobody() {
    restart_all(true);
}

/// The same where nobody drains anything: the signal alone hands over.
#[test]
fn a_rolling_restart_by_signals_alone_loses_nothing_and_blocks_nobody() {
    restart_all(false);
}

/// How often a server became leader. A term may also pass without one, where two ask for votes.
fn elected(cluster: &mut Cluster) -> usize {
    let logs = cluster.seats().into_iter().map(|seat| cluster.node(seat).wrote("log"));
    let logs: String = logs.collect();
    logs.lines().filter(|line| line.contains("\"kind\":\"Elected\"")).count()
}

fn restart_all(drains: bool) {
    let mut cluster = Cluster::start(3);
    cluster.healthy();
    let before = elected(&mut cluster);
    assert!(before > 0, "the logs tell who was elected");
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    bob.register();
    alice.register();
    let tail = bob.tail();
    let writer = Writer::start(&alice, "bob");
    for seat in cluster.seats() {
        let id = seat.to_string();
        writer.more(50);
        if drains {
            cluster.done(&["drain", &seat.to_string(), "--wait"]);
        }
        cluster.signal(seat, "TERM");
        assert_eq!(cluster.node(seat).ended(SOON).code(), Some(0), "an orderly end");
        writer.more(50);
        cluster.up(seat);
        wait_until(SOON, "the server has caught up", || {
            let json = cluster.well()?;
            let node = json["nodes"].as_array()?.iter().find(|n| n["id"] == id)?;
            let near = node["lag_entries"].as_u64().is_some_and(|lag| lag < 64);
            near.then_some(())
        });
    }
    writer.more(50);
    let (sent, longest) = writer.end();
    eprintln!("the longest wait for an acknowledgement: {longest:?}");
    tail.wait_for(sent.len(), Duration::from_secs(60));
    let got: Vec<_> = tail.end().into_iter().map(|said| said.text).collect();
    assert_eq!(got, sent, "bob has every line once and in order");
    cluster.leader();
    let leaders = elected(&mut cluster) - before;
    assert!(leaders <= 3, "{leaders} leaders were elected");
    assert!(longest <= LONGEST, "a message waited {longest:?} for its acknowledgement");
}
