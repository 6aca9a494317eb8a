//! The replicated state: users, devices, conversations, marks. Message bodies
//! are not in it; they leave as writes. Memory grows with users and
//! conversations, never with messages.

use super::changes::{Applied, Changes};
use super::command::Command;
use super::event::Event;
use super::ids::{ClusterId, ConversationId, DeviceId, Group, UserId};
use super::link::{Link, LinkNumber};
use super::name::UserName;
use super::write::{self, Conversation, Mark, Meta, Sent, User, Write};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

/// Highest format of the replicated state that this build can apply.
pub const FORMAT: u32 = 1;

/// A device with what it sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its row.
    pub row: write::Device,
    /// Per group.
    pub sent: BTreeMap<Group, Sent>,
}

/// A conversation with its members' marks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Room {
    /// Its row.
    pub row: Conversation,
    /// `(delivered, read)` of members that have any.
    pub marks: BTreeMap<UserId, (u64, u64)>,
}

/// Everything that apply knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct State {
    pub(super) meta: Meta,
    pub(super) users: BTreeMap<UserId, User>,
    pub(super) names: BTreeMap<UserName, UserId>,
    pub(super) devices: BTreeMap<DeviceId, Device>,
    pub(super) owned: BTreeMap<UserId, BTreeSet<DeviceId>>,
    pub(super) conversations: BTreeMap<ConversationId, Room>,
    pub(super) direct: BTreeMap<(UserId, UserId), ConversationId>,
    pub(super) memberships: BTreeMap<UserId, BTreeSet<ConversationId>>,
    /// Other clusters, and users of theirs by their names there.
    pub(super) links: BTreeMap<LinkNumber, Link>,
    pub(super) away: BTreeMap<(ClusterId, UserName), UserId>,
}

impl State {
    /// Applies one entry of the log. `at_ms` is the entry's own time; the time that
    /// counts is never before the last one's.
    pub fn apply(&mut self, at_ms: u64, commands: &[Command]) -> Applied {
        let mut changes = Changes::default();
        let at_ms = at_ms.max(self.meta.last_at_ms.saturating_add(1));
        self.meta.last_at_ms = at_ms;
        changes.meta = true;
        self.expire_invitations(at_ms);
        for command in commands {
            match command {
                Command::Found { cluster, name } => self.found(&mut changes, *cluster, name),
                Command::Register(register) => self.register(&mut changes, at_ms, register),
                Command::AddDevice(add) => self.add_device(&mut changes, at_ms, add),
                Command::Attach(attach) => self.attach(&mut changes, at_ms, attach),
                Command::RemoveDevice(remove) => self.remove_device(&mut changes, remove),
                Command::SetPassword(set) => self.set_password(&mut changes, set),
                Command::SetRegistration(registration) => self.meta.registration = *registration,
                Command::Invite(invitation) => self.invite(at_ms, *invitation),
                Command::Send(send) => self.send(&mut changes, at_ms, send),
                Command::Marks(marks) => self.advance(&mut changes, marks),
                Command::SetFormat(format) => {
                    self.meta.format = self.meta.format.max((*format).min(FORMAT));
                }
                Command::Hear(hear) => self.hear(&mut changes, at_ms, hear),
                Command::Forget { cluster, heard_ms } => {
                    self.forget(&mut changes, *cluster, *heard_ms);
                }
                Command::Trust(trusting) => self.trust(&mut changes, trusting),
                Command::Distrust { cluster } => self.distrust(&mut changes, *cluster),
                Command::Resume { cluster } => self.resume(&mut changes, *cluster),
                Command::StopLink { cluster, why } => self.stop_link(&mut changes, *cluster, *why),
                Command::Rewind { cluster, generation } => {
                    self.rewind(&mut changes, *cluster, *generation);
                }
                Command::Meet(meet) => self.meet(&mut changes, at_ms, meet),
                Command::Import(import) => self.import(&mut changes, at_ms, import),
                Command::Recover { generation, skip } => self.recover(at_ms, *generation, *skip),
            }
        }
        changes.finish(self)
    }

    /// Takes a row back in, when a node starts or installs a snapshot. Rows come in any
    /// order within a table, tables in the order of [`Write`]'s variants.
    pub fn load(&mut self, row: Write) {
        match row {
            Write::Meta(meta) => self.meta = meta,
            Write::User(user) => {
                if self.is_local(user.id) {
                    self.names.insert(user.name.clone(), user.id);
                } else {
                    self.away.insert((user.id.cluster, user.name.clone()), user.id);
                }
                self.users.insert(user.id, user);
            }
            Write::Device(row) => {
                self.owned.entry(row.user).or_default().insert(row.id);
                self.devices.insert(row.id, Device { row, sent: BTreeMap::new() });
            }
            Write::Conversation(row) => self.add_conversation(row),
            Write::Mark(mark) => {
                if let Some(room) = self.conversations.get_mut(&mark.conversation) {
                    room.marks.insert(mark.user, (mark.delivered, mark.read));
                }
            }
            Write::Sent(sent) => {
                if let Some(device) = self.devices.get_mut(&sent.device) {
                    device.sent.insert(sent.group, sent);
                }
            }
            Write::Link(link) => {
                self.links.insert(link.number, link);
            }
            Write::History { .. } | Write::SentIndex(_) | Write::Exports { .. } => {}
        }
    }

