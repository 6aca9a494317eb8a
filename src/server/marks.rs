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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::command::{Command, Register, Send, Target};
    use crate::chat::ids::{ClusterId, DeviceId, LoginId};
    use crate::chat::message::Body;
    use crate::chat::state::State;
    use bytes::Bytes;

    const CLUSTER: ClusterId = ClusterId([1; 16]);
    const BOB: UserId = UserId { cluster: CLUSTER, number: 2 };
    const ROOM: ConversationId = ConversationId(1);

    /// Two users; the first has sent the second 100 messages.
    fn state() -> StateReader {
        let register = |name: &str, device| {
            Command::Register(Register {
                name: name.to_owned(),
                password_hash: String::new(),
                device: DeviceId([device; 16]),
                token_hash: [device; 32],
                device_key: Bytes::new(),
                session: LoginId::default(),
                invite: None,
            })
        };
        let send = Command::Send(Send {
            device: DeviceId([1; 16]),
            epoch: 0,
            group: 0,
            first_number: 1,
            confirmed: 0,
            to: Target::User(BOB),
            bodies: vec![Body::text("x"); 100],
        });
        let mut state = State::default();
        let found = Command::Found { cluster: CLUSTER, name: "west".to_owned() };
        state.apply(1, &[found, register("alice", 1), register("bob", 2), send]);
        StateReader::fixed(state, 1)
    }

    fn to(read: u64) -> [Advance; 1] {
        [Advance { user: BOB, conversation: ROOM, delivered: read, read }]
    }

    #[test]
    fn the_first_goes_at_once_then_five_a_second_until_they_are_applied() {
        let (state, mut marks, start) = (state(), Marks::default(), Instant::now());
        marks.advance(&to(1));
        assert_eq!(marks.next(start), Some(start));
        assert_eq!(marks.due(start, &state), vec![to(1).to_vec()]);
        let mut commands = 0;
        for ms in 1..=1_000 {
            let now = start + Duration::from_millis(ms);
            marks.advance(&to(1 + ms / 20));
            for advances in marks.due(now, &state) {
                commands += 1;
                state.write(|r| r.state.apply(ms, &[Command::Marks(advances)]));
            }
        }
        assert_eq!(commands, 5);
        let end = start + Duration::from_secs(5);
        marks.due(end, &state).into_iter().for_each(|advances| {
            state.write(|r| r.state.apply(9, &[Command::Marks(advances)]));
        });
        let late = end + Duration::from_secs(5);
        assert_eq!(marks.due(late, &state), Vec::<Vec<Advance>>::new());
        assert_eq!(marks.next(late), None, "nothing is wanted any more");
        assert_eq!(state.read(|r| r.state.mark(ROOM, BOB).unwrap().read), 51);
    }

    #[test]
    fn what_was_lost_is_submitted_again_and_what_cannot_be_is_forgotten() {
        let (state, mut marks, start) = (state(), Marks::default(), Instant::now());
        marks.advance(&to(7));
        let stranger = Advance { conversation: ConversationId(99), ..to(7)[0] };
        marks.advance(&[stranger]);
        assert_eq!(marks.due(start, &state), vec![to(7).to_vec()]);
        assert!(marks.due(start + RESUBMIT / 2, &state).is_empty());
        assert_eq!(marks.next(start), Some(start + RESUBMIT));
        assert_eq!(marks.due(start + RESUBMIT, &state), vec![to(7).to_vec()]);
    }
}
