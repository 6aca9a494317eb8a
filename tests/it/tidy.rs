//! The rules of the house that the compiler does not know: who may know whom,
//! what is pure, how long a file gets, what is never written.

use clap::CommandFactory;
use rustchat::cli::args::Cli;
use std::path::PathBuf;

/// Which module of `src` may name which others. What is missing here may name nobody.
const EDGES: [(&str, &[&str]); 20] = [
    ("limits", &[]),
    ("clock", &[]),
    ("telemetry", &["chat"]),
    ("tls", &[]),
    ("config", &["limits"]),
    ("chat", &["limits"]),
    ("wire", &["chat", "tls", "limits"]),
    ("store", &["wire", "chat", "limits"]),
    ("discovery", &["wire", "chat", "tls", "limits"]),
    ("raft", &["store", "wire", "chat", "tls", "clock", "limits"]),
    ("report", &["wire", "chat", "limits"]),
    ("client", &["discovery", "report", "wire", "chat", "tls", "limits"]),
    ("link", &["client", "wire", "chat", "tls", "limits"]),
    (
        "server",
        &[
            "raft",
            "store",
            "link",
            "client",
            "report",
            "discovery",
            "wire",
            "chat",
            "tls",
            "clock",
            "limits",
        ],
    ),
    ("ui", &["client", "report", "chat", "wire", "clock", "limits"]),
    ("bench", &["client", "chat", "wire", "limits"]),
    ("cli", ALL),
    ("demo", ALL),
    ("main", ALL),
    ("lib", ALL),
];
const ALL: &[&str] = &[
    "bench",
    "chat",
    "cli",
    "client",
    "clock",
    "config",
    "demo",
    "discovery",
    "limits",
    "link",
    "raft",
    "report",
    "server",
    "store",
    "telemetry",
    "ui",
    "wire",
];
/// Types of `chat` that consensus may name; the rest of it is none of its business.
const CHAT_IN_RAFT: &str = "crate::chat::ids";
const LONGEST_FILE: usize = 500;
const LONGEST_MAIN: usize = 60;
const LONGEST_FUNCTION: usize = 70;
const LONGEST_ARCHITECTURE: usize = 150;

struct Source {
    /// Relative to the project.
    name: String,
    text: String,
    /// Compiled for tests alone.
    test: bool,
}

impl Source {
    /// The module of `src` that it belongs to.
    fn module(&self) -> Option<&str> {
        let path = self.name.strip_prefix("src/")?;
        Some(path.split_once('/').map_or(path.trim_end_matches(".rs"), |(module, _)| module))
    }

    /// Lines of code with their numbers, without comments; texts are kept.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate();
        let code = lines.map(|(n, line)| (n + 1, line.split("//").next().unwrap_or("").trim_end()));
        code.filter(|(_, line)| !line.trim().is_empty())
    }

    /// The same without its tests, which stand at the end of a file or in one of their own.
    fn shipped(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut lines = self.text.lines();
        let end = lines
            .position(|line| line == "#[cfg(test)]")
            .filter(|at| self.text.lines().nth(at + 1).is_some_and(|next| next.ends_with('{')));
        self.code().filter(move |(n, _)| !self.test && end.is_none_or(|end| *n <= end))
    }

    /// Files of the modules that it declares for tests alone, without their ending.
    fn test_modules(&self) -> Vec<String> {
        let dir = self.name.trim_end_matches(".rs");
        let dir = ["/mod", "/lib", "/main"].iter().find_map(|end| dir.strip_suffix(end));
        let dir = dir.unwrap_or(self.name.trim_end_matches(".rs"));
        let lines = self.text.lines().zip(self.text.lines().skip(1));
        let declared =
            lines.filter(|(line, _)| line.trim() == "#[cfg(test)]").filter_map(|(_, next)| {
                let (_, module) = next.split_once("mod ")?;
                module.strip_suffix(';')
            });
        declared.map(|module| format!("{dir}/{module}")).collect()
    }
}

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(project().join(name)).unwrap_or_else(|why| panic!("{name}: {why}"))
}

