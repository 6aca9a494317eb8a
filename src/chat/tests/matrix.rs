//! Who may do what: every command, by everybody who may come to propose it. Whatever a server
//! checks before, apply has the last word, and this is it.

use super::founded;
use crate::chat::command::{
    AddDevice, Advance, Attach, Command, Hear, Import, Register, RemoveDevice, Send, SetPassword,
    Speaker, Target,
};
use crate::chat::event::{Event, Outcome};
use crate::chat::ids::{ChangeId, ClusterId, ConversationId, DeviceId, LoginId, UserId};
use crate::chat::message::Body;
use crate::chat::refusal::Refusal::{
    self, DeviceTaken, NoSuchDevice, NotMember, Overtaken, UnknownDevice,
};
use crate::chat::scripts::{CLUSTER, device, user};
use crate::chat::state::{FORMAT, State};
use crate::chat::write::{Invitation, Registration};
use bytes::Bytes;

/// Alice and Bob talk here.
const ROOM: ConversationId = ConversationId(1);

/// Another cluster.
const EAST: ClusterId = ClusterId([0xe1; 16]);

/// Somebody in whose name a command is proposed.
#[derive(Clone, Copy, Debug)]
struct Actor {
    user: UserId,
    device: DeviceId,
    epoch: u64,
    /// The token that is shown.
    token: [u8; 32],
}

/// The columns, in the order of [`expected`]: as Alice with a device that nobody knows; with one
/// that is revoked; with the session before her latest; Carol, who is not in the conversation;
/// Alice; Bob; and as Alice with a device of Carol's.
const COLUMNS: [&str; 7] = [
    "no such device",
    "revoked",
    "fenced",
    "stranger",
    "member",
    "other member",
    "another's device",
];

fn actors() -> [Actor; 7] {
    let actor = |who: u64, number: u8, epoch, token: u8| Actor {
        user: user(who),
        device: device(number),
        epoch,
        token: [token; 32],
    };
    [
        actor(1, 99, 1, 99),
        actor(1, 12, 1, 12),
        actor(1, 1, 1, 1),
        actor(3, 3, 1, 3),
        actor(1, 1, 2, 1),
        actor(2, 2, 1, 2),
        actor(1, 3, 1, 1),
    ]
}

/// What a command does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    /// It changes the state.
    It,
    /// It changes nothing and is not answered.
    Nothing,
    /// It is refused.
    Not(Refusal),
}

/// The rows: kinds of commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    Found,
    Register,
    AddDevice,
    Attach,
    RemoveDevice,
    SetPassword,
    SetRegistration,
    Invite,
    Send,
    Marks,
    SetFormat,
    Recover,
    Hear,
    Import,
}

/// The row after a row. It does not build where one is left out.
fn after(row: Row) -> Option<Row> {
    Some(match row {
        Row::Found => Row::Register,
        Row::Register => Row::AddDevice,
        Row::AddDevice => Row::Attach,
        Row::Attach => Row::RemoveDevice,
        Row::RemoveDevice => Row::SetPassword,
        Row::SetPassword => Row::SetRegistration,
        Row::SetRegistration => Row::Invite,
        Row::Invite => Row::Send,
        Row::Send => Row::Marks,
        Row::Marks => Row::SetFormat,
        Row::SetFormat => Row::Recover,
        Row::Recover => Row::Hear,
        Row::Hear => Row::Import,
        Row::Import => return None,
    })
}

/// The row of a command. It does not build where a command has none.
fn row(command: &Command) -> Row {
    match command {
        Command::Found { .. } => Row::Found,
        Command::Register(_) => Row::Register,
        Command::AddDevice(_) => Row::AddDevice,
        Command::Attach(_) => Row::Attach,
        Command::RemoveDevice(_) => Row::RemoveDevice,
        Command::SetPassword(_) => Row::SetPassword,
        Command::SetRegistration(_) => Row::SetRegistration,
        Command::Invite(_) => Row::Invite,
        Command::Send(_) => Row::Send,
        Command::Marks(_) => Row::Marks,
        Command::SetFormat(_) => Row::SetFormat,
        Command::Recover { .. } => Row::Recover,
        Command::Hear(_) => Row::Hear,
        // About a cluster that is not known.
        Command::Forget { .. }
        | Command::Trust(_)
        | Command::Distrust { .. }
        | Command::Resume { .. }
        | Command::StopLink { .. }
        | Command::Rewind { .. }
        | Command::Meet(_)
        | Command::Import(_) => Row::Import,
    }
}

