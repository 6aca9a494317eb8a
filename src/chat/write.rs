//! What apply changes, as data: the store writes it, the snapshot streams it,
//! and a node that starts loads it back. Rows say the whole value, so writing
//! one twice is writing it once.

use super::ids::{ClusterId, ConversationId, DeviceId, Group, LoginId, UserId};
use super::link::{ChainHash, Export, Link, LinkNumber, Stretch};
use super::message::Run;
use super::name::UserName;
use super::refusal::Refusal;
use bytes::Bytes;

/// A row of the small state (everything but [`Write::History`], [`Write::SentIndex`] and
/// [`Write::Exports`]),
/// or of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// The cluster itself.
    Meta(Meta),
    /// A user.
    User(User),
    /// A device.
    Device(Device),
    /// A conversation.
    Conversation(Conversation),
    /// A member's marks.
    Mark(Mark),
    /// How far a device's sends have come.
    Sent(Sent),
    /// Another cluster.
    Link(Link),
    /// The messages of one entry in one conversation.
    History {
        /// Where.
        conversation: ConversationId,
        /// In order of seq, dense, never empty.
        runs: Vec<Run>,
    },
    /// Finds a device's messages by their number.
    SentIndex(SentIndex),
    /// What one entry told to another cluster.
    Exports {
        /// Which cluster.
        link: LinkNumber,
        /// The position of the first.
        first: u64,
        /// The hash of all before it.
        before: ChainHash,
        /// In order, dense, never empty.
        items: Vec<Export>,
    },
}

/// The cluster itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Meta {
    /// All zero until [`super::command::Command::Found`] was applied.
    pub cluster: ClusterId,
    /// The cluster's name.
    pub name: String,
    /// 1 at first; raised by a recovery.
    pub generation: u64,
    /// Format of the replicated state.
    pub format: u32,
    /// Number of the last user that registered.
    pub last_user: u64,
    /// Counter of the last conversation that was minted.
    pub last_conversation: u64,
    /// Time of the last entry, in milliseconds of UNIX time.
    pub last_at_ms: u64,
    /// When this generation began, by the time of the log; 0 for the first one.
    pub began_ms: u64,
    /// Ids that the cluster had before it was restored from a backup, oldest first; at most
    /// [`crate::limits::FORMER_CLUSTERS`].
    pub former: Vec<ClusterId>,
    /// Who may register.
    pub registration: Registration,
    /// Those that are not used, in order of time; at most [`crate::limits::INVITATIONS`].
    pub invitations: Vec<Invitation>,
}

/// Who may register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Registration {
    /// Anybody.
    #[default]
    Open,
    /// Whoever has an invitation.
    Invite,
    /// Nobody.
    Closed,
}

/// Lets one user register, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// BLAKE3 of its code.
    pub code_hash: [u8; 32],
    /// By the time of the log, in milliseconds of UNIX time: from then on it is worth nothing.
    pub expires_at_ms: u64,
    /// Somebody came in by it. It stays until it expires, so that a late copy of the command that
    /// made it does not make it again.
    pub used: bool,
}

impl Meta {
    /// Begins a generation at `at_ms`, in which the next `skip` numbers of users and
    /// conversations are left out; at most [`crate::limits::RECOVERY_SKIP`], so that numbers never
    /// run out.
    pub const fn begin(&mut self, generation: u64, at_ms: u64, skip: u64) {
        let most = crate::limits::RECOVERY_SKIP;
        let skip = if skip < most { skip } else { most };
        self.generation = generation;
        self.began_ms = at_ms;
        self.last_user = self.last_user.saturating_add(skip);
        self.last_conversation = self.last_conversation.saturating_add(skip);
    }
}

/// A user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The key.
    pub id: UserId,
    /// An attribute, unique in the cluster.
    pub name: UserName,
    /// PHC string of Argon2id.
    pub password_hash: String,
    /// Milliseconds of UNIX time.
    pub registered_at_ms: u64,
    /// How often the password was changed.
    pub passwords: u64,
}

/// A device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The key.
    pub id: DeviceId,
    /// Whose.
    pub user: UserId,
    /// BLAKE3 of its token; zero while it is revoked.
    pub token_hash: [u8; 32],
    /// Ed25519 public key: with it, the token alone is not enough. Empty where it has none.
    pub key: Bytes,
    /// Milliseconds of UNIX time.
    pub added_at_ms: u64,
    /// Rises by one with each login: only the session that was given this one speaks for the
    /// device. 0 before the first.
    pub epoch: u64,
    /// The login that has it.
    pub session: LoginId,
    /// When that was, in milliseconds of UNIX time.
    pub seen_at_ms: u64,
    /// It may not log in, until it comes with the password.
    pub revoked: bool,
}

impl Device {
    /// A device of a user whom another cluster registered: it never logs in here.
    #[must_use]
    pub fn elsewhere(id: DeviceId, user: UserId, at_ms: u64) -> Self {
        Self {
            id,
            user,
            token_hash: [0; 32],
            key: Bytes::new(),
            added_at_ms: at_ms,
            epoch: 0,
            session: LoginId::default(),
            seen_at_ms: at_ms,
            revoked: true,
        }
    }
}

/// What a conversation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Between two users, for ever; the two may be the same.
    Direct,
    /// With a title and members that change.
    Room,
}

/// A conversation without its messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// The key.
    pub id: ConversationId,
    /// Direct or room.
    pub kind: Kind,
    /// Sorted, without repeats.
    pub members: Vec<UserId>,
    /// Seq of the last message, 0 while empty. History above it is invisible.
    pub last_seq: u64,
    /// Rooms only.
    pub title: String,
    /// Where a member is of another cluster: messages that their reader has not seen, in order
    /// of seq; at most [`crate::limits::TRAIL`].
    pub trail: Vec<Stretch>,
}

/// How far a user has come in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Where.
    pub conversation: ConversationId,
    /// Who.
    pub user: UserId,
    /// Highest seq stored by one of their devices.
    pub delivered: u64,
    /// Highest seq seen; at most `delivered`.
    pub read: u64,
}

/// How far a device's sends have come in a group: constant size, whatever the window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// The device.
    pub device: DeviceId,
    /// The group in which it counts.
    pub group: Group,
    /// Every number up to this one has its outcome.
    pub last_number: u64,
    /// Refused numbers that the device has not confirmed, in order; at most `limits::REFUSALS`.
    pub refusals: Vec<(u64, Refusal)>,
}

/// Where a run of a device's messages stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SentIndex {
    /// The device.
    pub device: DeviceId,
    /// The group in which it counts.
    pub group: Group,
    /// Number of the first message.
    pub first_number: u64,
    /// Number of the last message; the key.
    pub last_number: u64,
    /// Where.
    pub conversation: ConversationId,
    /// Seq of the first message.
    pub first_seq: u64,
    /// Milliseconds of UNIX time.
    pub at_ms: u64,
}

impl SentIndex {
    /// Of a run's messages.
    #[must_use]
    pub fn of(run: &Run) -> Self {
        Self {
            device: run.device,
            group: run.group,
            first_number: run.first_number,
            last_number: (run.first_number + run.count()).saturating_sub(1),
            conversation: run.conversation,
            first_seq: run.first_seq,
            at_ms: run.at_ms,
        }
    }
}
