//! How the chat screen changes: a message in, the changed model and effects out. Pure: it must
//! not know sockets, terminals or clocks; the time comes in as a message.

use super::layout::Layout;
use super::model::{ChatKey, Message, Model, Scroll};
use super::timeline::Frame;
use super::{events, keys};
use crate::chat::command::Target;
use crate::chat::ids::ConversationId;
use crate::chat::message::{Body, KIND_TEXT, Run};
use crate::chat::refusal::Refusal;
use crate::client::{ClientError, ClientEvent, Connection, FoundUser};
use crate::limits;
use crossterm::event::KeyEvent;

/// Messages in one page of history.
pub const PAGE: u64 = 100;
/// Largest text in the input line, in bytes: some messages' worth, to be shortened there.
const PASTE_BYTES: usize = 4 * limits::BODY_BYTES;
/// A page that failed is asked for again after this time, in milliseconds.
const FETCH_AGAIN_MS: u64 = 1_000;

/// What happened.
#[derive(Clone, Debug)]
pub enum Msg {
    /// The time now, in milliseconds of UNIX time.
    Now(u64),
    /// A key was pressed.
    Key(KeyEvent),
    /// A text was pasted.
    Paste(String),
    /// The terminal has this size now.
    Resize(u16, u16),
    /// The terminal is focused, or not.
    Focus(bool),
    /// The client tells.
    Client(ClientEvent),
    /// The client ended.
    Ended,
    /// A text could not be put into the outbox.
    NotSent {
        /// Where it was to go.
        to: Target,
        /// What it says.
        text: String,
        /// Why.
        why: ClientError,
    },
    /// A user was looked for.
    Found {
        /// The name.
        name: String,
        /// What to send them.
        text: String,
        /// Who they are.
        result: Result<FoundUser, ClientError>,
    },
    /// A page of history came.
    Page {
        /// For which conversation.
        chat: ChatKey,
        /// The messages.
        result: Result<Vec<Run>, ClientError>,
    },
}

/// What the program shall do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Put a text into the outbox.
    Send {
        /// Where it goes.
        to: Target,
        /// What it says.
        text: String,
    },
    /// Look for a user.
    Lookup {
        /// The name, folded.
        name: String,
        /// What to send them.
        text: String,
    },
    /// Ask for a page of history, both seqs included.
    History {
        /// Comes back with the page.
        chat: ChatKey,
        /// Of which conversation.
        conversation: ConversationId,
        /// First seq.
        from: u64,
        /// Last seq.
        to: u64,
        /// A quorum read.
        current: bool,
    },
    /// Tell the cluster what was seen.
    Mark {
        /// Where.
        conversation: ConversationId,
        /// Highest seq seen.
        read: u64,
    },
    /// Look for another server.
    Reconnect,
    /// Draw every cell again.
    Redraw,
    /// End.
    Quit,
}

/// Changes the model and says what is to be done. After each batch of messages comes [`settle`].
pub fn update(model: &mut Model, msg: Msg) -> Vec<Effect> {
    let mut effects = Vec::new();
    match msg {
        Msg::Now(now_ms) => model.now_ms = model.now_ms.max(now_ms),
        Msg::Key(key) => {
            model.key_at_ms = model.now_ms;
            keys::press(model, key, &mut effects);
        }
        Msg::Paste(text) => {
            model.key_at_ms = model.now_ms;
            paste(model, &text);
        }
        Msg::Resize(columns, rows) => model.size = (columns, rows),
        Msg::Focus(focused) => model.focus = Some(focused),
        Msg::Client(event) => events::on_event(model, event),
        Msg::Ended => model.connection = Connection::Failed(ClientError::Closed),
        Msg::NotSent { to, text, why } => not_sent(model, to, &text, &why),
        Msg::Found { name, text, result } => found(model, &name, text, result, &mut effects),
        Msg::Page { chat, result } => page(model, chat, result),
    }
    effects
}

/// A text that could never be sent is not even taken: editing it would be slow.
fn paste(model: &mut Model, text: &str) {
    let bytes = text.len().saturating_add(model.editor().text().len());
    if bytes > PASTE_BYTES {
        let most = limits::BODY_BYTES;
        model.complain(format!("not pasted: {bytes} bytes, and a message has at most {most}"));
    } else {
        model.editor_mut().0.paste(text);
    }
}

