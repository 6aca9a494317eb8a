//! Which server to connect to: the leader, which knows who has room. Found by the
//! question on the network or by the servers that were named, else by those of
//! the last time. It must not know sessions.

use super::dial;
use super::{ClientError, Finding};
use crate::chat::ids::ClusterId;
use crate::discovery::ask::{Patience, ask, everywhere};
use crate::wire::discovery::{Answer, Purpose};
use crate::wire::message::{Purpose as Why, ServerAddress, ServerMsg, Where};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// A server has this long to say who leads.
const WHERE: Duration = Duration::from_millis(1500);
/// After the first that knows a leader, others may tell of a newer one.
const NEWER: Duration = Duration::from_millis(50);

/// What is known about where the cluster is.
#[derive(Clone, Debug, Default)]
pub struct Seeker {
    /// What the user said.
    pub finding: Finding,
    /// The cluster that the device belongs to.
    pub bound: Option<ClusterId>,
    /// The cluster used last, by any device of the user.
    pub last: Option<ClusterId>,
    /// Its name.
    pub last_name: String,
    /// Servers of an earlier process, `host:port`.
    pub remembered: Vec<String>,
    /// Servers that this process was told of.
    pub learned: Vec<String>,
}

/// Why there is no server to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Nobody leads, or answers: try again.
    Nobody(String),
    /// The user must choose.
    Choose(ClientError),
}

/// `host:port` of a server's port for clients.
#[must_use]
pub fn address(server: &ServerAddress) -> String {
    server.for_clients()
}

impl Seeker {
    /// `host:port` of the leader.
    ///
    /// # Errors
    /// See [`Lost`].
    pub async fn find(self) -> Result<String, Lost> {
        if !self.finding.servers.is_empty() {
            let named = self.finding.servers.iter().chain(&self.learned);
            return self.ask_servers(named.cloned().collect()).await;
        }
        match self.ask_network().await {
            Err(Lost::Nobody(why)) => {
                let known = self.learned.iter().chain(&self.remembered).cloned();
                match known.collect::<BTreeSet<_>>() {
                    none if none.is_empty() => Err(Lost::Nobody(why)),
                    known => self.ask_servers(known).await,
                }
            }
            other => other,
        }
    }

    async fn ask_network(&self) -> Result<String, Lost> {
        let failed = |why: std::io::Error| Lost::Nobody(format!("cannot ask the network: {why}"));
        let targets = match self.finding.ask.as_slice() {
            [] => everywhere(self.finding.discovery_port).map_err(failed)?,
            given => given.to_vec(),
        };
        let wanted = |a: &Answer| self.is_wanted(a);
        let answers = ask(&targets, Purpose::Client, Patience::default(), wanted).await;
        self.choose(&answers.map_err(failed)?).map(|answer| address(&answer.leader))
    }

    /// True for the one cluster that can be meant.
    fn is_wanted(&self, answer: &Answer) -> bool {
        match (&self.finding.cluster, self.bound) {
            (Some(name), _) => answer.cluster_name == *name,
            (None, Some(bound)) => answer.cluster == bound,
            (None, None) => false,
        }
    }

