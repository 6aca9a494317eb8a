//! A follower that cuts conflicting tails of its log is killed at any moment, for
//! real: a process of its own, ended by SIGKILL. Whatever it had acknowledged is
//! there afterwards, and it is never refused.

use super::damage::open;
use crate::store::Store;
use crate::store::record::{LogId, Vote};
use crate::store::samples::{append, entry};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;

const DIR: &str = "RUSTCHAT_TEST_KILLED_STORE";
const SEEDS: u64 = 200;

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n@ {text}").unwrap();
    out.flush().unwrap();
}

/// The process that is killed. Does nothing unless it is started for that.
#[tokio::test]
async fn follower_that_is_killed() {
    let Ok(dir) = std::env::var(DIR) else { return };
    let store = open(Path::new(&dir)).unwrap();
    let mut end = store.bounds().last.map_or(0, |last| last.index + 1);
    let first = store.vote().map_or(1, |vote| vote.term + 1);
    for term in first..first + 100_000 {
        let vote = Vote { term, node: 2, committed: false };
        store.save_vote(vote).await.unwrap();
        say(&format!("vote {term}"));
        let from = end.saturating_sub(term % 7);
        say(&format!("cut {from}"));
        store.truncate(from).await.unwrap();
        end = from + 3 + term % 5;
        append(&store, (from..end).map(|index| entry(term, index)).collect()).await.unwrap();
        say(&format!("acknowledged {term} {from} {end}"));
    }
}

/// What the process said before it was killed.
#[derive(Debug, Default)]
struct Said {
    vote: u64,
    entries: Vec<LogId>,
}

impl Said {
    fn hear(&mut self, line: &str) {
        let mut words = line.split_whitespace();
        let word = words.next();
        let numbers: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
        match (word, numbers.as_slice()) {
            (Some("vote"), [term]) => self.vote = *term,
            (Some("cut"), [from]) => self.entries.retain(|id| id.index < *from),
            (Some("acknowledged"), [term, from, end]) => {
                self.entries.extend((*from..*end).map(|index| LogId { term: *term, index }));
            }
            _ => panic!("heard {line:?}"),
        }
    }
}

fn start(dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::embedded::kill::follower_that_is_killed", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Lets the process run until it has cut once, and a little longer; kills it.
fn kill_soon(dir: &Path, rng: &mut StdRng, said: &mut Said) {
    let mut child = start(dir);
    let (lines, heard) = mpsc::sync_channel(100_000);
    let output = BufReader::new(child.stdout.take().unwrap());
    let reader = std::thread::spawn(move || {
        for line in output.lines().map_while(Result::ok) {
            if let Some(line) = line.strip_prefix("@ ") {
                lines.send(line.to_owned()).unwrap();
            }
        }
    });
    let cut = heard.recv_timeout(Duration::from_secs(30)).expect("the process works");
    let (_never, wait) = mpsc::sync_channel::<()>(1);
    let longer = Duration::from_micros(rng.random_range(0..50_000));
    assert!(wait.recv_timeout(longer).is_err(), "nothing is sent there");
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
    said.hear(&cut);
    heard.try_iter().for_each(|line| said.hear(&line));
}

async fn one_run(dir: &Path, seed: u64) {
    let mut said = Said::default();
    let mut rng = StdRng::seed_from_u64(seed);
    for _ in 0..2 {
        kill_soon(dir, &mut rng, &mut said);
        let store = open(dir).unwrap_or_else(|error| panic!("refused (SEED={seed}): {error}"));
        let vote = store.vote().map_or(0, |vote| vote.term);
        assert!(vote >= said.vote, "vote {vote} of {} (SEED={seed})", said.vote);
        let entries = store.read(0, u64::MAX).await.unwrap();
        for id in &said.entries {
            let found = entries.get(id.index as usize).map(|entry| entry.id);
            // A cut that was announced may have happened, or not.
            assert_eq!(found, Some(*id), "(SEED={seed})");
        }
        store.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 3)]
async fn a_killed_follower_is_never_refused() {
    let first = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1_u64);
    let next = std::sync::Arc::new(AtomicU64::new(first));
    let workers = (0..3).map(|_| {
        let next = std::sync::Arc::clone(&next);
        tokio::spawn(async move {
            // Two kills for each directory.
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= first + SEEDS / 2 {
                    return;
                }
                let temp = tempfile::tempdir().unwrap();
                one_run(temp.path(), seed).await;
            }
        })
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
}
