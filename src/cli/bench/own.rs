//! The servers that a benchmark runs on: those that are named, or its own, which end with it and
//! leave nothing behind. It must not know what is measured.

use super::args::{OwnArgs, PlaceArgs};
use crate::client::Finding;
use crate::client::security::Security;
use crate::client::status::status;
use crate::config::StoreUrl;
use crate::demo::servers::{CLUSTER, Layout, Servers};
use crate::store::mongo::{self, Place};
use anyhow::Context;
use std::time::{Duration, Instant};

/// A leader is there long before this, or something is wrong.
const LEADER_TIME: Duration = Duration::from_secs(30);
/// How often the servers are asked for their leader.
const ASK: Duration = Duration::from_millis(100);

/// A cluster with a leader.
pub struct Cluster {
    /// Where it is, and whom to trust.
    pub finding: Finding,
    /// Its own servers, where it started them.
    pub servers: Option<Servers>,
    stores: Vec<StoreUrl>,
}

impl Cluster {
    /// Finds the one that is named, or starts one.
    ///
    /// # Errors
    /// The servers cannot be started, or have no leader in time.
    pub async fn of(args: &PlaceArgs) -> anyhow::Result<Self> {
        let security = args.trust.security();
        let cluster = match &args.server {
            Some(server) => {
                let security = Security { trust_new: true, ..security };
                let servers = vec![server.clone()];
                let finding = Finding { servers, security, ..Finding::default() };
                Self { finding, servers: None, stores: Vec::new() }
            }
            None => {
                let stores = stores(&args.store, args.servers)?;
                let layout = Layout { plain: security.plain, ..demo() };
                let (servers, finding) = start(&layout, &stores, security)?;
                Self { finding, servers: Some(servers), stores }
            }
        };
        wait_for_leader(&cluster.finding).await?;
        Ok(cluster)
    }

    /// Stops its own servers and removes what they stored.
    ///
    /// # Errors
    /// MongoDB does not remove their databases.
    pub async fn end(self) -> anyhow::Result<()> {
        if self.servers.is_some() {
            drop(self.servers);
            remove(&self.stores).await?;
        }
        Ok(())
    }
}

fn demo() -> Layout {
    Layout { cluster: CLUSTER.to_owned(), ..Layout::default() }
}

/// Servers with the embedded store that take orders, and where they are. Dropping them stops them
/// and removes what they stored.
///
/// # Errors
/// They cannot be started, or have no leader in time.
pub async fn own(args: &OwnArgs) -> anyhow::Result<(Servers, Finding)> {
    let plain = args.insecure_plain;
    let layout = Layout { plain, admin: true, ..demo() };
    let stores = vec![StoreUrl::Embedded; args.servers as usize];
    let (servers, finding) = start(&layout, &stores, Security { plain, ..Security::default() })?;
    wait_for_leader(&finding).await?;
    Ok((servers, finding))
}

/// Starts servers, which may have no leader yet, and says where they are.
///
/// # Errors
/// They cannot be started.
pub fn start(
    layout: &Layout,
    stores: &[StoreUrl],
    security: Security,
) -> anyhow::Result<(Servers, Finding)> {
    let own = Servers::start_as(layout, stores, false).context("starting the servers")?;
    let security = Security { trust_new: true, ..security }.expecting(own.key);
    let finding = Finding { servers: own.addresses.clone(), security, ..Finding::default() };
    Ok((own, finding))
}

/// The store of each server: on a MongoDB server a database of its own.
fn stores(store: &str, servers: u32) -> anyhow::Result<Vec<StoreUrl>> {
    let store = StoreUrl::parse(store).map_err(|why| anyhow::anyhow!("--store: {why}"))?;
    let run = rand::random::<u32>();
    let of_seat = |seat| store.with_database(&format!("rustchat_bench_{run:08x}_{seat}"));
    let stores: Result<Vec<_>, String> = (1..=servers).map(of_seat).collect();
    stores.map_err(|why| anyhow::anyhow!("--store: {why}"))
}

/// Removes the databases of servers that have stopped.
async fn remove(stores: &[StoreUrl]) -> anyhow::Result<()> {
    for (seat, store) in (1..).zip(stores) {
        if let StoreUrl::Mongo(url) = store {
            let (url, cluster_name) = (url.clone(), CLUSTER.to_owned());
            let place = Place { url, cluster_name, cluster: None, seat };
            mongo::remove(&place).await.context("removing the servers' databases")?;
        }
    }
    Ok(())
}

/// Waits until one of them says who leads.
///
/// # Errors
/// Nobody leads in time.
pub async fn wait_for_leader(finding: &Finding) -> anyhow::Result<()> {
    let Finding { servers, security, .. } = finding;
    let start = Instant::now();
    let mut ask = tokio::time::interval(ASK);
    while start.elapsed() < LEADER_TIME {
        ask.tick().await;
        for server in servers {
            let node = status(server, ASK * 5, *security).await;
            if node.is_ok_and(|node| node.leader.is_some()) {
                return Ok(());
            }
        }
    }
    anyhow::bail!("{} has no leader after {LEADER_TIME:?}", servers.join(", "))
}
