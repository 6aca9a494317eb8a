//! Servers and client on hosts of their own: network namespaces on a bridge,
//! made by this test and gone with it. The client has an empty home and knows no
//! address; what it finds, it finds by broadcast. Run again with
//! `cargo test --test it namespaces -- --nocapture`.

mod rogue;

use crate::harness::{inside, wait_until};
use rogue::Rogue;
use rustchat::chat::ids::ClusterId;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_rustchat");

/// Three servers, a client with an empty home, one bridge.
#[test]
fn a_client_without_an_address_finds_the_leader_on_another_host() {
    if !inside::is() {
        return inside::run_again(
            "namespaces::a_client_without_an_address_finds_the_leader_on_another_host",
        );
    }
    let net = Network::new(&["s1", "s2", "s3", "c1"]);
    let mut all = Servers::start(&net);
    let (dir, key) = (all.dir.path().to_owned(), all.key.clone());
    let dir = dir.as_path();

    // The key of a cluster elsewhere is compared by a person, once.
    let asked = net.chat("c1", dir, "alice", &["--register", "--send", "alice"], "to myself\n");
    assert_eq!(asked.status.code(), Some(77), "{}", describe(&asked, &all.servers));
    let said = String::from_utf8_lossy(&asked.stderr);
    assert!(said.contains("is new here") && said.contains(&key), "{said}");
    let compared = ["--fingerprint", &key, "--register", "--send", "alice"];
    let alice = net.chat("c1", dir, "alice", &compared, "to myself again\n");
    assert!(alice.status.success(), "{}", describe(&alice, &all.servers));
    let new = ["--trust-new", "--register", "--send", "alice"];
    let bob = net.chat("c1", dir, "bob", &new, "hello\nagain\n");
    assert!(bob.status.success(), "{}", describe(&bob, &all.servers));

    // The leader's host is cut off; whoever leads next answers instead.
    let leader =
        wait_until(Duration::from_secs(5), "a leader after messages were committed", || {
            net.leader(dir, &all.conf)
        });
    net.unplug(&leader);
    all.servers.retain(|s| s.host != leader);
    let more = net.chat("c1", dir, "bob", &["--send", "alice"], "after the cut\n");
    assert!(more.status.success(), "{}", describe(&more, &all.servers));

    let got = net.tail("c1", dir, "alice", 3);
    assert_eq!(got, ["hello", "again", "after the cut"]);
}

/// A host on the network answers every question at once: that it leads this cluster.
#[test]
fn a_rogue_that_always_answers_first_gets_no_password_and_keeps_nobody_away() {
    if !inside::is() {
        return inside::run_again(
            "namespaces::a_rogue_that_always_answers_first_gets_no_password_and_keeps_nobody_away",
        );
    }
    let net = Network::new(&["s1", "s2", "s3", "c1", "rogue"]);
    let all = Servers::start(&net);
    let (dir, key) = (all.dir.path().to_owned(), all.key.clone());
    let dir = dir.as_path();
    let compared = ["--fingerprint", &key, "--register", "--send", "alice"];
    let alice = net.chat("c1", dir, "alice", &compared, "before the rogue\n");
    assert!(alice.status.success(), "{}", describe(&alice, &all.servers));
    let cluster = net.cluster_id(dir, &all.conf);

    for signed in [false, true] {
        let rogue = Rogue::start("10.99.0.5", cluster, signed);
        // Who knows the cluster finds it, within the time of the contract.
        let found = Duration::from_secs(5);
        let known = net.chat_within(found, "c1", dir, "alice", &["--send", "alice"], "known\n");
        assert!(known.status.success(), "{}", describe(&known, &all.servers));
        let user = format!("bob{}", u8::from(signed));
        let named = ["--fingerprint", &key, "--register", "--send", "alice"];
        let named = net.chat_within(found, "c1", dir, &user, &named, "named\n");
        assert!(named.status.success(), "{}", describe(&named, &all.servers));
        assert!(rogue.asked() > 0, "the rogue has answered");
        assert_eq!(rogue.connections(), 0, "nobody believed it");
        // Who does not is told that there are two, and says nothing to either.
        if signed {
            let words = ["--trust-new", "--register", "--send", "alice"];
            let new = net.chat("c1", dir, "eve", &words, "new\n");
            let said = String::from_utf8_lossy(&new.stderr);
            assert_eq!(new.status.code(), Some(64), "{}", describe(&new, &all.servers));
            assert!(said.contains("several clusters") && said.contains(&key), "{said}");
            assert_eq!(rogue.connections(), 0);
            // Even whoever is sent there by hand tells it nothing.
            let to = ["--server", "10.99.0.5:7101", "--send", "alice"];
            let sent = net.chat("c1", dir, "alice", &to, "by hand\n");
            let said = String::from_utf8_lossy(&sent.stderr);
            assert_eq!(sent.status.code(), Some(77), "{}", describe(&sent, &all.servers));
            assert!(said.contains("THE KEY HAS CHANGED"), "{said}");
            assert_eq!(rogue.told(), 0, "not a byte of the protocol reached it");
        }
    }
}

/// Three servers with keys, on hosts of their own.
struct Servers {
    dir: tempfile::TempDir,
    conf: PathBuf,
    key: String,
    servers: Vec<Process>,
}

