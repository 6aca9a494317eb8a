//! One server: a real `rustchat serve` process, its files and its signals.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::Duration;

/// The program under test, without anything of the user who runs the tests.
pub fn program(home: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rustchat"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("RUSTCHAT_") && !text.starts_with("RUSTCHAT_TEST_") {
            command.env_remove(name);
        }
    }
    command
        .env_remove("NOTIFY_SOCKET")
        .env("RUSTCHAT_CONFIG", "/dev/null")
        .current_dir(home)
        .env("HOME", home)
        .env("XDG_STATE_HOME", home.join("state"))
        .env("XDG_DATA_HOME", home.join("data"))
        .env("RUST_BACKTRACE", "1");
    command
}

/// Copies a directory with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// A server that may run or not.
pub struct Node {
    /// Its seat.
    pub seat: u32,
    /// Its data directory.
    pub data: PathBuf,
    home: PathBuf,
    nodes: PathBuf,
    options: Vec<String>,
    environment: Vec<(String, String)>,
    child: Option<Child>,
}

impl Node {
    pub fn new(
        seat: u32,
        home: &Path,
        nodes: &Path,
        options: &[String],
        environment: &[(String, String)],
    ) -> Self {
        Self {
            seat,
            data: home.join(format!("node-{seat}")),
            home: home.to_owned(),
            nodes: nodes.to_owned(),
            options: options.to_vec(),
            environment: environment.to_vec(),
            child: None,
        }
    }

    fn file(&self, kind: &str) -> PathBuf {
        self.home.join(format!("node-{}.{kind}", self.seat))
    }

    fn open(&self, kind: &str) -> File {
        OpenOptions::new().create(true).append(true).open(self.file(kind)).unwrap()
    }

    /// Starts it with `options` besides its own. It ends with the test, also if that is killed:
    /// then its standard input closes.
    pub fn start(&mut self, options: &[&str]) {
        assert!(self.child.is_none(), "server {} runs already", self.seat);
        let mut command = program(&self.home);
        command.arg("serve").arg("--until-stdin-closes");
        command.arg("--nodes").arg(&self.nodes);
        command.arg("--node").arg(self.seat.to_string());
        command.arg("--data").arg(&self.data).args(&self.options).args(options);
        command.env("RUSTCHAT_LOG", "error,rustchat=debug");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::piped()).stdout(self.open("out")).stderr(self.open("log"));
        self.child = Some(command.spawn().unwrap());
    }

    /// The URL of its database, if that is where it keeps its data.
    pub fn store(&self) -> Option<&str> {
        let at = self.options.iter().position(|option| option == "--store")?;
        self.options.get(at + 1).map(String::as_str)
    }

    /// Takes the server to another machine, on which there is nothing yet; its options stay.
    pub fn moved(&mut self, machine: &str) {
        assert!(self.child.is_none(), "server {} runs", self.seat);
        self.home = self.home.join(machine);
        std::fs::create_dir(&self.home).unwrap();
        self.data = self.home.join("data");
    }

    /// The directory that is home to it, with what it wrote to its outputs.
    pub fn home(&self) -> &Path {
        &self.home
    }

    /// `rustchat store check` of its data, with `options`.
    pub fn check(&self, options: &[&str]) -> Output {
        let mut command = program(&self.home);
        command.args(["store", "check"]).args(options);
        match self.store() {
            Some(url) => {
                command.args(["--store", url, "--node", &self.seat.to_string()]);
                command.arg("--nodes").arg(&self.nodes);
            }
            None => drop(command.arg(&self.data)),
        }
        command.output().unwrap()
    }

    /// `rustchat` with these words, about this server's data.
    pub fn tool(&self, words: &[&str]) -> Output {
        let mut command = program(&self.home);
        command.args(words);
        match self.store() {
            Some(url) => {
                command.args(["--store", url, "--node", &self.seat.to_string()]);
                command.arg("--nodes").arg(&self.nodes);
            }
            None => drop(command.arg("--data").arg(&self.data)),
        }
        command.output().unwrap()
    }

    /// Whether a process is there.
    pub fn runs(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().map(Child::id).unwrap_or_else(|| panic!("{} is down", self.seat))
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Waits until it ends by itself.
    pub fn ended(&mut self, deadline: Duration) -> ExitStatus {
        let what = format!("server {} ends", self.seat);
        let child = self.child.as_mut().unwrap_or_else(|| panic!("{} is down", self.seat));
        let status = super::wait_until(deadline, &what, || child.try_wait().unwrap());
        self.child = None;
        status
    }

    /// What it wrote to standard output (`out`) or to standard error (`log`), of all its lives.
    pub fn wrote(&self, kind: &str) -> String {
        std::fs::read(self.file(kind))
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
    }
}
