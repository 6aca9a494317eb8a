//! `rustchat status`: asks every node itself and says how the cluster stands. It
//! works without a leader. It must not know what a node does.

mod document;
mod judge;
mod table;

#[cfg(test)]
mod tests;

use super::args::StatusArgs;
use super::connect::targets;
use super::outcome::{End, Failure, Outcome};
use crate::client::Status;
use crate::client::status::status;
use futures::future::join_all;
use judge::Verdict;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::time::{Duration, Instant};

/// One node, as far as it answered.
#[derive(Clone, Debug)]
struct Asked {
    /// `host:port` for clients.
    addr: String,
    /// Its seat, if it or another node told it.
    seat: Option<u32>,
    /// Its own statement and how long it took, or why there is none.
    answer: Result<(Status, Duration), String>,
}

impl Asked {
    fn status(&self) -> Option<&Status> {
        self.answer.as_ref().ok().map(|(status, _)| status)
    }
}

/// Asks and prints.
///
/// # Errors
/// A `nodes.conf` with mistakes, or an output that is gone.
pub async fn run(args: &StatusArgs) -> Outcome {
    let nodes = ask_all(targets(&args.target)?, args.timeout).await;
    let judgement = judge::judge(&nodes);
    let text = if args.json {
        let document = document::document(&nodes, &judgement);
        serde_json::to_string_pretty(&document).map_err(io::Error::from)?
    } else {
        table::table(&nodes, &judgement)
    };
    match writeln!(io::stdout().lock(), "{text}") {
        Err(why) if why.kind() != io::ErrorKind::BrokenPipe => return Err(Failure::from(why)),
        _ => {}
    }
    Ok(match judgement.verdict {
        Verdict::Healthy => End::Done,
        Verdict::Degraded => End::Degraded,
        Verdict::Electing | Verdict::NoQuorum => End::NotServing,
        Verdict::Unreachable => End::NoAnswer,
    })
}

/// Asks these nodes, then the members that they name; in order of seats.
async fn ask_all(targets: Vec<String>, timeout: Duration) -> Vec<Asked> {
    let named: BTreeSet<String> = targets.into_iter().collect();
    let mut nodes = join_all(named.into_iter().map(|addr| ask(addr, timeout))).await;
    let told: BTreeSet<(u32, String)> = nodes
        .iter()
        .filter_map(Asked::status)
        .flat_map(|status| &status.servers)
        .map(|server| (server.seat, server.for_clients()))
        .collect();
    for node in &mut nodes {
        let same = |row: &&(u32, String)| row.1 == node.addr;
        node.seat = node.seat.or_else(|| told.iter().find(same).map(|row| row.0));
    }
    let seats: BTreeSet<u32> = nodes.iter().filter_map(|node| node.seat).collect();
    let others = told.into_iter().filter(|(seat, _)| !seats.contains(seat));
    nodes.extend(join_all(others.map(|(seat, addr)| ask_member(seat, addr, timeout))).await);
    nodes.sort_by(|a, b| {
        (a.seat.is_none(), a.seat, &a.addr).cmp(&(b.seat.is_none(), b.seat, &b.addr))
    });
    nodes
}

async fn ask_member(seat: u32, addr: String, timeout: Duration) -> Asked {
    let mut asked = ask(addr, timeout).await;
    asked.seat = Some(seat);
    asked
}

async fn ask(addr: String, timeout: Duration) -> Asked {
    let begin = Instant::now();
    let answer = status(&addr, timeout).await;
    let answer = answer.map(|status| (status, begin.elapsed())).map_err(|why| why.to_string());
    Asked { seat: answer.as_ref().ok().map(|(status, _)| status.seat), addr, answer }
}
