//! Which server to connect to: the leader, which knows who has room. Found by the
//! question on the network or by the servers that were named, else by those of
//! the last time. It must not know sessions.

use super::dial;
use super::security::{Pins, Security};
use super::{ClientError, Finding};
use crate::chat::ids::ClusterId;
use crate::discovery::ask::{Judgement, Patience, ask, everywhere};
use crate::tls::{Changed, Fingerprint};
use crate::wire::conn::ConnError;
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
    /// The other cluster whose guest the user was last, and its servers.
    pub away: Option<(ClusterId, Vec<String>)>,
    /// The clusters whose keys are remembered.
    pub pins: Pins,
}

/// The server to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// It leads.
    pub leader: ServerAddress,
    /// Whom it must prove to be.
    pub security: Security,
    /// Its cluster.
    pub cluster: ClusterId,
    /// What that calls itself.
    pub name: String,
    /// All servers of the cluster, as far as they were told.
    pub servers: Vec<ServerAddress>,
    /// It is not the user's own cluster: they would be its guest.
    pub visit: bool,
}

/// Why there is no server to connect to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// Nobody leads, or answers: try again.
    Nobody(String),
    /// The user must choose.
    Choose(ClientError),
    /// Whoever answers has another key than the cluster had.
    Changed(ClientError),
}

/// What the end of a question says about the server's key.
fn key_changed(server: String, error: &ConnError) -> Option<ClientError> {
    let ConnError::Io(error) = error else { return None };
    let Changed { expected, found } = Changed::of(error)?;
    Some(ClientError::KeyChanged { server, expected, found })
}

fn several_keys(answers: &[&Answer]) -> Lost {
    let name = answers.first().map(|a| a.cluster_name.clone()).unwrap_or_default();
    let keys = answers.iter().filter_map(|a| Some((a.signer?, address(&a.leader))));
    Lost::Choose(ClientError::ChooseKey { name, keys: keys.collect() })
}

/// `host:port` of a server's port for clients.
#[must_use]
pub fn address(server: &ServerAddress) -> String {
    server.for_clients()
}

impl Seeker {
    /// The leader: of the user's own cluster where that answers, else of another one where they
    /// may be a guest. Where the user named a server or a cluster it is that one.
    ///
    /// # Errors
    /// See [`Lost`].
    pub async fn find(self) -> Result<Found, Lost> {
        let Some(home) = self.finding.home.clone() else { return self.find_one().await };
        let finding = &self.finding;
        let elsewhere = finding.cluster.as_ref().is_some_and(|name| *name != home);
        let named = finding.cluster.is_none() && !finding.servers.is_empty();
        if named || elsewhere {
            return self.anywhere().find_one().await.map(|found| self.as_guest(found, &home));
        }
        match self.at_home(&home).find_one().await {
            Err(Lost::Nobody(why)) if finding.servers.is_empty() && finding.cluster.is_none() => {
                let found = self.anywhere().find_one().await;
                found.map(|f| self.as_guest(f, &home)).map_err(|_| Lost::Nobody(why))
            }
            found => found,
        }
    }

    /// The same where nothing but the user's own cluster is meant.
    fn at_home(&self, home: &str) -> Self {
        let cluster = Some(home.to_owned());
        Self { finding: Finding { cluster, ..self.finding.clone() }, ..self.clone() }
    }

    /// The same where any cluster will do: what is remembered is of the user's own one.
    fn anywhere(&self) -> Self {
        let (last, learned) = self.away.clone().unzip();
        Self {
            finding: self.finding.clone(),
            bound: None,
            last,
            learned: learned.unwrap_or_default(),
            pins: self.pins.clone(),
            ..Self::default()
        }
    }

    fn as_guest(&self, found: Found, home: &str) -> Found {
        let own = Some(found.cluster) == self.bound || found.name == home;
        Found { visit: !own, ..found }
    }

