//! People: `rustchat chat` processes with a home directory of their own.

use super::node::program;
use super::pty::Terminal;
use crate::support::wait::wait_until;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long a batch of messages may take to be committed.
const SEND: Duration = Duration::from_secs(30);

/// Someone who chats.
pub struct Person {
    /// The user's name.
    pub name: String,
    home: PathBuf,
    cluster: String,
    discovery: u16,
    plain: bool,
    password: bool,
    register: bool,
    /// Of `--user`, and where it connects, for a guest of another cluster.
    guest: Option<(String, Vec<String>)>,
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
    /// Reads a line that `--json` printed.
    pub fn read(line: &str) -> Self {
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
    pub fn new(name: &str, home: &Path, (cluster, discovery): (&str, u16), plain: bool) -> Self {
        let home = home.join(format!("home-{name}"));
        std::fs::create_dir_all(&home).unwrap();
        std::fs::write(home.join("password"), format!("the password of {name}\n")).unwrap();
        let (name, cluster, guest) = (name.to_owned(), cluster.to_owned(), None);
        Self { name, home, cluster, discovery, plain, password: true, register: true, guest }
    }

    /// The same person at another machine, with the same password.
    pub fn elsewhere(mut self, machine: &str) -> Self {
        let home = self.home.with_extension(machine);
        std::fs::create_dir_all(&home).unwrap();
        std::fs::copy(self.home.join("password"), home.join("password")).unwrap();
        self.home = home;
        self
    }

    /// The same person with another password.
    pub fn with_password(self, password: &str) -> Self {
        std::fs::write(self.home.join("password"), password).unwrap();
        self
    }

    /// The same person, who has no password at hand.
    pub fn without_password(mut self) -> Self {
        self.password = false;
        self
    }

    /// The same person, who does not say in which cluster.
    pub fn anywhere(mut self) -> Self {
        self.cluster.clear();
        self
    }

    /// The same person, who does not ask to be registered.
    pub fn known(mut self) -> Self {
        self.register = false;
        self
    }

    /// The same person on the same machine as `name@home`, who connects with these options and
    /// has no password at hand.
    pub fn away(&self, home: &str, options: &[&str]) -> Self {
        let user = format!("{}@{home}", self.name);
        let options = options.iter().map(|&option| option.to_owned()).collect();
        Self {
            name: self.name.clone(),
            home: self.home.clone(),
            cluster: String::new(),
            discovery: self.discovery,
            plain: self.plain,
            password: false,
            register: false,
            guest: Some((user, options)),
        }
    }

    /// Where this person's files are.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// Where their clients keep what they know.
    pub fn state(&self) -> PathBuf {
        self.home.join("state").join("rustchat")
    }

    /// `rustchat keys` with these words, as this person.
    pub fn keys(&self, words: &[&str]) -> Output {
        program(&self.home).arg("keys").args(words).output().unwrap()
    }

    /// `rustchat chat` as this person, with `options`; registers where the name is new.
    pub fn chat(&self, options: &[&str]) -> Command {
        let mut command = program(&self.home);
        let (user, more) = self.guest.clone().unwrap_or((self.name.clone(), Vec::new()));
        command.args(["chat", "--user", &user]).args(more);
        if self.register {
            command.arg("--register");
        }
        if self.password {
            command.arg("--password-file").arg(self.home.join("password"));
        }
        command.arg("--discovery").arg(self.discovery.to_string());
        // There may be others on the same network.
        if !["", "test"].contains(&self.cluster.as_str()) {
            command.args(["--cluster", &self.cluster]);
        }
        if self.plain {
            command.arg("--insecure-plain");
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
        // Read while it runs: what it writes may be more than a pipe holds.
        let stdout = read_all(child.stdout.take());
        let stderr = read_all(child.stderr.take());
        let mut guard = Guard(child);
        let status = wait_until(SEND, &what, || guard.0.try_wait().unwrap());
        writer.join().unwrap();
        Output { status, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() }
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

    /// Opens the chat in a terminal of its own.
    pub fn screen(&self) -> Terminal {
        let chat = self.chat(&[]);
        Terminal::run(&self.home, chat.get_args())
    }

    /// Starts `--tail --json`.
    pub fn tail(&self) -> Talk {
        Talk::start(self, "tail", self.chat(&["--tail", "--json"]), Vec::new())
    }

    /// Starts `--send --json` with these lines.
    pub fn start_sending(&self, to: &str, lines: &[String]) -> Talk {
        let text: String = lines.iter().flat_map(|line| [line, "\n"]).collect();
        Talk::start(self, "send", self.chat(&["--send", to, "--json"]), text.into_bytes())
    }
}

/// Runs to its end with this exit code, and gives what it printed.
#[track_caller]
pub fn ends(output: &Output, code: i32) -> String {
    let (out, err) = texts(output);
    assert_eq!(output.status.code(), Some(code), "{out}{err}");
    out + &err
}

/// Standard output and standard error as text.
pub fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

/// Reads a pipe to its end, in a thread of its own.
fn read_all(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_end(&mut bytes).unwrap();
        }
        bytes
    })
}

/// A process that is killed on drop.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A running `--tail` or `--send`, which prints messages as JSON.
pub struct Talk {
    what: String,
    child: Guard,
    lines: Arc<Mutex<Vec<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Talk {
    fn start(person: &Person, kind: &str, mut command: Command, input: Vec<u8>) -> Self {
        let log = person.home.join(format!("{kind}.log"));
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // The program may end before it has read everything; its exit code then says why.
        std::thread::spawn(move || drop(stdin.write_all(&input)));
        let stdout = child.stdout.take().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&lines);
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                sink.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let what = format!("{}'s {kind}", person.name);
        Self { what, child: Guard(child), lines, reader: Some(reader) }
    }

    /// What it has printed so far.
    pub fn said(&self) -> Vec<Said> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(|line| Said::read(line)).collect()
    }

    /// Waits until it has printed `count` messages, and returns all.
    #[track_caller]
    pub fn wait_for(&self, count: usize, deadline: Duration) -> Vec<Said> {
        wait_until(deadline, &format!("{} has {count} messages", self.what), || {
            let said = self.lines.lock().unwrap_or_else(PoisonError::into_inner).len();
            (said >= count).then(|| self.said())
        })
    }

    /// Waits until it ends by itself, in order, and returns all that it printed.
    #[track_caller]
    pub fn ended(mut self, deadline: Duration) -> Vec<Said> {
        let what = format!("{} ends", self.what);
        let status = wait_until(deadline, &what, || self.child.0.try_wait().unwrap());
        assert!(status.success(), "{}: {status}", self.what);
        self.reader.take().unwrap().join().unwrap();
        self.said()
    }

    /// Waits until it gives up by itself.
    #[track_caller]
    pub fn fails(mut self, deadline: Duration) {
        let what = format!("{} gives up", self.what);
        let status = wait_until(deadline, &what, || self.child.0.try_wait().unwrap());
        assert!(!status.success(), "{}: {status}", self.what);
    }

    /// Ends it with SIGTERM, as a person would.
    #[track_caller]
    pub fn end(self) -> Vec<Said> {
        super::signal(self.child.0.id(), "TERM");
        self.ended(Duration::from_secs(10))
    }
}