    /// The small state as rows, in the order in which [`State::load`] takes them.
    pub fn rows(&self) -> impl Iterator<Item = Write> + '_ {
        let sent = self.devices.values().flat_map(|d| d.sent.values());
        let marks = self.conversations.values().flat_map(|room| {
            let id = room.row.id;
            room.marks.iter().map(move |(user, (delivered, read))| Mark {
                conversation: id,
                user: *user,
                delivered: *delivered,
                read: *read,
            })
        });
        std::iter::once(Write::Meta(self.meta.clone()))
            .chain(self.users.values().cloned().map(Write::User))
            .chain(self.devices.values().map(|d| Write::Device(d.row.clone())))
            .chain(self.conversations.values().map(|c| Write::Conversation(c.row.clone())))
            .chain(marks.map(Write::Mark))
            .chain(sent.cloned().map(Write::Sent))
            .chain(self.links.values().cloned().map(Write::Link))
    }

    /// The cluster's own row.
    #[must_use]
    pub const fn meta(&self) -> &Meta {
        &self.meta
    }

    /// The user with this name.
    #[must_use]
    pub fn user_named(&self, name: &UserName) -> Option<&User> {
        self.users.get(self.names.get(name)?)
    }

    /// The user with this id.
    #[must_use]
    pub fn user(&self, id: UserId) -> Option<&User> {
        self.users.get(&id)
    }

    /// The device with this id.
    #[must_use]
    pub fn device(&self, id: DeviceId) -> Option<&Device> {
        self.devices.get(&id)
    }

    /// The devices of a user, in order of their ids.
    pub fn devices_of(&self, user: UserId) -> impl Iterator<Item = &Device> {
        let ids = self.owned.get(&user).into_iter().flatten();
        ids.filter_map(|id| self.devices.get(id))
    }

    /// The conversation with this id, and its marks.
    #[must_use]
    pub fn conversation(&self, id: ConversationId) -> Option<&Room> {
        self.conversations.get(&id)
    }

    /// The conversations of a user, in order of their ids.
    pub fn conversations_of(&self, user: UserId) -> impl Iterator<Item = &Room> {
        let ids = self.memberships.get(&user).into_iter().flatten();
        ids.filter_map(|id| self.conversations.get(id))
    }

    /// The same from `after` on, for who takes them a few at a time.
    pub fn conversations_after(
        &self,
        user: UserId,
        after: Bound<ConversationId>,
    ) -> impl Iterator<Item = &Room> {
        let ids = self.memberships.get(&user);
        let ids = ids.into_iter().flat_map(move |ids| ids.range((after, Bound::Unbounded)));
        ids.filter_map(|id| self.conversations.get(id))
    }

    /// The direct conversation of two users, if one of them ever wrote.
    #[must_use]
    pub fn direct(&self, a: UserId, b: UserId) -> Option<ConversationId> {
        self.direct.get(&(a.min(b), a.max(b))).copied()
    }

    /// A member's marks; `None` where none were ever set.
    #[must_use]
    pub fn mark(&self, conversation: ConversationId, user: UserId) -> Option<Mark> {
        let (delivered, read) = *self.conversations.get(&conversation)?.marks.get(&user)?;
        Some(Mark { conversation, user, delivered, read })
    }

    /// How far a device's sends have come in a group.
    #[must_use]
    pub fn sent(&self, device: DeviceId, group: Group) -> Option<&Sent> {
        self.devices.get(&device)?.sent.get(&group)
    }

    pub(super) fn add_conversation(&mut self, row: Conversation) {
        for member in &row.members {
            self.memberships.entry(*member).or_default().insert(row.id);
        }
        if let (write::Kind::Direct, Some(&a), Some(&b)) =
            (row.kind, row.members.first(), row.members.last())
        {
            self.direct.insert((a, b), row.id);
        }
        let marks = self.conversations.remove(&row.id).map(|room| room.marks).unwrap_or_default();
        self.conversations.insert(row.id, Room { row, marks });
    }

    fn recover(&mut self, at_ms: u64, generation: u64, skip: u64) {
        if generation > self.meta.generation {
            self.meta.begin(generation, at_ms, skip);
        }
    }

    fn found(&mut self, changes: &mut Changes, cluster: ClusterId, name: &str) {
        if self.meta.cluster == ClusterId::default() {
            self.meta.cluster = cluster;
            name.clone_into(&mut self.meta.name);
            self.meta.generation = 1;
            self.meta.format = FORMAT;
            changes.events.push(Event::Founded);
        }
    }
}
