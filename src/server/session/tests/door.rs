//! The way in: what is refused, what is repeated, and that only what is unread comes.

use super::world::{Server, block_on};
use crate::chat::command::{AddDevice, Advance, Attach, Command, Register, Send, Target};
use crate::chat::event::Event;
use crate::chat::ids::{ClusterId, ConversationId, DeviceId, LoginId, UserId};
use crate::chat::message::Body;
use crate::chat::refusal::Refusal;
use crate::client::key::DeviceKey;
use crate::limits;
use crate::server::hub::{Delivery, Note};
use crate::server::placement::Place;
use crate::server::queries;
use crate::server::session::{Answer, Other, Output, Proven, Query, Session, Trouble};
use crate::wire::client::decode_server;
use crate::wire::message::{
    Challenge, ClientMsg, ClusterState, Credentials, Cursor, Hello, Purpose, SendRun,
    ServerAddress, ServerMsg,
};
use bytes::Bytes;
use std::time::{Duration, Instant};

const CLUSTER: ClusterId = ClusterId([7; 16]);
const ALICE: DeviceId = DeviceId([1; 16]);
const BOB: UserId = UserId { cluster: CLUSTER, number: 2 };

pub fn register(name: &str, device: u8) -> Command {
    Command::Register(Register {
        name: name.to_owned(),
        password_hash: "hash".to_owned(),
        device: DeviceId([device; 16]),
        token_hash: *blake3::hash(&[device; 32]).as_bytes(),
        device_key: Bytes::new(),
        session: LoginId([device; 16]),
        invite: None,
    })
}

/// Alice and Bob, and what else the log says.
pub fn server(more: Vec<Command>) -> Server {
    let mut server = Server::new(1);
    let found = Command::Found { cluster: CLUSTER, name: "west".to_owned() };
    let mut log = vec![vec![found], vec![register("alice", 1), register("bob", 2)]];
    log.extend(more.into_iter().map(|command| vec![command]));
    while server.apply(&log) {}
    server
}

pub fn hello(device: u8) -> Hello {
    Hello {
        min: 1,
        max: 1,
        features: 0,
        purpose: Purpose::Chat,
        device: Some(DeviceId([device; 16])),
        placed: true,
        cluster: None,
        events_after: None,
    }
}

fn session(server: &Server) -> Session {
    let cluster = ClusterState { leader: Some(1), term: 1, live: 1, voters: 1 };
    Session::new(server.setup(1), cluster, [9; 32], Instant::now())
}

fn said(session: &mut Session, message: ClientMsg) -> Vec<Output> {
    session.on_frame(message, Instant::now());
    session.outputs()
}

pub fn welcomed(server: &Server, device: u8) -> Session {
    let mut session = session(server);
    let asked = said(&mut session, ClientMsg::Hello(hello(device)));
    assert_eq!(asked, [Output::Ask(Query::Place { placed: true })]);
    session.on_answer(Answer::Place(Place::Here, None), Instant::now());
    assert!(matches!(&session.outputs()[..], [Output::Send(ServerMsg::Welcome(_))]));
    session
}

fn credentials(name: &str) -> Credentials {
    let (name, password) = (name.to_owned(), "secret".to_owned());
    Credentials { name, password, ..Credentials::default() }
}

fn shown(name: &str, token: Bytes) -> ClientMsg {
    ClientMsg::Token { name: name.to_owned(), token, signature: Bytes::new() }
}

fn refusal(outputs: &[Output]) -> Option<(Refusal, bool)> {
    outputs.iter().find_map(|output| match output {
        Output::Send(ServerMsg::Refused { refusal, .. }) => {
            Some((*refusal, outputs.contains(&Output::Close)))
        }
        _ => None,
    })
}

#[test]
fn a_hello_that_does_not_fit_is_refused() {
    let server = server(Vec::new());
    let cases = [
        (Hello { min: 2, max: 3, ..hello(1) }, Refusal::Version),
        (Hello { cluster: Some(ClusterId([8; 16])), ..hello(1) }, Refusal::WrongCluster),
        (Hello { device: None, ..hello(1) }, Refusal::Protocol),
    ];
    for (hello, wanted) in cases {
        let outputs = said(&mut session(&server), ClientMsg::Hello(hello.clone()));
        assert_eq!(refusal(&outputs), Some((wanted, true)), "{hello:?}");
    }
    let early = said(&mut session(&server), ClientMsg::Login(credentials("alice")));
    assert_eq!(refusal(&early), Some((Refusal::Protocol, true)));
}

