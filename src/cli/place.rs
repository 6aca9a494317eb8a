//! Where a stopped server's data is, as commands for operators name it. It must not know what
//! is done with the data.

use super::connect::nodes_file;
use super::outcome::{Failure, Kind};
use crate::chat::ids::ClusterId;
use crate::config::{self, StoreUrl, seat};
use crate::store::StoreError;
use crate::store::check::Where;
use crate::store::mongo::Place;
use clap::Args;
use std::path::{Path, PathBuf};

/// A stopped server's data.
#[derive(Clone, Debug, Default, Args)]
pub struct PlaceArgs {
    /// The server's data directory [default: where `serve` keeps it]
    #[arg(long, value_name = "DIR", conflicts_with = "store")]
    pub data: Option<PathBuf>,
    /// `embedded`, or the URL of a database, as `serve` has it [default: as nodes.conf says]
    #[arg(long, value_name = "STORE")]
    pub store: Option<String>,
    /// Which [[node]] of nodes.conf; found by its own addresses if not given
    #[arg(long, value_name = "SEAT")]
    pub node: Option<u32>,
    /// The servers of the cluster [default: ./nodes.conf if it is there]
    #[arg(long, value_name = "FILE", env = "RUSTCHAT_NODES")]
    pub nodes: Option<PathBuf>,
}

impl PlaceArgs {
    /// The directory, or the database that `serve` with the same options would use.
    ///
    /// # Errors
    /// The configuration is wrong, or the seat is not known.
    pub fn find(&self) -> Result<Where, Failure> {
        find(self.data.as_deref(), self.store.as_deref(), self.node, self.nodes.as_deref())
    }
}

/// A directory, or the database that `serve` with the same options would use.
///
/// # Errors
/// The configuration is wrong, or the seat is not known.
pub fn find(
    dir: Option<&Path>,
    store: Option<&str>,
    node: Option<u32>,
    nodes: Option<&Path>,
) -> Result<Where, Failure> {
    if let Some(dir) = dir {
        return Ok(Where::Directory(dir.to_owned()));
    }
    let nodes = match nodes_file(nodes) {
        Some(file) => config::read(&file)?,
        None => config::single(),
    };
    let own = seat::find(&nodes, node, &seat::System)?;
    let store = match store.map(StoreUrl::parse) {
        Some(store) => store.map_err(|why| Failure::usage(format!("--store: {why}")))?,
        None => nodes.store.clone(),
    };
    Ok(match store {
        StoreUrl::Embedded => Where::Directory(config::dirs::data(&nodes.cluster, own.seat)?),
        StoreUrl::Mongo(url) => Where::Database(Place {
            url,
            cluster_name: nodes.cluster.clone(),
            cluster: nodes.cluster_id.map(ClusterId),
            seat: own.seat,
        }),
    })
}

/// How a place is named to people; of a database only what is no secret.
#[must_use]
pub fn shown(place: &Where) -> String {
    match place {
        Where::Directory(dir) => dir.display().to_string(),
        Where::Database(_) => "the database".to_owned(),
    }
}

/// A store that another process uses, or that is another's, is no mistake of the configuration
/// here: the command refuses to touch it.
#[must_use]
pub fn refused(error: StoreError) -> Failure {
    match error {
        StoreError::NotOurs(text) => Failure::text(Kind::Refused, text),
        other => other.into(),
    }
}
