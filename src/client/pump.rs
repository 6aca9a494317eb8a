//! Events on their way to the program: bounded, in order, and with a record of
//! which messages the program has taken. It must not know what events mean.

use super::ClientEvent;
use crate::chat::ids::ConversationId;
use crate::chat::message::Run;
use crate::limits;
use std::collections::VecDeque;
use tokio::sync::mpsc;

/// Events that are not handed on yet, and messages that were and are not taken.
#[derive(Debug)]
pub struct Events {
    sender: mpsc::Sender<ClientEvent>,
    waiting: VecDeque<ClientEvent>,
    /// Events handed on since the start.
    handed: u64,
    /// Messages by the count of events with theirs.
    untaken: VecDeque<(u64, ConversationId, u64)>,
}

impl Events {
    /// Events for the receiver of `sender`.
    #[must_use]
    pub const fn new(sender: mpsc::Sender<ClientEvent>) -> Self {
        Self { sender, waiting: VecDeque::new(), handed: 0, untaken: VecDeque::new() }
    }

    /// Adds an event.
    pub fn push(&mut self, event: ClientEvent) {
        self.waiting.push_back(event);
    }

    /// False while the program is so far behind that no more may be read for it.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.waiting.len() < limits::CLIENT_EVENTS
    }

    /// Hands on what fits. Gives, of the messages that `counts` chooses, those that the program
    /// has taken since: the conversation and the highest seq.
    pub fn pass_on(&mut self, counts: impl Fn(&Run) -> bool) -> Vec<(ConversationId, u64)> {
        while let Some(event) = self.waiting.pop_front() {
            let note = match &event {
                ClientEvent::Messages(run) if counts(run) => {
                    Some((run.conversation, run.last_seq()))
                }
                _ => None,
            };
            match self.sender.try_send(event) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(event)) => {
                    self.waiting.push_front(event);
                    break;
                }
                // Nobody listens any more: then nothing waits, and nothing is delivered.
                Err(mpsc::error::TrySendError::Closed(_)) => {
                    self.waiting.clear();
                    self.untaken.clear();
                    break;
                }
            }
            self.handed += 1;
            if let Some((id, seq)) = note {
                self.untaken.push_back((self.handed, id, seq));
            }
        }
        self.taken()
    }

    /// The messages that were taken out of the channel since the last call.
    fn taken(&mut self) -> Vec<(ConversationId, u64)> {
        if self.sender.is_closed() {
            self.untaken.clear();
        }
        let inside = (self.sender.max_capacity() - self.sender.capacity()) as u64;
        let taken = self.handed - inside;
        let mut messages = Vec::new();
        while let Some((_, id, seq)) = self.untaken.pop_front_if(|(at, ..)| *at <= taken) {
            messages.push((id, seq));
        }
        messages
    }

    /// Resolves when something can be handed on, or the last message was taken. Cancel-safe.
    pub async fn moved(&self) {
        if !self.waiting.is_empty() {
            // An error says that nobody listens: that is a change too.
            drop(self.sender.reserve().await);
        } else if !self.untaken.is_empty() {
            drop(self.sender.reserve_many(self.sender.max_capacity()).await);
        } else {
            std::future::pending().await
        }
    }

    /// Hands everything on.
    pub async fn drain(&mut self) {
        while let Some(event) = self.waiting.pop_front() {
            if self.sender.send(event).await.is_err() {
                return;
            }
        }
    }
}
