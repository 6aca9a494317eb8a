//! Where the parts of the chat screen are, for every size of the terminal. It must not know what
//! is drawn there.

use super::model::Model;
use ratatui::layout::Rect;

/// Smallest screen that is drawn; below, it says so.
pub const SMALLEST: (u16, u16) = (40, 8);
/// From this width on there is a list of conversations.
const WITH_SIDEBAR: u16 = 60;
/// From this width on there is also a list of members.
const WITH_MEMBERS: u16 = 100;
const SIDEBAR: u16 = 22;
const MEMBERS: u16 = 16;
/// Rows of the input line, at most.
const INPUT: u16 = 8;
/// Cells before the text of the input line.
pub const PROMPT: u16 = 2;

/// The parts of the screen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The list of conversations.
    pub sidebar: Option<Rect>,
    /// The title of the conversation.
    pub header: Rect,
    /// The messages.
    pub timeline: Rect,
    /// The list of members.
    pub members: Option<Rect>,
    /// The rule below the messages, which also says what just happened.
    pub rule: Rect,
    /// Connection, unread, queued.
    pub status: Rect,
    /// What is being written.
    pub input: Rect,
}

impl Layout {
    /// The parts for the size of the model; `None` where it is too small.
    #[must_use]
    pub fn of(model: &Model) -> Option<Self> {
        let (w, h) = model.size;
        if w < SMALLEST.0 || h < SMALLEST.1 {
            return None;
        }
        let rows = model.editor().rows(usize::from(w - PROMPT - 1)).0.len();
        let most = INPUT.min(h - 6);
        let input = u16::try_from(rows).unwrap_or(most).clamp(1, most);
        let sidebar = if w >= WITH_SIDEBAR { SIDEBAR } else { 0 };
        let members = if w >= WITH_MEMBERS { MEMBERS } else { 0 };
        let body = h - input - 2;
        let middle = w - sidebar - members;
        let some = |rect: Rect| (rect.width > 0).then_some(rect);
        Some(Self {
            sidebar: some(Rect::new(0, 0, sidebar, body)),
            header: Rect::new(sidebar, 0, middle, 1),
            timeline: Rect::new(sidebar, 1, middle, body - 1),
            members: some(Rect::new(w - members, 0, members, body)),
            rule: Rect::new(0, body, w, 1),
            status: Rect::new(0, body + 1, w, 1),
            input: Rect::new(0, body + 2, w, input),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::tz::TimeZone;

    #[test]
    fn the_parts_fill_every_screen_without_overlap() {
        for w in 1..=160 {
            for h in 1..=60 {
                let mut model = Model::new("alice".into(), TimeZone::UTC, (w, h), 0);
                model.home.set(&"x\n".repeat(usize::from(h)));
                let Some(l) = Layout::of(&model) else {
                    assert!(w < 40 || h < 8, "{w}x{h}");
                    continue;
                };
                let parts = [Some(l.header), Some(l.timeline), Some(l.rule), Some(l.status)];
                let parts = parts.into_iter().chain([Some(l.input), l.sidebar, l.members]);
                let cells: u32 = parts.flatten().map(|r| r.area()).sum();
                assert_eq!(cells, u32::from(w) * u32::from(h), "{w}x{h}");
                assert!(l.timeline.height >= 2 && l.timeline.width >= 38, "{w}x{h}");
                assert_eq!(l.members.is_some(), w >= 100);
                assert_eq!(l.sidebar.is_some(), w >= 60);
            }
        }
    }
}
