//! Two people who go on chatting while others are idle, or come back: a steady rate, each
//! message timed from when it was due. It must not know of the others.

use crate::bench::people::{DEADLINE, Person, account, enter, leave};
use crate::bench::sending::Sender;
use crate::chat::command::Target;
use crate::client::{Client, ClientEvent, Finding};
use anyhow::{Context, bail};
use hdrhistogram::Histogram;
use tokio::sync::mpsc::Receiver;
use tokio::sync::watch;
use tokio::time::timeout;

/// Messages a second.
pub const RATE: u32 = 200;
/// Bytes of a body.
const SIZE: usize = 100;
/// New clients come to one server after the other; so many of them, and two are elsewhere.
const TRIES: u32 = 12;

/// The two.
pub struct Trickle {
    sender: Sender,
    receiver: Client,
    /// Messages that the receiver has got.
    got: watch::Receiver<u64>,
}

impl Trickle {
    /// Two new people, on other servers than the one on the seat `not`.
    ///
    /// # Errors
    /// They cannot log in, or all come to that one.
    pub async fn start(finding: &Finding, not: u32) -> anyhow::Result<Self> {
        let tag = rand::random::<u32>();
        let (mut fit, mut rest) = (Vec::new(), Vec::new());
        for number in 0..TRIES {
            let person = enter(finding, account(format!("bench-{tag:08x}-t{number}"))).await?;
            match person.seat == not {
                true => rest.push(person.client),
                false => fit.push(person),
            }
            if fit.len() == 2 {
                break;
            }
        }
        leave(rest).await;
        let mut fit = fit.into_iter();
        let (Some(sender), Some(receiver)) = (fit.next(), fit.next()) else {
            bail!("all clients are sent to server {not}");
        };
        let Person { client, user, events, .. } = receiver;
        let sender = Sender::new(sender, vec![Target::User(user)], SIZE)?;
        let (count, got) = watch::channel(0);
        tokio::spawn(receive(events, count));
        Ok(Self { sender, receiver: client, got })
    }

    /// They chat until `stop`: what each message waited for its acknowledgement, in nanoseconds.
    ///
    /// # Errors
    /// A message has no outcome in time.
    pub async fn flow(&mut self, stop: impl Future<Output = ()>) -> anyhow::Result<Histogram<u64>> {
        self.sender.flow(RATE, stop).await
    }

    /// All messages have been received, each once; both leave.
    ///
    /// # Errors
    /// One has not, in time.
    pub async fn end(mut self) -> anyhow::Result<()> {
        let sent = self.sender.sent();
        let all = timeout(DEADLINE, self.got.wait_for(|got| *got >= sent)).await;
        let got = *all.context("not every message was received in time")?.context("it ended")?;
        leave([self.sender.client, self.receiver]).await;
        if got > sent { bail!("{got} messages received, {sent} sent") } else { Ok(()) }
    }
}

/// Counts what comes until nothing more can.
async fn receive(mut events: Receiver<ClientEvent>, count: watch::Sender<u64>) {
    while let Some(event) = events.recv().await {
        if let ClientEvent::Messages(run) = event {
            count.send_modify(|count| *count += run.count());
        }
    }
}
