//! The timeline of a conversation as rows of text: which rows belong to which message, which of
//! them are in the window, and how scrolling moves it. A block is a message with what stands
//! before it (a gap, the date, the unread line) and the notices after it; the tail is what comes
//! after the last message. It must not know colours.

use super::model::{Chat, Message, Scroll, State};
use crate::chat::ids::UserId;
use crate::ui::cells;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use ratatui::layout::Rect;

/// Stands for a seq: the block after the last message.
pub const TAIL: u64 = u64::MAX;
/// Width of names, at most; narrower where all names are short.
const NICK: usize = 12;
/// Width of names on a narrow screen.
const NICK_NARROW: usize = 8;
/// Cells before the name: the time, a space, two cells of state, a space.
const BEFORE_NICK: usize = 9;
/// Cells between name and text.
const AFTER_NICK: usize = 2;
/// Two messages of the same minute show the time once.
const MINUTE_MS: u64 = 60_000;

/// One row of the timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    /// Nothing was written before.
    Start,
    /// A day begins.
    Date(String),
    /// The unread ones begin; how many.
    Unread(u64),
    /// Messages that are not loaded: first and last seq.
    Gap(u64, u64),
    /// A line of a message.
    Text {
        /// On the first line of the message.
        head: Option<Head>,
        /// Part of what it says, printable.
        text: String,
        /// Said by the program behind the last line: why it failed.
        trail: String,
    },
    /// A line that the program says.
    Notice(String),
}

/// What stands before the first line of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// `14:02`, where the minute is a new one.
    pub time: String,
    /// Of an own message.
    pub state: Option<State>,
    /// Who wrote it; `None` for an own one that waits.
    pub sender: Option<UserId>,
    /// Their name, right-aligned.
    pub nick: String,
}

/// The rows of one message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// Rows that stand before the message itself.
    pub lead: usize,
    /// Never empty, except for a tail.
    pub rows: Vec<Row>,
}

/// What the timeline needs besides the conversation.
#[derive(Clone, Copy)]
pub struct Frame<'a> {
    /// Who the user is.
    pub me: Option<UserId>,
    /// Their name.
    pub name: &'a str,
    /// For times and dates.
    pub zone: &'a TimeZone,
    /// Cells in a row.
    pub width: usize,
    /// Rows in the window.
    pub height: usize,
}

/// The rows that are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// From top to bottom; fewer than the height where there are no more.
    pub rows: Vec<Row>,
    /// Which row of which block is the first.
    pub top: (u64, usize),
    /// Highest seq of which a line is shown.
    pub last: u64,
    /// The last row of all is shown.
    pub at_bottom: bool,
}

impl<'a> Frame<'a> {
    /// For the timeline of this model in this part of the screen.
    #[must_use]
    pub fn new(model: &'a super::model::Model, area: Rect) -> Self {
        Self {
            me: model.me,
            name: &model.name,
            zone: &model.zone,
            width: usize::from(area.width).saturating_sub(1),
            height: usize::from(area.height),
        }
    }

    fn nick_width(&self, chat: &Chat) -> usize {
        let names = chat.members.iter().map(|m| m.name.as_str()).chain([self.name]);
        let most = if self.width < 50 { NICK_NARROW } else { NICK };
        names.map(cells::width).max().unwrap_or(0).clamp(3, most)
    }

    /// Cells before the text of a message.
    #[must_use]
    pub fn indent(&self, chat: &Chat) -> usize {
        BEFORE_NICK + self.nick_width(chat) + AFTER_NICK
    }

    fn local(&self, at_ms: u64) -> Zoned {
        let at = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        at.unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(self.zone.clone())
    }

