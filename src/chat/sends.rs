//! Sending, exactly once. A device counts its messages per group, without gaps;
//! the check against repeats stands here, in apply, because only the log's order
//! decides which of two copies came first. State per device is constant.

use super::changes::Changes;
use super::command::{Send, Target};
use super::event::{Event, Outcome};
use super::ids::{ConversationId, Group, UserId};
use super::link::Link;
use super::message::{Body, Run};
use super::refusal::Refusal;
use super::state::State;
use super::write::{Conversation, Kind, Sent, SentIndex};
use crate::limits;

/// The only group there is: another one would let a device grow its state without bound.
const ONLY_GROUP: Group = 0;

impl State {
    pub(super) fn send(&mut self, changes: &mut Changes, at_ms: u64, send: &Send) {
        let (device, group) = (send.device, send.group);
        let Some(known) = self.devices.get_mut(&device) else {
            return turn_away(changes, send, Refusal::UnknownDevice);
        };
        if known.row.revoked || (send.epoch != 0 && send.epoch != known.row.epoch) {
            // From a session that is over. Nothing is said of it: whoever holds the device now
            // sends what is missing.
            return;
        }
        if group != ONLY_GROUP {
            return turn_away(changes, send, Refusal::Protocol);
        }
        let sender = known.row.user;
        let fresh = Sent { device, group, ..Sent::default() };
        let sent = known.sent.entry(group).or_insert(fresh);
        sent.refusals.retain(|(number, _)| *number > send.confirmed);
        changes.sent.insert((device, group));
        let next = sent.last_number.saturating_add(1);
        let count = send.bodies.len() as u64;
        if send.first_number > next || send.first_number == 0 {
            changes.events.push(Event::Expected { device, group, next });
            return;
        }
        let repeated = (next - send.first_number).min(count);
        if repeated > 0 {
            let first_number = send.first_number;
            changes.events.push(Event::Repeated { device, group, first_number, count: repeated });
        }
        let new = send.bodies.get(usize::try_from(repeated).unwrap_or(usize::MAX)..);
        if let Some(bodies @ [_, ..]) = new {
            self.post(changes, at_ms, send, sender, next, bodies);
        }
    }

    /// Posts new bodies, numbered from `number`, in stretches with one outcome each.
    fn post(
        &mut self,
        changes: &mut Changes,
        at_ms: u64,
        send: &Send,
        sender: UserId,
        mut number: u64,
        bodies: &[Body],
    ) {
        let place = self.place(changes, sender, send.to);
        for stretch in bodies.chunk_by(|a, b| fits(a) == fits(b)) {
            let count = stretch.len() as u64;
            let result = match (place, fits(&stretch[0])) {
                (Err(refusal), _) => Err(refusal),
                (Ok(_), false) => Err(Refusal::BodySize),
                (Ok(conversation), true) => Ok(conversation),
            };
            let done = match result {
                Ok(conversation) => {
                    let id = (at_ms, sender, number);
                    self.commit(changes, send, id, conversation, stretch);
                    count
                }
                Err(refusal) => self.refuse(changes, send, number, count, refusal),
            };
            number += done;
            if done < count {
                return;
            }
        }
    }

    fn commit(
        &mut self,
        changes: &mut Changes,
        send: &Send,
        (at_ms, sender, first_number): (u64, UserId, u64),
        conversation: ConversationId,
        bodies: &[Body],
    ) {
        let (device, group) = (send.device, send.group);
        let count = bodies.len() as u64;
        let Some(room) = self.conversations.get(&conversation) else { return };
        let first_seq = room.row.last_seq + 1;
        let run = Run {
            conversation,
            first_seq,
            at_ms,
            sender,
            origin: self.meta.cluster,
            device,
            group,
            first_number,
            bodies: bodies.to_vec(),
        };
        let last_number = first_number + count - 1;
        self.stand(changes, run);
        self.advance_sent(send, last_number, &[]);
        let outcome = Outcome::Committed { conversation, first_seq, at_ms };
        changes.events.push(Event::Outcome { device, group, first_number, count, outcome });
    }

