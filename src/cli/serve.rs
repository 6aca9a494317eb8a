//! `rustchat serve`: from the configuration to a running server, and what it does on
//! signals. It must not know what a server does.

use super::args::ServeArgs;
use super::effective::Effective;
use super::keys;
use super::outcome::{End, Failure, Kind, Outcome};
use super::reload;
use super::signals::{Hangups, Signals};
use super::systemd::Manager;
use crate::chat::ids::ClusterId;
use crate::client::security::Security;
use crate::client::status::status;
use crate::config::settings::LogFormat;
use crate::config::{ConfigError, Node, StoreUrl};
use crate::server::{self, Pulse, ServeError, ServerConfig, StoreSpec};
use crate::telemetry::{self, Log};
use crate::{limits, raft};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// How often the server is asked whether there is a leader, until there is one.
const ASK: Duration = Duration::from_millis(100);

/// Runs one server until a signal ends it.
pub async fn run(args: &ServeArgs) -> Outcome {
    // First of all: from here on SIGHUP ends nothing.
    let (signals, hangups) = (Signals::for_a_server()?, Hangups::new()?);
    let running = Effective::load(&args.settings.sources())?;
    let log = start_log(&running)?;
    if let Err(why) = server::admin::install() {
        tracing::warn!(why, "no metrics are kept");
    }
    for warning in &running.settings.warnings {
        tracing::warn!("{warning}");
    }
    let file = running.settings.file.as_ref().map(|file| file.display().to_string());
    tracing::info!(file, settings = running.line(), "the configuration");
    let keys = keys::of_server(&running)?;
    let security = match &keys {
        Some(identity) => Security::of(Some(identity.keys().fingerprint)),
        None => {
            tracing::warn!("no TLS: whoever is on the network can read and change everything");
            Security::PLAIN
        }
    };
    let config = ServerConfig { keys, ..server_config(args, &running) };
    // Of a database it is not known yet: the id is of use until it stands in nodes.conf.
    let pristine = match config.store {
        StoreSpec::Mongo(_) => config.cluster.is_none(),
        _ => !config.data.exists(),
    };
    let stop = CancellationToken::new();
    if args.until_stdin_closes {
        stop_with_stdin(stop.clone());
    }
    let (ready, listening) = oneshot::channel();
    let (pulse, pulses) = watch::channel(Pulse::default());
    let (own, cluster) = (running.own.seat, running.nodes.cluster.clone());
    let told = Box::pin(tell(config.client_listen, security, (own, cluster, pristine), listening));
    let served = Box::pin(server::run(config, stop.clone(), ready, pulse.clone()));
    let manager = Manager::new();
    let attend = Attend { args, running, log, manager, pulses, signals, hangups, stop };
    let end = attend.run(served, told).await;
    drop(pulse);
    end
}

/// What is attended to while the server runs.
struct Attend<'a> {
    args: &'a ServeArgs,
    running: Effective,
    log: Log,
    manager: Manager,
    pulses: watch::Receiver<Pulse>,
    signals: Signals,
    hangups: Hangups,
    stop: CancellationToken,
}

impl Attend<'_> {
    /// Until the server has ended, or its time to end is over.
    async fn run(
        mut self,
        mut served: impl Future<Output = Result<(), ServeError>> + Unpin,
        mut told: impl Future<Output = ()> + Unpin,
    ) -> Outcome {
        let mut all_told = false;
        let mut reading: Option<JoinHandle<_>> = None;
        let mut deadline = None;
        loop {
            tokio::select! {
                end = &mut served => return Ok(end.map(|()| End::Done)?),
                () = &mut told, if !all_told => all_told = true,
                // An error would mean that nobody has the other end; `run` has.
                Ok(()) = self.pulses.changed() => {
                    let pulse = self.pulses.borrow_and_update().clone();
                    self.manager.heed(&pulse);
                }
                () = self.hangups.next(), if reading.is_none() => {
                    self.manager.reloading();
                    let sources = self.args.settings.sources();
                    reading = Some(tokio::task::spawn_blocking(move || Effective::load(&sources)));
                }
                read = finished(&mut reading) => {
                    reading = None;
                    reload::apply(&mut self.running, read, &self.log);
                    self.manager.reloaded();
                }
                () = self.signals.next() => {
                    if self.stop.is_cancelled() {
                        tracing::warn!("a second signal: the end comes at once");
                        return Ok(End::Done);
                    }
                    tracing::info!("a signal: the server hands over and ends");
                    self.stop.cancel();
                }
                () = self.stop.cancelled(), if deadline.is_none() => {
                    deadline = Some(Instant::now() + self.running.settings.shutdown_grace.value);
                    self.manager.stopping();
                }
                () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                    tracing::warn!("the time for an orderly end is over: it ends at once");
                    return Ok(End::Done);
                }
            }
        }
    }
}

