//! A server's configuration: what `config` says of it, and SIGHUP on a real process.

use crate::harness::{Cluster, program, signal, texts, wait_until};
use rustchat::config::settings::{KEYS, Sources, variable};
use serde_json::Value;
use std::path::Path;
use std::process::Output;
use std::time::Duration;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(10);

fn config(home: &Path, env: &[(&str, &str)], words: &[&str]) -> Output {
    let mut command = program(home);
    command.arg("config").args(words).envs(env.iter().copied());
    command.output().unwrap()
}

fn home() -> TempDir {
    let home = TempDir::with_prefix("rustchat-it-").unwrap();
    std::fs::write(home.path().join("nodes.conf"), include_str!("../../nodes.conf")).unwrap();
    home
}

#[test]
fn check_tells_all_that_is_wrong_and_show_where_each_value_is_from() {
    let home = home();
    let write = |name: &str, text: &str| std::fs::write(home.path().join(name), text).unwrap();
    write("bad.toml", "nodes = \"bad.conf\"\nnod = 1\n[log]\nlevel = \"loud\"\n");
    write("bad.conf", "cluster = \"west\"\n[[node]]\nidd = 1\n");
    let env = [("RUSTCHAT_CONFIG", "bad.toml"), ("RUSTCHAT_ADMIN", "here"), ("RUSTCHAT_DTA", "x")];
    for command in [&["check"][..], &["show"]] {
        let output = config(home.path(), &env, command);
        let (out, err) = texts(&output);
        assert_eq!((output.status.code(), out.as_str()), (Some(78), ""), "{command:?}: {err}");
        let wrong = ["bad.toml:2: ", "bad.toml:4: ", "env RUSTCHAT_ADMIN: ", "bad.conf:3: "];
        assert_eq!(err.lines().count(), wrong.len(), "{err}");
        for part in wrong {
            assert!(err.contains(part), "{command:?} should say {part}: {err}");
        }
    }
    write(
        "good.toml",
        "insecure_plain = true\nnode = 3\nstore = \"mongodb://u:secret@h/\"\n[log]\nkeep = 2\n",
    );
    let env = [("RUSTCHAT_CONFIG", "good.toml"), ("RUSTCHAT_NODE", "2"), ("RUSTCHAT_DTA", "x")];
    let output = config(home.path(), &env, &["check"]);
    let (out, err) = texts(&output);
    assert_eq!(output.status.code(), Some(0), "{err}");
    assert!(out.contains("server 2") && err.contains("did you mean RUSTCHAT_DATA?"), "{out}{err}");

    let (out, _) = texts(&config(home.path(), &env, &["show", "--json", "--data", "d"]));
    let json: Value = serde_json::from_str(&out).unwrap();
    let said = |key: &str| {
        let row = &json["settings"][key];
        (row["value"].as_str().unwrap().to_owned(), row["origin"].as_str().unwrap().to_owned())
    };
    let expected = [
        ("data", "d", "flag --data"),
        ("node", "2", "env RUSTCHAT_NODE"),
        ("log.keep", "2", "good.toml:5"),
        ("store", "mongodb://…@h/", "good.toml:3"),
        ("admin", "127.0.0.1:7302", "nodes.conf:29"),
        ("shutdown_grace", "30s", "default"),
    ];
    for (key, value, origin) in expected {
        assert_eq!(said(key), (value.to_owned(), origin.to_owned()), "{key}");
    }
    let (table, _) = texts(&config(home.path(), &env, &["show", "--origin"]));
    assert!(!table.contains("secret") && !out.contains("secret"), "{table}{out}");
    for key in KEYS.into_iter().filter(|key| *key != "store_file") {
        assert!(table.lines().any(|line| line.starts_with(key)), "{key} is not in {table}");
    }
}

