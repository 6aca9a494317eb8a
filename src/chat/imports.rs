//! Takes over what another cluster tells: the only way in for it. The cluster speaks for its own
//! users alone, in its own order, and each message counts once. What breaks a rule is turned down
//! and counted, and the rest goes on; another history than before stops this cluster's link alone.

use super::changes::Changes;
use super::command::{Advance, Import, Meet};
use super::ids::{ConversationId, DeviceId, UserId};
use super::link::{Export, Link, LinkNumber, Marks, Messages, Stop, Stretch, Trust, chain};
use super::message::Run;
use super::name::UserName;
use super::sends::fits;
use super::state::{Device, State};
use super::write::{self, Sent, User};
use crate::limits;
use std::collections::BTreeMap;

/// Send numbers above this are no numbers a device has counted to.
const LAST_NUMBER: u64 = 1 << 62;

/// It was turned down.
struct TurnedDown;

impl State {
    /// A user of another cluster, whom that cluster has named.
    pub(super) fn meet(&mut self, changes: &mut Changes, at_ms: u64, meet: &Meet) {
        let Some(link) = self.link(meet.cluster).filter(|link| link.is_open()) else { return };
        if !link.owns(meet.user) {
            return;
        }
        let number = link.number;
        if self.know(changes, number, at_ms, meet.user, &meet.name).is_ok() {
            changes.link(number);
        }
    }

    /// What follows on what was taken; anything else is late, or early, and changes nothing.
    pub(super) fn import(&mut self, changes: &mut Changes, at_ms: u64, import: &Import) {
        let Some(link) = self.links.values_mut().find(|link| link.cluster == import.cluster) else {
            return;
        };
        let at = link.imported;
        let follows = import.first == at.position + 1 && import.generation == at.generation;
        if !link.is_trusted() || !follows || import.items.is_empty() {
            return;
        }
        let number = link.number;
        changes.link(number);
        if import.before != at.hash {
            link.trust = Trust::Stopped(Stop::OtherHistory);
            return;
        }
        for item in &import.items {
            let taken = match item {
                Export::Messages(messages) => self.take_messages(changes, number, at_ms, messages),
                Export::Marks(marks) => self.take_marks(changes, number, marks),
            };
            let Some(link) = self.links.get_mut(&number) else { return };
            link.imported.position += 1;
            link.imported.hash = chain(&link.imported.hash, item);
            if taken.is_err() {
                link.turned_down = link.turned_down.saturating_add(1);
            }
        }
    }

    fn take_messages(
        &mut self,
        changes: &mut Changes,
        number: LinkNumber,
        at_ms: u64,
        m: &Messages,
    ) -> Result<(), TurnedDown> {
        let link = self.links.get(&number).ok_or(TurnedDown)?;
        let last = m.first_number.checked_add(m.bodies.len() as u64).ok_or(TurnedDown)?;
        let here = self.is_local(m.to) && self.users.contains_key(&m.to);
        let sound = m.first_number > 0
            && last <= LAST_NUMBER
            && link.is(m.origin)
            && (1..=limits::EXPORT_MESSAGES).contains(&m.bodies.len())
            && m.bodies.iter().all(fits);
        if !link.owns(m.sender) || self.is_local(m.sender) || !here || !sound {
            return Err(TurnedDown);
        }
        self.know(changes, number, at_ms, m.sender, &m.name)?;
        let known = self.know_device(changes, number, at_ms, m.sender, m.device)?;
        let next = known.sent.get(&0).map_or(0, |sent| sent.last_number).saturating_add(1);
        let repeated = next.saturating_sub(m.first_number);
        if next >= last {
            // Told once more, after the cluster began anew.
            return Ok(());
        }
        // Only what stands somewhere counts as sent.
        let conversation = self.meeting_place(changes, number, m.sender, m.to)?;
        let known = self.devices.get_mut(&m.device).ok_or(TurnedDown)?;
        let fresh = Sent { device: m.device, ..Sent::default() };
        known.sent.entry(0).or_insert(fresh).last_number = last - 1;
        changes.sent.insert((m.device, 0));
        let bodies = m.bodies.get(usize::try_from(repeated).unwrap_or(usize::MAX)..);
        let bodies = bodies.unwrap_or_default().to_vec();
        let room = self.conversations.get(&conversation).ok_or(TurnedDown)?;
        let first_seq = room.row.last_seq + 1;
        let run = Run {
            conversation,
            first_seq,
            // Their clock may be wrong, but nothing was written after it came here.
            at_ms: m.at_ms.min(at_ms),
            sender: m.sender,
            origin: m.origin,
            device: m.device,
            group: 0,
            first_number: m.first_number + repeated,
            bodies,
        };
        self.stand(changes, run);
        Ok(())
    }

