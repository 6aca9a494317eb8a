//! `rustchat chat --tail [CONVERSATION]`: prints what is unread, then what comes,
//! until it is stopped. What was printed is read, and is not printed again. It
//! must not know where messages come from.

use super::args::ChatArgs;
use super::outcome::{End, Failure, Outcome};
use super::signals::Signals;
use super::talk::{self, Printed, Talk};
use crate::chat::ids::ConversationId;
use crate::chat::message::Run;
use crate::chat::name::FullName;
use crate::chat::refusal::Refusal;
use crate::client::{Client, ClientError, ClientEvent};
use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};

/// Events that are printed before they are noted as printed.
const TOGETHER: usize = 256;

/// Prints the messages of all conversations, or of the one with a user.
///
/// # Errors
/// Exit code 64 for an unknown user; failures of the login and of the output.
pub async fn run(args: &ChatArgs) -> Outcome {
    let with = match args.tail.as_ref().and_then(Option::as_deref) {
        None => None,
        Some(name) => Some(
            FullName::fold(name)
                .map_err(|why| Failure::usage(format!("--tail {name:?}: {why}")))?
                .to_string(),
        ),
    };
    let mut signals = Signals::new()?;
    let mut talk = tokio::select! {
        talk = Talk::start(args) => talk?,
        () = signals.next() => return Ok(End::Done),
    };
    let client = talk.client.clone();
    let known = exists(client.clone(), with.clone());
    let result = tokio::select! {
        failure = known => Err(failure),
        result = print_all(&mut talk, with.as_deref(), args.json) => result,
        () = signals.next() => Ok(End::Done),
    };
    drop(talk);
    client.close().await;
    result
}

/// Resolves if there is no user of this name.
async fn exists(client: Client, name: Option<String>) -> Failure {
    if let Some(name) = name
        && let Err(ClientError::Refused(Refusal::NoSuchUser)) = client.lookup(&name).await
    {
        return Failure::usage(format!("there is no user {name:?}"));
    }
    std::future::pending().await
}

async fn print_all(talk: &mut Talk, with: Option<&str>, json: bool) -> Outcome {
    let mut out = BufWriter::new(io::stdout());
    let mut before = Before::default();
    loop {
        let mut event = Some(talk.next().await?);
        let mut printed = BTreeMap::new();
        let mut left = TOGETHER;
        while let Some(next) = event.take() {
            if let ClientEvent::Restored { began_ms, had, .. } = &next {
                before = Before::new(*began_ms, had, &std::mem::take(&mut printed));
                talk.client.forget_have()?;
            }
            if let ClientEvent::Messages(run) = next
                && with.is_none_or(|name| talk.is_with(run.conversation, name))
            {
                let (conversation, last) = (run.conversation, run.last_seq());
                if let Some(run) = before.new_in(run)
                    && gone(print(&mut out, talk, &run, json))?
                {
                    return Ok(End::Done);
                }
                printed.insert(conversation, last);
            }
            left -= 1;
            if left > 0 {
                event = talk.try_next()?;
            }
        }
        if gone(out.flush())? {
            return Ok(End::Done);
        }
        note(&talk.client, &printed)?;
    }
}

/// What was printed of a cluster that has since gone on from an earlier time: what it still has
/// of that comes again under the same seqs, and is not printed twice.
#[derive(Default)]
struct Before {
    began_ms: u64,
    had: BTreeMap<ConversationId, u64>,
}

impl Before {
    fn new(
        began_ms: u64,
        had: &BTreeMap<ConversationId, u64>,
        printed: &BTreeMap<ConversationId, u64>,
    ) -> Self {
        let mut had = had.clone();
        for (id, seq) in printed {
            let known = had.entry(*id).or_default();
            *known = (*known).max(*seq);
        }
        Self { began_ms, had }
    }

    /// What was not printed of a run, if there is any.
    fn new_in(&self, mut run: Run) -> Option<Run> {
        let had = self.had.get(&run.conversation).copied().unwrap_or_default();
        if run.at_ms >= self.began_ms || had < run.first_seq {
            return Some(run);
        }
        let known = (had + 1 - run.first_seq).min(run.count());
        run.bodies.drain(..usize::try_from(known).unwrap_or(usize::MAX));
        run.first_seq += known;
        run.first_number += known;
        (!run.bodies.is_empty()).then_some(run)
    }
}

/// What was printed is read, and not printed again.
fn note(client: &Client, printed: &BTreeMap<ConversationId, u64>) -> Result<(), Failure> {
    if printed.is_empty() {
        return Ok(());
    }
    client.keep_have(printed)?;
    printed.iter().for_each(|(id, seq)| client.mark(*id, *seq, *seq));
    Ok(())
}

fn print(out: &mut impl Write, talk: &Talk, run: &Run, json: bool) -> io::Result<()> {
    let from = talk.name_of(run.conversation, run.sender);
    let to = talk.addressee(run.conversation, run.sender);
    let (at, conversation) = (talk::rfc3339(run.at_ms), run.conversation.to_string());
    for (offset, body) in (0..).zip(&run.bodies) {
        let message = Printed {
            at: at.clone(),
            conversation: conversation.clone(),
            from: &from,
            id: run.id(offset).to_string(),
            seq: run.first_seq + offset,
            text: talk::text_of(body),
            to: &to,
        };
        if json {
            talk::print_json(out, &message)?;
        } else {
            talk::print_line(out, run.at_ms, &message)?;
        }
    }
    Ok(())
}

/// True if nobody reads the output any more: then there is nothing left to do.
fn gone(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Err(why) if why.kind() == io::ErrorKind::BrokenPipe => Ok(true),
        other => other.map(|()| false),
    }
}
