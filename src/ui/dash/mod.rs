//! The operator's screen: every node is asked about itself, each on its own, and shown with what
//! it says. It must not know servers or Raft; it asks through [`crate::client::status`] alone.

pub mod model;
pub mod update;
pub mod verdict;
pub mod view;

#[cfg(test)]
mod tests;

use crate::client::status::status;
use crate::limits;
use crate::ui::terminal::{Ending, Screen, now_ms};
use crate::ui::theme::Theme;
use anyhow::Context;
use crossterm::event::{Event, EventStream};
use futures::StreamExt;
use model::Model;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use update::{Effect, Msg, update};
use verdict::Verdict;

/// Every node is asked this often.
pub const POLL: Duration = Duration::from_millis(500);
/// A node has this long to answer; it is not asked again before.
const PATIENCE: Duration = Duration::from_secs(2);

/// Shows the nodes until the user or a signal ends it. `addresses` are client ports,
/// `host:port`; the other members are learned from the answers.
///
/// # Errors
/// The terminal cannot be used, or the theme is not known.
pub async fn run(addresses: Vec<String>, theme: Option<&str>) -> anyhow::Result<Verdict> {
    let theme = Theme::choose(theme, |key| std::env::var(key).ok())?;
    let mut ending = Ending::listen().context("signals cannot be handled")?;
    let mut screen = Screen::open().context("the terminal cannot be used")?;
    let mut keys = EventStream::new();
    let mut model = Model::new(addresses, now_ms());
    let (answers, mut answered) = mpsc::channel(limits::UI_WAITING);
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let mut poll = interval(POLL);
    poll.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        screen.draw(|frame| view::draw(&model, &theme, frame))?;
        let msg = tokio::select! {
            () = ending.signal() => break,
            key = keys.next() => match key {
                Some(Ok(Event::Key(key))) => Msg::Key(key),
                Some(Ok(_)) => Msg::Now(now_ms()),
                Some(Err(_)) | None => break,
            },
            Some((address, result)) = answered.recv() => Msg::Answer { address, result },
            _ = poll.tick() => Msg::Poll(now_ms()),
        };
        let mut quit = false;
        for effect in update(&mut model, msg) {
            match effect {
                Effect::Quit => quit = true,
                Effect::Ask(address) => {
                    let (answers, stop) = (answers.clone(), stop.clone());
                    tasks.spawn(async move {
                        let asking = status(&address, PATIENCE);
                        tokio::select! {
                            answer = asking => {
                                let result = answer.map(Box::new).map_err(|e| e.cause().code().to_owned());
                                drop(answers.send((address, result)).await);
                            }
                            () = stop.cancelled() => {}
                        }
                    });
                }
            }
        }
        if quit {
            break;
        }
    }
    drop(screen);
    stop.cancel();
    tasks.close();
    // Nobody takes answers any more.
    drop(answered);
    tasks.wait().await;
    Ok(Verdict::of(&model))
}

/// Asks every node once, also those that are learned from the answers; for `--once` and `status`.
pub async fn ask(addresses: Vec<String>, patience: Duration) -> Model {
    let mut model = Model::new(addresses, now_ms());
    let mut effects = update(&mut model, Msg::Poll(now_ms()));
    while !effects.is_empty() {
        let asked = effects.into_iter().filter_map(|effect| match effect {
            Effect::Ask(address) => Some(async move {
                let answer = status(&address, patience).await;
                (address, answer.map(Box::new).map_err(|e| e.cause().code().to_owned()))
            }),
            Effect::Quit => None,
        });
        let answers = futures::future::join_all(asked).await;
        drop(update(&mut model, Msg::Now(now_ms())));
        effects = Vec::new();
        for (address, result) in answers {
            effects.extend(update(&mut model, Msg::Answer { address, result }));
        }
    }
    model
}
