//! The handle of a running client: what a program can ask of it. Everything here
//! is quick or waits for the driver; nothing here touches the network.

use super::device::{Device, Known};
use super::driver::Driver;
use super::find::Seeker;
use super::outbox::Outbox;
use super::requests::{Answer, NewPassword, Question};
use super::security::Pins;
use super::{ClientConfig, ClientError, ClientEvent, DeviceInfo, FoundUser};
use crate::chat::command::Target;
use crate::chat::ids::{ClusterId, ConversationId, DeviceId};
use crate::chat::message::{Body, Run};
use crate::chat::refusal::Refusal;
use crate::limits;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

/// A question must be answered within this time, connection or not.
const ANSWER: Duration = Duration::from_secs(30);

/// What handle and driver share.
pub struct Shared {
    outbox: Mutex<Outbox>,
    device: Mutex<Device>,
    /// The user's marks that the driver has not taken.
    marks: Mutex<BTreeMap<ConversationId, (u64, u64)>>,
    /// Why the client ended.
    failure: Mutex<Option<ClientError>>,
    /// Something for the driver to do.
    pub wake: Notify,
    /// Own messages got outcomes, or the outbox opened.
    pub moved: Notify,
    /// The program wants another connection.
    pub reconnect: AtomicBool,
    /// Messages that come do not count as delivered.
    pub unheard: AtomicBool,
    /// The program is done with the client.
    pub stop: CancellationToken,
    /// The driver has ended.
    pub ended: CancellationToken,
}

/// A question on its way to the driver.
pub struct Asked {
    /// What.
    pub question: Question,
    /// Where to.
    pub answer: oneshot::Sender<Result<Answer, ClientError>>,
}

/// A client. Cheap to clone; the last clone dropped ends it.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    asked: mpsc::Sender<Asked>,
    questions: Arc<Semaphore>,
    tasks: TaskTracker,
    _end: Arc<DropGuard>,
}

/// A poisoned lock means that a thread panicked while it held it; the data is only counted in.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// The outbox.
    pub fn outbox(&self) -> MutexGuard<'_, Outbox> {
        lock(&self.outbox)
    }

    /// The device.
    pub fn device(&self) -> MutexGuard<'_, Device> {
        lock(&self.device)
    }

    /// The user's marks since the last call.
    pub fn take_marks(&self) -> BTreeMap<ConversationId, (u64, u64)> {
        std::mem::take(&mut *lock(&self.marks))
    }

    /// Notes why the client ends.
    pub fn fail(&self, why: ClientError) {
        *lock(&self.failure) = Some(why);
    }

    fn why_ended(&self) -> ClientError {
        lock(&self.failure).clone().unwrap_or(ClientError::Closed)
    }
}

impl Client {
    /// Takes a device and starts to connect; needs a tokio runtime. Events must be taken: a
    /// client whose events wait reads nothing more from its server.
    ///
    /// # Errors
    /// The state directory cannot be used.
    pub fn start(config: ClientConfig) -> Result<(Self, mpsc::Receiver<ClientEvent>), ClientError> {
        let user = config.account.name.clone();
        let (device, outbox) = match &config.state_dir {
            Some(state) => {
                let finding = &config.finding;
                let cluster = finding.home.as_deref().or(finding.cluster.as_deref());
                Device::take(state, &user, cluster)?
            }
            None => Device::memory(config.device),
        };
        let seeker = seeker(&config, &device)?;
        let shared = Arc::new(Shared {
            outbox: Mutex::new(outbox),
            device: Mutex::new(device),
            marks: Mutex::default(),
            failure: Mutex::default(),
            wake: Notify::new(),
            moved: Notify::new(),
            reconnect: AtomicBool::new(false),
            unheard: AtomicBool::new(false),
            stop: CancellationToken::new(),
            ended: CancellationToken::new(),
        });
        let (events, receiver) = mpsc::channel(limits::CLIENT_EVENTS);
        let (asked, questions) = mpsc::channel(limits::CLIENT_REQUESTS);
        let tasks = TaskTracker::new();
        let end = Arc::new(shared.stop.clone().drop_guard());
        tasks.spawn(Driver::new(config, shared.clone(), seeker, events, questions).run());
        tasks.close();
        let questions = Arc::new(Semaphore::new(limits::CLIENT_REQUESTS));
        Ok((Self { shared, asked, questions, tasks, _end: end }, receiver))
    }

