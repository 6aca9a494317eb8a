//! The map of other clusters, sans-IO: whom the leader looks at, and what of that which it hears
//! enters the log, so that a quiet map costs next to nothing and strangers can cost little. It must
//! not know sockets.

use super::heard::is_address;
use crate::chat::command::{Command, Hear, Trusting};
use crate::chat::ids::ClusterId;
use crate::chat::link::{Link, LinkNumber, Trust};
use crate::limits;
use crate::tls::Fingerprint;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// This cluster, and what it knows, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// Its ids, of now and from before.
    pub ids: Vec<ClusterId>,
    /// Its name.
    pub name: String,
    /// Its key.
    pub key: [u8; 32],
    /// The rows of the others.
    pub links: Vec<Link>,
    /// Those that this node cannot reach.
    pub down: BTreeSet<LinkNumber>,
    /// Its clock, in milliseconds of UNIX time.
    pub now_ms: u64,
}

/// A look at an address, to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// Where.
    pub address: String,
    /// Whose address it is; `None`: whoever is there.
    pub whose: Option<(ClusterId, Fingerprint)>,
}

/// Another cluster that was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard {
    /// What it says.
    pub hear: Hear,
    /// Its leader answered a question on the network; else it was looked at.
    pub by_answer: bool,
    /// Other servers of it.
    pub others: Vec<String>,
}

/// See the module. Made anew whenever this node begins to lead.
#[derive(Debug)]
pub struct Seeker {
    /// `host:port` of other clusters, as the settings have them.
    configured: Vec<String>,
    /// Who is new is trusted.
    trust_new: bool,
    begun: Instant,
    /// When an address may be looked at again.
    again: BTreeMap<String, Instant>,
    /// Addresses whose last look failed.
    failed: BTreeSet<String>,
    /// Other servers of trusted clusters, as they said last.
    others: BTreeMap<ClusterId, Vec<String>>,
    /// Where the next round of looks begins.
    turn: usize,
}

impl Seeker {
    /// This node leads from `now` on.
    #[must_use]
    pub fn new(configured: Vec<String>, trust_new: bool, now: Instant) -> Self {
        Self {
            configured,
            trust_new,
            begun: now,
            again: BTreeMap::new(),
            failed: BTreeSet::new(),
            others: BTreeMap::new(),
            turn: 0,
        }
    }

    /// Whom to look at now: configured addresses, and trusted clusters that cannot be reached, were
    /// not heard for a while or have not told their servers. Nobody else is ever connected to.
    pub fn looks(&mut self, known: &Known, now: Instant) -> Vec<Look> {
        let mut wanted: Vec<Look> = Vec::new();
        for link in known.links.iter().filter(|link| link.is_open()) {
            let is_well = !known.down.contains(&link.number)
                && !is_older(known, link, limits::HEARD_AGAIN)
                // Its other servers are asked for before its own is gone.
                && self.others.contains_key(&link.cluster);
            if is_well {
                continue;
            }
            let whose = Some((link.cluster, Fingerprint::from(link.key)));
            let others = self.others.get(&link.cluster).into_iter().flatten();
            // The others only where the one that is known is gone.
            let gone = self.failed.contains(&link.address);
            let others = others.filter(|address| gone && **address != link.address);
            let all = std::iter::once(&link.address).filter(|a| !a.is_empty()).chain(others);
            wanted.extend(all.map(|address| Look { address: address.clone(), whose }));
        }
        let configured = self.configured.iter();
        wanted.extend(configured.map(|address| Look { address: address.clone(), whose: None }));
        let kept: BTreeSet<&String> = wanted.iter().map(|look| &look.address).collect();
        self.again.retain(|address, _| kept.contains(address));
        self.failed.retain(|address| kept.contains(address));
        wanted.retain(|look| self.again.get(&look.address).is_none_or(|again| now >= *again));
        let mut asked = BTreeSet::new();
        wanted.retain(|look| asked.insert(look.address.clone()));
        if !wanted.is_empty() {
            let at = self.turn % wanted.len();
            wanted.rotate_left(at);
        }
        wanted.truncate(limits::LOOKS);
        self.turn = self.turn.wrapping_add(wanted.len());
        wanted
    }

    /// How a look ended.
    pub fn on_look(&mut self, look: &Look, found: bool, now: Instant) {
        let pause = if found { limits::LOOK_AGAIN } else { limits::SEEK };
        self.again.insert(look.address.clone(), now + pause);
        if found {
            self.failed.remove(&look.address);
        } else {
            self.failed.insert(look.address.clone());
        }
    }

