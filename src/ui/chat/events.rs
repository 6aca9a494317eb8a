//! What the client tells, put into the model: conversations, messages, states of own messages,
//! and fail-overs, which fold into one line of the timeline. It must not know keys.

use super::model::{Chat, ChatKey, Model, Notice, Pending, Scroll, title};
use super::status;
use super::update::{put_run, text};
use crate::chat::command::Target;
use crate::chat::ids::{ConversationId, UserId};
use crate::chat::message::Run;
use crate::client::{ClientEvent, Connection, Outgoing};
use crate::wire::message::{ClusterState, ConversationInfo, MarkEntry};

/// Events this close together are one story, in milliseconds.
const STORY_MS: u64 = 60_000;
/// Parts of a story that are shown; of longer ones the first and the last.
const STORY_PARTS: usize = 6;
/// Notices kept of one conversation.
const NOTICES: usize = 50;

pub(super) fn on_event(model: &mut Model, event: ClientEvent) {
    match event {
        ClientEvent::Connection(connection) => on_connection(model, connection),
        ClientEvent::Cluster(state) => on_cluster(model, state),
        ClientEvent::Conversation(info) => on_conversation(model, info),
        ClientEvent::Messages(run) => on_messages(model, &run),
        ClientEvent::Queued(outgoing) => on_queued(model, &outgoing),
        ClientEvent::Committed { first_number, count, conversation, first_seq, at_ms, .. } => {
            on_committed(model, first_number, count, conversation, first_seq, at_ms);
        }
        ClientEvent::Refused { number, refusal } => {
            let pending = model.chats.iter_mut().find_map(|chat| chat.pending.get_mut(&number));
            if let Some(pending) = pending {
                pending.refused = Some(refusal.to_string());
            }
            model.complain(format!("a message was not sent: {refusal}; /retry or /discard"));
        }
        ClientEvent::Marked(mark) => on_marked(model, mark),
        ClientEvent::Restored { backup, .. } => on_restored(model, backup),
        ClientEvent::Renumbered(messages) => {
            model.chats.iter_mut().for_each(|chat| chat.pending.clear());
            messages.iter().for_each(|message| on_queued(model, message));
        }
    }
}

fn on_connection(model: &mut Model, connection: Connection) {
    let was_ready = model.ready();
    let away = matches!(model.connection, Connection::Away { .. });
    match &connection {
        Connection::Ready { server, seat, cluster, user, via } => {
            let again = model.seat.is_some() && !was_ready;
            server.clone_into(&mut model.server);
            cluster.clone_into(&mut model.cluster_name);
            model.seat = Some(*seat);
            model.identify(*user);
            if again {
                let took = took(model);
                let by = via.as_ref().map(|via| format!(" via {} n{}", via.cluster, via.seat));
                let by = by.unwrap_or_default();
                tell(model, &format!("connected to n{seat}{by}{took}"));
            }
        }
        Connection::Waiting { retry_ms, why } => {
            model.retry_at_ms = model.now_ms + retry_ms;
            lost(model, was_ready, why);
        }
        Connection::Failed(error) => {
            model.complain(error.to_string());
        }
        Connection::Away { home, via, .. } => {
            lost(model, was_ready, "it cannot be reached");
            if !away {
                let text = format!(
                    "{home} cannot be reached through {via}: what is here can be read, and what \
                     you write is kept and sent when it answers"
                );
                tell(model, &text);
            }
        }
        // What is known is that home is away, until there is something else to know.
        Connection::Discovering | Connection::Connecting { .. } if away => return,
        Connection::Discovering | Connection::Connecting { .. } => {
            lost(model, was_ready, "the connection ended");
        }
    }
    model.connection = connection;
}

/// What is shown may be gone, and something else may stand in its place.
fn on_restored(model: &mut Model, backup: bool) {
    for chat in &mut model.chats {
        chat.forget();
    }
    let how = if backup { "restored from a backup" } else { "recovered from one server" };
    tell(model, &format!("the cluster was {how}: the newest messages may be gone"));
}