    fn take_marks(
        &mut self,
        changes: &mut Changes,
        number: LinkNumber,
        m: &Marks,
    ) -> Result<(), TurnedDown> {
        let link = self.links.get(&number).ok_or(TurnedDown)?;
        if !link.owns(m.reader) || self.is_local(m.reader) || !self.is_local(m.writer) {
            return Err(TurnedDown);
        }
        let conversation = self.direct(m.reader, m.writer).ok_or(TurnedDown)?;
        let room = self.conversations.get(&conversation).ok_or(TurnedDown)?;
        let seq_of = |place: Option<(DeviceId, u64)>| {
            let (device, number) = place?;
            let own = |s: &&Stretch| {
                s.device == device && (s.first_number..s.first_number + s.count).contains(&number)
            };
            let stretch = room.row.trail.iter().find(own)?;
            (self.owner(device) == Some(m.writer))
                .then_some(stretch.first_seq + (number - stretch.first_number))
        };
        let (delivered, read) = (seq_of(m.delivered), seq_of(m.read));
        let (delivered, read) = (delivered.unwrap_or(0), read.unwrap_or(0));
        self.advance(changes, &[Advance { user: m.reader, conversation, delivered, read }]);
        Ok(())
    }

    /// Notes a user of another cluster.
    fn know(
        &mut self,
        changes: &mut Changes,
        number: LinkNumber,
        at_ms: u64,
        id: UserId,
        name: &str,
    ) -> Result<(), TurnedDown> {
        let name = UserName::exact(name).map_err(|_| TurnedDown)?;
        if let Some(known) = self.users.get(&id) {
            return if known.name == name { Ok(()) } else { Err(TurnedDown) };
        }
        let called = (id.cluster, name.clone());
        if id.number == 0 || self.away.contains_key(&called) {
            return Err(TurnedDown);
        }
        self.grow(number)?;
        self.away.insert(called, id);
        let (password_hash, registered_at_ms, passwords) = (String::new(), at_ms, 0);
        self.users.insert(id, User { id, name, password_hash, registered_at_ms, passwords });
        changes.users.insert(id);
        Ok(())
    }

    /// Notes a device of a user of another cluster: it can never log in here.
    fn know_device(
        &mut self,
        changes: &mut Changes,
        number: LinkNumber,
        at_ms: u64,
        user: UserId,
        id: DeviceId,
    ) -> Result<&mut Device, TurnedDown> {
        if !self.devices.contains_key(&id) {
            self.grow(number)?;
            let row = write::Device::elsewhere(id, user, at_ms);
            self.owned.entry(user).or_default().insert(id);
            self.devices.insert(id, Device { row, sent: BTreeMap::new() });
            changes.devices.insert(id);
        }
        self.devices.get_mut(&id).filter(|known| known.row.user == user).ok_or(TurnedDown)
    }

    fn meeting_place(
        &mut self,
        changes: &mut Changes,
        number: LinkNumber,
        sender: UserId,
        to: UserId,
    ) -> Result<ConversationId, TurnedDown> {
        if let Some(id) = self.direct(sender, to) {
            return Ok(id);
        }
        self.grow(number)?;
        Ok(self.open_direct(changes, sender, to))
    }

    /// Another cluster brings one more row here, if it may.
    fn grow(&mut self, number: LinkNumber) -> Result<(), TurnedDown> {
        let room = |link: &&mut Link| link.rows < limits::LINK_ROWS;
        let link = self.links.get_mut(&number).filter(room).ok_or(TurnedDown)?;
        link.rows += 1;
        Ok(())
    }
}
