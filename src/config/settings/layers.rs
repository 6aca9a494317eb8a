//! The layers that settings come from, as texts: file, environment, flags, each
//! over the one before. It must not know what a key means.

use super::{Given, OTHER_VARIABLES, Origin, Sources, TEST_VARIABLES};
use crate::config::ConfigError;
use crate::config::toml_table::{Source, Table, nearest};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::de::DeValue;

/// How a key's value is written in the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Number,
    Switch,
    Text,
    /// A text with a unit, or a plain number.
    Amount,
    /// A list of texts; as one text with commas between.
    List,
}

/// Every key, and how it is written; a dot stands for a table.
const TABLE: [(&str, Kind); 16] = [
    ("node", Kind::Number),
    ("nodes", Kind::Text),
    ("data", Kind::Text),
    ("store", Kind::Text),
    ("store_file", Kind::Text),
    ("keys", Kind::Text),
    ("insecure_plain", Kind::Switch),
    ("admin", Kind::Text),
    ("links", Kind::List),
    ("trust_new_links", Kind::Switch),
    ("shutdown_grace", Kind::Amount),
    ("snapshot_log_bytes", Kind::Amount),
    ("log.level", Kind::Text),
    ("log.format", Kind::Text),
    ("log.dir", Kind::Text),
    ("log.keep", Kind::Number),
];
/// The names of all keys.
pub const KEYS: [&str; TABLE.len()] = {
    let mut keys = [""; TABLE.len()];
    let mut at = 0;
    while at < keys.len() {
        keys[at] = TABLE[at].0;
        at += 1;
    }
    keys
};
/// An older name of the variable for `log.level`, which every command reads.
const LOG_VARIABLE: &str = "RUSTCHAT_LOG";

/// The variable for a key: `RUSTCHAT_LOG__LEVEL` for `log.level`.
#[must_use]
pub fn variable(key: &str) -> String {
    format!("RUSTCHAT_{}", key.replace('.', "__").to_uppercase())
}

struct Raw {
    text: String,
    origin: Origin,
    /// 1 for the file, 2 for the environment, 3 for flags.
    rank: u8,
}

/// The values that count, and what is wrong.
#[derive(Default)]
pub struct Layers {
    raw: BTreeMap<&'static str, Raw>,
    /// The directory of the file: its paths begin there.
    base: PathBuf,
    /// What is wrong, in the order it was found.
    pub wrong: Vec<ConfigError>,
}

impl Layers {
    /// Reads all of them; what is wrong stands in `wrong`.
    pub fn gather(sources: &Sources) -> Self {
        let mut layers = Self::default();
        if let Some(file) = sources.file() {
            layers.base = file.parent().map(Path::to_path_buf).unwrap_or_default();
            layers.file(&file);
        }
        for key in KEYS {
            let mut names = vec![variable(key)];
            if key == "log.level" {
                names.push(LOG_VARIABLE.to_owned());
            }
            let found = names.into_iter().find_map(|name| {
                let text = sources.variable(&name)?.to_owned();
                Some((name, text))
            });
            if let Some((name, text)) = found {
                layers.set(key, text, Origin::Variable(name), 2);
            }
        }
        for (key, text) in &sources.flags {
            let flag = format!("--{}", key.replace(['.', '_'], "-"));
            layers.set(key, text.clone(), Origin::Flag(flag), 3);
        }
        layers
    }

    fn set(&mut self, key: &'static str, text: String, origin: Origin, rank: u8) {
        self.raw.insert(key, Raw { text, origin, rank });
    }

    fn file(&mut self, file: &Path) {
        let name = file.display().to_string();
        match std::fs::read_to_string(file) {
            Ok(text) => self.text(&name, &text),
            Err(why) => self.wrong.push(ConfigError::File { file: name, text: why.to_string() }),
        }
    }

    fn text(&mut self, file: &str, text: &str) {
        let source = Source { file, text };
        let root = match source.parse() {
            Ok(root) => root,
            Err(why) => return self.wrong.push(why),
        };
        let root = Table { source, title: "the configuration", entries: root.get_ref(), at: 0 };
        self.table(&root, "");
        match root.get("log") {
            None => {}
            Some((DeValue::Table(entries), span)) => {
                self.table(&Table { source, title: "[log]", entries, at: span.start }, "log.");
            }
            Some((_, span)) => self.wrong.push(source.wrong(
                span.start,
                "\"log\" is a table; write [log], with its keys in lines below",
            )),
        }
    }

