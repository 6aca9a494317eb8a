//! The load: users who write to several others each, and two with a conversation of a tenth of
//! everything. It must not know what is measured.

use crate::bench::people::{DEADLINE, Person, account, enter_all};
use crate::bench::progress::Progress;
use crate::bench::sending::{Pace, Sender};
use crate::bench::{IN_FLIGHT, history::Plan};
use crate::chat::command::Target;
use crate::chat::ids::ConversationId;
use crate::chat::message::Run;
use crate::client::{Client, ClientEvent, Connection};
use crate::limits;
use anyhow::{Context, bail, ensure};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Users that one writes to, where there are as many.
const CONVERSATIONS: usize = 10;
/// Messages to one of them before the next one has its turn.
const BURST: u64 = 10;

/// Who writes and who reads, connected.
pub struct People {
    writers: Vec<Person>,
    receivers: Vec<Person>,
}

/// Everything is stored.
pub struct Loaded {
    /// Who has written it.
    pub writers: Vec<Client>,
    /// Who may read what; the first one has the long conversation.
    pub readers: Vec<Reader>,
    /// Conversations in all.
    pub conversations: usize,
    /// Messages of the long one.
    pub long: u64,
}

/// Somebody who received a part of it and is still there.
pub struct Reader {
    /// Their device.
    pub client: Client,
    /// Their conversations, each with its last seq.
    pub conversations: Vec<(ConversationId, u64)>,
    /// Takes their events; ends with the device.
    _events: JoinHandle<()>,
}

type Shown = Arc<Mutex<(u64, Progress)>>;

/// Lets everybody in. They stay to the end: what the history costs is measured, not what they do.
pub async fn enter(plan: &Plan) -> anyhow::Result<People> {
    let tag = rand::random::<u32>();
    let pairs = usize::try_from(plan.users / 2)?.max(1);
    let accounts = (0..=pairs)
        .flat_map(|n| ["w", "r"].map(|side| account(format!("bench-{side}-{tag:08x}-{n}"))));
    let people = enter_all(&plan.finding, accounts.collect(), plan.progress).await?;
    let (mut writers, mut receivers) = (Vec::new(), Vec::new());
    for (n, person) in people.into_iter().enumerate() {
        if n % 2 == 0 { writers.push(person) } else { receivers.push(person) }
    }
    Ok(People { writers, receivers })
}

/// Stores everything, as fast as the servers take it.
pub async fn run(plan: &Plan, people: People) -> anyhow::Result<Loaded> {
    let People { writers, receivers } = people;
    // Without the two of the long conversation.
    let pairs = writers.len().saturating_sub(1);
    let users: Vec<_> = receivers.iter().map(|person| Target::User(person.user)).collect();
    let long = plan.stored / 10;
    let progress = Progress::new(plan.progress, plan.stored, "stored");
    let shown: Shown = Arc::new(Mutex::new((0, progress)));
    let (mut sending, mut expected) = (Vec::new(), vec![0; receivers.len()]);
    for (n, writer) in writers.into_iter().enumerate() {
        let share = share(plan.stored - long, pairs, n);
        let (to, messages, window) = match n {
            0 => (vec![0], long, u64::from(limits::WINDOW_MESSAGES)),
            _ => (partners(pairs, n), share, (IN_FLIGHT / pairs as u64).max(BURST)),
        };
        for (to, messages) in to.iter().zip(turns(messages, to.len())) {
            expected[*to] += messages;
        }
        let to = to.into_iter().filter_map(|to| users.get(to).copied()).collect();
        let mut sender = Sender::new(writer, to, plan.size)?.in_bursts(BURST);
        sending.push(tokio::spawn(async move {
            sender.run(messages, Pace::Window(window)).await?;
            anyhow::Ok(sender.client)
        }));
    }
    let receiving: Vec<_> = receivers
        .into_iter()
        .zip(expected)
        .map(|(person, messages)| tokio::spawn(receive(person, messages, Arc::clone(&shown))))
        .collect();
    let mut writers = Vec::new();
    for sender in sending {
        writers.push(sender.await?.context("a writer")?);
    }
    let mut readers = Vec::new();
    for reader in receiving {
        readers.push(reader.await?.context("a reader")?);
    }
    let conversations = readers.iter().map(|reader| reader.conversations.len()).sum();
    Ok(Loaded { writers, readers, conversations, long })
}

