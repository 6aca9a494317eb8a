//! Events and elections in words, a line each: what `dash` and `events` show to a person. Pure.
//! It must not know colours or widths.

use super::timeline::{Answer, Candidate, Election, Timeline};
use crate::wire::statement::Event;
use std::collections::{BTreeMap, BTreeSet};

/// What a line means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// It is told.
    Plain,
    /// Somebody leads.
    Good,
    /// It needs a look.
    Bad,
}

/// A line of the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When, by the asker's clock, in milliseconds of UNIX time.
    pub at_ms: u64,
    /// The term; 0: none.
    pub term: u64,
    /// The node that it is about.
    pub seat: u32,
    /// What.
    pub text: String,
    /// What that means.
    pub tone: Tone,
}

/// The groups of events that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Who leads, and how that came about.
    Election,
    /// Who is a member, who runs.
    Member,
    /// Disks and databases.
    Disk,
    /// Links to other clusters.
    Link,
}

impl Group {
    /// The group of an event; `None` for one of a newer program.
    #[must_use]
    pub fn of(kind: &str) -> Option<Self> {
        Some(match kind {
            "timeout" | "prevote_asked" | "prevote" | "prevoted" | "vote_asked" | "vote"
            | "voted" | "elected" | "stepped_down" | "new_leader" | "lost_leader" | "transfer" => {
                Self::Election
            }
            "member" | "drain" | "started" | "stopping" => Self::Member,
            "storage" | "disk" => Self::Disk,
            "link" => Self::Link,
            _ => return None,
        })
    }
}

/// The history as it is best read: elections put together, everything else as it came; the newest
/// first. `voters` is how many there are, where that is known.
#[must_use]
pub fn lines(timeline: &Timeline, voters: Option<u32>) -> Vec<Line> {
    let elections = timeline.elections();
    let mut lines: Vec<_> = elections.iter().flat_map(|e| election(e, voters)).collect();
    let told: BTreeSet<u64> = elections.iter().flat_map(|e| &e.losses).map(|l| l.at_ms).collect();
    for entry in timeline.entries() {
        let kind = entry.event.kind.as_str();
        let alone = match kind {
            // A leader that was lost without an election after it.
            "lost_leader" => told.iter().all(|at| entry.at_ms.abs_diff(*at) > 5000),
            "stepped_down" | "transfer" => true,
            "new_leader" => entry.event.text.ends_with("again"),
            _ => Group::of(kind) != Some(Group::Election),
        };
        if alone {
            lines.push(event(entry.event, entry.at_ms));
        }
    }
    // Stable: what is told in order stays in order.
    lines.sort_by_key(|line| line.at_ms);
    lines.reverse();
    lines
}

/// The same with every event by itself.
#[must_use]
pub fn all(timeline: &Timeline) -> Vec<Line> {
    let entries = timeline.entries();
    entries.into_iter().rev().map(|entry| event(entry.event, entry.at_ms)).collect()
}

/// One event, which was at `at_ms` by the asker's clock.
#[must_use]
pub fn event(e: &Event, at_ms: u64) -> Line {
    let tone = match e.kind.as_str() {
        "elected" => Tone::Good,
        "lost_leader" | "stepped_down" | "storage" | "stopping" => Tone::Bad,
        _ if e.granted == Some(false) => Tone::Bad,
        _ => Tone::Plain,
    };
    Line { at_ms, term: e.term, seat: e.seat, text: words(e), tone }
}

/// An event in words, without its time, term and node.
#[must_use]
pub fn words(e: &Event) -> String {
    let peer = e.peer.map_or_else(|| "another".to_owned(), |seat| format!("n{seat}"));
    let cause = if e.cause.is_empty() { "refused" } else { e.cause.as_str() };
    let because = if e.cause.is_empty() { String::new() } else { format!(": {}", e.cause) };
    let after = e.took_ms.map_or_else(String::new, |ms| format!(", leaderless {}", time(ms)));
    let took = e.took_ms.map_or_else(String::new, |ms| format!(" in {}", time(ms)));
    let yes = e.granted == Some(true);
    match e.kind.as_str() {
        "timeout" => format!("campaigns{because}"),
        "prevote_asked" => format!("PRECANDIDATE, asks {peer} for a pre-vote"),
        "prevote" | "vote" => {
            let what = if e.kind == "vote" { "vote" } else { "pre-vote" };
            let answer = match (yes, cause) {
                (true, _) => format!("yes{took}"),
                (false, "not_answered") => "it does not answer".to_owned(),
                (false, cause) => format!("no, {cause}"),
            };
            format!("{what} of {peer}: {answer}")
        }
        "prevoted" if yes => format!("pre-vote for {peer}: yes"),
        "prevoted" => format!("pre-vote for {peer}: no, {cause}"),
        "vote_asked" => format!("CANDIDATE, asks {peer} for its vote"),
        "voted" if yes => format!("votes for {peer}"),
        "voted" => format!("no vote for {peer}: {cause}"),
        "elected" => format!("LEADER{because}{after}"),
        "stepped_down" => format!("leads no longer{because}"),
        "new_leader" => format!("follows {peer}{after}"),
        "lost_leader" => format!("lost {peer}{because}; {}", e.text),
        kind if e.text.is_empty() => kind.to_owned(),
        _ => e.text.clone(),
    }
}

