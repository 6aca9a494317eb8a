//! What other clusters are told: messages to their users, and how far users here have come with
//! messages of theirs. Each has a position and a hash over all before it.

use super::changes::Changes;
use super::ids::{ConversationId, DeviceId, UserId};
use super::link::{Export, Marks, Messages, Stretch, chain};
use super::message::{Body, Run};
use super::state::State;
use crate::limits;

impl State {
    /// Messages stand in a conversation: noted where one of the two members is elsewhere, and
    /// told to their cluster if the sender is here.
    pub(super) fn export_run(&mut self, changes: &mut Changes, run: &Run) {
        let Some(away) = self.member_elsewhere(run.conversation) else { return };
        self.note_stretch(run);
        if run.sender == away {
            return;
        }
        let name = self.users.get(&run.sender).map_or_else(String::new, |u| u.name.to_string());
        let (sender, device, at_ms, origin) = (run.sender, run.device, run.at_ms, run.origin);
        let mut first_number = run.first_number;
        for bodies in portions(&run.bodies) {
            let (name, bodies) = (name.clone(), bodies.to_vec());
            let count = bodies.len() as u64;
            let messages =
                Messages { sender, name, to: away, origin, device, first_number, at_ms, bodies };
            self.export(changes, away, Export::Messages(messages));
            first_number += count;
        }
    }

    /// A member's marks moved from `before`: their cluster is told if the other member is
    /// elsewhere and wrote what was passed.
    pub(super) fn export_marks(
        &mut self,
        changes: &mut Changes,
        conversation: ConversationId,
        reader: UserId,
        before: (u64, u64),
    ) {
        let Some(away) = self.member_elsewhere(conversation) else { return };
        let Some(room) = self.conversations.get(&conversation) else { return };
        let after = room.marks.get(&reader).copied().unwrap_or_default();
        if reader != away {
            let last = |upto: u64, from: u64| {
                let theirs = room.row.trail.iter().filter(|s| self.owner(s.device) == Some(away));
                theirs.filter_map(|s| last_in(s, upto, from)).next_back()
            };
            let (delivered, read) = (last(after.0, before.0), last(after.1, before.1));
            if delivered.is_some() || read.is_some() {
                let marks = Marks { reader, writer: away, delivered, read };
                self.export(changes, away, Export::Marks(marks));
            }
        }
        self.forget_stretches(changes, conversation, reader, after.1);
    }

    fn export(&mut self, changes: &mut Changes, to: UserId, export: Export) {
        let Some(number) = self.link_of(to).map(|link| link.number) else { return };
        let Some(link) = self.links.get_mut(&number) else { return };
        let before = link.exported;
        link.exported.position = before.position.saturating_add(1);
        link.exported.hash = chain(&before.hash, &export);
        changes.link(number);
        let told = changes.exports.entry(number);
        told.or_insert_with(|| (before, Vec::new())).1.push(export);
    }

    /// The member of a direct conversation whom another cluster registered.
    pub(super) fn member_elsewhere(&self, conversation: ConversationId) -> Option<UserId> {
        let members = &self.conversations.get(&conversation)?.row.members;
        members.iter().find(|member| !self.is_local(**member)).copied()
    }

    pub(super) fn owner(&self, device: DeviceId) -> Option<UserId> {
        self.devices.get(&device).map(|known| known.row.user)
    }

    fn note_stretch(&mut self, run: &Run) {
        let Some(room) = self.conversations.get_mut(&run.conversation) else { return };
        let (count, trail) = (run.count(), &mut room.row.trail);
        if let Some(last) = trail.last_mut()
            && last.device == run.device
            && last.first_seq + last.count == run.first_seq
            && last.first_number + last.count == run.first_number
        {
            last.count += count;
            return;
        }
        let (first_seq, device, first_number) = (run.first_seq, run.device, run.first_number);
        trail.push(Stretch { first_seq, count, device, first_number });
        self.shorten_trail(run.conversation, run.sender);
    }

    /// Each of the two has half of the trail, so that the last words of one are not forgotten for
    /// what the other one writes. What is forgotten counts as seen once something later is.
    fn shorten_trail(&mut self, conversation: ConversationId, sender: UserId) {
        let Some(room) = self.conversations.get(&conversation) else { return };
        let theirs = |s: &Stretch| self.owner(s.device) == Some(sender);
        let many = room.row.trail.iter().filter(|s| theirs(s)).count() > limits::TRAIL / 2;
        let oldest = room.row.trail.iter().position(theirs).filter(|_| many);
        if let (Some(oldest), Some(room)) = (oldest, self.conversations.get_mut(&conversation)) {
            room.row.trail.remove(oldest);
        }
    }

    /// Once a message was seen, nobody asks for it any more.
    fn forget_stretches(
        &mut self,
        changes: &mut Changes,
        conversation: ConversationId,
        reader: UserId,
        read: u64,
    ) {
        let Some(room) = self.conversations.get(&conversation) else { return };
        let seen = |s: &Stretch| s.last_seq() <= read && self.owner(s.device) != Some(reader);
        if !room.row.trail.iter().any(seen) {
            return;
        }
        let kept: Vec<Stretch> = room.row.trail.iter().filter(|s| !seen(s)).copied().collect();
        if let Some(room) = self.conversations.get_mut(&conversation) {
            room.row.trail = kept;
            changes.conversations.insert(conversation);
        }
    }
}

/// The last message of a stretch up to a seq, if it comes after `from`.
fn last_in(stretch: &Stretch, upto: u64, from: u64) -> Option<(DeviceId, u64)> {
    let seq = stretch.last_seq().min(upto);
    let there = seq >= stretch.first_seq && seq > from;
    there.then(|| (stretch.device, stretch.first_number + (seq - stretch.first_seq)))
}

/// Cuts bodies into portions that fit one export.
fn portions(bodies: &[Body]) -> impl Iterator<Item = &[Body]> {
    let mut rest = bodies;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |body: &&Body| {
            bytes += body.data.len();
            bytes <= limits::EXPORT_BYTES
        };
        let count = rest.iter().take(limits::EXPORT_MESSAGES).take_while(fits).count().max(1);
        let (portion, left) = rest.split_at_checked(count)?;
        rest = left;
        Some(portion)
    })
}
