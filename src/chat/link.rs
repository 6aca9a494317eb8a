//! Other clusters, as rows and as what is told to them: whom the operators trust, how far their
//! messages were taken over, how far ours were given away. It must not know how clusters talk.

use super::ids::{ClusterId, DeviceId, UserId};
use super::message::Body;
use super::name::UserName;

/// Another cluster's number here, from 1. One that was ever trusted keeps its number for good.
pub type LinkNumber = u64;

/// A hash of all exports up to a position, see [`chain`]; all zero before the first.
pub type ChainHash = [u8; 32];

/// Another cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Link {
    /// The key.
    pub number: LinkNumber,
    /// All zero where the number is free.
    pub cluster: ClusterId,
    /// Ids that it had before it was restored from a backup, oldest first; at most
    /// [`crate::limits::FORMER_CLUSTERS`]. Users that it registered then keep them.
    pub former: Vec<ClusterId>,
    /// The name that it gives itself.
    pub name: String,
    /// The name that stands behind the `@` here; empty until it is trusted. Unique.
    pub alias: String,
    /// The SHA-256 of its authority's key.
    pub key: [u8; 32],
    /// The node of it that was heard last: `host:port` for clients.
    pub address: String,
    /// When that was, by the time of the log, in milliseconds of UNIX time.
    pub heard_ms: u64,
    /// What may be done with it.
    pub trust: Trust,
    /// How far its exports were taken over.
    pub imported: Imported,
    /// How far ours to it have come.
    pub exported: Exported,
    /// Its exports that were turned down.
    pub turned_down: u64,
    /// Users, devices and conversations that it brought here; at most
    /// [`crate::limits::LINK_ROWS`].
    pub rows: u64,
}

/// What may be done with another cluster.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// It was heard, no more.
    #[default]
    Seen,
    /// Messages go both ways.
    Trusted,
    /// It was trusted, and an operator took that back.
    Distrusted,
    /// It told another history than before: nothing is taken from it until an operator says so.
    Stopped(Stop),
}

/// Why nothing is taken from another cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// It has another export than before at a position that was taken over.
    OtherHistory,
    /// It has fewer exports than were taken over.
    RolledBack,
}

/// How far another cluster's exports were taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Its generation, in which the positions count; 0 before the first.
    pub generation: u64,
    /// Everything up to this position, from 1.
    pub position: u64,
    /// The hash up to there.
    pub hash: ChainHash,
}

/// How far the exports to another cluster have come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exported {
    /// The last position, from 1; 0 before the first.
    pub position: u64,
    /// The hash up to there.
    pub hash: ChainHash,
}

/// One thing that another cluster is told, at one position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Export {
    /// Messages of a user here to one there.
    Messages(Messages),
    /// How far a user here has come with the messages of one there.
    Marks(Marks),
}

/// Messages of one device, in one conversation, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Messages {
    /// Who wrote them: a user of the cluster that tells.
    pub sender: UserId,
    /// Their name there.
    pub name: String,
    /// For whom: a user of the cluster that is told.
    pub to: UserId,
    /// The cluster that committed them first: the one that tells, or what it was before.
    pub origin: ClusterId,
    /// The device that sent them.
    pub device: DeviceId,
    /// Its send number of the first.
    pub first_number: u64,
    /// When they were committed there, in milliseconds of UNIX time.
    pub at_ms: u64,
    /// The messages; never empty.
    pub bodies: Vec<Body>,
}

/// How far a user has come with another one's messages. A message is named by the device that
/// sent it and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marks {
    /// Who read: a user of the cluster that tells.
    pub reader: UserId,
    /// Who wrote: a user of the cluster that is told.
    pub writer: UserId,
    /// The last message that one of the reader's devices has stored.
    pub delivered: Option<(DeviceId, u64)>,
    /// The last one that the reader has seen.
    pub read: Option<(DeviceId, u64)>,
}

