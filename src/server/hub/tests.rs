//! Who is told what, and whose session is over.

use super::*;
use crate::chat::ids::LoginId;

const USER: UserId = UserId { cluster: crate::chat::ids::ClusterId([1; 16]), number: 1 };

fn posted(seq: u64, push: usize) -> Vec<(Audience, Note)> {
    let note = Note::Posted(Posted {
        conversation: ConversationId(1),
        first_seq: seq,
        last_seq: seq,
        only: Some(DeviceId([9; 16])),
        push: Some(Bytes::from(vec![0; push])),
    });
    vec![(Audience::Users(vec![USER].into()), note)]
}

fn member(hub: &Hub, device: u8) -> Mailbox {
    let mailbox = hub.attach();
    mailbox.join(USER, DeviceId([device; 16]), 1);
    mailbox
}

#[test]
fn a_full_session_is_behind_and_nobody_else_notices() {
    let hub = Hub::default();
    let (mut fast, mut slow) = (member(&hub, 1), member(&hub, 2));
    for seq in 1..=2 * limits::SESSION_EVENTS as u64 {
        hub.publish(seq, posted(seq, 10));
        assert_eq!(fast.try_next().unwrap().index, seq);
        assert!(!fast.take_behind());
    }
    assert!(!slow.take_behind(), "what is queued comes first");
    let queued: Vec<u64> = std::iter::from_fn(|| slow.try_next()).map(|d| d.index).collect();
    assert_eq!(queued, (1..=limits::SESSION_EVENTS as u64).collect::<Vec<_>>());
    assert!(slow.take_behind());
    assert!(!slow.take_behind(), "only once");
    hub.publish(500, posted(500, 10));
    assert_eq!(slow.try_next().unwrap().index, 500);
}

#[test]
fn pushes_that_wait_take_bounded_memory() {
    let hub = Hub::default();
    let mut slow = member(&hub, 1);
    for seq in 1..=20 {
        hub.publish(seq, posted(seq, limits::SESSION_QUEUE_BYTES / 4));
    }
    let pushes = |mailbox: &mut Mailbox| {
        let notes = std::iter::from_fn(|| mailbox.try_next()).flat_map(|d| d.notes);
        notes.filter(|n| matches!(n, Note::Posted(Posted { push: Some(_), .. }))).count()
    };
    assert_eq!(pushes(&mut slow), 4);
    assert!(!slow.take_behind(), "the others are known, only without their bytes");
    hub.publish(21, posted(21, 3 * limits::SESSION_QUEUE_BYTES));
    assert_eq!(pushes(&mut slow), 1, "one always fits");
}

#[test]
fn a_newer_connection_of_a_device_takes_over() {
    let hub = Hub::default();
    let older = member(&hub, 1);
    let mut newer = hub.attach();
    newer.join(USER, DeviceId([1; 16]), 2);
    assert!(older.replaced() && !newer.replaced());
    assert_eq!(hub.logged_in(), 1);
    drop(older);
    assert_eq!(hub.logged_in(), 1);
    let event = Note::Event(Event::Opened { conversation: ConversationId(1) });
    hub.publish(1, vec![(Audience::Device(DeviceId([1; 16])), event)]);
    assert_eq!(newer.try_next().unwrap().index, 1);
    drop(newer);
    assert_eq!(hub.logged_in(), 0);
    let tables = hub.lock();
    assert!(tables.sessions.is_empty() && tables.users.is_empty());
}

fn attached(device: DeviceId, epoch: u64) -> Vec<(Audience, Note)> {
    let session = LoginId([u8::try_from(epoch).unwrap(); 16]);
    let event = Event::Attached { device, user: USER, session, epoch };
    vec![(Audience::Attached(device, epoch), Note::Event(event))]
}

#[test]
fn a_login_anywhere_ends_the_older_sessions_of_the_device() {
    let (hub, device) = (Hub::default(), DeviceId([1; 16]));
    let (here, other) = (member(&hub, 1), member(&hub, 2));
    hub.publish(7, attached(device, 1));
    assert!(!here.replaced(), "its own login");
    hub.publish(8, attached(device, 2));
    assert!(here.replaced() && !other.replaced());
}

#[test]
fn a_login_that_another_one_followed_is_over_when_it_comes_in() {
    let (hub, device) = (Hub::default(), DeviceId([1; 16]));
    let (mut first, mut second) = (hub.attach(), hub.attach());
    first.arrive(device);
    second.arrive(device);
    // The later of the two is somewhere else, or comes in before.
    hub.publish(7, attached(device, 5));
    hub.publish(8, attached(device, 6));
    assert_eq!((first.try_next().unwrap().index, second.try_next().unwrap().index), (7, 7));
    second.join(USER, device, 6);
    first.join(USER, device, 5);
    assert!(first.replaced() && !second.replaced());
    hub.publish(
        9,
        vec![(
            Audience::Device(device),
            Note::Event(Event::Opened { conversation: ConversationId(1) }),
        )],
    );
    assert_eq!(second.try_next().map(|d| d.index), Some(8));
    assert_eq!(second.try_next().map(|d| d.index), Some(9));
    drop((first, second));
    let tables = hub.lock();
    assert!(tables.sessions.is_empty() && tables.arriving.is_empty());
    assert!(tables.devices.is_empty() && tables.users.is_empty());
}

#[test]
fn own_messages_are_told_without_their_bytes() {
    let hub = Hub::default();
    let mut own = member(&hub, 9);
    hub.publish(1, posted(1, 10));
    let delivery = own.try_next().unwrap();
    assert!(matches!(&delivery.notes[..], [Note::Posted(Posted { push: None, .. })]));
}

#[test]
fn a_revoked_device_is_told_nothing_more_wherever_it_stands() {
    let (hub, device) = (Hub::default(), DeviceId([1; 16]));
    let (here, other, arriving) = (member(&hub, 1), member(&hub, 2), hub.attach());
    arriving.arrive(device);
    let event = Note::Event(Event::Revoked { device, epoch: 3 });
    hub.publish(7, vec![(Audience::Revoked(device, 3), event)]);
    assert!(here.revoked() && !other.revoked() && !other.replaced());
    arriving.join(USER, device, 2);
    assert!(arriving.replaced(), "it was let in before");
}
