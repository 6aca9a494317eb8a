//! `rustchat recover quorum`: makes one server the only voter of its cluster. It refuses
//! wherever another server may have more, and copies the data before it changes anything.

use super::plan::{self, Plan};
use super::{choose, chosen, look, warnings};
use crate::chat::command::Command;
use crate::chat::text::printable;
use crate::cli::outcome::End;
use crate::cli::outcome::{Failure, Kind};
use crate::cli::place::{PlaceArgs, refused};
use crate::cli::wait_for;
use crate::clock::now_ms;
use crate::raft::rescue::{self, Rescued};
use crate::store::check::Where;
use crate::store::{Store, StoreError, embedded, mongo};
use crate::wire::log::encode_command;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// Makes the server the only voter.
pub fn run(
    out: &mut impl Write,
    place: &PlaceArgs,
    file: &Path,
    accepted: &str,
    bump: u64,
) -> Result<(), Failure> {
    let plans = plan::read(file)?;
    let choice = choose(&plans)?;
    let best = chosen(&plans, &choice)?;
    let refuse = |text: String| Failure::text(Kind::Refused, text);
    if accepted != best.cluster {
        return Err(refuse(format!(
            "--accept-data-loss names another cluster than the plan: that is {}",
            best.cluster
        )));
    }
    let now = look(place)?;
    check(&now, &plans, best)?;
    for warning in warnings(best, &choice) {
        writeln!(out, "warning: {}", printable(&warning))?;
    }
    out.flush()?;
    let place = place.find()?;
    let mut done = None;
    wait_for(async {
        done = Some(change(&place, &now, bump).await?);
        Ok(End::Done)
    })?;
    let Some((copy, rescued)) = done else { return Err(Failure::text(Kind::Bug, "nothing done")) };
    report(out, &now, &copy, &rescued)
}

/// The plan must be of this server, as it is now, and name it.
fn check(now: &Plan, plans: &[Plan], best: &Plan) -> Result<(), Failure> {
    let refuse = |text: String| Err(Failure::text(Kind::Refused, text));
    let Some(own) = plans.iter().find(|plan| plan.incarnation == now.incarnation) else {
        return refuse(format!(
            "the plan does not know the data here, of seat {} of cluster {}: make its plan, and \
             compare it with those of the other servers",
            now.id, now.cluster
        ));
    };
    if !own.is_of(now) {
        return refuse(format!(
            "the data here, of seat {}, has changed since the plan was made: make it anew",
            now.id
        ));
    }
    if best.incarnation != now.incarnation {
        return refuse(format!(
            "seat {} has more than this one: run this on seat {}, and on no other",
            best.id, best.id
        ));
    }
    Ok(())
}

/// Copies the data, then changes it. Gives where the copy is.
async fn change(place: &Where, now: &Plan, bump: u64) -> Result<(String, Rescued), Failure> {
    let (store, copy) = open(place, now.seat()?).await.map_err(refused)?;
    let changed = recover(store.as_ref(), now, bump).await;
    let closed = store.close().await;
    let rescued = changed?;
    closed?;
    Ok((copy, rescued))
}

async fn recover(store: &dyn Store, now: &Plan, bump: u64) -> Result<Rescued, Failure> {
    let same = store.bounds().last.map(plan::At::from) == now.last
        && store.identity().raft_id == now.raft_id;
    if !same {
        return Err(Failure::text(Kind::Refused, "the data has just been changed: start again"));
    }
    let generation = now.generation + 1;
    let item = encode_command(&Command::Recover { generation, skip: bump });
    Ok(rescue::recover(store, generation, item, now_ms()).await?)
}

async fn open(place: &Where, seat: u32) -> Result<(Arc<dyn Store>, String), StoreError> {
    match place {
        Where::Directory(dir) => {
            let dir = dir.clone();
            let opened = spawn_blocking(move || {
                let copy = embedded::copy_aside(&dir)?;
                Ok::<_, StoreError>((embedded::open(&dir, seat, None)?, copy))
            });
            let (store, copy) = opened.await.map_err(std::io::Error::other)??;
            Ok((Arc::new(store), copy.display().to_string()))
        }
        Where::Database(place) => {
            let copy = mongo::copy_aside(place).await?;
            let place = mongo::Place { seat, ..place.clone() };
            Ok((Arc::new(mongo::open(&place).await?), copy))
        }
    }
}

fn report(out: &mut impl Write, now: &Plan, copy: &str, rescued: &Rescued) -> Result<(), Failure> {
    let (seat, generation) = (printable(&now.id), now.generation + 1);
    writeln!(out, "the data as it was is kept in {}", printable(copy))?;
    writeln!(out, "the log is kept up to entry {}", plan::At::from(rescued.last))?;
    writeln!(out, "uncommitted entries kept: {}", rescued.uncommitted)?;
    writeln!(
        out,
        "seat {seat} is now the only voter of cluster {}, generation {generation}",
        printable(&now.cluster)
    )?;
    writeln!(out, "next: start it; then, on each other seat: rustchat serve --rejoin")?;
    Ok(())
}
