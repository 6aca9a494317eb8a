//! People: `rustchat chat` processes with a home directory of their own.

use super::node::program;
use super::wait::wait_until;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a batch of messages may take to be committed.
const SEND: Duration = Duration::from_secs(30);

/// Someone who chats.
pub struct Person {
    /// The user's name.
    pub name: String,
    home: PathBuf,
    discovery: u16,
    server: Option<String>,
}

/// A message as `--json` prints it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// The message's id.
    pub id: String,
    /// Its place in the conversation.
    pub seq: u64,
    /// The sender's name.
    pub from: String,
    /// What it says.
    pub text: String,
}

impl Said {
    fn read(line: &str) -> Self {
        let json: Value = serde_json::from_str(line).unwrap_or_else(|why| panic!("{why}: {line}"));
        let text = |key: &str| json[key].as_str().unwrap_or_else(|| panic!("{key} in {line}"));
        Self {
            id: text("id").to_owned(),
            seq: json["seq"].as_u64().unwrap_or_else(|| panic!("seq in {line}")),
            from: text("from").to_owned(),
            text: text("text").to_owned(),
        }
    }
}

impl Person {
    pub fn new(name: &str, home: &Path, discovery: u16) -> Self {
        let home = home.join(format!("home-{name}"));
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(home.join("password"), format!("the password of {name}\n")).unwrap();
        Self { name: name.to_owned(), home, discovery, server: None }
    }

    /// The same person who asks this server instead of the local network.
    pub fn at(mut self, server: impl ToString) -> Self {
        self.server = Some(server.to_string());
        self
    }

    /// Where this person's files are.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// `rustchat chat` as this person, with `options`; registers where the name is new.
    pub fn chat(&self, options: &[&str]) -> Command {
        let mut command = program(&self.home);
        command.args(["chat", "--register", "--user", &self.name, "--password-file"]);
        command.arg(self.home.join("password"));
        command.arg("--discovery").arg(self.discovery.to_string());
        if let Some(server) = &self.server {
            command.args(["--server", server]);
        }
        command.args(options);
        command
    }

    /// Runs `chat` with `options` and these lines as standard input, to its end.
    #[track_caller]
    pub fn run(&self, options: &[&str], lines: &[&str]) -> Output {
        let mut command = self.chat(options);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
        // The program may end before it has read everything; its exit code then says why.
        let writer = std::thread::spawn(move || drop(stdin.write_all(text.as_bytes())));
        let what = format!("{} {options:?} ends", self.name);
        let mut guard = Guard(child);
        wait_until(SEND, &what, || guard.0.try_wait().unwrap());
        writer.join().unwrap();
        guard.output()
    }

    /// Sends lines with `--send --json`; all of them must be committed.
    #[track_caller]
    pub fn send(&self, to: &str, lines: &[&str]) -> Vec<Said> {
        let output = self.run(&["--send", to, "--json"], lines);
        let (out, err) = texts(&output);
        assert!(output.status.success(), "{} to {to}: {}: {err}", self.name, output.status);
        let said: Vec<_> = out.lines().map(Said::read).collect();
        assert_eq!(said.len(), lines.len(), "{} to {to}: {out}{err}", self.name);
        said
    }

    /// Registers without sending anything.
    #[track_caller]
    pub fn register(&self) {
        let output = self.run(&["--send", &self.name], &[]);
        assert!(output.status.success(), "{}: {}", self.name, texts(&output).1);
    }

    /// Starts `--tail --json`.
    pub fn tail(&self) -> Tail {
        let log = self.home.join("tail.log");
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        let mut command = self.chat(&["--tail", "--json"]);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap();
        let stdout = child.stdout.take().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                sink.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Tail { name: self.name.clone(), child: Guard(child), lines }
    }
}

/// Standard output and standard error as text.
fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// A process that is killed on drop.
struct Guard(Child);

impl Guard {
    /// What an ended process wrote; short enough to wait in the pipes.
    fn output(mut self) -> Output {
        let mut stdout = Vec::new();
        let mut stderr = Vec::new();
        if let Some(mut pipe) = self.0.stdout.take() {
            std::io::Read::read_to_end(&mut pipe, &mut stdout).unwrap();
        }
        if let Some(mut pipe) = self.0.stderr.take() {
            std::io::Read::read_to_end(&mut pipe, &mut stderr).unwrap();
        }
        Output { status: self.0.wait().unwrap(), stdout, stderr }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A running `--tail`.
pub struct Tail {
    name: String,
    child: Guard,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Tail {
    /// What it has printed so far.
    pub fn said(&self) -> Vec<Said> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(|line| Said::read(line)).collect()
    }

    /// Waits until it has printed `count` messages, and returns all.
    #[track_caller]
    pub fn wait_for(&self, count: usize, deadline: Duration) -> Vec<Said> {
        let what = format!("{} sees {count} messages", self.name);
        wait_until(deadline, &what, || {
            let said = self.said();
            (said.len() >= count).then_some(said)
        })
    }

    /// Ends it with SIGTERM, as a person would.
    pub fn end(mut self) -> Vec<Said> {
        super::node::signal(self.child.0.id(), "TERM");
        let what = format!("{}'s tail ends", self.name);
        wait_until(Duration::from_secs(10), &what, || self.child.0.try_wait().unwrap());
        self.said()
    }
}
