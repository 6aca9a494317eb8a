//! Events on their way to the program: in order, bounded in number and bytes, and
//! with a record of which messages the program has taken. It must not know what
//! else events mean.

use super::ClientEvent;
use crate::chat::ids::ConversationId;
use crate::chat::message::Run;
use crate::limits;
use std::collections::VecDeque;
use tokio::sync::mpsc;

/// Messages that are in the channel.
#[derive(Debug)]
struct Inside {
    /// The count of events with theirs.
    at: u64,
    bytes: usize,
    /// The conversation and the last seq, where taking them is to be told.
    told: Option<(ConversationId, u64)>,
}

/// Events that are not handed on yet, and messages that were and are not taken.
#[derive(Debug)]
pub struct Events {
    sender: mpsc::Sender<ClientEvent>,
    waiting: VecDeque<ClientEvent>,
    /// Bytes of messages in `waiting`.
    waiting_bytes: usize,
    /// Events handed on since the start.
    handed: u64,
    inside: VecDeque<Inside>,
    inside_bytes: usize,
}

impl Events {
    /// Events for the receiver of `sender`.
    #[must_use]
    pub const fn new(sender: mpsc::Sender<ClientEvent>) -> Self {
        Self {
            sender,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            handed: 0,
            inside: VecDeque::new(),
            inside_bytes: 0,
        }
    }

    /// Adds an event.
    pub fn push(&mut self, event: ClientEvent) {
        self.waiting_bytes += bytes(&event);
        self.waiting.push_back(event);
    }

    /// False while the program is so far behind that no more may be read for it.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.waiting.len() < limits::CLIENT_EVENTS
            && self.waiting_bytes < limits::CLIENT_EVENT_BYTES
    }

    /// Hands on what fits. Gives, of the messages that `counts` chooses, those that the program
    /// has taken since: the conversation and the highest seq.
    pub fn pass_on(&mut self, counts: impl Fn(&Run) -> bool) -> Vec<(ConversationId, u64)> {
        let taken = self.taken();
        if self.sender.is_closed() {
            // Nobody listens any more: then nothing waits, and nothing is delivered.
            self.waiting.clear();
            self.waiting_bytes = 0;
        }
        while self.inside_bytes < limits::CLIENT_EVENT_BYTES
            && !self.waiting.is_empty()
            && let Ok(permit) = self.sender.try_reserve()
            && let Some(event) = self.waiting.pop_front()
        {
            self.handed += 1;
            self.waiting_bytes -= bytes(&event);
            if let ClientEvent::Messages(run) = &event {
                let told = counts(run).then(|| (run.conversation, run.last_seq()));
                self.inside_bytes += bytes(&event);
                self.inside.push_back(Inside { at: self.handed, bytes: bytes(&event), told });
            }
            permit.send(event);
        }
        taken
    }

    /// The messages that were taken out of the channel since the last call.
    fn taken(&mut self) -> Vec<(ConversationId, u64)> {
        let inside = (self.sender.max_capacity() - self.sender.capacity()) as u64;
        let (taken, closed) = (self.handed - inside, self.sender.is_closed());
        let mut messages = Vec::new();
        while let Some(run) = self.inside.pop_front_if(|run| closed || run.at <= taken) {
            self.inside_bytes -= run.bytes;
            messages.extend(run.told.filter(|_| !closed));
        }
        messages
    }

    /// Resolves when something can be handed on, or the last message was taken. Cancel-safe.
    pub async fn moved(&self) {
        let full = self.inside_bytes >= limits::CLIENT_EVENT_BYTES;
        // An error says that nobody listens: that is a change too.
        if !self.waiting.is_empty() && !full {
            drop(self.sender.reserve().await);
        } else if !self.inside.is_empty() {
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

fn bytes(event: &ClientEvent) -> usize {
    match event {
        ClientEvent::Messages(run) => {
            run.bodies.iter().map(|body| body.data.len() + size_of_val(body)).sum()
        }
        _ => 0,
    }
}