/// Another cluster is told who this is and what to sign; what follows is not the session's.
#[test]
fn another_cluster_is_handed_over() {
    let server = server(Vec::new());
    let mut session = session(&server);
    let outputs =
        said(&mut session, ClientMsg::Hello(Hello { purpose: Purpose::Link, ..hello(1) }));
    let Output::Send(ServerMsg::Welcome(welcome)) = &outputs[0] else { panic!("{outputs:?}") };
    let handed = Output::HandOver { to: Other::Cluster, challenge: welcome.challenge };
    assert_eq!(outputs[1..], [handed]);
    assert!(session.is_closed());
}

#[test]
fn a_client_is_sent_to_its_place() {
    let server = server(Vec::new());
    let mut session = session(&server);
    let asked = said(&mut session, ClientMsg::Hello(Hello { placed: false, ..hello(1) }));
    assert_eq!(asked, [Output::Ask(Query::Place { placed: false })]);
    let address = ServerAddress { seat: 2, host: "there".to_owned(), client: 1, peer: 2 };
    session.on_answer(Answer::Place(Place::At(2), Some(address.clone())), Instant::now());
    let redirect = Output::Send(ServerMsg::Redirect(address));
    assert_eq!(session.outputs(), [redirect, Output::Close]);
}

#[test]
fn wrong_password_and_unknown_user_get_one_answer() {
    let server = server(Vec::new());
    let mut answers = Vec::new();
    for name in ["alice", "nobody"] {
        let mut session = welcomed(&server, 1);
        let asked = said(&mut session, ClientMsg::Login(credentials(name)));
        assert!(matches!(&asked[..], [Output::Ask(Query::Verify { .. })]), "{name}: {asked:?}");
        session.on_answer(Answer::Verified(Ok(None)), Instant::now());
        answers.push(session.outputs());
    }
    assert_eq!(answers[0], answers[1]);
    assert_eq!(refusal(&answers[0]), Some((Refusal::BadCredentials, false)));
}

#[test]
fn a_registration_whose_answer_was_lost_becomes_a_login() {
    let server = server(Vec::new());
    // Another device: the name is taken.
    let outputs = said(&mut welcomed(&server, 9), ClientMsg::Register(credentials("alice")));
    assert_eq!(refusal(&outputs), Some((Refusal::NameTaken, false)));
    // The very device: it must know the password.
    let mut session = welcomed(&server, 1);
    let asked = said(&mut session, ClientMsg::Register(credentials("alice")));
    assert!(matches!(&asked[..], [Output::Ask(Query::Verify { .. })]), "{asked:?}");
    session.on_answer(Answer::Verified(Ok(None)), Instant::now());
    assert_eq!(refusal(&session.outputs()), Some((Refusal::NameTaken, false)));
    said(&mut session, ClientMsg::Register(credentials("alice")));
    let alice = UserId { number: 1, ..BOB };
    let proven = Proven { user: alice, passwords: 0, token: [3; 32] };
    session.on_answer(Answer::Verified(Ok(Some(proven))), Instant::now());
    let outputs = session.outputs();
    let proposed = outputs.iter().any(|o| matches!(o, Output::Submit(Command::AddDevice(_))));
    assert!(proposed, "{outputs:?}");
}

#[test]
fn a_login_that_takes_too_long_or_cannot_be_decided_ends() {
    let server = server(Vec::new());
    let mut session = welcomed(&server, 1);
    assert!(session.next_tick().unwrap() <= Instant::now() + limits::LOGIN_TIME);
    session.on_tick(Instant::now() + limits::LOGIN_TIME);
    assert!(session.is_closed());
    let mut session = welcomed(&server, 1);
    said(&mut session, ClientMsg::Login(credentials("alice")));
    session.on_answer(Answer::Verified(Err(Trouble::NoQuorum)), Instant::now());
    assert!(session.is_closed());
    let mut session = welcomed(&server, 1);
    said(&mut session, ClientMsg::Login(credentials("alice")));
    session.on_answer(Answer::Verified(Err(Trouble::Busy(70))), Instant::now());
    assert_eq!(session.outputs(), [Output::Send(ServerMsg::Busy { retry_after_ms: 70 })]);
    assert!(!session.is_closed());
}

