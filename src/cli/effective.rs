//! What a server would run with: its settings, `nodes.conf` and this machine put
//! together, and the same as rows to show or compare. It must not start anything.

use super::connect::nodes_file;
use crate::config::settings::{Given, Origin, Settings, Sources};
use crate::config::{self, ConfigError, Node, Nodes, StoreUrl, seat, units};
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::path::{Path, PathBuf};

/// Everything, resolved.
#[derive(Clone, Debug)]
pub struct Effective {
    /// What was said.
    pub settings: Settings,
    /// The `nodes.conf`, where there is one.
    pub file: Option<Given<PathBuf>>,
    /// What it says.
    pub nodes: Nodes,
    /// This server.
    pub own: Node,
    /// Where it listens for clients.
    pub client_listen: SocketAddr,
    /// Where it listens for the other servers.
    pub peer_listen: SocketAddr,
    /// Where it listens for probes; `None`: nowhere.
    pub admin: Given<Option<SocketAddr>>,
    /// Its data directory.
    pub data: Given<PathBuf>,
    /// Where it keeps its data.
    pub store: Given<StoreUrl>,
    /// The directory of its keys.
    pub keys: Given<PathBuf>,
}

/// One value, as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The key, as the file has it.
    pub key: String,
    /// The value without secrets.
    pub shown: String,
    /// The value itself, to compare; never to show.
    pub whole: String,
    /// Where it came from.
    pub origin: Origin,
}

impl Effective {
    /// Reads and checks everything that a server reads before it starts.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn load(sources: &Sources) -> Result<Self, Vec<ConfigError>> {
        let (settings, mut wrong) = match sources.load() {
            Ok(settings) => (Some(settings), Vec::new()),
            Err(wrong) => (None, wrong),
        };
        // Where the settings are wrong, their nodes.conf may be looked at all the same.
        let named = match &settings {
            Some(settings) => settings.nodes.clone(),
            None => sources.nodes(),
        };
        let file = nodes_file(named.as_ref().map(|given| given.value.as_path()));
        let file = file.map(|value| Given {
            value,
            origin: named.map_or(Origin::Default, |given| given.origin),
        });
        let nodes = match &file {
            Some(file) => config::read_whole(&file.value),
            None => Ok(config::single()),
        };
        let nodes = nodes.map_err(|more| wrong.extend(more)).ok();
        let (Some(settings), Some(nodes)) = (settings, nodes) else { return Err(wrong) };
        resolve(settings, file, nodes)
    }

    /// All values, in the order of the documentation.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let settings = &self.settings;
        let mut rows = Vec::new();
        let mut row = |key: &str, shown: String, origin: &Origin| {
            let (key, whole, origin) = (key.to_owned(), shown.clone(), origin.clone());
            rows.push(Row { key, shown, whole, origin });
        };
        let path = |given: Option<&Given<PathBuf>>| {
            given.map_or("none".to_owned(), |given| given.value.display().to_string())
        };
        let origin = |given: Option<&Given<PathBuf>>| {
            given.map_or(Origin::Default, |given| given.origin.clone())
        };
        let seat = settings.node.as_ref().map_or(&Origin::Default, |node| &node.origin);
        let admin = self.admin.value.map_or("off".to_owned(), |address| address.to_string());
        let log = &settings.log;
        row("node", self.own.seat.to_string(), seat);
        row("nodes", path(self.file.as_ref()), &origin(self.file.as_ref()));
        row("data", path(Some(&self.data)), &self.data.origin);
        row("store", self.store.value.to_string(), &self.store.origin);
        row("keys", path(Some(&self.keys)), &self.keys.origin);
        let plain = &settings.insecure_plain;
        row("insecure_plain", plain.value.to_string(), &plain.origin);
        row("admin", admin, &self.admin.origin);
        let links = &settings.links;
        let all = if links.value.is_empty() { "none".to_owned() } else { links.value.join(",") };
        row("links", all, &links.origin);
        let trust_new = &settings.trust_new_links;
        row("trust_new_links", trust_new.value.to_string(), &trust_new.origin);
        let grace = &settings.shutdown_grace;
        row("shutdown_grace", units::show_duration(grace.value), &grace.origin);
        let bytes = &settings.snapshot_log_bytes;
        row("snapshot_log_bytes", units::show_size(bytes.value), &bytes.origin);
        row("log.level", log.level.value.clone(), &log.level.origin);
        row("log.format", log.format.value.name().to_owned(), &log.format.origin);
        row("log.dir", path(log.dir.as_ref()), &origin(log.dir.as_ref()));
        row("log.keep", log.keep.value.to_string(), &log.keep.origin);
        for row in rows.iter_mut().filter(|row| row.key == "store") {
            if let StoreUrl::Mongo(url) = &self.store.value {
                row.whole.clone_from(url);
            }
        }
        rows
    }

    /// The same in one line, for the log.
    #[must_use]
    pub fn line(&self) -> String {
        let words = self.rows().into_iter().map(|row| format!("{}={}", row.key, row.shown));
        words.collect::<Vec<_>>().join(" ")
    }

    /// What `nodes.conf` says, as rows. (Its store stands among the settings.)
    #[must_use]
    pub fn nodes_rows(&self) -> Vec<(String, String)> {
        let nodes = &self.nodes;
        let id = nodes.cluster_id.map(|id| format!("{:032x}", u128::from_be_bytes(id)));
        let mut rows = vec![
            ("cluster".to_owned(), nodes.cluster.clone()),
            ("cluster_id".to_owned(), id.unwrap_or_else(|| "none".to_owned())),
            ("discovery".to_owned(), nodes.discovery.to_string()),
        ];
        for node in &nodes.nodes {
            let Node { seat, host, listen, client, peer, admin } = node;
            let mut row = |key: &str, text: String| rows.push((format!("node {seat} {key}"), text));
            row("host", host.clone());
            row("listen", listen.clone());
            row("client", client.to_string());
            row("peer", peer.to_string());
            row("admin", admin.map_or("none".to_owned(), |port| port.to_string()));
        }
        rows
    }
}

