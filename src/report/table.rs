//! The answers as a table for people; see [`super`].

use super::Row;
use super::judge::{Judgement, Verdict};
use crate::chat::text::printable;
use unicode_width::UnicodeWidthStr;

/// The cluster in a line or two, then a line for each node.
#[must_use]
pub fn table(nodes: &[Row], judgement: &Judgement) -> String {
    let mut rows = vec![
        ["ID", "ADDRESS", "ROLE", "TERM", "LAST", "COMMIT", "APPLIED", "SESSIONS", "NOTE"]
            .map(str::to_owned),
    ];
    rows.extend((0..nodes.len()).filter_map(|place| row(nodes, place, judgement)));
    let widths: Vec<usize> = (0..9)
        .map(|column| rows.iter().map(|row| row[column].width()).max().unwrap_or(0))
        .collect();
    let mut text = headline(nodes, judgement);
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, &width)| {
            let blank = width.saturating_sub(cell.width());
            format!("{cell}{}", " ".repeat(blank))
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push('\n');
        text.push_str(line.trim_end());
    }
    text.push_str(&links(nodes));
    text
}

/// The links to other clusters in a line, where there are any.
fn links(nodes: &[Row]) -> String {
    let all = super::links::links(nodes);
    let open = all.iter().filter(|link| link.is_open());
    let words: Vec<_> =
        open.map(|link| format!("{} {}", printable(link.name()), link.state.word())).collect();
    if words.is_empty() { String::new() } else { format!("\nlinks: {}", words.join(", ")) }
}

fn headline(nodes: &[Row], judgement: &Judgement) -> String {
    let name = nodes.iter().filter_map(Row::fresh).map(|s| s.cluster_name.as_str()).next();
    let mut text = match name {
        Some(name) if !name.is_empty() => format!("{}: ", printable(name)),
        _ => String::new(),
    };
    text.push_str(match judgement.verdict {
        Verdict::Healthy => "all is well",
        Verdict::Degraded => "it serves, but something is missing",
        Verdict::Electing => "no leader yet",
        Verdict::NoLeader => "no leader, though a majority is up",
        Verdict::NoQuorum => "no majority",
        Verdict::SplitView => "two servers lead in one term; this is a fault of the program",
        Verdict::Unreachable => "no server answers",
    });
    if let (Some(voters), Some(needed)) = (judgement.voters, judgement.needed()) {
        let live = judgement.live;
        text += &format!("; {live} of {voters} servers are up, {needed} are needed");
    }
    text
}

fn row(nodes: &[Row], place: usize, judgement: &Judgement) -> Option<[String; 9]> {
    let node = nodes.get(place)?;
    let id = node.seat.map_or_else(|| "?".to_owned(), |seat| seat.to_string());
    let addr = printable(&node.addr).into_owned();
    Some(match node.fresh() {
        None => {
            let dash = || "–".to_owned();
            let why = node.error.as_ref().map_or("no answer", |(_, text)| text);
            let why = printable(why).into_owned();
            [id, addr, "down".to_owned(), dash(), dash(), dash(), dash(), dash(), why]
        }
        Some(s) => {
            let reasons = judgement.of_node.get(&place);
            let reasons =
                reasons.into_iter().flatten().map(|r| r.code()).collect::<Vec<_>>().join(", ");
            let why = printable(&s.why);
            let note = if why.is_empty() { reasons } else { format!("{reasons} ({why})") };
            [
                id,
                addr,
                printable(&s.role).into_owned(),
                s.term.to_string(),
                s.last_index.to_string(),
                s.commit.to_string(),
                s.applied.to_string(),
                s.sessions.to_string(),
                note,
            ]
        }
    })
}
