//! Documents of the small state, made for people to read and query: one per user,
//! device, conversation and cursor. `entry` in each is the log index that changed it last.
//! It must not know how documents are written.

use super::fields::{self, Reading, date, hex, int};
use super::links;
use crate::chat::ids::{ClusterId, ConversationId, DeviceId, LoginId, UserId};
use crate::chat::name::UserName;
use crate::chat::refusal::Refusal;
use crate::chat::write::{
    Conversation, Device, Invitation, Kind, Mark, Meta, Registration, Sent, User, Write,
};
use crate::store::StoreError;
use bytes::Bytes;
use mongodb::bson::{Bson, Document, doc};
use std::collections::BTreeMap;

/// The one document of its collection.
const ONLY: &str = "cluster";

/// Names that documents show beside ids; grows with users and conversations.
#[derive(Debug, Default)]
pub(super) struct Directory {
    users: BTreeMap<UserId, String>,
    rooms: BTreeMap<ConversationId, (Kind, Vec<UserId>)>,
    /// What clusters are called, by every id that they have or had.
    clusters: BTreeMap<ClusterId, String>,
    /// Up to where messages are known to be marked as read, by their reader.
    marked: BTreeMap<(ConversationId, UserId), u64>,
}

impl Directory {
    /// Takes in what a row tells.
    pub(super) fn learn(&mut self, write: &Write) {
        match write {
            Write::User(user) => {
                self.users.insert(user.id, user.name.as_str().to_owned());
            }
            Write::Conversation(room) => {
                self.rooms.insert(room.id, (room.kind, room.members.clone()));
            }
            Write::Link(link) => {
                for id in std::iter::once(&link.cluster).chain(&link.former) {
                    self.clusters.insert(*id, link.alias.clone());
                }
            }
            _ => {}
        }
    }

    /// Up to where messages to the cursor's user are marked as read.
    pub(super) fn marked(&self, cursor: &Mark) -> u64 {
        self.marked.get(&(cursor.conversation, cursor.user)).copied().unwrap_or(0)
    }

    /// They are marked up to the cursor.
    pub(super) fn set_marked(&mut self, cursor: &Mark) {
        self.marked.insert((cursor.conversation, cursor.user), cursor.read);
    }

    /// Nothing is known of marks any more: messages came from elsewhere.
    pub(super) fn forget_marked(&mut self) {
        self.marked.clear();
    }

    /// A user's name, `name@cluster` of one elsewhere; of an unknown one the id.
    pub(super) fn name(&self, user: UserId) -> String {
        let Some(name) = self.users.get(&user) else { return user.to_string() };
        match self.clusters.get(&user.cluster) {
            Some(cluster) => format!("{name}@{cluster}"),
            None => name.clone(),
        }
    }

    /// Whose messages a member of a direct conversation reads: the other one's, or one's own in
    /// notes to oneself. `None` in rooms.
    pub(super) fn writer(&self, room: ConversationId, reader: UserId) -> Option<UserId> {
        let (kind, members) = self.rooms.get(&room)?;
        let other = members.iter().find(|member| **member != reader).copied();
        (*kind == Kind::Direct).then(|| other.unwrap_or(reader))
    }

    /// The conversations, with their kind and members.
    pub(super) fn rooms(&self) -> impl Iterator<Item = (ConversationId, Kind, &[UserId])> {
        self.rooms.iter().map(|(id, (kind, members))| (*id, *kind, members.as_slice()))
    }

    /// Whom a message reaches: in a direct conversation the other one's name (or one's own, in
    /// notes to oneself), in a room all others' names.
    pub(super) fn recipients(&self, room: ConversationId, sender: UserId) -> Bson {
        let Some((kind, members)) = self.rooms.get(&room) else { return Bson::Null };
        let mut others = members.iter().filter(|member| **member != sender);
        match kind {
            Kind::Direct => Bson::String(self.name(*others.next().unwrap_or(&sender))),
            Kind::Room => Bson::Array(others.map(|id| Bson::String(self.name(*id))).collect()),
        }
    }
}

/// The collection and the document of a row of the small state; `None` for history.
pub(super) fn document(
    write: &Write,
    entry: u64,
    names: &Directory,
) -> Option<(&'static str, Document)> {
    let (collection, mut document) = match write {
        Write::Meta(meta) => (fields::CLUSTER, cluster(meta)),
        Write::User(user) => (fields::USERS, self::user(user)),
        Write::Device(device) => (fields::DEVICES, self::device(device, names)),
        Write::Conversation(room) => (fields::CONVERSATIONS, conversation(room, names)),
        Write::Mark(mark) => (fields::CURSORS, cursor(mark, names)),
        Write::Sent(sent) => (fields::SENDS, sends(sent)),
        Write::Link(link) => (fields::LINKS, links::link(link)),
        Write::History { .. } | Write::SentIndex(_) | Write::Exports { .. } => return None,
    };
    document.insert("entry", int(entry));
    Some((collection, document))
}