fn resolve(
    settings: Settings,
    file: Option<Given<PathBuf>>,
    nodes: Nodes,
) -> Result<Effective, Vec<ConfigError>> {
    let mut wrong = Vec::new();
    let seat = settings.node.as_ref().map(|node| node.value);
    let own = note(&mut wrong, seat::find(&nodes, seat, &seat::System)).cloned();
    let Some(own) = own else { return Err(wrong) };
    let path = file.as_ref().map(|given| given.value.as_path());
    let data = match &settings.data {
        Some(data) => Some(data.clone()),
        None => {
            note(&mut wrong, config::dirs::data(&nodes.cluster, own.seat)).map(Given::default_of)
        }
    };
    let client_listen = note(&mut wrong, listen(&own, own.client));
    let peer_listen = note(&mut wrong, listen(&own, own.peer));
    let (Some(data), Some(client_listen), Some(peer_listen)) = (data, client_listen, peer_listen)
    else {
        return Err(wrong);
    };
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let admin = settings.admin.clone().unwrap_or_else(|| admin(path, &own, client_listen));
    let store = settings.store.clone().unwrap_or_else(|| Given {
        value: nodes.store.clone(),
        origin: said_in(path, None, "store"),
    });
    let keys =
        settings.keys.clone().unwrap_or_else(|| Given::default_of(keys_dir(path, &data.value)));
    Ok(Effective {
        settings,
        file,
        nodes,
        own,
        client_listen,
        peer_listen,
        admin,
        data,
        store,
        keys,
    })
}

fn note<T>(wrong: &mut Vec<ConfigError>, read: Result<T, ConfigError>) -> Option<T> {
    read.map_err(|why| wrong.push(why)).ok()
}

/// Where `nodes.conf` says `key`, if it does.
fn said_in(file: Option<&Path>, seat: Option<u32>, key: &str) -> Origin {
    let found = file.and_then(|file| Some((file, config::nodes_line(file, seat, key)?)));
    found.map_or(Origin::Default, |(file, line)| Origin::Line {
        file: file.display().to_string(),
        line,
    })
}

/// Probes are for this machine: on the server's own address where that is a loopback one, so
/// that several servers of one machine do not meet, else on 127.0.0.1.
fn admin(file: Option<&Path>, own: &Node, listens: SocketAddr) -> Given<Option<SocketAddr>> {
    let ip = if listens.ip().is_loopback() { listens.ip() } else { IpAddr::from([127, 0, 0, 1]) };
    Given {
        value: own.admin.map(|port| SocketAddr::new(ip, port)),
        origin: said_in(file, Some(own.seat), "admin"),
    }
}

/// Where keys are unless something else is said: beside `nodes.conf`, else beside the data, which
/// may be moved aside.
fn keys_dir(nodes: Option<&Path>, data: &Path) -> PathBuf {
    match nodes {
        Some(file) => keys_beside(file),
        None => keys_of_data(data),
    }
}

/// The keys that go with a data directory.
#[must_use]
pub fn keys_of_data(data: &Path) -> PathBuf {
    let mut name = data.file_name().unwrap_or_default().to_owned();
    name.push(".keys");
    data.with_file_name(name)
}

/// The keys that go with a `nodes.conf`.
#[must_use]
pub fn keys_beside(nodes: &Path) -> PathBuf {
    nodes.parent().unwrap_or(Path::new("")).join("keys")
}

fn listen(own: &Node, port: u16) -> Result<SocketAddr, ConfigError> {
    let wrong = |why: &str| ConfigError::Seat(format!("node {}: {}: {why}", own.seat, own.listen));
    let mut found =
        (own.listen.as_str(), port).to_socket_addrs().map_err(|why| wrong(&why.to_string()))?;
    found.next().ok_or_else(|| wrong("the name has no address"))
}
