//! What every server says of members, leader and health; works without a leader. It must not
//! change anything.

use super::args::HealthArgs;
use super::say;
use crate::chat::text::{printable, printable_json};
use crate::cli::args::TargetArgs;
use crate::cli::connect::targets;
use crate::cli::outcome::{End, Outcome};
use crate::client::status::{ask, ask_all};
use crate::report::health::{Check, lines, ready};
use crate::report::judge::judge;
use crate::report::{Row, health as probes};
use crate::wire::statement::Status;
use serde_json::json;
use std::time::Duration;

/// One server's answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who belongs to the cluster, by the server that has come furthest.
///
/// # Errors
/// A `nodes.conf` with mistakes, or an output that is gone.
pub async fn member_list(target: &TargetArgs, as_json: bool) -> Outcome {
    let rows = ask_all(targets(target)?, PATIENCE, None, target.security()?).await;
    let Some(newest) = furthest(&rows) else { return nobody(&rows) };
    let answers = |id: u64| rows.iter().filter_map(Row::fresh).find(|s| s.raft_id == id);
    if as_json {
        let members: Vec<_> = newest
            .members
            .iter()
            .map(|m| {
                json!({
                    "addr": m.server.for_clients(),
                    "applied": answers(m.raft_id).map(|s| s.applied),
                    "held": m.held,
                    "id": m.server.seat.to_string(),
                    "raft_id": m.raft_id.to_string(),
                    "reachable": answers(m.raft_id).is_some(),
                    "role": answers(m.raft_id).map(|s| &s.role),
                    "voter": m.voter,
                })
            })
            .collect();
        let from = newest.seat.to_string();
        let document = json!({ "from": from, "members": members, "schema": 1 });
        let text = serde_json::to_string_pretty(&document).map_err(std::io::Error::from)?;
        say(&printable_json(&text))?;
        return Ok(End::Done);
    }
    say(&format!(
        "{:<5}{:<9}{:<14}{:<24}{:>10}  NOTE",
        "ID", "VOTER", "ROLE", "ADDRESS", "APPLIED"
    ))?;
    for member in &newest.members {
        let own = answers(member.raft_id);
        let role = own.map_or("unreachable", |s| s.role.as_str());
        let applied = own.map_or("-".to_owned(), |s| s.applied.to_string());
        let voter = if member.voter { "yes" } else { "learner" };
        let note = if member.held { "waits for `member promote`" } else { "" };
        let address = member.server.for_clients();
        let line = format!(
            "{:<5}{voter:<9}{:<14}{:<24}{applied:>10}  {note}",
            format!("n{}", member.server.seat),
            printable(role),
            printable(&address),
        );
        say(line.trim_end())?;
    }
    Ok(End::Done)
}

/// Who leads.
///
/// # Errors
/// A `nodes.conf` with mistakes, or an output that is gone.
pub async fn leader_show(target: &TargetArgs) -> Outcome {
    let rows = ask_all(targets(target)?, PATIENCE, None, target.security()?).await;
    let judgement = judge(&rows);
    let leader = judgement.leader.and_then(|place| rows.get(place));
    if let Some((row, status)) = leader.and_then(|row| Some((row, row.fresh()?))) {
        say(&format!("{} leads in term {} ({})", row.name(), status.term, printable(&row.addr)))?;
        return Ok(End::Done);
    }
    let Some(newest) = furthest(&rows) else { return nobody(&rows) };
    let last = newest.elections.last_leader.as_ref();
    let last = last.map_or(String::new(), |last| {
        format!("; n{} led in term {} ({})", last.seat, last.term, printable(&last.cause))
    });
    say(&format!("nobody leads: {} of {} voters answer{last}", judgement.live, newest.voters))?;
    Ok(End::NotServing)
}

/// One line for each check of one server.
///
/// # Errors
/// A `nodes.conf` with mistakes, or an output that is gone.
pub async fn health(args: &HealthArgs) -> Outcome {
    let node = args.node.iter().cloned().collect();
    let target = TargetArgs { nodes: args.nodes.clone(), node, trust: args.trust.clone() };
    let Some(address) = targets(&target)?.into_iter().next() else { return Ok(End::NoAnswer) };
    let row = ask(address, args.timeout, None, target.security()?).await;
    let Some(status) = row.fresh() else {
        let why = row.error.as_ref().map_or("no answer", |(_, text)| text.as_str());
        let check = Check::new("answer", false, format!("{}: {why}", row.addr));
        say(lines(&[check]).trim_end())?;
        return Ok(End::NoAnswer);
    };
    let mut checks = vec![Check::new("answer", true, row.addr.clone())];
    checks.extend(probes::live(Duration::ZERO));
    checks.extend(ready(status));
    say(lines(&checks).trim_end())?;
    let failed = |name: &str| checks.iter().any(|check| check.name == name && !check.ok);
    Ok(if failed("leader") {
        End::NotServing
    } else if checks.iter().any(|check| !check.ok) {
        End::Degraded
    } else {
        End::Done
    })
}

fn furthest(rows: &[Row]) -> Option<&Status> {
    rows.iter()
        .filter_map(Row::fresh)
        .max_by_key(|s| (!s.members.is_empty(), s.generation, s.applied, s.term))
}

pub(super) fn nobody(rows: &[Row]) -> Outcome {
    for row in rows {
        let why = row.error.as_ref().map_or("no answer", |(_, text)| text.as_str());
        say(&format!("{}: {}", printable(&row.addr), printable(why)))?;
    }
    Ok(End::NoAnswer)
}
