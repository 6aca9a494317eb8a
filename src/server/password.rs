//! Passwords: Argon2id, one at a time on a thread of low priority, so that a
//! storm of logins cannot take the processor from Raft; and who must wait after
//! failed tries. It must not know sessions or the state.

use crate::limits;
use argon2::password_hash::{Output, ParamsString, PasswordHash, Salt, SaltString};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// Argon2id as OWASP recommends at least: 19 MiB, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
/// The blocks are asked for in one piece of this many bytes, of which only those in use are ever
/// touched. The GNU C library takes the size of a large piece that is freed for usual: it keeps
/// up to twice as much of whatever is freed later, on every thread. It does not learn from pieces
/// above 32 MiB and gives them back at once.
const PIECE: usize = 33 << 20;

/// Failed tries that cost nothing: people mistype.
const FREE_TRIES: u32 = 3;
/// The wait after the first try that was not free; doubles up to `LONGEST_WAIT`.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// Why a password was not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordError {
    /// Too many wait: try again later.
    Full,
    /// The thread has ended, or Argon2 itself failed.
    Failed,
}

enum Job {
    Hash { password: String, answer: oneshot::Sender<Option<String>> },
    Verify { password: String, hash: Option<String>, answer: oneshot::Sender<Option<bool>> },
}

/// The hashing thread's queue. Cheap to clone; the thread ends with the last one.
#[derive(Clone)]
pub struct Passwords {
    jobs: mpsc::Sender<Job>,
}

impl Passwords {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there are no more threads.
    pub fn start() -> io::Result<(Self, JoinHandle<()>)> {
        let (jobs, queue) = mpsc::channel(limits::PASSWORDS);
        let thread = std::thread::Builder::new().name("passwords".to_owned());
        let handle = thread.spawn(move || work(queue))?;
        Ok((Self { jobs }, handle))
    }

    /// The PHC string of a new password.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn hash(&self, password: String) -> Result<String, PasswordError> {
        let (answer, hashed) = oneshot::channel();
        self.jobs.try_send(Job::Hash { password, answer }).map_err(|_| PasswordError::Full)?;
        hashed.await.ok().flatten().ok_or(PasswordError::Failed)
    }

    /// True if the password belongs to the hash. Without a hash the same work is done for nothing,
    /// so that the time does not tell whether the user exists.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn verify(
        &self,
        password: String,
        hash: Option<String>,
    ) -> Result<bool, PasswordError> {
        let (answer, verified) = oneshot::channel();
        self.jobs
            .try_send(Job::Verify { password, hash, answer })
            .map_err(|_| PasswordError::Full)?;
        verified.await.ok().flatten().ok_or(PasswordError::Failed)
    }
}

fn work(mut queue: mpsc::Receiver<Job>) {
    lower_priority();
    let dummy = hash(b"the password of nobody").unwrap_or_default();
    while let Some(job) = queue.blocking_recv() {
        match job {
            // A session that has gone away no longer waits for the answer.
            Job::Hash { password, answer } => {
                if !answer.is_closed() {
                    drop(answer.send(hash(password.as_bytes())));
                }
            }
            Job::Verify { password, hash, answer } => {
                if !answer.is_closed() {
                    let known = hash.is_some();
                    let hash = hash.unwrap_or_else(|| dummy.clone());
                    let right = verify(password.as_bytes(), &hash);
                    let right = right.map(|right| right && known);
                    if answer.send(right).is_err() {
                        tracing::debug!("nobody waits for this password any more");
                    }
                }
            }
        }
    }
}

/// On Linux priorities belong to threads, so this one alone yields to all others.
fn lower_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        tracing::debug!(%error, "the password thread keeps its priority");
    }
}

/// Argon2 over these parameters, in memory that is given back at once.
fn compute(argon2: &Argon2<'_>, password: &[u8], salt: Salt<'_>, length: usize) -> Option<Output> {
    let mut space = [0; Salt::MAX_LENGTH];
    let salt = salt.decode_b64(&mut space).ok()?;
    let count = argon2.params().block_count();
    let mut blocks = Vec::with_capacity(count.max(PIECE / Block::SIZE));
    blocks.resize(count, Block::default());
    let fill = |out: &mut [u8]| {
        argon2.hash_password_into_with_memory(password, salt, out, &mut blocks).map_err(Into::into)
    };
    Output::init_with(length, fill).ok()
}

