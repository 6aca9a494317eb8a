//! Everything that can enter the log. A command carries all that apply needs:
//! random values, hashes and times were made before it was proposed.

use super::ids::{ChangeId, ClusterId, ConversationId, DeviceId, Group, LoginId, UserId};
use super::link::{ChainHash, Export, Stop};
use super::message::Body;
use super::write::{Invitation, Registration};
use bytes::Bytes;

/// A change that was proposed. Refused commands are entries too: a refusal is a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Names the cluster. The first one applied wins; later ones change nothing.
    Found {
        /// Random id.
        cluster: ClusterId,
        /// The name of `nodes.conf`.
        name: String,
    },
    /// Registers a user together with their first device.
    Register(Register),
    /// Adds a device after its password was verified, or gives it a new token.
    AddDevice(AddDevice),
    /// A login with the device's token: from now on this session speaks for the device.
    Attach(Attach),
    /// Revokes a device.
    RemoveDevice(RemoveDevice),
    /// Changes a password.
    SetPassword(SetPassword),
    /// Who may register from now on.
    SetRegistration(Registration),
    /// An invitation; one that is there already changes nothing, nor one too many.
    Invite(Invitation),
    /// Messages of one device.
    Send(Send),
    /// Moves delivered and read marks forward; smaller values change nothing.
    Marks(Vec<Advance>),
    /// Another cluster was heard.
    Hear(Hear),
    /// One that was only seen gives its place back, unless it was heard since.
    Forget {
        /// Which cluster.
        cluster: ClusterId,
        /// When it was heard last, as its row has it.
        heard_ms: u64,
    },
    /// An operator trusts another cluster.
    Trust(Trusting),
    /// An operator takes that back.
    Distrust {
        /// Which cluster.
        cluster: ClusterId,
    },
    /// An operator starts a stopped link again.
    Resume {
        /// Which cluster.
        cluster: ClusterId,
    },
    /// Another cluster told another history than before.
    StopLink {
        /// Which cluster.
        cluster: ClusterId,
        /// What is wrong.
        why: Stop,
    },
    /// Another cluster goes on in a later generation.
    Rewind {
        /// Which cluster.
        cluster: ClusterId,
        /// The later one.
        generation: u64,
    },
    /// A user of another cluster, whom that cluster has named.
    Meet(Meet),
    /// What another cluster told.
    Import(Import),
    /// Raises the format of the replicated state, once all voters support it.
    SetFormat(u32),
    /// Written by an operator's recovery, when a majority was lost for good: the cluster goes on
    /// with what one server had. Of no effect where the generation is not a later one.
    Recover {
        /// The new generation.
        generation: u64,
        /// Numbers of users and conversations that are left out: those behind them may have
        /// been given away by the servers that are lost.
        skip: u64,
    },
}

/// A registration. Repeating it with the same device is answered like the first time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// Folded at the door, checked again byte for byte.
    pub name: String,
    /// PHC string of Argon2id; never the password.
    pub password_hash: String,
    /// The device that registers.
    pub device: DeviceId,
    /// BLAKE3 of the device's token.
    pub token_hash: [u8; 32],
    /// Ed25519 public key of the device; empty where it has none.
    pub device_key: Bytes,
    /// The login that this is.
    pub session: LoginId,
    /// BLAKE3 of the code of an invitation, if there is one: used up with the registration.
    pub invite: Option<[u8; 32]>,
}

/// A device that logged in with the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddDevice {
    /// Whose device.
    pub user: UserId,
    /// Which one.
    pub device: DeviceId,
    /// BLAKE3 of its new token.
    pub token_hash: [u8; 32],
    /// Ed25519 public key of the device; empty where it has none.
    pub device_key: Bytes,
    /// The login that this is.
    pub session: LoginId,
    /// See [`Attach::after`].
    pub after: u64,
    /// How often the user's password had been changed when it was verified: by then an old one
    /// proves nothing.
    pub passwords: u64,
}

/// A login with a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attach {
    /// Which device.
    pub device: DeviceId,
    /// BLAKE3 of the token that was shown: it must be the device's still.
    pub token_hash: [u8; 32],
    /// The login that this is; repeating it changes nothing.
    pub session: LoginId,
    /// The device's epoch when this was proposed, 0 where it had none. Where another login came
    /// between, this one is late and is refused: whoever still wants it proposes it anew.
    pub after: u64,
}

/// A session that wants something, by the device that it speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speaker {
    /// The device.
    pub device: DeviceId,
    /// The epoch of its login.
    pub epoch: u64,
}

/// Revokes a device: it stays known, its token is worth nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoveDevice {
    /// Whose device it must be.
    pub user: UserId,
    /// Which one.
    pub device: DeviceId,
    /// Who wants it: a session of a device of the same user.
    pub by: Speaker,
    /// Tells this change from every other one.
    pub change: ChangeId,
}

/// Changes a password after the old one was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetPassword {
    /// Whose.
    pub user: UserId,
    /// Who wants it: a session of a device of this user.
    pub by: Speaker,
    /// See [`AddDevice::passwords`].
    pub passwords: u64,
    /// PHC string of Argon2id of the new one.
    pub password_hash: String,
    /// False: every other device of the user is revoked.
    pub keep_devices: bool,
    /// Tells this change from every other one.
    pub change: ChangeId,
}

/// Where a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// A conversation that exists.
    Conversation(ConversationId),
    /// The direct conversation with a user, made by the first message.
    User(UserId),
}

/// Messages of one device with contiguous numbers, all to one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Send {
    /// The device.
    pub device: DeviceId,
    /// The epoch that its session was given at its login; 0 in what was written before there
    /// were any, which is taken all the same.
    pub epoch: u64,
    /// The group in which it counts.
    pub group: Group,
    /// Number of the first body, from 1.
    pub first_number: u64,
    /// Every outcome up to this number is known to the device.
    pub confirmed: u64,
    /// Where they go.
    pub to: Target,
    /// The messages.
    pub bodies: Vec<Body>,
}

/// Another cluster, as its leader answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hear {
    /// Its id.
    pub cluster: ClusterId,
    /// What it calls itself.
    pub name: String,
    /// The SHA-256 of its authority's key, which signed the answer or was proven in TLS.
    pub key: [u8; 32],
    /// Where it is: `host:port` for clients.
    pub address: String,
}

/// What an operator decided about another cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trusting {
    /// Its id.
    pub cluster: ClusterId,
    /// Its key, as the operator knows it.
    pub key: [u8; 32],
    /// The name that shall stand behind the `@` here.
    pub alias: String,
}

/// A user of another cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meet {
    /// Which cluster named them.
    pub cluster: ClusterId,
    /// Who.
    pub user: UserId,
    /// Their name there.
    pub name: String,
}

/// What another cluster told, from one position on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// Which cluster.
    pub cluster: ClusterId,
    /// Its generation, in which the positions count.
    pub generation: u64,
    /// The position of the first.
    pub first: u64,
    /// The hash of all before it, as it was told.
    pub before: ChainHash,
    /// In order, dense.
    pub items: Vec<Export>,
}

/// How far a user has come in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advance {
    /// Who.
    pub user: UserId,
    /// Where.
    pub conversation: ConversationId,
    /// Highest seq that one of the user's devices has stored.
    pub delivered: u64,
    /// Highest seq that the user has seen.
    pub read: u64,
}
