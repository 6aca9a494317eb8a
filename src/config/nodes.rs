//! The keys of `nodes.conf`, what they may hold, and what must not occur twice.

use super::toml_table::{At, Source, Table};
use super::{ConfigError, DISCOVERY_PORT, Node, Nodes, StoreUrl};
use crate::limits;
use std::collections::BTreeMap;
use std::net::IpAddr;
use toml::de::DeValue;

const KEYS: [&str; 5] = ["cluster", "cluster_id", "discovery", "store", "node"];
const NODE_KEYS: [&str; 7] = ["id", "host", "listen", "public", "client", "peer", "admin"];
const MAX_NAME: usize = 32;

/// Reads the text of a `nodes.conf`; `file` is its name in complaints, which are all there are.
pub fn parse(file: &str, text: &str) -> Result<Nodes, Vec<ConfigError>> {
    let source = Source { file, text };
    let root = source.parse().map_err(|why| vec![why])?;
    let root = Table { source, title: "nodes.conf", entries: root.get_ref(), at: 0 };
    let mut wrong = root.unknown(&KEYS);
    let cluster = note(&mut wrong, cluster_name(&root));
    let cluster_id = note(&mut wrong, cluster_id(&root));
    let discovery = note(&mut wrong, discovery(&root));
    let store = note(&mut wrong, store(&root));
    let nodes = nodes(&root, &mut wrong);
    match (cluster, cluster_id, discovery, store) {
        (Some(cluster), Some(cluster_id), Some(discovery), Some(store)) if wrong.is_empty() => {
            let discovery = discovery.map_or(DISCOVERY_PORT, |port| port.value);
            Ok(Nodes { cluster, cluster_id, discovery, store, nodes })
        }
        _ => Err(wrong),
    }
}

/// The line where `key` stands, of the server on `seat` or of the whole cluster.
pub fn line(text: &str, seat: Option<u32>, key: &str) -> Option<usize> {
    let source = Source { file: "", text };
    let root = source.parse().ok()?;
    let entries = root.get_ref();
    let root = Table { source, title: "", entries, at: 0 };
    let Some(seat) = seat else { return root.get(key).map(|(_, span)| source.line(span.start)) };
    let (DeValue::Array(list), _) = root.get("node")? else { return None };
    let mut found = list.iter().filter_map(|item| {
        let DeValue::Table(entries) = item.get_ref() else { return None };
        let table = Table { source, title: "", entries, at: 0 };
        let own = table.number("id", 1..=limits::SEAT).ok()??.value == seat;
        let (_, span) = own.then(|| table.get(key)).flatten()?;
        Some(source.line(span.start))
    });
    found.next()
}

/// The value, or the complaint is noted.
fn note<T>(wrong: &mut Vec<ConfigError>, read: Result<T, ConfigError>) -> Option<T> {
    read.map_err(|why| wrong.push(why)).ok()
}

fn cluster_name(root: &Table<'_>) -> Result<String, ConfigError> {
    let name = root.need("cluster", root.text("cluster", "\"west\"")?, "\"west\"")?;
    check_cluster_name(&root.source, &name)?;
    Ok(name.value)
}

fn check_cluster_name(source: &Source<'_>, name: &At<String>) -> Result<(), ConfigError> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    let text = &name.value;
    if text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.chars().all(allowed)
        && text.len() <= MAX_NAME
    {
        return Ok(());
    }
    let why = format!(
        "{text:?} is no cluster name; write a letter a–z, then at most 31 of a–z, 0–9, '.', '_', '-'"
    );
    Err(source.wrong(name.at, why))
}

fn cluster_id(root: &Table<'_>) -> Result<Option<[u8; 16]>, ConfigError> {
    let Some(text) = root.text("cluster_id", "\"32 hexadecimal digits\"")? else {
        return Ok(None);
    };
    let digits = &text.value;
    let valid = digits.len() == 32 && digits.chars().all(|c| c.is_ascii_hexdigit());
    match u128::from_str_radix(digits, 16) {
        Ok(number) if valid && number != 0 => Ok(Some(number.to_be_bytes())),
        _ => {
            let why = format!(
                "{digits:?} is no cluster id; write the 32 hexadecimal digits that the first \
                 start of the cluster printed, or leave the line out"
            );
            Err(root.source.wrong(text.at, why))
        }
    }
}

/// 0: there is none.
fn discovery(root: &Table<'_>) -> Result<Option<At<u16>>, ConfigError> {
    let number = root.number("discovery", 0..=u32::from(u16::MAX))?;
    Ok(number.map(|n| At { value: u16::try_from(n.value).unwrap_or(0), at: n.at }))
}