    /// The block of a message that is loaded, or the tail.
    #[must_use]
    pub fn block(&self, chat: &Chat, seq: u64) -> Block {
        let Some(message) = chat.messages.get(&seq) else { return self.tail(chat) };
        let before = chat.messages.range(..seq).next_back();
        let mut rows = Vec::new();
        match before {
            None if seq == 1 => rows.push(Row::Start),
            None => rows.push(Row::Gap(1, seq - 1)),
            Some((&last, _)) if last + 1 < seq => rows.push(Row::Gap(last + 1, seq - 1)),
            Some(_) => {}
        }
        if before.is_none() {
            rows.extend(self.notices(chat, 0..seq));
        }
        let at = self.local(message.at_ms);
        if before.is_none_or(|(_, b)| self.local(b.at_ms).date() != at.date()) {
            rows.push(Row::Date(at.strftime("%a %-d %b %Y").to_string()));
        }
        let marked = chat
            .marker
            .filter(|(first, _)| *first <= seq && before.is_none_or(|(last, _)| last < first));
        rows.extend(marked.map(|(_, n)| Row::Unread(n)));
        let lead = rows.len();
        let again = rows.is_empty()
            && before.is_some_and(|(_, b)| b.at_ms / MINUTE_MS == message.at_ms / MINUTE_MS);
        let own = Some(message.sender) == self.me;
        let head = Head {
            time: if again { String::new() } else { at.strftime("%H:%M").to_string() },
            state: own.then(|| chat.state(self.me, seq)),
            sender: Some(message.sender),
            nick: cells::right(&self.nick(chat, message), self.nick_width(chat)),
        };
        self.push_text(chat, &mut rows, head, &message.text, "");
        rows.extend(self.notices(chat, seq..next(chat, seq)));
        Block { lead, rows }
    }

    fn nick(&self, chat: &Chat, message: &Message) -> String {
        if Some(message.sender) == self.me {
            self.name.to_owned()
        } else {
            chat.name_of(message.sender)
        }
    }

    fn tail(&self, chat: &Chat) -> Block {
        let mut rows = Vec::new();
        let last = chat.messages.keys().next_back().copied().unwrap_or(0);
        if last < chat.last_seq {
            rows.push(Row::Gap(last + 1, chat.last_seq));
        } else if last == 0 {
            rows.push(Row::Start);
        }
        if last == 0 {
            rows.extend(self.notices(chat, 0..TAIL));
        }
        let lead = rows.len();
        let mut minute = None;
        for pending in chat.pending.values() {
            let state = if pending.refused.is_some() { State::Failed } else { State::Queued };
            let again = minute == Some(pending.at_ms / MINUTE_MS);
            minute = Some(pending.at_ms / MINUTE_MS);
            let head = Head {
                time: if again {
                    String::new()
                } else {
                    self.local(pending.at_ms).strftime("%H:%M").to_string()
                },
                state: Some(state),
                sender: self.me,
                nick: cells::right(self.name, self.nick_width(chat)),
            };
            let trail = pending.refused.as_ref().map(|why| format!("▸ not sent: {why}"));
            self.push_text(chat, &mut rows, head, &pending.text, &trail.unwrap_or_default());
        }
        Block { lead, rows }
    }

    fn push_text(&self, chat: &Chat, rows: &mut Vec<Row>, head: Head, text: &str, trail: &str) {
        let room = self.width.saturating_sub(self.indent(chat)).max(1);
        let mut head = Some(head);
        for text in cells::wrap(text, room) {
            rows.push(Row::Text { head: head.take(), text, trail: String::new() });
        }
        if trail.is_empty() {
            return;
        }
        if let Some(Row::Text { text, trail: slot, .. }) = rows.last_mut()
            && cells::width(text) + cells::width(trail) + 2 <= room
        {
            trail.clone_into(slot);
            return;
        }
        for part in cells::wrap(trail, room) {
            rows.push(Row::Text { head: None, text: String::new(), trail: part });
        }
    }

    /// What the program said after the messages of this range, in order.
    fn notices(&self, chat: &Chat, after: std::ops::Range<u64>) -> Vec<Row> {
        let here = chat.notices.iter().filter(|n| after.contains(&n.after));
        here.flat_map(|n| self.notice(&n.parts.join(" · "))).collect()
    }

    fn notice(&self, text: &str) -> Vec<Row> {
        let mut lines = cells::wrap(text, self.width.saturating_sub(4).max(1)).into_iter();
        let first = lines.next().map(|line| Row::Notice(format!("~ {line}")));
        first.into_iter().chain(lines.map(|line| Row::Notice(format!("  {line}")))).collect()
    }

    /// The rows in the window.
    #[must_use]
    pub fn window(&self, chat: &Chat) -> Window {
        let top = match chat.scroll {
            Scroll::Bottom => self.bottom_top(chat),
            Scroll::At { seq, line } => {
                let top = self.resolve(chat, seq, line);
                // Where less than a window follows, it shows the end.
                top.min(self.bottom_top(chat))
            }
        };
        self.fill(chat, top)
    }

