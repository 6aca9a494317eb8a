//! The user's own delivered and read marks on their way to the server: merged by
//! maximum, the first advance at once, then at most one frame every 200 ms. It
//! must not know messages or sockets.

use crate::chat::ids::ConversationId;
use crate::wire::message::MarkEntry;
use std::collections::{BTreeMap, BTreeSet};

/// Shortest time between two frames, in milliseconds.
const EVERY_MS: u64 = 200;
/// Marks in one frame.
const FRAME_MARKS: usize = 1024;

/// `(delivered, read)`.
type Mark = (u64, u64);

/// The user's own marks.
#[derive(Debug, Default)]
pub struct Marks {
    /// What the server said.
    known: BTreeMap<ConversationId, Mark>,
    /// What it shall know; only where that is more.
    wanted: BTreeMap<ConversationId, Mark>,
    /// Not sent on this connection.
    unsent: BTreeSet<ConversationId>,
    sent_at: Option<u64>,
}

impl Marks {
    /// The server says where the user stands.
    pub fn learn(&mut self, id: ConversationId, delivered: u64, read: u64) {
        let known = merge(self.known.entry(id).or_default(), (delivered, read));
        if self.wanted.get(&id).is_some_and(|w| w.0 <= known.0 && w.1 <= known.1) {
            self.wanted.remove(&id);
            self.unsent.remove(&id);
        }
    }

    /// The user's own messages moved their marks, as the server does it: only where nothing
    /// before them is unread.
    pub fn wrote(&mut self, id: ConversationId, first_seq: u64, last_seq: u64) {
        if self.known.get(&id).map_or(0, |k| k.1) + 1 >= first_seq {
            self.learn(id, last_seq, last_seq);
        }
    }

    /// The user has come this far.
    pub fn want(&mut self, id: ConversationId, delivered: u64, read: u64) {
        let known = self.known.get(&id).copied().unwrap_or_default();
        let delivered = delivered.max(read);
        if delivered <= known.0 && read <= known.1 {
            return;
        }
        let wanted = self.wanted.entry(id).or_default();
        let before = *wanted;
        if merge(wanted, (delivered, read)) != before {
            self.unsent.insert(id);
        }
    }

    /// A new connection: what the server does not know is sent again.
    pub fn ready(&mut self) {
        self.unsent = self.wanted.keys().copied().collect();
        self.sent_at = None;
    }

    /// The frame that may be sent now, if any.
    pub fn flush(&mut self, now: u64) -> Option<Vec<MarkEntry>> {
        if self.wake().is_none_or(|at| now < at) {
            return None;
        }
        let ids: Vec<_> = self.unsent.iter().copied().take(FRAME_MARKS).collect();
        self.sent_at = Some(now);
        let entry = |id: &ConversationId| {
            self.unsent.remove(id);
            let (delivered, read) = *self.wanted.get(id)?;
            Some(MarkEntry { conversation: *id, user: None, delivered, read })
        };
        Some(ids.iter().filter_map(entry).collect())
    }

    /// When [`Marks::flush`] has a frame.
    #[must_use]
    pub fn wake(&self) -> Option<u64> {
        let waits = !self.unsent.is_empty();
        waits.then(|| self.sent_at.map_or(0, |at| at + EVERY_MS))
    }
}

fn merge(mark: &mut Mark, other: Mark) -> Mark {
    *mark = (mark.0.max(other.0), mark.1.max(other.1));
    *mark
}

#[cfg(test)]
mod tests {
    use super::*;

    const C: ConversationId = ConversationId(1);

    fn sent(marks: &mut Marks, now: u64) -> Option<(u64, u64)> {
        marks.flush(now).map(|m| (m[0].delivered, m[0].read))
    }

    #[test]
    fn the_first_goes_at_once_and_the_rest_together() {
        let mut marks = Marks::default();
        marks.want(C, 1, 0);
        assert_eq!(sent(&mut marks, 1000), Some((1, 0)));
        marks.want(C, 2, 0);
        marks.want(C, 3, 1);
        assert_eq!(sent(&mut marks, 1199), None);
        assert_eq!(marks.wake(), Some(1200));
        assert_eq!(sent(&mut marks, 1200), Some((3, 1)));
        assert_eq!(marks.wake(), None);
    }

    #[test]
    fn what_the_server_never_confirmed_is_sent_on_the_next_connection() {
        let mut marks = Marks::default();
        marks.want(C, 5, 5);
        assert_eq!(sent(&mut marks, 0), Some((5, 5)));
        marks.ready();
        assert_eq!(sent(&mut marks, 10), Some((5, 5)));
        marks.learn(C, 5, 5);
        marks.ready();
        assert_eq!(sent(&mut marks, 20), None);
        marks.want(C, 4, 4);
        assert_eq!(marks.wake(), None, "marks never go back");
    }

    #[test]
    fn own_messages_move_marks_only_over_what_is_read() {
        let mut marks = Marks::default();
        marks.learn(C, 3, 2);
        marks.wrote(C, 4, 4);
        marks.want(C, 4, 0);
        assert_eq!(sent(&mut marks, 0), Some((4, 0)), "seq 3 is unread");
        marks.learn(C, 4, 4);
        marks.wrote(C, 5, 6);
        marks.want(C, 6, 6);
        assert_eq!(marks.wake(), None);
    }
}