/// What was read, once it is; never, if nothing is.
async fn finished(
    reading: &mut Option<JoinHandle<Result<Effective, Vec<ConfigError>>>>,
) -> Result<Effective, Vec<ConfigError>> {
    match reading {
        None => std::future::pending().await,
        Some(task) => task.await.unwrap_or_else(|why| {
            Err(vec![ConfigError::Seat(format!("the configuration could not be read: {why}"))])
        }),
    }
}

fn start_log(running: &Effective) -> Result<Log, Failure> {
    let log = &running.settings.log;
    let setup = telemetry::Setup {
        level: log.level.value.clone(),
        json: match log.format.value {
            LogFormat::Auto => None,
            LogFormat::Text => Some(false),
            LogFormat::Json => Some(true),
        },
        dir: log.dir.as_ref().map(|dir| dir.value.clone()),
        keep: log.keep.value,
        quiet: raft::QUIET,
        cluster: running.nodes.cluster.clone(),
        node: running.own.seat,
    };
    let dir = log.dir.as_ref().map(|dir| dir.origin.wrong(dir.value.display().to_string()));
    telemetry::server(setup).map_err(|why| match dir {
        Some(dir) => Failure::config(format!("{dir}: no log files: {why}")),
        None => Failure::new(Kind::Io, why),
    })
}

fn server_config(args: &ServeArgs, running: &Effective) -> ServerConfig {
    let seat = |node: &Node| raft::Seat {
        seat: node.seat,
        host: node.host.clone(),
        peer: node.peer,
        client: node.client,
    };
    ServerConfig {
        cluster_name: running.nodes.cluster.clone(),
        cluster: running.nodes.cluster_id.map(ClusterId),
        seat: running.own.seat,
        seats: running.nodes.nodes.iter().map(seat).collect(),
        client_listen: running.client_listen,
        peer_listen: running.peer_listen,
        admin_listen: running.admin.value,
        keys: None,
        discovery_port: Some(running.nodes.discovery).filter(|port| *port > 0),
        links: running.settings.links.value.clone(),
        trust_new_links: running.settings.trust_new_links.value,
        data: running.data.value.clone(),
        store: match &running.store.value {
            StoreUrl::Embedded => StoreSpec::Embedded,
            StoreUrl::Mongo(url) => StoreSpec::Mongo(url.clone()),
        },
        rejoin: args.rejoin,
        snapshot_log_bytes: running.settings.snapshot_log_bytes.value,
        log_file_bytes: args.log_file_bytes.unwrap_or(limits::LOG_FILE_BYTES),
    }
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
    security: Security,
    (seat, cluster, pristine): (u32, String, bool),
    listening: oneshot::Receiver<()>,
) {
    if listening.await.is_err() {
        return;
    }
    say(&format!("server {seat} of cluster {cluster:?} listens on {own}"));
    if let Some(key) = security.expected {
        say(&format!("key {key}"));
    }
    let mut ask = tokio::time::interval(ASK);
    ask.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ask.tick().await;
        let Ok(now) = status(&reachable(own).to_string(), ASK * 10, security).await else {
            continue;
        };
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
