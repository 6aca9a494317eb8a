//! The chat screen: conversations on the left, the timeline, the line being written, and a status
//! line that tells the truth about the cluster. It must not know sockets or the protocol: it
//! speaks with [`crate::client`] alone.

pub mod help;
pub mod layout;
pub mod model;
pub mod status;
pub mod timeline;
pub mod update;
pub mod view;

mod commands;
mod events;
mod hands;
mod keys;
#[cfg(test)]
mod tests;

use crate::client::{Client, ClientConfig, ClientError, ClientEvent, Connection};
use crate::clock::now_ms;
use crate::limits;
use crate::ui::terminal::{Ending, Screen};
use crate::ui::theme::Theme;
use anyhow::Context;
use crossterm::event::{Event, EventStream};
use futures::{FutureExt, StreamExt};
use hands::Hands;
use jiff::tz::TimeZone;
use model::Model;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval};
use update::{Effect, Msg, settle, update};

/// Frames are at least this far apart, so that a flood of messages costs no more than a film.
const FRAME: Duration = Duration::from_millis(16);
/// Times on the screen count on in these steps.
const TICK: Duration = Duration::from_millis(100);

/// How the chat screen shall look.
#[derive(Clone, Debug, Default)]
pub struct ChatOptions {
    /// dark, light or mono; `None`: what suits the terminal.
    pub theme: Option<String>,
}

/// How the chat screen ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The user or a signal ended it.
    Quit {
        /// Own messages that wait in the outbox and go out when the user comes back.
        unsent: u64,
    },
    /// The client could not go on.
    Failed(ClientError),
}

/// Shows the chat until the user, a signal or a lasting failure ends it. The terminal is as it
/// was before when this returns.
///
/// # Errors
/// The terminal cannot be used, or the theme is not known.
pub async fn run(config: ClientConfig, options: ChatOptions) -> anyhow::Result<Ended> {
    let theme = Theme::choose(options.theme.as_deref(), |key| std::env::var(key).ok())?;
    let name = config.account.name.clone();
    let (client, events) = match Client::start(config) {
        Ok(started) => started,
        Err(error) => return Ok(Ended::Failed(error)),
    };
    let ended = show(&client, events, &theme, name).await;
    let unsent = client.unfinished();
    client.close().await;
    Ok(match ended? {
        Some(error) => Ended::Failed(error),
        None => Ended::Quit { unsent },
    })
}

async fn show(
    client: &Client,
    mut events: mpsc::Receiver<ClientEvent>,
    theme: &Theme,
    name: String,
) -> anyhow::Result<Option<ClientError>> {
    let mut ending = Ending::listen().context("signals cannot be handled")?;
    let mut screen = Screen::open().context("the terminal cannot be used")?;
    let mut keys = EventStream::new();
    let (hands, mut answers) = Hands::new(client.clone());
    let mut model = Model::new(name, TimeZone::system(), screen.size()?, now_ms());
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut drawn = Instant::now();
    let mut dirty = true;
    let mut open = true;
    let failed = loop {
        if dirty && drawn.elapsed() >= FRAME {
            screen.draw(|frame| view::draw(&model, theme, frame))?;
            (dirty, drawn) = (false, Instant::now());
        }
        let mut batch = VecDeque::from([Msg::Now(now_ms())]);
        tokio::select! {
            () = ending.signal() => break None,
            key = keys.next() => match key {
                Some(Ok(event)) => {
                    batch.extend(message(event));
                    // Whatever else was typed by now, so that nobody waits for old frames.
                    let more = std::iter::from_fn(|| keys.next().now_or_never().flatten());
                    batch.extend(more.take(limits::UI_BATCH).flatten().filter_map(message));
                }
                // The terminal is gone: nobody is there to read an error.
                Some(Err(_)) | None => break None,
            },
            Some(msg) = answers.recv() => batch.push_back(msg),
            event = events.recv(), if open => match event {
                Some(event) => {
                    batch.push_back(Msg::Client(event));
                    let more = std::iter::from_fn(|| events.try_recv().ok());
                    batch.extend(more.take(limits::UI_BATCH).map(Msg::Client));
                }
                None => {
                    open = false;
                    batch.push_back(Msg::Ended);
                }
            },
            _ = tick.tick() => {}
            () = tokio::time::sleep_until(drawn + FRAME), if dirty => continue,
        }
        dirty = true;
        let quit = react(&mut model, batch, &hands, &mut screen)?;
        if let Connection::Failed(error) = &model.connection
            && (quit || model.seat.is_none())
        {
            break Some(error.clone());
        }
        if quit {
            break None;
        }
    };
    drop(screen);
    hands.finish().await;
    Ok(failed)
}

/// Takes in messages and everything that follows from them; true if the user quits.
fn react(
    model: &mut Model,
    mut batch: VecDeque<Msg>,
    hands: &Hands,
    screen: &mut Screen,
) -> anyhow::Result<bool> {
    let mut quit = false;
    while let Some(msg) = batch.pop_front() {
        let mut effects = update(model, msg);
        if batch.is_empty() {
            effects.extend(settle(model));
        }
        for effect in effects {
            match effect {
                Effect::Quit => quit = true,
                Effect::Redraw => screen.clear()?,
                effect => batch.extend(hands.apply(effect)),
            }
        }
    }
    Ok(quit)
}

/// What the terminal tells, as a message.
fn message(event: Event) -> Option<Msg> {
    match event {
        Event::Key(key) => Some(Msg::Key(key)),
        Event::Paste(text) => Some(Msg::Paste(text)),
        Event::Resize(columns, rows) => Some(Msg::Resize(columns, rows)),
        Event::FocusGained => Some(Msg::Focus(true)),
        Event::FocusLost => Some(Msg::Focus(false)),
        Event::Mouse(_) => None,
    }
}
