//! Devices: one process each, found again, finished by whoever comes next.

use crate::chat::command::Target;
use crate::chat::ids::{ClusterId, ConversationId};
use crate::chat::message::Body;
use crate::client::ClientError;
use crate::client::device::{Device, Known};
use crate::wire::message::DeviceCertificate;
use bytes::Bytes;
use std::collections::BTreeMap;

const SOMEWHERE: Target = Target::Conversation(ConversationId(1));

#[test]
fn every_process_has_its_own_and_the_next_takes_the_first_free_one() {
    let state = tempfile::tempdir().unwrap();
    let take = || Device::take(state.path(), "alice", None).unwrap();
    let (first, _) = take();
    let (second, _) = take();
    assert_ne!(first.id, second.id);
    let id = first.id;
    drop(first);
    assert_eq!(take().0.id, id, "the first is free again");
    let (bob, _) = Device::take(state.path(), "bob", None).unwrap();
    assert!(bob.id != id && bob.id != second.id);
}

#[test]
fn unfinished_messages_are_taken_up_first() {
    let state = tempfile::tempdir().unwrap();
    let take = || Device::take(state.path(), "alice", None).unwrap();
    let (first, _) = take();
    let (second, mut outbox) = take();
    outbox.append(SOMEWHERE, vec![Body::text("not sent yet")]).unwrap();
    let id = second.id;
    drop((first, second, outbox));
    let (device, outbox) = take();
    assert_eq!((device.id, outbox.pending()), (id, 1));
}

#[test]
fn what_a_device_knows_is_there_for_the_next_process_and_for_nobody_else() {
    let state = tempfile::tempdir().unwrap();
    let take = |cluster| Device::take(state.path(), "alice", cluster).unwrap();
    let (mut device, _) = take(None);
    device.set_token(Some(Bytes::from_static(b"\x00secret\xff"))).unwrap();
    device.bind(ClusterId([7; 16]), 1, "west").unwrap();
    device.save_have(BTreeMap::from([(ConversationId(0x1f), 12)])).unwrap();
    let (id, key) = (device.id, device.key.as_ref().unwrap().public());
    drop(device);
    let (device, _) = take(Some("west"));
    assert_eq!(device.id, id);
    assert_eq!(device.key.as_ref().unwrap().public(), key);
    assert_eq!(device.token.as_deref(), Some(&b"\x00secret\xff"[..]));
    assert_eq!(device.cluster, Some(ClusterId([7; 16])));
    assert_eq!(device.have, BTreeMap::from([(ConversationId(0x1f), 12)]));
    drop(device);
    assert_ne!(take(Some("east")).0.id, id, "it belongs to another cluster");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        for file in ["token", "key"] {
            let file = state.path().join("alice/devices/1").join(file);
            assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
    let (mut device, _) = take(Some("west"));
    let key = device.key.as_ref().unwrap().public();
    device.renew().unwrap();
    assert_ne!(device.key.as_ref().unwrap().public(), key, "another device, another key");
    drop(device);
    let (device, _) = take(None);
    assert!(device.id != id && device.token.is_none() && device.have.is_empty());
}

#[test]
fn damaged_files_do_not_stop_anybody() {
    let state = tempfile::tempdir().unwrap();
    let take = || Device::take(state.path(), "alice", None).unwrap();
    let (device, mut outbox) = take();
    outbox.append(SOMEWHERE, vec![Body::text("x")]).unwrap();
    let id = device.id;
    drop((device, outbox));
    let dir = state.path().join("alice/devices/1");
    for file in ["device.json", "token", "have.json"] {
        std::fs::write(dir.join(file), b"\xff\x00{").unwrap();
    }
    std::fs::write(state.path().join("alice/known.json"), b"[]").unwrap();
    assert_eq!(Known::load(state.path(), "alice"), None);
    let (device, outbox) = take();
    assert_ne!(device.id, id, "without its file its id is not known");
    assert_eq!((outbox.pending(), device.token), (0, None));
    assert!(dir.join("outbox.orphaned").exists(), "messages of the old id are kept aside");
}

#[test]
fn a_directory_that_cannot_be_used_is_named() {
    let state = tempfile::tempdir().unwrap();
    let file = state.path().join("file");
    std::fs::write(&file, "").unwrap();
    let Err(ClientError::State(why)) = Device::take(&file, "alice", None) else {
        panic!("a file is no directory");
    };
    assert!(why.contains(&*file.to_string_lossy()), "{why}");
}

#[test]
fn many_processes_of_a_user_may_note_the_same_thing_at_once() {
    let state = tempfile::tempdir().unwrap();
    std::fs::create_dir(state.path().join("alice")).unwrap();
    let known = Known::default();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| (0..200).for_each(|_| known.save(state.path(), "alice").unwrap()));
        }
    });
    assert_eq!(Known::load(state.path(), "alice"), Some(known));
    let files = std::fs::read_dir(state.path().join("alice")).unwrap().count();
    assert_eq!(files, 1, "nothing else is left behind");
}

#[test]
fn what_a_cluster_says_of_a_device_is_kept_and_is_worth_nothing_for_another_one() {
    let state = tempfile::tempdir().unwrap();
    let take = |cluster| Device::take(state.path(), "alice", cluster).unwrap().0;
    let east = ClusterId([7; 16]);
    // One that no cluster knows, and behind it one of east's.
    let unknown = take(None);
    let mut device = take(None);
    device.bind(east, 1, "east").unwrap();
    let certificate = DeviceCertificate {
        cluster: east,
        device: device.id,
        key: device.key.as_ref().unwrap().public(),
        ..DeviceCertificate::default()
    };
    device.set_certificate(certificate.clone()).unwrap();
    let id = device.id;
    drop((unknown, device));
    let mut device = take(Some("east"));
    assert_eq!(device.id, id, "of the cluster that is named, the one that it knows");
    assert_eq!(device.valid_certificate(), Some(&certificate));
    device.renew().unwrap();
    assert_eq!(device.valid_certificate(), None);
    drop(device);
    let all = (0..2).map(|_| take(None)).collect::<Vec<_>>();
    assert!(all.iter().all(|device| device.valid_certificate().is_none()), "it has another key");
}
