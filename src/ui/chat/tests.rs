//! The chat screen driven by keys and by what a client tells.

mod hostile;
mod screens;
mod scripts;
mod seeds;
mod timelines;

use super::model::Model;
use super::update::{Effect, Msg, settle, update};
use super::view;
use crate::chat::command::Target;
use crate::chat::ids::{ClusterId, ConversationId, DeviceId, MessageId, UserId};
use crate::chat::message::{Body, Run};
use crate::chat::write::Kind;
use crate::client::{ClientEvent, Connection, Outgoing};
use crate::ui::keymap;
use crate::ui::theme::Theme;
use crate::wire::message::{ClusterState, ConversationInfo, MarkEntry, Member};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::buffer::Buffer;

/// Monday, 23 November 2026, 14:02:00 UTC.
const NOON: u64 = 1_795_442_520_000;
const ALICE: u64 = 1;
const BOB: u64 = 2;
const NAMES: [&str; 5] = ["", "alice", "bob", "carol", "dave"];

fn user(number: u64) -> UserId {
    UserId { cluster: ClusterId([1; 16]), number }
}

fn conversation(n: u64) -> ConversationId {
    ConversationId::new(0, n)
}

/// A screen of alice with a client that is written by hand.
struct Bench {
    model: Model,
    effects: Vec<Effect>,
    theme: Theme,
}

impl Bench {
    /// Nothing has happened yet.
    fn cold(columns: u16, rows: u16) -> Self {
        let model = Model::new("alice".into(), TimeZone::UTC, (columns, rows), NOON);
        let theme = Theme::choose(Some("dark"), |_| None).unwrap();
        Self { model, effects: Vec::new(), theme }
    }

    /// Logged in at n2, n1 leads, a conversation with bob of `last` messages.
    fn new(columns: u16, rows: u16, last: u64) -> Self {
        let mut bench = Self::cold(columns, rows);
        bench.ready(2);
        bench.cluster(Some(1), 8, 3);
        bench.talk(1, &[ALICE, BOB], last, last);
        bench
    }

    fn msg(&mut self, msg: Msg) {
        self.effects.extend(update(&mut self.model, msg));
        self.effects.extend(settle(&mut self.model));
    }

    fn tell(&mut self, event: ClientEvent) {
        self.msg(Msg::Client(event));
    }

    fn ready(&mut self, seat: u32) {
        let server = format!("127.0.0.1:710{seat}");
        let (cluster, user) = ("west".into(), user(ALICE));
        let ready = Connection::Ready { server, seat, cluster, user, via: None };
        self.tell(ClientEvent::Connection(ready));
    }

    fn cluster(&mut self, leader: Option<u32>, term: u64, live: u32) {
        self.tell(ClientEvent::Cluster(ClusterState { leader, term, live, voters: 3 }));
    }

    /// A conversation as it is told at login; the first member is alice with this read mark.
    fn talk(&mut self, n: u64, who: &[u64], last_seq: u64, read: u64) {
        let member = |&u: &u64| {
            let mark = if u == ALICE { read } else { 0 };
            let name = NAMES.get(usize::try_from(u).unwrap()).copied().unwrap_or("somebody");
            Member { user: user(u), name: name.into(), delivered: mark, read: mark }
        };
        self.tell(ClientEvent::Conversation(ConversationInfo {
            id: conversation(n),
            kind: Kind::Direct,
            members: who.iter().map(member).collect(),
            last_seq,
            title: String::new(),
        }));
    }

    /// Messages of one sender that come one after the other.
    fn say(&mut self, n: u64, from: u64, first_seq: u64, texts: &[&str]) {
        self.tell(ClientEvent::Messages(run(n, from, first_seq, texts)));
    }

    /// An own message enters the outbox.
    fn queue(&mut self, n: u64, number: u64, text: &str) {
        let to = Target::Conversation(conversation(n));
        self.tell(ClientEvent::Queued(Outgoing { number, to, body: Body::text(text) }));
    }

    fn commit(&mut self, n: u64, number: u64, seq: u64) {
        self.tell(ClientEvent::Committed {
            first_number: number,
            count: 1,
            id: MessageId::default(),
            conversation: conversation(n),
            first_seq: seq,
            at_ms: NOON,
        });
    }

    fn mark(&mut self, n: u64, who: u64, delivered: u64, read: u64) {
        let user = Some(user(who));
        self.tell(ClientEvent::Marked(MarkEntry {
            conversation: conversation(n),
            user,
            delivered,
            read,
        }));
    }

    fn after(&mut self, ms: u64) {
        self.msg(Msg::Now(self.model.now_ms + ms));
    }

    /// Presses keys: words are typed or named as the keymap names them, a blank is a pause.
    /// `_` in a word is a blank.
    fn keys(&mut self, script: &str) {
        for word in script.split(' ').filter(|word| !word.is_empty()) {
            let named = word.len() > 1 && !word.starts_with('\'');
            match keymap::chord(word).filter(|_| named) {
                Some((code, modifiers)) => self.msg(Msg::Key(KeyEvent::new(code, modifiers))),
                None => word.trim_start_matches('\'').replace('_', " ").chars().for_each(|c| {
                    self.msg(Msg::Key(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE)));
                }),
            }
        }
    }

    fn draw(&self) -> Buffer {
        let (w, h) = self.model.size;
        let mut terminal = Terminal::new(TestBackend::new(w, h)).unwrap();
        terminal.draw(|frame| view::draw(&self.model, &self.theme, frame)).unwrap();
        terminal.backend().buffer().clone()
    }

    /// The screen as text, without blanks at line ends.
    fn screen(&self) -> String {
        rows(&self.draw()).join("\n")
    }

    fn text(&self) -> &str {
        self.model.editor().text()
    }

    fn flash(&self) -> &str {
        self.model.flash.as_ref().map_or("", |flash| &flash.text)
    }

    fn sent(&mut self) -> Vec<String> {
        let sent = self.effects.iter().filter_map(|effect| match effect {
            Effect::Send { text, .. } => Some(text.clone()),
            _ => None,
        });
        let sent = sent.collect();
        self.effects.clear();
        sent
    }
}

fn run(n: u64, from: u64, first_seq: u64, texts: &[&str]) -> Run {
    Run {
        conversation: conversation(n),
        first_seq,
        at_ms: NOON + first_seq * 1000,
        sender: user(from),
        origin: ClusterId([1; 16]),
        device: DeviceId([9; 16]),
        group: 0,
        first_number: first_seq,
        bodies: texts.iter().map(|text| Body::text(*text)).collect(),
    }
}

/// The rows of a screen; a wide character takes its cells once.
fn rows(buf: &Buffer) -> Vec<String> {
    let row = |y: u16| {
        let (mut x, mut out) = (0, String::new());
        while x < buf.area.width {
            let symbol = buf[(x, y)].symbol();
            out.push_str(symbol);
            x += u16::try_from(crate::ui::cells::width(symbol)).unwrap().max(1);
        }
        out.trim_end().to_owned()
    };
    (0..buf.area.height).map(row).collect()
}
