//! The command line: what can be typed ([`args`]), how a command ends
//! ([`outcome`]) and the commands that are too small for a module of their own.
//! It wires the parts together and must not do their work.

pub mod args;
pub mod connect;
pub mod outcome;

mod proto;

use args::Command;
use outcome::Outcome;

/// Runs a command to its end.
///
/// # Errors
/// A failure says what went wrong and which kind it is; `main` turns the kind into an exit code.
pub fn run(command: Command) -> Outcome {
    match command {
        Command::Proto => proto::run(),
        other => Err(outcome::Failure::usage(format!("not in this build: {other:?}"))),
    }
}
