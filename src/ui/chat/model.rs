//! What the chat screen knows: conversations with their messages, what is being written, and how
//! the connection stands. It must not know keys, sockets or colours.

use crate::chat::command::Target;
use crate::chat::ids::{ConversationId, UserId};
use crate::chat::write::Kind;
use crate::client::Connection;
use crate::ui::editor::Editor;
use crate::wire::message::{ClusterState, Member};
use jiff::tz::TimeZone;
use std::collections::BTreeMap;

/// Messages kept of one conversation; beyond, the oldest go and are loaded again when needed.
const LOADED: usize = 20_000;
/// How many go at once.
const UNLOADED: usize = 5_000;
/// A key within this time counts as somebody looking, where the terminal tells nothing.
const PRESENT_MS: u64 = 60_000;
/// How long a message at the foot stays.
const FLASH_MS: u64 = 8_000;

/// Names a conversation on this screen, also one that has no id yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChatKey(pub u32);

/// A message that is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Milliseconds of UNIX time.
    pub at_ms: u64,
    /// Who wrote it.
    pub sender: UserId,
    /// What it says; from others, so not fit for a terminal as it is.
    pub text: Box<str>,
}

/// An own message that is not committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// When it was queued, in milliseconds of UNIX time by this machine's clock.
    pub at_ms: u64,
    /// What it says.
    pub text: Box<str>,
    /// Why the cluster refused it, if it did.
    pub refused: Option<String>,
}

/// How far an own message has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Refused; it will not arrive.
    Failed,
    /// In the outbox, on this machine's disk.
    Queued,
    /// On the disks of a majority.
    Committed,
    /// On a device of every other member.
    Delivered,
    /// Seen by every other member.
    Read,
}

/// What the program says in a conversation: fail-overs, answers to commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The message after which it stands.
    pub after: u64,
    /// When it was last added to, in milliseconds of UNIX time.
    pub at_ms: u64,
    /// Later events that belong to it are added here.
    pub parts: Vec<String>,
    /// True where later events of the same kind may be added.
    pub folds: bool,
}

/// Where the timeline stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scroll {
    /// At the last message, and stays there.
    Bottom,
    /// The first line shown is `line` lines below the first line of message `seq`; negative: above.
    At {
        /// Of the message, or [`super::timeline::TAIL`].
        seq: u64,
        /// Lines.
        line: i64,
    },
}

/// One conversation.
#[derive(Clone, Debug)]
pub struct Chat {
    /// Its name on this screen.
    pub key: ChatKey,
    /// `None` until the first message is committed.
    pub id: Option<ConversationId>,
    /// The other one of a direct conversation.
    pub peer: Option<UserId>,
    /// As shown; not fit for a terminal as it is.
    pub title: String,
    /// Everybody in it with their marks.
    pub members: Vec<Member>,
    /// Seq of the last message.
    pub last_seq: u64,
    /// Own read mark.
    pub read: u64,
    /// What is loaded, by seq; there may be gaps.
    pub messages: BTreeMap<u64, Message>,
    /// Own messages among the loaded ones above `read`.
    pub own_unread: u64,
    /// Own messages that are not committed, by number.
    pub pending: BTreeMap<u64, Pending>,
    /// What the program said, in order.
    pub notices: Vec<Notice>,
    /// First message of the line `── n new ──`, and n.
    pub marker: Option<(u64, u64)>,
    /// Where the timeline stands.
    pub scroll: Scroll,
    /// What is being written.
    pub editor: Editor,
    /// A page is on its way.
    pub fetching: bool,
    /// No page is asked for before this time.
    pub fetch_after_ms: u64,
    /// Pages that failed one after the other.
    pub fetch_failures: u32,
}

impl Chat {
    pub(super) fn new(key: ChatKey, title: String) -> Self {
        Self {
            key,
            id: None,
            peer: None,
            title,
            members: Vec::new(),
            last_seq: 0,
            read: 0,
            messages: BTreeMap::new(),
            own_unread: 0,
            pending: BTreeMap::new(),
            notices: Vec::new(),
            marker: None,
            scroll: Scroll::Bottom,
            editor: Editor::default(),
            fetching: false,
            fetch_after_ms: 0,
            fetch_failures: 0,
        }
    }

    /// Forgets what was said here; what is written and what waits stays.
    pub(super) fn forget(&mut self) {
        // A direct one is found again by its peer; its id may be another one's.
        self.id = self.id.filter(|_| self.peer.is_none());
        (self.last_seq, self.read, self.own_unread) = (0, 0, 0);
        self.messages.clear();
        self.notices.clear();
        self.marker = None;
        self.scroll = Scroll::Bottom;
        self.fetching = false;
    }

    /// Messages of others above the own read mark.
    #[must_use]
    pub const fn unread(&self) -> u64 {
        self.last_seq.saturating_sub(self.read).saturating_sub(self.own_unread)
    }

