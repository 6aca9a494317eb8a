//! Who is connected here, and who is told what. It never waits: a session that
//! takes nothing is marked "behind" and catches up from the state and the store.
//! It must not know sockets, the chat's rules or how anything is encoded.

#[cfg(test)]
mod tests;

use crate::chat::event::Event;
use crate::chat::ids::{ConversationId, DeviceId, UserId};
use crate::limits;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// A session of this server.
pub type SessionId = u64;

/// Whom an event is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Audience {
    /// The session of this device.
    Device(DeviceId),
    /// Those that are logging in as this device.
    Arriving(DeviceId),
    /// The same, of which one is let in with this epoch; older sessions of the device are over.
    Attached(DeviceId, u64),
    /// Nobody: the device's sessions are over, those too that come in with a smaller epoch.
    Revoked(DeviceId, u64),
    /// The sessions of these users.
    Users(Arc<[UserId]>),
}

/// Messages that stand in a conversation now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// Where.
    pub conversation: ConversationId,
    /// Seq of the first one.
    pub first_seq: u64,
    /// Seq of the last one.
    pub last_seq: u64,
    /// The device that wrote all of them, if it was one.
    pub only: Option<DeviceId>,
    /// The push, encoded once for all; `None` where the session must read it from the store.
    pub push: Option<Bytes>,
}

/// One thing to tell a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// Messages.
    Posted(Posted),
    /// Anything else; never [`Event::Posted`].
    Event(Event),
}

/// What one entry of the log means for one session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The entry's index.
    pub index: u64,
    /// In the order in which it happened; never empty.
    pub notes: Vec<Note>,
}

/// What the hub tells a session beside its queue.
#[derive(Debug, Default)]
struct Flags {
    behind: AtomicBool,
    replaced: AtomicBool,
    revoked: AtomicBool,
    /// What waits for the session, at most [`limits::SESSION_EVENTS`]. No channel: those have
    /// room for many even while there is nothing.
    queue: Mutex<VecDeque<Delivery>>,
    /// Bytes of pushes in the queue.
    queued: AtomicUsize,
    wake: Notify,
}

impl Flags {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Delivery>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// False where there is no room.
    fn push(&self, delivery: Delivery) -> bool {
        let mut queue = self.lock();
        let room = queue.len() < limits::SESSION_EVENTS;
        if room {
            queue.push_back(delivery);
        }
        room
    }

    /// An empty queue holds no memory.
    fn pop(&self) -> Option<Delivery> {
        let mut queue = self.lock();
        let delivery = queue.pop_front();
        if queue.is_empty() {
            *queue = VecDeque::new();
        }
        delivery
    }
}

struct Entry {
    flags: Arc<Flags>,
    device: Option<DeviceId>,
    user: Option<UserId>,
    /// Its own, once it is in.
    epoch: Option<u64>,
    /// The highest that its device was given since it asked.
    newest: u64,
}

#[derive(Default)]
struct Tables {
    last: SessionId,
    sessions: BTreeMap<SessionId, Entry>,
    users: BTreeMap<UserId, BTreeSet<SessionId>>,
    devices: BTreeMap<DeviceId, SessionId>,
    /// Those that are logging in.
    arriving: BTreeMap<DeviceId, BTreeSet<SessionId>>,
}

/// The sessions of this server. Cheap to clone.
#[derive(Clone, Default)]
pub struct Hub {
    tables: Arc<Mutex<Tables>>,
}

/// A session's end of the hub; leaves the hub when dropped.
pub struct Mailbox {
    id: SessionId,
    flags: Arc<Flags>,
    hub: Hub,
}

impl Hub {
    /// A new session, to which nothing is told yet.
    #[must_use]
    pub fn attach(&self) -> Mailbox {
        let flags = Arc::<Flags>::default();
        let mut tables = self.lock();
        tables.last += 1;
        let id = tables.last;
        let entry =
            Entry { flags: Arc::clone(&flags), device: None, user: None, epoch: None, newest: 0 };
        tables.sessions.insert(id, entry);
        drop(tables);
        Mailbox { id, flags, hub: self.clone() }
    }

