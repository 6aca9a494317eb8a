//! What a user changes about their own account: devices that are revoked, another password. Only a
//! session of one of their devices may, and only the one that speaks for it now. A repeated
//! command is answered like its first time.

use super::changes::Changes;
use super::command::{RemoveDevice, SetPassword, Speaker};
use super::event::Event;
use super::ids::{ChangeId, DeviceId, LoginId, UserId};
use super::refusal::Refusal;
use super::state::State;

impl State {
    pub(super) fn remove_device(&mut self, changes: &mut Changes, remove: &RemoveDevice) {
        let RemoveDevice { user, device, by, change } = *remove;
        if self.is_over(by) {
            return;
        }
        let owner = self.devices.get(&device).map(|known| known.row.user);
        let result = match self.speaks_for(by, user) {
            Ok(()) if owner != Some(user) => Err(Refusal::NoSuchDevice),
            result => result,
        };
        changed(changes, by, change, result);
        if result.is_ok() {
            self.revoke(changes, device);
        }
    }

    pub(super) fn set_password(&mut self, changes: &mut Changes, set: &SetPassword) {
        if self.is_over(set.by) {
            return;
        }
        let result = self.try_set_password(changes, set);
        changed(changes, set.by, set.change, result.map(drop));
        // A repeat leaves alone what was added since.
        if result == Ok(true) && !set.keep_devices {
            let owned = self.owned.get(&set.user).cloned().unwrap_or_default();
            for other in owned.into_iter().filter(|id| *id != set.by.device) {
                self.revoke(changes, other);
            }
        }
    }

    /// True if the password is another one now, false where this is a repeat.
    fn try_set_password(
        &mut self,
        changes: &mut Changes,
        set: &SetPassword,
    ) -> Result<bool, Refusal> {
        self.speaks_for(set.by, set.user)?;
        let user = self.users.get_mut(&set.user).ok_or(Refusal::NoSuchUser)?;
        if user.password_hash == set.password_hash {
            // Hashes are salted.
            return Ok(false);
        }
        if user.passwords != set.passwords {
            return Err(Refusal::BadCredentials);
        }
        user.password_hash.clone_from(&set.password_hash);
        user.passwords += 1;
        changes.users.insert(set.user);
        Ok(true)
    }

    /// True for a session that a later login of its device has ended: nobody waits for an answer.
    fn is_over(&self, by: Speaker) -> bool {
        let known = self.devices.get(&by.device);
        known.is_some_and(|known| !known.row.revoked && known.row.epoch != by.epoch)
    }

    /// Whether a session speaks for this user.
    fn speaks_for(&self, by: Speaker, user: UserId) -> Result<(), Refusal> {
        let known = self.devices.get(&by.device).filter(|known| !known.row.revoked);
        let own = known.is_some_and(|known| known.row.user == user);
        own.then_some(()).ok_or(Refusal::UnknownDevice)
    }

    /// The device's token is worth nothing any more, nor are its sessions.
    fn revoke(&mut self, changes: &mut Changes, device: DeviceId) {
        let Some(known) = self.devices.get_mut(&device).filter(|known| !known.row.revoked) else {
            return;
        };
        known.row.revoked = true;
        known.row.token_hash = [0; 32];
        known.row.session = LoginId::default();
        known.row.epoch += 1;
        changes.devices.insert(device);
        changes.events.push(Event::Revoked { device, epoch: known.row.epoch });
    }
}

fn changed(changes: &mut Changes, by: Speaker, change: ChangeId, result: Result<(), Refusal>) {
    changes.events.push(Event::Changed { device: by.device, change, result });
}
