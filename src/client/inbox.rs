//! What arrives, as one stream per conversation: dense, in order, each message
//! once. A gap is waited for shortly, then fetched. It must not know own sends,
//! marks or sockets.

use crate::chat::ids::ConversationId;
use crate::chat::message::Run;
use crate::limits;
use std::collections::{BTreeMap, BTreeSet};

/// A message after a gap waits this long for what is before it, in milliseconds: an
/// outcome may overtake the push of the same entry.
const GAP_MS: u64 = 100;
/// Messages that are known to exist are fetched when nothing has come for this long.
const QUIET_MS: u64 = 1500;
/// A fetch that brought nothing is repeated after this time, in milliseconds.
const AGAIN_MS: u64 = 500;
/// Fetches under way at a time.
const FETCHES: usize = 4;

/// A range to ask for; both seqs included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Where.
    pub conversation: ConversationId,
    /// First seq.
    pub from: u64,
    /// Last seq.
    pub to: u64,
}

#[derive(Debug)]
struct Stream {
    /// Seq of the next message to hand on.
    next: u64,
    /// Highest seq that is known to exist.
    top: u64,
    /// By first seq; all above `next`.
    held: BTreeMap<u64, Run>,
    /// Since when something is missing.
    since: u64,
    /// A fetch brought only a part: the next one waits for `since` and nothing else.
    eager: bool,
    fetching: bool,
}

/// All conversations.
#[derive(Debug, Default)]
pub struct Inbox {
    streams: BTreeMap<ConversationId, Stream>,
    /// Where an earlier process stopped.
    had: BTreeMap<ConversationId, u64>,
    /// Streams in which something is missing.
    gaps: BTreeSet<ConversationId>,
    /// After the first login: a conversation that is new now is wanted from its beginning.
    live: bool,
    held_bytes: usize,
    heard_at: u64,
    fetches: usize,
}

impl Inbox {
    /// An inbox of a device that has these seqs already.
    #[must_use]
    pub fn new(had: BTreeMap<ConversationId, u64>) -> Self {
        Self { had, ..Self::default() }
    }

    /// The user is in this conversation, has read up to `read`, and it goes up to `last`.
    pub fn known(&mut self, now: u64, id: ConversationId, read: u64, last: u64) {
        let stream = self.stream(now, id, read + 1);
        stream.top = stream.top.max(last);
        self.check(now, id);
    }

    /// What follows is live.
    pub fn ready(&mut self, now: u64) {
        self.live = true;
        self.heard_at = now;
    }

    /// The connection is gone, and with it the fetches.
    pub fn lost(&mut self) {
        self.fetches = 0;
        self.streams.values_mut().for_each(|s| s.fetching = false);
    }

    /// Highest seq handed on, per conversation: only what no server can know better.
    #[must_use]
    pub fn have(&self) -> Vec<(ConversationId, u64)> {
        let rows = self.streams.iter().map(|(id, s)| (*id, s.next - 1));
        if self.live { rows.take(limits::CLIENT_HAVE).collect() } else { Vec::new() }
    }

    /// Messages arrived; those that can be handed on now are appended to `out`.
    pub fn insert(&mut self, now: u64, run: Run, out: &mut Vec<Run>) {
        self.heard_at = now;
        let id = run.conversation;
        let first = run.first_seq;
        let stream = self.stream(now, id, first);
        stream.top = stream.top.max(run.last_seq());
        if first <= stream.next {
            hand_on(stream, run, out);
            let mut freed = 0;
            while let Some(entry) = stream.held.first_entry()
                && *entry.key() <= stream.next
            {
                let run = entry.remove();
                freed += bytes(&run);
                hand_on(stream, run, out);
            }
            self.held_bytes -= freed;
        } else if self.held_bytes + bytes(&run) <= limits::CLIENT_HELD_BYTES
            && let Some(stream) = self.streams.get_mut(&id)
            && stream.held.get(&first).is_none_or(|known| known.count() < run.count())
        {
            self.held_bytes += bytes(&run);
            if let Some(shorter) = stream.held.insert(first, run) {
                self.held_bytes -= bytes(&shorter);
            }
        }
        self.check(now, id);
    }

    /// A fetch of this conversation was answered; its messages were inserted.
    pub fn fetched(&mut self, now: u64, id: ConversationId, progress: bool) {
        self.fetches = self.fetches.saturating_sub(1);
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.fetching = false;
            stream.eager = true;
            stream.since = if progress { now } else { now + AGAIN_MS };
        }
    }

    /// The seq that is handed on next in a conversation.
    #[must_use]
    pub fn next(&self, id: ConversationId) -> Option<u64> {
        self.streams.get(&id).map(|s| s.next)
    }

    /// What must be asked for now.
    pub fn tick(&mut self, now: u64) -> Vec<Missing> {
        let mut missing = Vec::new();
        for id in &self.gaps {
            let Some(stream) = self.streams.get_mut(id) else { continue };
            if self.fetches >= FETCHES || stream.fetching || now < due(stream, self.heard_at) {
                continue;
            }
            let before = stream.held.keys().next().map_or(stream.top, |first| first - 1);
            let to = before.min(stream.next + limits::FETCH_MESSAGES - 1);
            missing.push(Missing { conversation: *id, from: stream.next, to });
            stream.fetching = true;
            self.fetches += 1;
        }
        missing
    }

    /// When [`Inbox::tick`] has something to do next.
    #[must_use]
    pub fn wake(&self) -> Option<u64> {
        if self.fetches >= FETCHES {
            return None;
        }
        let open = self.gaps.iter().filter_map(|id| self.streams.get(id));
        open.filter(|s| !s.fetching).map(|s| due(s, self.heard_at)).min()
    }

    /// Bytes held because something before them is missing.
    #[must_use]
    pub const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    fn stream(&mut self, now: u64, id: ConversationId, first: u64) -> &mut Stream {
        let had = self.had.get(&id).map_or(0, |seq| seq + 1);
        let next = if self.live { had.max(1) } else { first.max(had) };
        self.streams.entry(id).or_insert_with(|| Stream {
            next,
            top: next - 1,
            held: BTreeMap::new(),
            since: now,
            eager: false,
            fetching: false,
        })
    }

    /// Notes whether something is missing, and since when.
    fn check(&mut self, now: u64, id: ConversationId) {
        let Some(stream) = self.streams.get_mut(&id) else { return };
        if stream.top < stream.next {
            self.gaps.remove(&id);
        } else if self.gaps.insert(id) {
            stream.since = now;
            stream.eager = false;
        }
    }
}

fn due(stream: &Stream, heard_at: u64) -> u64 {
    if stream.eager {
        stream.since
    } else if stream.held.is_empty() {
        stream.since.max(heard_at) + QUIET_MS
    } else {
        stream.since + GAP_MS
    }
}

/// Hands on what is new of a run that does not begin after `next`.
fn hand_on(stream: &mut Stream, mut run: Run, out: &mut Vec<Run>) {
    let last = run.last_seq();
    if last < stream.next {
        return;
    }
    let known = stream.next - run.first_seq;
    if known > 0 {
        run.bodies.drain(..usize::try_from(known).unwrap_or(usize::MAX));
        run.first_seq += known;
        run.first_number += known;
    }
    stream.next = last + 1;
    out.push(run);
}

fn bytes(run: &Run) -> usize {
    run.bodies.iter().map(|b| b.data.len() + size_of_val(b)).sum()
}
