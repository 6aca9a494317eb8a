//! Registration and further devices. A repeated command is answered like its
//! first time, so that a client may ask again after a lost answer.

use super::changes::Changes;
use super::command::{AddDevice, Register};
use super::event::Event;
use super::ids::{DeviceId, UserId};
use super::name::UserName;
use super::refusal::Refusal;
use super::state::{Device, State};
use super::write::{self, User};
use bytes::Bytes;
use std::collections::BTreeMap;

impl State {
    pub(super) fn register(&mut self, changes: &mut Changes, at_ms: u64, r: &Register) {
        let result = self.try_register(changes, at_ms, r);
        changes.events.push(answer(r.device, r.token_hash, result));
    }

    pub(super) fn add_device(&mut self, changes: &mut Changes, at_ms: u64, add: &AddDevice) {
        let result = if self.users.contains_key(&add.user) {
            self.put_device(changes, at_ms, add.user, add.device, add.token_hash, &add.device_key)
        } else {
            Err(Refusal::NoSuchUser)
        };
        changes.events.push(answer(add.device, add.token_hash, result));
    }

    fn try_register(
        &mut self,
        changes: &mut Changes,
        at_ms: u64,
        r: &Register,
    ) -> Result<UserId, Refusal> {
        let name = UserName::exact(&r.name).map_err(|_| Refusal::NameInvalid)?;
        if let Some(&owner) = self.names.get(&name) {
            let known = self.devices.get(&r.device);
            let repeated =
                known.is_some_and(|d| d.row.user == owner && d.row.token_hash == r.token_hash);
            return if repeated { Ok(owner) } else { Err(Refusal::NameTaken) };
        }
        if self.devices.contains_key(&r.device) {
            return Err(Refusal::DeviceTaken);
        }
        self.meta.last_user = self.meta.last_user.saturating_add(1);
        let id = UserId { cluster: self.meta.cluster, number: self.meta.last_user };
        self.names.insert(name.clone(), id);
        let password_hash = r.password_hash.clone();
        self.users.insert(id, User { id, name, password_hash, registered_at_ms: at_ms });
        changes.users.insert(id);
        self.put_device(changes, at_ms, id, r.device, r.token_hash, &r.device_key)
    }

    fn put_device(
        &mut self,
        changes: &mut Changes,
        at_ms: u64,
        user: UserId,
        id: DeviceId,
        token_hash: [u8; 32],
        key: &Bytes,
    ) -> Result<UserId, Refusal> {
        let device = self.devices.entry(id).or_insert_with(|| Device {
            row: write::Device { id, user, token_hash, key: key.clone(), added_at_ms: at_ms },
            sent: BTreeMap::new(),
        });
        if device.row.user != user {
            return Err(Refusal::DeviceTaken);
        }
        device.row.token_hash = token_hash;
        device.row.key.clone_from(key);
        changes.devices.insert(id);
        Ok(user)
    }
}

fn answer(device: DeviceId, token_hash: [u8; 32], result: Result<UserId, Refusal>) -> Event {
    match result {
        Ok(user) => Event::DeviceReady { device, user, token_hash },
        Err(refusal) => Event::DeviceRefused { device, token_hash, refusal },
    }
}
