//! This cluster, as its links need it.

use crate::chat::command::Command;
use crate::chat::ids::{ClusterId, UserId};
use crate::chat::link::{Link, LinkNumber};
use crate::chat::name::UserName;
use crate::tls::NodeKeys;
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use tokio::sync::watch;

/// Who this is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Me {
    /// This cluster.
    pub cluster: ClusterId,
    /// Its name.
    pub name: String,
    /// Its generation.
    pub generation: u64,
    /// The seat of this node.
    pub seat: u32,
}

/// This cluster, as its links need it. What it says is what this node has applied.
#[async_trait]
pub trait Home: Send + Sync + 'static {
    /// Who this is; `None` until the cluster is founded.
    fn me(&self) -> Option<Me>;

    /// The node's keys; without any there are no links.
    fn keys(&self) -> Option<Arc<NodeKeys>>;

    /// Another cluster, by its id of now.
    fn link(&self, cluster: ClusterId) -> Option<Link>;

    /// The user here with this name.
    fn user(&self, name: &UserName) -> Option<(UserId, UserName)>;

    /// True for somebody whom this cluster registered.
    fn is_user(&self, user: UserId) -> bool;

    /// Encoded values of what another cluster is told, from the one that holds `from`; `None` where they cannot be read.
    async fn exports(
        &self,
        link: LinkNumber,
        from: u64,
        max_bytes: usize,
    ) -> Option<Vec<(u64, Bytes)>>;

    /// Waits until this node has applied what a majority had when it was asked; false where that
    /// cannot be had now.
    async fn catch_up(&self) -> bool;

    /// Proposes a command; false where nobody takes it now.
    fn propose(&self, command: &Command) -> bool;

    /// Changes whenever something about another cluster does.
    fn changed(&self) -> watch::Receiver<u64>;
}
