//! The program: parse, dispatch, and the only place where an end becomes an exit code.

use clap::Parser;
use rustchat::chat::text::printable;
use rustchat::cli::args::Cli;
use rustchat::cli::outcome::{End, Failure, Kind};
use rustchat::{cli, telemetry};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    telemetry::panics();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(answer) => {
            let usage = answer.use_stderr();
            return ExitCode::from(if answer.print().is_err() || usage { 64 } else { 0 });
        }
    };
    match cli::run(cli.command) {
        Ok(end) => ExitCode::from(match end {
            End::Done => 0,
            End::Degraded => 1,
            End::NotServing => 2,
            End::NoAnswer => 3,
        }),
        Err(failure) => {
            complain(&failure);
            ExitCode::from(code(failure.kind))
        }
    }
}

/// The numbers of sysexits.h where they fit; operators know them.
fn code(kind: Kind) -> u8 {
    match kind {
        Kind::Refused => 5,
        Kind::Usage => 64,
        Kind::Data => 65,
        Kind::Unavailable => 69,
        Kind::Bug => 70,
        Kind::Io => 74,
        Kind::Again => 75,
        Kind::Auth => 77,
        Kind::Config => 78,
    }
}

fn complain(failure: &Failure) {
    // Where standard error is gone, there is nobody left to tell.
    let text = failure.to_string();
    // Some of its words may be others'.
    let lines: Vec<_> = text.lines().map(printable).collect();
    // Only the program itself begins a line.
    drop(writeln!(std::io::stderr().lock(), "rustchat: {}", lines.join("\n  ")));
}
