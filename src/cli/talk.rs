//! What `--send` and `--tail` share: getting connected, and how a message is
//! printed. It must not know what is sent or which messages are wanted.

use super::args::ChatArgs;
use super::connect::{ask_password, client_config};
use super::outcome::{Failure, Kind};
use crate::chat::ids::{ConversationId, UserId};
use crate::chat::message::{Body, KIND_TEXT};
use crate::chat::refusal::Refusal;
use crate::chat::text::{printable, printable_json};
use crate::chat::write::Kind as ConversationKind;
use crate::client::{Client, ClientConfig, ClientError, ClientEvent, Connection, ConversationInfo};
use serde::Serialize;
use std::collections::{BTreeMap, VecDeque};
use std::io::{self, Write};
use tokio::sync::mpsc::Receiver;

/// A client that was logged in, and what it has heard of conversations.
pub struct Talk {
    /// The client.
    pub client: Client,
    /// Who the user is.
    pub me: UserId,
    /// The user's name.
    pub name: String,
    /// Own messages up to this number are of earlier processes.
    pub earlier: u64,
    events: Receiver<ClientEvent>,
    /// The events from before the login were taken.
    live: bool,
    /// Events from before the login was through.
    first: VecDeque<ClientEvent>,
    conversations: BTreeMap<ConversationId, ConversationInfo>,
    complained: Option<String>,
}

impl Talk {
    /// Connects and logs in, however long it takes; asks for a password where one is needed.
    ///
    /// # Errors
    /// The login is refused, or a mistake in `args`.
    pub async fn start(args: &ChatArgs) -> Result<Self, Failure> {
        let mut config = client_config(&args.connect)?;
        loop {
            match Self::log_in(config.clone()).await {
                Err(ClientError::PasswordNeeded) if config.account.password.is_none() => {
                    ask_password(&mut config.account).await?;
                }
                Err(ClientError::Refused(Refusal::NameTaken)) => {
                    let name = &config.account.name;
                    let text = format!(
                        "the name {name} is taken: it is registered already, with another password"
                    );
                    return Err(Failure::text(Kind::Auth, text));
                }
                other => return Ok(other?),
            }
        }
    }

    async fn log_in(config: ClientConfig) -> Result<Self, ClientError> {
        let name = config.account.name.clone();
        let (client, mut events) = Client::start(config)?;
        // Before the first message arrives: what this program does not print is not delivered.
        client.mark_by_hand();
        let mut first = VecDeque::new();
        let mut complained = None;
        while let Some(event) = events.recv().await {
            match &event {
                ClientEvent::Connection(ready @ Connection::Ready { user, .. }) => {
                    complain(ready, &mut complained);
                    let (me, conversations) = (*user, BTreeMap::new());
                    // Not before: a restored cluster may have made other numbers of them.
                    let earlier = client.last_number();
                    return Ok(Self {
                        client,
                        me,
                        name,
                        earlier,
                        events,
                        live: false,
                        first,
                        conversations,
                        complained,
                    });
                }
                ClientEvent::Connection(Connection::Failed(why)) => return Err(why.clone()),
                ClientEvent::Connection(connection) => complain(connection, &mut complained),
                ClientEvent::Restored { backup, .. } => {
                    tell_restored(*backup);
                    first.push_back(event);
                }
                _ => first.push_back(event),
            }
        }
        Err(ClientError::Closed)
    }

    /// The next event. Conversations are remembered, trouble is told on standard error.
    ///
    /// # Errors
    /// The client has ended.
    pub async fn next(&mut self) -> Result<ClientEvent, Failure> {
        let event = match self.first.pop_front() {
            Some(event) => event,
            None => {
                self.live = true;
                self.events.recv().await.ok_or(ClientError::Closed)?
            }
        };
        self.note(&event)?;
        Ok(event)
    }

    /// The next event, if it is there already.
    ///
    /// # Errors
    /// The client has ended.
    pub fn try_next(&mut self) -> Result<Option<ClientEvent>, Failure> {
        let event = self.first.pop_front();
        self.live |= event.is_none();
        let event = event.or_else(|| self.events.try_recv().ok());
        if let Some(event) = &event {
            self.note(event)?;
        }
        Ok(event)
    }

    fn note(&mut self, event: &ClientEvent) -> Result<(), Failure> {
        match event {
            ClientEvent::Conversation(info) => {
                self.conversations.insert(info.id, info.clone());
            }
            ClientEvent::Connection(Connection::Failed(why)) => return Err(why.clone().into()),
            ClientEvent::Connection(connection) => complain(connection, &mut self.complained),
            ClientEvent::Restored { backup, .. } if self.live => tell_restored(*backup),
            _ => {}
        }
        Ok(())
    }

    /// The name of a member of a conversation.
    #[must_use]
    pub fn name_of(&self, id: ConversationId, user: UserId) -> String {
        let info = self.conversations.get(&id);
        let member = info.and_then(|info| info.members.iter().find(|m| m.user == user));
        member.map_or_else(|| user.to_string(), |m| m.name.clone())
    }

    /// Whom `sender` writes to there: the other user, or the room.
    #[must_use]
    pub fn addressee(&self, id: ConversationId, sender: UserId) -> String {
        let Some(info) = self.conversations.get(&id) else { return id.to_string() };
        if info.kind == ConversationKind::Room {
            return info.title.clone();
        }
        let other = info.members.iter().find(|m| m.user != sender).or(info.members.first());
        other.map_or_else(|| id.to_string(), |m| m.name.clone())
    }