#[test]
fn a_lost_registration_is_submitted_again_until_the_state_shows_it() {
    let server = server(Vec::new());
    let mut session = welcomed(&server, 5);
    said(&mut session, ClientMsg::Register(credentials("eve")));
    let hashed = Answer::Hashed(Ok(("hash".to_owned(), [5; 32])));
    session.on_answer(hashed, Instant::now());
    let is_register = |o: &Output| matches!(o, Output::Submit(Command::Register(_)));
    assert_eq!(session.outputs().iter().filter(|o| is_register(o)).count(), 1);
    let later = Instant::now() + Duration::from_secs(2);
    session.on_tick(later);
    assert_eq!(session.outputs().iter().filter(|o| is_register(o)).count(), 1);
    session.on_tick(later + Duration::from_secs(1));
    let outputs = applied(&server, &mut session);
    let known = |o: &Output| matches!(o, Output::Send(ServerMsg::Authenticated { .. }));
    assert!(outputs.iter().any(known) && session.is_known(), "{outputs:?}");
}

/// Applies what the session proposed, whose event is lost, and gives what it says then.
pub fn applied(server: &Server, session: &mut Session) -> Vec<Output> {
    for output in session.outputs() {
        if let Output::Submit(command) = output {
            server.state.write(|r| r.state.apply(9, &[command]));
        }
    }
    session.on_behind(Instant::now());
    session.outputs()
}

/// Lets one of the two in, by the token.
pub fn let_in(server: &Server, session: &mut Session, device: u8) {
    let token = Bytes::from(vec![device; 32]);
    let name = ["alice", "bob", "carol"][usize::from(device) - 1];
    session.on_frame(shown(name, token), Instant::now());
    let outputs = applied(server, session);
    let known = |o: &Output| matches!(o, Output::Send(ServerMsg::Authenticated { .. }));
    assert!(outputs.iter().any(known), "{outputs:?}");
}

/// Resumes as one of the two and returns the seqs of every pushed frame.
fn pushed(server: &Server, device: u8, have: Vec<(ConversationId, u64)>) -> Vec<Vec<u64>> {
    let mut session = welcomed(server, device);
    let_in(server, &mut session, device);
    let cursor = Cursor { cluster: CLUSTER, generation: 1, positions: Vec::new() };
    let mut todo = said(&mut session, ClientMsg::Resume { cursor, have });
    let mut frames = Vec::new();
    loop {
        while let Some(output) = todo.pop() {
            match output {
                Output::Ask(Query::Page(wanted)) => {
                    let at = wanted.conversation;
                    let page = block_on(queries::page(&*server.store, wanted)).unwrap();
                    session.on_answer(Answer::Page(at, Ok(page)), Instant::now());
                }
                Output::Encoded(bytes) => match decode_server(bytes).unwrap() {
                    ServerMsg::Push { runs, .. } => {
                        let seqs = runs.iter().flat_map(|r| r.first_seq..=r.last_seq());
                        frames.push(seqs.collect());
                    }
                    other => panic!("{other:?}"),
                },
                _ => {}
            }
            todo.splice(0..0, session.outputs().into_iter().rev());
        }
        let more = session.go_on(Instant::now());
        todo = session.outputs();
        todo.reverse();
        if !more && todo.is_empty() {
            return frames;
        }
    }
}

#[test]
fn the_unread_come_and_not_the_history() {
    let room = ConversationId(1);
    let read = |read| {
        Command::Marks(vec![Advance { user: BOB, conversation: room, delivered: 100, read }])
    };
    let mut log: Vec<Command> = (0..10).map(|k| sent(run(10 * k + 1, 10))).collect();
    log.push(read(74));
    let server = server(log);
    let all = |from: u64| -> Vec<Vec<u64>> {
        let entries = (from - 1) / 10..10;
        entries.map(|e| ((10 * e + 1).max(from)..=10 * e + 10).collect()).collect()
    };
    assert_eq!(pushed(&server, 2, Vec::new()), all(75), "a device that has nothing");
    assert_eq!(pushed(&server, 2, vec![(room, 88)]), all(89), "a device that has some");
    assert_eq!(pushed(&server, 2, vec![(room, 30)]), all(31), "a device that was away");
    assert_eq!(pushed(&server, 2, vec![(room, 100)]), Vec::<Vec<u64>>::new());
    assert_eq!(pushed(&server, 2, vec![(room, 1_000)]), Vec::<Vec<u64>>::new());
    assert_eq!(pushed(&server, 1, vec![(room, 63)]), all(64), "own ones that were not kept");
    assert_eq!(pushed(&server, 1, Vec::new()), Vec::<Vec<u64>>::new(), "who wrote has read");
}

