//! The demo leaves nothing behind: no process, no directory.

use crate::harness::{program, signal, texts, wait_until};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Three servers in the debug build are there long before this.
const START: Duration = Duration::from_secs(30);
const END: Duration = Duration::from_secs(15);

struct Demo {
    child: Child,
    out: BufReader<ChildStdout>,
    home: TempDir,
}

impl Demo {
    /// Starts it without a terminal, its temporary directory inside ours.
    fn start(options: &[&str]) -> Self {
        let home = TempDir::with_prefix("rustchat-it-").unwrap();
        let mut command = program(home.path());
        command.arg("demo").args(options).env("TMPDIR", home.path());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out, home }
    }

    /// The command that it prints for somebody.
    fn command(&mut self) -> String {
        let mut line = String::new();
        self.out.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Its directories: one while it runs.
    fn dirs(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(self.home.path()).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths.filter(|path| path.to_string_lossy().contains("rustchat-demo-")).collect()
    }

    fn ended(&mut self) -> Option<i32> {
        wait_until(END, "the demo ends", || self.child.try_wait().unwrap()).code()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Servers that were started from this directory and still run.
fn servers(dir: &Path) -> usize {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    let dir = dir.to_string_lossy().into_owned();
    lines.filter(|line| String::from_utf8_lossy(line).contains(&dir)).count()
}

fn gone(dir: &Path) {
    wait_until(END, "no server of the demo runs", || (servers(dir) == 0).then_some(()));
}

#[test]
fn its_commands_work_and_a_signal_removes_everything() {
    let mut demo = Demo::start(&["--user", "dora"]);
    let (dora, bob) = (demo.command(), demo.command());
    assert!(dora.contains("--user dora") && bob.contains("--user bob"), "{dora}\n{bob}");
    let dir = demo.dirs().pop().expect("a directory");
    assert_eq!(servers(&dir), 3);
    let sh = |line: String| Command::new("sh").arg("-c").arg(line).output().unwrap();
    let registered = sh(format!("{dora} --send dora </dev/null"));
    assert!(registered.status.success(), "{}", texts(&registered).1);
    let sent = sh(format!("echo hello | {bob} --send dora"));
    assert!(sent.status.success(), "{}", texts(&sent).1);
    signal(demo.child.id(), "INT");
    assert_eq!(demo.ended(), Some(0));
    assert_eq!(demo.dirs(), [] as [PathBuf; 0]);
    gone(&dir);
}

#[test]
fn kept_data_stays_and_its_servers_do_not() {
    let mut demo = Demo::start(&["--keep"]);
    demo.command();
    signal(demo.child.id(), "TERM");
    assert_eq!(demo.ended(), Some(0));
    let dir = demo.dirs().pop().expect("it was to be kept");
    assert!(dir.join("server-1").is_dir());
    gone(&dir);
}

#[test]
fn servers_do_not_outlive_a_demo_that_is_killed() {
    let mut demo = Demo::start(&[]);
    demo.command();
    let dir = demo.dirs().pop().expect("a directory");
    wait_until(START, "three servers", || (servers(&dir) == 3).then_some(()));
    demo.child.kill().unwrap();
    gone(&dir);
}