/// What follows from any change: a message at the foot expires, the end of the timeline is
/// followed, a page is asked for, what was seen is told. Messages may come in floods, so this is
/// done once for many of them.
pub fn settle(model: &mut Model) -> Vec<Effect> {
    if model.flash.as_ref().is_some_and(|flash| flash.until_ms <= model.now_ms) {
        model.flash = None;
    }
    let mut effects = Vec::new();
    let Some(layout) = Layout::of(model) else { return effects };
    let watched = model.watched() && model.help.is_none();
    let (me, now_ms, ready) = (model.me, model.now_ms, model.ready());
    let Some(chat) = model.current() else { return effects };
    let frame = Frame::new(model, layout.timeline);
    let bottom = chat.scroll == Scroll::Bottom || frame.window(chat).at_bottom;
    let asks = ready && !chat.fetching && chat.fetch_after_ms <= now_ms && !chat.whole();
    let gap = if asks { frame.gap(chat) } else { None };
    let Some(chat) = model.current_mut() else { return effects };
    if bottom {
        chat.scroll = Scroll::Bottom;
        let seen = chat.last_seq;
        if watched && chat.read < seen && chat.messages.contains_key(&seen) {
            chat.set_read(me, seen);
            effects.extend(chat.id.map(|conversation| Effect::Mark { conversation, read: seen }));
        }
    }
    if let (Some(gap), Some(conversation)) = (gap, chat.id) {
        let (from, to) = if gap.from_above {
            (gap.first, gap.last.min(gap.first + PAGE - 1))
        } else {
            (gap.first.max((gap.last + 1).saturating_sub(PAGE)), gap.last)
        };
        chat.fetching = true;
        // The newest page is read through a quorum; what has failed so may still be had from
        // the server alone: messages never change.
        let current = to == chat.last_seq && chat.fetch_failures.is_multiple_of(2);
        effects.push(Effect::History { chat: chat.key, conversation, from, to, current });
    }
    effects
}

/// Puts the messages of a run into their conversation's timeline.
pub(super) fn put_run(model: &mut Model, key: ChatKey, run: &Run) -> u64 {
    let me = model.me;
    let Some(chat) = model.chat_mut(key) else { return 0 };
    let mut new = 0;
    for (seq, body) in (run.first_seq..).zip(&run.bodies) {
        let message = Message { at_ms: run.at_ms, sender: run.sender, text: text(body) };
        new += u64::from(chat.put(me, seq, message));
    }
    new
}

/// What a body says, for a person.
pub(super) fn text(body: &Body) -> Box<str> {
    if body.kind == KIND_TEXT {
        String::from_utf8_lossy(&body.data).into()
    } else {
        format!("(a message of kind {}, which this version cannot show)", body.kind).into()
    }
}

fn page(model: &mut Model, key: ChatKey, result: Result<Vec<Run>, ClientError>) {
    let now_ms = model.now_ms;
    let mut new = 0;
    for run in result.iter().flatten() {
        new += put_run(model, key, run);
    }
    let Some(chat) = model.chat_mut(key) else { return };
    chat.fetching = false;
    if new > 0 {
        chat.fetch_failures = 0;
    } else {
        // Nothing came: the server may be behind, or the connection lost.
        chat.fetch_failures = chat.fetch_failures.saturating_add(1);
        chat.fetch_after_ms = now_ms + FETCH_AGAIN_MS;
    }
}

fn not_sent(model: &mut Model, to: Target, text: &str, why: &ClientError) {
    let chat = model.chats.iter_mut().find(|chat| match to {
        Target::Conversation(id) => chat.id == Some(id),
        Target::User(peer) => chat.peer == Some(peer),
    });
    match chat {
        Some(chat) if chat.editor.is_empty() => chat.editor.set(text),
        _ => model.home.paste(text),
    }
    model.complain(format!("not sent, the text is kept: {why}"));
}

fn found(
    model: &mut Model,
    name: &str,
    text: String,
    result: Result<FoundUser, ClientError>,
    effects: &mut Vec<Effect>,
) {
    let user = match result {
        Ok(user) => user,
        Err(error) => {
            let why = match error {
                ClientError::Refused(Refusal::NoSuchUser) => format!("there is no user {name}"),
                error => format!("{name} was not found: {error}"),
            };
            model.complain(why);
            if model.editor().is_empty() && !text.is_empty() {
                model.editor_mut().0.set(&format!("/msg {name} {text}"));
            }
            return;
        }
    };
    let key = model.direct(user.user, &user.name);
    if let Some(chat) = model.chat_mut(key) {
        chat.id = chat.id.or(user.conversation);
    }
    send(model, key, text, effects);
    if model.editor().is_empty() {
        keys::open(model, key);
    } else {
        // Somebody writes elsewhere: what they type must not land with somebody else.
        model.say(format!("{name} is in the list now"));
    }
}

/// Sends a text to a conversation; an empty one sends nothing.
pub(super) fn send(model: &mut Model, key: ChatKey, text: String, effects: &mut Vec<Effect>) {
    let Some(chat) = model.chat_mut(key) else { return };
    if text.is_empty() {
        return;
    }
    if let Some(to) = chat.target() {
        chat.scroll = Scroll::Bottom;
        effects.push(Effect::Send { to, text });
    }
}