    /// Sessions that are logged in.
    #[must_use]
    pub fn logged_in(&self) -> usize {
        self.lock().devices.len()
    }

    /// Tells what an entry did, to those it is for. Must be called in log order, after the
    /// entry can be seen in the state and the store.
    pub fn publish(&self, index: u64, notes: Vec<(Audience, Note)>) {
        let mut tables = self.lock();
        let mut told: BTreeMap<SessionId, Vec<Note>> = BTreeMap::new();
        for (audience, note) in notes {
            match audience {
                Audience::Device(device) => {
                    if let Some(id) = tables.devices.get(&device) {
                        told.entry(*id).or_default().push(note);
                    }
                }
                Audience::Arriving(device) => {
                    for id in tables.arriving.get(&device).into_iter().flatten() {
                        told.entry(*id).or_default().push(note.clone());
                    }
                }
                Audience::Attached(device, epoch) => {
                    tables.fence(device, epoch);
                    for id in tables.arriving.get(&device).into_iter().flatten() {
                        told.entry(*id).or_default().push(note.clone());
                    }
                }
                Audience::Revoked(device, epoch) => tables.revoke(device, epoch),
                Audience::Users(users) => {
                    let sessions = users.iter().filter_map(|user| tables.users.get(user));
                    for id in sessions.flatten() {
                        told.entry(*id).or_default().push(note.clone());
                    }
                }
            }
        }
        for (id, notes) in told {
            if let Some(entry) = tables.sessions.get(&id) {
                entry.tell(index, notes);
            }
        }
    }

    /// The state has jumped: every session catches up.
    pub fn all_behind(&self) {
        for entry in self.lock().sessions.values() {
            entry.flags.behind.store(true, Ordering::Release);
            entry.flags.wake.notify_one();
        }
    }

    fn leave(&self, id: SessionId) {
        let mut tables = self.lock();
        let Some(entry) = tables.sessions.remove(&id) else { return };
        tables.forget(id, &entry);
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn forget(&mut self, id: SessionId, entry: &Entry) {
        if let Some(user) = entry.user
            && let Some(sessions) = self.users.get_mut(&user)
        {
            sessions.remove(&id);
            if sessions.is_empty() {
                self.users.remove(&user);
            }
        }
        if let Some(device) = entry.device {
            self.arrived(device, id);
            if self.devices.get(&device) == Some(&id) {
                self.devices.remove(&device);
            }
        }
    }

    /// The session is not logging in any more.
    fn arrived(&mut self, device: DeviceId, id: SessionId) {
        if let Some(arriving) = self.arriving.get_mut(&device) {
            arriving.remove(&id);
            if arriving.is_empty() {
                self.arriving.remove(&device);
            }
        }
    }

    /// The device's session is over.
    fn revoke(&mut self, device: DeviceId, epoch: u64) {
        if let Some(entry) = self.devices.get(&device).and_then(|id| self.sessions.get(id)) {
            entry.flags.revoked.store(true, Ordering::Release);
            entry.flags.wake.notify_one();
        }
        self.fence(device, epoch);
    }

    /// The device was given this epoch: sessions with a smaller one are over, those that come in
    /// with one later too.
    fn fence(&mut self, device: DeviceId, epoch: u64) {
        let arriving = self.arriving.get(&device).into_iter().flatten();
        for id in arriving.chain(self.devices.get(&device)) {
            if let Some(entry) = self.sessions.get_mut(id) {
                entry.newest = entry.newest.max(epoch);
                entry.look();
            }
        }
    }
}

impl Entry {
    /// Ends the session if a newer one speaks for its device.
    fn look(&self) {
        if self.epoch.is_some_and(|own| own < self.newest) {
            self.flags.replaced.store(true, Ordering::Release);
            self.flags.wake.notify_one();
        }
    }

