//! This server's links to other clusters: what they need of it, and when they run. It must not
//! know what two clusters say to each other.

use super::shared::Shared;
use crate::chat::command::{Command, Meet};
use crate::chat::ids::{ClusterId, UserId};
use crate::chat::link::{Link, LinkNumber};
use crate::chat::name::UserName;
use crate::limits;
use crate::link::{Home, Me, answer, dial, pull};
use crate::tls::NodeKeys;
use crate::wire::conn::{ConnError, Reader, Writer};
use crate::wire::link::{LinkAnswer, LinkAsk, LinkReason};
use crate::wire::log;
use crate::wire::message::Challenge;
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// Why nobody of that name can be written to.
#[derive(Debug)]
pub enum Unknown {
    /// This cluster has no such link.
    NotLinked,
    /// There is nobody there with this name.
    Nobody,
    /// The other cluster, or this one's majority, does not answer now.
    Unreachable(String),
}

#[async_trait]
impl Home for Shared {
    fn me(&self) -> Option<Me> {
        let (cluster, generation) = self.setup.state.identity()?;
        let (name, seat) = (self.setup.cluster_name.clone(), self.setup.seat);
        Some(Me { cluster, name, generation, seat })
    }

    fn keys(&self) -> Option<Arc<NodeKeys>> {
        self.keys.as_ref().map(|identity| identity.keys())
    }

    fn link(&self, cluster: ClusterId) -> Option<Link> {
        self.setup.state.read(|r| r.state.link(cluster).cloned())
    }

    fn user(&self, name: &UserName) -> Option<(UserId, UserName)> {
        self.setup.state.read(|r| r.state.user_named(name).map(|u| (u.id, u.name.clone())))
    }

    fn is_user(&self, user: UserId) -> bool {
        self.setup.state.read(|r| r.state.is_local(user) && r.state.user(user).is_some())
    }

    async fn exports(
        &self,
        link: LinkNumber,
        from: u64,
        max_bytes: usize,
    ) -> Option<Vec<(u64, Bytes)>> {
        let page = self.store.exports(link, from, max_bytes).await;
        page.inspect_err(|error| tracing::error!(%error, "exports could not be read")).ok()
    }

    async fn catch_up(&self) -> bool {
        self.node.read_barrier().await.is_ok()
    }

    fn propose(&self, command: &Command) -> bool {
        let messages = match command {
            Command::Import(import) => import.items.len(),
            _ => 1,
        };
        self.node.submit(log::encode_command(command), messages).is_ok()
    }

    fn changed(&self) -> watch::Receiver<u64> {
        self.setup.state.linked()
    }
}

/// Pulls from every cluster that is trusted, while this node leads.
pub async fn pull_all(shared: Arc<Shared>, tasks: TaskTracker) {
    let mut running: BTreeMap<ClusterId, DropGuard> = BTreeMap::new();
    let mut status = shared.node.status();
    let mut changed = shared.changed();
    loop {
        let leads = status.borrow_and_update().leads_with_quorum;
        changed.mark_unchanged();
        let wanted: Vec<ClusterId> = shared.setup.state.read(|r| {
            let links = r.state.links().filter(|link| leads && link.is_trusted());
            links.filter(|link| !link.address.is_empty()).map(|link| link.cluster).collect()
        });
        running.retain(|cluster, _| wanted.contains(cluster));
        for cluster in wanted {
            running.entry(cluster).or_insert_with(|| {
                let stop = shared.stop.child_token();
                tasks.spawn(pull_one(Arc::clone(&shared), cluster, stop.clone()));
                stop.drop_guard()
            });
        }
        tokio::select! {
            () = shared.stop.cancelled() => return,
            changed = status.changed() => if changed.is_err() { return },
            changed = changed.changed() => if changed.is_err() { return },
        }
    }
}

async fn pull_one(shared: Arc<Shared>, cluster: ClusterId, stop: CancellationToken) {
    let mut changed = shared.changed();
    let pulls = async {
        // It ends where the cluster is not trusted any more, which may change in a moment.
        loop {
            pull::run(&*shared, &shared.board, cluster).await;
            if changed.changed().await.is_err() {
                return;
            }
        }
    };
    stop.run_until_cancelled(pulls).await;
    if let Some(link) = shared.link(cluster) {
        shared.board.note(link.number, |now| now.line = Default::default());
    }
}

/// A device of a user here, which another cluster carries to this server.
pub struct Carried {
    /// Whose device the other cluster says it is.
    pub user: UserId,
    /// The other cluster.
    pub by: Link,
    /// The connection, on which nothing was said for the device yet.
    pub line: (Reader, Writer),
}

/// Talks with another cluster that has connected here, until it goes, or until it goes on for
/// one device alone.
pub async fn serve(
    shared: &Arc<Shared>,
    (mut reader, mut writer): (Reader, Writer),
    challenge: Challenge,
    known: impl FnOnce(),
) -> Result<Option<Carried>, ConnError> {
    reader.set_limit(limits::FRAME_BEFORE_LOGIN);
    let line = (&mut reader, &mut writer);
    let talked = answer::run(&**shared, &shared.board, line, &challenge, known);
    match shared.stop.run_until_cancelled(talked).await {
        Some(Ok(answer::End::Relay { user, by })) => {
            Ok(Some(Carried { user, by, line: (reader, writer) }))
        }
        Some(Ok(answer::End::Over)) | None => Ok(None),
        Some(Err(error)) => Err(error),
    }
}

/// Who is called `name` in the other cluster that is called `alias` here. Whom this cluster does
/// not know yet it asks for there, and notes in its log.
pub async fn find(shared: &Shared, name: &UserName, alias: &str) -> Result<UserId, Unknown> {
    let known = || shared.setup.state.read(|r| r.state.user_called(name, Some(alias)));
    if let Some(user) = known() {
        return Ok(user);
    }
    let link = shared.setup.state.read(|r| r.state.link_called(alias).cloned());
    let link = link.filter(Link::is_open).ok_or(Unknown::NotLinked)?;
    let unreachable = |why: dial::LineError| Unknown::Unreachable(format!("{alias}: {why}"));
    let mut line = dial::to(shared, &link).await.map_err(unreachable)?;
    let ask = LinkAsk::Resolve(name.to_string());
    let user = match line.ask(&ask, limits::LINK_ANSWER).await.map_err(unreachable)? {
        LinkAnswer::Resolved { user, .. } if link.owns(user) => user,
        LinkAnswer::Refused(refused) if refused.reason == LinkReason::NoSuchUser => {
            return Err(Unknown::Nobody);
        }
        other => return Err(unreachable(dial::unasked(&other))),
    };
    let (cluster, name) = (link.cluster, name.to_string());
    let meet = Command::Meet(Meet { cluster, user, name });
    let mut changed = shared.changed();
    if !shared.propose(&meet) {
        return Err(Unknown::Unreachable("this cluster has no leader now".to_owned()));
    }
    let noted = async {
        while known().is_none() && changed.changed().await.is_ok() {}
        known()
    };
    let noted = timeout(limits::LINK_COMMIT, noted).await.ok().flatten();
    noted.ok_or_else(|| Unknown::Unreachable("this cluster did not commit in time".to_owned()))
}
