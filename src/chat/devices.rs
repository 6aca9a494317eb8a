//! Registration, further devices and logins. Each login fences the one before: only the latest
//! session of a device speaks for it, wherever the others are. A repeated command is answered
//! like its first time, so that a client may ask again after a lost answer.

use super::changes::Changes;
use super::command::{AddDevice, Attach, Register};
use super::event::Event;
use super::ids::{DeviceId, LoginId, UserId};
use super::name::UserName;
use super::refusal::Refusal;
use super::state::{Device, State};
use super::write::{self, User};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// A device as a registration or a login with the password wants it.
struct Wanted<'a> {
    user: UserId,
    id: DeviceId,
    token_hash: [u8; 32],
    key: &'a bytes::Bytes,
    session: LoginId,
    after: u64,
}

impl State {
    pub(super) fn register(&mut self, changes: &mut Changes, at_ms: u64, r: &Register) {
        let result = self.try_register(changes, at_ms, r);
        self.answer(changes, r.device, r.session, result);
    }

    pub(super) fn add_device(&mut self, changes: &mut Changes, at_ms: u64, add: &AddDevice) {
        // Who is registered elsewhere has no password here.
        let user = self.users.get(&add.user).filter(|user| self.is_local(user.id));
        let result = match user {
            None => Err(Refusal::NoSuchUser),
            // The password that was verified is not the user's any more.
            Some(user) if user.passwords != add.passwords => Err(Refusal::BadCredentials),
            Some(_) => {
                let (user, id, token_hash) = (add.user, add.device, add.token_hash);
                let (key, session, after) = (&add.device_key, add.session, add.after);
                let wanted = Wanted { user, id, token_hash, key, session, after };
                self.put_device(changes, at_ms, &wanted)
            }
        };
        self.answer(changes, add.device, add.session, result);
    }

    pub(super) fn attach(&mut self, changes: &mut Changes, at_ms: u64, attach: &Attach) {
        let result = match self.devices.get_mut(&attach.device) {
            None => Err(Refusal::UnknownDevice),
            Some(device) if device.row.revoked => Err(Refusal::UnknownDevice),
            Some(device) if device.row.token_hash != attach.token_hash => {
                Err(Refusal::BadCredentials)
            }
            Some(device) => {
                let result = log_in(&mut device.row, at_ms, attach.session, attach.after);
                if result.is_ok() {
                    changes.devices.insert(attach.device);
                }
                result
            }
        };
        self.answer(changes, attach.device, attach.session, result);
    }

    fn try_register(
        &mut self,
        changes: &mut Changes,
        at_ms: u64,
        r: &Register,
    ) -> Result<(), Refusal> {
        let name = UserName::exact(&r.name).map_err(|_| Refusal::NameInvalid)?;
        if let Some(&owner) = self.names.get(&name) {
            let known = self.devices.get(&r.device);
            let repeated =
                known.is_some_and(|d| d.row.user == owner && d.row.token_hash == r.token_hash);
            return if repeated { Ok(()) } else { Err(Refusal::NameTaken) };
        }
        if self.devices.contains_key(&r.device) {
            return Err(Refusal::DeviceTaken);
        }
        self.admit(r)?;
        self.meta.last_user = self.meta.last_user.saturating_add(1);
        let id = UserId { cluster: self.meta.cluster, number: self.meta.last_user };
        self.names.insert(name.clone(), id);
        let password_hash = r.password_hash.clone();
        let (registered_at_ms, passwords) = (at_ms, 0);
        self.users.insert(id, User { id, name, password_hash, registered_at_ms, passwords });
        changes.users.insert(id);
        let (token_hash, key, session) = (r.token_hash, &r.device_key, r.session);
        let wanted = Wanted { user: id, id: r.device, token_hash, key, session, after: 0 };
        self.put_device(changes, at_ms, &wanted)
    }

    fn put_device(
        &mut self,
        changes: &mut Changes,
        at_ms: u64,
        wanted: &Wanted<'_>,
    ) -> Result<(), Refusal> {
        let Wanted { user, id, token_hash, key, session, after } = *wanted;
        let fresh = || write::Device {
            id,
            user,
            token_hash,
            key: key.clone(),
            added_at_ms: at_ms,
            epoch: 0,
            session: LoginId::default(),
            seen_at_ms: 0,
            revoked: false,
        };
        let known = self.devices.get(&id).map(|device| device.row.clone());
        let (mut row, after) = known.map_or_else(|| (fresh(), 0), |row| (row, after));
        if row.user != user {
            return Err(Refusal::DeviceTaken);
        }
        log_in(&mut row, at_ms, session, after)?;
        row.token_hash = token_hash;
        row.revoked = false;
        row.key.clone_from(key);
        let sent = BTreeMap::new();
        match self.devices.entry(id) {
            Entry::Occupied(mut there) => there.get_mut().row = row,
            Entry::Vacant(place) => {
                place.insert(Device { row, sent });
            }
        }
        self.owned.entry(user).or_default().insert(id);
        changes.devices.insert(id);
        Ok(())
    }

    /// Tells what became of a login. A registration that a login has followed is told nothing.
    fn answer(
        &self,
        changes: &mut Changes,
        device: DeviceId,
        session: LoginId,
        result: Result<(), Refusal>,
    ) {
        match (result, self.devices.get(&device)) {
            (Ok(()), Some(Device { row, .. })) => {
                if row.session == session {
                    let (user, epoch) = (row.user, row.epoch);
                    changes.events.push(Event::Attached { device, user, session, epoch });
                }
            }
            (Ok(()), None) => {}
            (Err(refusal), _) => {
                changes.events.push(Event::DeviceRefused { device, session, refusal });
            }
        }
    }
}

/// The device is this login's from now on, unless another one came between. A login without an
/// id, as they were once written, fences nobody.
fn log_in(
    row: &mut write::Device,
    at_ms: u64,
    session: LoginId,
    after: u64,
) -> Result<(), Refusal> {
    if session == LoginId::default() || session == row.session {
        return Ok(());
    }
    if row.epoch != after {
        return Err(Refusal::Overtaken);
    }
    row.epoch += 1;
    row.session = session;
    row.seen_at_ms = at_ms;
    Ok(())
}
