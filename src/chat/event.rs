//! What an applied entry means for the people who are connected here. Events
//! are computed in apply, the same on every server, in log order.

use super::ids::{ChangeId, ConversationId, DeviceId, Group, LoginId, UserId};
use super::link::LinkNumber;
use super::message::Run;
use super::refusal::Refusal;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The cluster has its id now.
    Founded,
    /// A registration or a login: from now on this session alone speaks for the device.
    Attached {
        /// The device.
        device: DeviceId,
        /// Its user.
        user: UserId,
        /// The login, by which a session knows its own.
        session: LoginId,
        /// Sessions with a smaller one are over.
        epoch: u64,
    },
    /// A registration or login was refused.
    DeviceRefused {
        /// The device that asked.
        device: DeviceId,
        /// The login that was asked for.
        session: LoginId,
        /// Why.
        refusal: Refusal,
    },
    /// A device is revoked: whoever is connected with it must go.
    Revoked {
        /// The device.
        device: DeviceId,
        /// The epoch that nobody was given.
        epoch: u64,
    },
    /// What became of a change that a session asked for.
    Changed {
        /// The device of that session.
        device: DeviceId,
        /// Which change.
        change: ChangeId,
        /// Done, or why not.
        result: Result<(), Refusal>,
    },
    /// A device's messages have an outcome.
    Outcome {
        /// The device.
        device: DeviceId,
        /// The group in which it counts.
        group: Group,
        /// The first number with this outcome.
        first_number: u64,
        /// How many numbers.
        count: u64,
        /// What became of them.
        outcome: Outcome,
    },
    /// A command began behind what is known: these numbers already had an outcome.
    Repeated {
        /// The device.
        device: DeviceId,
        /// The group in which it counts.
        group: Group,
        /// First repeated number.
        first_number: u64,
        /// How many.
        count: u64,
    },
    /// A gap: nothing was done; the device must send from `next`.
    Expected {
        /// The device.
        device: DeviceId,
        /// The group in which it counts.
        group: Group,
        /// The number that comes next.
        next: u64,
    },
    /// A conversation came to be.
    Opened {
        /// Which one.
        conversation: ConversationId,
    },
    /// Messages stand in a conversation: all of one entry, in order.
    Posted {
        /// Where.
        conversation: ConversationId,
        /// The messages; never empty.
        runs: Vec<Run>,
    },
    /// Something about another cluster is new: its row, or what it is told.
    Linked {
        /// Its number.
        number: LinkNumber,
    },
    /// A member's marks moved.
    Marked {
        /// Where.
        conversation: ConversationId,
        /// Whose.
        user: UserId,
        /// Highest seq stored by one of their devices.
        delivered: u64,
        /// Highest seq seen.
        read: u64,
    },
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Committed: it stands in the conversation.
    Committed {
        /// Where.
        conversation: ConversationId,
        /// The seq of the first one.
        first_seq: u64,
        /// When, in milliseconds of UNIX time.
        at_ms: u64,
    },
    /// Refused, for good.
    Refused(Refusal),
}
