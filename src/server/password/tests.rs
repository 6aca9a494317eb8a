//! Passwords by the standard, waits that grow, and a flood that keeps nobody out.

use super::*;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use futures::FutureExt;
use futures::stream::{FuturesUnordered, StreamExt};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use tokio::time::timeout;

const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

#[tokio::test]
async fn only_the_right_password_of_a_known_user_passes() {
    let (passwords, thread) = Passwords::start().unwrap();
    let hash = passwords.hash(HERE, "secret".to_owned()).await.unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    assert_eq!(passwords.verify(HERE, "secret".to_owned(), Some(hash.clone())).await, Ok(true));
    assert_eq!(passwords.verify(HERE, "Secret".to_owned(), Some(hash)).await, Ok(false));
    let nobody = passwords.verify(HERE, "the password of nobody".to_owned(), None).await;
    assert_eq!(nobody, Ok(false));
    drop(passwords);
    thread.join().unwrap();
}

/// As any other program computes them: what is stored already stays valid.
#[test]
fn hashes_are_those_of_the_standard() {
    let salt = SaltString::encode_b64(&[7; 16]).unwrap();
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).unwrap();
    let theirs = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let foreign = theirs.hash_password(b"secret", &salt).unwrap().to_string();
    assert_eq!(verify(b"secret", &foreign), Some(true));
    assert_eq!(verify(b"Secret", &foreign), Some(false));
    let own = hash(b"secret").unwrap();
    let own = PasswordHash::new(&own).unwrap();
    assert_eq!(theirs.verify_password(b"secret", &own), Ok(()));
    assert!(theirs.verify_password(b"Secret", &own).is_err());
}

#[test]
fn waits_grow_for_one_pair_only_and_end_with_the_right_password() {
    let (mut throttle, now) = (Throttle::default(), Instant::now());
    for _ in 0..FREE_TRIES {
        throttle.failed("alice", HERE, now);
        assert_eq!(throttle.wait("alice", HERE, now), None);
    }
    let mut longest = Duration::ZERO;
    for _ in 0..80 {
        throttle.failed("alice", HERE, now);
        let wait = throttle.wait("alice", HERE, now).unwrap();
        assert!(wait >= longest && wait <= LONGEST_WAIT);
        longest = wait;
    }
    assert_eq!(longest, LONGEST_WAIT);
    assert_eq!(throttle.wait("bob", HERE, now), None);
    assert_eq!(throttle.wait("alice", HERE, now + LONGEST_WAIT), None);
    throttle.passed("alice", HERE);
    assert_eq!(throttle.wait("alice", HERE, now), None);
}

#[test]
fn memory_is_bounded() {
    let (mut throttle, now) = (Throttle::default(), Instant::now());
    for n in 0..2 * limits::FAILED_LOGINS {
        throttle.failed(&format!("user{n}"), HERE, now);
    }
    assert!(throttle.failed.len() <= limits::FAILED_LOGINS);
}

/// Compares what it is told to, and no faster than it is allowed.
struct Gated {
    open: Mutex<mpsc::Receiver<()>>,
    at_once: Arc<AtomicUsize>,
    most_at_once: Arc<AtomicUsize>,
}

impl Hashing for Gated {
    fn hash(&self, password: &[u8]) -> Option<String> {
        String::from_utf8(password.to_vec()).ok()
    }

    fn verify(&self, password: &[u8], hash: &str) -> Option<bool> {
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(now, Ordering::SeqCst);
        lock(&self.open).recv().ok()?;
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        Some(password == hash.as_bytes())
    }
}

/// Longer than anything here takes.
const DEADLINE: Duration = Duration::from_secs(20);
/// Addresses of a flood, and bad logins from each.
const FLOOD: (u8, usize) = (20, 30);

#[tokio::test]
async fn a_flood_of_bad_logins_keeps_nobody_else_out() {
    let (permit, open) = mpsc::sync_channel(10_000);
    let most_at_once = Arc::new(AtomicUsize::new(0));
    let gated = Gated {
        open: Mutex::new(open),
        at_once: Arc::default(),
        most_at_once: Arc::clone(&most_at_once),
    };
    let (passwords, thread) = Passwords::start_with(gated).unwrap();
    let (addresses, each) = FLOOD;
    let mut flood: FuturesUnordered<_> = (0..addresses)
        .flat_map(|n| std::iter::repeat_n(IpAddr::from([10, 0, 0, n]), each))
        .map(|from| passwords.verify(from, "guessed".to_owned(), None))
        .collect();
    // As long as nothing is looked at, only those are answered who have no place; one may be
    // under way.
    let all = usize::from(addresses) * each;
    let waiting = limits::PASSWORDS + 1;
    for _ in 0..all - waiting {
        let answer = timeout(DEADLINE, flood.next()).await.expect("the queue is bounded");
        assert_eq!(answer, Some(Err(PasswordError::Full)));
    }
    let known = passwords.verify(HERE, "secret".to_owned(), Some("secret".to_owned()));
    let mut known = Box::pin(known);
    assert_eq!(known.as_mut().now_or_never(), None, "it has a place");
    let mut before = 0;
    let right = loop {
        permit.send(()).unwrap();
        tokio::select! {
            biased;
            right = &mut known => break right,
            Some(answer) = flood.next() => before += usize::from(answer.is_ok()),
        }
    };
    assert_eq!(right, Ok(true));
    assert!(before <= 2 * usize::from(addresses), "it waited for {before} others");
    for _ in 0..waiting {
        permit.send(()).unwrap();
    }
    while flood.next().await.is_some() {}
    assert_eq!(most_at_once.load(Ordering::SeqCst), 1, "one is hashed at a time");
    drop((flood, known));
    drop(passwords);
    drop(permit);
    thread.join().unwrap();
}
