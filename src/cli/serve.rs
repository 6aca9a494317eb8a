//! `rustchat serve`: from `nodes.conf` and options to a running server, and its
//! end on a signal. It must not know what a server does.

use super::args::ServeArgs;
use super::connect::nodes_file;
use super::outcome::{End, Failure, Kind, Outcome};
use super::signals::Signals;
use crate::chat::ids::ClusterId;
use crate::client::status::status;
use crate::config::{self, Node, Nodes, StoreUrl, seat};
use crate::limits;
use crate::raft::Seat;
use crate::server::{self, ServeError, ServerConfig, StoreSpec};
use std::io::{Read, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// How often the server is asked whether there is a leader, until there is one.
const ASK: Duration = Duration::from_millis(100);

/// Runs one server until a signal ends it.
pub async fn run(args: &ServeArgs) -> Outcome {
    let nodes = match nodes_file(args.nodes.as_deref()) {
        Some(file) => config::read(&file)?,
        None => config::single(),
    };
    let own = seat::find(&nodes, args.node, &seat::System)?;
    if !args.insecure_plain {
        refuse_plain(&nodes)?;
    }
    let data = match &args.data {
        Some(dir) => dir.clone(),
        None => config::dirs::data(&nodes.cluster, own.seat)?,
    };
    let config = server_config(args, &nodes, own, data)?;
    // Of a database it is not known yet: the id is of use until it stands in nodes.conf.
    let pristine = match config.store {
        StoreSpec::Mongo(_) => config.cluster.is_none(),
        _ => !config.data.exists(),
    };
    let mut signals = Signals::new()?;
    let stop = CancellationToken::new();
    if args.until_stdin_closes {
        stop_with_stdin(stop.clone());
    }
    let (ready, listening) = oneshot::channel();
    let mut told =
        Box::pin(tell(config.client_listen, own.seat, nodes.cluster.clone(), pristine, listening));
    let mut served = Box::pin(server::run(config, stop.clone(), ready));
    let mut all_told = false;
    loop {
        tokio::select! {
            end = &mut served => return Ok(end.map(|()| End::Done)?),
            () = &mut told, if !all_told => all_told = true,
            () = signals.next() => {
                if stop.is_cancelled() {
                    tracing::warn!("a second signal: the end comes at once");
                    return Ok(End::Done);
                }
                tracing::info!("a signal: the server hands over and ends");
                stop.cancel();
            }
        }
    }
}

/// Connections are not encrypted yet: nobody shall find out by accident.
fn refuse_plain(nodes: &Nodes) -> Result<(), Failure> {
    match seat::beyond_this_machine(nodes, &seat::System)? {
        None => Ok(()),
        Some((host, ip)) => Err(Failure::config(format!(
            "{host} ({ip}) can be reached from other machines, and connections are not encrypted \
             yet; add --insecure-plain to serve there all the same"
        ))),
    }
}

fn server_config(
    args: &ServeArgs,
    nodes: &Nodes,
    own: &Node,
    data: PathBuf,
) -> Result<ServerConfig, Failure> {
    let store = match args.store.as_deref().map(StoreUrl::parse) {
        Some(store) => store.map_err(|why| Failure::usage(format!("--store: {why}")))?,
        None => nodes.store.clone(),
    };
    let seat = |node: &Node| Seat {
        seat: node.seat,
        host: node.host.clone(),
        peer: node.peer,
        client: node.client,
    };
    Ok(ServerConfig {
        cluster_name: nodes.cluster.clone(),
        cluster: nodes.cluster_id.map(ClusterId),
        seat: own.seat,
        seats: nodes.nodes.iter().map(seat).collect(),
        client_listen: listen(own, own.client)?,
        peer_listen: listen(own, own.peer)?,
        discovery_port: Some(nodes.discovery),
        data,
        store: match store {
            StoreUrl::Embedded => StoreSpec::Embedded,
            StoreUrl::Mongo(url) => StoreSpec::Mongo(url),
        },
        rejoin: args.rejoin,
        snapshot_log_bytes: args.snapshot_log_bytes.unwrap_or(limits::SNAPSHOT_LOG_BYTES),
        log_file_bytes: args.log_file_bytes.unwrap_or(limits::LOG_FILE_BYTES),
    })
}

fn listen(own: &Node, port: u16) -> Result<SocketAddr, Failure> {
    let wrong = |why: String| Failure::config(format!("node {}: {}: {why}", own.seat, own.listen));
    let mut found =
        (own.listen.as_str(), port).to_socket_addrs().map_err(|why| wrong(why.to_string()))?;
    found.next().ok_or_else(|| wrong("the name has no address".into()))
}

/// A parent that ends, however it ends, closes our standard input.
fn stop_with_stdin(stop: CancellationToken) {
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut ignored = [0; 256];
        while stdin.read(&mut ignored).is_ok_and(|count| count > 0) {}
        stop.cancel();
    });
}

/// Prints that the server listens, then the cluster's id if it is new, then who leads.
async fn tell(
    own: SocketAddr,
    seat: u32,
    cluster: String,
    pristine: bool,
    listening: oneshot::Receiver<()>,
) {
    if listening.await.is_err() {
        return;
    }
    say(&format!("server {seat} of cluster {cluster:?} listens on {own}"));
    let mut ask = tokio::time::interval(ASK);
    ask.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ask.tick().await;
        let Ok(now) = status(&reachable(own).to_string(), ASK * 10).await else { continue };
        let Some(leader) = now.leader else { continue };
        if now.cluster == ClusterId::default() {
            continue;
        }
        if pristine {
            say(&format!("for nodes.conf: cluster_id = \"{}\"", now.cluster));
        }
        say(&format!("server {leader} leads in term {}", now.term));
        return;
    }
}

/// Where this machine reaches what listens on `own`.
fn reachable(own: SocketAddr) -> SocketAddr {
    match own {
        SocketAddr::V4(a) if a.ip().is_unspecified() => ([127, 0, 0, 1], a.port()).into(),
        SocketAddr::V6(a) if a.ip().is_unspecified() => {
            (std::net::Ipv6Addr::LOCALHOST, a.port()).into()
        }
        other => other,
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // A server goes on when nobody reads its standard output any more.
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        let kind = match &error {
            ServeError::Config(_) => Kind::Config,
            ServeError::Data(_) => Kind::Data,
            ServeError::Disk(_) => Kind::Io,
            ServeError::Listen { .. } | ServeError::Unavailable(_) => Kind::Unavailable,
            ServeError::Failed(_) => Kind::Bug,
        };
        Self::new(kind, error)
    }
}
