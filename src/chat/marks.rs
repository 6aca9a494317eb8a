//! Delivered and read: cursors per user and conversation that only move forward.

use super::changes::Changes;
use super::command::Advance;
use super::event::Event;
use super::state::State;

impl State {
    pub(super) fn advance(&mut self, changes: &mut Changes, marks: &[Advance]) {
        for m in marks {
            let Some(room) = self.conversations.get_mut(&m.conversation) else { continue };
            if room.row.members.binary_search(&m.user).is_err() {
                continue;
            }
            let before = room.marks.get(&m.user).copied().unwrap_or_default();
            let read = before.1.max(m.read.min(room.row.last_seq));
            let delivered = before.0.max(m.delivered.min(room.row.last_seq)).max(read);
            if (delivered, read) == before {
                continue;
            }
            room.marks.insert(m.user, (delivered, read));
            changes.marks.insert((m.conversation, m.user));
            let (conversation, user) = (m.conversation, m.user);
            changes.events.push(Event::Marked { conversation, user, delivered, read });
            self.export_marks(changes, conversation, user, before);
        }
    }
}
