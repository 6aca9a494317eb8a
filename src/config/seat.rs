//! Which of the servers in `nodes.conf` this machine is: the one whose address
//! is one of its own. Whether a port is free says nothing and is not asked.

use super::{ConfigError, Node, Nodes};
use std::net::{IpAddr, ToSocketAddrs};

/// Answers questions about addresses; tests give their own.
pub trait Addresses {
    /// The addresses of this machine's interfaces.
    fn own(&self) -> std::io::Result<Vec<IpAddr>>;
    /// The addresses behind a host name, or the address itself.
    fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>>;
}

/// This machine and its resolver.
pub struct System;

impl Addresses for System {
    fn own(&self) -> std::io::Result<Vec<IpAddr>> {
        Ok(if_addrs::get_if_addrs()?.iter().map(if_addrs::Interface::ip).collect())
    }

    fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>> {
        Ok((host, 0).to_socket_addrs()?.map(|address| address.ip()).collect())
    }
}

/// The server that this machine is: the one with seat `given`, else the only one whose address
/// is this machine's own.
///
/// # Errors
/// None or several are possible; says so and names `--node`.
pub fn find<'n>(
    nodes: &'n Nodes,
    given: Option<u32>,
    addresses: &dyn Addresses,
) -> Result<&'n Node, ConfigError> {
    if let Some(seat) = given {
        return nodes.nodes.iter().find(|node| node.seat == seat).ok_or_else(|| {
            let seats = list(nodes.nodes.iter());
            ConfigError::Seat(format!("--node {seat} is not in nodes.conf, which has {seats}"))
        });
    }
    if let [only] = nodes.nodes.as_slice()
        && only.listen.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified())
    {
        return Ok(only);
    }
    let own = addresses.own().map_err(|why| {
        ConfigError::Seat(format!(
            "this machine's addresses cannot be read ({why}); use --node SEAT"
        ))
    })?;
    let mut mine = Vec::new();
    let mut unresolved = Vec::new();
    for node in &nodes.nodes {
        match addresses.resolve(place(node)) {
            Ok(found) if found.iter().any(|ip| own.contains(ip) || ip.is_loopback()) => {
                mine.push(node);
            }
            Ok(_) => {}
            Err(why) => unresolved.push(format!("{}: {why}", node.host)),
        }
    }
    match mine.as_slice() {
        [node] => Ok(node),
        [] => Err(ConfigError::Seat(none(nodes, &own, &unresolved))),
        several => Err(ConfigError::Seat(format!(
            "this machine could be any of {}, by their addresses; say which one with --node SEAT",
            list(several.iter().copied())
        ))),
    }
}

/// Where the server is on its own machine: a `public` address may be a router's.
fn place(node: &Node) -> &str {
    match node.listen.parse::<IpAddr>() {
        Ok(ip) if ip.is_unspecified() => &node.host,
        _ => &node.listen,
    }
}

fn list<'n>(nodes: impl Iterator<Item = &'n Node>) -> String {
    let each: Vec<_> = nodes.map(|node| format!("{} ({})", node.seat, node.host)).collect();
    each.join(", ")
}

fn none(nodes: &Nodes, own: &[IpAddr], unresolved: &[String]) -> String {
    let own: Vec<_> = own.iter().map(ToString::to_string).collect();
    let mut text = format!(
        "this machine ({}) is none of the servers {}; say which one with --node SEAT",
        own.join(", "),
        list(nodes.nodes.iter())
    );
    if !unresolved.is_empty() {
        text.push_str(&format!(" (could not be resolved: {})", unresolved.join("; ")));
    }
    text
}

/// The first address that is not this machine's alone, among those that the server listens on
/// or that others use to reach the cluster; with it who has it.
///
/// # Errors
/// A name cannot be resolved.
pub fn beyond_this_machine(
    nodes: &Nodes,
    addresses: &dyn Addresses,
) -> Result<Option<(String, IpAddr)>, ConfigError> {
    for node in &nodes.nodes {
        for host in [&node.listen, &node.host] {
            let found = addresses.resolve(host).map_err(|why| {
                ConfigError::Seat(format!("node {}: {host} cannot be resolved: {why}", node.seat))
            })?;
            if let Some(ip) = found.into_iter().find(|ip| !ip.is_loopback()) {
                return Ok(Some((host.clone(), ip)));
            }
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::single;

    struct Fixed(&'static [&'static str]);

    impl Addresses for Fixed {
        fn own(&self) -> std::io::Result<Vec<IpAddr>> {
            Ok(self.0.iter().map(|ip| ip.parse().unwrap()).collect())
        }

        fn resolve(&self, host: &str) -> std::io::Result<Vec<IpAddr>> {
            match host {
                "chat1" => Ok(vec!["10.0.0.1".parse().unwrap()]),
                "nowhere" => Err(std::io::Error::other("no such name")),
                ip => Ok(vec![ip.parse().unwrap()]),
            }
        }
    }

    fn nodes(hosts: &[&str]) -> Nodes {
        let mut nodes = single();
        let first = nodes.nodes.pop().unwrap();
        nodes.nodes = (1..)
            .zip(hosts)
            .map(|(seat, host)| Node {
                seat,
                host: (*host).into(),
                listen: (*host).into(),
                ..first.clone()
            })
            .collect();
        nodes
    }

    fn found(
        hosts: &[&str],
        given: Option<u32>,
        own: &'static [&'static str],
    ) -> Result<u32, String> {
        let nodes = nodes(hosts);
        find(&nodes, given, &Fixed(own)).map(|n| n.seat).map_err(|e| e.to_string())
    }

    #[test]
    fn a_server_knows_itself_by_its_address() {
        let own = &["127.0.0.1", "10.0.0.2"];
        assert_eq!(found(&["10.0.0.1", "10.0.0.2", "10.0.0.3"], None, own), Ok(2));
        assert_eq!(found(&["chat1", "10.0.0.2"], None, &["127.0.0.1", "10.0.0.1"]), Ok(1));
        assert_eq!(found(&["nowhere", "10.0.0.2"], None, own), Ok(2));
    }

    #[test]
    fn doubt_is_an_error_that_names_the_way_out() {
        let own = &["127.0.0.1", "10.0.0.2"];
        for hosts in [&["127.0.0.1"; 3][..], &["10.0.0.1", "10.0.0.3"], &["10.0.0.2", "10.0.0.2"]] {
            let error = found(hosts, None, own).unwrap_err();
            assert!(error.contains("--node SEAT"), "{error}");
        }
        assert!(found(&["nowhere"], None, own).unwrap_err().contains("no such name"));
    }

    #[test]
    fn the_operator_has_the_last_word() {
        assert_eq!(found(&["127.0.0.1"; 3], Some(3), &[]), Ok(3));
        assert!(found(&["127.0.0.1"; 3], Some(4), &[]).unwrap_err().contains("1 (127.0.0.1)"));
    }

    #[test]
    fn what_others_can_reach_is_noticed() {
        let beyond = |hosts: &[&str]| beyond_this_machine(&nodes(hosts), &Fixed(&[])).unwrap();
        assert_eq!(beyond(&["127.0.0.1", "127.1.2.3", "::1"]), None);
        assert_eq!(beyond(&["127.0.0.1", "chat1"]).unwrap().0, "chat1");
        assert!(beyond(&["0.0.0.0"]).is_some());
    }
}
