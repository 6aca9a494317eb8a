//! `rustchat chat --send TO`: standard input, one message a line. It ends well
//! only when all of them are committed. It must not know how that comes about.

use super::args::ChatArgs;
use super::outcome::{End, Failure, Kind, Outcome};
use super::signals::Signals;
use super::talk::{self, Printed, Talk};
use crate::chat::command::Target;
use crate::chat::message::Body;
use crate::chat::name::FullName;
use crate::chat::refusal::Refusal;
use crate::client::{Client, ClientError, ClientEvent, FoundUser, Outgoing};
use crate::limits;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

/// Bytes of input that are looked at together.
const INPUT: usize = 64 * 1024;
/// Another cluster that does not answer is asked again after this time.
const ELSEWHERE: Duration = Duration::from_secs(1);
/// Lines that go into the outbox together.
const LINES: usize = 256;

/// Sends standard input to the user named by `--send`.
///
/// # Errors
/// Exit codes: 64 for an unknown user, 65 for a line that cannot be sent, 75 when a signal ends
/// it before everything is committed.
pub async fn run(args: &ChatArgs) -> Outcome {
    let to = args.send.as_deref().unwrap_or_default();
    let to = FullName::fold(to).map_err(|why| Failure::usage(format!("--send {to:?}: {why}")))?;
    let mut signals = Signals::new()?;
    let talk = tokio::select! {
        talk = Talk::start(args) => talk?,
        () = signals.next() => return Err(Failure::text(Kind::Again, "stopped: nothing was sent")),
    };
    let client = talk.client.clone();
    if client.unfinished() > 0 {
        let text = "messages of an earlier run wait in the outbox; they are sent first";
        // Where standard error is gone, there is nobody left to tell.
        drop(writeln!(io::stderr().lock(), "rustchat: {} {text}", client.unfinished()));
    }
    let mut sending = Sending::new(talk, args.json, &to.to_string());
    let result = tokio::select! {
        result = sending.run(tokio::io::stdin()) => result,
        () = signals.next() => Err(stopped(&client)),
    };
    drop(sending);
    client.close().await;
    result
}

/// Says what a signal leaves undone.
fn stopped(client: &Client) -> Failure {
    let text = match client.unfinished() {
        0 => "stopped before the end of the input; all that was read is committed".to_owned(),
        n => format!(
            "stopped: {n} messages are not committed yet; the outbox keeps them, \
             and this user's next chat from here sends them"
        ),
    };
    Failure::text(Kind::Again, text)
}

/// A running `--send`.
struct Sending {
    talk: Talk,
    json: bool,
    to: String,
    /// Own messages without an outcome.
    waiting: BTreeMap<u64, Outgoing>,
    /// Own messages that were given to the client.
    sent: u64,
    /// Those with an outcome.
    settled: u64,
    refused: Option<(u64, Refusal)>,
    /// Nobody reads what is printed.
    deaf: bool,
}

/// How far the input has come.
enum Input {
    /// Messages, and whether there may be more.
    Lines(Vec<Body>, bool),
    /// Messages, then a line that cannot be sent.
    Bad(Vec<Body>, Failure),
}

impl Sending {
    fn new(talk: Talk, json: bool, to: &str) -> Self {
        Self {
            talk,
            json,
            to: to.to_owned(),
            waiting: BTreeMap::new(),
            sent: 0,
            settled: 0,
            refused: None,
            deaf: false,
        }
    }

    async fn run(&mut self, input: impl AsyncRead + Unpin) -> Outcome {
        let client = self.talk.client.clone();
        let to = self.to.clone();
        let found = self.while_listening(look_up(&client, &to)).await??;
        let target = Target::User(found.user);
        let mut lines = Lines { input: BufReader::with_capacity(INPUT, input), number: 0 };
        let mut bad = None;
        loop {
            let (bodies, more) = match self.while_listening(lines.next()).await? {
                Input::Lines(bodies, more) => (bodies, more),
                Input::Bad(bodies, failure) => {
                    bad = Some(failure);
                    (bodies, false)
                }
            };
            if !bodies.is_empty() {
                self.sent += bodies.len() as u64;
                self.while_listening(client.send_many(target, bodies)).await??;
            }
            if !more {
                break;
            }
        }
        while self.settled < self.sent {
            let event = self.talk.next().await?;
            self.on_event(event)?;
        }
        match (bad, self.refused) {
            (Some(failure), _) => Err(failure),
            (None, Some((number, refusal))) => {
                let text = format!("message {number} was refused: {refusal}");
                Err(Failure::text(Kind::Refused, text))
            }
            (None, None) => Ok(End::Done),
        }
    }

    /// Waits for something while events are taken.
    async fn while_listening<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Failure> {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(done),
                event = self.talk.next() => self.on_event(event?)?,
            }
        }
    }

    fn on_event(&mut self, event: ClientEvent) -> Result<(), Failure> {
        match event {
            ClientEvent::Queued(message) if message.number > self.talk.earlier => {
                self.waiting.insert(message.number, message);
            }
            ClientEvent::Refused { number, refusal } if self.waiting.remove(&number).is_some() => {
                self.settled += 1;
                self.refused = self.refused.or(Some((self.settled, refusal)));
            }
            ClientEvent::Committed {
                first_number,
                count,
                id,
                conversation,
                first_seq,
                at_ms,
                ..
            } => {
                let mut out = io::stdout().lock();
                for offset in 0..count {
                    let Some(message) = self.waiting.remove(&(first_number + offset)) else {
                        continue;
                    };
                    self.settled += 1;
                    if !self.json || self.deaf {
                        continue;
                    }
                    let mut id = id;
                    id.number += offset;
                    let printed = Printed {
                        at: talk::rfc3339(at_ms),
                        conversation: conversation.to_string(),
                        from: &self.talk.name,
                        id: id.to_string(),
                        seq: first_seq + offset,
                        text: talk::text_of(&message.body),
                        to: &self.to,
                    };
                    self.deaf = gone(talk::print_json(&mut out, &printed))?;
                }
                self.deaf = self.deaf || gone(out.flush())?;
            }
            _ => {}
        }
        Ok(())
    }
}

