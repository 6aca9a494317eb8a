//! The operator's screen as it runs: keys, answers and time go in, questions go out. It must not
//! know what is shown.

use super::admin::{Act, Action};
use super::player::Player;
use super::record::{self, Round};
use super::update::{Effect, Model, Msg, update};
use super::{verdict, view};
use crate::client::security::Security;
use crate::client::status;
use crate::clock::now_ms;
use crate::limits;
use crate::report::judge::Verdict;
use crate::ui::terminal::{Ending, Screen};
use crate::ui::theme::Theme;
use anyhow::Context;
use crossterm::event::{Event, EventStream};
use futures::StreamExt;
use std::fs::File;
use std::io::Write;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often it is looked whose turn it is; the shortest time between two questions.
const TICK: Duration = Duration::from_millis(100);
/// A node has this long to answer; it is not asked again before.
const PATIENCE: Duration = Duration::from_secs(1);
/// Lines of a recording that wait for the disk; more are left out.
const WAITING_LINES: usize = 64;

/// What is shown, and to whom.
#[derive(Default)]
pub struct Setup {
    /// Client ports, `host:port`; the other members are learned from the answers.
    pub addresses: Vec<String>,
    /// Whom to trust.
    pub security: Security,
    /// The theme; `None`: the one that suits the terminal.
    pub theme: Option<String>,
    /// Changes may be made, in this way.
    pub act: Option<Act>,
    /// The answers are written here.
    pub record: Option<File>,
    /// Nobody is asked: this is played instead.
    pub replay: Option<Vec<Round>>,
}

/// What runs beside the screen.
struct Beside {
    tasks: TaskTracker,
    stop: CancellationToken,
    said: mpsc::Sender<Msg>,
    security: Security,
    act: Option<Act>,
    record: Option<mpsc::Sender<String>>,
    /// Answers since the last tick, where they are recorded.
    round: Round,
    player: Option<Player>,
}

/// Shows the nodes until the user or a signal ends it.
///
/// # Errors
/// The terminal cannot be used, or the theme is not known.
pub async fn run(setup: Setup) -> anyhow::Result<Verdict> {
    let theme = Theme::choose(setup.theme.as_deref(), |key| std::env::var(key).ok())?;
    let mut ending = Ending::listen().context("signals cannot be handled")?;
    let mut screen = Screen::open().context("the terminal cannot be used")?;
    let mut keys = EventStream::new();
    let (said, mut heard) = mpsc::channel(limits::UI_WAITING);
    let player = setup.replay.map(Player::new);
    let mut model = match &player {
        Some(player) => player.model(),
        None => Model::new(setup.addresses, now_ms()),
    };
    (model.admin, model.recording) = (setup.act.is_some(), setup.record.is_some());
    let mut beside = Beside::new(said, setup.security, setup.act, setup.record, player);
    let mut tick = ticks();
    loop {
        screen.draw(|frame| view::draw(&model, &theme, frame))?;
        let msg = tokio::select! {
            () = ending.signal() => break,
            key = keys.next() => match key {
                Some(Ok(Event::Key(key))) => Some(Msg::Key(key)),
                // The screen has another size now.
                Some(Ok(_)) => None,
                Some(Err(_)) | None => break,
            },
            Some(msg) = heard.recv() => Some(msg),
            _ = tick.tick() => beside.tick(&mut model),
        };
        let Some(msg) = msg else { continue };
        if beside.take(&mut model, msg) {
            break;
        }
    }
    drop(screen);
    beside.write_down(&mut model);
    // Nobody takes answers any more.
    drop(heard);
    beside.end().await;
    Ok(verdict(&model))
}

fn ticks() -> Interval {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    tick
}

impl Beside {
    fn new(
        said: mpsc::Sender<Msg>,
        security: Security,
        act: Option<Act>,
        record: Option<File>,
        player: Option<Player>,
    ) -> Self {
        let tasks = TaskTracker::new();
        let record = record.map(|file| {
            let (lines, waiting) = mpsc::channel(WAITING_LINES);
            let said = said.clone();
            tasks.spawn_blocking(move || write(file, waiting, &said));
            lines
        });
        let stop = CancellationToken::new();
        Self { tasks, stop, said, security, act, record, round: Round::default(), player }
    }

    /// A tick: who is due is asked, or the recording goes on.
    fn tick(&mut self, model: &mut Model) -> Option<Msg> {
        self.write_down(model);
        match &mut self.player {
            None => Some(Msg::Poll(now_ms())),
            Some(player) => {
                player.tick(model, u64::try_from(TICK.as_millis()).unwrap_or(0));
                None
            }
        }
    }

    /// Writes down what was answered since the last tick.
    fn write_down(&mut self, model: &mut Model) {
        let Some(lines) = &self.record else { return };
        if self.round.rows.is_empty() {
            return;
        }
        self.round.at_ms = now_ms();
        let line = record::write(&self.round, verdict(model));
        self.round.rows.clear();
        if lines.try_send(line).is_err() {
            // The disk is slow or full; the screen is not to wait for it.
            model.recording = false;
        }
    }

    /// Takes a message and does what follows; true: the end.
    fn take(&mut self, model: &mut Model, msg: Msg) -> bool {
        if let (Msg::Answer(row), true) = (&msg, self.record.is_some()) {
            self.round.rows.push(row.as_ref().clone());
        }
        for effect in update(model, msg) {
            match effect {
                Effect::Quit => return true,
                Effect::Ask(address, after) => self.ask(address, after),
                Effect::Act(action) => self.change(action),
                Effect::Save => self.save(model),
                Effect::Play(how) => {
                    if let Some(player) = &mut self.player {
                        player.play(model, how);
                    }
                }
            }
        }
        false
    }

    /// Runs work whose answer comes back as a message, for as long as the screen is there.
    fn spawn(&self, work: impl Future<Output = Msg> + Send + 'static) {
        let (said, stop) = (self.said.clone(), self.stop.clone());
        self.tasks.spawn(async move {
            tokio::select! {
                msg = work => drop(said.send(msg).await),
                () = stop.cancelled() => {}
            }
        });
    }

    fn ask(&self, address: String, after: u64) {
        if self.player.is_none() {
            let security = self.security;
            self.spawn(async move {
                let row = status::ask(address, PATIENCE, Some(after), security).await;
                Msg::Answer(Box::new(row))
            });
        }
    }

    fn change(&self, action: Action) {
        if let Some(act) = &self.act {
            let done = act(action);
            self.spawn(async move { Msg::Acted(done.await) });
        }
    }

    /// Writes what is shown into the current directory.
    fn save(&self, model: &Model) {
        /// Columns of the file.
        const COLUMNS: usize = 160;
        let text = view::plain(model, COLUMNS);
        let at = model.shown().now_ms / 1000;
        self.spawn(async move {
            let name = format!("rustchat-dash-{at}.txt");
            let written = tokio::fs::write(&name, text).await;
            Msg::Notice(match written {
                Ok(()) => Ok(format!("saved to {name}")),
                Err(why) => Err(format!("{name}: {why}")),
            })
        });
    }

    async fn end(self) {
        self.stop.cancel();
        // The recording is written to its end.
        drop(self.record);
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Writes lines as they come; after an error it takes them no more.
fn write(mut file: File, mut lines: mpsc::Receiver<String>, said: &mpsc::Sender<Msg>) {
    while let Some(mut line) = lines.blocking_recv() {
        line.push('\n');
        if let Err(why) = file.write_all(line.as_bytes()) {
            let text = format!("the recording has ended: {why}");
            drop(said.try_send(Msg::Notice(Err(text))));
            return;
        }
    }
}