    /// The keys of a table that is called `prefix`.
    fn table(&mut self, table: &Table<'_>, prefix: &str) {
        let own = TABLE.iter().filter_map(|(key, kind)| {
            let name = key.strip_prefix(prefix)?;
            (!name.contains('.')).then_some((*key, name, *kind))
        });
        let own: Vec<_> = own.collect();
        let mut known: Vec<_> = own.iter().map(|(_, name, _)| *name).collect();
        if prefix.is_empty() {
            known.push("log");
        }
        self.wrong.extend(table.unknown(&known));
        for (key, name, kind) in own {
            let Some((value, span)) = table.get(name) else { continue };
            match scalar(value, kind) {
                Some(text) => {
                    let (file, line) =
                        (table.source.file.to_owned(), table.source.line(span.start));
                    self.set(key, text, Origin::Line { file, line }, 1);
                }
                None => {
                    let text = format!("{name:?} must be {}", example(kind));
                    self.wrong.push(table.source.wrong(span.start, text));
                }
            }
        }
    }

    /// How high the layer is that has a value for the key.
    pub fn rank(&self, key: &str) -> Option<u8> {
        self.raw.get(key).map(|raw| raw.rank)
    }

    /// Notes that something is wrong with a key, where its value stands.
    pub fn complain(&mut self, key: &str, text: &str) {
        let origin = self.raw.get(key).map_or(&Origin::Default, |raw| &raw.origin);
        let complaint = origin.wrong(text);
        self.wrong.push(complaint);
    }

    /// The value of a key, read by `parse`; `None` where there is none, or a wrong one.
    pub fn take<T>(
        &mut self,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<Given<T>> {
        let raw = self.raw.get(key)?;
        let read = match raw.text.contains(char::REPLACEMENT_CHARACTER) {
            true => Err("it is no UTF-8".to_owned()),
            false => parse(&raw.text),
        };
        match read {
            Ok(value) => Some(Given { value, origin: raw.origin.clone() }),
            Err(why) => {
                let complaint = raw.origin.wrong(format!("{key}: {why}"));
                self.wrong.push(complaint);
                None
            }
        }
    }

    /// The path of a key; one in the file begins where the file is.
    pub fn path(&mut self, key: &str) -> Option<Given<PathBuf>> {
        let base = match self.raw.get(key)?.origin {
            Origin::Line { .. } => self.base.clone(),
            _ => PathBuf::new(),
        };
        self.take(key, |text| match text {
            "" => Err("a path is missing".to_owned()),
            path => Ok(base.join(path)),
        })
    }

    /// Variables that look like ours and are none. No mistakes: systems that run containers put
    /// `RUSTCHAT_PORT` and the like there for a service of this name.
    pub fn slips(&self, sources: &Sources) -> Vec<String> {
        let mut known: Vec<String> = KEYS.iter().map(|key| variable(key)).collect();
        known.extend(OTHER_VARIABLES.map(str::to_owned));
        known.push(LOG_VARIABLE.to_owned());
        let all: Vec<&str> = known.iter().map(String::as_str).collect();
        let ours = sources.environment.iter().map(|(name, _)| name.as_str());
        let ours = ours.filter(|name| {
            name.starts_with("RUSTCHAT_")
                && !name.starts_with(TEST_VARIABLES)
                && !all.contains(name)
        });
        let words = ours.map(|name| match near(name, &all) {
            Some(known) => format!("nothing reads the variable {name}; did you mean {known}?"),
            None => format!("nothing reads the variable {name}"),
        });
        words.collect()
    }
}

/// The variable that was probably meant.
fn near<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    // `nearest` folds to lower case, as keys are written.
    let lower: Vec<String> = known.iter().map(|name| name.to_lowercase()).collect();
    let all: Vec<&str> = lower.iter().map(String::as_str).collect();
    let found = nearest(name, &all)?;
    known.iter().find(|name| name.to_lowercase() == found).copied()
}

/// A value as the text that the environment would have.
fn scalar(value: &DeValue<'_>, kind: Kind) -> Option<String> {
    match (value, kind) {
        (DeValue::String(text), Kind::Text | Kind::Amount) => Some(text.to_string()),
        (DeValue::Boolean(on), Kind::Switch) => Some(on.to_string()),
        (DeValue::Integer(number), Kind::Number | Kind::Amount) => {
            u64::from_str_radix(number.as_str(), number.radix()).ok().map(|n| n.to_string())
        }
        (DeValue::Array(list), Kind::List) => {
            let texts = list.iter().map(|item| item.get_ref().as_str().map(str::to_owned));
            texts.collect::<Option<Vec<_>>>().map(|texts| texts.join(","))
        }
        _ => None,
    }
}

fn example(kind: Kind) -> &'static str {
    match kind {
        Kind::Number => "a whole number without quotes",
        Kind::Switch => "true or false",
        Kind::Text => "a text in quotes",
        Kind::List => "a list of texts in quotes, such as [\"a\", \"b\"]",
        Kind::Amount => "a text with a unit in quotes, or a whole number",
    }
}