    fn choose<'a>(&self, answers: &'a [Answer]) -> Result<&'a Answer, Lost> {
        if answers.is_empty() {
            return Err(Lost::Nobody("no server answers on the network".into()));
        }
        // The newest answer of a cluster counts, and of those of the latest generation: servers
        // that a recovery left behind may still believe that one of them leads.
        let wanted = answers.iter().filter(|a| self.is_wanted(a));
        if let Some(wanted) = wanted.max_by_key(|a| a.generation) {
            return Ok(wanted);
        }
        let names: BTreeSet<_> = answers.iter().map(|a| a.cluster_name.clone()).collect();
        let names: Vec<_> = names.into_iter().collect();
        let only = |wanted: &str| {
            let others = names.join(", ");
            Lost::Nobody(format!("the cluster {wanted} does not answer, only {others}"))
        };
        if let Some(name) = &self.finding.cluster {
            return Err(only(name));
        }
        if self.bound.is_some() {
            // Made anew under its old name, or restored from a backup?
            let same = answers.iter().filter(|a| a.cluster_name == self.last_name);
            let same = same.max_by_key(|a| a.generation);
            return same.ok_or_else(|| only(&self.last_name));
        }
        let clusters: BTreeSet<_> = answers.iter().map(|a| a.cluster).collect();
        let last = answers.iter().rev().find(|a| Some(a.cluster) == self.last);
        match (clusters.len(), last) {
            (1, _) => answers.last().ok_or_else(|| only(&self.last_name)),
            (_, Some(last)) => Ok(last),
            (_, None) => Err(Lost::Choose(ClientError::ChooseCluster(names))),
        }
    }

    /// Asks these servers who leads.
    async fn ask_servers(&self, servers: BTreeSet<String>) -> Result<String, Lost> {
        let mut deadline = Instant::now() + WHERE;
        let ask = |server: String| async move {
            let answer = dial::ask(&server, Why::Where, WHERE, None).await;
            (server, answer)
        };
        let mut answers: FuturesUnordered<_> = servers.into_iter().map(ask).collect();
        let mut best: Option<Where> = None;
        let mut why = "no server answers".to_owned();
        while let Ok(Some((server, answer))) = timeout_at(deadline, answers.next()).await {
            match answer {
                Ok(ServerMsg::Where(found)) if !self.accepts(&found) => {
                    why = format!("{server} belongs to the cluster {}", found.cluster_name);
                }
                Ok(ServerMsg::Where(found)) if found.leader.is_some() => {
                    deadline = deadline.min(Instant::now() + NEWER);
                    let rank = |w: &Where| (self.bound == Some(w.cluster), w.generation, w.term);
                    if best.as_ref().is_none_or(|b| rank(&found) > rank(b)) {
                        best = Some(found);
                    }
                }
                Ok(ServerMsg::Where(_)) => why = "the servers have no leader".into(),
                Ok(ServerMsg::GoAway { text, .. }) => why = text,
                Ok(ServerMsg::Busy { .. }) => why = format!("{server} is busy"),
                Ok(_) => why = format!("{server} gave another answer"),
                Err(error) => why = format!("{server}: {error}"),
            }
        }
        let leader = best.and_then(|b| b.leader).map(|leader| address(&leader));
        leader.ok_or(Lost::Nobody(why))
    }

    fn accepts(&self, found: &Where) -> bool {
        match &self.finding.cluster {
            Some(name) => found.cluster_name == *name,
            // Servers that the user named are meant, whatever was used last.
            None if !self.finding.servers.is_empty() => true,
            // Under the same name it may be restored from a backup; it says so when asked to serve.
            None => self
                .bound
                .is_none_or(|bound| bound == found.cluster || found.cluster_name == self.last_name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(cluster: u8, name: &str, generation: u64) -> Answer {
        Answer {
            version: 1,
            nonce: [0; 16],
            cluster_name: name.into(),
            cluster: ClusterId([cluster; 16]),
            generation,
            leader: ServerAddress::default(),
            members: Vec::new(),
            signature: bytes::Bytes::new(),
        }
    }

    #[test]
    fn the_latest_generation_counts_whoever_answers_last() {
        let bound = Some(ClusterId([1; 16]));
        let seeker = Seeker { bound, last_name: "west".into(), ..Seeker::default() };
        let all = [answer(1, "west", 2), answer(1, "west", 1), answer(7, "east", 9)];
        assert_eq!(seeker.choose(&all).unwrap().generation, 2);
        // Restored from a backup it has another id, and the old name.
        let all = [answer(7, "east", 9), answer(2, "west", 1)];
        assert_eq!(seeker.choose(&all).unwrap().cluster, ClusterId([2; 16]));
        assert!(seeker.choose(&all[..1]).is_err());
    }
}