/// A run of messages to bob.
fn run(first_number: u64, count: usize) -> SendRun {
    SendRun { group: 0, first_number, to: Target::User(BOB), bodies: vec![Body::text("x"); count] }
}

/// The same of alice's in the log.
fn sent(run: SendRun) -> Command {
    let SendRun { group, first_number, to, bodies } = run;
    Command::Send(Send { device: ALICE, epoch: 0, group, first_number, confirmed: 0, to, bodies })
}

/// A session that is ready for what its client sends.
fn ready(server: &Server, device: u8) -> Session {
    let mut session = welcomed(server, device);
    let_in(server, &mut session, device);
    let cursor = Cursor::default();
    said(&mut session, ClientMsg::Resume { cursor, have: Vec::new() });
    while session.go_on(Instant::now()) {}
    drop(session.outputs());
    session
}

/// Its client hears by its own messages, which come like those of others, that they are there.
#[test]
fn what_is_sent_again_and_known_leaves_the_window_free() {
    let window = limits::WINDOW_MESSAGES as usize;
    let entries = (1..=window as u64).step_by(limits::ENTRY_MESSAGES);
    let log = entries.map(|first| sent(run(first, limits::ENTRY_MESSAGES))).collect();
    let next = window as u64 + 1;
    let server = server(log);
    let mut session = ready(&server, 1);
    let submits = |outputs: &[Output]| outputs.iter().any(|o| matches!(o, Output::Submit(_)));
    let send = |runs| ClientMsg::Send { runs, confirmed: 0 };
    let outputs = said(&mut session, send(vec![run(1, window)]));
    assert!(!submits(&outputs), "it is known");
    assert!(outputs.iter().any(|o| matches!(o, Output::Ask(Query::Outcomes { .. }))), "looked up");
    let outputs = said(&mut session, send(vec![run(next, window)]));
    assert!(!session.is_closed() && submits(&outputs), "a whole window more");
    let outputs = said(&mut session, send(vec![run(next + window as u64, 1)]));
    assert_eq!(refusal(&outputs), Some((Refusal::Protocol, true)));
}

#[test]
fn more_than_the_window_is_refused() {
    let server = server(Vec::new());
    let mut session = ready(&server, 2);
    let window = limits::WINDOW_MESSAGES as usize;
    let send = |runs| ClientMsg::Send { runs, confirmed: 0 };
    said(&mut session, send(vec![run(1, window)]));
    assert!(!session.is_closed());
    said(&mut session, send(vec![run(1, 10)]));
    assert!(!session.is_closed(), "what is pending already does not count twice");
    let outputs = said(&mut session, send(vec![run(window as u64 + 1, 1)]));
    assert_eq!(refusal(&outputs), Some((Refusal::Protocol, true)));
}

#[test]
fn a_token_that_is_not_known_is_refused_only_by_a_state_that_is_current() {
    let server = server(Vec::new());
    let mut session = welcomed(&server, 1);
    let newer = Bytes::from(vec![7; 32]);
    let token = shown("alice", newer.clone());
    assert_eq!(said(&mut session, token.clone()), [Output::Ask(Query::Barrier)]);
    session.on_answer(Answer::Barrier(Ok(())), Instant::now());
    assert_eq!(refusal(&session.outputs()), Some((Refusal::BadCredentials, false)));
    assert_eq!(said(&mut session, token), [Output::Ask(Query::Barrier)]);
    // Alice logged in with the password elsewhere, and this server hears of it now.
    let login = Command::AddDevice(AddDevice {
        user: UserId { number: 1, ..BOB },
        device: ALICE,
        token_hash: *blake3::hash(&newer).as_bytes(),
        device_key: Bytes::new(),
        session: LoginId([8; 16]),
        after: 1,
        passwords: 0,
    });
    server.state.write(|r| r.state.apply(9, &[login]));
    session.on_answer(Answer::Barrier(Ok(())), Instant::now());
    let outputs = applied(&server, &mut session);
    let joined = |o: &Output| matches!(o, Output::Join { epoch: 3, .. });
    assert!(outputs.iter().any(joined), "{outputs:?}");
}