    /// Whether a server that presents itself as one of this cluster has its key.
    ///
    /// # Errors
    /// It has another one than is remembered, or none.
    pub fn judge(
        &self,
        server: &str,
        cluster: ClusterId,
        name: &str,
        key: Option<Fingerprint>,
    ) -> Result<(), ClientError> {
        let given = self.finding.security.expected;
        // A person has compared the key: then only the id must not be another cluster's.
        let compared = given.is_some() && given == key && self.pins.of(cluster).is_none();
        let expected = self.pins.instead_of(cluster, name, key).filter(|_| !compared);
        match (expected, key) {
            (None, _) => Ok(()),
            (Some(expected), Some(found)) => {
                Err(ClientError::KeyChanged { server: server.to_owned(), expected, found })
            }
            (Some(expected), None) => Err(ClientError::NoKey { name: name.to_owned(), expected }),
        }
    }

    async fn find_one(self) -> Result<Found, Lost> {
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

    /// Whom every server must prove to be: whom the user named, or the device belongs to.
    fn security(&self) -> Security {
        let given = self.finding.security;
        let bound = self.bound.and_then(|bound| self.pins.of(bound));
        Security { expected: given.expected.or(bound), ..given }
    }

    async fn ask_network(&self) -> Result<Found, Lost> {
        let failed = |why: std::io::Error| Lost::Nobody(format!("cannot ask the network: {why}"));
        let targets = match self.finding.ask.as_slice() {
            [] => everywhere(self.finding.discovery_port).map_err(failed)?,
            given => given.to_vec(),
        };
        let judge = |a: &Answer| match (self.is_credible(a), self.is_known(a)) {
            (false, _) => Judgement::Ignore,
            (true, true) if self.is_wanted(a) || self.is_last(a) => Judgement::Take,
            (true, _) => Judgement::Keep,
        };
        let answers = ask(&targets, Purpose::Client, Patience::default(), judge).await;
        let answers = answers.map_err(failed)?;
        let answer = self.choose(&answers)?;
        // The server must be of whoever signed the hint.
        let security = self.security().expecting(answer.signer);
        Ok(Found {
            leader: answer.leader.clone(),
            security,
            cluster: answer.cluster,
            name: answer.cluster_name.clone(),
            servers: answer.members.clone(),
            visit: false,
        })
    }

    /// True if it is signed by the cluster that it speaks for, as far as that is known here.
    fn is_credible(&self, answer: &Answer) -> bool {
        let security = self.security();
        let Some(signer) = answer.signer else { return security.plain };
        match security.expected {
            _ if security.plain => true,
            Some(key) => key == signer,
            None => self.conflict(answer.cluster, &answer.cluster_name, Some(signer)).is_none(),
        }
    }

    /// The key that such a cluster is known by here, where it shows another one.
    fn conflict(
        &self,
        cluster: ClusterId,
        name: &str,
        key: Option<Fingerprint>,
    ) -> Option<Fingerprint> {
        self.pins.instead_of(cluster, name, key)
    }

    /// True if nobody else could speak for its cluster: others need not be heard.
    fn is_known(&self, answer: &Answer) -> bool {
        let security = self.security();
        security.plain || security.expected.is_some() || self.pins.of(answer.cluster).is_some()
    }

    /// True for the cluster used last, where nothing else is asked for.
    fn is_last(&self, answer: &Answer) -> bool {
        let asked = self.finding.cluster.is_some() || self.bound.is_some();
        !asked && Some(answer.cluster) == self.last
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
        let mut wanted: Vec<_> = answers.iter().filter(|a| self.is_wanted(a)).collect();
        if wanted.iter().any(|a| self.is_known(a)) {
            wanted.retain(|a| self.is_known(a));
        }
        let signers: BTreeSet<_> = wanted.iter().map(|a| a.signer).collect();
        if signers.len() > 1 {
            return Err(several_keys(&wanted));
        }
        if let Some(wanted) = wanted.into_iter().max_by_key(|a| a.generation) {
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
        let clusters: BTreeSet<_> = answers.iter().map(|a| (a.cluster, a.signer)).collect();
        let last = answers.iter().rev().find(|a| Some(a.cluster) == self.last);
        match (clusters.len(), last) {
            (1, _) => answers.last().ok_or_else(|| only(&self.last_name)),
            (_, Some(last)) => Ok(last),
            (_, None) if names.len() == 1 => Err(several_keys(&answers.iter().collect::<Vec<_>>())),
            (_, None) => Err(Lost::Choose(ClientError::ChooseCluster(names))),
        }
    }

    /// Asks these servers who leads.
    async fn ask_servers(&self, servers: BTreeSet<String>) -> Result<Found, Lost> {
        let mut deadline = Instant::now() + WHERE;
        let (from, security) = (self.finding.from, self.security());
        let ask = |server: String| async move {
            let conn = dial::dial_from(from, &server, WHERE, security);
            let answer = dial::ask_over(conn, Why::Where, WHERE, None).await;
            (server, answer)
        };
        let mut answers: FuturesUnordered<_> = servers.into_iter().map(ask).collect();
        let mut best: Option<(Where, Option<Fingerprint>)> = None;
        let (mut changed, mut proved) = (None, false);
        let mut why = "no server answers".to_owned();
        while let Ok(Some((server, answer))) = timeout_at(deadline, answers.next()).await {
            let (answer, key) = match answer {
                Ok((answer, key)) => (Ok(answer), key),
                Err(error) => (Err(error), None),
            };
            let other = |found: &Where| self.conflict(found.cluster, &found.cluster_name, key);
            proved |= key.is_some() && key == security.expected;
            match answer {
                Ok(ServerMsg::Where(found)) if key.is_some() && other(&found).is_some() => {
                    let expected = other(&found);
                    changed = changed.or(expected.zip(key).map(|(expected, found)| {
                        ClientError::KeyChanged { server, expected, found }
                    }));
                }
                Ok(ServerMsg::Where(found)) if !self.accepts(&found) => {
                    why = format!("{server} belongs to the cluster {}", found.cluster_name);
                }
                Ok(ServerMsg::Where(found)) if found.leader.is_some() => {
                    deadline = deadline.min(Instant::now() + NEWER);
                    let rank = |w: &Where| (self.bound == Some(w.cluster), w.generation, w.term);
                    if best.as_ref().is_none_or(|(b, _)| rank(&found) > rank(b)) {
                        best = Some((found, key));
                    }
                }
                Ok(ServerMsg::Where(_)) => why = "the servers have no leader".into(),
                Ok(ServerMsg::GoAway { text, .. }) => why = text,
                Ok(ServerMsg::Busy { .. }) => why = format!("{server} is busy"),
                Ok(_) => why = format!("{server} gave another answer"),
                Err(error) => {
                    why = format!("{server}: {error}");
                    changed = changed.or(key_changed(server, &error));
                }
            }
        }
        let leader = best.and_then(|(b, key)| {
            Some(Found {
                leader: b.leader?,
                security: security.expecting(key),
                cluster: b.cluster,
                name: b.cluster_name,
                servers: b.servers,
                visit: false,
            })
        });
        match (leader, changed) {
            (Some(found), _) => Ok(found),
            // Where the cluster itself answers too, somebody else at one of its addresses is nothing.
            (None, Some(changed)) if !proved => Err(Lost::Changed(changed)),
            (None, _) => Err(Lost::Nobody(why)),
        }
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
            signer: None,
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

    /// An answer with this key.
    fn signed(cluster: u8, name: &str, key: u8) -> Answer {
        Answer { signer: Some(Fingerprint::of_key(&[key; 32])), ..answer(cluster, name, 1) }
    }

    #[test]
    fn who_is_known_is_taken_and_who_only_says_so_is_not_heard() {
        let mut seeker = Seeker::default();
        let west = ClusterId([1; 16]);
        seeker.pins.add(west, "west", Fingerprint::of_key(&[1; 32])).unwrap();
        let genuine = signed(1, "west", 1);
        // Neither its id nor, with another id, its name.
        for rogue in [signed(1, "west", 2), signed(1, "other", 2), signed(2, "west", 2)] {
            assert!(!seeker.is_credible(&rogue) && seeker.is_credible(&genuine));
        }
        assert!(!seeker.is_credible(&answer(1, "west", 9)), "nobody signed it");
        // Restored from a backup it has another id, and its key.
        assert!(seeker.is_credible(&signed(3, "west", 1)));
        // A new cluster of a new name may be chosen, but not instead of the last one.
        let new = signed(4, "north", 4);
        assert!(seeker.is_credible(&new));
        seeker.last = Some(west);
        let all = [new.clone(), genuine.clone()];
        assert_eq!(seeker.choose(&all).unwrap().signer, genuine.signer);
        // A person who has compared another key is believed.
        seeker.finding.security.expected = Some(Fingerprint::of_key(&[2; 32]));
        assert!(seeker.is_credible(&signed(2, "west", 2)) && !seeker.is_credible(&genuine));
    }

    #[test]
    fn two_unknown_clusters_of_one_name_are_a_persons_choice() {
        let mut seeker = Seeker::default();
        seeker.finding.cluster = Some("west".into());
        let all = [signed(1, "west", 1), signed(2, "west", 2)];
        let Err(Lost::Choose(ClientError::ChooseKey { keys, .. })) = seeker.choose(&all) else {
            panic!("{:?}", seeker.choose(&all))
        };
        assert_eq!(keys.len(), 2);
        seeker.pins.add(ClusterId([2; 16]), "west", Fingerprint::of_key(&[2; 32])).unwrap();
        assert_eq!(seeker.choose(&all).unwrap().cluster, ClusterId([2; 16]));
    }

    fn found(seeker: &Seeker, cluster: u8, name: &str) -> Found {
        let found = Found {
            leader: ServerAddress::default(),
            security: Security::default(),
            cluster: ClusterId([cluster; 16]),
            name: name.into(),
            servers: Vec::new(),
            visit: false,
        };
        seeker.as_guest(found, "east")
    }

    #[test]
    fn only_another_cluster_than_ones_own_is_visited() {
        let seeker = Seeker { bound: Some(ClusterId([2; 16])), ..Seeker::default() };
        assert!(found(&seeker, 1, "west").visit);
        assert!(!found(&seeker, 2, "renamed").visit, "by its id");
        assert!(!found(&seeker, 3, "east").visit, "restored from a backup, by its name");
    }

    #[test]
    fn what_is_remembered_of_home_says_nothing_about_where_one_is_a_guest() {
        let mut seeker = Seeker {
            bound: Some(ClusterId([2; 16])),
            last: Some(ClusterId([2; 16])),
            last_name: "east".into(),
            remembered: vec!["home:1".into()],
            learned: vec!["home:2".into()],
            away: Some((ClusterId([1; 16]), vec!["west:1".into()])),
            ..Seeker::default()
        };
        seeker.finding.home = Some("east".into());
        let anywhere = seeker.anywhere();
        assert_eq!((anywhere.bound, anywhere.last), (None, Some(ClusterId([1; 16]))));
        assert_eq!((anywhere.learned.len(), anywhere.remembered.len()), (1, 0));
        assert!(anywhere.learned.contains(&"west:1".to_owned()));
        // Nobody who takes the name of home is believed without its key.
        seeker.pins.add(ClusterId([2; 16]), "east", Fingerprint::of_key(&[2; 32])).unwrap();
        assert!(!seeker.anywhere().is_credible(&signed(9, "east", 9)));
        let judged = seeker.judge("a:1", ClusterId([9; 16]), "east", Some([9; 32].into()));
        assert!(matches!(judged, Err(ClientError::KeyChanged { .. })), "{judged:?}");
        let at_home = seeker.at_home("east");
        assert!(at_home.is_wanted(&signed(2, "east", 2)));
        assert!(!at_home.is_wanted(&signed(1, "west", 1)));
    }
}