/// The table.
fn expected(row: Row) -> [Does; 7] {
    use Does::{It, Not, Nothing};
    let all = |does| [does; 7];
    let (taken, unknown) = (Not(DeviceTaken), Not(UnknownDevice));
    match row {
        // Servers propose these; no client can make them do so.
        Row::Found | Row::SetFormat => all(Nothing),
        Row::Recover | Row::Hear => all(It),
        Row::Import => all(Nothing),
        // Operators propose these, on a server's own machine.
        Row::SetRegistration | Row::Invite => all(It),
        // With a name that is new, and the device of the actor.
        Row::Register => [It, taken, taken, taken, taken, taken, taken],
        // After the password was verified: that brings a revoked device back.
        Row::AddDevice => [It, It, Not(Overtaken), It, It, It, taken],
        Row::Attach => {
            let wrong = Not(Refusal::BadCredentials);
            [unknown, unknown, Not(Overtaken), It, It, It, wrong]
        }
        // Another device of Alice's.
        Row::RemoveDevice => {
            let other = Not(NoSuchDevice);
            [unknown, unknown, Nothing, other, It, other, unknown]
        }
        // Everybody their own.
        Row::SetPassword => [unknown, unknown, Nothing, It, It, It, unknown],
        // To the conversation of Alice and Bob.
        Row::Send => [unknown, Nothing, Nothing, Not(NotMember), It, It, Not(NotMember)],
        // Marks are a user's, not a device's, and only go forward; whose they are was the
        // session's to say, and a session that is over says nothing.
        Row::Marks => [It, It, It, Nothing, It, It, It],
    }
}

/// The command of a row, in the name of an actor.
fn command(row: Row, actor: Actor) -> Command {
    let Actor { user, device: own, epoch, token: token_hash } = actor;
    let (by, change) = (Speaker { device: own, epoch }, ChangeId([1; 16]));
    let (session, device_key) = (LoginId([200; 16]), Bytes::new());
    match row {
        Row::Found => Command::Found { cluster: CLUSTER, name: "east".to_owned() },
        Row::Register => {
            let (name, password_hash, invite) = ("dave".to_owned(), String::new(), None);
            let device = own;
            let token_hash = [50; 32];
            Command::Register(Register {
                name,
                password_hash,
                device,
                token_hash,
                device_key,
                session,
                invite,
            })
        }
        Row::AddDevice => Command::AddDevice(AddDevice {
            user,
            device: own,
            token_hash: [50; 32],
            device_key,
            session,
            // A revocation raised it too, and whoever shows the password has seen that.
            after: if own == device(12) { 2 } else { epoch },
            passwords: 0,
        }),
        Row::Attach => Command::Attach(Attach { device: own, token_hash, session, after: epoch }),
        Row::RemoveDevice => {
            Command::RemoveDevice(RemoveDevice { user, device: device(11), by, change })
        }
        Row::SetPassword => Command::SetPassword(SetPassword {
            user,
            by,
            passwords: 0,
            password_hash: "another".to_owned(),
            keep_devices: true,
            change,
        }),
        Row::SetRegistration => Command::SetRegistration(Registration::Closed),
        Row::Invite => {
            Command::Invite(Invitation { code_hash: [1; 32], expires_at_ms: u64::MAX, used: false })
        }
        Row::Send => Command::Send(Send {
            device: own,
            epoch,
            group: 0,
            first_number: if own == device(1) || own == device(2) { 2 } else { 1 },
            confirmed: 0,
            to: Target::Conversation(ROOM),
            bodies: vec![Body::text("hi")],
        }),
        Row::Marks => {
            Command::Marks(vec![Advance { user, conversation: ROOM, delivered: 2, read: 2 }])
        }
        Row::SetFormat => Command::SetFormat(FORMAT),
        Row::Hear => {
            let (name, address) = ("east".to_owned(), "127.0.0.1:7101".to_owned());
            Command::Hear(Hear { cluster: EAST, name, key: [1; 32], address })
        }
        Row::Import => {
            let (generation, first, before) = (1, 1, [0; 32]);
            Command::Import(Import { cluster: EAST, generation, first, before, items: vec![] })
        }
        Row::Recover => Command::Recover { generation: 2, skip: 1 },
    }
}

