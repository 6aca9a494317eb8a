//! From the hello to the login, and what a client does when it is not let in.

use super::model::{ALICE, CLUSTER, Cluster};
use crate::chat::ids::{ClusterId, DeviceId, UserId};
use crate::chat::message::Body;
use crate::chat::refusal::Refusal;
use crate::client::key::DeviceKey;
use crate::client::session::{Identity, Output, Session};
use crate::client::{Account, ClientError, Outgoing, Via};
use crate::limits;
use crate::wire::message::{
    CERTIFIES, ClientMsg, DeviceCertificate, Hello, Ready, ServerAddress, ServerMsg, Welcome,
};
use bytes::Bytes;
use std::collections::BTreeMap;

const TOKEN: Bytes = Bytes::from_static(b"token");

fn identity(token: Option<Bytes>, password: Option<&str>, register: bool) -> Identity {
    let password = password.map(str::to_owned);
    Identity {
        account: Account { name: "alice".into(), password, register, invite: None },
        device: ALICE,
        token,
        key: None,
        cluster: None,
        generation: None,
        done: 0,
        had: BTreeMap::new(),
    }
}

fn sent(session: &mut Session) -> Vec<ClientMsg> {
    let all = std::iter::from_fn(|| session.pop());
    all.filter_map(|o| if let Output::Send(message) = o { Some(message) } else { None }).collect()
}

fn outputs(session: &mut Session) -> Vec<Output> {
    let all: Vec<_> = std::iter::from_fn(|| session.pop()).collect();
    // Whose key must be right is known before anything but a hello is said.
    let at = |what: fn(&Output) -> bool| all.iter().position(what);
    if let Some(met) = at(|o| matches!(o, Output::Met { .. })) {
        let secret = |o: &Output| {
            matches!(
                o,
                Output::Send(
                    ClientMsg::Token { .. } | ClientMsg::Login(_) | ClientMsg::Register(_)
                )
            )
        };
        assert!(at(secret).is_none_or(|secret| met < secret), "{all:?}");
    }
    let told = |o: &Output| matches!(o, Output::Event(_) | Output::Send(_) | Output::Met { .. });
    all.into_iter().filter(|o| !told(o)).collect()
}

/// A session that was welcomed; gives what it sent to prove who it is.
fn knocked(session: &mut Session) -> Vec<ClientMsg> {
    session.on_connected(0, "there:1".into(), false);
    assert!(matches!(sent(session).as_slice(), [ClientMsg::Hello(_)]));
    session.on_msg(1, Cluster::new().welcome());
    sent(session)
}

fn refused(session: &mut Session, refusal: Refusal) {
    session.on_msg(2, ServerMsg::Refused { request: 0, refusal, text: String::new() });
}

fn let_in(session: &mut Session) {
    let user = UserId { cluster: CLUSTER, number: 1 };
    let name = "alice".to_owned();
    session.on_msg(3, ServerMsg::Authenticated { user, name, token: TOKEN });
}

#[test]
fn a_token_comes_first_then_the_password() {
    let mut session = Session::new(identity(Some(TOKEN), Some("pw"), true));
    assert!(matches!(knocked(&mut session).as_slice(), [ClientMsg::Token { .. }]));
    refused(&mut session, Refusal::UnknownDevice);
    let all: Vec<_> = std::iter::from_fn(|| session.pop()).collect();
    assert_eq!(all[0], Output::Token(None), "a token that is not valid is forgotten");
    assert!(matches!(&all[1], Output::Send(ClientMsg::Register(c)) if c.password == "pw"));
    let_in(&mut session);
    assert_eq!(outputs(&mut session), [Output::Token(Some(TOKEN))]);
}

#[test]
fn without_token_and_password_there_is_no_way_in() {
    let mut session = Session::new(identity(None, None, false));
    assert_eq!(knocked(&mut session), []);
    let mut session = Session::new(identity(None, None, false));
    session.on_connected(0, "there:1".into(), false);
    session.on_msg(1, Cluster::new().welcome());
    assert_eq!(outputs(&mut session).last(), Some(&Output::Failed(ClientError::PasswordNeeded)));
}

#[test]
fn who_is_not_new_logs_in_and_whose_name_is_taken_is_told_so() {
    let mut session = Session::new(identity(None, Some("pw"), true));
    assert!(matches!(knocked(&mut session).as_slice(), [ClientMsg::Register(_)]));
    refused(&mut session, Refusal::NameTaken);
    assert!(matches!(sent(&mut session).as_slice(), [ClientMsg::Login(_)]));
    refused(&mut session, Refusal::BadCredentials);
    let failed = Output::Failed(ClientError::Refused(Refusal::NameTaken));
    assert_eq!(outputs(&mut session), [failed]);
}

