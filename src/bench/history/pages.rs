//! Pages of old messages, at random places, one after the other. It must not know how they came to
//! be.

use super::Plan;
use super::load::Reader;
use crate::bench::progress::Progress;
use crate::chat::ids::ConversationId;
use crate::chat::message::Run;
use anyhow::{Context, ensure};
use hdrhistogram::Histogram;
use rand::Rng;
use std::time::Instant;

/// Messages of a page, as the screen asks for them.
const PAGE: u64 = 50;

/// Reads the pages, every other one in the long conversation; nanoseconds that each took.
pub async fn run(plan: &Plan, readers: &[Reader]) -> anyhow::Result<Histogram<u64>> {
    let mut progress = Progress::new(plan.progress, plan.pages.into(), "pages read");
    let mut times = Histogram::new(3)?;
    for n in 0..plan.pages {
        let place = choose(readers, n % 2 == 0);
        let (reader, conversation, last) = place.context("there is nothing to read")?;
        let from = rand::rng().random_range(1..=last.saturating_sub(PAGE - 1).max(1));
        let to = last.min(from + PAGE - 1);
        let begin = Instant::now();
        let runs = reader.client.history(conversation, from, to, false).await?;
        times.record(u64::try_from(begin.elapsed().as_nanos())?.max(1))?;
        let count: u64 = runs.iter().map(Run::count).sum();
        let first = runs.first().map(|run| run.first_seq);
        ensure!(
            first == Some(from) && count == to + 1 - from,
            "messages {from} to {to} were asked for: {count} came, from {first:?} on"
        );
        progress.tell(n.into());
    }
    Ok(times)
}

/// The long conversation, or any other: who may read it, and its last seq.
fn choose(readers: &[Reader], long: bool) -> Option<(&Reader, ConversationId, u64)> {
    let (first, others) = readers.split_first()?;
    let reader = match others.len() {
        0 => first,
        _ if long => first,
        count => others.get(rand::rng().random_range(0..count))?,
    };
    let count = reader.conversations.len();
    let (id, last) = reader.conversations.get(rand::rng().random_range(0..count.max(1)))?;
    Some((reader, *id, *last))
}
