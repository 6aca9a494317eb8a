//! The idle clients: few users with many devices each, for a new user or device costs its server
//! a password. They run on threads of their own, so that who chats meanwhile does not wait for them.
//! It must not know servers, nor what is done to them.

use super::places::Places;
use crate::bench::people::{self, DEADLINE, Person, account, enter};
use crate::bench::progress::Progress;
use crate::client::{Account, Client, ClientEvent, Connection, Finding};
use anyhow::{Context, bail};
use futures::{StreamExt, stream};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::Receiver;
use tokio::time::{interval, sleep};

/// Devices of one user.
const DEVICES: u32 = 100;
/// Logins under way at a time: enough for each server to have a password to hash.
const AT_ONCE: usize = 48;
/// Users for each third byte of an address.
const USERS_PER_BYTE: u32 = 250;
/// Between two looks who is back.
const LOOK: Duration = Duration::from_millis(20);

/// All of them.
pub struct Crowd {
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    clients: Vec<Client>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    places: Mutex<Places>,
    /// Why the first client that failed did.
    failed: Mutex<Option<String>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Where a thread panicked beside them, what was noted stays right.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Crowd {
    /// So many clients, logged in.
    ///
    /// # Errors
    /// There are no threads, or somebody cannot log in in time.
    pub async fn gather(finding: &Finding, clients: u32, progress: bool) -> anyhow::Result<Self> {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(threads).enable_all();
        let runtime = runtime.build().context("starting threads for the clients")?;
        let shared = Arc::<Shared>::default();
        let entering = all(finding.clone(), clients, progress, Arc::clone(&shared));
        let entering = runtime.spawn(entering);
        let mut crowd = Self { runtime: Some(runtime), clients: Vec::new(), shared };
        crowd.clients = entering.await??;
        Ok(crowd)
    }

    /// Those on this seat.
    pub fn on(&self, seat: u32) -> Vec<usize> {
        lock(&self.shared.places).on(seat)
    }

    /// Waits until all of these have come to a server after `begin`: how long each took.
    ///
    /// # Errors
    /// A client has failed, or not all are back in time.
    pub async fn back(
        &self,
        who: &[usize],
        begin: Instant,
        progress: bool,
    ) -> anyhow::Result<Vec<Duration>> {
        let mut progress = Progress::new(progress, who.len() as u64, "resumed");
        let mut look = interval(LOOK);
        loop {
            look.tick().await;
            if let Some(why) = &*lock(&self.shared.failed) {
                bail!("a client failed: {why}");
            }
            let back = lock(&self.shared.places).back(who, begin);
            if back.len() == who.len() {
                return Ok(back);
            }
            progress.tell(back.len() as u64);
            if begin.elapsed() > DEADLINE {
                let missing = who.len() - back.len();
                bail!("{missing} of {} clients were not served again in time", who.len());
            }
        }
    }

    /// How many have lost a server after `begin`.
    pub fn disturbed(&self, begin: Instant) -> usize {
        lock(&self.shared.places).disturbed(begin)
    }

    /// Ends all of them.
    pub async fn leave(mut self) {
        people::leave(std::mem::take(&mut self.clients)).await;
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        // Waiting is not allowed here; who is still connected is cut off.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Logs in everybody: every user's first device, which registers them, and then the others in
/// turn, so that no address has more logins under way than another one.
async fn all(
    finding: Finding,
    clients: u32,
    progress: bool,
    shared: Arc<Shared>,
) -> anyhow::Result<Vec<Client>> {
    let tag = rand::random::<u32>();
    let users = clients.div_ceil(DEVICES);
    let new: Vec<_> = (0..users).map(|user| account(format!("bench-{tag:08x}-{user}"))).collect();
    let known = new.iter().map(|user| Account { register: false, ..user.clone() });
    let others = known.zip(0_u32..).cycle().take((clients - users) as usize).collect::<Vec<_>>();
    let first = new.iter().cloned().zip(0..).collect();
    let mut progress = Progress::new(progress, clients.into(), "logged in");
    let mut all = Vec::new();
    for part in [first, others] {
        let entering = part.into_iter().map(|(account, user)| {
            let finding = Finding { from: Some(address(user)), ..finding.clone() };
            async move { enter(&finding, account).await }
        });
        let mut entering = stream::iter(entering).buffer_unordered(AT_ONCE);
        while let Some(person) = entering.next().await {
            let Person { client, events, seat, .. } = person?;
            let number = lock(&shared.places).come(seat, Instant::now());
            tokio::spawn(follow(events, number, Arc::clone(&shared)));
            all.push(client);
            progress.tell(all.len() as u64);
        }
    }
    Ok(all)
}

/// Where a user's devices connect from: servers bound what comes from one address, and these
/// stand for as many machines.
fn address(user: u32) -> IpAddr {
    let byte = |number: u32| u8::try_from(number).unwrap_or(u8::MAX);
    let (third, fourth) = (1 + user / USERS_PER_BYTE, 1 + user % USERS_PER_BYTE);
    Ipv4Addr::new(127, 0, byte(third), byte(fourth)).into()
}

/// Notes where a client is until it ends.
async fn follow(mut events: Receiver<ClientEvent>, number: usize, shared: Arc<Shared>) {
    while let Some(event) = events.recv().await {
        let ClientEvent::Connection(connection) = event else { continue };
        let seat = match connection {
            Connection::Ready { seat, .. } => Some(seat),
            Connection::Failed(why) => {
                lock(&shared.failed).get_or_insert(why.to_string());
                None
            }
            _ => None,
        };
        lock(&shared.places).moved(number, seat, Instant::now());
    }
}

/// Lets time pass, and tells how much.
pub async fn rest(time: Duration, progress: bool) {
    let seconds = time.as_secs();
    let mut progress = Progress::new(progress, seconds, "seconds idle");
    for second in 1..=seconds {
        sleep(Duration::from_secs(1)).await;
        progress.tell(second);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_user_has_an_address_of_this_machine_for_themselves() {
        let addresses: std::collections::BTreeSet<_> = (0..10_000).map(address).collect();
        assert_eq!(addresses.len(), 10_000);
        assert!(addresses.iter().all(IpAddr::is_loopback));
        assert!(!addresses.contains(&IpAddr::from(Ipv4Addr::LOCALHOST)), "the servers' own");
    }
}
