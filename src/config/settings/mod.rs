//! A server's own settings: from a file, the environment and flags to checked
//! values, each with where it came from. Flags win over the environment, that over
//! the file, that over the defaults. It must not know what the settings do, and it
//! reads nothing but the file, what it names and the credentials.

mod layers;
mod level;

use super::{ConfigError, StoreUrl, units};
use crate::limits;
use layers::Layers;
pub use layers::{KEYS, variable};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The file that is read where none is named, if it is there.
pub const DEFAULT_FILE: &str = "/etc/rustchat/rustchat.toml";
/// The variable that names the file.
pub const FILE_VARIABLE: &str = "RUSTCHAT_CONFIG";
/// The systemd credential that holds the URL of the store.
pub const STORE_CREDENTIAL: &str = "store";
/// Variables that other commands read, so that none of them is taken for a slip.
const OTHER_VARIABLES: [&str; 5] = [
    FILE_VARIABLE,
    "RUSTCHAT_DISCOVERY",
    "RUSTCHAT_PASSWORD_FILE",
    "RUSTCHAT_STATE",
    "RUSTCHAT_THEME",
];
/// Variables of the tests, which servers started by them inherit.
const TEST_VARIABLES: &str = "RUSTCHAT_TEST_";

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An option on the command line.
    Flag(String),
    /// A variable of the environment.
    Variable(String),
    /// A line of a file.
    Line {
        /// The file, as it was given.
        file: String,
        /// Its line, from 1.
        line: usize,
    },
    /// A credential that systemd handed over.
    Credential(String),
    /// Nobody said anything.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Variable(name) => write!(f, "env {name}"),
            Self::Line { file, line } => write!(f, "{file}:{line}"),
            Self::Credential(name) => write!(f, "credential {name}"),
            Self::Default => write!(f, "default"),
        }
    }
}

impl Origin {
    /// A complaint about what stands there.
    #[must_use]
    pub fn wrong(&self, text: impl Into<String>) -> ConfigError {
        let text = text.into();
        match self {
            Self::Line { file, line } => {
                ConfigError::Line { file: file.clone(), line: *line, text }
            }
            other => ConfigError::Setting { origin: other.clone(), text },
        }
    }
}

/// A value and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub origin: Origin,
}

impl<T> Given<T> {
    /// A value that nobody asked for.
    pub fn default_of(value: T) -> Self {
        Self { value, origin: Origin::Default }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for a terminal, else JSON.
    #[default]
    Auto,
    /// Text for people.
    Text,
    /// A JSON object a line.
    Json,
}

impl LogFormat {
    /// Its name in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Text => "text",
            Self::Json => "json",
        }
    }
}

/// What is logged, how and where to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// A level, or filters as `RUSTCHAT_LOG` has them.
    pub level: Given<String>,
    /// How lines look.
    pub format: Given<LogFormat>,
    /// The directory of log files, besides standard error.
    pub dir: Option<Given<PathBuf>>,
    /// Days of log files that are kept, 1 to 3650.
    pub keep: Given<usize>,
}

/// The settings of a server, as far as they are its own; `None` where `nodes.conf` or the
/// system has the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// The seat, 1 to 999.
    pub node: Option<Given<u32>>,
    /// The servers of the cluster.
    pub nodes: Option<Given<PathBuf>>,
    /// The data directory.
    pub data: Option<Given<PathBuf>>,
    /// Where data is kept.
    pub store: Option<Given<StoreUrl>>,
    /// The directory of this server's keys.
    pub keys: Option<Given<PathBuf>>,
    /// Connections are not encrypted.
    pub insecure_plain: Given<bool>,
    /// Where to listen for probes; `Some` of a value `None`: nowhere.
    pub admin: Option<Given<Option<SocketAddr>>>,
    /// `host:port` of servers of other clusters; at most [`limits::LINKS`].
    pub links: Given<Vec<String>>,
    /// Other clusters that are heard for the first time are trusted.
    pub trust_new_links: Given<bool>,
    /// An orderly end takes at most this long.
    pub shutdown_grace: Given<Duration>,
    /// Log bytes since the last snapshot that bring the next one.
    pub snapshot_log_bytes: Given<u64>,
    /// Logs.
    pub log: LogSettings,
    /// What is odd, but no mistake.
    pub warnings: Vec<String>,
}

/// What settings are made of.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// The file that a flag names.
    pub file: Option<PathBuf>,
    /// Key and value of every flag that was given, such as `log.level` and `debug`.
    pub flags: Vec<(&'static str, String)>,
    /// The environment; variables of others do not matter.
    pub environment: Vec<(String, String)>,
}