    /// What is to be proposed once a round has heard all of these.
    pub fn on_round(&mut self, mut known: Known, heard: Vec<Heard>, now: Instant) -> Vec<Command> {
        let mut commands = Vec::new();
        let mut strangers = 0;
        for mut heard in heard {
            if known.ids.contains(&heard.hear.cluster) || heard.hear.key == known.key {
                continue;
            }
            let id = heard.hear.cluster;
            let at = known.links.iter().position(|link| link.cluster == id);
            let row = at.and_then(|at| known.links.get(at));
            if row.is_some_and(|row| row.key != heard.hear.key) {
                // Somebody else who calls itself so.
                continue;
            }
            let is_open = row.is_some_and(Link::is_open);
            if is_open {
                let mut others = std::mem::take(&mut heard.others);
                others.retain(|address| is_address(address));
                others.truncate(limits::LINK_SERVERS);
                self.others.insert(id, others);
            }
            if !self.is_news(&known, row, &mut heard) {
                continue;
            }
            strangers += usize::from(!is_open);
            let room = row.is_some() || known.links.len() < limits::LINKS;
            if !room || (!is_open && strangers > limits::HEARD_AT_ONCE) {
                continue;
            }
            note(&mut known, at, &heard.hear);
            commands.push(Command::Hear(heard.hear));
        }
        let trusted: BTreeSet<_> =
            known.links.iter().filter(|l| l.is_open()).map(|l| l.cluster).collect();
        self.others.retain(|cluster, _| trusted.contains(cluster));
        if self.trust_new {
            commands.extend(trust_new(&mut known));
        }
        // Who has just begun to lead may not have heard everybody yet.
        if now.saturating_duration_since(self.begun) >= limits::HEARD_AGAIN {
            commands.extend(forget(&known));
        }
        commands
    }

    /// True where the log should know. A look never moves a cluster to another node while the one
    /// that is known may be there.
    fn is_news(&self, known: &Known, row: Option<&Link>, heard: &mut Heard) -> bool {
        let Some(row) = row else { return true };
        let hear = &mut heard.hear;
        if !heard.by_answer && !self.failed.contains(&row.address) && !row.address.is_empty() {
            hear.address.clone_from(&row.address);
        }
        hear.address != row.address
            || hear.name != row.name
            || is_older(known, row, limits::HEARD_AGAIN)
    }
}

fn is_older(known: &Known, link: &Link, age: Duration) -> bool {
    u128::from(known.now_ms.saturating_sub(link.heard_ms)) >= age.as_millis()
}

/// The rows as they will be.
fn note(known: &mut Known, at: Option<usize>, hear: &Hear) {
    let heard_ms = known.now_ms;
    if let Some(row) = at.and_then(|at| known.links.get_mut(at)) {
        row.address.clone_from(&hear.address);
        row.name.clone_from(&hear.name);
        row.heard_ms = heard_ms;
        return;
    }
    known.links.push(Link {
        cluster: hear.cluster,
        name: hear.name.clone(),
        key: hear.key,
        address: hear.address.clone(),
        heard_ms,
        ..Link::default()
    });
}

/// Trusts every cluster that is new, under its own name where that is free. Never one whose key
/// is known already: what became of that one is for a person to say.
fn trust_new(known: &mut Known) -> Vec<Command> {
    let mut commands = Vec::new();
    for at in 0..known.links.len() {
        let Some(link) = known.links.get(at).filter(|link| link.trust == Trust::Seen) else {
            continue;
        };
        let mut others = known.links.iter().filter(|other| other.cluster != link.cluster);
        let taken = others.any(|other| other.alias == link.name || other.key == link.key);
        if taken || link.name == known.name || !Link::is_alias(&link.name) {
            continue;
        }
        let Link { cluster, key, name, .. } = link.clone();
        commands.push(Command::Trust(Trusting { cluster, key, alias: name.clone() }));
        if let Some(link) = known.links.get_mut(at) {
            link.trust = Trust::Trusted;
            link.alias = name;
        }
    }
    commands
}

/// Those that were only seen, and are silent for long.
fn forget(known: &Known) -> impl Iterator<Item = Command> {
    let silent = known
        .links
        .iter()
        .filter(|link| link.trust == Trust::Seen && is_older(known, link, limits::LINK_FORGET));
    silent.map(|l| Command::Forget { cluster: l.cluster, heard_ms: l.heard_ms })
}

#[cfg(test)]
#[path = "seeker_tests.rs"]
mod tests;