fn hash(password: &[u8]) -> Option<String> {
    let params = Params::new(MEMORY_KIB, PASSES, 1, None).ok()?;
    let (algorithm, version) = (Algorithm::Argon2id, Version::V0x13);
    let salt = SaltString::encode_b64(&rand::random::<[u8; 16]>()).ok()?;
    let salt = salt.as_salt();
    let written = ParamsString::try_from(&params).ok()?;
    let argon2 = Argon2::new(algorithm, version, params);
    let output = compute(&argon2, password, salt, Params::DEFAULT_OUTPUT_LEN)?;
    let hash = PasswordHash {
        algorithm: algorithm.ident(),
        version: Some(version.into()),
        params: written,
        salt: Some(salt),
        hash: Some(output),
    };
    Some(hash.to_string())
}

fn verify(password: &[u8], hash: &str) -> Option<bool> {
    let hash = PasswordHash::new(hash).ok()?;
    // The parameters are taken from the hash itself.
    let algorithm = Algorithm::try_from(hash.algorithm).ok()?;
    let version = hash.version.map(Version::try_from).transpose().ok()?.unwrap_or_default();
    let argon2 = Argon2::new(algorithm, version, Params::try_from(&hash).ok()?);
    let (salt, known) = (hash.salt?, hash.hash?);
    // `Output` compares in constant time.
    Some(compute(&argon2, password, salt, known.len())? == known)
}

#[derive(Clone, Copy, Debug)]
struct Failed {
    tries: u32,
    until: Instant,
}

/// Failed logins per name and address. Only waits, never bans, and never the name alone: a
/// stranger cannot lock a user out.
#[derive(Debug, Default)]
pub struct Throttle {
    failed: BTreeMap<(String, IpAddr), Failed>,
}

impl Throttle {
    /// How long this pair must still wait before a password is looked at.
    #[must_use]
    pub fn wait(&self, name: &str, address: IpAddr, now: Instant) -> Option<Duration> {
        let failed = self.failed.get(&(name.to_owned(), address))?;
        failed.until.checked_duration_since(now).filter(|wait| !wait.is_zero())
    }

    /// Notes a wrong password.
    pub fn failed(&mut self, name: &str, address: IpAddr, now: Instant) {
        if self.failed.len() >= limits::FAILED_LOGINS {
            self.make_room(now);
        }
        let fresh = Failed { tries: 0, until: now };
        let failed = self.failed.entry((name.to_owned(), address)).or_insert(fresh);
        failed.tries = failed.tries.saturating_add(1);
        let doublings = failed.tries.saturating_sub(FREE_TRIES);
        if doublings > 0 {
            let factor = 1u32.checked_shl(doublings - 1).unwrap_or(u32::MAX);
            failed.until = now + FIRST_WAIT.saturating_mul(factor).min(LONGEST_WAIT);
        }
    }

    /// Notes a right password.
    pub fn passed(&mut self, name: &str, address: IpAddr) {
        self.failed.remove(&(name.to_owned(), address));
    }

    fn make_room(&mut self, now: Instant) {
        self.failed.retain(|_, failed| failed.until + LONGEST_WAIT > now);
        while self.failed.len() >= limits::FAILED_LOGINS {
            let oldest = self.failed.iter().min_by_key(|(_, failed)| failed.until);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else { return };
            self.failed.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use argon2::password_hash::{PasswordHasher, PasswordVerifier};

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn only_the_right_password_of_a_known_user_passes() {
        let (passwords, thread) = Passwords::start().unwrap();
        let hash = passwords.hash("secret".to_owned()).await.unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_eq!(passwords.verify("secret".to_owned(), Some(hash.clone())).await, Ok(true));
        assert_eq!(passwords.verify("Secret".to_owned(), Some(hash)).await, Ok(false));
        let nobody = passwords.verify("the password of nobody".to_owned(), None).await;
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
}