impl Sources {
    /// A variable of the environment; an empty one is as good as none.
    fn variable(&self, name: &str) -> Option<&str> {
        let found = self.environment.iter().find(|(n, value)| n == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    /// The file to read: the one of the flag, else of the variable, else the usual one if it is
    /// there.
    #[must_use]
    pub fn file(&self) -> Option<PathBuf> {
        let named = self.file.clone().or_else(|| self.variable(FILE_VARIABLE).map(PathBuf::from));
        let usual = || Some(PathBuf::from(DEFAULT_FILE)).filter(|file| file.is_file());
        named.or_else(usual)
    }

    /// Where the servers of the cluster stand, also if something else is wrong.
    #[must_use]
    pub fn nodes(&self) -> Option<Given<PathBuf>> {
        Layers::gather(self).path("nodes")
    }

    /// Reads and checks everything.
    ///
    /// # Errors
    /// All that is wrong: with file and line, or the name of the variable or flag.
    pub fn load(&self) -> Result<Settings, Vec<ConfigError>> {
        let mut layers = Layers::gather(self);
        let settings = read(&mut layers, self);
        let mut wrong = layers.wrong;
        if wrong.is_empty() {
            return Ok(settings);
        }
        wrong.dedup();
        Err(wrong)
    }
}

fn read(layers: &mut Layers, sources: &Sources) -> Settings {
    let level = layers.take("log.level", |text| level::check(text).map(|()| text.to_owned()));
    let usual = || Given::default_of("info".to_owned());
    Settings {
        file: sources.file(),
        node: layers.take("node", seat),
        nodes: layers.path("nodes"),
        data: layers.path("data"),
        store: store(layers, sources),
        keys: layers.path("keys"),
        insecure_plain: layers
            .take("insecure_plain", switch)
            .unwrap_or_else(|| Given::default_of(false)),
        admin: layers.take("admin", admin),
        links: layers.take("links", links).unwrap_or_else(|| Given::default_of(Vec::new())),
        trust_new_links: layers
            .take("trust_new_links", switch)
            .unwrap_or_else(|| Given::default_of(false)),
        shutdown_grace: layers
            .take("shutdown_grace", units::duration)
            .unwrap_or_else(|| Given::default_of(limits::SHUTDOWN_GRACE)),
        snapshot_log_bytes: layers
            .take("snapshot_log_bytes", units::size)
            .unwrap_or_else(|| Given::default_of(limits::SNAPSHOT_LOG_BYTES)),
        log: LogSettings {
            level: level.unwrap_or_else(usual),
            format: layers
                .take("log.format", format)
                .unwrap_or_else(|| Given::default_of(LogFormat::Auto)),
            dir: layers.path("log.dir"),
            keep: layers
                .take("log.keep", keep)
                .unwrap_or_else(|| Given::default_of(limits::LOG_FILES)),
        },
        warnings: layers.slips(sources),
    }
}

/// `store`, or the first line of `store_file`, or a credential, whichever comes first.
fn store(layers: &mut Layers, sources: &Sources) -> Option<Given<StoreUrl>> {
    let (url, file) = (layers.rank("store"), layers.rank("store_file"));
    if let (Some(a), Some(b)) = (url, file)
        && a == b
    {
        let text = "\"store\" and \"store_file\" are two answers to one question; leave one out";
        layers.complain("store_file", text);
        return None;
    }
    if url > file {
        return layers.take("store", StoreUrl::parse);
    }
    if let Some(Given { value, origin }) = layers.path("store_file") {
        return secret(layers, &value, origin);
    }
    let dir = sources.variable("CREDENTIALS_DIRECTORY")?;
    let path = Path::new(dir).join(STORE_CREDENTIAL);
    let origin = Origin::Credential(STORE_CREDENTIAL.to_owned());
    path.is_file().then(|| secret(layers, &path, origin))?
}

/// The URL in the first line of a file, which no complaint shows.
fn secret(layers: &mut Layers, file: &Path, origin: Origin) -> Option<Given<StoreUrl>> {
    let read = std::fs::read_to_string(file).map_err(|why| why.to_string());
    let parsed = read.and_then(|text| {
        let url = text.lines().next().unwrap_or("").trim();
        StoreUrl::parse(url).map_err(|_| "its first line must be the URL of a store".to_owned())
    });
    match parsed {
        Ok(value) => Some(Given { value, origin }),
        Err(why) => {
            layers.wrong.push(origin.wrong(format!("{}: {why}", file.display())));
            None
        }
    }
}

fn seat(text: &str) -> Result<u32, String> {
    let seat = text.parse().ok().filter(|seat| (1..=limits::SEAT).contains(seat));
    seat.ok_or_else(|| format!("{text:?} is no seat; write a number from 1 to {}", limits::SEAT))
}

fn keep(text: &str) -> Result<usize, String> {
    let days = text.parse().ok().filter(|days| (1..=3650).contains(days));
    days.ok_or_else(|| format!("{text:?} is no number of days; write 1 to 3650"))
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(format!("{text:?} is neither true nor false")),
    }
}

fn admin(text: &str) -> Result<Option<SocketAddr>, String> {
    match text {
        "off" => Ok(None),
        _ => text.parse().map(Some).map_err(|_| {
            format!("{text:?} is no address; write \"127.0.0.1:7301\", or \"off\" for no listener")
        }),
    }
}

fn links(text: &str) -> Result<Vec<String>, String> {
    let all = text.split(',').map(str::trim).filter(|address| !address.is_empty());
    let all: Vec<String> = all.map(str::to_owned).collect();
    let is_address = |text: &str| {
        let parts = text.rsplit_once(':').filter(|(host, _)| !host.is_empty());
        parts.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0))
    };
    if let Some(wrong) = all.iter().find(|address| !is_address(address)) {
        let text = "a server of another cluster is written HOST:PORT, with its port for clients";
        return Err(format!("{wrong:?}: {text}"));
    }
    match all.len() {
        0..=limits::LINKS => Ok(all),
        many => Err(format!("{many} addresses are too many; write at most {}", limits::LINKS)),
    }
}

fn format(text: &str) -> Result<LogFormat, String> {
    match text {
        "auto" => Ok(LogFormat::Auto),
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err(format!("{text:?} is no format; write \"auto\", \"text\" or \"json\"")),
    }
}

/// Whether a text is a value that `key` may have, for flags.
///
/// # Errors
/// Says what to write instead.
pub fn check(key: &str, text: &str) -> Result<(), String> {
    match key {
        "node" => seat(text).map(drop),
        "admin" => admin(text).map(drop),
        "links" => links(text).map(drop),
        "shutdown_grace" => units::duration(text).map(drop),
        "snapshot_log_bytes" => units::size(text).map(drop),
        "log.level" => level::check(text),
        "log.format" => format(text).map(drop),
        "log.keep" => keep(text).map(drop),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
