//! Which layer wins, what is complained about, and that nothing secret is said.

use super::*;
use std::io::Write;
use tempfile::NamedTempFile;

fn file(text: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    file
}

fn sources(file: Option<&NamedTempFile>, env: &[(&str, &str)]) -> Sources {
    let none = std::path::PathBuf::from("/dev/null");
    let environment = env.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    let file = file.map_or(none, |file| file.path().to_owned());
    Sources { file: Some(file), flags: Vec::new(), environment }
}

fn complaints(sources: &Sources) -> Vec<String> {
    sources.load().unwrap_err().iter().map(ToString::to_string).collect()
}

/// A valid value of every key in the file, the environment and a flag, all different.
const VALUES: [(&str, [&str; 3]); 16] = [
    ("node", ["1", "2", "3"]),
    ("nodes", ["\"/a\"", "/b", "/c"]),
    ("data", ["\"/a\"", "/b", "/c"]),
    ("store", ["\"mongodb://a\"", "mongodb://b", "mongodb://c"]),
    ("store_file", ["", "", ""]),
    ("keys", ["\"/a\"", "/b", "/c"]),
    ("insecure_plain", ["true", "false", "true"]),
    ("admin", ["\"127.0.0.1:1\"", "127.0.0.1:2", "off"]),
    ("links", ["[\"a:1\", \"b.c:2\"]", "b:2", "c:3,d:4"]),
    ("trust_new_links", ["true", "false", "true"]),
    ("shutdown_grace", ["\"1s\"", "2m", "3h"]),
    ("snapshot_log_bytes", ["\"1MiB\"", "2KiB", "3"]),
    ("log.level", ["\"warn\"", "debug", "rustchat=trace"]),
    ("log.format", ["\"text\"", "json", "auto"]),
    ("log.dir", ["\"/a\"", "/b", "/c"]),
    ("log.keep", ["1", "2", "3"]),
];

fn value(settings: &Settings, key: &str) -> (String, Origin) {
    fn of<T: Clone>(given: &Given<T>, show: impl Fn(T) -> String) -> (String, Origin) {
        (show(given.value.clone()), given.origin.clone())
    }
    let path = |given: &Option<Given<PathBuf>>| {
        of(given.as_ref().unwrap(), |path| path.display().to_string())
    };
    match key {
        "node" => of(settings.node.as_ref().unwrap(), |n| n.to_string()),
        "nodes" => path(&settings.nodes),
        "data" => path(&settings.data),
        "store" => of(settings.store.as_ref().unwrap(), |url| match url {
            StoreUrl::Mongo(url) => url,
            StoreUrl::Embedded => "embedded".to_owned(),
        }),
        "keys" => path(&settings.keys),
        "insecure_plain" => of(&settings.insecure_plain, |on| on.to_string()),
        "admin" => of(settings.admin.as_ref().unwrap(), |address| {
            address.map_or("off".to_owned(), |address| address.to_string())
        }),
        "links" => of(&settings.links, |links| links.join(",")),
        "trust_new_links" => of(&settings.trust_new_links, |on| on.to_string()),
        "shutdown_grace" => of(&settings.shutdown_grace, units::show_duration),
        "snapshot_log_bytes" => of(&settings.snapshot_log_bytes, units::show_size),
        "log.level" => of(&settings.log.level, |level| level),
        "log.format" => of(&settings.log.format, |format| format.name().to_owned()),
        "log.dir" => path(&settings.log.dir),
        "log.keep" => of(&settings.log.keep, |keep| keep.to_string()),
        other => panic!("{other}"),
    }
}

#[test]
fn flags_win_over_the_environment_over_the_file_over_the_default() {
    assert_eq!(VALUES.map(|(key, _)| key), KEYS);
    for (key, [in_file, in_env, in_flag]) in VALUES.into_iter().filter(|(_, v)| !v[0].is_empty()) {
        let line = match key.split_once('.') {
            Some((table, name)) => format!("\n[{table}]\n{name} = {in_file}\n"),
            None => format!("\n\n{key} = {in_file}\n"),
        };
        let file = file(&line);
        let name = variable(key);
        let at = Origin::Line { file: file.path().display().to_string(), line: 3 };
        let mut sources = sources(Some(&file), &[]);
        let says = |sources: &Sources| value(&sources.load().unwrap(), key);
        assert_eq!(says(&sources), (in_file.replace(['"', '[', ']', ' '], ""), at), "{key}");
        sources.environment = vec![(name.clone(), in_env.to_owned())];
        assert_eq!(says(&sources), (in_env.to_owned(), Origin::Variable(name)), "{key}");
        sources.flags = vec![(key, in_flag.to_owned())];
        let flag = format!("--{}", key.replace(['.', '_'], "-"));
        assert_eq!(says(&sources), (in_flag.to_owned(), Origin::Flag(flag)), "{key}");
    }
    let broken = sources(None, &[("RUSTCHAT_DATA", "/a\u{fffd}")]);
    assert_eq!(complaints(&broken), ["env RUSTCHAT_DATA: data: it is no UTF-8"]);
    let nothing = sources(None, &[("RUSTCHAT_NODE", "")]).load().unwrap();
    assert_eq!((nothing.node, nothing.log.level.origin), (None, Origin::Default));
}