/// True if nobody reads the output any more.
fn gone(result: io::Result<()>) -> io::Result<bool> {
    match result {
        Err(why) if why.kind() == io::ErrorKind::BrokenPipe => Ok(true),
        other => other.map(|()| false),
    }
}

/// Finds the user, however long it takes to find a server, or for another cluster to answer.
async fn look_up(client: &Client, name: &str) -> Result<FoundUser, Failure> {
    let mut told = false;
    loop {
        match client.lookup(name).await {
            Err(ClientError::Timeout) => {}
            Err(ClientError::Refused(why @ Refusal::Unreachable)) => {
                if !std::mem::replace(&mut told, true) {
                    // Where standard error is gone, there is nobody left to tell.
                    drop(writeln!(io::stderr().lock(), "rustchat: {name}: {why}; trying again"));
                }
                tokio::time::sleep(ELSEWHERE).await;
            }
            Err(ClientError::Refused(why @ Refusal::NotLinked)) => {
                return Err(Failure::usage(format!("{name:?}: {why}")));
            }
            Err(ClientError::Refused(Refusal::NoSuchUser)) => {
                return Err(Failure::usage(format!("there is no user {name:?}")));
            }
            other => return Ok(other?),
        }
    }
}

/// Standard input as messages.
struct Lines<R> {
    input: BufReader<R>,
    /// Lines read so far.
    number: u64,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    /// The next lines: as many as have arrived, at least one unless the input ends.
    async fn next(&mut self) -> Input {
        let mut bodies = Vec::new();
        loop {
            match self.line().await {
                Ok(Some(body)) => bodies.extend(body),
                Ok(None) => return Input::Lines(bodies, false),
                Err(failure) => return Input::Bad(bodies, failure),
            }
            if bodies.len() >= LINES || !self.input.buffer().contains(&b'\n') {
                return Input::Lines(bodies, true);
            }
        }
    }

    /// One line; a blank one is no message. `None` at the end of the input.
    async fn line(&mut self) -> Result<Option<Option<Body>>, Failure> {
        let mut line = Vec::new();
        loop {
            let available = self.input.fill_buf().await?;
            let end = available.iter().position(|b| *b == b'\n');
            let part = available.get(..end.unwrap_or(available.len())).unwrap_or_default();
            line.extend_from_slice(part);
            let (used, over) = (part.len() + usize::from(end.is_some()), available.is_empty());
            self.input.consume(used);
            if line.len() > limits::BODY_BYTES + 1 {
                return Err(self.bad("has more than 16 KiB"));
            }
            if over && line.is_empty() {
                return Ok(None);
            }
            if end.is_some() || over {
                break;
            }
        }
        self.number += 1;
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        if line.len() > limits::BODY_BYTES {
            self.number -= 1;
            return Err(self.bad("has more than 16 KiB"));
        }
        match String::from_utf8(line) {
            Ok(text) if text.trim().is_empty() => Ok(Some(None)),
            Ok(text) => Ok(Some(Some(Body::text(text)))),
            Err(_) => {
                self.number -= 1;
                Err(self.bad("is not UTF-8"))
            }
        }
    }

    fn bad(&self, what: &str) -> Failure {
        let text = format!(
            "line {} {what}; the lines before it are sent, the rest is not",
            self.number + 1
        );
        Failure::text(Kind::Data, text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(bytes: &[u8]) -> (Vec<String>, Option<String>) {
        let mut lines = Lines { input: BufReader::with_capacity(16, bytes), number: 0 };
        let mut all = Vec::new();
        let text = |b: Body| String::from_utf8(b.data.to_vec()).unwrap();
        loop {
            match lines.next().await {
                Input::Lines(bodies, more) => {
                    all.extend(bodies.into_iter().map(text));
                    if !more {
                        return (all, None);
                    }
                }
                Input::Bad(bodies, failure) => {
                    all.extend(bodies.into_iter().map(text));
                    return (all, Some(failure.to_string()));
                }
            }
        }
    }

    #[tokio::test]
    async fn a_line_is_a_message() {
        let (lines, bad) = read("one\r\ntwo, längere Zeile\n\n  \nlast".as_bytes()).await;
        assert_eq!(lines, ["one", "two, längere Zeile", "last"]);
        assert_eq!(bad, None);
        assert_eq!(read(b"").await, (vec![], None));
    }

    #[tokio::test]
    async fn a_line_that_cannot_be_sent_is_named_and_ends_it() {
        let long = [b"a\nb\n", "x".repeat(limits::BODY_BYTES + 1).as_bytes(), b"\nc\n"].concat();
        let (lines, bad) = read(&long).await;
        assert_eq!(lines, ["a", "b"]);
        assert!(bad.unwrap().starts_with("line 3 has more than 16 KiB"));
        let (lines, bad) = read(b"a\n\xff\xfe\nc\n").await;
        assert_eq!(lines, ["a"]);
        assert!(bad.unwrap().starts_with("line 2 is not UTF-8"));
        let fits = "x".repeat(limits::BODY_BYTES);
        assert_eq!(read(fits.as_bytes()).await, (vec![fits], None));
    }
}
