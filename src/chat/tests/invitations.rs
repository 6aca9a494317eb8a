//! Registration by invitation: each lets one user in, once, and not for ever.

use crate::chat::command::{Command, Register};
use crate::chat::event::Event;
use crate::chat::ids::LoginId;
use crate::chat::refusal::Refusal;
use crate::chat::scripts::{CLUSTER, device};
use crate::chat::state::State;
use crate::chat::write::{Invitation, Registration};
use crate::limits;
use bytes::Bytes;

fn register(number: u8, invite: Option<u8>) -> Command {
    Command::Register(Register {
        name: format!("user{number}"),
        password_hash: String::new(),
        device: device(number),
        token_hash: [number; 32],
        device_key: Bytes::new(),
        session: LoginId([number; 16]),
        invite: invite.map(|code| [code; 32]),
    })
}

fn invitation(code: u8, expires_at_ms: u64) -> Command {
    Command::Invite(Invitation { code_hash: [code; 32], expires_at_ms, used: false })
}

/// Nobody may register without an invitation; it is second 1.
fn start() -> State {
    let mut state = State::default();
    let found = Command::Found { cluster: CLUSTER, name: "west".to_owned() };
    state.apply(1_000, &[found, Command::SetRegistration(Registration::Invite)]);
    state
}

/// What became of a registration: the epoch, or why not.
fn result(state: &mut State, at_ms: u64, command: Command) -> Result<u64, Refusal> {
    match &state.apply(at_ms, &[command]).events[..] {
        [Event::Attached { epoch, .. }] => Ok(*epoch),
        [Event::DeviceRefused { refusal, .. }] => Err(*refusal),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_invitation_lets_one_user_in() {
    let mut state = start();
    assert_eq!(result(&mut state, 2_000, register(1, None)), Err(Refusal::InvitationNeeded));
    assert_eq!(result(&mut state, 2_000, register(1, Some(7))), Err(Refusal::InvitationInvalid));
    state.apply(2_000, &[invitation(7, 9_000), invitation(7, 9_000)]);
    assert_eq!(state.meta().invitations.len(), 1, "a repeat is no second one");
    assert_eq!(result(&mut state, 3_000, register(1, Some(7))), Ok(1));
    // A late copy of the command that made it does not make it again.
    state.apply(3_000, &[invitation(7, 9_000)]);
    assert_eq!(state.meta().invitations.iter().map(|i| i.used).collect::<Vec<_>>(), [true]);
    // The same once more, as after an answer that was lost; and somebody else with the code.
    assert_eq!(result(&mut state, 3_000, register(1, Some(7))), Ok(1));
    assert_eq!(result(&mut state, 3_000, register(2, Some(7))), Err(Refusal::InvitationInvalid));
}

#[test]
fn two_who_come_with_one_code_at_once_do_not_both_come_in() {
    let mut state = start();
    state.apply(2_000, &[invitation(7, 9_000)]);
    let events = state.apply(3_000, &[register(1, Some(7)), register(2, Some(7))]).events;
    assert!(matches!(
        &events[..],
        [Event::Attached { .. }, Event::DeviceRefused { refusal: Refusal::InvitationInvalid, .. }]
    ));
    assert_eq!(state.meta().last_user, 1);
}

#[test]
fn an_invitation_ends_by_the_time_of_the_log_and_there_are_not_too_many() {
    let mut state = start();
    state.apply(2_000, &[invitation(7, 3_000), invitation(8, 1_500)]);
    assert_eq!(state.meta().invitations.len(), 1, "one was over already");
    assert_eq!(result(&mut state, 3_000, register(1, Some(7))), Err(Refusal::InvitationInvalid));
    let many: Vec<_> = (0..100).map(|code| invitation(code, 9_000)).collect();
    state.apply(4_000, &many);
    assert_eq!(state.meta().invitations.len(), limits::INVITATIONS);
    assert_eq!(result(&mut state, 5_000, register(1, Some(90))), Err(Refusal::InvitationInvalid));
}

#[test]
fn a_refused_registration_uses_nothing_up_and_a_closed_door_stays_closed() {
    let mut state = start();
    state.apply(2_000, &[invitation(7, 9_000), invitation(8, 9_000)]);
    assert_eq!(result(&mut state, 2_000, register(1, Some(7))), Ok(1));
    let taken =
        Register { device: device(2), token_hash: [2; 32], ..as_register(register(1, Some(8))) };
    let taken = Command::Register(taken);
    assert_eq!(result(&mut state, 2_000, taken), Err(Refusal::NameTaken));
    assert_eq!(open(&state), 1);
    state.apply(3_000, &[Command::SetRegistration(Registration::Closed)]);
    assert_eq!(result(&mut state, 3_000, register(2, Some(8))), Err(Refusal::RegistrationClosed));
    state.apply(3_000, &[Command::SetRegistration(Registration::Open)]);
    assert_eq!(result(&mut state, 3_000, register(2, Some(8))), Ok(1));
    assert_eq!(open(&state), 1, "nobody needed it");
}

/// Invitations that nobody has used.
fn open(state: &State) -> usize {
    state.meta().invitations.iter().filter(|invitation| !invitation.used).count()
}

fn as_register(command: Command) -> Register {
    match command {
        Command::Register(register) => register,
        other => panic!("{other:?}"),
    }
}

#[test]
fn used_invitations_are_kept_until_they_expire_but_not_too_many() {
    let mut state = start();
    for n in 1..=u8::try_from(limits::INVITATIONS + 1).unwrap() {
        let expires = 9_000 + u64::from(n);
        state.apply(2_000, &[invitation(n, expires)]);
        assert_eq!(result(&mut state, 2_000, register(n, Some(n))), Ok(1));
    }
    let kept = &state.meta().invitations;
    assert_eq!(kept.len(), limits::INVITATIONS);
    assert!(kept.iter().all(|i| i.used && i.code_hash != [1; 32]), "the first to expire went");
    state.apply(10_000, &[]);
    assert_eq!(state.meta().invitations, []);
}