fn files(dir: &str, wanted: &dyn Fn(&str) -> bool) -> Vec<Source> {
    let mut found = Vec::new();
    let mut dirs = vec![project().join(dir)];
    while let Some(dir) = dirs.pop() {
        for entry in std::fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(project()).unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                dirs.push(path);
            } else if wanted(&name) {
                let test = ["tests/", "benches/"].iter().any(|dir| name.starts_with(dir));
                found.push(Source { text: read(&name), name, test });
            }
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    let tests: Vec<_> = found.iter().flat_map(Source::test_modules).collect();
    for source in &mut found {
        source.test |= tests.iter().any(|test| {
            source.name.strip_prefix(test.as_str()).is_some_and(|rest| rest.starts_with(['.', '/']))
        });
    }
    found
}

fn rust(dir: &str) -> Vec<Source> {
    let found = files(dir, &|name| name.ends_with(".rs"));
    assert!(!found.is_empty(), "nothing in {dir}");
    found
}

fn everything() -> Vec<Source> {
    let mut all = rust("src");
    all.extend(rust("tests"));
    all.extend(rust("benches"));
    all
}

#[track_caller]
fn none(rule: &str, broken: Vec<String>) {
    assert!(broken.is_empty(), "{rule}:\n  {}", broken.join("\n  "));
}

/// The modules named by `crate::…` in a text, also in a group or several lines.
fn named(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for rest in text.split("crate::").skip(1) {
        let list = rest.strip_prefix('{').map_or(rest, |group| {
            let mut depth = 1;
            let end = group.find(|c| {
                depth += i32::from(c == '{') - i32::from(c == '}');
                depth == 0
            });
            &group[..end.unwrap_or(group.len())]
        });
        let grouped = rest.starts_with('{');
        let mut depth = 0;
        let parts = list.split(move |c| {
            depth += i32::from(c == '{') - i32::from(c == '}');
            grouped && depth == 0 && c == ','
        });
        for part in parts.take(if grouped { usize::MAX } else { 1 }) {
            let part = part.trim_start();
            let end = part.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            found.push(part[..end.unwrap_or(part.len())].to_owned());
        }
    }
    found.retain(|module| !module.is_empty());
    found
}

#[test]
fn groups_of_uses_are_read() {
    let text = "use crate::{chat::{a, b}, wire};\nuse crate::store::{x, y}; crate::limits::N";
    assert_eq!(named(text), ["chat", "wire", "store", "limits"]);
}

#[test]
fn modules_know_only_whom_they_may() {
    let mut broken = Vec::new();
    for source in rust("src") {
        let module = source.module().unwrap();
        let allowed = EDGES.iter().find(|(name, _)| *name == module).map_or(&[][..], |(_, to)| to);
        let code: String = source.shipped().flat_map(|(_, line)| [line, "\n"]).collect();
        for other in named(&code) {
            if other != module && ALL.contains(&other.as_str()) && !allowed.contains(&&*other) {
                broken.push(format!("{}: {module} names {other}", source.name));
            }
        }
        if module == "raft" {
            let chat = source.shipped().filter(|(_, line)| line.contains("crate::chat"));
            let other = chat.filter(|(_, line)| !line.contains(CHAT_IN_RAFT));
            broken.extend(other.map(|(n, line)| format!("{}:{n}: {line}", source.name)));
        }
    }
    none("the table of allowed edges (ARCHITECTURE.md) says otherwise", broken);
}

fn words(dirs: &[Source], forbidden: &[&str]) -> Vec<String> {
    let mut broken = Vec::new();
    for source in dirs {
        for (n, line) in source.shipped() {
            if let Some(word) = forbidden.iter().find(|word| line.contains(**word)) {
                broken.push(format!("{}:{n}: {word}", source.name));
            }
        }
    }
    broken
}

#[test]
fn the_chat_is_pure() {
    let impure = [
        "std::time",
        "std::net",
        "std::fs",
        "std::io",
        "std::env",
        "std::thread",
        "rand::",
        "HashMap",
        "HashSet",
        "tokio",
        "async ",
        "SystemTime",
        "Instant",
        "prost",
        "serde",
    ];
    none("chat has no clock, randomness, hash order or I/O", words(&rust("src/chat"), &impure));
}

