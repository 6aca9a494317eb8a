//! Who is who on the network: a cluster's authority, its nodes' certificates, the
//! connections that are made with them, and signed hints. A leaf: it must not know
//! what is said on a connection, nor who may say what.
//!
//! ```text
//! keys/cluster.key   the authority's private key; needed to make nodes' keys, on no server
//! keys/cluster.crt   its certificate; the SHA-256 of its public key is what clients remember
//! keys/node-3.pem    all that node 3 needs: private key, certificate, the authority's, voucher
//! ```
//!
//! Everything is Ed25519, X25519 and TLS 1.3 (RFC 8446, RFC 8410). A certificate names
//! its node ([`node_name`]) and no address: a server proves its cluster and its seat,
//! wherever it runs.

mod authority;
mod client;
mod file;
mod fingerprint;
mod hint;
mod identity;
mod peer;
mod server;
mod stream;
#[cfg(test)]
mod tests;

pub use authority::{Authority, VALID_DAYS};
pub use client::{Changed, connect, connect_within};
pub use file::{authority_of, make_keys, make_node, node_file};
pub use fingerprint::Fingerprint;
pub use hint::{Hint, SIGNATURE_BYTES};
pub use identity::{Identity, NodeKeys};
pub use peer::Peers;
pub use server::Server;
pub use stream::{Proof, ReadHalf, Stream, WriteHalf};

use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

/// What every node's certificate names: a server of its cluster.
const SERVER_NAME: &str = "server.rustchat";

static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));

/// Why keys cannot be used or made.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// There is no such file: make it, or bring it here.
    #[error("{} is missing", .0.display())]
    Missing(PathBuf),
    /// Something is there already, and keys are never overwritten by accident.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// The file does not hold what it should.
    #[error("{}: {why}", file.display())]
    Bad {
        /// Which file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The file cannot be read or written.
    #[error("{}: {error}", file.display())]
    Io {
        /// Which file.
        file: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Keys could not be made.
    #[error("keys could not be made: {0}")]
    Failed(String),
}

/// The name in the certificate of the node at `seat`.
#[must_use]
pub fn node_name(seat: u32) -> String {
    format!("node-{seat}.rustchat")
}

/// What a failed handshake, or a connection that ended by an alert, says about who is not
/// trusted; `None` where the connection was merely lost.
#[must_use]
pub fn distrust(error: &std::io::Error) -> Option<String> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    Some(error.to_string())
}

fn server_name(name: &str) -> Result<ServerName<'static>, rustls::Error> {
    let name = ServerName::try_from(name.to_owned());
    name.map_err(|_| rustls::Error::General("a name that cannot be checked".to_owned()))
}
