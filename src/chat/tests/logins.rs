//! Logins: each one fences the one before, whatever is repeated and however late it comes.

use super::founded;
use crate::chat::command::{AddDevice, Attach, Command, Send, Target};
use crate::chat::event::{Event, Outcome};
use crate::chat::ids::LoginId;
use crate::chat::message::Body;
use crate::chat::refusal::Refusal;
use crate::chat::scripts::{device, user};
use crate::chat::state::State;
use bytes::Bytes;

fn login(n: u8) -> LoginId {
    LoginId([n; 16])
}

/// A login of alice's device with this token, proposed when it had this epoch.
fn attach(token: u8, session: u8, after: u64) -> Command {
    let token_hash = [token; 32];
    Command::Attach(Attach { device: device(1), token_hash, session: login(session), after })
}

fn start() -> State {
    let mut state = State::default();
    let (at_ms, commands) = founded();
    state.apply(at_ms, &commands);
    state
}

fn epochs(events: &[Event]) -> Vec<u64> {
    let epoch = |event: &Event| match event {
        Event::Attached { epoch, .. } => Some(*epoch),
        _ => None,
    };
    events.iter().filter_map(epoch).collect()
}

fn send(epoch: u64, first_number: u64) -> Command {
    let (device, group, confirmed, to) = (device(1), 0, 0, Target::User(user(2)));
    let bodies = vec![Body::text("hi")];
    Command::Send(Send { device, epoch, group, first_number, confirmed, to, bodies })
}

#[test]
fn each_login_raises_the_epoch_and_a_repeat_does_not() {
    let mut state = start();
    assert_eq!(state.device(device(1)).unwrap().row.epoch, 1, "registering is a login");
    let events = state.apply(0, &[attach(1, 50, 1), attach(1, 50, 1), attach(1, 51, 2)]).events;
    assert_eq!(epochs(&events), [2, 2, 3]);
    let row = &state.device(device(1)).unwrap().row;
    assert_eq!((row.session, row.seen_at_ms), (login(51), state.meta().last_at_ms));
    // What the registration and a login with the password proposed comes once more, too late.
    let (_, founding) = founded();
    let late = state.apply(0, &founding[1..2]).events;
    assert!(epochs(&late).is_empty(), "{late:?}");
    let add = Command::AddDevice(AddDevice {
        user: user(1),
        device: device(1),
        token_hash: [9; 32],
        device_key: Bytes::new(),
        session: login(60),
        after: 3,
        passwords: 0,
    });
    let events = state.apply(0, &[add.clone(), attach(9, 61, 4), add]).events;
    assert_eq!(epochs(&events), [4, 5], "the later login stands");
}

#[test]
fn a_login_needs_the_token_that_the_device_has_when_it_is_applied() {
    let mut state = start();
    let before = state.device(device(1)).cloned();
    let events = state.apply(0, &[attach(7, 50, 1)]).events;
    let (device, session) = (device(1), login(50));
    let refusal = Refusal::BadCredentials;
    assert_eq!(events, [Event::DeviceRefused { device, session, refusal }]);
    assert_eq!(state.device(device).cloned(), before);
}

#[test]
fn what_a_fenced_session_sent_changes_nothing_and_has_no_outcome() {
    let mut state = start();
    assert_eq!(state.apply(0, &[send(1, 1), attach(1, 50, 1)]).events.len(), 4);
    let before = state.clone();
    for late in [send(1, 2), send(1, 1), send(3, 2)] {
        assert_eq!(state.apply(0, &[late]).events, []);
    }
    assert_eq!(state.sent(device(1), 0), before.sent(device(1), 0));
    let room = state.direct(user(1), user(2)).unwrap();
    assert_eq!(state.conversation(room), before.conversation(room));
    // The new session sends it again under the same number.
    let events = state.apply(0, &[send(2, 2)]).events;
    assert!(
        matches!(
            &events[0],
            Event::Outcome {
                first_number: 2,
                outcome: Outcome::Committed { first_seq: 2, .. },
                ..
            }
        ),
        "{events:?}"
    );
    let events = state.apply(0, &[send(0, 3)]).events;
    assert!(matches!(&events[0], Event::Outcome { .. }), "written before there were epochs");
}

#[test]
fn a_login_that_comes_late_takes_the_device_from_nobody() {
    let mut state = start();
    state.apply(0, &[attach(1, 50, 1)]);
    let (device, refusal) = (device(1), Refusal::Overtaken);
    // Proposed before that one, as by a server that was cut off meanwhile.
    let late = Command::AddDevice(AddDevice {
        user: user(1),
        device,
        token_hash: [9; 32],
        device_key: Bytes::new(),
        session: login(60),
        after: 1,
        passwords: 0,
    });
    let events = state.apply(0, &[attach(1, 49, 1), late]).events;
    let refused = |session| Event::DeviceRefused { device, session: login(session), refusal };
    assert_eq!(events, [refused(49), refused(60)]);
    let row = &state.device(device).unwrap().row;
    assert_eq!((row.epoch, row.token_hash), (2, [1; 32]), "its token is the old one too");
    // Whoever still wants it proposes it anew.
    assert_eq!(epochs(&state.apply(0, &[attach(1, 49, 2)]).events), [3]);
}
