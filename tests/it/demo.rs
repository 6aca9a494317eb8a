//! The demo leaves nothing behind: no process, no directory.

use crate::harness::{Terminal, program, signal, texts, wait_until};
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

    fn dirs(&self) -> Vec<PathBuf> {
        dirs(self.home.path())
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

/// The directories of a demo: one while it runs.
fn dirs(home: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(home).unwrap().map(|entry| entry.unwrap().path());
    paths.filter(|path| path.to_string_lossy().contains("rustchat-demo-")).collect()
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

#[test]
fn in_a_terminal_it_opens_the_chat_and_cleans_up_on_every_way_out() {
    for way_out in ["keys", "TERM", "HUP"] {
        let home = TempDir::with_prefix("rustchat-it-").unwrap();
        let mut terminal = Terminal::run(home.path(), ["demo"]);
        terminal.wait_for(START, "unread");
        terminal.keys("\t");
        terminal.wait_for(START, "Welcome, alice.");
        let dir = dirs(home.path()).pop().expect("a directory");
        // The welcome says how somebody else joins, in a line that can be copied.
        let second = format!("sh {}", dir.join("bob").display());
        assert!(dir.join("bob").is_file() && second.len() < 80);
        match way_out {
            "keys" => terminal.keys("/quit\r"),
            name => signal(terminal.pid(), name),
        }
        assert_eq!(terminal.ended(END), 0, "{way_out}");
        assert!(!terminal.is_full_screen(), "{way_out}: the terminal is given back");
        assert_eq!(dirs(home.path()), [] as [PathBuf; 0], "{way_out}");
        gone(&dir);
    }
}
