//! The protocol is usable from another language: the example client talks with ours.

use crate::harness::{Cluster, Person, program, texts};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Python with `protobuf`: installed, or where `.ci/run` puts it.
fn python() -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONPATH", project().join("target/python"));
    command
}

fn client(cluster: &Cluster, who: &Person, descriptors: &Path, words: &[&str]) -> Command {
    let mut command = python();
    command.arg(project().join("examples/python/rustchat_client.py"));
    command.arg("--descriptors").arg(descriptors);
    command.args(["--user", &who.name, "--password-file"]);
    command.arg(who.home().join("password"));
    command.arg("--state").arg(who.home().join("device.json"));
    command.args(["--discovery-port", &cluster.discovery().to_string()]);
    command.args(["--ask", "127.255.255.255"]);
    command.arg("--ca").arg(cluster.home().join("keys/cluster.crt")).args(words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs it with this input, to its end.
fn output(mut command: Command, input: &str) -> Output {
    use std::io::Write;
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn a_client_in_python_talks_with_ours() {
    let found = python().args(["-c", "import google.protobuf"]).output();
    assert!(
        found.is_ok_and(|output| output.status.success()),
        "this test needs python3 with protobuf; to get it for the tests alone:\n  \
         python3 -m pip install --target target/python -r examples/python/requirements.txt"
    );
    let cluster = Cluster::start(3);
    cluster.leader();
    let descriptors = cluster.home().join("rustchat.fds");
    let printed = program(cluster.home()).arg("proto").output().unwrap();
    std::fs::write(&descriptors, printed.stdout).unwrap();
    let (alice, carol) = (cluster.person("alice"), cluster.person("carol"));
    alice.register();

    let sent = output(
        client(&cluster, &carol, &descriptors, &["--register", "send", "alice"]),
        "one\ntwo\n",
    );
    assert!(sent.status.success(), "{}", texts(&sent).1);
    let heard = alice.tail().wait_for(2, Duration::from_secs(15));
    let heard: Vec<_> = heard.iter().map(|said| (said.from.as_str(), said.text.as_str())).collect();
    assert_eq!(heard, [("carol", "one"), ("carol", "two")]);

    // The second time it is the same device, and needs no password.
    let kept = carol.home().join("device.json");
    let mode = std::fs::metadata(&kept).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the token is for its user alone");
    let carol = carol.with_password("forgotten\n");
    let before = std::fs::read(&kept).unwrap();
    alice.send("carol", &["three", "four"]);
    let got = output(client(&cluster, &carol, &descriptors, &["tail", "--count", "2"]), "");
    let (out, err) = texts(&got);
    assert!(got.status.success(), "{err}");
    let texts: Vec<String> = out
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .map(|said| said["text"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(texts, ["three", "four"]);
    assert_eq!(std::fs::read(&kept).unwrap(), before, "the device and its token stay");
    // Servers that another authority vouches for are told nothing.
    let other = cluster.home().join("other");
    rustchat::tls::make_keys(&other, "test", std::time::SystemTime::now()).unwrap();
    let mut wrong = client(&cluster, &carol, &descriptors, &[]);
    wrong.arg("--server").arg(cluster.address(1).to_string());
    wrong.arg("--ca").arg(other.join("cluster.crt")).args(["tail", "--count", "1"]);
    let refused = output(wrong, "");
    let (_, err) = crate::harness::texts(&refused);
    assert!(!refused.status.success() && err.contains("CERTIFICATE_VERIFY_FAILED"), "{err}");
}