/// Messages of writer `n` (from 1) where so many write `all` of them together.
fn share(all: u64, writers: usize, n: usize) -> u64 {
    let (writers, n) = (writers as u64, n as u64);
    all / writers + u64::from(n > 0 && n <= all % writers)
}

/// Whom writer `n` (from 1) writes to: readers from 1 to `pairs`, each as often as any other.
fn partners(pairs: usize, n: usize) -> Vec<usize> {
    (0..CONVERSATIONS.min(pairs)).map(|k| (n - 1 + k) % pairs + 1).collect()
}

/// Of so many messages, how many each of these gets who have their turn one after the other.
fn turns(messages: u64, receivers: usize) -> impl Iterator<Item = u64> {
    let round = BURST * receivers as u64;
    let (rounds, rest) = (messages.checked_div(round).unwrap_or(0), messages.checked_rem(round));
    let rest = rest.unwrap_or(0);
    (0..receivers as u64).map(move |n| rounds * BURST + rest.saturating_sub(n * BURST).min(BURST))
}

/// Takes so many messages; all of a conversation must come, in order and once.
async fn receive(mut person: Person, messages: u64, shown: Shown) -> anyhow::Result<Reader> {
    let (mut got, mut last) = (0, BTreeMap::<ConversationId, u64>::new());
    while got < messages {
        let event = timeout(DEADLINE, person.events.recv()).await;
        let event = event.with_context(|| format!("{}: {got} of {messages}", person.name))?;
        let run: Run = match event.with_context(|| format!("{} ended", person.name))? {
            ClientEvent::Messages(run) => run,
            ClientEvent::Connection(Connection::Failed(error)) => return Err(error.into()),
            _ => continue,
        };
        let last = last.entry(run.conversation).or_default();
        if run.first_seq != *last + 1 {
            bail!("{}: message {} came after {last}", person.name, run.first_seq);
        }
        *last = run.last_seq();
        got += run.count();
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.0 += run.count();
        let done = shown.0;
        shown.1.tell(done);
    }
    ensure!(got == messages, "{}: {got} messages instead of {messages}", person.name);
    let Person { client, mut events, .. } = person;
    // A client whose events wait reads nothing more.
    let events = tokio::spawn(async move { while events.recv().await.is_some() {} });
    Ok(Reader { client, conversations: last.into_iter().collect(), _events: events })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chat::scripts::seeds;
    use rand::Rng;

    #[test]
    fn nothing_of_the_load_is_left_over() {
        seeds(300, |rng| {
            let (all, pairs) = (rng.random_range(0..100_000), rng.random_range(1..200));
            assert_eq!((1..=pairs).map(|n| share(all, pairs, n)).sum::<u64>(), all);
            let (messages, receivers) = (rng.random_range(0..5000), rng.random_range(1..12));
            let turns: Vec<_> = turns(messages, receivers).collect();
            assert_eq!((turns.len(), turns.iter().sum::<u64>()), (receivers, messages));
            // As a sender does it.
            let mut again = vec![0; receivers];
            for n in 0..messages {
                again[usize::try_from(n / BURST).unwrap() % receivers] += 1;
            }
            assert_eq!(turns, again);
        });
    }

    #[test]
    fn everybody_reads_as_much() {
        for pairs in [1, 3, 10, 100] {
            let mut read = vec![0; pairs + 1];
            for n in 1..=pairs {
                let partners = partners(pairs, n);
                let different: std::collections::BTreeSet<_> = partners.iter().collect();
                assert_eq!(different.len(), CONVERSATIONS.min(pairs));
                partners.iter().for_each(|to| read[*to] += 1);
            }
            assert_eq!(read.remove(0), 0, "the long conversation is nobody else's");
            assert!(read.iter().all(|times| *times == CONVERSATIONS.min(pairs)), "{read:?}");
        }
    }
}