fn store(root: &Table<'_>) -> Result<StoreUrl, ConfigError> {
    match root.text("store", "\"embedded\"")? {
        None => Ok(StoreUrl::Embedded),
        Some(url) => StoreUrl::parse(&url.value).map_err(|why| root.source.wrong(url.at, why)),
    }
}

fn nodes(root: &Table<'_>, complaints: &mut Vec<ConfigError>) -> Vec<Node> {
    let mut complain = |at: usize, text: &str| complaints.push(root.source.wrong(at, text));
    let mut nodes = Vec::new();
    let Some((value, span)) = root.get("node") else {
        complain(root.source.text.len(), "no [[node]]; write one for each server");
        return nodes;
    };
    let DeValue::Array(list) = value else {
        complain(span.start, "a server is written [[node]], in double brackets");
        return nodes;
    };
    if list.is_empty() {
        complain(span.start, "no [[node]]; write one for each server");
    }
    let mut seen = Seen::default();
    for (number, item) in list.iter().enumerate() {
        let at = item.span().start;
        let DeValue::Table(entries) = item.get_ref() else {
            let text = "a server is written [[node]], with its keys in lines below";
            complaints.push(root.source.wrong(at, text));
            continue;
        };
        if number == limits::NODES {
            let text = "a cluster has at most 9 servers; leave this [[node]] out";
            complaints.push(root.source.wrong(at, text));
            break;
        }
        let table = Table { source: root.source, title: "[[node]]", entries, at };
        let unknown = table.unknown(&NODE_KEYS);
        let known = unknown.is_empty();
        complaints.extend(unknown);
        match node(&table, &mut seen) {
            Ok(node) => nodes.push(node),
            // What is missing is probably what has the unknown name.
            Err(_) if !known => {}
            Err(why) => complaints.push(why),
        }
    }
    nodes
}

/// What must not occur twice, and the line's offset where it occurred.
#[derive(Default)]
struct Seen {
    seats: BTreeMap<u32, usize>,
    ports: BTreeMap<(String, u16), &'static str>,
}

fn node(table: &Table<'_>, seen: &mut Seen) -> Result<Node, ConfigError> {
    let seat = table.need("id", table.number("id", 1..=limits::SEAT)?, "1")?;
    if seen.seats.insert(seat.value, seat.at).is_some() {
        let text = format!("id {} stands here a second time; every server has its own", seat.value);
        return Err(table.source.wrong(seat.at, text));
    }
    let host = table.need("host", host(table, "host")?, "\"10.0.0.1\"")?;
    let client = table.need("client", table.port("client")?, "7101")?;
    let peer = table.need("peer", table.port("peer")?, "7201")?;
    let admin = table.port("admin")?;
    let public = host_or(table, "public", &host)?;
    let named = [("client", Some(&client)), ("peer", Some(&peer)), ("admin", admin.as_ref())];
    for (key, port) in named {
        let Some(port) = port else { continue };
        let place = (public.to_ascii_lowercase(), port.value);
        if let Some(other) = seen.ports.insert(place, key) {
            let text = format!(
                "{public} port {} is used already, as {other:?}; choose a free one for {key:?}",
                port.value
            );
            return Err(table.source.wrong(port.at, text));
        }
    }
    Ok(Node {
        seat: seat.value,
        listen: listen(table)?.unwrap_or(host.value),
        host: public,
        client: client.value,
        peer: peer.value,
        admin: admin.map(|port| port.value),
    })
}

fn host_or(table: &Table<'_>, key: &str, host: &At<String>) -> Result<String, ConfigError> {
    Ok(self::host(table, key)?.map_or_else(|| host.value.clone(), |own| own.value))
}

/// A host that others can reach: an address or a name.
fn host(table: &Table<'_>, key: &str) -> Result<Option<At<String>>, ConfigError> {
    let Some(host) = table.text(key, "\"10.0.0.1\"")? else {
        return Ok(None);
    };
    let text = &host.value;
    let why = if text.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified() || ip.is_multicast()) {
        format!("nobody can reach {text:?}; write the server's own address, and listen = {text:?}")
    } else if text.parse::<IpAddr>().is_ok() || is_name(text) {
        return Ok(Some(host));
    } else if text.parse::<std::net::SocketAddr>().is_ok() || has_port(text) {
        format!("{key} = {text:?} has a port; write it as client = and peer =")
    } else {
        format!(
            "{key} = {text:?} is neither an address nor a name; write \"10.0.0.1\" or \"chat1\""
        )
    };
    Err(table.source.wrong(host.at, why))
}

fn has_port(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| is_name(host) && port.parse::<u16>().is_ok())
}