#[test]
fn a_wrong_password_ends_it() {
    let mut session = Session::new(identity(None, Some("pw"), false));
    assert!(matches!(knocked(&mut session).as_slice(), [ClientMsg::Login(_)]));
    refused(&mut session, Refusal::BadCredentials);
    let failed = Output::Failed(ClientError::Refused(Refusal::BadCredentials));
    assert_eq!(outputs(&mut session), [failed]);
}

#[test]
fn busy_servers_are_left_alone_for_as_long_as_they_say() {
    for welcomed in [false, true] {
        let mut session = Session::new(identity(Some(TOKEN), None, false));
        session.on_connected(0, "there:1".into(), false);
        if welcomed {
            session.on_msg(1, Cluster::new().welcome());
        }
        outputs(&mut session);
        session.on_msg(2, ServerMsg::Busy { retry_after_ms: 1234 });
        let close = |o: &Output| matches!(o, Output::Close { retry_ms: Some(1234), .. });
        assert!(outputs(&mut session).iter().any(close), "welcomed: {welcomed}");
        assert!(!session.is_up());
    }
}

#[test]
fn redirects_are_followed_but_not_for_ever() {
    let mut session = Session::new(identity(Some(TOKEN), None, false));
    session.on_connected(0, "leader:1".into(), false);
    for followed in 0..limits::REDIRECTS {
        let placed = followed > 0;
        let hello = sent(&mut session);
        assert!(
            matches!(hello.as_slice(), [ClientMsg::Hello(Hello { placed: p, .. })] if *p == placed)
        );
        session.on_msg(1, ServerMsg::Redirect(ServerAddress::default()));
        assert!(matches!(outputs(&mut session).as_slice(), [Output::Redirect(_)]));
        session.on_connected(2, "other:1".into(), true);
    }
    sent(&mut session);
    session.on_msg(3, ServerMsg::Redirect(ServerAddress::default()));
    assert!(matches!(outputs(&mut session).as_slice(), [Output::Close { .. }]));
}

#[test]
fn a_server_that_says_nothing_is_given_up() {
    let mut session = Session::new(identity(Some(TOKEN), None, false));
    session.on_connected(0, "there:1".into(), false);
    let at = session.wake().unwrap();
    assert!(at <= 5000, "{at}");
    session.on_tick(at);
    assert!(matches!(outputs(&mut session).as_slice(), [Output::Close { .. }]));
}

#[test]
fn a_device_of_another_cluster_becomes_a_new_one_unless_messages_wait() {
    let elsewhere = Some(ClusterId([9; 16]));
    let mut session =
        Session::new(Identity { cluster: elsewhere, ..identity(Some(TOKEN), Some("pw"), false) });
    assert_eq!(knocked(&mut session), []);
    let mut session =
        Session::new(Identity { cluster: elsewhere, ..identity(Some(TOKEN), Some("pw"), false) });
    session.on_connected(0, "there:1".into(), false);
    refused(&mut session, Refusal::WrongCluster);
    assert_eq!(outputs(&mut session), [Output::Renew]);
    session.renewed(DeviceId([5; 16]), None);
    assert!(matches!(knocked(&mut session).as_slice(), [ClientMsg::Login(_)]), "no old token");

    let mut session =
        Session::new(Identity { cluster: elsewhere, ..identity(Some(TOKEN), None, false) });
    let to = crate::chat::command::Target::User(UserId::default());
    session.queue(0, vec![Outgoing { number: 1, to, body: Body::text("waits") }]);
    session.on_connected(0, "there:1".into(), false);
    refused(&mut session, Refusal::WrongCluster);
    assert!(matches!(outputs(&mut session).as_slice(), [Output::Failed(ClientError::State(_))]));
}

/// A device of the cluster's first generation, which had a message acknowledged as number `done`.
fn of_first_generation(cluster: ClusterId, done: u64) -> Session {
    let known = identity(Some(TOKEN), Some("pw"), false);
    Session::new(Identity { cluster: Some(cluster), generation: Some(1), done, ..known })
}

fn welcomed(session: &mut Session, generation: u64, former: Vec<ClusterId>) {
    session.on_connected(0, "there:1".into(), false);
    let ServerMsg::Welcome(welcome) = Cluster::new().welcome() else { unreachable!() };
    session.on_msg(1, ServerMsg::Welcome(Welcome { generation, former, began_ms: 7, ..welcome }));
}

fn ready(session: &mut Session, last: u64) {
    let_in(session);
    session.on_msg(4, ServerMsg::Ready(Ready { sends: vec![(0, last)], ..Ready::default() }));
}

fn waits(session: &mut Session, number: u64) {
    let to = crate::chat::command::Target::User(UserId::default());
    session.queue(0, vec![Outgoing { number, to, body: Body::text("waits") }]);
}

