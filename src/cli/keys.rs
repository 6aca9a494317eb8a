//! `rustchat keys`: a cluster's authority and its servers' keys, and the clusters that
//! this machine's clients trust. It must not know connections.

use super::connect::nodes_file;
use super::effective::{Effective, keys_beside, keys_of_data};
use super::outcome::{End, Failure, Kind, Outcome};
use crate::chat::text::printable;
use crate::client::security::Pins;
use crate::config;
use crate::tls::{self, Identity, KeysError, NodeKeys};
use clap::{Args, Subcommand};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// `rustchat keys`.
#[derive(Clone, Debug, Args)]
pub struct KeysArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: KeysCommand,
}

/// Where keys are.
#[derive(Clone, Debug, Args)]
pub struct PlaceArgs {
    /// The directory of the keys [default: `keys` beside nodes.conf]
    #[arg(long, value_name = "DIR")]
    pub keys: Option<PathBuf>,
    /// The servers of the cluster [default: ./nodes.conf if it is there]
    #[arg(long, value_name = "FILE", env = "RUSTCHAT_NODES")]
    pub nodes: Option<PathBuf>,
}

/// What can be done with keys.
#[derive(Clone, Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a cluster's authority, once, and a key for every server in nodes.conf
    Init {
        /// Where.
        #[command(flatten)]
        place: PlaceArgs,
        /// The cluster's name [default: as nodes.conf says]
        #[arg(long, value_name = "NAME")]
        cluster: Option<String>,
    },
    /// Make the key of one more server
    Node {
        /// Its seat
        seat: u32,
        /// Replace the key that it has; a server that runs takes the new one by itself
        #[arg(long)]
        renew: bool,
        /// Where.
        #[command(flatten)]
        place: PlaceArgs,
    },
    /// Print the cluster's fingerprint and until when its servers' keys are valid, and the
    /// clusters that clients on this machine trust
    Show {
        /// Where.
        #[command(flatten)]
        place: PlaceArgs,
        /// Where clients keep what they know [default: the user's state directory]
        #[arg(long, value_name = "DIR", env = "RUSTCHAT_STATE")]
        state: Option<PathBuf>,
    },
    /// Forget the key of a cluster, which clients on this machine trust; the next one counts as new
    Forget {
        /// Its name, id or key
        which: String,
        /// Where clients keep what they know [default: the user's state directory]
        #[arg(long, value_name = "DIR", env = "RUSTCHAT_STATE")]
        state: Option<PathBuf>,
    },
}

/// Does it.
///
/// # Errors
/// Keys are there already, or missing, or cannot be read or written.
pub fn run(command: &KeysCommand) -> Outcome {
    match command {
        KeysCommand::Init { place, cluster } => init(place, cluster.as_deref()),
        KeysCommand::Node { seat, renew, place } => node(*seat, *renew, place),
        KeysCommand::Show { place, state } => show(place, state.as_deref()),
        KeysCommand::Forget { which, state } => forget(which, state.as_deref()),
    }
}

impl PlaceArgs {
    fn dir(&self) -> PathBuf {
        let usual = || match nodes_file(self.nodes.as_deref()) {
            Some(file) => keys_beside(&file),
            // Those of the cluster of one that `serve` runs without a file, if it has run.
            None => of_one().filter(|dir| dir.is_dir()).unwrap_or_else(|| PathBuf::from("keys")),
        };
        self.keys.clone().unwrap_or_else(usual)
    }
}

/// The keys of a cluster of one that was started without a `nodes.conf`.
fn of_one() -> Option<PathBuf> {
    let one = config::single();
    let seat = one.nodes.first()?.seat;
    Some(keys_of_data(&config::dirs::data(&one.cluster, seat).ok()?))
}

fn init(place: &PlaceArgs, cluster: Option<&str>) -> Outcome {
    let nodes = nodes_file(place.nodes.as_deref()).map(|file| config::read(&file)).transpose()?;
    let named = cluster.map(str::to_owned).or(nodes.as_ref().map(|nodes| nodes.cluster.clone()));
    let Some(cluster) = named else {
        return Err(Failure::usage("no nodes.conf here: name it with --nodes, or give --cluster"));
    };
    let (dir, now) = (place.dir(), SystemTime::now());
    let key = tls::make_keys(&dir, &cluster, now).map_err(|why| match why {
        KeysError::Exists(file) => Failure::usage(format!(
            "{} is there already: this cluster has its keys. `keys node` makes one for a further \
             server",
            file.display()
        )),
        why => why.into(),
    })?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}: the keys of cluster {cluster:?}", dir.display())?;
    writeln!(out, "key {key}")?;
    for node in nodes.iter().flat_map(|nodes| &nodes.nodes) {
        let file = tls::make_node(&dir, node.seat, false, now)?;
        writeln!(out, "{}: for server {} ({})", file.display(), node.seat, node.host)?;
    }
    writeln!(
        out,
        "Bring each server its own file and no other. Keep cluster.key where no server runs: who \
         has it can make servers of this cluster."
    )?;
    Ok(End::Done)
}