impl Servers {
    fn start(net: &Network) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let conf = dir.path().join("nodes.conf");
        std::fs::write(&conf, nodes_conf()).unwrap();
        let mut init = Network::inside("s1", dir.path());
        let made = init.args(["keys", "init", "--nodes"]).arg(&conf).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let key = rustchat::tls::authority_of(&dir.path().join("keys")).unwrap().to_string();
        assert!(String::from_utf8_lossy(&made.stdout).contains(&key));
        let servers = ["s1", "s2", "s3"].iter().map(|host| net.serve(host, dir.path(), &conf));
        let servers = servers.collect();
        Self { conf, key, servers, dir }
    }
}

fn nodes_conf() -> String {
    let node = |n: u32| {
        format!(
            "[[node]]\nid = {n}\nhost = \"10.99.0.{n}\"\nclient = 7101\npeer = 7201\nadmin = 7301\n"
        )
    };
    format!("cluster = \"hosts\"\ndiscovery = 7100\n{}{}{}", node(1), node(2), node(3))
}

/// Hosts on one bridge.
struct Network {
    hosts: Vec<String>,
}

/// A server on one of the hosts.
struct Process {
    host: String,
    child: Child,
    log: PathBuf,
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Network {
    fn new(hosts: &[&str]) -> Self {
        // `ip netns` keeps its names in /run/netns; this one is ours alone.
        inside::sh("mount --make-rprivate / && mount -t tmpfs tmpfs /run && mkdir -p /run/netns");
        inside::sh("ip link set lo up && ip link add br0 type bridge && ip link set br0 up");
        for (i, host) in hosts.iter().enumerate() {
            let n = i + 1;
            inside::sh(&format!(
                "ip netns add {host} && ip link add v{n} type veth peer name eth0 netns {host} \
                 && ip link set v{n} master br0 up \
                 && ip -n {host} addr add 10.99.0.{n}/24 brd 10.99.0.255 dev eth0 \
                 && ip -n {host} link set lo up && ip -n {host} link set eth0 up"
            ));
        }
        Self { hosts: hosts.iter().map(ToString::to_string).collect() }
    }

    fn inside(host: &str, home: &Path) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", host, PROGRAM])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", home);
        command
    }

    fn serve(&self, host: &str, dir: &Path, conf: &Path) -> Process {
        let log = dir.join(format!("{host}.log"));
        let home = dir.join(host);
        std::fs::create_dir_all(&home).unwrap();
        let child = Self::inside(host, &home)
            .args(["serve", "--nodes"])
            .arg(conf)
            .arg("--data")
            .arg(home.join("data"))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Process { host: host.to_owned(), child, log }
    }

    fn client(&self, host: &str, dir: &Path, user: &str, args: &[&str]) -> Command {
        let home = dir.join(format!("home-{user}"));
        std::fs::create_dir_all(&home).unwrap();
        let password = home.join("password");
        std::fs::write(&password, format!("secret of {user}\n")).unwrap();
        let mut command = Self::inside(host, &home);
        command.args(["chat", "--user", user, "--password-file"]);
        command.arg(password).args(args);
        command
    }

    fn chat(&self, host: &str, dir: &Path, user: &str, args: &[&str], input: &str) -> Output {
        self.chat_within(Duration::from_secs(40), host, dir, user, args, input)
    }

    /// The same, which must have ended within this time.
    fn chat_within(
        &self,
        deadline: Duration,
        host: &str,
        dir: &Path,
        user: &str,
        args: &[&str],
        input: &str,
    ) -> Output {
        use std::io::Write;
        let mut child = self
            .client(host, dir, user, args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        wait_until(deadline, "the client ends", || child.try_wait().unwrap());
        child.wait_with_output().unwrap()
    }

    /// The texts of the next `count` messages that `user` receives from others.
    fn tail(&self, host: &str, dir: &Path, user: &str, count: usize) -> Vec<String> {
        let out = dir.join("tail.json");
        let mut child = self
            .client(host, dir, user, &["--tail", "--json"])
            .stdout(std::fs::File::create(&out).unwrap())
            .spawn()
            .unwrap();
        let texts = wait_until(Duration::from_secs(20), "the messages arrive", || {
            let text = std::fs::read_to_string(&out).unwrap();
            let texts: Vec<String> = text
                .lines()
                .filter_map(|l| serde_json::from_str::<serde_json::Value>(l).ok())
                .filter(|m| m["from"] != user)
                .filter_map(|m| m["text"].as_str().map(str::to_owned))
                .collect();
            (texts.len() >= count).then_some(texts)
        });
        child.kill().unwrap();
        child.wait().unwrap();
        texts
    }

    /// The host whose server says that it leads.
    fn leader(&self, dir: &Path, conf: &Path) -> Option<String> {
        let output = Self::inside("c1", dir)
            .args(["status", "--json", "--nodes"])
            .arg(conf)
            .output()
            .unwrap();
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        let seat = status["leader"]["id"].as_str()?;
        self.hosts.iter().find(|host| **host == format!("s{seat}")).cloned()
    }

    fn cluster_id(&self, dir: &Path, conf: &Path) -> ClusterId {
        let output = Self::inside("c1", dir)
            .args(["status", "--json", "--nodes"])
            .arg(conf)
            .output()
            .unwrap();
        let status: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        ClusterId::parse(status["cluster"]["id"].as_str().unwrap()).unwrap()
    }

    fn unplug(&self, host: &str) {
        let n = 1 + self.hosts.iter().position(|h| h == host).unwrap();
        inside::sh(&format!("ip link set v{n} down"));
    }
}

fn describe(output: &Output, servers: &[Process]) -> String {
    let mut text = format!(
        "{}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    for server in servers {
        let log = std::fs::read_to_string(&server.log).unwrap_or_default();
        text.push_str(&format!("\n--- {} ---\n{log}", server.host));
    }
    text
}
