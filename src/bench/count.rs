//! What receivers get: counted, each in order and once, with its age. It must not know who sends.

use super::body::age_ns;
use super::people::{DEADLINE, Person};
use super::progress::Progress;
use crate::chat::message::Run;
use crate::client::{ClientEvent, Connection};
use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tokio::time::timeout;

/// What all receivers have got.
pub struct Tally(Mutex<Counted>);

struct Counted {
    ages: Histogram<u64>,
    progress: Progress,
}

impl Tally {
    /// Nothing yet, of as many as are expected.
    pub fn new(expected: u64, progress: bool) -> anyhow::Result<Arc<Self>> {
        let progress = Progress::new(progress, expected, "received");
        Ok(Arc::new(Self(Mutex::new(Counted { ages: Histogram::new(3)?, progress }))))
    }

    /// Nanoseconds from being due to being received, of everything.
    pub fn ages(&self) -> Histogram<u64> {
        self.lock().ages.clone()
    }

    /// Counts a run in; how many messages of the benchmark it had.
    fn take(&self, run: &Run) -> anyhow::Result<u64> {
        let mut counted = self.lock();
        let before = counted.ages.len();
        for age in run.bodies.iter().filter_map(age_ns) {
            counted.ages.record(age.max(1))?;
        }
        let after = counted.ages.len();
        counted.progress.tell(after);
        Ok(after - before)
    }

    /// Numbers that were counted in stay right where a thread panicked beside them.
    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes messages of one sender until so many are there, and marks them delivered; when that was,
/// in seconds since the start.
pub async fn receive(
    mut person: Person,
    messages: u64,
    tally: Arc<Tally>,
    start: Instant,
) -> anyhow::Result<(f64, Person)> {
    let (mut got, mut last) = (0, 0);
    while got < messages {
        let event = timeout(DEADLINE, person.events.recv()).await;
        let event = event.with_context(|| format!("{}: {got} of {messages}", person.name))?;
        let run = match event.with_context(|| format!("{} ended", person.name))? {
            ClientEvent::Messages(run) => run,
            ClientEvent::Connection(Connection::Failed(error)) => return Err(error.into()),
            _ => continue,
        };
        if run.first_number <= last {
            bail!("{}: message {} came after {last}", person.name, run.first_number);
        }
        last = run.first_number + run.count() - 1;
        got += tally.take(&run)?;
        person.client.mark(run.conversation, run.last_seq(), 0);
    }
    Ok((start.elapsed().as_secs_f64(), person))
}