/// Messages in a conversation with a user of another cluster that their reader has not seen:
/// finds the seq of a message by its id, and the other way round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Seq of the first.
    pub first_seq: u64,
    /// How many, one after the other by seq and by number.
    pub count: u64,
    /// The device that sent them.
    pub device: DeviceId,
    /// Its number of the first.
    pub first_number: u64,
}

impl Stretch {
    /// Seq of the last one.
    #[must_use]
    pub const fn last_seq(&self) -> u64 {
        (self.first_seq + self.count).saturating_sub(1)
    }
}

impl Link {
    /// True where the number is free.
    #[must_use]
    pub fn is_free(&self) -> bool {
        self.cluster == ClusterId::default()
    }

    /// True for an id that this cluster has or had.
    #[must_use]
    pub fn is(&self, cluster: ClusterId) -> bool {
        self.cluster == cluster || self.former.contains(&cluster)
    }

    /// True for a user that this cluster registered.
    #[must_use]
    pub fn owns(&self, user: UserId) -> bool {
        self.is(user.cluster)
    }

    /// True where users here may write to users there. While nothing is taken from it, what is
    /// written waits to be pulled.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        matches!(self.trust, Trust::Trusted | Trust::Stopped(_))
    }

    /// True where its messages are taken.
    #[must_use]
    pub const fn is_trusted(&self) -> bool {
        matches!(self.trust, Trust::Trusted)
    }

    /// True where the name is one that may stand behind an `@`.
    #[must_use]
    pub fn is_alias(name: &str) -> bool {
        UserName::exact(name).is_ok()
    }
}

/// The hash up to an export, from the hash `before` it. BLAKE3 with a key derived for this use,
/// over fixed fields and lengths, so that different exports are never the same bytes:
///
/// ```text
/// before (32) ‖ kind (1) ‖ fields, in the order of the struct; numbers as u64, big-endian;
/// a user as cluster (16) ‖ number; a text and a list with its length before it;
/// a body as kind ‖ length ‖ data ‖ 0, or 1 ‖ origin (16) ‖ device (16) ‖ group ‖ number;
/// a message's place as 0, or 1 ‖ device (16) ‖ number
/// ```
#[must_use]
pub fn chain(before: &ChainHash, export: &Export) -> ChainHash {
    let mut hash = Hasher(blake3::Hasher::new_derive_key("rustchat 2026 chain of exports v1"));
    hash.bytes(before);
    match export {
        Export::Messages(m) => {
            hash.bytes(&[1]);
            hash.user(m.sender);
            hash.text(m.name.as_bytes());
            hash.user(m.to);
            hash.bytes(&m.origin.0);
            hash.bytes(&m.device.0);
            hash.number(m.first_number);
            hash.number(m.at_ms);
            hash.number(m.bodies.len() as u64);
            m.bodies.iter().for_each(|body| hash.body(body));
        }
        Export::Marks(m) => {
            hash.bytes(&[2]);
            hash.user(m.reader);
            hash.user(m.writer);
            hash.place(m.delivered);
            hash.place(m.read);
        }
    }
    *hash.0.finalize().as_bytes()
}

struct Hasher(blake3::Hasher);

impl Hasher {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn number(&mut self, number: u64) {
        self.bytes(&number.to_be_bytes());
    }

    fn text(&mut self, text: &[u8]) {
        self.number(text.len() as u64);
        self.bytes(text);
    }

    fn user(&mut self, user: UserId) {
        self.bytes(&user.cluster.0);
        self.number(user.number);
    }

    fn place(&mut self, place: Option<(DeviceId, u64)>) {
        self.bytes(&[u8::from(place.is_some())]);
        if let Some((device, number)) = place {
            self.bytes(&device.0);
            self.number(number);
        }
    }

    fn body(&mut self, body: &Body) {
        self.number(u64::from(body.kind));
        self.text(&body.data);
        self.bytes(&[u8::from(body.refers_to.is_some())]);
        if let Some(id) = &body.refers_to {
            self.bytes(&id.origin.0);
            self.bytes(&id.device.0);
            self.number(u64::from(id.group));
            self.number(id.number);
        }
    }
}
