//! What a user changes about their account from inside: devices that are revoked, another
//! password. A change goes through the log, is submitted again until this server has applied it,
//! and is answered from there. A part of the session.

use super::{NewPassword, Query, Session, Trouble};
use crate::chat::command::{Command, RemoveDevice, SetPassword, Speaker};
use crate::chat::ids::{ChangeId, DeviceId};
use crate::chat::refusal::Refusal;
use crate::chat::state::{Device, State};
use crate::limits;
use crate::wire::message::{ChangePassword, DeviceInfo, ServerMsg};
use std::cmp::Reverse;
use std::time::{Duration, Instant};

/// A change that has no outcome after this time is submitted again.
const RESUBMIT: Duration = Duration::from_secs(1);
/// The client is told that it may try again after this time, before it does so by itself.
const PATIENCE: Duration = Duration::from_secs(8);

/// A change on its way through the log.
#[derive(Debug)]
pub(super) struct Change {
    request: u32,
    command: Command,
    /// When it is submitted again.
    again: Instant,
    until: Instant,
}

impl Session {
    pub(super) fn on_devices(&mut self, request: u32) {
        if request == 0 {
            return self.reject("a request has a number from 1");
        }
        let Some(own) = self.account.clone() else { return };
        let mut devices: Vec<DeviceInfo> = self.setup.state.read(|r| {
            let info = |known: &Device| DeviceInfo {
                id: known.row.id,
                added_at_ms: known.row.added_at_ms,
                seen_at_ms: known.row.seen_at_ms,
                revoked: known.row.revoked,
                own: known.row.id == own.device,
            };
            r.state.devices_of(own.user).map(info).collect()
        });
        devices.sort_by_key(|d| (d.revoked, Reverse(d.seen_at_ms), d.id));
        devices.truncate(limits::DEVICES_TOLD);
        self.send(ServerMsg::Devices { request, devices });
    }

    pub(super) fn on_revoke(&mut self, request: u32, device: DeviceId, now: Instant) {
        if !self.admit(request) {
            return;
        }
        let Some(own) = self.account.clone() else { return };
        let change = ChangeId(self.unique());
        let by = Speaker { device: own.device, epoch: own.epoch };
        let command = RemoveDevice { user: own.user, device, by, change };
        self.propose_change(request, change, Command::RemoveDevice(command), now);
    }

    pub(super) fn on_change_password(&mut self, wanted: ChangePassword) {
        let fits = |password: &String| (1..=limits::PASSWORD_BYTES).contains(&password.len());
        if !(fits(&wanted.old) && fits(&wanted.new)) {
            let text = format!("a password has 1 to {} bytes", limits::PASSWORD_BYTES);
            return self.refuse(wanted.request, Refusal::BadCredentials, text);
        }
        if !self.admit(wanted.request) {
            return;
        }
        let Some(user) = self.account.as_ref().map(|account| account.user) else { return };
        self.ask(Query::NewPassword { user, wanted });
    }

    pub(super) fn on_new_password(
        &mut self,
        request: u32,
        keep_devices: bool,
        result: Result<NewPassword, Trouble>,
        now: Instant,
    ) {
        let Some(own) = self.account.clone() else { return };
        let (passwords, password_hash) = match result {
            Ok(NewPassword::Hashed { passwords, password_hash }) => (passwords, password_hash),
            Ok(NewPassword::There) => return self.settle(request, Ok(())),
            Ok(NewPassword::Wrong) => return self.settle(request, Err(Refusal::BadCredentials)),
            Err(_) => return self.settle(request, Err(Refusal::Overloaded)),
        };
        let change = ChangeId(self.unique());
        let by = Speaker { device: own.device, epoch: own.epoch };
        let user = own.user;
        let command = SetPassword { user, by, passwords, password_hash, keep_devices, change };
        self.propose_change(request, change, Command::SetPassword(command), now);
    }

    fn propose_change(&mut self, request: u32, id: ChangeId, command: Command, now: Instant) {
        self.out.push(super::Output::Submit(command.clone()));
        let (again, until) = (now + RESUBMIT, now + PATIENCE);
        self.changes.insert(id, Change { request, command, again, until });
    }

    pub(super) fn on_changed(&mut self, id: ChangeId, result: Result<(), Refusal>) {
        if let Some(change) = self.changes.remove(&id) {
            self.settle(change.request, result);
        }
    }

    fn settle(&mut self, request: u32, result: Result<(), Refusal>) {
        self.requests = self.requests.saturating_sub(1);
        match result {
            Ok(()) => self.send(ServerMsg::Done { request }),
            Err(refusal) => self.refuse(request, refusal, ""),
        }
    }

    /// Where events were lost, the state shows what is done.
    pub(super) fn look_for_changes(&mut self) {
        let shows = |state: &State, command: &Command| match command {
            Command::RemoveDevice(r) => state.device(r.device).is_some_and(|d| d.row.revoked),
            Command::SetPassword(s) => {
                state.user(s.user).is_some_and(|user| user.password_hash == s.password_hash)
            }
            _ => false,
        };
        let open = self.changes.iter();
        let done: Vec<ChangeId> = self.setup.state.read(|r| {
            open.filter(|(_, c)| shows(&r.state, &c.command)).map(|(id, _)| *id).collect()
        });
        done.into_iter().for_each(|id| self.on_changed(id, Ok(())));
    }

    /// Submits again what may have been lost, and gives up what has waited too long.
    pub(super) fn submit_changes(&mut self, now: Instant) {
        let late = self.changes.iter().filter(|(_, change)| now >= change.until);
        let late: Vec<ChangeId> = late.map(|(id, _)| *id).collect();
        late.into_iter().for_each(|id| self.on_changed(id, Err(Refusal::Overloaded)));
        for change in self.changes.values_mut().filter(|change| now >= change.again) {
            change.again = now + RESUBMIT;
            self.out.push(super::Output::Submit(change.command.clone()));
        }
    }

    /// Raft did not take them, or may have lost them.
    pub(super) fn submit_changes_at(&mut self, at: Instant) {
        self.changes.values_mut().for_each(|change| change.again = at);
    }

    pub(super) fn changes_tick(&self) -> Option<Instant> {
        self.changes.values().map(|change| change.again.min(change.until)).min()
    }
}
