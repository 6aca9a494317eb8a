//! What a session has pushed and what is still missing, per conversation. Live
//! messages go out as they come; whatever does not follow on is read from the
//! store, page by page, as fast as the client takes it. Sans-IO.

use crate::chat::ids::{ConversationId, DeviceId, UserId};
use crate::chat::state::{Room, State};
use crate::limits;
use crate::server::hub::Posted;
use crate::wire::message::{ConversationInfo, Member};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    /// Everything up to this seq was pushed, or is not wanted.
    sent: u64,
    /// Everything up to this seq stands there, as far as the session knows.
    last: u64,
    /// Up to this seq own messages are pushed too: the client may lack them.
    echo: u64,
}

/// A page to read from the store: seqs `from..=to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageWanted {
    /// Where.
    pub conversation: ConversationId,
    /// First seq.
    pub from: u64,
    /// Last seq.
    pub to: u64,
    /// Values that hold only messages of this device are left out above this seq.
    pub own: (DeviceId, u64),
}

/// A walk through the user's conversations, a frame's worth at a time.
#[derive(Clone, Debug, Default)]
struct Walk {
    /// The last conversation that was told.
    after: Option<ConversationId>,
}

/// What one session was pushed.
#[derive(Debug)]
pub struct Flow {
    user: UserId,
    device: DeviceId,
    have: BTreeMap<ConversationId, u64>,
    places: BTreeMap<ConversationId, Place>,
    /// Conversations in which something stands that was not pushed.
    lagging: BTreeSet<ConversationId>,
    /// Lagging ones whose next page is not in the store yet.
    dry: BTreeSet<ConversationId>,
    /// The one whose page is being read; also where to go on, so that all get their turn.
    reading: Option<ConversationId>,
    turn: ConversationId,
    walk: Option<Walk>,
    /// The first walk is over: a conversation that is new now was not there before.
    started: bool,
}

impl Flow {
    /// A client that has the messages up to `have` of each conversation, and of others what
    /// its user has read.
    #[must_use]
    pub fn new(user: UserId, device: DeviceId, have: Vec<(ConversationId, u64)>) -> Self {
        Self {
            user,
            device,
            have: have.into_iter().collect(),
            places: BTreeMap::new(),
            lagging: BTreeSet::new(),
            dry: BTreeSet::new(),
            reading: None,
            turn: ConversationId::default(),
            walk: Some(Walk::default()),
            started: false,
        }
    }

    /// Events were lost, or may have been: tells the conversations again and looks where
    /// something is missing.
    pub fn catch_up(&mut self) {
        self.walk = Some(Walk::default());
        self.dry.clear();
    }

    /// True until all conversations have been told.
    #[must_use]
    pub fn is_walking(&self) -> bool {
        self.walk.is_some()
    }

    /// The next conversations to tell; empty when there are no more, and the walk is over.
    pub fn step(&mut self, state: &State) -> Vec<ConversationInfo> {
        let Some(walk) = &mut self.walk else { return Vec::new() };
        let after = walk.after.map_or(Bound::Unbounded, Bound::Excluded);
        let rooms = state.conversations_after(self.user, after);
        let rooms: Vec<&Room> = rooms.take(limits::CONVERSATIONS_PER_FRAME).collect();
        walk.after = rooms.last().map(|room| room.row.id);
        rooms.iter().for_each(|room| self.look_at(room));
        if rooms.len() < limits::CONVERSATIONS_PER_FRAME {
            self.walk = None;
            self.started = true;
            self.have.clear();
        }
        rooms.into_iter().map(|room| info(state, room)).collect()
    }

    fn look_at(&mut self, room: &Room) {
        let (id, last) = (room.row.id, room.row.last_seq);
        let read = room.marks.get(&self.user).map_or(0, |(_, read)| *read);
        let have = if self.started { 0 } else { self.have.get(&id).copied().unwrap_or(read) };
        let fresh = Place { sent: have.min(last), last, echo: last };
        let place = self.places.entry(id).or_insert(fresh);
        place.last = place.last.max(last);
        if place.sent < place.last {
            self.lagging.insert(id);
        }
    }

    /// A conversation came to be: told to the client, if it does not know it.
    pub fn on_opened(&mut self, state: &State, id: ConversationId) -> Option<ConversationInfo> {
        let room = state.conversation(id)?;
        if self.walk.is_some() || self.places.contains_key(&id) {
            return None;
        }
        self.places.insert(id, Place { sent: 0, last: 0, echo: 0 });
        Some(info(state, room))
    }

    /// Messages stand somewhere. Gives the push where it follows on what was pushed before.
    pub fn on_posted(&mut self, posted: Posted) -> Option<Bytes> {
        // Not told yet: the walk will come to it, and sees it in the state.
        let place = self.places.get_mut(&posted.conversation)?;
        place.last = place.last.max(posted.last_seq);
        if posted.last_seq <= place.sent {
            return None;
        }
        self.dry.remove(&posted.conversation);
        let follows = posted.first_seq == place.sent + 1 && self.walk.is_none();
        if follows && !self.lagging.contains(&posted.conversation) {
            if posted.only == Some(self.device) {
                place.sent = posted.last_seq;
                return None;
            }
            if posted.push.is_some() {
                place.sent = posted.last_seq;
                return posted.push;
            }
        }
        self.lagging.insert(posted.conversation);
        None
    }

    /// The next page to read; at most one at a time.
    pub fn page(&mut self) -> Option<PageWanted> {
        if self.reading.is_some() || self.walk.is_some() {
            return None;
        }
        let able = |id: &&ConversationId| !self.dry.contains(id);
        let after = (Bound::Excluded(self.turn), Bound::Unbounded);
        let next = self.lagging.range(after).find(able);
        let id = *next.or_else(|| self.lagging.iter().find(able))?;
        let place = self.places.get(&id)?;
        self.reading = Some(id);
        self.turn = id;
        let own = (self.device, place.echo);
        Some(PageWanted { conversation: id, from: place.sent + 1, to: place.last, own })
    }

    /// The page was read: everything up to `upto` is on its way to the client. Gives the number
    /// of seqs that this is.
    pub fn on_page(&mut self, conversation: ConversationId, upto: u64) -> u64 {
        self.reading = None;
        let Some(place) = self.places.get_mut(&conversation) else { return 0 };
        if upto <= place.sent {
            // Applied, and in the store in a moment: `Posted` follows then.
            self.dry.insert(conversation);
            return 0;
        }
        let seqs = upto - place.sent;
        place.sent = upto;
        place.last = place.last.max(upto);
        if place.sent == place.last {
            self.lagging.remove(&conversation);
        }
        seqs
    }

    /// True while a page was not there yet.
    #[must_use]
    pub fn has_dry(&self) -> bool {
        !self.dry.is_empty()
    }

    /// Pages that were not there are tried again.
    pub fn retry(&mut self) {
        self.dry.clear();
    }

    /// True when everything the session knows of was pushed.
    #[must_use]
    pub fn is_even(&self) -> bool {
        self.walk.is_none() && self.lagging.is_empty()
    }
}

/// A conversation as its members see it.
#[must_use]
pub fn info(state: &State, room: &Room) -> ConversationInfo {
    let member = |user: &UserId| {
        let (delivered, read) = room.marks.get(user).copied().unwrap_or_default();
        Member { user: *user, name: state.name_of(*user), delivered, read }
    };
    ConversationInfo {
        id: room.row.id,
        kind: room.row.kind,
        members: room.row.members.iter().map(member).collect(),
        last_seq: room.row.last_seq,
        title: room.row.title.clone(),
    }
}