    /// True if the conversation is the direct one with the user of this name.
    #[must_use]
    pub fn is_with(&self, id: ConversationId, name: &str) -> bool {
        let direct = |info: &&ConversationInfo| info.kind == ConversationKind::Direct;
        self.conversations.get(&id).filter(direct).is_some_and(|info| {
            let other = info.members.iter().find(|m| m.user != self.me).or(info.members.first());
            other.is_some_and(|m| m.name == name)
        })
    }
}

/// Says once what keeps the client from its servers.
fn complain(connection: &Connection, complained: &mut Option<String>) {
    match connection {
        Connection::Ready { cluster, via, .. } => {
            *complained = None;
            if let Some(via) = via {
                let (home, by) = (printable(cluster), printable(&via.cluster));
                let seat = via.seat;
                // Where standard error is gone, there is nobody left to tell.
                drop(writeln!(io::stderr().lock(), "rustchat: {home} via {by} n{seat}"));
            }
        }
        Connection::Away { home, via, .. } if complained.is_none() => {
            let (home, via) = (printable(home), printable(via));
            let text = format!(
                "rustchat: {home} cannot be reached through {via}; what waits here is sent when it \
                 answers"
            );
            // Where standard error is gone, there is nobody left to tell.
            drop(writeln!(io::stderr().lock(), "{text}"));
            *complained = Some(text);
        }
        Connection::Waiting { why, .. } if complained.is_none() => {
            let text = format!("rustchat: {}; trying again", printable(why));
            // Where standard error is gone, there is nobody left to tell.
            drop(writeln!(io::stderr().lock(), "{text}"));
            *complained = Some(text);
        }
        _ => {}
    }
}

/// Says that the cluster went on from an earlier time.
fn tell_restored(backup: bool) {
    let how = if backup { "restored from a backup" } else { "recovered from what one server had" };
    let text = format!(
        "rustchat: the cluster was {how}: messages that it had acknowledged since are gone; \
         what is unread comes again"
    );
    // Where standard error is gone, there is nobody left to tell.
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// A message as `--json` prints it: one object, one line.
#[derive(Debug, Serialize)]
pub struct Printed<'a> {
    /// When it was committed, RFC 3339 in UTC.
    pub at: String,
    /// Where, as in every other output.
    pub conversation: String,
    /// Who wrote it.
    pub from: &'a str,
    /// The message's id, the same everywhere.
    pub id: String,
    /// Its place in the conversation, from 1.
    pub seq: u64,
    /// What it says; unknown for bodies that are no text.
    pub text: Option<&'a str>,
    /// Whom it was written to.
    pub to: &'a str,
}

/// The text of a body, if it is text.
#[must_use]
pub fn text_of(body: &Body) -> Option<&str> {
    (body.kind == KIND_TEXT).then(|| std::str::from_utf8(&body.data).ok()).flatten()
}

/// Milliseconds of UNIX time as RFC 3339 in UTC.
#[must_use]
pub fn rfc3339(at_ms: u64) -> String {
    let ms = i64::try_from(at_ms).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms).unwrap_or_default().to_string()
}

/// Prints a message for a program.
///
/// # Errors
/// The output is gone.
pub fn print_json(out: &mut impl Write, message: &Printed<'_>) -> io::Result<()> {
    writeln!(out, "{}", printable_json(&serde_json::to_string(message)?))
}

/// Prints a message for a person, on one line.
///
/// # Errors
/// The output is gone.
pub fn print_line(out: &mut impl Write, at_ms: u64, message: &Printed<'_>) -> io::Result<()> {
    let ms = i64::try_from(at_ms).unwrap_or(i64::MAX);
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
    let time = time.to_zoned(jiff::tz::TimeZone::system()).strftime("%H:%M:%S");
    let (from, to) = (printable(message.from), printable(message.to));
    let text = printable(message.text.unwrap_or("(not a text)"));
    writeln!(out, "{time} {from} → {to}: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: Option<&str>) -> Printed<'_> {
        let (id, conversation) = ("1-2-0-3".to_owned(), "a".to_owned());
        let at = rfc3339(1_700_000_000_123);
        Printed { at, conversation, from: "alice", id, seq: 4, text, to: "bob" }
    }

    #[test]
    fn one_line_with_sorted_keys() {
        let mut out = Vec::new();
        print_json(&mut out, &message(Some("a\n\u{1b}[31m"))).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "{\"at\":\"2023-11-14T22:13:20.123Z\",\"conversation\":\"a\",\"from\":\"alice\",\
             \"id\":\"1-2-0-3\",\"seq\":4,\"text\":\"a\\n\\u001b[31m\",\"to\":\"bob\"}\n"
        );
    }

    #[test]
    fn json_cannot_act_on_a_terminal_either() {
        let text = "\u{9b}2J\u{202e}ü\u{e0041}";
        let mut out = Vec::new();
        print_json(&mut out, &message(Some(text))).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.contains("\"\\u009b2J\\u202eü\\udb40\\udc41\""), "{out}");
        let back: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(back["text"], text);
    }

    #[test]
    fn what_people_read_cannot_act_on_their_terminal() {
        let mut out = Vec::new();
        print_line(&mut out, 0, &message(Some("a\n\u{1b}[31m\u{9b}2J"))).unwrap();
        let out = String::from_utf8(out).unwrap();
        assert!(out.ends_with("alice → bob: a␊␛[31m\u{fffd}2J\n"), "{out:?}");
    }
}
