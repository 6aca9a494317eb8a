//! Guests of this cluster, who only pass through, and users of this cluster who are guests
//! elsewhere: what their connections may be used for.

use super::door::{hello, server};
use super::world::Server;
use crate::chat::command::{AddDevice, Command};
use crate::chat::ids::{ClusterId, DeviceId, LoginId, UserId};
use crate::chat::refusal::Refusal;
use crate::client::key::DeviceKey;
use crate::server::placement::Place;
use crate::server::session::{Answer, Other, Output, Query, Session};
use crate::wire::message::{
    Challenge, ClientMsg, ClusterState, Credentials, Hello, Purpose, ServerAddress, ServerMsg,
};
use bytes::Bytes;
use std::time::Instant;

const CLUSTER: ClusterId = ClusterId([7; 16]);
const ALICE: UserId = UserId { cluster: CLUSTER, number: 1 };
const DEVICE: DeviceId = DeviceId([1; 16]);

fn session(server: &Server) -> Session {
    let cluster = ClusterState { leader: Some(1), term: 1, live: 1, voters: 1 };
    Session::new(server.setup(1), cluster, [9; 32], Instant::now())
}

fn said(session: &mut Session, message: ClientMsg) -> Vec<Output> {
    session.on_frame(message, Instant::now());
    session.outputs()
}

fn refused(outputs: &[Output]) -> Option<Refusal> {
    outputs.iter().find_map(|output| match output {
        Output::Send(ServerMsg::Refused { refusal, .. }) => Some(*refusal),
        _ => None,
    })
}

/// Alice, whose device has a key, and Bob, whose device has none.
fn with_a_key(key: &DeviceKey) -> Server {
    server(vec![Command::AddDevice(AddDevice {
        user: ALICE,
        device: DEVICE,
        token_hash: *blake3::hash(&[1; 32]).as_bytes(),
        device_key: Bytes::copy_from_slice(&key.public()),
        session: LoginId([8; 16]),
        after: 1,
        passwords: 0,
    })])
}

/// A connection that another cluster carries for a user, once it was greeted.
fn carried(server: &Server, user: UserId, device: u8) -> (Session, Challenge) {
    let mut session = session(server).carried_for(Some(user));
    let asked = said(&mut session, ClientMsg::Hello(Hello { placed: false, ..hello(device) }));
    assert_eq!(asked, [Output::Ask(Query::Place { placed: true })], "it stays here");
    session.on_answer(Answer::Place(Place::Here, None), Instant::now());
    match &session.outputs()[..] {
        [Output::Send(ServerMsg::Welcome(welcome))] => (session, welcome.challenge),
        other => panic!("{other:?}"),
    }
}

fn shown(name: &str, device: u8, signature: Bytes) -> ClientMsg {
    ClientMsg::Token { name: name.to_owned(), token: Bytes::from(vec![device; 32]), signature }
}

#[test]
fn who_is_carried_shows_a_token_of_a_device_with_a_key_and_nothing_else() {
    let key = DeviceKey::generate().unwrap();
    let server = with_a_key(&key);
    let credentials =
        Credentials { name: "alice".into(), password: "secret".into(), ..Default::default() };
    for message in [ClientMsg::Login(credentials.clone()), ClientMsg::Register(credentials)] {
        let outputs = said(&mut carried(&server, ALICE, 1).0, message);
        assert_eq!(refused(&outputs), Some(Refusal::Protocol), "no password is even looked at");
        assert!(outputs.contains(&Output::Close));
    }
    let (mut session, challenge) = carried(&server, ALICE, 1);
    let right = shown("alice", 1, key.sign(CLUSTER, DEVICE, &challenge));
    let outputs = said(&mut session, right);
    assert!(matches!(outputs.last(), Some(Output::Submit(Command::Attach(_)))), "{outputs:?}");
}

#[test]
fn who_is_carried_for_one_user_is_nobody_else() {
    let key = DeviceKey::generate().unwrap();
    let server = with_a_key(&key);
    let bob = UserId { number: 2, ..ALICE };
    // Alice's own device, on a way that was opened for Bob; and one without a key, on its own.
    for (user, name, device) in [(bob, "alice", 1), (bob, "bob", 2)] {
        let (mut session, challenge) = carried(&server, user, device);
        let signature = key.sign(CLUSTER, DEVICE, &challenge);
        let asked = said(&mut session, shown(name, device, signature));
        assert_eq!(asked, [Output::Ask(Query::Barrier)]);
        session.on_answer(Answer::Barrier(Ok(())), Instant::now());
        assert_eq!(refused(&session.outputs()), Some(Refusal::UnknownDevice), "{name}");
    }
}

#[test]
fn who_is_carried_only_chats_and_is_never_sent_on() {
    let server = server(Vec::new());
    for purpose in [Purpose::Where, Purpose::Status, Purpose::Link, Purpose::Visit] {
        let mut session = session(&server).carried_for(Some(ALICE));
        let outputs = said(&mut session, ClientMsg::Hello(Hello { purpose, ..hello(1) }));
        assert_eq!(refused(&outputs), Some(Refusal::Protocol), "{purpose:?}");
    }
    let mut session = session(&server).carried_for(Some(ALICE));
    said(&mut session, ClientMsg::Hello(hello(1)));
    session.on_answer(Answer::Place(Place::At(2), Some(ServerAddress::default())), Instant::now());
    let outputs = session.outputs();
    assert!(matches!(outputs[0], Output::Send(ServerMsg::GoAway { .. })), "{outputs:?}");
}

#[test]
fn a_guest_is_placed_like_anybody_and_then_handed_over() {
    let server = server(Vec::new());
    let guest = Hello {
        purpose: Purpose::Visit,
        device: None,
        placed: false,
        cluster: Some(ClusterId([8; 16])),
        ..hello(1)
    };
    let placed = |place, address| {
        let mut session = session(&server);
        let asked = said(&mut session, ClientMsg::Hello(guest.clone()));
        assert_eq!(asked, [Output::Ask(Query::Place { placed: false })]);
        session.on_answer(Answer::Place(place, address), Instant::now());
        session.outputs()
    };
    // Another cluster comes to any server, guests to one that has room.
    let mut link = session(&server);
    let outputs = said(&mut link, ClientMsg::Hello(Hello { purpose: Purpose::Link, ..hello(1) }));
    assert!(matches!(outputs[1], Output::HandOver { to: Other::Cluster, .. }), "{outputs:?}");
    // Even while nobody leads here: home may be well.
    for place in [Place::Here, Place::Nowhere] {
        let outputs = placed(place, None);
        let [Output::Send(ServerMsg::Welcome(welcome)), Output::HandOver { to, challenge }] =
            &outputs[..]
        else {
            panic!("{outputs:?}")
        };
        assert_eq!((*to, *challenge), (Other::Guest, welcome.challenge));
    }
    let other = ServerAddress { seat: 2, ..ServerAddress::default() };
    let outputs = placed(Place::At(2), Some(other.clone()));
    assert_eq!(outputs, [Output::Send(ServerMsg::Redirect(other)), Output::Close]);
}