fn lost(model: &mut Model, was_ready: bool, why: &str) {
    if let (true, Some(seat)) = (was_ready, model.seat) {
        model.lost_at_ms = Some(model.lost_at_ms.unwrap_or(model.now_ms));
        tell(model, &format!("n{seat} lost: {}", status::reason(why)));
    }
}

/// How long ago it began, and that it is over.
fn took(model: &mut Model) -> String {
    let Some(since) = model.lost_at_ms.take() else { return String::new() };
    let ms = model.now_ms.saturating_sub(since);
    if ms < 100 {
        return String::new();
    }
    format!(" after {}.{}s", ms / 1000, ms % 1000 / 100)
}

fn on_cluster(model: &mut Model, state: ClusterState) {
    let before = model.cluster.replace(state);
    let Some(before) = before else { return };
    if status::quorum(before) && !status::quorum(state) {
        model.lost_at_ms = Some(model.lost_at_ms.unwrap_or(model.now_ms));
        let (live, voters) = (state.live, state.voters);
        tell(model, &format!("no quorum: {live} of {voters} servers; messages are kept here"));
    }
    if !status::quorum(before) && status::quorum(state) && state.leader == before.leader {
        let (live, voters, took) = (state.live, state.voters, took(model));
        tell(model, &format!("{live} of {voters} servers are up again{took}"));
    }
    match (before.leader, state.leader) {
        (Some(old), None) => {
            model.lost_at_ms = Some(model.lost_at_ms.unwrap_or(model.now_ms));
            tell(model, &format!("n{old} no longer leads"));
        }
        (_, Some(new)) if before.term != state.term || before.leader != state.leader => {
            let took = if model.ready() { took(model) } else { String::new() };
            tell(model, &format!("n{new} leads (term {}){took}", state.term));
        }
        _ => {}
    }
}

/// Adds a part to the story of what happens to the cluster, in every conversation in use.
fn tell(model: &mut Model, part: &str) {
    let (now_ms, open) = (model.now_ms, model.open);
    for chat in &mut model.chats {
        let used = Some(chat.key) == open || !chat.pending.is_empty() || !chat.notices.is_empty();
        if used {
            notice(chat, now_ms, part, true);
        }
    }
}

/// Says something in a conversation.
pub(super) fn notice(chat: &mut Chat, now_ms: u64, part: &str, folds: bool) {
    let after = chat.last_seq;
    if let Some(last) = chat.notices.last_mut()
        && last.folds
        && folds
        && last.after == after
        && now_ms.saturating_sub(last.at_ms) < STORY_MS
    {
        if last.parts.last().is_some_and(|said| said == part) {
            return;
        }
        last.parts.push(part.to_owned());
        if last.parts.len() > STORY_PARTS {
            last.parts.remove(1);
            if let Some(second) = last.parts.get_mut(1) {
                "…".clone_into(second);
            }
        }
        last.at_ms = now_ms;
        return;
    }
    chat.notices.push(Notice { after, at_ms: now_ms, parts: vec![part.to_owned()], folds });
    if chat.notices.len() > NOTICES {
        chat.notices.remove(0);
    }
}

fn on_conversation(model: &mut Model, info: ConversationInfo) {
    // Conversations are told before the first `Ready` says who the user is.
    let own = info.members.iter().find(|m| m.name == model.name).map(|m| m.user);
    if let (None, Some(me)) = (model.me, own) {
        model.identify(me);
    }
    let me = model.me;
    let name = title(info.kind, &info.title, &info.members, me);
    let other = info.members.iter().find(|m| Some(m.user) != me).or(info.members.first());
    let peer = match info.kind {
        crate::chat::write::Kind::Direct => other.map(|m| m.user),
        crate::chat::write::Kind::Room => None,
    };
    let key = key_of(model, info.id, peer, &name);
    let read = info.members.iter().find(|m| Some(m.user) == me).map_or(0, |m| m.read);
    if let Some(chat) = model.chat_mut(key) {
        chat.id = Some(info.id);
        chat.peer = peer;
        chat.title = name;
        chat.members = info.members;
        chat.last_seq = chat.last_seq.max(info.last_seq);
        chat.set_read(me, read);
    }
    model.sort();
    remark(model, key);
}

