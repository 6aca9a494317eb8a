//! Devices that are revoked and passwords that are changed.

use super::founded;
use crate::chat::command::{AddDevice, Attach, Command, RemoveDevice, SetPassword, Speaker};
use crate::chat::event::Event;
use crate::chat::ids::{ChangeId, LoginId};
use crate::chat::refusal::Refusal;
use crate::chat::scripts::{device, user};
use crate::chat::state::State;
use bytes::Bytes;

const CHANGE: ChangeId = ChangeId([5; 16]);

fn by(number: u8, epoch: u64) -> Speaker {
    Speaker { device: device(number), epoch }
}

fn add(owner: u64, number: u8, passwords: u64, after: u64) -> Command {
    Command::AddDevice(AddDevice {
        user: user(owner),
        device: device(number),
        token_hash: [number; 32],
        device_key: Bytes::new(),
        session: LoginId([100 + number; 16]),
        after,
        passwords,
    })
}

fn remove(number: u8, by: Speaker) -> Command {
    let (user, device) = (user(1), device(number));
    Command::RemoveDevice(RemoveDevice { user, device, by, change: CHANGE })
}

fn set(hash: &str, passwords: u64, keep_devices: bool) -> Command {
    let (password_hash, change) = (hash.to_owned(), CHANGE);
    let (user, by) = (user(1), by(1, 1));
    let set = SetPassword { user, by, passwords, password_hash, keep_devices, change };
    Command::SetPassword(set)
}

fn revoked(events: &[Event]) -> Vec<(u8, u64)> {
    let one = |event: &Event| match event {
        Event::Revoked { device, epoch } => Some((device.0[0], *epoch)),
        _ => None,
    };
    events.iter().filter_map(one).collect()
}

fn result(events: &[Event]) -> Option<Result<(), Refusal>> {
    events.iter().find_map(|event| match event {
        Event::Changed { result, .. } => Some(*result),
        _ => None,
    })
}

/// Alice with devices 1, 11 and 12.
fn start() -> State {
    let mut state = State::default();
    let (at_ms, commands) = founded();
    state.apply(at_ms, &commands);
    state.apply(0, &[add(1, 11, 0, 0), add(1, 12, 0, 0)]);
    state
}

#[test]
fn a_revoked_device_comes_back_with_the_password_alone_and_goes_on_counting() {
    let mut state = start();
    let events = state.apply(0, &[remove(11, by(1, 1))]).events;
    assert_eq!((result(&events), revoked(&events)), (Some(Ok(())), vec![(11, 2)]));
    let row = state.device(device(11)).unwrap().row.clone();
    assert_eq!((row.token_hash, row.revoked), ([0; 32], true));
    // Again: the same answer, and nobody is told twice.
    let events = state.apply(0, &[remove(11, by(1, 1))]).events;
    assert_eq!((result(&events), revoked(&events)), (Some(Ok(())), vec![]));
    let token = |token_hash| {
        let (device, session, after) = (device(11), LoginId([77; 16]), 2);
        Command::Attach(Attach { device, token_hash, session, after })
    };
    for hash in [[11; 32], [0; 32]] {
        let events = state.apply(0, &[token(hash)]).events;
        let refused = Event::DeviceRefused {
            device: device(11),
            session: LoginId([77; 16]),
            refusal: Refusal::UnknownDevice,
        };
        assert_eq!(events, [refused]);
    }
    let events = state.apply(0, &[add(1, 11, 0, 2)]).events;
    assert!(matches!(&events[..], [Event::Attached { epoch: 3, .. }]), "{events:?}");
    assert!(!state.device(device(11)).unwrap().row.revoked);
}

#[test]
fn another_password_revokes_all_other_devices_unless_they_are_kept() {
    let mut state = start();
    let events = state.apply(0, &[set("kept", 0, true)]).events;
    assert_eq!((result(&events), revoked(&events)), (Some(Ok(())), vec![]));
    let events = state.apply(0, &[set("new", 1, false)]).events;
    assert_eq!((result(&events), revoked(&events)), (Some(Ok(())), vec![(11, 2), (12, 2)]));
    assert!(!state.device(device(1)).unwrap().row.revoked, "the one that asked stays");
    assert!(!state.device(device(2)).unwrap().row.revoked, "bob's");
    assert_eq!(state.user(user(1)).unwrap().password_hash, "new");
    // Once more, after a device came back with the new password: it stays.
    state.apply(0, &[add(1, 11, 2, 2)]);
    let events = state.apply(0, &[set("new", 1, false)]).events;
    assert_eq!((result(&events), revoked(&events)), (Some(Ok(())), vec![]));
}

#[test]
fn a_password_that_was_changed_meanwhile_proves_nothing() {
    let mut state = start();
    state.apply(0, &[set("new", 0, false)]);
    let before = state.clone();
    // Both were verified against the old one.
    let events = state.apply(0, &[set("other", 0, false), add(1, 13, 0, 0)]).events;
    assert_eq!(result(&events), Some(Err(Refusal::BadCredentials)));
    assert!(matches!(&events[1], Event::DeviceRefused { refusal: Refusal::BadCredentials, .. }));
    assert_eq!((state.users, state.devices), (before.users, before.devices));
}
