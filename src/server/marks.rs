//! Delivered and read marks of all sessions of this server, on their way into
//! the log: the first advance at once, then all that came together, at most
//! every 200 ms, again and again until they are seen applied. Sans-IO.

use super::replica::StateReader;
use crate::chat::command::Advance;
use crate::chat::ids::{ConversationId, UserId};
use crate::limits;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// A command that is not seen applied after this time is submitted again.
const RESUBMIT: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
struct Wanted {
    delivered: u64,
    read: u64,
    submitted: Option<Instant>,
}

/// Marks that the state does not show yet.
#[derive(Debug, Default)]
pub struct Marks {
    wanted: BTreeMap<(ConversationId, UserId), Wanted>,
    last: Option<Instant>,
}

impl Marks {
    /// Takes a user's advances. They must not go beyond what stands in the conversation.
    pub fn advance(&mut self, advances: &[Advance]) {
        for a in advances {
            let key = (a.conversation, a.user);
            if self.wanted.len() >= limits::MARKS && !self.wanted.contains_key(&key) {
                continue;
            }
            let fresh = Wanted { delivered: 0, read: 0, submitted: None };
            let wanted = self.wanted.entry(key).or_insert(fresh);
            if a.delivered > wanted.delivered || a.read > wanted.read {
                wanted.delivered = wanted.delivered.max(a.delivered);
                wanted.read = wanted.read.max(a.read);
                wanted.submitted = None;
            }
        }
    }

    /// The advances to submit now, a command each.
    pub fn due(&mut self, now: Instant, state: &StateReader) -> Vec<Vec<Advance>> {
        if self.next(now).is_none_or(|at| at > now) {
            return Vec::new();
        }
        self.forget_applied(state);
        let due = |w: &Wanted| w.submitted.is_none_or(|at| at + RESUBMIT <= now);
        let mut all = Vec::new();
        for ((conversation, user), wanted) in self.wanted.iter_mut().filter(|(_, w)| due(w)) {
            wanted.submitted = Some(now);
            all.push(Advance {
                user: *user,
                conversation: *conversation,
                delivered: wanted.delivered,
                read: wanted.read,
            });
        }
        if !all.is_empty() {
            self.last = Some(now);
        }
        all.chunks(limits::MARKS_PER_COMMAND).map(<[Advance]>::to_vec).collect()
    }

    /// When [`Marks::due`] has something to do; `None` while nothing is wanted.
    #[must_use]
    pub fn next(&self, now: Instant) -> Option<Instant> {
        let fresh = self.wanted.values().any(|w| w.submitted.is_none());
        let oldest = self.wanted.values().filter_map(|w| w.submitted).min();
        if fresh {
            Some(self.last.map_or(now, |at| at + limits::MARKS_INTERVAL))
        } else {
            oldest.map(|at| at + RESUBMIT)
        }
    }

    fn forget_applied(&mut self, state: &StateReader) {
        state.read(|r| {
            self.wanted.retain(|(conversation, user), wanted| {
                let Some(room) = r.state.conversation(*conversation) else { return false };
                let member = room.row.members.binary_search(user).is_ok();
                let (delivered, read) = room.marks.get(user).copied().unwrap_or_default();
                member && (delivered < wanted.delivered || read < wanted.read)
            });
        });
    }
}