#[test]
fn the_documentation_and_the_example_have_every_key() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/rustchat.toml");
    let sources = Sources { file: Some(example), ..Sources::default() };
    sources.load().unwrap_or_else(|wrong| panic!("{wrong:?}"));
    let (example, docs) =
        (include_str!("../../assets/rustchat.toml"), include_str!("../../docs/configuration.md"));
    for key in KEYS {
        let name = key.rsplit('.').next().unwrap();
        let lines = || example.lines().map(|line| line.trim_start_matches("# "));
        assert!(lines().any(|line| line.starts_with(&format!("{name} = "))), "{key}");
        assert!(docs.contains(&format!("`{key}`")), "{key} is not in docs/configuration.md");
        assert!(docs.contains(&variable(key)), "{} is not in docs", variable(key));
    }
    // What the example only suggests is valid too.
    let all: String = example
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = ")).unwrap_or(line))
        .filter(|line| !line.starts_with("store_file"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let home = TempDir::with_prefix("rustchat-it-").unwrap();
    let file = home.path().join("all.toml");
    std::fs::write(&file, all).unwrap();
    let settings = Sources { file: Some(file), ..Sources::default() }.load();
    let settings = settings.unwrap_or_else(|wrong| panic!("{wrong:?}"));
    assert!(settings.node.is_some() && settings.log.dir.is_some(), "{settings:?}");
}

/// The lines of a server's log on standard error.
fn lines(cluster: &mut Cluster) -> Vec<Value> {
    let log = cluster.node(1).wrote("log");
    log.lines().map(|line| serde_json::from_str(line).unwrap_or_default()).collect()
}

#[track_caller]
fn heard(cluster: &mut Cluster, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    wait_until(SOON, what, || lines(cluster).into_iter().find(|line| wanted(line)))
}

fn says(line: &Value, msg: &str) -> bool {
    line["msg"].as_str().is_some_and(|text| text.contains(msg))
}

#[test]
fn sighup_applies_the_level_names_what_needs_a_restart_and_never_ends_the_process() {
    // Empty is as good as not there: else it would win over the file.
    let mut cluster = Cluster::setup().variable("RUSTCHAT_LOG", "").of(1);
    let file = cluster.home().join("own.toml");
    let write = |text: &str| std::fs::write(&file, text).unwrap();
    write("[log]\nlevel = \"info\"\n");
    cluster.node(1).start(&["--config", file.to_str().unwrap()]);
    cluster.leader();
    let pid = cluster.node(1).pid();
    let line =
        heard(&mut cluster, "the configuration in one line", |l| says(l, "the configuration"));
    assert!(line["settings"].as_str().unwrap().contains("log.level=info"), "{line}");
    assert!(lines(&mut cluster).iter().all(|line| line["level"] != "debug"));

    write("[log]\nlevel = \"debug\"\nlevle = 1\n");
    signal(pid, "HUP");
    let line = heard(&mut cluster, "why it is wrong", |l| says(l, "everything stays"));
    let why = line["why"].as_str().unwrap();
    assert!(why.contains("own.toml:3: ") && why.contains("did you mean \"level\"?"), "{line}");
    assert_eq!(line["level"], "error");

    write("shutdown_grace = \"7s\"\n[log]\nlevel = \"debug\"\n");
    let conf = std::fs::read_to_string(cluster.conf()).unwrap();
    std::fs::write(cluster.conf(), conf.replace("peer = 7201", "peer = 7299")).unwrap();
    signal(pid, "HUP");
    let line = heard(&mut cluster, "that it was read again", |l| says(l, "was read again"));
    assert_eq!(line["restart"], "shutdown_grace, nodes.conf: node 1 peer", "{line}");
    let level = heard(&mut cluster, "the level", |l| l["key"] == "log.level");
    assert!(says(&level, "and applied") && level["to"] == "debug", "{level}");
    let grace = heard(&mut cluster, "the grace", |l| l["key"] == "shutdown_grace");
    assert!(says(&grace, "restart") && grace["from"] == "30s", "{grace}");

    for _ in 0..5 {
        signal(pid, "HUP");
    }
    cluster.signal(1, "TERM");
    let status = cluster.node(1).ended(SOON);
    assert_eq!(status.code(), Some(0), "{status}");
    heard(&mut cluster, "a line of the new level", |l| {
        l["level"] == "debug" && says(l, "stopping")
    });
}
