//! Draws the chat screen from the model, and changes nothing. All text goes through
//! [`crate::ui::paint`], which makes it fit for a terminal.

use super::help;
use super::layout::{Layout, PROMPT, SMALLEST};
use super::model::{Chat, Model, Scroll, State};
use super::status;
use super::timeline::{self, Head, Row, Window};
use crate::ui::theme::{Role, Theme};
use crate::ui::{cells, paint};
use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::Style;

/// Draws one frame.
pub fn draw(model: &Model, theme: &Theme, frame: &mut Frame<'_>) {
    let area = frame.area();
    let buf = frame.buffer_mut();
    let Some(layout) = Layout::of(model) else {
        too_small(buf, area, theme);
        return;
    };
    let painter = Painter { model, theme, layout };
    painter.sidebar(buf);
    painter.members(buf);
    let window = painter.timeline(buf);
    painter.header(buf);
    painter.rule(buf, window.as_ref());
    painter.status(buf);
    let cursor = painter.input(buf);
    if let Some(first) = model.help {
        painter.help(buf, area, usize::from(first));
    }
    if theme.ascii {
        paint::ascii(buf);
    }
    if model.help.is_none() && area.contains(cursor) {
        frame.set_cursor_position(cursor);
    }
}

fn too_small(buf: &mut Buffer, area: Rect, theme: &Theme) {
    let (w, h) = SMALLEST;
    paint::put(buf, area, (0, 0), "too small", theme.style(Role::Warning));
    let hint = format!("{w}×{h} is needed");
    paint::put(buf, area, (0, 1), &hint, theme.style(Role::Dim));
}

struct Painter<'a> {
    model: &'a Model,
    theme: &'a Theme,
    layout: Layout,
}

