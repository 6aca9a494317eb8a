//! The servers that a benchmark runs on: those that are named, or its own, which end with it and
//! leave nothing behind. It must not know what is measured.

use super::args::PlaceArgs;
use crate::bench::connections::Power;
use crate::client::Finding;
use crate::client::security::Security;
use crate::client::status::status;
use crate::config::StoreUrl;
use crate::demo::servers::{CLUSTER, Servers};
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
        let mut security = Security { trust_new: true, ..args.trust.security() };
        let (stores, own, servers) = match &args.server {
            Some(server) => (Vec::new(), None, vec![server.clone()]),
            None => {
                let stores = stores(&args.store, args.servers)?;
                let own = Servers::start_on(&stores, false, args.trust.insecure_plain)
                    .context("starting the servers")?;
                let addresses = own.addresses.clone();
                security = security.expecting(own.key);
                (stores, Some(own), addresses)
            }
        };
        wait_for_leader(&servers, security).await?;
        let finding = Finding { servers, security, ..Finding::default() };
        Ok(Self { finding, servers: own, stores })
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

impl Power for Servers {
    fn off(&mut self, seat: u32) -> anyhow::Result<()> {
        self.kill(seat).with_context(|| format!("killing server {seat}"))
    }

    fn on(&mut self, seat: u32) -> anyhow::Result<()> {
        self.start_again(seat)
    }
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
pub async fn wait_for_leader(servers: &[String], security: Security) -> anyhow::Result<()> {
    let start = Instant::now();
    let mut ask = tokio::time::interval(ASK);
    while start.elapsed() < LEADER_TIME {
        ask.tick().await;
        for server in servers {
            let node = status(server, ASK * 5, security).await;
            if node.is_ok_and(|node| node.leader.is_some()) {
                return Ok(());
            }
        }
    }
    anyhow::bail!("{} has no leader after {LEADER_TIME:?}", servers.join(", "))
}
