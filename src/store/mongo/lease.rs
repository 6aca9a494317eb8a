//! The claim on the database while it is held: the beat that renews it, and the end that
//! all parts of the store share. It must not know how a claim is made.

use super::db::Db;
use super::fields::{NODE, int};
use super::owner::ID;
use crate::limits::{STORE_BEAT, STORE_LEASE};
use crate::store::StoreError;
use mongodb::bson::{Document, doc};
use rustix::time::{ClockId, clock_gettime};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The first error that the store cannot go on after; cheap to clone.
#[derive(Clone)]
pub(super) struct End {
    first: Arc<watch::Sender<Option<StoreError>>>,
}

/// The same error again.
pub(super) fn again(error: &StoreError) -> StoreError {
    match error {
        StoreError::Io(error) => {
            StoreError::Io(std::io::Error::new(error.kind(), error.to_string()))
        }
        StoreError::Corrupt(text) => StoreError::Corrupt(text.clone()),
        StoreError::NotOurs(text) => StoreError::NotOurs(text.clone()),
        StoreError::Unavailable(text) => StoreError::Unavailable(text.clone()),
    }
}

impl End {
    pub(super) fn new() -> Self {
        Self { first: Arc::new(watch::Sender::new(None)) }
    }

    /// Notes an error; the first one counts. Gives it back.
    pub(super) fn note(&self, error: StoreError) -> StoreError {
        self.first.send_if_modified(|first| {
            let is_first = first.is_none();
            if is_first {
                tracing::error!(%error, "the store cannot go on");
                *first = Some(again(&error));
            }
            is_first
        });
        error
    }

    /// Whether the store still works.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.first.borrow().as_ref().map_or(Ok(()), |error| Err(again(error)))
    }

    /// Resolves with the first error.
    pub(super) async fn wait(&self) -> StoreError {
        let mut seen = self.first.subscribe();
        match seen.wait_for(Option::is_some).await {
            Ok(first) => first.as_ref().map_or_else(gone, again),
            Err(_) => gone(),
        }
    }
}

fn gone() -> StoreError {
    StoreError::Io(std::io::Error::other("the store is closed"))
}

/// A claim that is held.
pub(super) struct Lease {
    /// The epoch that every write names.
    pub(super) epoch: u64,
    renewed: Mutex<Moment>,
}

/// A time since the machine started. Unlike `Instant` it goes on while the machine sleeps: who
/// wakes up must know that the data may be another's by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Moment(Duration);

#[cfg(target_os = "linux")]
const CLOCK: ClockId = ClockId::Boottime;
#[cfg(not(target_os = "linux"))]
const CLOCK: ClockId = ClockId::Monotonic;

impl Moment {
    pub(super) fn now() -> Self {
        // Neither part is negative: the clock begins with the machine.
        let now = clock_gettime(CLOCK);
        let (seconds, nanos) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
        Self(Duration::from_secs(seconds) + Duration::from_nanos(nanos))
    }

    fn elapsed(self) -> Duration {
        Self::now().0.saturating_sub(self.0)
    }
}

impl Lease {
    pub(super) const fn new(epoch: u64, renewed: Moment) -> Self {
        Self { epoch, renewed: Mutex::new(renewed) }
    }

    /// The database answered what was asked at `asked` as to the owner.
    fn renew(&self, asked: Moment) {
        let mut renewed = self.renewed.lock().unwrap_or_else(PoisonError::into_inner);
        *renewed = asked.max(*renewed);
    }

    /// Whether nobody else can have taken over yet.
    pub(super) fn holds(&self) -> bool {
        self.renewed.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < STORE_LEASE
    }

    /// Asks whether this process is still the owner, before something that names no epoch.
    ///
    /// # Errors
    /// `NotOurs` where another process has taken over.
    pub(super) async fn confirm(&self, db: &Db) -> Result<(), StoreError> {
        self.write(db, doc! { "$inc": { "beat": int(1) } }).await
    }

    /// Changes the node's document, as its owner.
    ///
    /// # Errors
    /// `NotOurs` where another process has taken over.
    pub(super) async fn write(&self, db: &Db, update: Document) -> Result<(), StoreError> {
        let asked = Moment::now();
        let own = doc! { "_id": ID, "epoch": int(self.epoch) };
        let statement = doc! { "q": own, "u": update };
        if db.update(NODE, vec![statement]).await?.matched == 0 {
            return Err(taken_over(db.name()));
        }
        self.renew(asked);
        Ok(())
    }
}

/// The error of one who no longer owns the data.
pub(super) fn taken_over(name: &str) -> StoreError {
    StoreError::NotOurs(format!(
        "another rustchat process has taken database {name} over: only one may use it"
    ))
}

/// Renews the claim until `closed`; `hints` are fields that may be written with it.
pub(super) async fn beat(
    db: Arc<Db>,
    lease: Arc<Lease>,
    end: End,
    closed: CancellationToken,
    hints: impl Fn() -> Document + Send,
) {
    let mut ticks = tokio::time::interval(STORE_BEAT);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = closed.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let update = doc! { "$inc": { "beat": int(1) }, "$set": hints() };
        if let Err(error) = lease.write(&db, update).await {
            drop(end.note(error));
            return;
        }
    }
}