impl Painter<'_> {
    fn style(&self, role: Role) -> Style {
        self.theme.style(role)
    }

    fn sidebar(&self, buf: &mut Buffer) {
        let Some(area) = self.layout.sidebar else { return };
        let edge = Rect { x: area.right() - 1, width: 1, ..area };
        paint::side(buf, edge, self.style(Role::Rule));
        let area = Rect { width: area.width - 1, ..area };
        paint::put(buf, area, (area.x + 1, area.y), "rustchat", self.style(Role::Title));
        let list = Rect { y: area.y + 1, height: area.height - 1, ..area };
        let chats = &self.model.chats;
        let rows = usize::from(list.height);
        let open = chats.iter().position(|c| Some(c.key) == self.model.open).unwrap_or(0);
        // The open one stays in view; where some are hidden, the last row says what they hold.
        let hidden = chats.len() > rows;
        let shown = if hidden { rows.saturating_sub(1) } else { rows };
        let first = (open + 1).saturating_sub(shown);
        for (y, (at, chat)) in (list.y..).zip(chats.iter().enumerate().skip(first).take(shown)) {
            self.entry(buf, Rect { y, height: 1, ..list }, at, chat);
        }
        if hidden {
            let visible = first..first + shown;
            let out = chats.iter().enumerate().filter(|(at, _)| !visible.contains(at));
            let unread: u64 = out.map(|(_, chat)| chat.unread()).sum();
            let text = format!("  {} more", chats.len() - shown);
            let y = list.bottom() - 1;
            paint::put(buf, list, (list.x, y), &text, self.style(Role::Dim));
            if unread > 0 {
                paint::put_right(buf, list, y, &unread.to_string(), self.style(Role::Unread));
            }
        }
    }

    fn entry(&self, buf: &mut Buffer, area: Rect, at: usize, chat: &Chat) {
        let open = Some(chat.key) == self.model.open;
        let (unread, (waiting, failed)) = (chat.unread(), chat.waiting());
        let mut marks = Vec::new();
        if failed > 0 {
            marks.push(("!".to_owned(), Role::Error));
        }
        if waiting > 0 {
            marks.push((".".to_owned(), Role::Queued));
        }
        if !chat.editor.is_empty() && !open {
            marks.push((if self.theme.letters { "e" } else { "✎" }.to_owned(), Role::Dim));
        }
        if unread > 0 {
            marks.push((unread.to_string(), Role::Unread));
        }
        let base = if open { self.style(Role::Selected) } else { self.style(Role::Text) };
        if open {
            paint::fill(buf, area, base);
        }
        let number = if at < 9 { (at + 1).to_string() } else { " ".to_owned() };
        let pointer = if open { ">" } else { " " };
        let dim = if open { base } else { self.style(Role::Dim) };
        let x = paint::put(buf, area, (area.x, area.y), &format!("{pointer}{number} "), dim);
        let mut right = Rect { width: area.width - 1, ..area };
        for (text, role) in marks.iter().rev() {
            let style = if open { base } else { self.style(*role) };
            let start = paint::put_right(buf, right, area.y, text, style);
            right.width = start.saturating_sub(right.x + 1);
        }
        let room = usize::from(right.right().saturating_sub(x));
        let name = if unread > 0 && !open { self.style(Role::Title) } else { base };
        paint::put(buf, right, (x, area.y), &cells::clip(&chat.title, room), name);
    }

    fn members(&self, buf: &mut Buffer) {
        let Some(area) = self.layout.members else { return };
        paint::side(buf, Rect { width: 1, ..area }, self.style(Role::Rule));
        let area = Rect { x: area.x + 2, width: area.width - 2, ..area };
        paint::put(buf, area, (area.x, area.y), "MEMBERS", self.style(Role::Title));
        let Some(chat) = self.model.current() else { return };
        for (y, member) in (area.y + 1..area.bottom()).zip(&chat.members) {
            let own = Some(member.user) == self.model.me;
            let style =
                if own { self.style(Role::Own) } else { self.theme.nick(member.user.number) };
            let name = cells::clip(&member.name, usize::from(area.width));
            paint::put(buf, area, (area.x, y), &name, style);
        }
    }

    fn header(&self, buf: &mut Buffer) {
        let area = self.layout.header;
        let Some(chat) = self.model.current() else { return };
        let more = match chat.members.len() {
            0..=2 => String::new(),
            n => format!("{n} members"),
        };
        let room = usize::from(area.width).saturating_sub(cells::width(&more) + 3);
        let title = cells::clip(&chat.title, room);
        paint::put(buf, area, (area.x + 1, area.y), &title, self.style(Role::Title));
        let right = Rect { width: area.width - 1, ..area };
        paint::put_right(buf, right, area.y, &more, self.style(Role::Dim));
    }

    fn timeline(&self, buf: &mut Buffer) -> Option<Window> {
        let area = self.layout.timeline;
        let Some(chat) = self.model.current() else {
            self.welcome(buf, area);
            return None;
        };
        let frame = timeline::Frame::new(self.model, area);
        let window = frame.window(chat);
        let indent = u16::try_from(frame.indent(chat)).unwrap_or(area.width);
        // Few messages stand at the foot, near to where one writes.
        let blank = usize::from(area.height).saturating_sub(window.rows.len());
        let top = area.top() + u16::try_from(blank).unwrap_or(0);
        for (y, row) in (top..area.bottom()).zip(&window.rows) {
            self.row(buf, Rect { y, height: 1, ..area }, chat, row, indent);
        }
        Some(window)
    }

    fn row(&self, buf: &mut Buffer, area: Rect, chat: &Chat, row: &Row, indent: u16) {
        let at = (area.x, area.y);
        let dim = self.style(Role::Dim);
        let rule = self.style(Role::Rule);
        match row {
            Row::Start => {
                let text = if chat.last_seq == 0 && chat.pending.is_empty() {
                    format!("nothing was said yet: write to {}", chat.title)
                } else {
                    format!("this is where you and {} began", chat.title)
                };
                paint::put(
                    buf,
                    area,
                    (area.x + 1, area.y),
                    &cells::clip(&text, usize::from(area.width)),
                    dim,
                );
            }
            Row::Date(date) => paint::rule(buf, area, area.y, date, (rule, dim)),
            Row::Unread(n) => {
                let style = self.style(Role::Unread);
                paint::rule(buf, area, area.y, &format!("{n} new"), (style, style));
            }
            Row::Gap(first, last) => {
                let count = last - first + 1;
                let text = match (count, self.model.ready()) {
                    (1, true) => "1 message, loading".to_owned(),
                    (n, true) => format!("{n} messages, loading"),
                    (1, false) => "1 message is not here".to_owned(),
                    (n, false) => format!("{n} messages are not here"),
                };
                paint::rule(buf, area, area.y, &text, (rule, dim));
            }
            Row::Notice(text) => {
                paint::put(buf, area, (at.0 + 1, at.1), text, self.style(Role::System));
            }
            Row::Text { head, text, trail } => {
                if let Some(head) = head {
                    self.head(buf, area, head);
                }
                let failed = matches!(head, Some(Head { state: Some(State::Failed), .. }));
                let style = self.style(if failed { Role::Dim } else { Role::Text });
                let x = paint::put(buf, area, (area.x + indent, area.y), text, style);
                let gap = u16::from(!text.is_empty()) * 2;
                paint::put(buf, area, (x + gap, area.y), trail, self.style(Role::Error));
            }
        }
    }

    fn head(&self, buf: &mut Buffer, area: Rect, head: &Head) {
        paint::put(buf, area, (area.x, area.y), &head.time, self.style(Role::Dim));
        if let Some(state) = head.state {
            let (glyph, role) = self.glyph(state);
            paint::put(buf, area, (area.x + 6, area.y), glyph, self.style(role));
        }
        let own = head.sender.is_none() || head.sender == self.model.me;
        let style = match head.sender {
            Some(user) if !own => self.theme.nick(user.number),
            _ => self.style(Role::Own),
        };
        paint::put(buf, area, (area.x + 9, area.y), &head.nick, style);
    }

    const fn glyph(&self, state: State) -> (&'static str, Role) {
        let letters = self.theme.letters;
        match state {
            State::Failed => ("!", Role::Error),
            State::Queued => (".", Role::Queued),
            State::Committed => (if letters { "c" } else { "✓" }, Role::Committed),
            State::Delivered => (if letters { "d" } else { "✓✓" }, Role::Delivered),
            State::Read => (if letters { "r" } else { "✓✓" }, Role::Read),
        }
    }

    fn welcome(&self, buf: &mut Buffer, area: Rect) {
        let model = self.model;
        let unread = model.unread();
        let with = model.chats.iter().filter(|c| c.unread() > 0).count();
        let first = match (unread, with, model.chats.len()) {
            _ if model.seat.is_none() => {
                format!("Welcome, {}. Looking for a server …", model.name)
            }
            (0, _, 0) => format!("Welcome, {}. Nobody wrote yet.", model.name),
            (0, _, _) => "Nothing is unread.".to_owned(),
            (n, 1, _) => format!("{n} unread: Tab opens them"),
            (n, with, _) => format!("{n} unread in {with} conversations: Tab opens the oldest"),
        };
        let lines = [
            (first, if unread > 0 { Role::Unread } else { Role::Text }),
            (String::new(), Role::Text),
            ("/msg NAME TEXT   write to somebody".to_owned(), Role::Dim),
            ("Ctrl+N  Ctrl+P   next, previous".to_owned(), Role::Dim),
            ("F1 or /help      keys and commands".to_owned(), Role::Dim),
            ("/quit            end".to_owned(), Role::Dim),
        ];
        let top = area.y + area.height.saturating_sub(u16::try_from(lines.len()).unwrap_or(0)) / 3;
        for (y, (text, role)) in (top..area.bottom()).zip(lines) {
            paint::put(buf, area, (area.x + 2, y), &text, self.style(role));
        }
    }

    /// The rule below the timeline carries what was just said, and how much is below.
    fn rule(&self, buf: &mut Buffer, window: Option<&Window>) {
        let area = self.layout.rule;
        paint::rule(buf, area, area.y, "", (self.style(Role::Rule), self.style(Role::Rule)));
        let joins = [self.layout.sidebar.map(|a| a.right() - 1), self.layout.members.map(|a| a.x)];
        for x in joins.into_iter().flatten() {
            paint::put(buf, area, (x, area.y), "┴", self.style(Role::Rule));
        }
        let mut room = Rect { width: area.width.saturating_sub(2), ..area };
        if let (Some(chat), Some(window)) = (self.model.current(), window)
            && chat.scroll != Scroll::Bottom
        {
            let me = self.model.me;
            let below = chat.messages.range(window.last.max(chat.read).saturating_add(1)..);
            let new = below.filter(|(_, m)| Some(m.sender) != me).count();
            let (text, role) = match new {
                0 => (" ↓ End ".to_owned(), Role::Dim),
                n => (format!(" ↓ {n} new "), Role::Unread),
            };
            let x = paint::put_right(buf, room, area.y, &text, self.style(role));
            room.width = x.saturating_sub(room.x + 1);
        }
        if let Some(flash) = &self.model.flash {
            let role = if flash.error { Role::Error } else { Role::Title };
            let text = cells::clip(&flash.text, usize::from(room.width.saturating_sub(4)));
            paint::put(buf, room, (area.x + 1, area.y), &format!(" {text} "), self.style(role));
        }
    }

    fn status(&self, buf: &mut Buffer) {
        let area = self.layout.status;
        let role = status::connection(self.model).1;
        let (text, items) = status::fit(self.model, usize::from(area.width).saturating_sub(2));
        let mut x = paint::put(buf, area, (area.x + 1, area.y), &text, self.style(role));
        for (text, role) in &items {
            x = paint::put(buf, area, (x, area.y), " │ ", self.style(Role::Rule));
            x = paint::put(buf, area, (x, area.y), text, self.style(*role));
        }
        let hint = "F1 help";
        if usize::from(area.right().saturating_sub(x)) > hint.len() + 2 {
            let right = Rect { width: area.width - 1, ..area };
            paint::put_right(buf, right, area.y, hint, self.style(Role::Dim));
        }
    }

    fn input(&self, buf: &mut Buffer) -> Position {
        let area = self.layout.input;
        let width = usize::from(area.width - PROMPT - 1);
        let (rows, (row, column)) = self.model.editor().rows(width);
        let height = usize::from(area.height);
        let first = (row + 1).saturating_sub(height);
        let text = Rect { x: area.x + PROMPT, width: area.width - PROMPT, ..area };
        for (y, (at, line)) in (area.y..).zip(rows.iter().enumerate().skip(first).take(height)) {
            let prompt = if at == 0 { ">" } else { " " };
            paint::put(buf, area, (area.x, y), prompt, self.style(Role::Dim));
            paint::put(buf, text, (text.x, y), line, self.style(Role::Text));
        }
        let cell = |n: usize| u16::try_from(n).unwrap_or(0);
        Position::new((text.x + cell(column)).min(area.right() - 1), area.y + cell(row - first))
    }

    fn help(&self, buf: &mut Buffer, area: Rect, first: usize) {
        paint::fill(buf, area, self.style(Role::Text));
        let line = (self.style(Role::Rule), self.style(Role::Title));
        paint::rule(buf, area, area.y, "help", line);
        let foot = "Esc closes, PgUp and PgDn scroll";
        paint::rule(buf, area, area.bottom() - 1, foot, (line.0, self.style(Role::Dim)));
        let width = area.width.saturating_sub(2).min(90);
        let inner = Rect::new((area.width - width) / 2, 1, width, area.height.saturating_sub(2));
        let second = inner.x + (inner.width / 2).clamp(16, 34).min(inner.width);
        for (y, (keys, help)) in (inner.top()..inner.bottom()).zip(help::lines().iter().skip(first))
        {
            let role = if help.is_empty() { Role::Title } else { Role::Own };
            let room = if help.is_empty() { inner.width } else { second - inner.x - 1 };
            let keys = cells::clip(keys, usize::from(room));
            paint::put(buf, inner, (inner.x, y), &keys, self.style(role));
            let room = usize::from(inner.right() - second);
            paint::put(buf, inner, (second, y), &cells::clip(help, room), self.style(Role::Text));
        }
    }
}