/// The conversation with this id, or the direct one with this user that has no id yet.
fn key_of(model: &mut Model, id: ConversationId, peer: Option<UserId>, name: &str) -> ChatKey {
    if let Some(chat) = model.by_id(id) {
        return chat.key;
    }
    let unnamed = |c: &&Chat| c.id.is_none() && peer.is_some() && c.peer == peer;
    if let Some(chat) = model.chats.iter().find(unnamed) {
        return chat.key;
    }
    let key = model.add(name.to_owned());
    if let Some(chat) = model.chat_mut(key) {
        chat.id = Some(id);
    }
    key
}

fn on_messages(model: &mut Model, run: &Run) {
    let peer = (Some(run.sender) != model.me).then_some(run.sender);
    let key = key_of(model, run.conversation, None, "…");
    put_run(model, key, run);
    let me = model.me;
    if let Some(chat) = model.chat_mut(key) {
        // A conversation is told before its messages; if not, its other member is the title.
        if chat.title == "…"
            && let Some(peer) = peer
        {
            chat.title = chat.name_of(peer);
        }
        chat.trim(me);
    }
    remark(model, key);
}

/// Sets the line `── n new ──` where unread messages came and nobody saw them.
fn remark(model: &mut Model, key: ChatKey) {
    let seen = Some(key) == model.open
        && model.watched()
        && model.current().is_some_and(|chat| chat.scroll == Scroll::Bottom);
    if seen {
        return;
    }
    let me = model.me;
    let Some(chat) = model.chat_mut(key) else { return };
    let unread = chat.unread();
    if unread == 0 {
        return;
    }
    let first = match chat.marker {
        Some((first, _)) if first > chat.read => first,
        _ => {
            let above = chat.messages.range(chat.read + 1..);
            let mut others = above.filter(|(_, m)| Some(m.sender) != me);
            let first = others.next().map_or(chat.read + 1, |(&seq, _)| seq);
            if chat.messages.contains_key(&(chat.read + 1)) { first } else { chat.read + 1 }
        }
    };
    chat.marker = Some((first, unread));
}

fn on_queued(model: &mut Model, outgoing: &Outgoing) {
    let key = match outgoing.to {
        Target::Conversation(id) => key_of(model, id, None, "…"),
        Target::User(peer) => {
            let name = format!("user {}", peer.number);
            model.direct(peer, &name)
        }
    };
    let at_ms = model.now_ms;
    if let Some(chat) = model.chat_mut(key) {
        let pending = Pending { at_ms, text: text(&outgoing.body), refused: None };
        chat.pending.insert(outgoing.number, pending);
    }
}

fn on_committed(
    model: &mut Model,
    first_number: u64,
    count: u64,
    conversation: ConversationId,
    first_seq: u64,
    at_ms: u64,
) {
    let Some(me) = model.me else { return };
    let last = first_number.saturating_add(count.saturating_sub(1));
    let found = model.chats.iter().find(|c| c.pending.range(first_number..=last).next().is_some());
    let Some(key) = found.map(|chat| chat.key) else { return };
    let Some(chat) = model.chat_mut(key) else { return };
    chat.id = chat.id.or(Some(conversation));
    for (number, seq) in (first_number..=last).zip(first_seq..) {
        if let Some(pending) = chat.pending.remove(&number) {
            let text = pending.text;
            chat.put(Some(me), seq, super::model::Message { at_ms, sender: me, text });
        }
    }
}

fn on_marked(model: &mut Model, mark: MarkEntry) {
    let me = model.me;
    let open = model.open;
    let Some(chat) = model.by_id(mark.conversation) else { return };
    let user = mark.user.or(me);
    if let Some(member) = chat.members.iter_mut().find(|m| Some(m.user) == user) {
        member.delivered = member.delivered.max(mark.delivered);
        member.read = member.read.max(mark.read);
    }
    if user == me {
        chat.set_read(me, mark.read);
        if chat.unread() == 0 && Some(chat.key) != open {
            chat.marker = None;
        }
    }
}
