//! `nodes.conf`, a server's own settings and the places on this machine: from text
//! to checked values. A leaf: it must not know what the values are for, and it
//! opens no sockets.

pub mod dirs;
pub mod seat;
pub mod settings;
pub mod units;

mod nodes;
mod toml_table;

use std::net::IpAddr;
use std::path::Path;

/// TCP port for clients where nothing else is configured.
pub const SINGLE_CLIENT_PORT: u16 = 7101;
/// TCP port for servers where nothing else is configured.
const SINGLE_PEER_PORT: u16 = 7201;
/// HTTP port for probes where nothing else is configured.
const SINGLE_ADMIN_PORT: u16 = 7301;
/// UDP port on which clients ask for their cluster, where nothing else is configured.
pub const DISCOVERY_PORT: u16 = 7100;
/// Name of a cluster of one that was started without a `nodes.conf`.
const SINGLE_NAME: &str = "single";

/// What `nodes.conf` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nodes {
    /// The cluster's name, shown to users and used in `bob@name`.
    pub cluster: String,
    /// Its id, where it is known: then no node founds a second cluster.
    pub cluster_id: Option<[u8; 16]>,
    /// UDP port on which clients ask who leads.
    pub discovery: u16,
    /// Where nodes keep their data, unless the command line says otherwise.
    pub store: StoreUrl,
    /// The servers, 1 to 9, in the order of the file.
    pub nodes: Vec<Node>,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its number, 1 to 999.
    pub seat: u32,
    /// Where clients and the other servers reach it: `public`, else `host`.
    pub host: String,
    /// The address it listens on: `listen`, else `host`.
    pub listen: String,
    /// TCP port for clients.
    pub client: u16,
    /// TCP port for the other servers.
    pub peer: u16,
    /// HTTP port for probes and metrics.
    pub admin: Option<u16>,
}

/// Where a node keeps its data.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StoreUrl {
    /// In its own data directory.
    #[default]
    Embedded,
    /// In a MongoDB database, as its URL says.
    Mongo(String),
}

impl StoreUrl {
    /// Reads `embedded` or `mongodb://…`.
    ///
    /// # Errors
    /// Says what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let rest = ["mongodb://", "mongodb+srv://"].iter().find_map(|p| text.strip_prefix(p));
        match rest {
            _ if text == "embedded" => Ok(Self::Embedded),
            Some(rest) if !rest.trim_start_matches('/').is_empty() => Ok(Self::Mongo(text.into())),
            _ => Err(format!(
                "{:?} is no store; write \"embedded\" or \"mongodb://HOST:PORT/DATABASE\"",
                without_password(text)
            )),
        }
    }
}

impl StoreUrl {
    /// The same server with another database, which the URL itself must not name.
    ///
    /// # Errors
    /// Says what to write instead, where the URL names one.
    pub fn with_database(&self, name: &str) -> Result<Self, String> {
        let Self::Mongo(url) = self else { return Ok(Self::Embedded) };
        let (base, options) =
            url.split_once('?').map_or((url.as_str(), None), |(b, o)| (b, Some(o)));
        let base = base.trim_end_matches('/');
        let after_scheme = base.split_once("://").map_or(base, |(_, rest)| rest);
        if after_scheme.contains('/') {
            return Err(format!(
                "{:?} names a database; leave it out, each server gets one of its own",
                without_password(url)
            ));
        }
        let options = options.map(|options| format!("?{options}")).unwrap_or_default();
        Ok(Self::Mongo(format!("{base}/{name}{options}")))
    }
}

impl std::fmt::Display for StoreUrl {
    /// As it may be shown: without passwords.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Embedded => f.write_str("embedded"),
            Self::Mongo(url) => f.write_str(&without_password(url)),
        }
    }
}

/// A URL as it may be shown: errors and logs must not carry passwords. Options may hold some
/// too, so only their names are left.
fn without_password(url: &str) -> String {
    let (place, options) = url.split_once('?').map_or((url, None), |(p, o)| (p, Some(o)));
    let mut shown = match (place.split_once("://"), place.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://…@{host}"),
        _ => place.to_owned(),
    };
    for (n, option) in options.into_iter().flat_map(|all| all.split('&')).enumerate() {
        shown.push(if n == 0 { '?' } else { '&' });
        shown.push_str(option.split('=').next().unwrap_or(""));
        shown.push_str("=…");
    }
    shown
}