#[test]
fn everything_that_is_wrong_is_told_at_once_and_where() {
    let file = file(
        "nod = 1\ninsecure_plain = \"yes\"\nshutdown_grace = \"soon\"\n\
         [log]\nlevel = \"debgu\"\nkeap = 2\n[sever]\n",
    );
    let said = complaints(&sources(Some(&file), &[("RUSTCHAT_ADMIN", "7301")]));
    let at = |line: usize| format!("{}:{line}: ", file.path().display());
    let expected = [
        (at(1), "unknown key \"nod\" in the configuration; did you mean \"node\"?"),
        (at(2), "true or false"),
        (at(3), "no time"),
        (at(5), "did you mean \"debug\"?"),
        (at(6), "did you mean \"keep\"?"),
        (at(7), "unknown key \"sever\""),
        ("env RUSTCHAT_ADMIN: ".to_owned(), "127.0.0.1:7301"),
    ];
    for (place, words) in &expected {
        let found = said.iter().any(|line| line.starts_with(place) && line.contains(words));
        assert!(found, "{place}{words} is not in {said:#?}");
    }
    assert_eq!(said.len(), expected.len(), "{said:#?}");
}

#[test]
fn a_variable_that_nothing_reads_is_named_with_the_one_that_was_meant() {
    let env = [
        ("RUSTCHAT_DTA", "/x"),
        ("RUSTCHAT_SERVICE_HOST", "10.0.0.1"),
        ("RUSTCHAT_TEST_LONG", "1"),
        ("RUSTCHAT_LOG", "debug"),
        ("RUSTCHAT_THEME", "dark"),
        ("PATH", "/bin"),
    ];
    let settings = sources(None, &env).load().unwrap();
    assert_eq!(settings.warnings.len(), 2, "{:?}", settings.warnings);
    assert!(settings.warnings[0].contains("did you mean RUSTCHAT_DATA?"));
    assert!(settings.warnings[1].ends_with("the variable RUSTCHAT_SERVICE_HOST"));
    assert_eq!(settings.log.level.origin, Origin::Variable("RUSTCHAT_LOG".into()));
}

#[test]
fn paths_in_the_file_begin_where_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("own.toml");
    std::fs::write(&path, "nodes = \"nodes.conf\"\ndata = \"/var/x\"\n").unwrap();
    let mut sources = sources(None, &[("RUSTCHAT_LOG__DIR", "log")]);
    sources.file = Some(path);
    let settings = sources.load().unwrap();
    assert_eq!(settings.nodes.unwrap().value, dir.path().join("nodes.conf"));
    assert_eq!(settings.data.unwrap().value, PathBuf::from("/var/x"));
    assert_eq!(settings.log.dir.unwrap().value, PathBuf::from("log"));
}

#[test]
fn a_secret_comes_from_a_file_or_a_credential_and_is_never_said() {
    let dir = tempfile::tempdir().unwrap();
    let url = "mongodb://alice:secret@db.example/";
    let kept = dir.path().join(STORE_CREDENTIAL);
    std::fs::write(&kept, format!("{url}\n")).unwrap();
    let given = StoreUrl::Mongo(url.to_owned());
    let (kept, dir) = (kept.to_str().unwrap(), dir.path().to_str().unwrap());
    let store = |env: &[(&str, &str)]| sources(None, env).load().unwrap().store.unwrap();
    let named = store(&[("RUSTCHAT_STORE_FILE", kept)]);
    assert_eq!(named.value, given);
    let handed = store(&[("CREDENTIALS_DIRECTORY", dir)]);
    assert_eq!((handed.value, handed.origin.to_string()), (given, "credential store".to_owned()));
    let nearer = store(&[("CREDENTIALS_DIRECTORY", dir), ("RUSTCHAT_STORE", "embedded")]);
    assert_eq!(nearer.value, StoreUrl::Embedded);

    let both = [("RUSTCHAT_STORE_FILE", kept), ("RUSTCHAT_STORE", "embedded")];
    assert!(complaints(&sources(None, &both))[0].contains("two answers"));
    std::fs::write(kept, "postgres://alice:secret@db.example/").unwrap();
    let said = complaints(&sources(None, &[("RUSTCHAT_STORE_FILE", kept)]));
    assert!(said[0].contains("first line") && !said[0].contains("secret"), "{said:?}");
}

#[test]
fn a_log_level_is_a_level_or_filters() {
    for good in ["info", "off", "warn,rustchat=debug", "warn, rustchat::raft=trace"] {
        assert_eq!(check("log.level", good), Ok(()), "{good}");
    }
    for bad in ["", "debgu", "rustchat", "=debug", "rustchat=verbose", "[x]=info", "info,"] {
        assert!(check("log.level", bad).is_err(), "{bad}");
    }
}
