//! One sender: what it sends and when, and how long each message waited for its acknowledgement.
//! It must not know who receives.

use super::body::{now_ns, prepare, stamped};
use super::due::Schedule;
use super::failover::Watch;
use super::people::{DEADLINE, Person};
use crate::chat::command::Target;
use crate::chat::ids::{ConversationId, UserId};
use crate::client::{Client, ClientEvent, Connection};
use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use std::collections::{BTreeMap, VecDeque};
use std::pin::pin;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

/// When a message goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As soon as fewer than so many are unacknowledged.
    Window(u64),
    /// So many a second, whatever became of those before.
    Rate(u32),
}

/// A sender.
pub struct Sender {
    /// Its device.
    pub client: Client,
    events: Receiver<ClientEvent>,
    /// In turn.
    to: Vec<Target>,
    /// Messages to one of them before the next one has its turn.
    burst: u64,
    size: usize,
    sent: u64,
    ledger: Ledger,
}

/// What became of the messages.
struct Ledger {
    own: UserId,
    /// When those were due that are not acknowledged, in nanoseconds of UNIX time.
    due: VecDeque<u64>,
    /// Nanoseconds from there to the acknowledgement.
    waits: Histogram<u64>,
    /// The last own message of each conversation, and up to where the other side has them.
    delivered: BTreeMap<ConversationId, (u64, u64)>,
    /// Who looks on.
    watch: Option<Watch>,
}

impl Sender {
    /// One that writes to these in turn, in bodies of `size` bytes.
    pub fn new(person: Person, to: Vec<Target>, size: usize) -> anyhow::Result<Self> {
        let ledger = Ledger {
            own: person.user,
            due: VecDeque::new(),
            waits: Histogram::new(3)?,
            delivered: BTreeMap::new(),
            watch: None,
        };
        prepare();
        let Person { client, events, .. } = person;
        Ok(Self { client, events, to, burst: 1, size, sent: 0, ledger })
    }

    /// Each gets so many messages before the next one has its turn; at least 1.
    pub fn in_bursts(self, burst: u64) -> Self {
        Self { burst: burst.max(1), ..self }
    }

    /// Somebody looks on when messages go out and are acknowledged.
    pub fn watched(mut self, watch: Watch) -> Self {
        self.ledger.watch = Some(watch);
        self
    }

    /// Nanoseconds from being due to being acknowledged.
    pub const fn waits(&self) -> &Histogram<u64> {
        &self.ledger.waits
    }

    /// Sends so many messages; returns when all are acknowledged.
    pub async fn run(&mut self, messages: u64, pace: Pace) -> anyhow::Result<()> {
        match pace {
            Pace::Window(window) => self.keep_full(messages, window.max(1)).await,
            Pace::Rate(per_second) => {
                self.keep_pace(messages, per_second, std::future::pending()).await
            }
        }
    }

    /// Sends so many a second until `stop` resolves; returns when all are acknowledged: what each
    /// waited, in nanoseconds from being due.
    pub async fn flow(
        &mut self,
        per_second: u32,
        stop: impl Future<Output = ()>,
    ) -> anyhow::Result<Histogram<u64>> {
        let empty = Histogram::new(3)?;
        self.keep_pace(u64::MAX, per_second, stop).await?;
        Ok(std::mem::replace(&mut self.ledger.waits, empty))
    }

    /// Messages sent so far.
    pub const fn sent(&self) -> u64 {
        self.sent
    }

    async fn keep_full(&mut self, messages: u64, window: u64) -> anyhow::Result<()> {
        let last = self.sent + messages;
        while self.sent < last || !self.ledger.due.is_empty() {
            if self.sent < last && (self.ledger.due.len() as u64) < window {
                self.send(now_ns()).await?;
            } else {
                let event = next(&mut self.events).await?;
                self.ledger.take(&event)?;
            }
        }
        Ok(())
    }