#[test]
fn a_token_that_was_replaced_meanwhile_is_refused_by_apply() {
    let server = server(Vec::new());
    let mut session = welcomed(&server, 1);
    let token = Bytes::from(vec![1; 32]);
    let outputs = said(&mut session, shown("alice", token));
    let [Output::Arrive(_), Output::Submit(Command::Attach(own))] = &outputs[..] else {
        panic!("{outputs:?}")
    };
    let mut told = |session_id, refusal| {
        let refused = Event::DeviceRefused { device: ALICE, session: session_id, refusal };
        let delivery = Delivery { index: 9, notes: vec![Note::Event(refused)] };
        session.on_delivery(delivery, Instant::now());
        session.outputs()
    };
    assert_eq!(told(LoginId([1; 16]), Refusal::BadCredentials), [], "another login's answer");
    let outputs = told(own.session, Refusal::BadCredentials);
    assert_eq!(refusal(&outputs), Some((Refusal::BadCredentials, false)));
    assert!(!session.is_known());
}

#[test]
fn a_session_ends_when_the_state_shows_a_newer_one_of_its_device() {
    let server = server(Vec::new());
    let mut session = welcomed(&server, 1);
    let_in(&server, &mut session, 1);
    session.on_behind(Instant::now());
    assert!(!session.is_closed());
    let attach = Command::Attach(Attach {
        device: ALICE,
        token_hash: *blake3::hash(&[1; 32]).as_bytes(),
        session: LoginId([77; 16]),
        after: 2,
    });
    server.state.write(|r| r.state.apply(9, &[attach]));
    session.on_behind(Instant::now());
    assert!(session.is_closed());
    let told = |o: &Output| matches!(o, Output::Send(ServerMsg::GoAway { .. }));
    assert!(session.outputs().iter().any(told));
}

/// What a connection's client has to sign.
fn challenge_of(server: &Server, seed: u8) -> (Session, Challenge) {
    let cluster = ClusterState { leader: Some(1), term: 1, live: 1, voters: 1 };
    let mut session = Session::new(server.setup(1), cluster, [seed; 32], Instant::now());
    said(&mut session, ClientMsg::Hello(hello(1)));
    session.on_answer(Answer::Place(Place::Here, None), Instant::now());
    match &session.outputs()[..] {
        [Output::Send(ServerMsg::Welcome(welcome))] => (session, welcome.challenge),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_device_with_a_key_must_sign_what_this_connection_wants_signed() {
    let (key, other) = (DeviceKey::generate().unwrap(), DeviceKey::generate().unwrap());
    let login = Command::AddDevice(AddDevice {
        user: UserId { number: 1, ..BOB },
        device: ALICE,
        token_hash: *blake3::hash(&[1; 32]).as_bytes(),
        device_key: Bytes::copy_from_slice(&key.public()),
        session: LoginId([8; 16]),
        after: 1,
        passwords: 0,
    });
    let server = server(vec![login]);
    let (first, challenge) = challenge_of(&server, 9);
    let right = key.sign(CLUSTER, ALICE, &challenge);
    let mut attempts = vec![Bytes::new(), other.sign(CLUSTER, ALICE, &challenge)];
    attempts.push(key.sign(CLUSTER, DeviceId([2; 16]), &challenge));
    attempts.push(key.sign(ClusterId([8; 16]), ALICE, &challenge));
    let token = |signature| ClientMsg::Token {
        name: "alice".to_owned(),
        token: Bytes::from(vec![1; 32]),
        signature,
    };
    let mut session = first;
    for signature in attempts {
        assert_eq!(said(&mut session, token(signature)), [Output::Ask(Query::Barrier)]);
        session.on_answer(Answer::Barrier(Ok(())), Instant::now());
        assert_eq!(refusal(&session.outputs()), Some((Refusal::BadCredentials, false)));
    }
    let captured = token(right);
    let outputs = said(&mut session, captured.clone());
    assert!(matches!(outputs.last(), Some(Output::Submit(Command::Attach(_)))), "{outputs:?}");
    // Whoever heard all of it says it again on a connection of their own.
    let (mut replay, another) = challenge_of(&server, 10);
    assert_ne!(another, challenge);
    assert_eq!(said(&mut replay, captured), [Output::Ask(Query::Barrier)]);
    replay.on_answer(Answer::Barrier(Ok(())), Instant::now());
    assert_eq!(refusal(&replay.outputs()), Some((Refusal::BadCredentials, false)));
}
