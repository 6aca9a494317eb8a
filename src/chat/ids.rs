//! Identities. Names are attributes, never keys: everything that is stored or
//! sent refers to these. They must not know how they are encoded.

use std::fmt;

/// A cluster, for ever: 16 random bytes made by the first leader and committed first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub [u8; 16]);

/// A user everywhere: the cluster that registered them and their number there (from 1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId {
    /// The cluster that registered the user.
    pub cluster: ClusterId,
    /// The user's number in that cluster, from 1.
    pub number: u64,
}

/// A device: one state directory of one user on one machine; 16 random bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceId(pub [u8; 16]);

/// One login of a device, on whatever server: 16 random bytes, made before it was proposed. All
/// zero in what was written before logins had any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LoginId(pub [u8; 16]);

/// A change that somebody asked for: 16 random bytes, by which they know what became of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChangeId(pub [u8; 16]);

/// A Raft group. Only group 0 exists today.
pub type Group = u16;

/// A conversation. The top 16 bits are the group that minted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConversationId(pub u64);

impl ConversationId {
    /// The `counter`-th conversation (from 1, below 2^48) of `group`.
    #[must_use]
    pub const fn new(group: Group, counter: u64) -> Self {
        Self(((group as u64) << 48) | (counter & 0x0000_ffff_ffff_ffff))
    }

    /// Stands for what is told to the other cluster with this number, where the store finds by
    /// conversation what an entry wrote. No group mints it.
    #[must_use]
    pub const fn of_link(number: u64) -> Self {
        Self::new(Group::MAX, number)
    }

    /// The number of the other cluster, where it stands for one.
    #[must_use]
    pub const fn link(self) -> Option<u64> {
        if self.group() == Group::MAX { Some(self.0 & 0x0000_ffff_ffff_ffff) } else { None }
    }

    /// The group that minted it, whose log holds its messages.
    #[must_use]
    pub const fn group(self) -> Group {
        (self.0 >> 48) as Group
    }
}

/// A message, the same in every cluster and on every resend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// The cluster that committed it first.
    pub origin: ClusterId,
    /// The device that sent it.
    pub device: DeviceId,
    /// The group whose numbers the device counted.
    pub group: Group,
    /// The device's send number in that group, from 1.
    pub number: u64,
}

/// A place in a group's log: `(group, index)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The Raft group.
    pub group: Group,
    /// The log index, from 1; 0 is before the first entry.
    pub index: u64,
}

fn hex(f: &mut fmt::Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    bytes.iter().try_for_each(|b| write!(f, "{b:02x}"))
}

fn unhex(text: &str) -> Option<[u8; 16]> {
    let mut out = [0; 16];
    if text.len() != 32 || !text.is_ascii() {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(text.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(out)
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, &self.0)
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, &self.0)
    }
}

impl fmt::Display for LoginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(f, &self.0)
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.cluster, self.number)
    }
}

impl fmt::Display for ConversationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

impl fmt::Display for MessageId {
    /// `origin-device-group-number`, all but the number in hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}-{:x}-{}", self.origin, self.device, self.group, self.number)
    }
}

impl ClusterId {
    /// Reads 32 hexadecimal digits, as `Display` writes them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        unhex(text).map(Self)
    }
}

impl DeviceId {
    /// Reads 32 hexadecimal digits, as `Display` writes them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        unhex(text).map(Self)
    }
}

impl LoginId {
    /// Reads 32 hexadecimal digits, as `Display` writes them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        unhex(text).map(Self)
    }
}

impl UserId {
    /// Reads `cluster/number`, as `Display` writes it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (cluster, number) = text.split_once('/')?;
        Some(Self { cluster: ClusterId::parse(cluster)?, number: number.parse().ok()? })
    }
}

impl ConversationId {
    /// Reads hexadecimal digits, as `Display` writes them.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        u64::from_str_radix(text, 16).ok().map(Self)
    }
}

impl MessageId {
    /// Reads `origin-device-group-number`, as `Display` writes it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let id = Self {
            origin: ClusterId::parse(parts.next()?)?,
            device: DeviceId::parse(parts.next()?)?,
            group: Group::from_str_radix(parts.next()?, 16).ok()?,
            number: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_conversation_remembers_its_group() {
        let id = ConversationId::new(7, 42);
        assert_eq!(id.group(), 7);
        assert_eq!(id.0 & 0xffff_ffff, 42);
    }

    #[test]
    fn ids_read_what_they_write_and_nothing_else() {
        let id = ClusterId([0xab; 16]);
        assert_eq!(ClusterId::parse(&id.to_string()), Some(id));
        for bad in ["", "ab", &"zz".repeat(16), &"é".repeat(16)] {
            assert_eq!(ClusterId::parse(bad), None, "{bad}");
        }
        let user = UserId { cluster: id, number: 7 };
        assert_eq!(UserId::parse(&user.to_string()), Some(user));
        let conversation = ConversationId::new(3, 0xbeef);
        assert_eq!(ConversationId::parse(&conversation.to_string()), Some(conversation));
        let message = MessageId { origin: id, device: DeviceId([7; 16]), group: 12, number: 99 };
        assert_eq!(MessageId::parse(&message.to_string()), Some(message));
        assert_eq!(MessageId::parse(&format!("{message}-1")), None);
        assert_eq!((UserId::parse("7"), ConversationId::parse("x")), (None, None));
    }
}
