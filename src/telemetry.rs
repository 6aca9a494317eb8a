//! What the program says about itself: logs to standard error for a server, to
//! a file for a screen, and a panic in the same place. Callers must not log
//! message bodies, passwords or tokens.

use std::io::{IsTerminal, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::EnvFilter;

/// Lines that may wait for the log file; more are dropped, so that a slow disk slows nobody.
const WAITING_LINES: usize = 4096;
/// Days of log files that are kept.
const KEPT_FILES: usize = 5;

/// `RUSTCHAT_LOG`, else our own news and what libraries say of trouble, except for those that
/// `quiet` turns down.
fn filter(quiet: &str) -> EnvFilter {
    let usual = format!("warn,rustchat=info,{quiet}");
    EnvFilter::builder().parse_lossy(std::env::var("RUSTCHAT_LOG").unwrap_or(usual))
}

/// Logs to standard error: text for a terminal, else a JSON object a line. `quiet` are filters
/// for libraries that cry wolf.
pub fn to_stderr(quiet: &str) {
    let log = tracing_subscriber::fmt().with_env_filter(filter(quiet)).with_writer(std::io::stderr);
    let set = if std::io::stderr().is_terminal() {
        let colours = std::env::var_os("NO_COLOR").is_none();
        tracing::subscriber::set_global_default(log.with_ansi(colours).finish())
    } else {
        tracing::subscriber::set_global_default(log.json().flatten_event(true).finish())
    };
    // A second call changes nothing: the first one's log stays.
    drop(set);
}

/// Logs to a file a day in `dir`, for programs that own the screen; dropping the guard writes
/// what still waits. Without the file there is no log, and the program goes on.
#[must_use]
pub fn to_file(dir: &Path, name: &str) -> Option<WorkerGuard> {
    let dir = dir.join("log");
    // Made first: the library complains on the terminal about a directory that is not there.
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir).ok()?;
    let file = tracing_appender::rolling::Builder::new()
        .rotation(tracing_appender::rolling::Rotation::DAILY)
        .filename_prefix(name)
        .filename_suffix("log")
        .max_log_files(KEPT_FILES)
        .build(dir)
        .ok()?;
    let (writer, guard) = tracing_appender::non_blocking::NonBlockingBuilder::default()
        .buffered_lines_limit(WAITING_LINES)
        .finish(file);
    let log = tracing_subscriber::fmt().with_env_filter(filter("")).with_writer(writer);
    tracing::subscriber::set_global_default(log.with_ansi(false).finish()).ok()?;
    Some(guard)
}

/// A panic goes to the log, and to standard error in words that ask for a report.
pub fn panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        let why = panic.payload_as_str().unwrap_or("no text");
        tracing::error!(place, thread, why, "panic");
        let trace = std::backtrace::Backtrace::capture();
        let mut err = std::io::stderr().lock();
        // Where standard error is gone, the log has it.
        drop(writeln!(err, "rustchat: a mistake in the program, at {place}: {why}\n{trace}"));
    }));
}