    fn tell(&self, index: u64, mut notes: Vec<Note>) {
        if self.flags.behind.load(Ordering::Acquire) {
            return;
        }
        let mut bytes = 0;
        let queued = self.flags.queued.load(Ordering::Acquire);
        for note in &mut notes {
            let Note::Posted(posted) = note else { continue };
            let own = posted.only.is_some() && posted.only == self.device;
            let length = posted.push.as_ref().map_or(0, Bytes::len);
            // One push always fits, so that large entries do not all go by way of the store.
            let fits = queued + bytes == 0 || queued + bytes + length <= QUEUE;
            if own || !fits {
                posted.push = None;
            } else {
                bytes += length;
            }
        }
        self.flags.queued.fetch_add(bytes, Ordering::AcqRel);
        if !self.flags.push(Delivery { index, notes }) {
            self.flags.queued.fetch_sub(bytes, Ordering::AcqRel);
            self.flags.behind.store(true, Ordering::Release);
        }
        self.flags.wake.notify_one();
    }
}

const QUEUE: usize = limits::SESSION_QUEUE_BYTES;

impl Mailbox {
    /// The session is logging in as this device: what becomes of its logins is told to it.
    pub fn arrive(&self, device: DeviceId) {
        let mut tables = self.hub.lock();
        let Some(entry) = tables.sessions.get_mut(&self.id) else { return };
        if entry.epoch.is_some() {
            return;
        }
        entry.device = Some(device);
        tables.arriving.entry(device).or_default().insert(self.id);
    }

    /// The session is this user's device from now on, with this epoch; an older one of the
    /// device must close. So must this one, where a newer one came while it was let in.
    pub fn join(&self, user: UserId, device: DeviceId, epoch: u64) {
        let mut guard = self.hub.lock();
        let tables = &mut *guard;
        let there = tables.devices.get(&device).filter(|id| **id != self.id);
        let there = there.and_then(|id| tables.sessions.get(id)).and_then(|other| other.epoch);
        let Some(entry) = tables.sessions.get_mut(&self.id) else { return };
        entry.user = Some(user);
        entry.device = Some(device);
        entry.epoch = Some(epoch);
        entry.newest = entry.newest.max(epoch).max(there.unwrap_or(0));
        entry.look();
        let newest = entry.newest;
        tables.arrived(device, self.id);
        tables.users.entry(user).or_default().insert(self.id);
        if newest > epoch {
            return;
        }
        if let Some(older) = tables.devices.insert(device, self.id)
            && let Some(older) = tables.sessions.get_mut(&older)
        {
            older.newest = older.newest.max(epoch);
            older.look();
        }
    }

    /// The next delivery, if one shall be `taken` now, or `None` when a flag may have been raised:
    /// look at the flags. Cancel-safe.
    pub async fn next(&mut self, take: bool) -> Option<Delivery> {
        let there = take.then(|| self.try_next()).flatten();
        if there.is_some() {
            return there;
        }
        self.flags.wake.notified().await;
        take.then(|| self.try_next()).flatten()
    }

    /// The next delivery, if one is there.
    pub fn try_next(&mut self) -> Option<Delivery> {
        let delivery = self.flags.pop()?;
        self.taken(&delivery);
        Some(delivery)
    }

    /// True, once, when events were lost and none from before that is left in the queue. Read
    /// the state after this: whatever it does not show will still come.
    #[must_use]
    pub fn take_behind(&self) -> bool {
        self.flags.lock().is_empty() && self.flags.behind.swap(false, Ordering::AcqRel)
    }

    /// True when a newer connection of the device has taken over.
    #[must_use]
    pub fn replaced(&self) -> bool {
        self.flags.replaced.load(Ordering::Acquire)
    }

    /// True when the device was revoked.
    #[must_use]
    pub fn revoked(&self) -> bool {
        self.flags.revoked.load(Ordering::Acquire)
    }

    fn taken(&self, delivery: &Delivery) {
        let bytes = delivery.notes.iter().map(|note| match note {
            Note::Posted(Posted { push: Some(push), .. }) => push.len(),
            _ => 0,
        });
        self.flags.queued.fetch_sub(bytes.sum(), Ordering::AcqRel);
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.hub.leave(self.id);
    }
}