    /// True where every message is loaded.
    #[must_use]
    pub fn whole(&self) -> bool {
        u64::try_from(self.messages.len()).is_ok_and(|loaded| loaded >= self.last_seq)
    }

    /// Where a message written here goes.
    #[must_use]
    pub fn target(&self) -> Option<Target> {
        self.id.map(Target::Conversation).or(self.peer.map(Target::User))
    }

    /// How far own message `seq` has come.
    #[must_use]
    pub fn state(&self, me: Option<UserId>, seq: u64) -> State {
        let others = || self.members.iter().filter(|m| Some(m.user) != me);
        // In a conversation with oneself, one's own marks are all there are.
        let alone = others().next().is_none();
        let marks = || self.members.iter().filter(move |m| alone || Some(m.user) != me);
        if marks().next().is_none() {
            State::Committed
        } else if marks().all(|m| m.read >= seq) {
            State::Read
        } else if marks().all(|m| m.delivered >= seq) {
            State::Delivered
        } else {
            State::Committed
        }
    }

    /// The name of somebody here.
    #[must_use]
    pub fn name_of(&self, user: UserId) -> String {
        let member = self.members.iter().find(|m| m.user == user);
        member.map_or_else(|| format!("user {}", user.number), |m| m.name.clone())
    }

    /// Own messages that wait, and those that failed.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        let failed = self.pending.values().filter(|p| p.refused.is_some()).count();
        (self.pending.len() - failed, failed)
    }

    pub(super) fn put(&mut self, me: Option<UserId>, seq: u64, message: Message) -> bool {
        let own = Some(message.sender) == me;
        if self.messages.contains_key(&seq) {
            return false;
        }
        self.own_unread += u64::from(own && seq > self.read);
        self.messages.insert(seq, message);
        self.last_seq = self.last_seq.max(seq);
        true
    }

    pub(super) fn set_read(&mut self, me: Option<UserId>, read: u64) {
        if read > self.read {
            let passed = self.messages.range(self.read + 1..=read);
            let own = passed.filter(|(_, m)| Some(m.sender) == me).count();
            self.own_unread = self.own_unread.saturating_sub(u64::try_from(own).unwrap_or(0));
            self.read = read;
        }
    }

    /// Counts again what depends on who the user is.
    pub(super) fn recount(&mut self, me: Option<UserId>) {
        let above = self.messages.range(self.read + 1..);
        let own = above.filter(|(_, m)| Some(m.sender) == me).count();
        self.own_unread = u64::try_from(own).unwrap_or(0);
    }

    /// Forgets the oldest messages where there are too many and nobody looks at them.
    pub(super) fn trim(&mut self, me: Option<UserId>) {
        if self.messages.len() > LOADED
            && self.scroll == Scroll::Bottom
            && let Some(&keep) = self.messages.keys().nth(UNLOADED)
        {
            self.messages = self.messages.split_off(&keep);
            self.recount(me);
        }
    }
}

/// A line at the foot that goes away by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flash {
    /// For a person.
    pub text: String,
    /// True for an error, false for a hint.
    pub error: bool,
    /// Until when, in milliseconds of UNIX time.
    pub until_ms: u64,
}

/// Everything the chat screen shows.
#[derive(Debug)]
pub struct Model {
    /// The user's name.
    pub name: String,
    /// Who the user is; known from the first conversation or login.
    pub me: Option<UserId>,
    /// This machine's clock, in milliseconds of UNIX time.
    pub now_ms: u64,
    /// For times and dates.
    pub zone: TimeZone,
    /// Columns and rows of the terminal.
    pub size: (u16, u16),
    /// How the connection stands.
    pub connection: Connection,
    /// When the next try is due.
    pub retry_at_ms: u64,
    /// Seat of the server that serves or served last; `None` before the first login.
    pub seat: Option<u32>,
    /// Address of that server.
    pub server: String,
    /// Name of the cluster.
    pub cluster_name: String,
    /// Who leads, as far as known.
    pub cluster: Option<ClusterState>,
    /// When the connection or the leader was lost, for telling how long it took.
    pub lost_at_ms: Option<u64>,
    /// In the order of the list.
    pub chats: Vec<Chat>,
    /// The one that is open.
    pub open: Option<ChatKey>,
    /// The one that was open before.
    pub last: Option<ChatKey>,
    /// What is written while none is open.
    pub home: Editor,
    /// What was cut last.
    pub cut: String,
    /// The line at the foot.
    pub flash: Option<Flash>,
    /// First line shown of the help, while it is shown.
    pub help: Option<u16>,
    /// Whether the terminal is focused; `None` while it never told.
    pub focus: Option<bool>,
    /// When a key was pressed last.
    pub key_at_ms: u64,
    /// Until when a second Ctrl+C quits.
    pub quit_until_ms: u64,
    /// A text that looks like a mistyped command: pressing Enter again sends it.
    pub doubt: Option<String>,
    pub(super) next_key: u32,
}