/// What is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A line of a file: says what to write instead.
    #[error("{file}:{line}: {text}")]
    Line {
        /// The file, as it was given.
        file: String,
        /// Its line, from 1.
        line: usize,
        /// For a person.
        text: String,
    },
    /// A file that cannot be read.
    #[error("{file}: {text}")]
    File {
        /// The file, as it was given.
        file: String,
        /// For a person.
        text: String,
    },
    /// A setting that came from elsewhere.
    #[error("{origin}: {text}")]
    Setting {
        /// Where it came from.
        origin: settings::Origin,
        /// For a person.
        text: String,
    },
    /// This machine is not, or not clearly, one of the servers.
    #[error("{0}")]
    Seat(String),
    /// The user has no home directory.
    #[error("no home directory: set HOME, or say where with {0}")]
    NoHome(&'static str),
}

/// Reads and checks a `nodes.conf`.
///
/// # Errors
/// The first mistake in it, with file, line and what to write instead.
pub fn read(file: &Path) -> Result<Nodes, ConfigError> {
    let empty = || ConfigError::File { file: file.display().to_string(), text: "no reason".into() };
    read_whole(file).map_err(|all| all.into_iter().next().unwrap_or_else(empty))
}

/// Reads and checks a `nodes.conf`.
///
/// # Errors
/// Every mistake in it, with file, line and what to write instead.
pub fn read_whole(file: &Path) -> Result<Nodes, Vec<ConfigError>> {
    let name = file.display().to_string();
    let text = std::fs::read_to_string(file)
        .map_err(|why| vec![ConfigError::File { file: name.clone(), text: why.to_string() }])?;
    nodes::parse(&name, &text)
}

/// The line of a `nodes.conf` where `key` stands, of the server on `seat` or of the whole
/// cluster; `None` where it does not, or where the file cannot be read.
#[must_use]
pub fn nodes_line(file: &Path, seat: Option<u32>, key: &str) -> Option<usize> {
    nodes::line(&std::fs::read_to_string(file).ok()?, seat, key)
}

/// A cluster of one on this machine: what `serve` runs without a `nodes.conf`.
#[must_use]
pub fn single() -> Nodes {
    let host = IpAddr::from([127, 0, 0, 1]).to_string();
    let node = Node {
        seat: 1,
        listen: host.clone(),
        host,
        client: SINGLE_CLIENT_PORT,
        peer: SINGLE_PEER_PORT,
        admin: Some(SINGLE_ADMIN_PORT),
    };
    Nodes {
        cluster: SINGLE_NAME.into(),
        cluster_id: None,
        discovery: DISCOVERY_PORT,
        store: StoreUrl::Embedded,
        nodes: vec![node],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_embedded_or_a_database() {
        assert_eq!(StoreUrl::parse("embedded"), Ok(StoreUrl::Embedded));
        assert!(matches!(StoreUrl::parse("mongodb://h:1/d"), Ok(StoreUrl::Mongo(_))));
        for bad in ["", "disk", "mongodb://", "mongodb:///", "http://h/", "Embedded"] {
            assert!(StoreUrl::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_database_is_put_into_a_url_that_names_none() {
        let mongo = |url: &str| StoreUrl::Mongo(url.to_owned());
        for (url, with) in [
            ("mongodb://h:1", "mongodb://h:1/d"),
            ("mongodb://u:p@h:1,i:2/?replicaSet=r", "mongodb://u:p@h:1,i:2/d?replicaSet=r"),
        ] {
            assert_eq!(mongo(url).with_database("d"), Ok(mongo(with)));
        }
        assert_eq!(StoreUrl::Embedded.with_database("d"), Ok(StoreUrl::Embedded));
        let error = mongo("mongodb://u:secret@h:1/taken").with_database("d").unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn no_error_shows_a_password() {
        let error = StoreUrl::parse("postgres://alice:secret@db.example/chat").unwrap_err();
        assert!(!error.contains("secret") && error.contains("db.example"), "{error}");
    }
}
