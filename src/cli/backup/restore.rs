//! `rustchat backup restore`: checks a backup, makes sure that nothing is overwritten, and makes
//! a new cluster of it. It must not know what a backup looks like inside.

use super::{open, say, summary, verify};
use crate::chat::ids::ClusterId;
use crate::cli::connect::nodes_file;
use crate::cli::outcome::{End, Failure, Kind, Outcome};
use crate::cli::place::{PlaceArgs, refused};
use crate::cli::wait_for;
use crate::config::{self, StoreUrl, seat};
use crate::raft::Seat;
use crate::server::backup::{self, NewCluster};
use crate::store::check::Where;
use crate::store::{Store, StoreError, embedded, mongo};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// Restores the backup.
pub fn run(file: &Path, args: &PlaceArgs, move_aside: bool, bump: u64) -> Outcome {
    let checked = verify(file)?;
    let (place, new, other) = target(args, bump)?;
    let mut moved = None;
    wait_for(async {
        let store = empty(&place, new.own.seat, move_aside, &mut moved).await?;
        let restored = fill(file, Arc::clone(&store), new.clone()).await;
        let closed = store.close().await;
        restored?;
        closed?;
        Ok(End::Done)
    })?;
    if let Some(moved) = moved {
        say(&format!("what was there is now {moved}"))?;
    }
    say(&format!("restored {}", summary(&checked)))?;
    say(&format!("it is a new cluster, of which seat {} is the only server", new.own.seat))?;
    say(&format!("for nodes.conf: cluster_id = \"{}\"", new.id))?;
    if other {
        // Where standard error is gone, there is nobody left to tell.
        drop(writeln!(
            std::io::stderr().lock(),
            "rustchat: nodes.conf names the old cluster: no server starts before that is changed"
        ));
    }
    say("next: start it; then, on each other seat: rustchat serve --rejoin")
}

/// Where it goes, what it becomes, and whether `nodes.conf` names another cluster.
fn target(args: &PlaceArgs, bump: u64) -> Result<(Where, NewCluster, bool), Failure> {
    let nodes = match nodes_file(args.nodes.as_deref()) {
        Some(file) => config::read(&file)?,
        None => config::single(),
    };
    let own = seat::find(&nodes, args.node, &seat::System)?;
    let place = match (&args.data, args.store.as_deref().map(StoreUrl::parse)) {
        (Some(dir), _) => Where::Directory(dir.clone()),
        (None, None | Some(Ok(_))) => args.find()?,
        (None, Some(Err(why))) => return Err(Failure::usage(format!("--store: {why}"))),
    };
    let new = NewCluster {
        id: ClusterId(rand::random()),
        name: nodes.cluster.clone(),
        own: Seat { seat: own.seat, host: own.host.clone(), peer: own.peer, client: own.client },
        skip: bump,
    };
    let place = match place {
        // It will be another cluster's.
        Where::Database(place) => Where::Database(mongo::Place { cluster: None, ..place }),
        dir => dir,
    };
    Ok((place, new, nodes.cluster_id.is_some()))
}

/// An empty store.
async fn empty(
    place: &Where,
    seat: u32,
    move_aside: bool,
    moved: &mut Option<String>,
) -> Result<Arc<dyn Store>, Failure> {
    let refuse = |what: &str| {
        let text = format!("{what} is not empty; --move-aside moves what is there out of the way");
        Err(Failure::text(Kind::Refused, text))
    };
    match place {
        Where::Directory(dir) => {
            if !is_empty(dir)? {
                if !move_aside {
                    return refuse(&dir.display().to_string());
                }
                *moved = Some(embedded::move_aside(dir).map_err(refused)?.to.display().to_string());
            }
            let dir = dir.clone();
            let opened = spawn_blocking(move || embedded::open(&dir, seat, None)).await;
            Ok(Arc::new(opened.map_err(std::io::Error::other)?.map_err(refused)?))
        }
        Where::Database(place) => {
            if !mongo::is_empty(place).await.map_err(refused)? {
                if !move_aside {
                    return refuse("the database");
                }
                *moved = mongo::move_aside(place).await.map_err(refused)?;
                if moved.is_none() {
                    let text = "the database holds something else than a server's data";
                    return Err(Failure::text(Kind::Refused, text));
                }
            }
            Ok(Arc::new(mongo::open(place).await.map_err(refused)?))
        }
    }
}

fn is_empty(dir: &Path) -> Result<bool, StoreError> {
    match std::fs::read_dir(dir) {
        Ok(mut files) => Ok(files.next().is_none()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(error.into()),
    }
}

async fn fill(file: &Path, store: Arc<dyn Store>, new: NewCluster) -> Result<(), Failure> {
    let from = open(file)?;
    let restored = spawn_blocking(move || backup::restore(from, store.as_ref(), &new)).await;
    restored.map_err(std::io::Error::other)??;
    Ok(())
}