    /// Puts a message into the outbox and returns its number, once there is room and the
    /// device's numbers are known. What becomes of it comes as an event.
    ///
    /// # Errors
    /// The size is wrong, the outbox cannot be written, or the client has ended.
    pub async fn send(&self, to: Target, body: Body) -> Result<u64, ClientError> {
        self.send_many(to, vec![body]).await
    }

    /// As [`Client::send`], for messages to one target; returns the number of the first.
    ///
    /// # Errors
    /// As [`Client::send`]; then none was taken.
    pub async fn send_many(&self, to: Target, bodies: Vec<Body>) -> Result<u64, ClientError> {
        let fits = |body: &Body| (1..=limits::BODY_BYTES).contains(&body.data.len());
        if !bodies.iter().all(fits) {
            return Err(ClientError::Refused(Refusal::BodySize));
        }
        loop {
            let mut moved = pin!(self.shared.moved.notified());
            moved.as_mut().enable();
            if self.shared.ended.is_cancelled() {
                return Err(self.shared.why_ended());
            }
            if self.shared.outbox().has_room() {
                break;
            }
            tokio::select! {
                () = moved => {}
                () = self.shared.ended.cancelled() => {}
            }
        }
        let first = self.shared.outbox().append(to, bodies);
        self.shared.wake.notify_one();
        first.map_err(|why| ClientError::State(format!("the outbox cannot be written: {why}")))
    }

    /// Finds a user by name; waits for a connection.
    ///
    /// # Errors
    /// There is no such user, no answer in time, or the client has ended.
    pub async fn lookup(&self, name: &str) -> Result<FoundUser, ClientError> {
        match self.ask(Question::Lookup(name.to_owned())).await? {
            Answer::Found(user) => Ok(user),
            _ => Err(ClientError::Refused(Refusal::Protocol)),
        }
    }

    /// The user's devices, those in use first.
    ///
    /// # Errors
    /// No answer in time, or the client has ended.
    pub async fn devices(&self) -> Result<Vec<DeviceInfo>, ClientError> {
        match self.ask(Question::Devices).await? {
            Answer::Devices(devices) => Ok(devices),
            _ => Err(ClientError::Refused(Refusal::Protocol)),
        }
    }

    /// Revokes a device of the user: its token is worth nothing any more. Where it is this one, the
    /// client ends soon afterwards.
    ///
    /// # Errors
    /// The user has no such device, no answer in time, or the client has ended.
    pub async fn revoke(&self, device: DeviceId) -> Result<(), ClientError> {
        self.ask(Question::Revoke(device)).await.map(drop)
    }

    /// Changes the user's password.
    ///
    /// # Errors
    /// The old one is wrong, no answer in time, or the client has ended.
    pub async fn change_password(&self, wanted: NewPassword) -> Result<(), ClientError> {
        self.ask(Question::ChangePassword(wanted)).await.map(drop)
    }

    /// The messages `from..=to` of a conversation; `current` makes it a quorum read.
    ///
    /// # Errors
    /// The user is not in that conversation, no answer in time, or the client has ended.
    pub async fn history(
        &self,
        conversation: ConversationId,
        from: u64,
        to: u64,
        current: bool,
    ) -> Result<Vec<Run>, ClientError> {
        match self.ask(Question::History { conversation, from, to, current }).await? {
            Answer::History(runs) => Ok(runs),
            _ => Err(ClientError::Refused(Refusal::Protocol)),
        }
    }

    async fn ask(&self, question: Question) -> Result<Answer, ClientError> {
        let (answer, receiver) = oneshot::channel();
        let asking = async {
            let _turn = self.questions.acquire().await.map_err(|_| ClientError::Closed)?;
            let sent = self.asked.send(Asked { question, answer }).await;
            sent.map_err(|_| self.shared.why_ended())?;
            receiver.await.unwrap_or_else(|_| Err(self.shared.why_ended()))
        };
        tokio::time::timeout(ANSWER, asking).await.unwrap_or(Err(ClientError::Timeout))
    }

