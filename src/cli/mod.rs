//! The command line: what can be typed ([`args`]), how a command ends
//! ([`outcome`]) and the commands that are too small for a module of their own.
//! It wires the parts together and must not do their work.

pub mod account;
pub mod args;
pub mod config;
pub mod connect;
mod keys;
pub mod manual;
mod operate;
pub mod outcome;
pub mod setting_args;
pub mod signals;

pub mod backup;
mod bench;
mod chat;
mod dash;
mod effective;
mod events;
pub mod place;
mod proto;
pub mod recover;
mod reload;
pub mod send;
mod serve;
pub mod status;
mod store;
mod systemd;
pub mod tail;
mod talk;

use crate::{demo, limits};
use args::Command;
use outcome::Outcome;
use std::time::Duration;

/// What still runs when a command has ended has this long.
const LEFTOVERS: Duration = Duration::from_millis(500);

/// Runs a command to its end.
///
/// # Errors
/// A failure says what went wrong and which kind it is; `main` turns the kind into an exit code.
pub fn run(command: Command) -> Outcome {
    match command {
        Command::Serve(args) => wait_for(serve::run(&args)),
        Command::Chat(args) if args.send.is_some() => wait_for(send::run(&args)),
        Command::Chat(args) if args.tail.is_some() => wait_for(tail::run(&args)),
        Command::Chat(args) => wait_for(chat::run(&args)),
        Command::Devices(args) => wait_for(account::devices(&args)),
        Command::Logout(args) => wait_for(account::logout(&args)),
        Command::Passwd(args) => wait_for(account::passwd(&args)),
        Command::Status(args) => wait_for(status::run(&args)),
        Command::Events(args) => wait_for(events::run(&args)),
        Command::Dash(args) => wait_for(dash::run(&args)),
        Command::Demo(args) => wait_for(demo::run(&args)),
        Command::Bench(args) => wait_for(bench::run(&args)),
        Command::Health(args) => wait_for(operate::health(&args)),
        Command::Member(args) => wait_for(operate::member(&args.command)),
        Command::Leader(args) => wait_for(operate::leader(&args.command)),
        Command::Drain(args) => wait_for(operate::drain(&args, true)),
        Command::Undrain(args) => wait_for(operate::drain(&args, false)),
        Command::Keys(args) => keys::run(&args.command),
        Command::Registration(args) => wait_for(operate::registration(&args)),
        Command::Link(args) => wait_for(operate::link(&args.command)),
        Command::Invite(args) => wait_for(operate::invite(&args)),
        Command::Proto => proto::run(),
        Command::Store(args) => store::run(&args.command),
        Command::Config(args) => config::run(&args.command),
        Command::Completions(args) => manual::completions(&args),
        Command::Man(args) => manual::pages(&args),
        Command::Backup(args) => backup::run(&args.command),
        Command::Recover(args) => recover::run(&args.command),
    }
}

/// Runs what a command does on a runtime with as many threads as the machine can use.
fn wait_for(work: impl Future<Output = Outcome>) -> Outcome {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.min(limits::WORKERS))
        .max_blocking_threads(limits::BLOCKING_THREADS)
        .enable_all()
        .build()?;
    let end = runtime.block_on(work);
    runtime.shutdown_timeout(LEFTOVERS);
    end
}
