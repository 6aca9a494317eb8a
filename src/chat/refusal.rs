//! Why a command was refused. Codes are stable: they travel and are stored.

use std::fmt;

/// A refusal is a result like any other: it is applied, replicated and remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// Another user has this name.
    NameTaken,
    /// The name breaks the rules of [`super::name::UserName`].
    NameInvalid,
    /// No user has this id or name.
    NoSuchUser,
    /// No conversation has this id.
    NoSuchConversation,
    /// The sender is not a member.
    NotMember,
    /// The body is larger than `limits::BODY_BYTES`, or empty.
    BodySize,
    /// The device is not registered.
    UnknownDevice,
    /// Wrong name or password: one answer for both.
    BadCredentials,
    /// The device belongs to another user.
    DeviceTaken,
    /// The server cannot take it now; the outcome is that nothing happened.
    Overloaded,
    /// The client speaks no version this server speaks.
    Version,
    /// The client expects another cluster.
    WrongCluster,
    /// A message that is not allowed at this point of the protocol.
    Protocol,
    /// Another login of the device came between: it may be proposed again.
    Overtaken,
    /// The user has no device with this id.
    NoSuchDevice,
    /// New users need an invitation.
    InvitationNeeded,
    /// The invitation is unknown, used or expired.
    InvitationInvalid,
    /// There are to be no new users.
    RegistrationClosed,
    /// No cluster of this name is known and trusted here.
    NotLinked,
    /// The other cluster does not answer now.
    Unreachable,
}

impl Refusal {
    const ALL: [(Self, u32, &'static str); 20] = [
        (Self::NameTaken, 1, "this name is taken"),
        (Self::NameInvalid, 2, "names are a–z, then a–z, 0–9, '.', '_' or '-', at most 32"),
        (Self::NoSuchUser, 3, "there is no such user"),
        (Self::NoSuchConversation, 4, "there is no such conversation"),
        (Self::NotMember, 5, "you are not a member of this conversation"),
        (Self::BodySize, 6, "a message has 1 byte to 16 KiB"),
        (Self::UnknownDevice, 7, "this device is not known here: log in with the password"),
        (Self::BadCredentials, 8, "wrong name or password"),
        (Self::DeviceTaken, 9, "this device belongs to another user"),
        (Self::Overloaded, 10, "the server is overloaded: try again"),
        (Self::Version, 11, "client and server have no protocol version in common"),
        (Self::WrongCluster, 12, "this server belongs to another cluster"),
        (Self::Protocol, 13, "a message that is not allowed here"),
        (Self::Overtaken, 14, "another login of this device came between: try again"),
        (Self::NoSuchDevice, 15, "there is no such device of yours"),
        (
            Self::InvitationNeeded,
            16,
            "new users need an invitation here: register with --invite CODE",
        ),
        (Self::InvitationInvalid, 17, "this invitation is unknown, used or expired"),
        (Self::RegistrationClosed, 18, "there are to be no new users here"),
        (Self::NotLinked, 19, "this cluster has no link with the one behind the @"),
        (Self::Unreachable, 20, "the other cluster does not answer now: try again later"),
    ];

    /// The stable code, from 1.
    #[must_use]
    pub fn code(self) -> u32 {
        Self::ALL.iter().find(|row| row.0 == self).map_or(0, |row| row.1)
    }

    /// The refusal with this code.
    #[must_use]
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.iter().find(|row| row.1 == code).map(|row| row.0)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|row| row.0 == *self).map_or("refused", |row| row.2))
    }
}

impl std::error::Error for Refusal {}

#[cfg(test)]
mod tests {
    use super::Refusal;

    #[test]
    fn every_code_is_its_own_and_comes_back() {
        for (refusal, code, _) in Refusal::ALL {
            assert_eq!(refusal.code(), code);
            assert_eq!(Refusal::from_code(code), Some(refusal));
        }
        assert_eq!(Refusal::from_code(0), None);
    }
}
