//! Passwords: Argon2id, one at a time on a thread of low priority, so that a
//! storm of logins cannot take the processor from Raft, in turns of those who wait; and
//! who must wait after failed tries. It must not know sessions or the state.

use super::fair::Fair;
use super::origin::Origin;
use super::shared::lock;
use crate::limits;
use argon2::password_hash::{Output, ParamsString, PasswordHash, Salt, SaltString};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

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

/// After a wrong password the thread rests for so many times as long as that took: guessing takes
/// a quarter of a processor at most.
const REST: u32 = 3;
/// The longest such rest.
const LONGEST_REST: Duration = Duration::from_millis(200);

/// Why a password was not looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordError {
    /// Too many wait, or too many from the same address: try again later.
    Full,
    /// The thread has ended, or Argon2 itself failed.
    Failed,
}

enum Job {
    Hash { password: String, answer: oneshot::Sender<Option<String>> },
    Verify { password: String, hash: Option<String>, answer: oneshot::Sender<Option<bool>> },
}

/// What waits for the thread.
struct Queue {
    jobs: Fair<Job>,
    /// Nobody can add to it any more.
    closed: bool,
}

struct Waiting {
    queue: Mutex<Queue>,
    news: Condvar,
}

impl Waiting {
    /// The next job; `None` once there is none and never will be.
    fn next(&self) -> Option<Job> {
        let mut queue = lock(&self.queue);
        loop {
            let job = queue.jobs.pop();
            if job.is_some() || queue.closed {
                return job;
            }
            queue = self.news.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Closes the queue when it is dropped.
struct Entrance(Arc<Waiting>);

impl Drop for Entrance {
    fn drop(&mut self) {
        lock(&self.0.queue).closed = true;
        self.0.news.notify_all();
    }
}

/// The hashing thread's queue. Cheap to clone; the thread ends with the last one.
#[derive(Clone)]
pub struct Passwords {
    entrance: Arc<Entrance>,
}

/// How passwords are hashed.
trait Hashing: Send + 'static {
    /// The PHC string of a password under a new salt.
    fn hash(&self, password: &[u8]) -> Option<String>;
    /// Whether it is the password of this PHC string.
    fn verify(&self, password: &[u8], hash: &str) -> Option<bool>;
}

struct Argon;

impl Hashing for Argon {
    fn hash(&self, password: &[u8]) -> Option<String> {
        hash(password)
    }

    fn verify(&self, password: &[u8], hash: &str) -> Option<bool> {
        verify(password, hash)
    }
}

impl Passwords {
    /// Starts the thread.
    ///
    /// # Errors
    /// When there are no more threads.
    pub fn start() -> io::Result<(Self, JoinHandle<()>)> {
        Self::start_with(Argon)
    }

    fn start_with(hashing: impl Hashing) -> io::Result<(Self, JoinHandle<()>)> {
        let jobs = Fair::new(limits::PASSWORDS, limits::PASSWORDS_PER_ADDRESS);
        let queue = Mutex::new(Queue { jobs, closed: false });
        let waiting = Arc::new(Waiting { queue, news: Condvar::new() });
        let thread = std::thread::Builder::new().name("passwords".to_owned());
        let own = Arc::clone(&waiting);
        let handle = thread.spawn(move || work(&own, &hashing))?;
        Ok((Self { entrance: Arc::new(Entrance(waiting)) }, handle))
    }

    /// The PHC string of a new password that came from this address.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn hash(&self, from: IpAddr, password: String) -> Result<String, PasswordError> {
        let (answer, hashed) = oneshot::channel();
        self.wait_for(from, Job::Hash { password, answer });
        hashed.await.map_err(|_| PasswordError::Full)?.ok_or(PasswordError::Failed)
    }

    /// True if the password, which came from this address, belongs to the hash. Without a hash
    /// the same work is done for nothing, so that the time does not tell whether the user exists.
    ///
    /// # Errors
    /// See [`PasswordError`].
    pub async fn verify(
        &self,
        from: IpAddr,
        password: String,
        hash: Option<String>,
    ) -> Result<bool, PasswordError> {
        let (answer, verified) = oneshot::channel();
        self.wait_for(from, Job::Verify { password, hash, answer });
        verified.await.map_err(|_| PasswordError::Full)?.ok_or(PasswordError::Failed)
    }

    /// Who has no place, or no longer, hears so by the end of the channel for the answer.
    fn wait_for(&self, from: IpAddr, job: Job) {
        let Entrance(waiting) = &*self.entrance;
        drop(lock(&waiting.queue).jobs.push(Origin::of(from), job));
        waiting.news.notify_one();
    }
}

fn work(queue: &Waiting, hashing: &impl Hashing) {
    lower_priority();
    let dummy = hashing.hash(b"the password of nobody").unwrap_or_default();
    while let Some(job) = queue.next() {
        match job {
            // A session that has gone away no longer waits for the answer.
            Job::Hash { password, answer } => {
                if !answer.is_closed() {
                    drop(answer.send(hashing.hash(password.as_bytes())));
                }
            }
            Job::Verify { password, hash, answer } => {
                if !answer.is_closed() {
                    let known = hash.is_some();
                    let hash = hash.unwrap_or_else(|| dummy.clone());
                    let begin = Instant::now();
                    let right = hashing.verify(password.as_bytes(), &hash);
                    let right = right.map(|right| right && known);
                    if answer.send(right).is_err() {
                        tracing::debug!("nobody waits for this password any more");
                    }
                    if right != Some(true) {
                        // Guessing costs the processor and its memory, whatever the priority.
                        std::thread::park_timeout((begin.elapsed() * REST).min(LONGEST_REST));
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
    failed: BTreeMap<(String, Origin), Failed>,
}

impl Throttle {
    /// How long this pair must still wait before a password is looked at.
    #[must_use]
    pub fn wait(&self, name: &str, address: IpAddr, now: Instant) -> Option<Duration> {
        let failed = self.failed.get(&(name.to_owned(), Origin::of(address)))?;
        failed.until.checked_duration_since(now).filter(|wait| !wait.is_zero())
    }

    /// Notes a wrong password.
    pub fn failed(&mut self, name: &str, address: IpAddr, now: Instant) {
        if self.failed.len() >= limits::FAILED_LOGINS {
            self.make_room(now);
        }
        let fresh = Failed { tries: 0, until: now };
        let failed = self.failed.entry((name.to_owned(), Origin::of(address))).or_insert(fresh);
        failed.tries = failed.tries.saturating_add(1);
        let doublings = failed.tries.saturating_sub(FREE_TRIES);
        if doublings > 0 {
            let factor = 1u32.checked_shl(doublings - 1).unwrap_or(u32::MAX);
            failed.until = now + FIRST_WAIT.saturating_mul(factor).min(LONGEST_WAIT);
        }
    }

    /// Notes a right password.
    pub fn passed(&mut self, name: &str, address: IpAddr) {
        self.failed.remove(&(name.to_owned(), Origin::of(address)));
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
mod tests;
