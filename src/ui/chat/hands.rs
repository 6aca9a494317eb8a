//! Does what the chat screen wants done with the client, without ever making the screen wait:
//! texts go out in order through one task, questions each in their own, and answers come back as
//! messages. It must not know the model.

use super::update::{Effect, Msg};
use crate::chat::command::Target;
use crate::chat::message::Body;
use crate::chat::refusal::Refusal;
use crate::client::{Client, ClientError};
use crate::limits;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Texts that wait for room in the outbox get this long when the screen ends.
const LAST_TEXTS: Duration = Duration::from_secs(1);

pub(super) struct Hands {
    client: Client,
    texts: Option<mpsc::Sender<(Target, String)>>,
    answers: mpsc::Sender<Msg>,
    sender: JoinHandle<()>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Hands {
    pub(super) fn new(client: Client) -> (Self, mpsc::Receiver<Msg>) {
        let (answers, receiver) = mpsc::channel(limits::UI_WAITING);
        let (texts, waiting) = mpsc::channel(limits::UI_WAITING);
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let sender = tokio::spawn(send_all(client.clone(), waiting, answers.clone(), stop.clone()));
        (Self { client, texts: Some(texts), answers, sender, tasks, stop }, receiver)
    }

    /// Begins what is wanted; what cannot even begin is answered at once.
    pub(super) fn apply(&self, effect: Effect) -> Option<Msg> {
        match effect {
            Effect::Send { to, text } => return self.send(to, text),
            Effect::Lookup { name, text } => self.ask(|client| async move {
                let result = client.lookup(&name).await;
                Msg::Found { name, text, result }
            }),
            Effect::History { chat, conversation, from, to, current } => {
                self.ask(move |client| async move {
                    let result = client.history(conversation, from, to, current).await;
                    Msg::Page { chat, result }
                });
            }
            Effect::Mark { conversation, read } => self.client.mark(conversation, read, read),
            Effect::Reconnect => {
                let client = self.client.clone();
                self.tasks.spawn(async move { client.reconnect().await });
            }
            Effect::Redraw | Effect::Quit => {}
        }
        None
    }

    fn send(&self, to: Target, text: String) -> Option<Msg> {
        let (to, text) = self.texts.as_ref()?.try_send((to, text)).err()?.into_inner();
        Some(Msg::NotSent { to, text, why: ClientError::Refused(Refusal::Overloaded) })
    }

    fn ask<F: Future<Output = Msg> + Send + 'static>(&self, question: impl FnOnce(Client) -> F) {
        let (answers, stop) = (self.answers.clone(), self.stop.clone());
        let asking = question(self.client.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                msg = asking => drop(answers.send(msg).await),
                () = stop.cancelled() => {}
            }
        });
    }

    /// Ends every task; texts that were handed over are given a moment to reach the outbox.
    pub(super) async fn finish(mut self) {
        self.texts = None;
        drop(tokio::time::timeout(LAST_TEXTS, &mut self.sender).await);
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn send_all(
    client: Client,
    mut texts: mpsc::Receiver<(Target, String)>,
    answers: mpsc::Sender<Msg>,
    stop: CancellationToken,
) {
    while let Some((to, text)) = texts.recv().await {
        let body = Body::text(text.clone());
        let sent = tokio::select! {
            sent = client.send(to, body) => sent,
            () = stop.cancelled() => return,
        };
        if let Err(why) = sent {
            drop(answers.send(Msg::NotSent { to, text, why }).await);
        }
    }
}