/// An election in a few lines, the first one first.
fn election(e: &Election, voters: Option<u32>) -> Vec<Line> {
    let line = |at_ms, seat, text, tone| Line { at_ms, term: e.term, seat, text, tone };
    let mut lines = Vec::new();
    for loss in &e.losses {
        let leader = loss.leader.map_or_else(|| "the leader".to_owned(), |seat| format!("n{seat}"));
        let first = loss.by.iter().next().copied().unwrap_or(0);
        let others: Vec<_> = loss.by.iter().skip(1).map(|seat| format!("n{seat}")).collect();
        let others = if others.is_empty() {
            String::new()
        } else {
            format!(" (so did {})", others.join(" "))
        };
        let text = format!("lost {leader}: {}{others}", loss.cause);
        lines.push(Line {
            term: e.term.saturating_sub(1),
            ..line(loss.at_ms, first, text, Tone::Bad)
        });
    }
    for c in e.candidates.iter().filter(|c| c.took_part()) {
        let role = if c.prevoted { "PRECANDIDATE" } else { "campaigns" };
        let cause = if c.cause.is_empty() { "cause not known" } else { &c.cause };
        let asked = answers(": ", &c.prevotes);
        lines.push(line(c.at_ms, c.seat, format!("{role} ({cause}){asked}"), Tone::Plain));
        if let Some(at) = c.asked_ms {
            let text = format!("CANDIDATE, votes for itself{}", answers("; ", &c.votes));
            lines.push(line(at, c.seat, text, Tone::Plain));
        }
    }
    if let Some((seat, at)) = e.winner {
        lines.push(line(at, seat, won(e, at, voters), Tone::Good));
    } else if let Some(last) = e.candidates.last().filter(|c| c.asked_ms.is_some()) {
        let text = format!("no majority yet: {}", votes(last, voters));
        lines.push(line(last.asked_ms.unwrap_or(last.at_ms), last.seat, text, Tone::Bad));
    }
    lines
}

fn won(e: &Election, at: u64, voters: Option<u32>) -> String {
    let mut text = "LEADER".to_owned();
    if let Some(c) = e.won_by() {
        text += &format!(", {} in {}", votes(c, voters), time(at.saturating_sub(c.at_ms)));
    }
    if let Some(ms) = e.leaderless_ms {
        text += &format!(", leaderless {}", time(ms));
    }
    text
}

/// How many voted for a candidate, itself included.
fn votes(c: &Candidate, voters: Option<u32>) -> String {
    let votes = c.votes.values().filter(|a| a.granted).count() + 1;
    voters.map_or_else(|| format!("{votes} votes"), |all| format!("{votes} of {all} votes"))
}

/// Who answered what: `yes n3; silent n1`.
fn answers(before: &str, all: &BTreeMap<u32, Answer>) -> String {
    let mut said: BTreeMap<(u8, String), Vec<String>> = BTreeMap::new();
    for (seat, a) in all {
        let word = match (a.granted, a.cause.as_str()) {
            (true, _) => (0, "yes".to_owned()),
            (false, "not_answered") => (2, "silent".to_owned()),
            (false, "") => (1, "no".to_owned()),
            (false, cause) => (1, format!("no ({cause})")),
        };
        said.entry(word).or_default().push(format!("n{seat}"));
    }
    let parts = said.iter().map(|((_, word), who)| format!("{word} {}", who.join(" ")));
    let text = parts.collect::<Vec<_>>().join("; ");
    if text.is_empty() { text } else { format!("{before}{text}") }
}

/// Why nobody was elected in the newest terms without a leader, as far as the events tell.
#[must_use]
pub fn why_nobody(timeline: &Timeline) -> Option<String> {
    let mut elections = timeline.elections();
    elections.reverse();
    let open: Vec<_> = elections.iter().take_while(|e| e.winner.is_none()).take(8).collect();
    let refused = |c: &Candidate, cause: &str| {
        c.prevotes.values().chain(c.votes.values()).any(|a| !a.granted && a.cause == cause)
    };
    let any = |cause| open.iter().flat_map(|e| &e.candidates).any(|c| refused(c, cause));
    let split = open.iter().filter(|e| e.candidates.len() > 1).count();
    if split > 0 || any("already_voted") {
        Some(format!("votes are split ({} elections)", open.len()))
    } else if any("leader_alive") {
        Some("a node still hears the old leader: a partial partition".to_owned())
    } else if any("log_behind") {
        Some("the log of who campaigns is behind".to_owned())
    } else if any("not_answered") {
        Some("who is asked for its vote does not answer".to_owned())
    } else {
        None
    }
}

/// A time of so many milliseconds: `12ms`, `1.6s`, `3m`, `2h`, `5d`.
#[must_use]
pub fn time(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms}ms"),
        1000..100_000 => format!("{}.{}s", ms / 1000, ms % 1000 / 100),
        100_000..5_400_000 => format!("{}m", ms / 60_000),
        5_400_000..172_800_000 => format!("{}h", ms / 3_600_000),
        _ => format!("{}d", ms / 86_400_000),
    }
}

/// The time of day in UTC, to the millisecond.
#[must_use]
pub fn clock(ms: u64) -> String {
    let day = ms % 86_400_000;
    let (h, m, s) = (day / 3_600_000, day / 60_000 % 60, day / 1000 % 60);
    format!("{h:02}:{m:02}:{s:02}.{:03}", day % 1000)
}
