//! Links to other clusters: who is in the map, and whom this cluster trusts. It must not know how a
//! server carries that out.

use super::args::{AdminArgs, LinkCommand};
use super::show::nobody;
use super::{Answer, give_to, say, tell};
use crate::chat::text::{printable, printable_json};
use crate::cli::args::TargetArgs;
use crate::cli::connect::targets;
use crate::cli::outcome::{End, Failure, Kind, Outcome};
use crate::client::status::ask_all;
use crate::report::Row;
use crate::report::document;
use crate::report::links::{LinkState, links};
use crate::tls::Fingerprint;
use serde_json::{Value, json};
use std::io::{self, IsTerminal, Write};
use std::time::Duration;

/// One server's answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Where an order about links goes.
const PATH: &str = "/v1/links";

/// `rustchat link`.
///
/// # Errors
/// As an order; 77 where a key is another one than was given, or nobody has compared it.
pub async fn link(command: &LinkCommand) -> Outcome {
    match command {
        LinkCommand::List { target, json } => list(target, *json).await,
        LinkCommand::Trust { who, name, fingerprint, admin } => {
            let wanted = |key: Option<Fingerprint>| {
                let key = key.map(|key| key.to_string());
                json!({ "order": "trust", "who": who, "name": name, "fingerprint": key })
            };
            trust(admin, &wanted, *fingerprint).await
        }
        LinkCommand::Distrust { who, admin } => {
            tell(give_to(PATH, admin, &json!({ "order": "distrust", "who": who })).await?)
        }
        LinkCommand::Resume { who, admin } => {
            tell(give_to(PATH, admin, &json!({ "order": "resume", "who": who })).await?)
        }
    }
}

async fn trust(
    admin: &AdminArgs,
    wanted: &(impl Fn(Option<Fingerprint>) -> Value + Sync),
    given: Option<Fingerprint>,
) -> Outcome {
    match give_to(PATH, admin, &wanted(given)).await? {
        Answer::Confirm { text, key } => {
            confirm(&text, key).await?;
            tell(give_to(PATH, admin, &wanted(Some(key))).await?)
        }
        answer => tell(answer),
    }
}

/// A person compares the key of a cluster.
async fn confirm(text: &str, key: Fingerprint) -> Result<(), Failure> {
    let text = printable(text).into_owned();
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        let text = format!(
            "{text} has the key {key}: compare it with what its operator sees in `rustchat keys show`, and add \
             --fingerprint {key}"
        );
        return Err(Failure::text(Kind::Auth, text));
    }
    let question = format!(
        "{text} has the key\n\n    {key}\n\n\
         Compare it with what its operator sees in `rustchat keys show`.\n\
         Is it the same (yes/no)? "
    );
    let asked = tokio::task::spawn_blocking(move || {
        io::stderr().lock().write_all(question.as_bytes())?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        io::Result::Ok(answer)
    });
    match asked.await.map_err(io::Error::other)??.trim() {
        "yes" => Ok(()),
        _ => Err(Failure::text(Kind::Auth, "not the right cluster: it is not trusted")),
    }
}

/// The map, by what all servers of this cluster say.
async fn list(target: &TargetArgs, as_json: bool) -> Outcome {
    let rows = ask_all(targets(target)?, PATIENCE, None, target.security()?).await;
    if rows.iter().all(|row| row.fresh().is_none()) {
        return nobody(&rows);
    }
    if as_json {
        let document = json!({ "links": document::links(&rows), "schema": 1 });
        let text = serde_json::to_string_pretty(&document).map_err(io::Error::from)?;
        say(&printable_json(&text))?;
        return Ok(End::Done);
    }
    say(&table(&rows))?;
    Ok(End::Done)
}

fn table(rows: &[Row]) -> String {
    let all = links(rows);
    if all.is_empty() {
        return "no other cluster was heard; `link trust HOST:PORT` looks for one".to_owned();
    }
    let mut lines = vec![format!(
        "{:<16}{:<12}{:>8}{:>9}{:>8}  {:<22} KEY",
        "CLUSTER", "STATE", "RTT", "QUEUE", "HEARD", "ADDRESS"
    )];
    lines.extend(all.iter().map(line));
    for link in all.iter().filter(|link| !link.view.why.is_empty()) {
        lines.push(format!("{}: {}", link.name(), link.view.why));
    }
    lines.join("\n")
}

fn line(link: &LinkState) -> String {
    let unknown = || "-".to_owned();
    let rtt = link.view.round_trip_us.map_or_else(unknown, |us| {
        format!("{:.1}ms", Duration::from_micros(us).as_secs_f64() * 1000.0)
    });
    let queued = link.queued.map_or_else(unknown, |queued| queued.to_string());
    format!(
        "{:<16}{:<12}{rtt:>8}{queued:>9}{:>8}  {:<22} {}",
        printable(link.name()),
        link.state.word(),
        format!("{}s", link.heard.as_secs()),
        printable(&link.view.address),
        printable(&link.view.key),
    )
}
