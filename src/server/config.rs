//! What a server needs to start, and how it can fail. It must not know files
//! of configuration, the command line or exit codes.

use crate::chat::ids::ClusterId;
use crate::raft::Seat;
use crate::raft::types::{StartError, StopReason};
use crate::store::{Store, StoreError};
use crate::tls::Identity;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// Where a server keeps its data.
#[derive(Clone)]
pub enum StoreSpec {
    /// In its data directory.
    Embedded,
    /// In a database, as the URL says.
    Mongo(String),
    /// In a store that is open already; closed when the server stops.
    Open(Arc<dyn Store>),
}

/// What a server needs to start.
#[derive(Clone)]
pub struct ServerConfig {
    /// The cluster's name.
    pub cluster_name: String,
    /// Its id, where `nodes.conf` says it: then this server never founds a cluster.
    pub cluster: Option<ClusterId>,
    /// This server's seat.
    pub seat: u32,
    /// All servers, this one included.
    pub seats: Vec<Seat>,
    /// Where to listen for clients.
    pub client_listen: SocketAddr,
    /// Where to listen for the other servers.
    pub peer_listen: SocketAddr,
    /// Where to listen for probes and metrics; `None`: nowhere.
    pub admin_listen: Option<SocketAddr>,
    /// This server's keys; `None`: connections are plain, and prove nothing.
    pub keys: Option<Arc<Identity>>,
    /// UDP port on which clients and other clusters ask who leads, and this one asks for others;
    /// `None`: nobody is answered or asked.
    pub discovery_port: Option<u16>,
    /// `host:port` of servers of other clusters, where the network does not tell.
    pub links: Vec<String>,
    /// Other clusters that are heard for the first time are trusted.
    pub trust_new_links: bool,
    /// The directory of the embedded store.
    pub data: PathBuf,
    /// Where data is kept.
    pub store: StoreSpec,
    /// Move a refused data directory aside and ask to be admitted anew.
    pub rejoin: bool,
    /// Log bytes since the last snapshot that bring the next one.
    pub snapshot_log_bytes: u64,
    /// Bytes of one file of the embedded store's log.
    pub log_file_bytes: usize,
}

/// Why a server did not start, or stopped; each with what to do.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The configuration is wrong, or the data is another's (exit 78).
    #[error("{0}")]
    Config(String),
    /// What is on disk is damaged or refused by the others; names `--rejoin` (exit 65).
    #[error("{0}")]
    Data(String),
    /// A write or a sync failed (exit 74).
    #[error("{0}")]
    Disk(String),
    /// An address cannot be listened on (exit 69).
    #[error("cannot listen for {what} on {address}: {error}")]
    Listen {
        /// Whom it is for.
        what: &'static str,
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The database cannot be reached (exit 69).
    #[error("{0}")]
    Unavailable(String),
    /// Consensus, or a thread, failed: start the process again (exit 70).
    #[error("{0}")]
    Failed(String),
}

impl From<StoreError> for ServeError {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::Io(_) => Self::Disk(text),
            StoreError::Corrupt(_) => Self::Data(text),
            StoreError::NotOurs(_) => Self::Config(text),
            StoreError::Unavailable(_) => Self::Unavailable(text),
        }
    }
}

impl ServeError {
    /// Why a node that was to listen on `address` did not start.
    #[must_use]
    pub fn of_start(error: StartError, address: SocketAddr) -> Self {
        match error {
            StartError::Store(error) => error.into(),
            StartError::Listen(error) => Self::Listen { what: "the other servers", address, error },
            StartError::Config(text) => Self::Config(text),
        }
    }

    /// Why a node stopped; `None` where it was told to.
    #[must_use]
    pub fn of_stop(reason: StopReason) -> Option<Self> {
        match reason {
            StopReason::Shutdown => None,
            StopReason::Disk(text) => Some(Self::Disk(text)),
            StopReason::Corrupt(text) | StopReason::Refused(text) => Some(Self::Data(text)),
            StopReason::NotOurs(text) => Some(Self::Config(text)),
            StopReason::Unavailable(text) => Some(Self::Unavailable(text)),
            StopReason::Raft(text) => Some(Self::Failed(text)),
        }
    }
}