impl Model {
    /// An empty screen for a user.
    #[must_use]
    pub fn new(name: String, zone: TimeZone, size: (u16, u16), now_ms: u64) -> Self {
        Self {
            name,
            me: None,
            now_ms,
            zone,
            size,
            connection: Connection::Discovering,
            retry_at_ms: 0,
            seat: None,
            server: String::new(),
            cluster_name: String::new(),
            cluster: None,
            lost_at_ms: None,
            chats: Vec::new(),
            open: None,
            last: None,
            home: Editor::default(),
            cut: String::new(),
            flash: None,
            help: None,
            focus: None,
            key_at_ms: 0,
            quit_until_ms: 0,
            doubt: None,
            next_key: 0,
        }
    }

    /// Learns who the user is; what was counted before is counted again.
    pub(super) fn identify(&mut self, me: UserId) {
        if self.me != Some(me) {
            self.me = Some(me);
            self.chats.iter_mut().for_each(|chat| chat.recount(Some(me)));
        }
    }

    /// The conversation that is open.
    #[must_use]
    pub fn current(&self) -> Option<&Chat> {
        self.open.and_then(|key| self.chats.iter().find(|c| c.key == key))
    }

    /// The conversation that is open, to be changed.
    pub fn current_mut(&mut self) -> Option<&mut Chat> {
        let key = self.open?;
        self.chat_mut(key)
    }

    pub(super) fn chat_mut(&mut self, key: ChatKey) -> Option<&mut Chat> {
        self.chats.iter_mut().find(|c| c.key == key)
    }

    pub(super) fn by_id(&mut self, id: ConversationId) -> Option<&mut Chat> {
        self.chats.iter_mut().find(|c| c.id == Some(id))
    }

    /// The direct conversation with a user, made here where there is none.
    pub(super) fn direct(&mut self, peer: UserId, title: &str) -> ChatKey {
        if let Some(chat) = self.chats.iter().find(|c| c.peer == Some(peer)) {
            return chat.key;
        }
        let key = self.add(title.to_owned());
        if let Some(chat) = self.chat_mut(key) {
            chat.peer = Some(peer);
        }
        key
    }

    /// A new conversation in its place of the list.
    pub(super) fn add(&mut self, title: String) -> ChatKey {
        let key = ChatKey(self.next_key);
        self.next_key += 1;
        self.chats.push(Chat::new(key, title));
        self.sort();
        key
    }

    pub(super) fn sort(&mut self) {
        self.chats.sort_by(|a, b| (&a.title, a.key).cmp(&(&b.title, b.key)));
    }

    /// What is being written.
    #[must_use]
    pub fn editor(&self) -> &Editor {
        self.current().map_or(&self.home, |chat| &chat.editor)
    }

    pub(super) fn editor_mut(&mut self) -> (&mut Editor, &mut String) {
        let open = self.open;
        let chat = self.chats.iter_mut().find(|c| Some(c.key) == open);
        (chat.map_or(&mut self.home, |chat| &mut chat.editor), &mut self.cut)
    }

    /// Messages of others that were not seen, in all conversations.
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.chats.iter().map(Chat::unread).sum()
    }

    /// Own messages that wait, and those that failed, in all conversations.
    #[must_use]
    pub fn waiting(&self) -> (usize, usize) {
        let add = |a: (usize, usize), b: (usize, usize)| (a.0 + b.0, a.1 + b.1);
        self.chats.iter().map(Chat::waiting).fold((0, 0), add)
    }

    /// True where somebody sits before the screen, as far as can be told.
    #[must_use]
    pub fn watched(&self) -> bool {
        self.focus.unwrap_or(self.now_ms.saturating_sub(self.key_at_ms) < PRESENT_MS)
    }

    /// Logged in.
    #[must_use]
    pub const fn ready(&self) -> bool {
        matches!(self.connection, Connection::Ready { .. })
    }

    pub(super) fn say(&mut self, text: impl Into<String>) {
        self.show(text.into(), false);
    }

    pub(super) fn complain(&mut self, text: impl Into<String>) {
        self.show(text.into(), true);
    }

    fn show(&mut self, text: String, error: bool) {
        self.flash = Some(Flash { text, error, until_ms: self.now_ms + FLASH_MS });
    }
}

/// The title of a conversation: its own, or the other members' names.
#[must_use]
pub fn title(kind: Kind, title: &str, members: &[Member], me: Option<UserId>) -> String {
    if kind == Kind::Room {
        return format!("#{title}");
    }
    let other = members.iter().find(|m| Some(m.user) != me);
    match (other, members.first()) {
        (Some(other), _) => other.name.clone(),
        (None, Some(me)) => format!("{} (you)", me.name),
        (None, None) => "nobody".to_owned(),
    }
}
