//! `rustchat events`: what all servers tell of the past, as one history; it works without a
//! leader. It must not know what a node does.

use super::args::{EventsArgs, KindName};
use super::connect::find_targets;
use super::outcome::{End, Failure, Outcome};
use super::signals::Signals;
use crate::chat::text::{printable, printable_json};
use crate::client::security::Security;
use crate::client::status::{ask, ask_all};
use crate::clock::now_ms;
use crate::report::story::{self, Group};
use crate::report::timeline::{Entry, Timeline};
use crate::report::{Row, document};
use crate::wire::statement::Event;
use futures::future::join_all;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::time::Duration;

/// With `--follow` every server is asked this often.
const AGAIN: Duration = Duration::from_millis(500);

/// Asks and prints. A server that does not answer is named on standard error: what it alone knows
/// is missing.
///
/// # Errors
/// A `nodes.conf` with mistakes, or an output that is gone.
pub async fn run(args: &EventsArgs) -> Outcome {
    let mut signals = Signals::new()?;
    let (targets, security) = find_targets(&args.target, &args.seek).await?;
    let rows = tokio::select! {
        rows = ask_all(targets, args.timeout, Some(0), security) => rows,
        () = signals.next() => return Ok(End::Done),
    };
    let mut timeline = Timeline::default();
    for row in &rows {
        timeline.take(row);
    }
    let mut printer = Printer::new(args);
    if !printer.print(timeline.entries())? {
        return Ok(End::Done);
    }
    if args.follow {
        return follow((args, security), rows, timeline, printer, signals).await;
    }
    let silent: Vec<_> = rows.iter().filter(|row| row.fresh().is_none()).collect();
    for row in &silent {
        let why = row.error.as_ref().map_or("no answer", |(cause, _)| cause.code());
        let name = printable(&row.name()).into_owned();
        // Where standard error is gone, the exit code says it.
        drop(writeln!(io::stderr().lock(), "rustchat: {name} does not answer ({why})"));
    }
    Ok(match silent.len() {
        0 => End::Done,
        all if all == rows.len() => End::NoAnswer,
        _ => End::Degraded,
    })
}

/// Asks again and again for what is new, until a signal comes or nobody reads any more.
async fn follow(
    (args, security): (&EventsArgs, Security),
    rows: Vec<Row>,
    mut timeline: Timeline,
    mut printer: Printer,
    mut signals: Signals,
) -> Outcome {
    let mut seats: BTreeMap<String, Option<u32>> =
        rows.into_iter().map(|row| (row.addr, row.seat)).collect();
    loop {
        tokio::select! {
            () = tokio::time::sleep(AGAIN) => {}
            () = signals.next() => return Ok(End::Done),
        }
        let questions = seats.iter().map(|(addr, seat)| {
            let after = seat.and_then(|seat| timeline.last_id(seat)).unwrap_or(0);
            ask(addr.clone(), args.timeout, Some(after), security)
        });
        let rows = tokio::select! {
            rows = join_all(questions) => rows,
            () = signals.next() => return Ok(End::Done),
        };
        let mut new: BTreeSet<(u32, u64)> = BTreeSet::new();
        for row in rows {
            new.extend(timeline.take(&row).iter().map(|event| (event.seat, event.id)));
            learn(&mut seats, &row);
        }
        let mut entries = timeline.entries();
        entries.retain(|entry| new.contains(&(entry.event.seat, entry.event.id)));
        if !printer.print(entries)? {
            return Ok(End::Done);
        }
    }
}

/// Members that join later are asked too.
fn learn(seats: &mut BTreeMap<String, Option<u32>>, row: &Row) {
    let Some(status) = row.fresh() else { return };
    seats.insert(row.addr.clone(), Some(status.seat));
    for server in &status.servers {
        if !seats.values().any(|seat| *seat == Some(server.seat)) {
            seats.insert(server.for_clients(), Some(server.seat));
        }
    }
}

/// Prints events, each as it was asked for.
struct Printer {
    json: bool,
    from_ms: u64,
    groups: BTreeSet<Group>,
}

impl Printer {
    fn new(args: &EventsArgs) -> Self {
        let group = |kind: &KindName| match kind {
            KindName::Election => Group::Election,
            KindName::Member => Group::Member,
            KindName::Disk => Group::Disk,
            KindName::Link => Group::Link,
        };
        let ms = args.since.map(|since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        Self {
            json: args.json,
            from_ms: ms.map_or(0, |ms| now_ms().saturating_sub(ms)),
            groups: args.kind.iter().map(group).collect(),
        }
    }

    fn wants(&self, entry: &Entry<'_>) -> bool {
        let group = Group::of(&entry.event.kind);
        let asked = self.groups.is_empty() || group.is_some_and(|g| self.groups.contains(&g));
        asked && entry.at_ms >= self.from_ms
    }

    /// False where nobody reads any more.
    fn print(&mut self, entries: Vec<Entry<'_>>) -> Result<bool, Failure> {
        let mut out = io::stdout().lock();
        for entry in entries.iter().filter(|entry| self.wants(entry)) {
            let text = if self.json { json(entry) } else { line(entry) };
            match writeln!(out, "{text}") {
                Err(why) if why.kind() == io::ErrorKind::BrokenPipe => return Ok(false),
                result => result?,
            }
        }
        match out.flush() {
            Err(why) if why.kind() == io::ErrorKind::BrokenPipe => Ok(false),
            result => Ok(result.map(|()| true)?),
        }
    }
}

/// As one object; its time is ours.
fn json(entry: &Entry<'_>) -> String {
    let event = Event { at_ms: entry.at_ms, ..entry.event.clone() };
    printable_json(&document::event(&event).to_string()).into_owned()
}

fn line(entry: &Entry<'_>) -> String {
    let line = story::event(entry.event, entry.at_ms);
    let term = if line.term > 0 { format!("t{}", line.term) } else { "-".to_owned() };
    let at = document::time(entry.at_ms).unwrap_or_default();
    let (day, clock) = (at.get(..10).unwrap_or_default(), story::clock(entry.at_ms));
    let text = format!("{day}T{clock}Z  {term:<5} n{:<3} {}", line.seat, line.text);
    printable(text.trim_end()).into_owned()
}
