//! Which other clusters there are, and what operators decided about them. Repeated and late
//! commands change nothing that a later one decided.

use super::changes::Changes;
use super::command::{Hear, Trusting};
use super::event::Event;
use super::ids::{ClusterId, UserId};
use super::link::{Imported, Link, LinkNumber, Stop, Trust};
use super::name::UserName;
use super::state::State;
use crate::limits;

impl State {
    /// A cluster was heard. One more than there is room for is not noted.
    pub(super) fn hear(&mut self, changes: &mut Changes, at_ms: u64, hear: &Hear) {
        if self.is_here(hear.cluster) || hear.cluster == ClusterId::default() {
            return;
        }
        let Some(link) = self.link_or_free(hear.cluster) else { return };
        if link.is_free() {
            let number = link.number;
            *link = Link { number, cluster: hear.cluster, key: hear.key, ..Link::default() };
        } else if link.key != hear.key {
            // The key of a cluster does not change by being heard.
            return;
        }
        link.name.clone_from(&hear.name);
        link.address.clone_from(&hear.address);
        link.heard_ms = at_ms;
        let number = link.number;
        changes.link(number);
    }

    /// One that was only seen, and not heard since then, gives its place back.
    pub(super) fn forget(&mut self, changes: &mut Changes, cluster: ClusterId, heard_ms: u64) {
        let Some(link) = self.link_mut(cluster) else { return };
        if link.trust == Trust::Seen && link.heard_ms == heard_ms {
            let number = link.number;
            *link = Link { number, ..Link::default() };
            changes.link(number);
        }
    }

    /// An operator trusts a cluster that was heard. Where its key is that of one that was
    /// trusted before, it is that one, restored from a backup: its users stay who they are, and
    /// its exports are taken from their beginning again.
    pub(super) fn trust(&mut self, changes: &mut Changes, trusting: &Trusting) {
        let Trusting { cluster, key, alias } = trusting;
        let Some(link) = self.link(*cluster).filter(|link| link.key == *key) else { return };
        let number = link.number;
        let other = |l: &&Link| l.number != number && !l.is_free();
        let earlier = self.links.values().filter(other).find(|l| l.key == *key);
        let earlier = earlier.filter(|l| l.trust != Trust::Seen).map(|l| l.number);
        let used = |l: &Link| l.number != number && Some(l.number) != earlier && l.alias == *alias;
        let own = *alias == self.meta.name;
        if own || !Link::is_alias(alias) || self.links.values().any(used) {
            return;
        }
        if let Some(earlier) = earlier {
            self.take_over(changes, number, earlier);
        }
        let Some(link) = self.links.get_mut(&earlier.unwrap_or(number)) else { return };
        link.alias.clone_from(alias);
        link.trust = match link.trust {
            Trust::Stopped(stop) if earlier.is_none() => Trust::Stopped(stop),
            _ => Trust::Trusted,
        };
        changes.link(link.number);
    }

    fn take_over(&mut self, changes: &mut Changes, from: LinkNumber, to: LinkNumber) {
        let free = Link { number: from, ..Link::default() };
        let Some(new) = self.links.insert(from, free) else { return };
        changes.link(from);
        let Some(link) = self.links.get_mut(&to) else { return };
        link.former.push(link.cluster);
        let many = link.former.len().saturating_sub(limits::FORMER_CLUSTERS);
        link.former.drain(..many);
        link.cluster = new.cluster;
        link.name = new.name;
        link.address = new.address;
        link.heard_ms = new.heard_ms;
        link.imported = Imported::default();
        changes.link(to);
    }

    /// An operator takes their trust back.
    pub(super) fn distrust(&mut self, changes: &mut Changes, cluster: ClusterId) {
        if let Some(link) = self.link_mut(cluster).filter(|link| link.trust != Trust::Seen) {
            link.trust = Trust::Distrusted;
            let number = link.number;
            changes.link(number);
        }
    }

    /// An operator has looked at what was wrong: its exports are taken from their beginning
    /// again. What is here already is not taken twice.
    pub(super) fn resume(&mut self, changes: &mut Changes, cluster: ClusterId) {
        let stopped = |link: &&mut Link| matches!(link.trust, Trust::Stopped(_));
        if let Some(link) = self.link_mut(cluster).filter(stopped) {
            link.trust = Trust::Trusted;
            link.imported = Imported::default();
            let number = link.number;
            changes.link(number);
        }
    }

