//! Asks the network, and configured addresses, which other clusters there are, while this node
//! leads. What is made of the answers is [`crate::link::seeker`]'s.

use super::shared::Shared;
use crate::client::security::Security;
use crate::clock::now_ms;
use crate::discovery::ask::{Judgement, Patience, ask, everywhere};
use crate::limits;
use crate::link::dial::look;
use crate::link::heard::heard;
use crate::link::seeker::{Heard, Known, Look, Seeker};
use crate::link::{Home, LineState};
use crate::wire::discovery::{Answer, Purpose};
use crate::wire::message::ServerAddress;
use futures::future::join_all;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::{sleep, timeout};

/// How long an answer from the network is waited for: until the first one, and after it.
const PATIENCE: Patience =
    Patience { silence: Duration::from_millis(500), others: Duration::from_millis(300) };

/// How other clusters are looked for.
#[derive(Clone, Debug, Default)]
pub struct Seek {
    /// UDP port on which the network is asked; `None`: it is not.
    pub port: Option<u16>,
    /// `host:port` of servers of other clusters.
    pub addresses: Vec<String>,
    /// Who is heard for the first time is trusted.
    pub trust_new: bool,
}

/// Looks for other clusters until the server ends.
pub async fn run(shared: Arc<Shared>, seek: Seek) {
    let stop = shared.stop.clone();
    stop.run_until_cancelled(async {
        let mut status = shared.node.status();
        while status.wait_for(|status| status.leads_with_quorum).await.is_ok() {
            let mut seeker = Seeker::new(seek.addresses.clone(), seek.trust_new, Instant::now());
            while status.borrow().leads_with_quorum {
                round(&shared, &mut seeker, seek.port).await;
                sleep(limits::SEEK).await;
            }
        }
    })
    .await;
}

/// What this cluster knows; `None` where it can have no links.
fn known(shared: &Shared) -> Option<Known> {
    let key = shared.keys()?.fingerprint.into();
    let name = shared.setup.cluster_name.clone();
    let mut known = shared.setup.state.read(|r| {
        let meta = r.state.meta();
        let ids = std::iter::once(meta.cluster).chain(meta.former.iter().copied()).collect();
        let (links, down) = (r.state.links().cloned().collect(), Default::default());
        Known { ids, name, key, links, down, now_ms: now_ms() }
    });
    known.ids.first().filter(|id| **id != Default::default())?;
    let is_down = |number: &u64| matches!(shared.board.of(*number).line, LineState::Down(_));
    known.down = known.links.iter().map(|link| link.number).filter(is_down).collect();
    Some(known)
}

async fn round(shared: &Shared, seeker: &mut Seeker, port: Option<u16>) {
    let Some(before) = known(shared) else { return };
    let looks = seeker.looks(&before, Instant::now());
    let looked = join_all(looks.iter().map(look_at));
    let (mut all, looked) = tokio::join!(network(&before, port), looked);
    for (look, heard) in looks.iter().zip(looked) {
        seeker.on_look(look, heard.is_some(), Instant::now());
        all.extend(heard);
    }
    // Much may have happened meanwhile.
    let Some(now) = known(shared) else { return };
    for command in seeker.on_round(now, all, Instant::now()) {
        if !shared.propose(&command) {
            return;
        }
    }
}

/// Who answers on the network.
async fn network(known: &Known, port: Option<u16>) -> Vec<Heard> {
    let Some(port) = port else { return Vec::new() };
    let judge = |answer: &Answer| match answer.signer {
        Some(_) if !known.ids.contains(&answer.cluster) => Judgement::Keep,
        _ => Judgement::Ignore,
    };
    let answers = async { ask(&everywhere(port)?, Purpose::Cluster, PATIENCE, judge).await };
    let answers = answers.await.inspect_err(|why| {
        tracing::debug!(event = "seek.failed", %why, "the network cannot be asked");
    });
    let read = |answer: Answer| {
        let (key, at) = (answer.signer?, answer.leader.for_clients());
        let hear = heard(answer.cluster, &answer.cluster_name, key, &at)?;
        Some(Heard { hear, by_answer: true, others: addresses(&answer.members) })
    };
    answers.unwrap_or_default().into_iter().filter_map(read).collect()
}

/// Who is at an address; it is told nothing but a hello.
async fn look_at(wanted: &Look) -> Option<Heard> {
    let (cluster, key) = wanted.whose.unzip();
    let looked = look(&wanted.address, Security::of(key), cluster);
    let line = match timeout(limits::LINK_CONNECT, looked).await {
        Ok(Ok(line)) => line,
        Ok(Err(why)) => {
            tracing::debug!(event = "seek.unseen", address = wanted.address, %why, "nobody there");
            return None;
        }
        Err(_) => return None,
    };
    let met = &line.met;
    tracing::debug!(event = "seek.met", address = wanted.address, name = met.cluster_name, "met");
    let hear = heard(met.cluster, &met.cluster_name, line.key()?, &wanted.address)?;
    Some(Heard { hear, by_answer: false, others: addresses(&met.servers) })
}

fn addresses(servers: &[ServerAddress]) -> Vec<String> {
    servers.iter().take(limits::LINK_SERVERS).map(ServerAddress::for_clients).collect()
}
