//! What a session wants done and wants to know, and what it is answered. It must not know when.

use super::PageWanted;
use crate::chat::command::{Advance, Command};
use crate::chat::ids::{ConversationId, DeviceId, UserId};
use crate::chat::name::{FullName, UserName};
use crate::server::placement::Place;
use crate::wire::message::{
    Challenge, ChangePassword, Fetch, OutcomeRun, ServerAddress, ServerMsg,
};
use bytes::Bytes;

/// What the driver shall do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send this to the client.
    Send(ServerMsg),
    /// Send this to the client; it is encoded already.
    Encoded(Bytes),
    /// Hand this to Raft; tell [`Session::on_not_taken`] where it is not taken.
    Submit(Command),
    /// Find this out and tell [`Session::on_answer`].
    Ask(Query),
    /// What becomes of logins of this device is for this session.
    Arrive(DeviceId),
    /// The session is this user's device from now on.
    Join {
        /// Who.
        user: UserId,
        /// Which device.
        device: DeviceId,
        /// The epoch that it was given: sessions with an older one are over.
        epoch: u64,
    },
    /// The user's marks.
    Marks(Vec<Advance>),
    /// What follows is not this session's.
    HandOver {
        /// Who the client is.
        to: Other,
        /// What it shall sign, as in the welcome.
        challenge: Challenge,
    },
    /// Close, after everything was sent.
    Close,
}

/// A client that does not chat with this cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    /// Another cluster.
    Cluster,
    /// A device of another cluster, on its way there.
    Guest,
}

/// What a session wants to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Where the client belongs; `placed` if a server sent it.
    Place {
        /// True after a redirect.
        placed: bool,
    },
    /// Who leads: answered with [`Answer::Message`].
    Where,
    /// The node's own statement, with its events after this one: answered with
    /// [`Answer::Message`].
    Status(Option<u64>),
    /// The hash of a new password, and a new token.
    Hash(String),
    /// Whether the old password is the user's, as of now, and the hash of the new one.
    NewPassword {
        /// The user.
        user: UserId,
        /// What the client asked for.
        wanted: ChangePassword,
    },
    /// Whether the password is the user's, as of now; and a new token.
    Verify {
        /// The user.
        name: UserName,
        /// Never logged.
        password: String,
    },
    /// A quorum read: answered when this server has applied what was committed.
    Barrier,
    /// Answered when this server has applied the index.
    Applied(u64),
    /// Messages from the store.
    Page(PageWanted),
    /// What became of a device's numbers `from..=to`.
    Outcomes {
        /// The device.
        device: DeviceId,
        /// First number.
        from: u64,
        /// Last number.
        to: u64,
    },
    /// A page of history: answered with [`Answer::Request`].
    History(Fetch),
    /// A certificate for a device: answered with [`Answer::Request`].
    Certify {
        /// Of the client.
        request: u32,
        /// Whose it is.
        user: UserId,
        /// Which one.
        device: DeviceId,
    },
    /// A user by name: answered with [`Answer::Request`].
    Lookup {
        /// Of the client.
        request: u32,
        /// Who is looked for.
        name: FullName,
        /// Who asks.
        user: UserId,
    },
}

/// Why a query has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Too much to do: try again after so many milliseconds.
    Busy(u32),
    /// No majority answered in time.
    NoQuorum,
    /// The store failed, or the server stops.
    Failed,
}

/// A user who has shown the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proven {
    /// Who.
    pub user: UserId,
    /// How often their password had been changed by then.
    pub passwords: u64,
    /// A new token for their device.
    pub token: [u8; 32],
}

/// What became of a wish for another password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NewPassword {
    /// The old one is wrong.
    Wrong,
    /// The new one is the user's already, as after an answer that was lost.
    There,
    /// The hash of the new one.
    Hashed {
        /// How often the password had been changed when the old one was verified.
        passwords: u64,
        /// PHC string.
        password_hash: String,
    },
}

/// What was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To `Place`: where, with the address where it is another server.
    Place(Place, Option<ServerAddress>),
    /// To `Where` and `Status`: send this.
    Message(Box<ServerMsg>),
    /// To `Hash`: the PHC string and the token.
    Hashed(Result<(String, [u8; 32]), Trouble>),
    /// To `Verify`: whose password it is, if it is the right one.
    Verified(Result<Option<Proven>, Trouble>),
    /// To `NewPassword`.
    NewPassword {
        /// Of the client.
        request: u32,
        /// What the client asked for.
        keep_devices: bool,
        /// What was found out.
        result: Result<NewPassword, Trouble>,
    },
    /// To `Barrier`.
    Barrier(Result<(), Trouble>),
    /// To `Applied`: whether it happened in time.
    Applied(bool),
    /// To `Page`: pushes, encoded, and the last seq they cover (below `from`: nothing there yet).
    Page(ConversationId, Result<(Vec<Bytes>, u64), Trouble>),
    /// To `Outcomes`: in order, covering the numbers up to the second (below `from`: none).
    Outcomes(Result<(Vec<OutcomeRun>, u64, u64), Trouble>),
    /// To `History` and `Lookup`: send this, encoded.
    Request(Bytes),
}