fn cluster(meta: &Meta) -> Document {
    doc! {
        "_id": ONLY,
        "cluster": meta.cluster.to_string(),
        "name": &meta.name,
        "generation": int(meta.generation),
        "format": int(meta.format.into()),
        "last_user": int(meta.last_user),
        "last_conversation": int(meta.last_conversation),
        "last_at": date(meta.last_at_ms),
        "began_at": date(meta.began_ms),
        "former": meta.former.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "registration": registration(meta.registration),
        "invitations": meta.invitations.iter().map(invitation).collect::<Vec<_>>(),
    }
}

const fn registration(registration: Registration) -> &'static str {
    match registration {
        Registration::Open => "open",
        Registration::Invite => "invite",
        Registration::Closed => "closed",
    }
}

fn invitation(invitation: &Invitation) -> Document {
    doc! {
        "code_hash": hex(&invitation.code_hash),
        "expires_at": date(invitation.expires_at_ms),
        "used": invitation.used,
    }
}

fn user(user: &User) -> Document {
    doc! {
        "_id": user.id.to_string(),
        "name": user.name.as_str(),
        "password_hash": &user.password_hash,
        "registered_at": date(user.registered_at_ms),
        "passwords": int(user.passwords),
    }
}

fn device(device: &Device, names: &Directory) -> Document {
    doc! {
        "_id": device.id.to_string(),
        "user": device.user.to_string(),
        "user_name": names.name(device.user),
        "token_hash": hex(&device.token_hash),
        "key": hex(&device.key),
        "added_at": date(device.added_at_ms),
        "epoch": int(device.epoch),
        "session": device.session.to_string(),
        "seen_at": date(device.seen_at_ms),
        "revoked": device.revoked,
    }
}

fn conversation(room: &Conversation, names: &Directory) -> Document {
    let members: Vec<String> = room.members.iter().map(ToString::to_string).collect();
    let member_names: Vec<String> = room.members.iter().map(|id| names.name(*id)).collect();
    doc! {
        "_id": room.id.to_string(),
        "kind": match room.kind { Kind::Direct => "direct", Kind::Room => "room" },
        "members": members,
        "member_names": member_names,
        "last_seq": int(room.last_seq),
        "title": &room.title,
        "trail": links::trail(&room.trail),
    }
}

fn cursor(mark: &Mark, names: &Directory) -> Document {
    doc! {
        "_id": format!("{}:{}", mark.conversation, mark.user),
        "conversation": mark.conversation.to_string(),
        "user": mark.user.to_string(),
        "user_name": names.name(mark.user),
        "delivered": int(mark.delivered),
        "read": int(mark.read),
    }
}

fn sends(sent: &Sent) -> Document {
    let refusals: Vec<Document> = sent
        .refusals
        .iter()
        .map(|(number, refusal)| {
            let code = int(refusal.code().into());
            doc! { "number": int(*number), "code": code, "reason": refusal.to_string() }
        })
        .collect();
    doc! {
        "_id": format!("{}:{:x}", sent.device, sent.group),
        "device": sent.device.to_string(),
        "group": int(sent.group.into()),
        "last_number": int(sent.last_number),
        "refusals": refusals,
    }
}

/// The row that a document of the small state stands for.
///
/// # Errors
/// `Corrupt` where a field is missing or makes no sense.
pub(super) fn write_of(collection: &'static str, document: &Document) -> Result<Write, StoreError> {
    let read = Reading { collection, document };
    match collection {
        fields::CLUSTER => read_cluster(&read),
        fields::USERS => Ok(Write::User(User {
            id: read.id("_id", UserId::parse)?,
            name: UserName::exact(read.text("name")?).map_err(|_| read.bad("name"))?,
            password_hash: read.text("password_hash")?.to_owned(),
            registered_at_ms: read.date("registered_at")?,
            passwords: if read.has("passwords") { read.number("passwords")? } else { 0 },
        })),
        fields::DEVICES => read_device(&read),
        fields::CONVERSATIONS => read_conversation(&read),
        fields::CURSORS => Ok(Write::Mark(Mark {
            conversation: read.id("conversation", ConversationId::parse)?,
            user: read.id("user", UserId::parse)?,
            delivered: read.number("delivered")?,
            read: read.number("read")?,
        })),
        fields::LINKS => links::read_link(&read).map(Write::Link),
        _ => read_sends(&read),
    }
}

