//! Plays a recording: with the time that it was made in, forwards by itself, and back by playing
//! it anew. Pure. It must not know where the recording comes from.

use super::model::State;
use super::record::Round;
use super::update::{Model, Play, Replay};

/// States on the way that are kept, so that a step back is short.
const KEPT: usize = 32;
/// Rounds between two of them, at first.
const APART: usize = 64;
/// A pause in the recording is played as this long at most, in milliseconds.
const PAUSE_MS: u64 = 3000;

/// A recording that is being played.
pub struct Player {
    rounds: Vec<Round>,
    /// Rounds that were played.
    at: usize,
    clock_ms: u64,
    paused: bool,
    kept: Vec<(usize, State)>,
    apart: usize,
}

impl Player {
    /// Nothing played yet.
    #[must_use]
    pub fn new(rounds: Vec<Round>) -> Self {
        let clock_ms = rounds.first().map_or(0, |round| round.at_ms);
        Self { rounds, at: 0, clock_ms, paused: false, kept: Vec::new(), apart: APART }
    }

    /// The screen before the first round.
    #[must_use]
    pub fn model(&self) -> Model {
        let mut model = Model::new(Vec::new(), self.clock_ms);
        self.tell(&mut model);
        model
    }

    /// Plays everything.
    pub fn finish(&mut self, model: &mut Model) {
        while self.at < self.rounds.len() {
            self.step(model);
        }
        self.tell(model);
    }

    /// `passed_ms` have passed.
    pub fn tick(&mut self, model: &mut Model, passed_ms: u64) {
        if !self.paused {
            self.clock_ms += passed_ms;
            if let Some(next) = self.rounds.get(self.at) {
                self.clock_ms = self.clock_ms.max(next.at_ms.saturating_sub(PAUSE_MS));
            }
            let clock_ms = self.clock_ms;
            while self.rounds.get(self.at).is_some_and(|next| next.at_ms <= clock_ms) {
                self.step(model);
            }
            match self.rounds.get(self.at) {
                Some(_) => {
                    self.clock_ms = clock_ms;
                    model.state.refresh(clock_ms);
                }
                // What came later is not known: the clock stands still.
                None => self.paused = true,
            }
        }
        self.tell(model);
    }

    /// The person at the screen wants it played differently.
    pub fn play(&mut self, model: &mut Model, how: Play) {
        match how {
            Play::Toggle => self.paused = !self.paused && self.at < self.rounds.len(),
            Play::On => {
                self.paused = true;
                self.step(model);
            }
            Play::Back => {
                self.paused = true;
                self.back_to(model, self.at.saturating_sub(1));
            }
        }
        self.tell(model);
    }

    fn tell(&self, model: &mut Model) {
        model.replay = Some(Replay { at: self.at, of: self.rounds.len(), paused: self.paused });
    }

    fn step(&mut self, model: &mut Model) {
        let Some(round) = self.rounds.get(self.at) else { return };
        self.clock_ms = round.at_ms;
        model.state.refresh(round.at_ms);
        for row in &round.rows {
            model.state.know(&row.addr);
            model.state.answer(row.clone());
        }
        self.at += 1;
        if self.at.is_multiple_of(self.apart)
            && self.kept.last().is_none_or(|(at, _)| *at < self.at)
        {
            self.kept.push((self.at, model.state.clone()));
            if self.kept.len() > KEPT {
                self.apart *= 2;
                let apart = self.apart;
                self.kept.retain(|(at, _)| at.is_multiple_of(apart));
            }
        }
    }

    fn back_to(&mut self, model: &mut Model, target: usize) {
        let begin = self.rounds.first().map_or(0, |round| round.at_ms);
        let kept = self.kept.iter().rev().find(|(at, _)| *at <= target).cloned();
        (self.at, model.state) = kept.unwrap_or_else(|| (0, State::new(Vec::new(), begin)));
        self.clock_ms = model.state.now_ms;
        while self.at < target {
            self.step(model);
        }
    }
}