#[test]
fn consensus_and_encodings_stay_in_their_rooms() {
    let outside = |dir: &str| {
        let all = rust("src").into_iter();
        all.filter(|source| !source.name.starts_with(dir)).collect::<Vec<_>>()
    };
    none("openraft is named in src/raft alone", words(&outside("src/raft/"), &["openraft"]));
    none(
        "protobuf types are seen in src/wire alone",
        words(&outside("src/wire/"), &["prost", "pb::"]),
    );
    none(
        "the database's driver is named in src/store/mongo alone",
        words(&outside("src/store/mongo/"), &["mongodb::", "bson"]),
    );
    none("every queue is bounded", words(&rust("src"), &["unbounded"]));
}

#[test]
fn files_and_functions_are_short_and_say_what_they_are() {
    let mut broken = Vec::new();
    for source in everything() {
        let lines = source.text.lines().count();
        let limit = if source.name == "src/main.rs" { LONGEST_MAIN } else { LONGEST_FILE };
        if lines > limit {
            broken.push(format!("{}: {lines} lines, {limit} at most", source.name));
        }
        if !source.text.starts_with("//!") {
            broken.push(format!("{}: does not begin with //!", source.name));
        }
        broken.extend(long_functions(&source));
    }
    let lines = read("ARCHITECTURE.md").lines().count();
    if lines > LONGEST_ARCHITECTURE {
        broken.push(format!("ARCHITECTURE.md: {lines} lines, {LONGEST_ARCHITECTURE} at most"));
    }
    none("short, and with a purpose", broken);
}

/// Functions from their `fn` to the brace that closes them, as rustfmt places it.
fn long_functions(source: &Source) -> Vec<String> {
    let lines: Vec<_> = source.text.lines().collect();
    let mut broken = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let code = line.trim_start();
        let indent = line.len() - code.len();
        let head = code.split('(').next().unwrap_or("");
        let declared = lines[at..].iter().find(|line| line.ends_with([';', '{']));
        if code.starts_with("//")
            || !head.split(' ').any(|word| word == "fn")
            || declared.is_none_or(|line| line.ends_with(';'))
        {
            continue;
        }
        let closing = format!("{}}}", " ".repeat(indent));
        let length = lines[at..].iter().position(|line| *line == closing).unwrap_or(0) + 1;
        if length > LONGEST_FUNCTION {
            broken.push(format!("{}:{}: a function of {length} lines", source.name, at + 1));
        }
    }
    broken
}

#[test]
fn nothing_is_left_open_and_no_test_sleeps_or_is_skipped() {
    let open = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X"),
        concat!("Being ", "written"),
    ];
    let mut broken = Vec::new();
    for source in everything() {
        for (n, line) in source.text.lines().enumerate() {
            let sleeps = source.test && line.contains(concat!("sleep", "("));
            let skipped = line.contains(concat!("#[ig", "nore"));
            if sleeps || skipped || open.iter().any(|word| line.contains(word)) {
                broken.push(format!("{}:{}: {}", source.name, n + 1, line.trim()));
            }
        }
    }
    none("left open, asleep or skipped", broken);
    let all = files("src", &|_| true).into_iter().map(|source| source.name);
    none("other things than code", all.filter(|name| !name.ends_with(".rs")).collect());
}

/// Every `rustchat …` in the README's blocks is a command with options that exist.
#[test]
fn the_readme_speaks_of_commands_that_exist() {
    let readme = read("README.md");
    let blocks = readme.split("```").skip(1).step_by(2).filter(|block| block.starts_with("sh"));
    let mut seen = 0;
    let mut broken = Vec::new();
    for line in blocks.filter_map(|block| block.strip_prefix("sh\n")).flat_map(str::lines) {
        let line = line.split(" #").next().unwrap_or("").trim().trim_start_matches("$ ");
        let command = line.strip_prefix("rustchat ");
        let command = command.or_else(|| line.strip_prefix("cargo run --release -- "));
        let Some(command) = command else { continue };
        seen += 1;
        let command = command.split(['|', '>', '<']).next().unwrap_or("");
        let words = std::iter::once("rustchat").chain(command.split_whitespace());
        if let Err(why) = Cli::command().try_get_matches_from(words)
            && why.use_stderr()
        {
            broken.push(format!("{line}: {why}"));
        }
    }
    assert!(seen >= 5, "only {seen} commands found in README.md");
    none("README.md", broken);
}