fn read_cluster(read: &Reading<'_>) -> Result<Write, StoreError> {
    Ok(Write::Meta(Meta {
        cluster: read.id("cluster", ClusterId::parse)?,
        name: read.text("name")?.to_owned(),
        generation: read.number("generation")?,
        format: read.small("format")?,
        last_user: read.number("last_user")?,
        last_conversation: read.number("last_conversation")?,
        last_at_ms: read.date("last_at")?,
        began_ms: if read.has("began_at") { read.date("began_at")? } else { 0 },
        former: if read.has("former") { former(read)? } else { Vec::new() },
        registration: read_registration(read)?,
        invitations: if read.has("invitations") { invitations(read)? } else { Vec::new() },
    }))
}

fn read_registration(read: &Reading<'_>) -> Result<Registration, StoreError> {
    if !read.has("registration") {
        return Ok(Registration::Open);
    }
    match read.text("registration")? {
        "open" => Ok(Registration::Open),
        "invite" => Ok(Registration::Invite),
        "closed" => Ok(Registration::Closed),
        _ => Err(read.bad("registration")),
    }
}

fn invitations(read: &Reading<'_>) -> Result<Vec<Invitation>, StoreError> {
    let one = |invitation: &Bson| {
        let document = invitation.as_document().ok_or_else(|| read.bad("invitations"))?;
        let read = Reading { collection: read.collection, document };
        let code_hash = read.hex("code_hash")?;
        let used = document.get_bool("used").unwrap_or(false);
        Ok(Invitation { code_hash, expires_at_ms: read.date("expires_at")?, used })
    };
    read.list("invitations")?.iter().map(one).collect()
}

fn read_device(read: &Reading<'_>) -> Result<Write, StoreError> {
    // Programs before devices had an epoch wrote none.
    let attached = read.has("epoch");
    Ok(Write::Device(Device {
        id: read.id("_id", DeviceId::parse)?,
        user: read.id("user", UserId::parse)?,
        token_hash: read.hex("token_hash")?,
        key: read.id("key", fields::unhex).map(Bytes::from)?,
        added_at_ms: read.date("added_at")?,
        epoch: if attached { read.number("epoch")? } else { 0 },
        session: if attached { read.id("session", LoginId::parse)? } else { LoginId::default() },
        seen_at_ms: if attached { read.date("seen_at")? } else { 0 },
        revoked: fields::flag(read.document, "revoked"),
    }))
}

fn former(read: &Reading<'_>) -> Result<Vec<ClusterId>, StoreError> {
    let ids = read.list("former")?.iter();
    let ids = ids.map(|id| id.as_str().and_then(ClusterId::parse)).collect::<Option<_>>();
    ids.ok_or_else(|| read.bad("former"))
}

fn read_conversation(read: &Reading<'_>) -> Result<Write, StoreError> {
    let kind = match read.text("kind")? {
        "direct" => Kind::Direct,
        "room" => Kind::Room,
        _ => return Err(read.bad("kind")),
    };
    let members = read.list("members")?.iter();
    let members = members.map(|id| id.as_str().and_then(UserId::parse)).collect::<Option<_>>();
    Ok(Write::Conversation(Conversation {
        id: read.id("_id", ConversationId::parse)?,
        kind,
        members: members.ok_or_else(|| read.bad("members"))?,
        last_seq: read.number("last_seq")?,
        title: read.text("title")?.to_owned(),
        trail: links::read_trail(read)?,
    }))
}

fn read_sends(read: &Reading<'_>) -> Result<Write, StoreError> {
    let refusal = |refusal: &Bson| {
        let document = refusal.as_document()?;
        let code = u32::try_from(fields::number(document, "code")?).ok()?;
        Some((fields::number(document, "number")?, Refusal::from_code(code)?))
    };
    let refusals = read.list("refusals")?.iter().map(refusal).collect::<Option<_>>();
    Ok(Write::Sent(Sent {
        device: read.id("device", DeviceId::parse)?,
        group: read.small("group")?,
        last_number: read.number("last_number")?,
        refusals: refusals.ok_or_else(|| read.bad("refusals"))?,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::scripts;
    use crate::chat::state::State;

    #[test]
    fn every_row_comes_back_from_its_document() {
        scripts::seeds(200, |rng| {
            let mut state = State::default();
            for (at_ms, commands) in scripts::log(rng, 40) {
                state.apply(at_ms, &commands);
            }
            let mut names = Directory::default();
            state.rows().for_each(|row| names.learn(&row));
            for row in state.rows() {
                let (collection, document) = document(&row, 7, &names).unwrap();
                assert_eq!(write_of(collection, &document).unwrap(), row);
            }
        });
    }

    #[test]
    fn a_document_without_a_field_is_named() {
        let document = doc! { "_id": "x", "name": "alice" };
        let error = write_of(fields::USERS, &document).unwrap_err().to_string();
        assert!(error.contains("users") && error.contains("\"x\""), "{error}");
    }
}