    fn fill(&self, chat: &Chat, top: (u64, usize)) -> Window {
        let mut out = Window { top, ..Window::default() };
        let (mut seq, mut skip) = top;
        loop {
            let rows = self.block(chat, seq).rows;
            let shown = rows.len().saturating_sub(skip);
            let room = self.height - out.rows.len();
            out.rows.extend(rows.into_iter().skip(skip).take(room));
            if seq != TAIL && room > 0 {
                out.last = seq;
            }
            if shown > room || seq == TAIL {
                out.at_bottom = shown <= room;
                return out;
            }
            skip = 0;
            seq = next(chat, seq);
        }
    }

    /// The first row of the window that shows the end.
    fn bottom_top(&self, chat: &Chat) -> (u64, usize) {
        self.back(chat, (TAIL, self.block(chat, TAIL).rows.len()), self.height)
    }

    /// `lines` rows up from a row.
    fn back(&self, chat: &Chat, (mut seq, mut at): (u64, usize), lines: usize) -> (u64, usize) {
        let mut left = lines;
        while left > at {
            left -= at;
            let Some(before) = chat.messages.range(..seq).next_back() else { return (seq, 0) };
            seq = *before.0;
            at = self.block(chat, seq).rows.len();
        }
        (seq, at - left)
    }

    /// `lines` rows down from a row; past the end is the end.
    fn forward(&self, chat: &Chat, (mut seq, at): (u64, usize), lines: usize) -> (u64, usize) {
        let mut left = at + lines;
        loop {
            let rows = self.block(chat, seq).rows.len();
            if left < rows || seq == TAIL {
                return (seq, left.min(rows));
            }
            left -= rows;
            seq = next(chat, seq);
        }
    }

    /// The row that a scroll position names; a message that is not loaded is the next one that is.
    fn resolve(&self, chat: &Chat, seq: u64, line: i64) -> (u64, usize) {
        let found = chat.messages.range(seq..).next().map_or(TAIL, |(&seq, _)| seq);
        let lead = self.block(chat, found).lead;
        let line = if found == seq { line } else { -i64::try_from(lead).unwrap_or(0) };
        let steps = usize::try_from(line.unsigned_abs()).unwrap_or(0);
        if line < 0 {
            self.back(chat, (found, lead), steps)
        } else {
            self.forward(chat, (found, lead), steps)
        }
    }

    /// The scroll position that names a row: counted from the message's own first line, so that
    /// it stays when what stands before the message changes.
    #[must_use]
    pub fn anchor(&self, chat: &Chat, (seq, at): (u64, usize)) -> Scroll {
        let lead = self.block(chat, seq).lead;
        let number = |n: usize| i64::try_from(n).unwrap_or(0);
        Scroll::At { seq, line: number(at) - number(lead) }
    }

    /// The position after moving by `lines` rows; negative is up.
    #[must_use]
    pub fn scrolled(&self, chat: &Chat, lines: i64) -> Scroll {
        let top = self.window(chat).top;
        let steps = usize::try_from(lines.unsigned_abs()).unwrap_or(usize::MAX);
        let to =
            if lines < 0 { self.back(chat, top, steps) } else { self.forward(chat, top, steps) };
        if lines > 0 && self.fill(chat, to.min(self.bottom_top(chat))).at_bottom {
            return Scroll::Bottom;
        }
        self.anchor(chat, to)
    }

    /// The gap that is in the window or within one window of it, the nearest to the end.
    #[must_use]
    pub fn gap(&self, chat: &Chat) -> Option<Gap> {
        let top = self.window(chat).top;
        let from = self.back(chat, top, self.height);
        let wide = Self { height: self.height * 3, ..*self };
        let rows = wide.fill(chat, from).rows;
        let (first, last) = rows.iter().rev().find_map(|row| match row {
            Row::Gap(first, last) => Some((*first, *last)),
            _ => None,
        })?;
        let asked = match chat.scroll {
            Scroll::At { seq, .. } => (first..=last).contains(&seq) || seq == 0 && first == 1,
            Scroll::Bottom => false,
        };
        Some(Gap { first, last, from_above: asked || top.0 < first })
    }
}

/// Messages that are not loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// First seq.
    pub first: u64,
    /// Last seq.
    pub last: u64,
    /// The reader wants its first messages, not its last ones.
    pub from_above: bool,
}

fn next(chat: &Chat, seq: u64) -> u64 {
    chat.messages.range(seq.saturating_add(1)..).next().map_or(TAIL, |(&seq, _)| seq)
}