#[test]
fn a_restored_cluster_is_known_by_its_former_id_and_takes_what_waits() {
    let old = ClusterId([9; 16]);
    let mut session = of_first_generation(old, 3);
    waits(&mut session, 4);
    welcomed(&mut session, 1, vec![old]);
    assert_eq!(outputs(&mut session), [Output::Began { restored: true, began_ms: 7 }]);
    ready(&mut session, 3);
    let kept = std::iter::from_fn(|| session.pop()).collect::<Vec<_>>();
    let at = |what: fn(&Output) -> bool| kept.iter().position(what).expect("all that is due");
    assert!(at(|o| *o == Output::ForgetHad) < at(|o| matches!(o, Output::Known(_))));
    let sends = |o: &Output| {
        matches!(o, Output::Send(ClientMsg::Send { runs, confirmed: 3 })
        if runs[0].first_number == 4)
    };
    at(sends);
}

#[test]
fn in_a_cluster_that_lost_messages_their_numbers_are_not_used_again() {
    let old = ClusterId([9; 16]);
    for (known, generation, former) in [(CLUSTER, 2, vec![]), (old, 1, vec![old])] {
        numbers_are_not_used_again(known, generation, former);
    }
}

fn numbers_are_not_used_again(known: ClusterId, generation: u64, former: Vec<ClusterId>) {
    let mut session = of_first_generation(known, 5);
    waits(&mut session, 6);
    let restored = !former.is_empty();
    welcomed(&mut session, generation, former);
    assert_eq!(outputs(&mut session), [Output::Began { restored, began_ms: 7 }]);
    ready(&mut session, 3);
    assert_eq!(outputs(&mut session).last(), Some(&Output::RenewKeeping));
    session.renewed_keeping(DeviceId([5; 16]), None);
    drop(outputs(&mut session));
    session.on_connected(0, "there:1".into(), false);
    let ServerMsg::Welcome(welcome) = Cluster::new().welcome() else { unreachable!() };
    session.on_msg(1, ServerMsg::Welcome(Welcome { generation, ..welcome }));
    assert!(sent(&mut session).iter().any(|m| matches!(m, ClientMsg::Login(_))), "no old token");
    ready(&mut session, 0);
    let first = sent(&mut session).into_iter().find_map(|m| match m {
        ClientMsg::Send { runs, .. } => Some(runs[0].first_number),
        _ => None,
    });
    assert_eq!(first, Some(1));
}

#[test]
fn a_server_that_a_recovery_left_behind_is_left() {
    let mut session = of_first_generation(CLUSTER, 0);
    welcomed(&mut session, 2, Vec::new());
    ready(&mut session, 0);
    drop(outputs(&mut session));
    welcomed(&mut session, 1, Vec::new());
    assert!(matches!(outputs(&mut session).as_slice(), [Output::Close { .. }]));
}

fn guest(token: Option<Bytes>) -> Session {
    let mut session = Session::new(identity(token, Some("secret"), true));
    session.comes_by(Some(Via { cluster: "west".into(), seat: 2 }));
    session
}

#[test]
fn no_password_is_said_by_way_of_another_cluster() {
    let went_home = |session: &mut Session| match outputs(session).pop() {
        Some(Output::Failed(ClientError::GoHome { .. })) => {}
        other => panic!("{other:?}"),
    };
    for refusal in [Refusal::UnknownDevice, Refusal::BadCredentials] {
        let mut session = guest(Some(TOKEN));
        let knocked = knocked(&mut session);
        assert!(matches!(knocked.as_slice(), [ClientMsg::Token { .. }]), "{knocked:?}");
        refused(&mut session, refusal);
        went_home(&mut session);
    }
    let mut session = guest(None);
    session.on_connected(0, "there:1".into(), true);
    session.on_msg(1, Cluster::new().welcome());
    went_home(&mut session);
}

#[test]
fn a_certificate_is_asked_for_where_the_server_gives_any_and_the_device_has_a_key() {
    for (features, key, asks) in
        [(CERTIFIES, true, true), (0, true, false), (CERTIFIES, false, false)]
    {
        let key = key.then(|| DeviceKey::generate().unwrap());
        let mut session = Session::new(Identity { key, ..identity(Some(TOKEN), None, false) });
        session.on_connected(0, "there:1".into(), false);
        let ServerMsg::Welcome(welcome) = Cluster::new().welcome() else { unreachable!() };
        session.on_msg(1, ServerMsg::Welcome(Welcome { features, ..welcome }));
        let_in(&mut session);
        session.on_msg(4, ServerMsg::Ready(Ready::default()));
        drop(outputs(&mut session));
        session.certify(5);
        session.certify(5);
        let asked = sent(&mut session);
        let certify = |m: &&ClientMsg| matches!(m, ClientMsg::Certify { .. });
        assert_eq!(asked.iter().filter(certify).count(), usize::from(asks), "{asked:?}");
        if let Some(ClientMsg::Certify { request }) = asked.first() {
            let certificate = DeviceCertificate::default();
            let answer = ServerMsg::Certified { request: *request, certificate };
            session.on_msg(6, answer);
            let kept = outputs(&mut session);
            assert_eq!(kept, [Output::Certificate(DeviceCertificate::default())]);
        }
    }
}
