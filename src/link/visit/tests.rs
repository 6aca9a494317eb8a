//! What a guest may show, right and wrong.

use super::*;
use crate::chat::command::Command;
use crate::chat::ids::DeviceId;
use crate::chat::link::{LinkNumber, Trust};
use crate::chat::name::UserName;
use crate::chat::scripts::seeds;
use crate::client::key::DeviceKey;
use crate::link::Me;
use crate::tls::{Authority, NodeKeys, VALID_DAYS};
use async_trait::async_trait;
use bytes::Bytes;
use rand::Rng;
use std::sync::Arc;
use tokio::sync::watch;

const WEST: ClusterId = ClusterId([1; 16]);
const EAST: ClusterId = ClusterId([2; 16]);
const BOB: UserId = UserId { cluster: EAST, number: 7 };
const CHALLENGE: Challenge = [9; 32];

/// West, which knows one other cluster.
struct West(Link);

#[async_trait]
impl Home for West {
    fn me(&self) -> Option<Me> {
        Some(Me { cluster: WEST, name: "west".to_owned(), generation: 1, seat: 1 })
    }
    fn keys(&self) -> Option<Arc<NodeKeys>> {
        None
    }
    fn link(&self, cluster: ClusterId) -> Option<Link> {
        Some(self.0.clone()).filter(|link| link.is(cluster))
    }
    fn user(&self, _: &UserName) -> Option<(UserId, UserName)> {
        None
    }
    fn is_user(&self, _: UserId) -> bool {
        false
    }
    async fn exports(&self, _: LinkNumber, _: u64, _: usize) -> Option<Vec<(u64, Bytes)>> {
        None
    }
    async fn catch_up(&self) -> bool {
        false
    }
    fn propose(&self, _: &Command) -> bool {
        false
    }
    fn changed(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }
}

fn node(authority: &Authority, seat: u32) -> NodeKeys {
    let text = authority.node(seat, SystemTime::now(), VALID_DAYS).unwrap();
    NodeKeys::parse(&text, seat).unwrap()
}

fn ms(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
}

/// East, with a device of bob's.
struct East {
    authority: Authority,
    own: DeviceKey,
}

impl East {
    fn new() -> Self {
        let authority = Authority::make("east", SystemTime::now()).unwrap();
        Self { authority, own: DeviceKey::generate().unwrap() }
    }

    fn west(&self, trust: Trust) -> West {
        let key = self.authority.fingerprint().into();
        West(Link { number: 1, cluster: EAST, key, trust, ..Link::default() })
    }

    fn certificate(&self) -> DeviceCertificate {
        let until_ms = ms(SystemTime::now() + limits::CERTIFICATE_TIME);
        self.signed(DeviceCertificate {
            cluster: EAST,
            user: BOB,
            device: DeviceId([3; 16]),
            key: self.own.public(),
            until_ms,
            seat: 2,
            signature: Bytes::new(),
        })
    }

    fn signed(&self, said: DeviceCertificate) -> DeviceCertificate {
        signed_by(&self.authority, said)
    }
}

fn signed_by(authority: &Authority, said: DeviceCertificate) -> DeviceCertificate {
    let signature = node(authority, said.seat).hint.sign(&proof::certificate(&said));
    DeviceCertificate { signature: Bytes::copy_from_slice(&signature), ..said }
}

fn judged(west: &West, certificate: &DeviceCertificate, signature: &[u8]) -> Result<(), No> {
    let shown = Shown { certificate, signature };
    judge(west, shown, &CHALLENGE, SystemTime::now()).map(drop)
}

#[test]
fn a_device_that_its_trusted_cluster_vouches_for_is_let_in() {
    let east = East::new();
    let signature = east.own.sign_visit(WEST, &CHALLENGE, EAST);
    let said = east.certificate();
    assert_eq!(judged(&east.west(Trust::Trusted), &said, &signature), Ok(()));
    for trust in [Trust::Seen, Trust::Distrusted] {
        assert_eq!(judged(&east.west(trust), &said, &signature), Err(No::NotLinked));
    }
    let other = DeviceCertificate { cluster: ClusterId([4; 16]), ..said };
    let other = east.signed(other);
    assert_eq!(judged(&east.west(Trust::Trusted), &other, &signature), Err(No::NotLinked));
}

