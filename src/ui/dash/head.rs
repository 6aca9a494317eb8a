//! The top of the operator's screen: which cluster, how it stands in one word and by numbers, who
//! leads or led last, and what is wrong. It must not know how it is drawn.

use super::figures::{Line, age, one};
use super::model::State;
use super::update::Model;
use crate::report::Row;
use crate::report::judge::{DOWN, Verdict};
use crate::report::links::{State as Standing, links};
use crate::report::reason::Reason;
use crate::report::story;
use crate::ui::cells;
use crate::ui::theme::Role;

/// Lines for what is wrong, at most.
const PROBLEM: usize = 3;

/// The lines.
#[must_use]
pub fn lines(model: &Model, width: usize) -> Vec<Line> {
    let state = model.shown();
    let mut lines = vec![title(model, width), verdict(state)];
    lines.extend(Some(leader(state)).filter(|line| !line.is_empty()));
    let problem = if state.is_early() { String::new() } else { problem(state) };
    if !problem.is_empty() {
        let mut wrapped = cells::wrap(&problem, width.saturating_sub(2));
        if wrapped.len() > PROBLEM {
            wrapped.truncate(PROBLEM);
            if let Some(last) = wrapped.last_mut() {
                last.push('…');
            }
        }
        let role = role(state.judgement.verdict);
        lines.extend(wrapped.into_iter().map(|text| one(format!(" {text}"), role)));
    }
    lines
}

/// What a verdict means.
const fn role(verdict: Verdict) -> Role {
    match verdict {
        Verdict::Healthy => Role::Good,
        Verdict::Degraded | Verdict::Electing => Role::Warning,
        _ => Role::Error,
    }
}

fn title(model: &Model, width: usize) -> Line {
    let state = model.shown();
    let known = state.any().or_else(|| state.rows.iter().find_map(|r| r.status.as_deref()));
    let cluster = known.map_or_else(String::new, |s| {
        let id: String = s.cluster.to_string().chars().take(8).collect();
        format!("  {}  id {id}  gen {}  {}", s.cluster_name, s.generation, s.store)
    });
    let flags = flags(model);
    let room = width.saturating_sub(cells::width(&flags) + 15);
    let cluster = super::figures::pad(&cluster, room);
    vec![(" rustchat dash".into(), Role::Title), (cluster, Role::Dim), (flags, Role::Warning)]
}

/// What is not as usual, and the time.
fn flags(model: &Model) -> String {
    let mut flags = String::new();
    let state = model.shown();
    if let Some(replay) = model.replay {
        let paused = if replay.paused { " paused" } else { "" };
        flags += &format!(" REPLAY {}/{}{paused}", replay.at, replay.of);
    }
    if model.frozen.is_some() {
        let ms = model.state.now_ms.saturating_sub(state.now_ms);
        flags += &format!(" FROZEN {}", age(ms));
    }
    for (set, word) in [(model.recording, " REC"), (model.admin, " ADMIN")] {
        if set {
            flags += word;
        }
    }
    let clock = story::clock(state.now_ms);
    format!("{flags} {} UTC", clock.get(..8).unwrap_or_default())
}

fn verdict(state: &State) -> Line {
    if state.is_early() {
        return one(" ASKING", Role::Dim);
    }
    let judgement = &state.judgement;
    let mut line = one(format!(" {}", judgement.verdict.label()), role(judgement.verdict));
    if let Some(ms) = state.leaderless_ms() {
        line.push((format!("  leaderless {}", age(ms)), Role::Warning));
    }
    if let (Some(voters), Some(needed)) = (judgement.voters, judgement.needed()) {
        let live = judgement.live;
        let lose = judgement.can_lose().unwrap_or(0);
        let role = if live <= needed && voters > 1 { Role::Warning } else { Role::Text };
        let text = format!("  quorum: need {needed} of {voters}, live {live}, can lose {lose}");
        line.push((text, role));
    }
    line
}

/// Who leads, or led last; how often that changed.
fn leader(state: &State) -> Line {
    let mut line = Line::new();
    if let Some(leader) = state.leader() {
        let since = since(state, leader.seat, leader.term);
        let led = since.map_or_else(String::new, |at| {
            format!(" for {}", age(state.now_ms.saturating_sub(at)))
        });
        line.push((format!(" leader n{} t{}{led}", leader.seat, leader.term), Role::Text));
    } else if let Some((seat, term, cause)) = last(state) {
        line.push((format!(" last leader n{seat} t{term}{cause}"), Role::Text));
    }
    let changes = state.rows.iter().filter_map(|r| Some(r.fresh()?.elections.changes_15m)).max();
    if let Some(changes) = changes {
        let flapping = state.judgement.reasons.contains(&Reason::Flapping);
        let (word, role) = if flapping { (" FLAPPING", Role::Warning) } else { ("", Role::Dim) };
        line.push((format!("  leader changes in 15m: {changes}{word}"), role));
    }
    line
}

/// When a leader began to lead.
fn since(state: &State, seat: u32, term: u64) -> Option<u64> {
    let entries = state.timeline.entries();
    let found = entries.iter().find(|e| {
        let who = match e.event.kind.as_str() {
            "elected" => Some(e.event.seat),
            "new_leader" => e.event.peer,
            _ => None,
        };
        who == Some(seat) && e.event.term == term
    });
    found.map(|e| e.at_ms)
}

