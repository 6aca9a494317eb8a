//! Collects what one entry changes: rows by key (so each is written once, in
//! key order) and events in the order in which they happened.

use super::event::Event;
use super::ids::{ConversationId, DeviceId, Group, UserId};
use super::link::{Export, Exported, LinkNumber};
use super::message::Run;
use super::state::State;
use super::write::{SentIndex, Write};
use std::collections::{BTreeMap, BTreeSet};

/// The changes of one entry.
#[derive(Debug, Default)]
pub struct Changes {
    pub(super) meta: bool,
    pub(super) users: BTreeSet<UserId>,
    pub(super) devices: BTreeSet<DeviceId>,
    pub(super) conversations: BTreeSet<ConversationId>,
    pub(super) marks: BTreeSet<(ConversationId, UserId)>,
    pub(super) sent: BTreeSet<(DeviceId, Group)>,
    pub(super) index: Vec<SentIndex>,
    pub(super) links: BTreeSet<LinkNumber>,
    /// What was told to other clusters, and how far that was before.
    pub(super) exports: BTreeMap<LinkNumber, (Exported, Vec<Export>)>,
    pub(super) runs: BTreeMap<ConversationId, Vec<Run>>,
    pub(super) events: Vec<Event>,
}

/// What an entry did: rows for the store, events for the sessions.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Each row once, in a fixed order.
    pub writes: Vec<Write>,
    /// In the order in which they happened; `Posted` after its outcomes.
    pub events: Vec<Event>,
}

impl Changes {
    /// The rows as they are after the entry.
    pub(super) fn finish(mut self, state: &State) -> Applied {
        let mut writes = Vec::new();
        if self.meta {
            writes.push(Write::Meta(state.meta.clone()));
        }
        writes.extend(
            self.users.iter().filter_map(|id| state.users.get(id)).cloned().map(Write::User),
        );
        let devices = self.devices.iter().filter_map(|id| state.devices.get(id));
        writes.extend(devices.map(|d| Write::Device(d.row.clone())));
        let conversations = self.conversations.iter().filter_map(|id| state.conversations.get(id));
        writes.extend(conversations.map(|c| Write::Conversation(c.row.clone())));
        writes.extend(self.marks.iter().filter_map(|(c, u)| state.mark(*c, *u)).map(Write::Mark));
        let sent = self.sent.iter().filter_map(|(d, g)| state.sent(*d, *g));
        writes.extend(sent.cloned().map(Write::Sent));
        let links = self.links.iter().filter_map(|number| state.links.get(number));
        writes.extend(links.cloned().map(Write::Link));
        writes.extend(self.index.into_iter().map(Write::SentIndex));
        for (link, (before, items)) in self.exports {
            let first = before.position + 1;
            writes.push(Write::Exports { link, first, before: before.hash, items });
        }
        for (conversation, runs) in self.runs {
            self.events.push(Event::Posted { conversation, runs: runs.clone() });
            writes.push(Write::History { conversation, runs });
        }
        Applied { writes, events: self.events }
    }
}
