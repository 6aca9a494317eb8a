//! `rustchat backup create`: fetches or makes a backup, reads it again, and only then gives it
//! its name. It must not know what a backup looks like inside.

use super::args::CreateArgs;
use super::target::Target;
use super::{fetch, say, summary, verify};
use crate::cli::connect::nodes_file;
use crate::cli::outcome::{End, Failure, Kind, Outcome};
use crate::cli::place::{self, refused};
use crate::cli::wait_for;
use crate::config;
use crate::server::backup::of_stopped;
use crate::store::check::{self, Where};
use crate::store::{Store, embedded, mongo};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use tokio::task::spawn_blocking;

/// Makes the backup.
pub fn run(args: &CreateArgs) -> Outcome {
    let mut target = Target::new(&args.out)?;
    let end = if args.data.is_some() || args.store.is_some() {
        let (place, seat) = stopped(args)?;
        wait_for(from_stopped(&place, seat, &mut target))?
    } else {
        wait_for(from_running(args, &mut target))?
    };
    if end != End::Done {
        return Ok(end);
    }
    target.sync()?;
    let checked = verify(target.part()).map_err(|why| {
        let sent = args.data.is_none() && args.store.is_none() && why.kind == Kind::Data;
        // The server stopped meanwhile, or the connection broke: what it has is not damaged.
        if sent { Failure { kind: Kind::Again, ..why } } else { why }
    })?;
    target.keep()?;
    say(&format!("{}: ok, {}", args.out.display(), summary(&checked)))
}

/// The stopped server's data, and its seat.
fn stopped(args: &CreateArgs) -> Result<(Where, u32), Failure> {
    let seat = match args.node.as_slice() {
        [] => None,
        [seat] => Some(seat.parse().map_err(|_| {
            Failure::usage(format!("with --store, --node names a seat, and {seat:?} is none"))
        })?),
        _ => return Err(Failure::usage("--store is the database of one server")),
    };
    let store = args.store.as_deref();
    let place = place::find(args.data.as_deref(), store, seat, args.nodes.as_deref())?;
    let survey = check::survey(&place).map_err(refused)?;
    match survey.broken {
        None => Ok((place, survey.identity.seat)),
        Some(broken) => Err(Failure::text(Kind::Data, broken)),
    }
}

async fn from_stopped(place: &Where, seat: u32, target: &mut Target) -> Outcome {
    let store: Arc<dyn Store> = match place {
        Where::Directory(dir) => {
            let dir = dir.clone();
            let opened = spawn_blocking(move || embedded::open(&dir, seat, None)).await;
            Arc::new(opened.map_err(std::io::Error::other)?.map_err(refused)?)
        }
        Where::Database(place) => {
            let place = mongo::Place { seat, ..place.clone() };
            Arc::new(mongo::open(&place).await.map_err(refused)?)
        }
    };
    let written = write(Arc::clone(&store), target).await;
    let closed = store.close().await;
    written?;
    closed?;
    Ok(End::Done)
}

async fn write(store: Arc<dyn Store>, target: &mut Target) -> Result<(), Failure> {
    let mut source = of_stopped(store).await?;
    while let Some(bytes) = source.next().await? {
        target.write(&bytes)?;
    }
    Ok(())
}

async fn from_running(args: &CreateArgs, target: &mut Target) -> Outcome {
    let addresses = addresses(args)?;
    let mut unavailable = None;
    for address in &addresses {
        match fetch::fetch(address, args.stale_ok, target).await {
            Ok(true) => return Ok(End::Done),
            Ok(false) => {}
            // Cut off, or waiting for its database: another one may not be.
            Err(why) if why.kind == Kind::Unavailable => unavailable = Some(why),
            Err(why) => return Err(why),
        }
    }
    if let Some(why) = unavailable {
        return Err(why);
    }
    let text = format!("no server answers at {}", addresses.join(", "));
    // Where standard error is gone, there is nobody left to tell.
    drop(std::io::Write::write_fmt(
        &mut std::io::stderr().lock(),
        format_args!("rustchat: {text}\n"),
    ));
    Ok(End::NoAnswer)
}

/// The admin ports to ask.
fn addresses(args: &CreateArgs) -> Result<Vec<String>, Failure> {
    if !args.node.is_empty() {
        return Ok(args.node.clone());
    }
    let nodes = match nodes_file(args.nodes.as_deref()) {
        Some(file) => config::read(&file)?,
        None => config::single(),
    };
    // As `serve` listens there: on its own address where that is a loopback one.
    let ip = |node: &config::Node| {
        let own = node.listen.parse::<IpAddr>().ok().filter(IpAddr::is_loopback);
        own.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
    };
    let admin = |node: &config::Node| Some(SocketAddr::new(ip(node), node.admin?).to_string());
    let all: Vec<_> = nodes.nodes.iter().filter_map(admin).collect();
    if all.is_empty() {
        let text = "no server in nodes.conf has an admin port; name one with --node HOST:PORT, \
                    or a stopped server's data with --data or --store";
        return Err(Failure::config(text));
    }
    Ok(all)
}
