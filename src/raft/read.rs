//! Quorum reads (ReadIndex): many callers share one round. It must not know what
//! is read.

use super::ReadError;
use super::shared::{Leader, Shared};
use crate::limits;
use crate::wire::peer::MessageKind;
use crate::wire::raft;
use openraft::ReadPolicy;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};

/// One round takes at most this long; a lost one is tried again.
const ROUND: Duration = Duration::from_secs(1);
/// Before another round where nobody leads.
const PAUSE: Duration = Duration::from_millis(30);

/// Asks for the index that a reader must see; cheap to clone.
#[derive(Clone)]
pub struct Reader {
    shared: Arc<Shared>,
    waiting: mpsc::Sender<Waiting>,
}

struct Waiting {
    /// A question of a follower: answered only while this node leads.
    only_leading: bool,
    until: Instant,
    tell: oneshot::Sender<Option<u64>>,
}

/// The task's end.
pub struct Rounds {
    shared: Arc<Shared>,
    waiting: mpsc::Receiver<Waiting>,
}

/// A reader and the task that [`Rounds::run`] is.
pub fn reader(shared: Arc<Shared>) -> (Reader, Rounds) {
    let (send, waiting) = mpsc::channel(limits::READS_WAITING);
    (Reader { shared: Arc::clone(&shared), waiting: send }, Rounds { shared, waiting })
}

impl Reader {
    /// The index of a quorum read, once this node has applied it.
    ///
    /// # Errors
    /// When no majority answered in time, or the node has stopped.
    pub async fn barrier(&self) -> Result<u64, ReadError> {
        let until = Instant::now() + limits::READ_TIME;
        let index = self.ask(false, until).await?.ok_or(ReadError::NoQuorum)?;
        match tokio::time::timeout_at(until.into(), self.shared.applied.wait(index)).await {
            Ok(true) => Ok(index),
            Ok(false) => Err(ReadError::Stopped),
            Err(_) => Err(ReadError::NoQuorum),
        }
    }

    /// For a follower: the index, if this node leads and a majority says so.
    pub async fn index_if_leading(&self) -> Option<u64> {
        self.ask(true, Instant::now() + ROUND).await.ok().flatten()
    }

    async fn ask(&self, only_leading: bool, until: Instant) -> Result<Option<u64>, ReadError> {
        let (tell, told) = oneshot::channel();
        let asked = self.waiting.send(Waiting { only_leading, until, tell });
        match tokio::time::timeout_at(until.into(), asked).await {
            Err(_) => return Ok(None),
            Ok(Err(_)) => return Err(ReadError::Stopped),
            Ok(Ok(())) => {}
        }
        told.await.map_err(|_| ReadError::Stopped)
    }
}

impl Rounds {
    /// Serves for as long as the node runs. A caller is answered by a round that began
    /// after it asked.
    pub async fn run(mut self) {
        let mut waiting = Vec::new();
        loop {
            if waiting.is_empty() {
                match self.waiting.recv().await {
                    Some(first) => waiting.push(first),
                    None => return,
                }
            }
            while let Ok(next) = self.waiting.try_recv() {
                waiting.push(next);
            }
            let leading = matches!(self.shared.leader(), Leader::Me | Leader::Soon);
            let index = tokio::time::timeout(ROUND, self.round()).await.ok().flatten();
            let now = Instant::now();
            for one in std::mem::take(&mut waiting) {
                match index {
                    Some(_) if leading || !one.only_leading => drop(one.tell.send(index)),
                    None if !one.only_leading && now < one.until => waiting.push(one),
                    _ => drop(one.tell.send(None)),
                }
            }
            if !waiting.is_empty() {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn round(&self) -> Option<u64> {
        match self.shared.leader() {
            Leader::Me | Leader::Soon => {
                let read = self.shared.raft()?.get_read_log_id(ReadPolicy::ReadIndex).await;
                read.ok().map(|(id, _)| id.index())
            }
            Leader::Other(seat) => {
                let mesh = self.shared.mesh()?;
                let ask = raft::encode_read_index();
                let answer = mesh.call(seat, MessageKind::ReadIndex, ask, ROUND).await.ok()?;
                raft::decode_read_answer(answer).ok()?
            }
            Leader::Nobody => None,
        }
    }
}