    async fn keep_pace(
        &mut self,
        messages: u64,
        per_second: u32,
        stop: impl Future<Output = ()>,
    ) -> anyhow::Result<()> {
        let mut stop = pin!(stop);
        let mut times = Schedule { begin_ns: now_ns(), per_second }.start(messages);
        let mut more = true;
        while more || !self.ledger.due.is_empty() {
            tokio::select! {
                due_ns = times.recv(), if more => match due_ns {
                    Some(due_ns) => self.send(due_ns).await?,
                    None => more = false,
                },
                event = next(&mut self.events), if !self.ledger.due.is_empty() => {
                    self.ledger.take(&event?)?;
                }
                () = &mut stop, if more => more = false,
            }
        }
        Ok(())
    }

    /// Hands a message to the client. Events are taken meanwhile: a client whose events wait hears
    /// no acknowledgements, and would have no room for the message.
    async fn send(&mut self, due_ns: u64) -> anyhow::Result<()> {
        let Self { client, events, to, burst, size, sent, ledger } = self;
        let turn = usize::try_from(*sent / *burst)?.checked_rem(to.len());
        let to = turn.and_then(|turn| to.get(turn)).context("nobody to send to")?;
        let mut sending = pin!(client.send(*to, stamped(*size, due_ns)));
        ledger.due.push_back(due_ns);
        if let Some(watch) = &ledger.watch {
            watch.hand_over();
        }
        *sent += 1;
        loop {
            tokio::select! {
                biased;
                result = &mut sending => {
                    result?;
                    break;
                }
                event = next(events) => ledger.take(&event?)?,
            }
        }
        while let Ok(event) = events.try_recv() {
            ledger.take(&event)?;
        }
        Ok(())
    }

    /// Waits until those who got the messages are known to have them.
    pub async fn all_delivered(&mut self) -> anyhow::Result<()> {
        let wait = async {
            while !self.ledger.all_delivered() {
                let event = next(&mut self.events).await?;
                self.ledger.take(&event)?;
            }
            anyhow::Ok(())
        };
        let ended = timeout(DEADLINE, wait).await;
        ended.context("not every message was marked delivered in time")?
    }
}

impl Ledger {
    fn take(&mut self, event: &ClientEvent) -> anyhow::Result<()> {
        match event {
            ClientEvent::Committed { count, conversation, first_seq, .. } => {
                let now = now_ns();
                if let Some(watch) = &self.watch {
                    watch.acknowledge(*count);
                }
                for due in (0..*count).filter_map(|_| self.due.pop_front()) {
                    self.waits.record(now.saturating_sub(due).max(1))?;
                }
                let (last, _) = self.delivered.entry(*conversation).or_default();
                *last = (*last).max((first_seq + count).saturating_sub(1));
            }
            ClientEvent::Marked(mark) if mark.user.is_some_and(|user| user != self.own) => {
                let (_, delivered) = self.delivered.entry(mark.conversation).or_default();
                *delivered = (*delivered).max(mark.delivered);
            }
            // Told anew after a lost connection.
            ClientEvent::Conversation(info) => {
                let others = info.members.iter().filter(|member| member.user != self.own);
                let known = others.map(|member| member.delivered).max().unwrap_or_default();
                let (_, delivered) = self.delivered.entry(info.id).or_default();
                *delivered = (*delivered).max(known);
            }
            ClientEvent::Refused { number, refusal } => {
                bail!("message {number} was refused: {refusal}")
            }
            ClientEvent::Connection(Connection::Ready { seat, .. }) => {
                if let Some(watch) = &self.watch {
                    watch.arrive(*seat);
                }
            }
            ClientEvent::Connection(Connection::Failed(error)) => {
                bail!("the sender failed: {error}")
            }
            _ => {}
        }
        Ok(())
    }

    fn all_delivered(&self) -> bool {
        self.delivered.values().all(|(last, delivered)| delivered >= last)
    }
}

/// The next event, which comes within the deadline. Cancel-safe.
async fn next(events: &mut Receiver<ClientEvent>) -> anyhow::Result<ClientEvent> {
    let event = timeout(DEADLINE, events.recv()).await.context("no answer in time")?;
    event.context("the sender ended")
}
