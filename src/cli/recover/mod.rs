//! `rustchat recover`: a cluster that lost a majority for good goes on with one of the servers
//! that are left. Offline, plan first: every survivor says what it has, the plans are compared,
//! and the chosen one is made the only voter. It must not know how a log is written.

pub mod args;

mod choice;
mod plan;
mod quorum;

use super::outcome::{End, Failure, Kind, Outcome};
use super::place::{PlaceArgs, refused};
use super::talk::rfc3339;
use crate::chat::text::{printable, printable_json};
use crate::clock::now_ms;
use crate::store::check;
use args::RecoverCommand;
use choice::{Choice, choose};
use plan::Plan;
use serde_json::json;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

/// Runs a step of a recovery.
pub fn run(command: &RecoverCommand) -> Outcome {
    let mut out = BufWriter::new(io::stdout().lock());
    match command {
        RecoverCommand::Plan { place, out: file, merge, json } if merge.is_empty() => {
            make(&mut out, place, file.as_deref(), *json)?;
        }
        RecoverCommand::Plan { out: file, merge, json, .. } => {
            compare(&mut out, merge, file.as_deref(), *json)?;
        }
        RecoverCommand::Quorum { place, plan, accept_data_loss, bump } => {
            quorum::run(&mut out, place, plan, accept_data_loss, *bump)?;
        }
    }
    out.flush()?;
    Ok(End::Done)
}

/// The plan of a stopped server.
fn look(place: &PlaceArgs) -> Result<Plan, Failure> {
    let place = place.find()?;
    let survey = check::survey(&place).map_err(refused)?;
    Plan::of(&place, &survey, rfc3339(now_ms()))
}

fn make(
    out: &mut impl Write,
    place: &PlaceArgs,
    file: Option<&Path>,
    json: bool,
) -> Result<(), Failure> {
    let plan = look(place)?;
    if let Some(file) = file {
        plan::write(file, &plan)?;
    }
    if json {
        return print_json(out, &plan);
    }
    let at = |at: Option<plan::At>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
    writeln!(out, "cluster      {} ({})", printable(&plan.cluster), printable(&plan.cluster_name))?;
    writeln!(out, "generation   {}", plan.generation)?;
    writeln!(out, "seat         {} (Raft id {})", printable(&plan.id), plan.raft_id)?;
    writeln!(out, "last entry   {}", at(plan.last))?;
    writeln!(out, "committed    {}", at(plan.commit))?;
    writeln!(out, "applied      {}", at(plan.applied))?;
    writeln!(out, "snapshot     {}", at(plan.snapshot))?;
    writeln!(out, "voted        in term {}", plan.term)?;
    for member in &plan.members {
        let role = if member.voter { "voter" } else { "learner" };
        writeln!(
            out,
            "member       {} at {} ({role}, {})",
            printable(&member.id),
            printable(&member.host),
            member.raft_id
        )?;
    }
    if let Some(file) = file {
        writeln!(out, "plan         {}", file.display())?;
    }
    Ok(())
}

fn compare(
    out: &mut impl Write,
    files: &[PathBuf],
    file: Option<&Path>,
    json: bool,
) -> Result<(), Failure> {
    let mut plans = Vec::new();
    for file in files {
        plans.extend(plan::read(file)?);
    }
    let choice = choose(&plans)?;
    let best = chosen(&plans, &choice)?.clone();
    let merged = plan::merged(plans);
    if let Some(file) = file {
        plan::write(file, &merged)?;
    }
    if json {
        let missing: Vec<_> = choice.missing.iter().map(u64::to_string).collect();
        return print_json(
            out,
            &json!({
                "best": best.id, "cluster": best.cluster, "generation": best.generation,
                "majority": choice.majority, "may_lose": choice.may_lose, "missing": missing,
                "outdated": choice.outdated, "plans": merged.plans, "schema": merged.schema,
                "uncommitted": best.uncommitted(),
            }),
        );
    }
    for plan in &merged.plans {
        let last = plan.last.map_or_else(|| "nothing".to_owned(), |at| at.to_string());
        let (id, generation) = (printable(&plan.id), plan.generation);
        writeln!(out, "seat {id}: generation {generation}, last entry {last}")?;
    }
    let id = printable(&best.id);
    writeln!(out, "go on with seat {id}, whose last entry is the newest")?;
    for warning in warnings(&best, &choice) {
        writeln!(out, "warning: {}", printable(&warning))?;
    }
    if let Some(file) = file {
        writeln!(
            out,
            "on seat {id}: rustchat recover quorum --plan {} --accept-data-loss {}",
            file.display(),
            printable(&best.cluster)
        )?;
    }
    Ok(())
}

fn chosen<'a>(plans: &'a [Plan], choice: &Choice) -> Result<&'a Plan, Failure> {
    plans.get(choice.best).ok_or_else(|| Failure::text(Kind::Refused, "there are no plans"))
}

/// What an operator must know before the server of `best` goes on alone.
fn warnings(best: &Plan, choice: &Choice) -> Vec<String> {
    let mut all = Vec::new();
    let seat = |id: &u64| (id % 1000).to_string();
    let missing: Vec<_> = choice.missing.iter().map(seat).collect();
    let missing = missing.join(", ");
    if choice.majority {
        all.push(
            "these servers are a majority: start them as they are, nothing is lost; a recovery \
             is not needed"
                .to_owned(),
        );
    } else if choice.may_lose {
        all.push(format!(
            "no plan of seats {missing}: together they may have acknowledged messages behind \
             entry {}, which will be lost; if one of them can still be read, make its plan first",
            best.last.map_or(0, |at| at.index)
        ));
    } else if !missing.is_empty() {
        all.push(format!(
            "no plan of seats {missing}: they were no majority, so every acknowledged message is \
             in one of these plans, and nothing is lost"
        ));
    }
    if best.uncommitted() > 0 {
        all.push(format!(
            "{} entries at the end of the log are kept although nobody knows any more whether \
             they were committed",
            best.uncommitted()
        ));
    }
    if !choice.outdated.is_empty() {
        all.push(format!(
            "seats {} are of an earlier generation and were left behind by an earlier recovery",
            choice.outdated.join(", ")
        ));
    }
    all
}

fn print_json(out: &mut impl Write, document: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(document).map_err(|why| Failure::text(Kind::Bug, why))?;
    Ok(writeln!(out, "{}", printable_json(&text))?)
}