    /// Messages stand in their conversation, at its end.
    pub(super) fn stand(&mut self, changes: &mut Changes, run: Run) {
        let Some(room) = self.conversations.get_mut(&run.conversation) else { return };
        let last_seq = run.last_seq();
        room.row.last_seq = last_seq;
        changes.conversations.insert(run.conversation);
        changes.index.push(SentIndex::of(&run));
        // What a person wrote, they have seen; this also keeps their own words out of "unread".
        let before = room.marks.get(&run.sender).copied().unwrap_or_default();
        if before.1 + 1 >= run.first_seq {
            room.marks.insert(run.sender, (before.0.max(last_seq), last_seq));
            changes.marks.insert((run.conversation, run.sender));
            self.export_marks(changes, run.conversation, run.sender, before);
        }
        self.export_run(changes, &run);
        changes.runs.entry(run.conversation).or_default().push(run);
    }

    /// Refuses `count` messages, as many as can be remembered; the rest is not consumed and
    /// will be sent again. Returns how many were.
    fn refuse(
        &mut self,
        changes: &mut Changes,
        send: &Send,
        first_number: u64,
        count: u64,
        refusal: Refusal,
    ) -> u64 {
        let (device, group) = (send.device, send.group);
        let held = self.sent(device, group).map_or(0, |sent| sent.refusals.len());
        let taken = count.min(limits::REFUSALS.saturating_sub(held) as u64);
        let refusals: Vec<_> =
            (first_number..).take(taken as usize).map(|n| (n, refusal)).collect();
        if let Some((last_number, _)) = refusals.last() {
            self.advance_sent(send, *last_number, &refusals);
            let outcome = Outcome::Refused(refusal);
            changes.events.push(Event::Outcome {
                device,
                group,
                first_number,
                count: taken,
                outcome,
            });
        }
        if taken < count {
            let next = first_number + taken;
            changes.events.push(Event::Expected { device, group, next });
        }
        taken
    }

    fn advance_sent(&mut self, send: &Send, last_number: u64, refusals: &[(u64, Refusal)]) {
        let sent = self.devices.get_mut(&send.device).and_then(|d| d.sent.get_mut(&send.group));
        if let Some(sent) = sent {
            sent.last_number = last_number;
            sent.refusals.extend_from_slice(refusals);
        }
    }

    /// The conversation to post in; a direct one is made by its first message.
    fn place(
        &mut self,
        changes: &mut Changes,
        sender: UserId,
        to: Target,
    ) -> Result<ConversationId, Refusal> {
        let other = match to {
            Target::Conversation(id) => {
                let room = self.conversations.get(&id).ok_or(Refusal::NoSuchConversation)?;
                if room.row.members.binary_search(&sender).is_err() {
                    return Err(Refusal::NotMember);
                }
                let away = self.member_elsewhere(id);
                let open = away.is_none_or(|away| self.link_of(away).is_some_and(Link::is_open));
                return if open { Ok(id) } else { Err(Refusal::NotLinked) };
            }
            Target::User(other) => other,
        };
        if !self.users.contains_key(&other) {
            return Err(Refusal::NoSuchUser);
        }
        if !self.is_local(other) && !self.link_of(other).is_some_and(Link::is_open) {
            return Err(Refusal::NotLinked);
        }
        match self.direct(sender, other) {
            Some(id) => Ok(id),
            None => Ok(self.open_direct(changes, sender, other)),
        }
    }

    pub(super) fn open_direct(
        &mut self,
        changes: &mut Changes,
        sender: UserId,
        other: UserId,
    ) -> ConversationId {
        self.meta.last_conversation = self.meta.last_conversation.saturating_add(1);
        let id = ConversationId::new(0, self.meta.last_conversation);
        let mut members = vec![sender.min(other), sender.max(other)];
        members.dedup();
        let (title, trail) = (String::new(), Vec::new());
        let kind = Kind::Direct;
        self.add_conversation(Conversation { id, kind, members, last_seq: 0, title, trail });
        changes.conversations.insert(id);
        changes.events.push(Event::Opened { conversation: id });
        id
    }
}

/// A refusal that is not remembered: nothing was consumed, nothing is known of the sender.
fn turn_away(changes: &mut Changes, send: &Send, refusal: Refusal) {
    changes.events.push(Event::Outcome {
        device: send.device,
        group: send.group,
        first_number: send.first_number,
        count: send.bodies.len() as u64,
        outcome: Outcome::Refused(refusal),
    });
}

/// True for a body that may stand in a conversation.
pub(super) fn fits(body: &Body) -> bool {
    (1..=limits::BODY_BYTES).contains(&body.data.len())
}
