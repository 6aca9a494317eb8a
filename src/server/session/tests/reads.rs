//! Who may read what: every question of a client, by everybody who may come to ask it.

use super::door::{let_in, register, server, welcomed};
use super::world::Server;
use crate::chat::command::{Command, Send, Target};
use crate::chat::ids::{ClusterId, ConversationId, DeviceId, UserId};
use crate::chat::message::Body;
use crate::chat::refusal::Refusal;
use crate::server::session::{Output, Query, Session};
use crate::wire::message::{ClientMsg, Cursor, Fetch, MarkEntry, ServerMsg};
use std::time::Instant;

const ROOM: ConversationId = ConversationId(1);

/// How far somebody has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// Welcomed, and not logged in.
    Unknown,
    /// Logged in, and not resumed.
    Entered,
    /// The user with this device (1 alice, 2 bob, 3 carol, who is in no conversation).
    Inside(u8),
}

/// What becomes of a question.
#[derive(Debug, PartialEq, Eq)]
enum Gets {
    /// The connection ends: the question breaks the protocol.
    TheDoor,
    /// A refusal.
    Refused(Refusal),
    /// What is asked for is looked up, as the user with this number.
    Page,
    Found(u64),
    /// These devices.
    Devices(Vec<u8>),
    /// The marks of the user with this number move.
    Moves(u64),
    /// Nothing.
    Nothing,
}

fn session(server: &Server, who: Who) -> Session {
    let device = if let Who::Inside(device) = who { device } else { 1 };
    let mut session = welcomed(server, device);
    if who == Who::Unknown {
        return session;
    }
    let_in(server, &mut session, device);
    if who == Who::Entered {
        return session;
    }
    let (cursor, have) = (Cursor::default(), Vec::new());
    session.on_frame(ClientMsg::Resume { cursor, have }, Instant::now());
    while session.go_on(Instant::now()) {}
    drop(session.outputs());
    session
}

fn gets(server: &Server, who: Who, message: ClientMsg) -> Gets {
    let mut session = session(server, who);
    session.on_frame(message, Instant::now());
    let outputs = session.outputs();
    if outputs.contains(&Output::Close) {
        return Gets::TheDoor;
    }
    match outputs.into_iter().next() {
        None => Gets::Nothing,
        Some(Output::Send(ServerMsg::Refused { request: 5, refusal, .. })) => {
            Gets::Refused(refusal)
        }
        Some(Output::Ask(Query::History(Fetch { conversation: ROOM, .. }))) => Gets::Page,
        Some(Output::Ask(Query::Lookup { user, .. })) => Gets::Found(user.number),
        Some(Output::Send(ServerMsg::Devices { devices, .. })) => {
            Gets::Devices(devices.iter().map(|device| device.id.0[0]).collect())
        }
        Some(Output::Marks(advances)) => Gets::Moves(advances[0].user.number),
        Some(other) => panic!("{other:?}"),
    }
}

/// Carol is in no conversation; alice has written to bob.
fn talk() -> Server {
    let bob = UserId { cluster: ClusterId([7; 16]), number: 2 };
    let send = Send {
        device: DeviceId([1; 16]),
        epoch: 1,
        group: 0,
        first_number: 1,
        confirmed: 0,
        to: Target::User(bob),
        bodies: vec![Body::text("for bob alone")],
    };
    server(vec![register("carol", 3), Command::Send(send)])
}

#[test]
fn everybody_reads_what_the_table_says_and_nothing_else() {
    let (server, request) = (talk(), 5);
    let fetch = |conversation, current| {
        ClientMsg::Fetch(Fetch { request, conversation, from: 1, to: 9, current })
    };
    let mark = |conversation, user| {
        ClientMsg::Mark(vec![MarkEntry { conversation, user, delivered: 1, read: 1 }])
    };
    let bob = Some(UserId { cluster: ClusterId([7; 16]), number: 2 });
    let lookup = ClientMsg::Lookup { request, name: "bob".to_owned() };
    let (alice, other, stranger) = (Who::Inside(1), Who::Inside(2), Who::Inside(3));
    let nowhere = Refusal::NoSuchConversation;
    let table = [
        (fetch(ROOM, false), [Gets::Page, Gets::Page, Gets::Refused(Refusal::NotMember)]),
        (fetch(ROOM, true), [Gets::Page, Gets::Page, Gets::Refused(Refusal::NotMember)]),
        (
            fetch(ConversationId(9), false),
            [Gets::Refused(nowhere), Gets::Refused(nowhere), Gets::Refused(nowhere)],
        ),
        (lookup, [Gets::Found(1), Gets::Found(2), Gets::Found(3)]),
        (
            ClientMsg::Devices { request },
            [Gets::Devices(vec![1]), Gets::Devices(vec![2]), Gets::Devices(vec![3])],
        ),
        // Alice wrote it, so she has read it.
        (mark(ROOM, None), [Gets::Nothing, Gets::Moves(2), Gets::Nothing]),
        (mark(ROOM, bob), [Gets::Nothing, Gets::Moves(2), Gets::Nothing]),
    ];
    for (message, wanted) in table {
        for who in [Who::Unknown, Who::Entered] {
            assert_eq!(gets(&server, who, message.clone()), Gets::TheDoor, "{who:?}: {message:?}");
        }
        for (who, wanted) in [alice, other, stranger].into_iter().zip(wanted) {
            assert_eq!(gets(&server, who, message.clone()), wanted, "{who:?}: {message:?}");
        }
    }
}

/// Conversations are told, and messages pushed, to their members alone.
#[test]
fn a_stranger_is_told_of_nothing() {
    let server = talk();
    let conversations = |device: u8| {
        let mut session = welcomed(&server, device);
        let_in(&server, &mut session, device);
        let (cursor, have) = (Cursor::default(), Vec::new());
        session.on_frame(ClientMsg::Resume { cursor, have }, Instant::now());
        while session.go_on(Instant::now()) {}
        let outputs = session.outputs();
        let told = outputs.iter().filter(|output| {
            matches!(
                output,
                Output::Send(ServerMsg::Conversations(_)) | Output::Ask(Query::Page(_))
            )
        });
        told.count()
    };
    assert_eq!((conversations(1), conversations(2), conversations(3)), (1, 2, 0));
}