/// Alice (1) with devices 1, 11 and 12, which is revoked, Bob (2) and Carol (3). Alice and Bob
/// have written to each other; Alice has connected again.
fn state() -> State {
    let mut state = State::default();
    let (at_ms, commands) = founded();
    state.apply(at_ms, &commands);
    let add = |number: u8| {
        Command::AddDevice(AddDevice {
            user: user(1),
            device: device(number),
            token_hash: [number; 32],
            device_key: Bytes::new(),
            session: LoginId([100 + number; 16]),
            after: 0,
            passwords: 0,
        })
    };
    let say = |number: u8, to: u64| {
        let (group, first_number, confirmed, to) = (0, 1, 0, Target::User(user(to)));
        let (device, bodies) = (device(number), vec![Body::text("hello")]);
        Command::Send(Send { device, epoch: 1, group, first_number, confirmed, to, bodies })
    };
    let (by, change) = (Speaker { device: device(1), epoch: 1 }, ChangeId([9; 16]));
    let remove = RemoveDevice { user: user(1), device: device(12), by, change };
    let attach =
        Attach { device: device(1), token_hash: [1; 32], session: LoginId([60; 16]), after: 1 };
    state.apply(
        0,
        &[
            add(11),
            add(12),
            say(1, 2),
            say(2, 1),
            Command::RemoveDevice(remove),
            Command::Attach(attach),
        ],
    );
    assert_eq!(state.conversation(ROOM).unwrap().row.last_seq, 2);
    state
}

fn refusal(event: &Event) -> Option<Refusal> {
    match event {
        Event::DeviceRefused { refusal, .. }
        | Event::Outcome { outcome: Outcome::Refused(refusal), .. }
        | Event::Changed { result: Err(refusal), .. } => Some(*refusal),
        _ => None,
    }
}

fn does(command: &Command) -> Does {
    let mut state = state();
    let mut before = state.clone();
    let events = state.apply(0, std::slice::from_ref(command)).events;
    if let Some(refusal) = events.iter().find_map(refusal) {
        return Does::Not(refusal);
    }
    before.meta.last_at_ms = state.meta.last_at_ms;
    match (state == before, events.is_empty()) {
        (false, _) => Does::It,
        (true, true) => Does::Nothing,
        (true, false) => panic!("{command:?} changed nothing and was told: {events:?}"),
    }
}

#[test]
fn everybody_may_do_what_the_table_says_and_nothing_else() {
    let mut next = Some(Row::Found);
    let mut wrong = Vec::new();
    while let Some(current) = next {
        for ((actor, column), wanted) in actors().into_iter().zip(COLUMNS).zip(expected(current)) {
            let command = command(current, actor);
            assert_eq!(row(&command), current);
            let found = does(&command);
            if found != wanted {
                wrong.push(format!("{current:?} by {column}: {found:?}, not {wanted:?}"));
            }
        }
        next = after(current);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A refusal leaves no trace but what the sender must be able to ask for again.
#[test]
fn what_is_refused_changes_nothing_of_anybody_else() {
    let before = state();
    let carol = actors()[3];
    for row in [Row::RemoveDevice, Row::Send, Row::Marks] {
        let mut state = before.clone();
        state.apply(0, &[command(row, carol)]);
        assert_eq!(state.conversations, before.conversations, "{row:?}");
        assert_eq!(state.users, before.users, "{row:?}");
        let others = |state: &State| {
            let mut devices = state.devices.clone();
            devices.remove(&carol.device);
            devices
        };
        assert_eq!(others(&state), others(&before), "{row:?}");
    }
}