    /// The user has this much of a conversation (`delivered`) and has seen that much (`read`).
    /// Smaller values change nothing.
    pub fn mark(&self, conversation: ConversationId, delivered: u64, read: u64) {
        let mut marks = lock(&self.shared.marks);
        let mark = marks.entry(conversation).or_default();
        *mark = (mark.0.max(delivered), mark.1.max(read));
        drop(marks);
        self.shared.wake.notify_one();
    }

    /// From now on messages count as delivered only by [`Client::mark`]: for a program that
    /// does not keep what it takes.
    pub fn mark_by_hand(&self) {
        self.shared.unheard.store(true, Ordering::Relaxed);
    }

    /// This device.
    #[must_use]
    pub fn device(&self) -> DeviceId {
        self.shared.device().id
    }

    /// Remembers for the next process that messages up to these seqs were handed on for good.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn keep_have(&self, news: &BTreeMap<ConversationId, u64>) -> Result<(), ClientError> {
        let mut device = self.shared.device();
        let mut have = device.have.clone();
        for (id, seq) in news {
            let known = have.entry(*id).or_default();
            *known = (*known).max(*seq);
        }
        device.save_have(have).map_err(|why| ClientError::State(why.to_string()))
    }

    /// What was printed stood in another generation of the cluster.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn forget_have(&self) -> Result<(), ClientError> {
        let forgotten = self.shared.device().save_have(BTreeMap::new());
        forgotten.map_err(|why| ClientError::State(why.to_string()))
    }

    /// The number of the newest own message; 0 before the first.
    #[must_use]
    pub fn last_number(&self) -> u64 {
        self.shared.outbox().last()
    }

    /// Own messages without an outcome, those of earlier processes included.
    #[must_use]
    pub fn unfinished(&self) -> u64 {
        self.shared.outbox().pending()
    }

    /// Resolves when no own message is without an outcome, or the client has ended.
    pub async fn flushed(&self) {
        loop {
            let mut moved = pin!(self.shared.moved.notified());
            moved.as_mut().enable();
            if self.unfinished() == 0 || self.shared.ended.is_cancelled() {
                return;
            }
            tokio::select! {
                () = moved => {}
                () = self.shared.ended.cancelled() => {}
            }
        }
    }

    /// Drops the connection and asks again who leads.
    #[expect(clippy::unused_async, reason = "asking the driver may have to wait one day")]
    pub async fn reconnect(&self) {
        self.shared.reconnect.store(true, Ordering::Relaxed);
        self.shared.wake.notify_one();
    }

    /// Revokes this device, ends the client and removes the device's directory.
    ///
    /// # Errors
    /// It is not known to be revoked: then all stays as it is, but for the client, which ends. Or
    /// the directory cannot be removed.
    pub async fn log_out(self) -> Result<(), ClientError> {
        let shared = self.shared.clone();
        // Before: the server ends the session with the answer.
        shared.device().doom(true);
        let revoked = self.revoke(self.device()).await;
        if revoked.is_err() {
            shared.device().doom(false);
        }
        self.close().await;
        revoked?;
        let left = shared.device().left().map(ToString::to_string);
        left.map_or(Ok(()), |why| Err(ClientError::State(why)))
    }

    /// Ends the client; its device is free afterwards.
    pub async fn close(self) {
        self.shared.stop.cancel();
        self.tasks.wait().await;
    }
}

fn seeker(config: &ClientConfig, device: &Device) -> Result<Seeker, ClientError> {
    let state = config.state_dir.as_deref();
    let known = state.and_then(|dir| Known::load(dir, &config.account.name)).unwrap_or_default();
    let at_home = config.finding.home.as_ref().is_none_or(|home| *home == known.name);
    Ok(Seeker {
        finding: config.finding.clone(),
        bound: device.cluster,
        last: ClusterId::parse(&known.cluster),
        last_name: known.name,
        // Of the cluster used last, which may be another one than the user's own.
        remembered: known.servers.into_iter().filter(|_| at_home).collect(),
        learned: Vec::new(),
        away: None,
        pins: Pins::load(state)?,
    })
}