    /// The leader found that a cluster tells another history than before.
    pub(super) fn stop_link(&mut self, changes: &mut Changes, cluster: ClusterId, why: Stop) {
        if let Some(link) = self.link_mut(cluster).filter(|link| link.is_trusted()) {
            link.trust = Trust::Stopped(why);
            let number = link.number;
            changes.link(number);
        }
    }

    /// The cluster goes on in a later generation, after a recovery that may have lost the end of
    /// its exports: they are taken from their beginning again.
    pub(super) fn rewind(&mut self, changes: &mut Changes, cluster: ClusterId, generation: u64) {
        let earlier = |link: &&mut Link| link.imported.generation < generation;
        if let Some(link) = self.link_mut(cluster).filter(earlier) {
            link.imported = Imported { generation, ..Imported::default() };
            let number = link.number;
            changes.link(number);
        }
    }

    /// True for an id that this cluster has or had.
    pub(super) fn is_here(&self, cluster: ClusterId) -> bool {
        self.meta.cluster == cluster || self.meta.former.contains(&cluster)
    }

    /// True for a user that this cluster registered.
    #[must_use]
    pub fn is_local(&self, user: UserId) -> bool {
        self.is_here(user.cluster)
    }

    /// The other cluster that registered this user, if it is known.
    #[must_use]
    pub fn link_of(&self, user: UserId) -> Option<&Link> {
        if self.is_local(user) {
            return None;
        }
        self.links().find(|link| link.owns(user))
    }

    /// Another cluster, by an id that it has or had.
    #[must_use]
    pub fn link(&self, cluster: ClusterId) -> Option<&Link> {
        self.links().find(|link| link.cluster == cluster || link.former.contains(&cluster))
    }

    /// The other cluster that is called so here.
    #[must_use]
    pub fn link_called(&self, alias: &str) -> Option<&Link> {
        self.links().find(|link| !link.alias.is_empty() && link.alias == alias)
    }

    /// The other clusters that are known, by their numbers.
    pub fn links(&self) -> impl Iterator<Item = &Link> {
        self.links.values().filter(|link| !link.is_free())
    }

    /// A user's name as users here call them: `name`, or `name@cluster`. Empty for one who is not
    /// known.
    #[must_use]
    pub fn name_of(&self, user: UserId) -> String {
        let Some(row) = self.users.get(&user) else { return String::new() };
        match self.link_of(user) {
            None => row.name.as_str().to_owned(),
            Some(link) => format!("{}@{}", row.name, link.alias),
        }
    }

    /// The user whom users here call so, `name` or `name@cluster`.
    #[must_use]
    pub fn user_called(&self, name: &UserName, cluster: Option<&str>) -> Option<UserId> {
        let Some(cluster) = cluster.filter(|cluster| *cluster != self.meta.name) else {
            return self.names.get(name).copied();
        };
        let link = self.link_called(cluster)?;
        let ids = std::iter::once(&link.cluster).chain(&link.former);
        ids.filter_map(|id| self.away.get(&(*id, name.clone()))).next().copied()
    }

    fn link_mut(&mut self, cluster: ClusterId) -> Option<&mut Link> {
        self.links.values_mut().find(|link| link.cluster == cluster && !link.is_free())
    }

    /// The cluster's own place, else a free one, else a new one.
    fn link_or_free(&mut self, cluster: ClusterId) -> Option<&mut Link> {
        let known = self.link(cluster).map(|link| link.number);
        let free = || self.links.values().find(|link| link.is_free()).map(|link| link.number);
        let next = || {
            let room = self.links.len() < limits::LINKS;
            room.then(|| self.links.last_key_value().map_or(0, |(number, _)| *number) + 1)
        };
        let number = known.or_else(free).or_else(next)?;
        Some(self.links.entry(number).or_insert_with(|| Link { number, ..Link::default() }))
    }
}

impl Changes {
    pub(super) fn link(&mut self, number: LinkNumber) {
        if self.links.insert(number) {
            self.events.push(Event::Linked { number });
        }
    }
}
