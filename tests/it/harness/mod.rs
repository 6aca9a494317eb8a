//! Clusters of real processes for the scenarios: servers, people with a home of
//! their own, and links that can be cut. Everything that is started here is
//! killed on drop; on failure the servers' logs are printed, and how to run the
//! test again. It must not know what a scenario asserts.

mod channel;
mod cluster;
pub mod crowd;
mod database;
pub mod inside;
mod node;
mod person;
mod proxy;
mod pty;
mod raw;
mod stores;

pub use crate::support::signal::signal;
pub use crate::support::wait::{wait_until, watch};
pub use cluster::{Cluster, LEADER, NodeStatus, Setup};
pub use database::Documents;
pub use node::{Node, copy, program};
pub use person::{Person, Said, Talk, ends, texts};
pub use proxy::Path;
pub use pty::Terminal;
pub use raw::Raw;
pub use stores::Stores;
pub(crate) use stores::over_every_store;
