//! Data directories that are damaged, emptied, foreign, in use or full: a clear
//! error and exit code, never a silent start with less, and no vote on the wire.

use crate::harness::{Cluster, Path as Way, program, wait_until};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

/// Corrupt data: sysexits' EX_DATAERR.
const DAMAGED: i32 = 65;
/// Not ours: sysexits' EX_CONFIG.
const NOT_OURS: i32 = 78;
/// How long a server may take to find out that it must not run.
const FIND_OUT: Duration = Duration::from_secs(10);

/// The newest file of a node's log.
fn newest_chunk(data: &Path) -> PathBuf {
    let mut files: Vec<_> =
        std::fs::read_dir(data.join("log")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.is_file() && path.metadata().unwrap().len() > 0);
    files.sort();
    files.pop().expect("a log file")
}

/// What is done to a file, in words and in deed.
type Damage = (&'static str, fn(&Path));

/// A few ways to damage the newest file of a log; `log_damage` has them all.
fn damages() -> [Damage; 3] {
    [
        ("a bit flips in the middle", |path| {
            let mut bytes = std::fs::read(path).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            std::fs::write(path, bytes).unwrap();
        }),
        ("half the file is missing", |path| {
            let length = std::fs::metadata(path).unwrap().len();
            OpenOptions::new().write(true).open(path).unwrap().set_len(length / 2).unwrap();
        }),
        ("the file is gone", |path| std::fs::remove_file(path).unwrap()),
    ]
}

/// Whatever happens to the newest file of a voter's log, it does not vote with less than it
/// acknowledged; `--rejoin` brings it back with everything.
#[test]
fn a_damaged_log_does_not_vote_and_rejoins() {
    let mut cluster = Cluster::setup().proxied().start(3);
    let (alice, bob) = (cluster.person("alice"), cluster.person("bob"));
    cluster.leader();
    bob.register();
    let mut sent = 0;
    for (what, damage) in damages() {
        let lines = ["before"; 40];
        alice.send("bob", &lines);
        sent += lines.len();
        let leader = cluster.leader().seat;
        let victim = cluster.seats().into_iter().find(|seat| *seat != leader).unwrap();
        cluster.same_state();
        // The guard is written within 100 ms of the log going quiet; a clean stop waits for it.
        cluster.signal(victim, "TERM");
        assert!(cluster.node(victim).ended(FIND_OUT).success(), "{what}: a clean stop");
        let data = cluster.node(victim).data.clone();
        damage(&newest_chunk(&data));

        let votes = cluster.paths().votes_of(victim);
        cluster.up(victim);
        let status = cluster.node(victim).ended(FIND_OUT);
        let log = cluster.node(victim).wrote("log");
        assert_eq!(status.code(), Some(DAMAGED), "{what}: {log}");
        assert!(log.contains("--rejoin"), "{what}: the way out is named: {log}");
        assert_eq!(cluster.paths().votes_of(victim), votes, "{what}: no vote");

        cluster.node(victim).start(&["--rejoin"]);
        wait_until(
            Duration::from_secs(20),
            &format!("{what}: the server is a voter again"),
            || {
                let node = cluster.status().into_iter().find(|node| node.seat == victim)?;
                (node.reachable && node.json["voter"] == true).then_some(())
            },
        );
        assert_eq!(cluster.same_state().len(), 3, "{what}");
    }
    // The one that came back last counts: a majority with it has everything.
    assert_eq!(bob.tail().wait_for(sent, Duration::from_secs(20)).len(), sent);
}

/// A voter whose directory was emptied is no new voter: its peers know it by its incarnation.
#[test]
fn an_emptied_directory_is_refused_and_rejoins() {
    let mut cluster = Cluster::setup().proxied().start(3);
    let bob = cluster.person("bob");
    let leader = cluster.leader().seat;
    bob.register();
    let victim = cluster.seats().into_iter().find(|seat| *seat != leader).unwrap();
    cluster.kill(victim);
    let data = cluster.node(victim).data.clone();
    std::fs::remove_dir_all(&data).unwrap();
    let votes = cluster.paths().votes_of(victim);
    cluster.up(victim);
    let status = cluster.node(victim).ended(FIND_OUT);
    let log = cluster.node(victim).wrote("log");
    assert_eq!(status.code(), Some(DAMAGED), "{log}");
    assert!(log.contains("--rejoin"), "{log}");
    assert_eq!(cluster.paths().votes_of(victim), votes);
    cluster.node(victim).start(&["--rejoin"]);
    wait_until(Duration::from_secs(20), "the server is a voter again", || {
        let node = cluster.status().into_iter().find(|node| node.seat == victim)?;
        (node.reachable && node.json["voter"] == true).then_some(())
    });
    assert_eq!(cluster.same_state().len(), 3);
}

/// A server that ought to refuse to run; killed on drop in case it does not.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Directories of another seat or another cluster, and one that is in use.
#[test]
fn a_foreign_or_locked_directory_is_refused() {
    let mut cluster = Cluster::start(3);
    cluster.leader();
    wait_until(FIND_OUT, "the first server knows its cluster", || {
        cluster.node(1).wrote("log").contains("the cluster is founded").then_some(())
    });
    cluster.same_state();
    let data = cluster.node(1).data.clone();
    let home = data.parent().unwrap().to_owned();
    let serve = |seat: &str, data: &Path, conf: &Path| {
        let mut command = program(&home);
        command.args(["serve", "--node", seat, "--data"]).arg(data).arg("--nodes").arg(conf);
        let log = home.join("refused.log");
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log).unwrap());
        let mut child = Ended(command.spawn().unwrap());
        let status = wait_until(FIND_OUT, "it refuses to run", || child.0.try_wait().unwrap());
        (status.code(), std::fs::read_to_string(&log).unwrap())
    };
    let (code, why) = serve("1", &data, &cluster.conf());
    assert_eq!(code, Some(NOT_OURS), "in use: {why}");
    cluster.kill(1);
    cluster.kill(2);
    let (code, why) = serve("2", &data, &cluster.conf());
    assert_eq!(code, Some(NOT_OURS), "of another seat: {why}");
    let text = std::fs::read_to_string(cluster.conf()).unwrap();
    let other = home.join("other.conf");
    std::fs::write(&other, format!("cluster_id = \"{}\"\n{text}", "ab".repeat(16))).unwrap();
    let (code, why) = serve("1", &data, &other);
    assert_eq!(code, Some(NOT_OURS), "of another cluster: {why}");
}

/// A leader that is cut off answers nobody and acknowledges nothing.
#[test]
fn a_leader_that_is_cut_off_is_replaced_and_comes_back_as_follower() {
    let cluster = Cluster::setup().proxied().start(3);
    let old = cluster.leader();
    cluster.paths().part(&[old.seat], 3, Way::Swallow);
    let new = wait_until(Duration::from_secs(5), "the others elect a leader", || {
        let all = cluster.status();
        all.into_iter().find(|n| n.role == "leader" && n.seat != old.seat && n.term > old.term)
    });
    cluster.paths().part(&[old.seat], 3, Way::Open);
    wait_until(Duration::from_secs(5), "the old leader follows", || {
        let leader = cluster.agreed()?;
        (leader.seat == new.seat && leader.term == new.term).then_some(())
    });
}