/// A name as DNS and `/etc/hosts` have them. Digits alone would be a mistyped address.
fn is_name(text: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let numeric = text.chars().all(|c| c.is_ascii_digit() || c == '.');
    !numeric && text.len() <= 253 && text.trim_end_matches('.').split('.').all(label)
}

/// The address to listen on: one of this machine's, or all of them.
fn listen(table: &Table<'_>) -> Result<Option<String>, ConfigError> {
    let Some(listen) = table.text("listen", "\"0.0.0.0\"")? else {
        return Ok(None);
    };
    match listen.value.parse::<IpAddr>() {
        Ok(_) => Ok(Some(listen.value)),
        Err(_) => {
            let text = format!(
                "listen = {:?} is no address; write one of this server's, or \"0.0.0.0\" for all",
                listen.value
            );
            Err(table.source.wrong(listen.at, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(of: &str) -> Vec<(String, String)> {
        let dir = format!("{}/tests/it/conf/{of}", env!("CARGO_MANIFEST_DIR"));
        let mut files: Vec<_> = std::fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (name, std::fs::read_to_string(path).unwrap())
            })
            .collect();
        files.sort();
        assert!(!files.is_empty(), "no files in conf/{of}");
        files
    }

    /// The first line of a file says what is expected of it: `# 3: unknown key "clienr"`.
    fn expected(text: &str) -> (usize, String) {
        let first = text.lines().next().unwrap().trim_start_matches("# ");
        let (line, part) = first.split_once(": ").unwrap();
        (line.parse().unwrap(), part.to_owned())
    }

    #[test]
    fn every_valid_file_is_read() {
        for (name, text) in files("valid") {
            let nodes = parse(&name, &text).unwrap_or_else(|why| panic!("{why:?}"));
            let count = text.lines().filter(|line| line.starts_with("[[node]]")).count();
            assert_eq!(nodes.nodes.len(), count, "{name}");
        }
    }

    #[test]
    fn every_mistake_is_named_with_its_line_and_the_way_out() {
        for (name, text) in files("invalid") {
            let (line, part) = expected(&text);
            let error = parse(&name, &text).expect_err(&name)[0].to_string();
            assert!(error.starts_with(&format!("{name}:{line}: ")), "{name}: got {error}");
            assert!(error.contains(&part), "{name}: got {error}");
        }
    }

    #[test]
    fn all_mistakes_of_a_file_are_told() {
        let text = "cluster = \"West\"\ndiscovery = 65536\nstor = 1\n[[node]]\nidd = 1\n\
                    [[node]]\nid = 1\nhost = \"\"\nclient = 1\npeer = 2\n";
        let all = parse("f", text).unwrap_err();
        let lines: Vec<_> = all.iter().map(|why| why.to_string()).collect();
        let begin = |n: usize| format!("f:{n}: ");
        for line in [1, 2, 3, 5, 8] {
            let told = lines.iter().filter(|text| text.starts_with(&begin(line))).count();
            assert_eq!(told, 1, "line {line}: {lines:#?}");
        }
        assert_eq!(lines.len(), 5, "{lines:#?}");
    }

    #[test]
    fn the_line_of_a_key_is_found() {
        let text = include_str!("../../nodes.conf");
        let found = |seat, key| text.lines().nth(line(text, seat, key).unwrap() - 1).unwrap();
        assert!(found(None, "cluster").contains("\"west\""));
        assert!(found(Some(2), "admin").contains("7302"));
        assert_eq!(line(text, None, "store"), None);
        assert_eq!(line(text, Some(4), "admin"), None);
    }

    #[test]
    fn the_example_is_valid() {
        let nodes = parse("nodes.conf", include_str!("../../nodes.conf")).unwrap();
        assert_eq!(nodes.nodes.iter().map(|node| node.seat).collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn what_the_file_says_is_what_comes_out() {
        let text = include_str!("../../tests/it/conf/valid/full.conf");
        let nodes = parse("full.conf", text).unwrap();
        assert_eq!(nodes.cluster, "west");
        assert_eq!(nodes.cluster_id.unwrap()[..2], [0x00, 0x11]);
        assert_eq!(nodes.discovery, 7000);
        assert_eq!(nodes.store, StoreUrl::Mongo("mongodb://db.example:27017/chat".into()));
        let first = nodes.nodes.first().unwrap();
        assert_eq!(
            (first.seat, first.client, first.peer, first.admin),
            (7, 7101, 7201, Some(7301))
        );
        assert_eq!((first.host.as_str(), first.listen.as_str()), ("chat.example", "0.0.0.0"));
    }
}