#[test]
fn a_certificate_of_anybody_else_or_anything_else_lets_nobody_in() {
    let east = East::new();
    let west = east.west(Trust::Trusted);
    let signature = east.own.sign_visit(WEST, &CHALLENGE, EAST);
    let said = east.certificate();
    let unproven = |said: &DeviceCertificate, what: &str| {
        let judged = judged(&west, said, &signature);
        assert!(matches!(judged, Err(No::Unproven(_))), "{what}: {judged:?}");
    };
    let rogue = Authority::make("east", SystemTime::now()).unwrap();
    unproven(&signed_by(&rogue, said.clone()), "signed by another cluster's node");
    let user = UserId { number: 8, ..BOB };
    unproven(&DeviceCertificate { user, ..said.clone() }, "for another user");
    let device = DeviceId([5; 16]);
    unproven(&DeviceCertificate { device, ..said.clone() }, "for another device");
    let key = DeviceKey::generate().unwrap().public();
    unproven(&DeviceCertificate { key, ..said.clone() }, "with another key");
    unproven(&east.signed(DeviceCertificate { key, ..said.clone() }), "of another device");
    unproven(&DeviceCertificate { until_ms: u64::MAX, ..said.clone() }, "for longer");
    unproven(&DeviceCertificate { seat: 3, ..said.clone() }, "by another seat");
    // A user of a third cluster is not east's to vouch for.
    let user = UserId { cluster: WEST, number: 1 };
    let foreign = east.signed(DeviceCertificate { user, ..said.clone() });
    assert_eq!(judged(&west, &foreign, &signature), Err(No::NotLinked));
    let until_ms = ms(SystemTime::now()) - 1;
    let expired = east.signed(DeviceCertificate { until_ms, ..said });
    assert_eq!(judged(&west, &expired, &signature), Err(No::Expired));
}

#[test]
fn a_visit_is_for_one_connection_to_one_cluster() {
    let east = East::new();
    let (west, said) = (east.west(Trust::Trusted), east.certificate());
    let other = DeviceKey::generate().unwrap();
    let wrong = [
        ("replayed on another connection", east.own.sign_visit(WEST, &[8; 32], EAST)),
        ("made for another cluster", east.own.sign_visit(EAST, &CHALLENGE, EAST)),
        ("of another home", east.own.sign_visit(WEST, &CHALLENGE, WEST)),
        ("a login", east.own.sign(WEST, DeviceId([3; 16]), &CHALLENGE)),
        ("by another device", other.sign_visit(WEST, &CHALLENGE, EAST)),
        ("none", Bytes::new()),
    ];
    for (what, signature) in wrong {
        let judged = judged(&west, &said, &signature);
        assert_eq!(judged, Err(No::Unproven("it does not hold the key")), "{what}");
    }
}

#[test]
fn no_changed_bit_of_what_is_shown_is_overlooked() {
    let east = East::new();
    let (west, said) = (east.west(Trust::Trusted), east.certificate());
    let signature = east.own.sign_visit(WEST, &CHALLENGE, EAST);
    seeds(300, |rng| {
        let (mut certificate, mut visit) = (said.signature.to_vec(), signature.to_vec());
        let all = if rng.random() { &mut certificate } else { &mut visit };
        let at = rng.random_range(0..all.len());
        all[at] ^= 1 << rng.random_range(0..8);
        let said = DeviceCertificate { signature: certificate.into(), ..said.clone() };
        let judged = judged(&west, &said, &visit);
        assert!(matches!(judged, Err(No::Unproven(_))), "{judged:?}");
    });
}