/// Who led last, in which term, and why that ended as far as it is known.
fn last(state: &State) -> Option<(u32, u64, String)> {
    let told = state.rows.iter().filter_map(|r| r.fresh()?.elections.last_leader.as_ref());
    let newest = told.max_by_key(|last| (last.term, last.lost_at_ms));
    let told = newest.map(|last| (last.seat, last.term));
    let (seat, term) = state.led.max_by_term(told)?;
    let cause = newest.filter(|last| (last.seat, last.term) == (seat, term));
    let cause = cause.map(|last| last.cause.clone()).filter(|cause| !cause.is_empty());
    let error = || {
        let row = state.rows.iter().find(|row| row.seat == Some(seat))?;
        row.error.as_ref().map(|(cause, _)| cause.code().to_owned())
    };
    let cause = cause.or_else(error).map_or_else(String::new, |cause| format!(" ({cause})"));
    Some((seat, term, cause))
}

trait Newer {
    fn max_by_term(self, other: Self) -> Self;
}

impl Newer for Option<(u32, u64)> {
    fn max_by_term(self, other: Self) -> Self {
        self.into_iter().chain(other).max_by_key(|(_, term)| *term)
    }
}

/// What is wrong, and what to do about it.
fn problem(state: &State) -> String {
    let judgement = &state.judgement;
    match judgement.verdict {
        Verdict::Healthy => String::new(),
        Verdict::Degraded => degraded(state),
        Verdict::Electing => {
            let gone = missing(state);
            let gone = if gone.is_empty() { gone } else { format!(" Missing: {gone}.") };
            format!("Enough voters answer: an election is due.{gone}")
        }
        Verdict::NoLeader => format!("Enough voters answer, but none is elected: {}.", why(state)),
        Verdict::NoQuorum => {
            let (live, voters) = (judgement.live, judgement.voters.unwrap_or(0));
            let needed = judgement.needed().unwrap_or(0);
            let answer = if live == 1 { "answers" } else { "answer" };
            let gone = missing(state);
            format!(
                "{live} of {voters} voters {answer}, {needed} needed. Writes stop; reads are stale. \
                 Missing: {gone}. If they will not return: rustchat recover plan"
            )
        }
        Verdict::SplitView => {
            let leads = state.rows.iter().filter_map(Row::fresh).filter(|s| s.role == "leader");
            let all: Vec<_> = leads.map(|s| format!("n{} (t{})", s.seat, s.term)).collect();
            let all = all.join(" and ");
            format!("{all} both lead, which must never be: stop one, report it.")
        }
        Verdict::Unreachable => {
            format!("Nobody answers: dash is cut off, or the cluster is down. {}", missing(state))
        }
    }
}

/// The nodes that do not answer or take no part, and for how long.
fn missing(state: &State) -> String {
    let gone = state.nodes.iter().zip(&state.rows).filter_map(|(node, row)| {
        let cause = match (row.fresh(), &row.error) {
            (Some(s), _) if s.role == DOWN => s.why.clone(),
            (Some(_), _) | (None, None) => return None,
            (None, Some((cause, _))) => cause.code().to_owned(),
        };
        let ms = state.now_ms.saturating_sub(node.answered_ms);
        // Since when it is silent is known of those alone that have ever answered.
        let known = row.fresh().is_none() && node.answered_ms > 0;
        let ago = if known { format!(" {}", age(ms)) } else { String::new() };
        Some(format!("{} ({cause}{ago})", row.name()))
    });
    gone.collect::<Vec<_>>().join(", ")
}

/// What each node lacks, and what to do about the worst of it.
fn degraded(state: &State) -> String {
    let judgement = &state.judgement;
    let gone = missing(state);
    let mut parts: Vec<String> = Vec::new();
    if !gone.is_empty() {
        parts.push(format!("Missing: {gone}"));
    }
    for (place, row) in state.rows.iter().enumerate().filter(|(_, row)| row.fresh().is_some()) {
        let reasons = judgement.of_node.get(&place).into_iter().flatten();
        let codes: Vec<_> = reasons.map(|reason| reason.code()).collect();
        if !codes.is_empty() {
            parts.push(format!("{} {}", row.name(), codes.join(" ")));
        }
    }
    let links = links(&state.rows).into_iter();
    for link in links.filter(|link| link.is_down() || link.state == Standing::Stopped) {
        parts.push(format!("link {} {}", link.name(), link.state.word()));
    }
    let advice = judgement.reasons.first().map(|worst| worst.advice()).unwrap_or_default();
    if parts.is_empty() { advice.to_owned() } else { format!("{} ({advice})", parts.join("; ")) }
}

/// Why nobody is elected, as far as it can be told.
fn why(state: &State) -> String {
    let mut all: Vec<String> = Vec::new();
    for (place, row) in state.rows.iter().enumerate() {
        let reasons = judgement_of(state, place);
        for reason in [Reason::SlowDisk, Reason::PartialPartition, Reason::StorageUnavailable] {
            if reasons.contains(&reason) {
                all.push(format!("{} {}", row.name(), reason.code()));
            }
        }
    }
    all.extend(story::why_nobody(&state.timeline));
    if all.is_empty() { "the events do not tell why".to_owned() } else { all.join("; ") }
}

fn judgement_of(state: &State, place: usize) -> std::collections::BTreeSet<Reason> {
    state.judgement.of_node.get(&place).cloned().unwrap_or_default()
}