fn node(seat: u32, renew: bool, place: &PlaceArgs) -> Outcome {
    if !(1..=crate::limits::SEAT).contains(&seat) {
        let text = format!("a seat is a number from 1 to {}", crate::limits::SEAT);
        return Err(Failure::usage(text));
    }
    let dir = place.dir();
    let made = tls::make_node(&dir, seat, renew, SystemTime::now()).map_err(|why| match why {
        KeysError::Exists(file) => {
            Failure::usage(format!("{} is there already: --renew replaces it", file.display()))
        }
        KeysError::Missing(file) => Failure::config(format!(
            "{} is missing: `rustchat keys init` makes a cluster's keys, once",
            file.display()
        )),
        why => why.into(),
    })?;
    writeln!(std::io::stdout().lock(), "{}: for server {seat}", made.display())?;
    Ok(End::Done)
}

fn show(place: &PlaceArgs, state: Option<&Path>) -> Outcome {
    let dir = place.dir();
    let mut out = std::io::stdout().lock();
    let mut found = false;
    match tls::authority_of(&dir) {
        Ok(key) => {
            found = true;
            writeln!(out, "{}: key {key}", dir.display())?;
            for seat in 1..=crate::limits::SEAT {
                let file = tls::node_file(&dir, seat);
                if file.is_file() {
                    let keys = Identity::load(&file, seat)?.keys();
                    writeln!(out, "  server {seat}: valid until {}", day(&keys))?;
                }
            }
        }
        Err(KeysError::Missing(_)) => {}
        Err(why) => return Err(why.into()),
    }
    for pin in pins(state)?.all() {
        found = true;
        writeln!(out, "trusted: {} ({}) key {}", printable(&pin.name), pin.cluster, pin.key)?;
    }
    if !found {
        writeln!(out, "no keys in {}, and no cluster was used from here", dir.display())?;
    }
    Ok(End::Done)
}

fn forget(which: &str, state: Option<&Path>) -> Outcome {
    let forgotten = pins(state)?.forget(which)?;
    if forgotten == 0 {
        let text = format!("no cluster {which:?} is known; `rustchat keys show` lists them");
        return Err(Failure::usage(text));
    }
    writeln!(std::io::stdout().lock(), "{forgotten} forgotten; the next key will be new")?;
    Ok(End::Done)
}

fn pins(state: Option<&Path>) -> Result<Pins, Failure> {
    let usual = || config::dirs::state();
    let state = state.map_or_else(usual, |dir| Ok(dir.to_path_buf()))?;
    Ok(Pins::load(Some(&state))?)
}

/// As a date.
fn day(keys: &NodeKeys) -> String {
    let at =
        i64::try_from(keys.until_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    at.map_or("?".to_owned(), |at| at.strftime("%Y-%m-%d").to_string())
}

/// The keys of the server that starts; of a cluster of one they are made where they are missing.
/// `None` where it shall use no TLS.
///
/// # Errors
/// They are missing or damaged.
pub fn of_server(running: &Effective) -> Result<Option<Arc<Identity>>, Failure> {
    if running.settings.insecure_plain.value {
        return Ok(None);
    }
    let (dir, seat) = (&running.keys.value, running.own.seat);
    let file = tls::node_file(dir, seat);
    if running.nodes.nodes.len() == 1 && !file.exists() {
        let (now, cluster) = (SystemTime::now(), &running.nodes.cluster);
        match tls::make_keys(dir, cluster, now) {
            Ok(_) | Err(KeysError::Exists(_)) => {}
            Err(why) => return Err(why.into()),
        }
        tls::make_node(dir, seat, false, now)?;
        tracing::info!(dir = %dir.display(), "the keys of this cluster were made");
    }
    load(&file, seat).map(Some)
}

/// The same without making any.
///
/// # Errors
/// They are missing, where they are not made by themselves, or damaged.
pub fn check(running: &Effective) -> Result<(), Failure> {
    let file = tls::node_file(&running.keys.value, running.own.seat);
    let made = running.nodes.nodes.len() == 1 && !file.exists();
    if running.settings.insecure_plain.value || made {
        return Ok(());
    }
    load(&file, running.own.seat).map(drop)
}

fn load(file: &Path, seat: u32) -> Result<Arc<Identity>, Failure> {
    Identity::load(file, seat).map_err(|why| match why {
        KeysError::Missing(file) => Failure::text(
            Kind::Config,
            format!(
                "{} is missing: make the cluster's keys on one machine with `rustchat keys init`, \
                 and bring this server its file",
                file.display()
            ),
        ),
        why => why.into(),
    })
}
