//! What the program says about itself: logs to standard error for a server, to
//! a file for a screen, and a panic in the same place. Callers must not log
//! message bodies, passwords or tokens; what else of others' words they log acts on no terminal.

mod json;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod text;

use crate::chat::text::printable;
use json::Json;
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use text::Text;
use tracing_appender::non_blocking::{NonBlocking, WorkerGuard};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

/// Lines that may wait for the log file; more are dropped, so that a slow disk slows nobody.
const WAITING_LINES: usize = 4096;
/// Days of a screen's log files that are kept.
const KEPT_FILES: usize = 5;

/// The log of a server.
#[derive(Clone, Debug)]
pub struct Setup {
    /// A level for our own code, or filters like `warn,rustchat::raft=debug`.
    pub level: String,
    /// JSON; `None`: text for a terminal, else JSON.
    pub json: Option<bool>,
    /// The directory of log files, besides standard error.
    pub dir: Option<PathBuf>,
    /// Days of log files that are kept.
    pub keep: usize,
    /// Filters for libraries that cry wolf.
    pub quiet: &'static str,
    /// The cluster's name, said in every line of JSON.
    pub cluster: String,
    /// This server, said in every line of JSON.
    pub node: u32,
}

/// A log that has begun. Dropping it writes what still waits for the file.
pub struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
    quiet: &'static str,
    #[expect(dead_code, reason = "writes what waits when it is dropped")]
    file: Option<WorkerGuard>,
}

impl Log {
    /// From now on this is what is logged.
    ///
    /// # Errors
    /// It is no level and no filter; then nothing changes.
    pub fn set_level(&self, level: &str) -> Result<(), String> {
        let filter = filters(level, self.quiet)?;
        self.filter.reload(filter).map_err(|why| why.to_string())
    }
}

/// A level is one of our own code; libraries stay at their warnings, since at `trace` they may
/// show what passes through them. Whoever names targets gets just those.
fn filters(level: &str, quiet: &str) -> Result<EnvFilter, String> {
    let text = match level {
        "off" => "off".to_owned(),
        "error" => format!("error,{quiet}"),
        "warn" | "info" | "debug" | "trace" => format!("warn,rustchat={level},{quiet}"),
        filters => filters.to_owned(),
    };
    EnvFilter::builder().parse(text).map_err(|why| why.to_string())
}

/// Starts the log of a server: to standard error, and to a file a day where a directory is given.
///
/// # Errors
/// The directory cannot be made, or the level is none.
pub fn server(setup: Setup) -> io::Result<Log> {
    let filter = filters(&setup.level, setup.quiet).map_err(io::Error::other)?;
    let (filter, handle) = reload::Layer::new(filter);
    let terminal = io::stderr().is_terminal();
    let json = Json::new(&setup.cluster, setup.node);
    let (file, guard) = match &setup.dir {
        None => (None, None),
        Some(dir) => {
            let name = format!("rustchat-{}", setup.node);
            let (writer, guard) = daily(dir, &name, setup.keep)?;
            let text = setup.json == Some(false);
            (Some(lines(writer, text.then_some(false), json.clone())), Some(guard))
        }
    };
    let colours = terminal && std::env::var_os("NO_COLOR").is_none();
    let text = !setup.json.unwrap_or(!terminal);
    let err = lines(io::stderr, text.then_some(colours), json);
    let log = Registry::default().with(filter).with(err).with(file);
    // A second call changes nothing: the first one's log stays.
    drop(tracing::subscriber::set_global_default(log));
    Ok(Log { filter: handle, quiet: setup.quiet, file: guard })
}

/// A layer that writes lines: text, with colours or without, or else JSON.
fn lines<S, W>(writer: W, text: Option<bool>, json: Json) -> Box<dyn Layer<S> + Send + Sync>
where
    S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    W: for<'w> fmt::MakeWriter<'w> + Send + Sync + 'static,
{
    match text {
        Some(colours) => {
            fmt::layer().fmt_fields(Text).with_writer(writer).with_ansi(colours).boxed()
        }
        None => fmt::layer().with_writer(writer).event_format(json).boxed(),
    }
}

/// A file a day in `dir`, the last `keep` of them.
fn daily(dir: &Path, name: &str, keep: usize) -> io::Result<(NonBlocking, WorkerGuard)> {
    // Made first: the library complains on the terminal about a directory that is not there.
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    let file = tracing_appender::rolling::Builder::new()
        .rotation(tracing_appender::rolling::Rotation::DAILY)
        .filename_prefix(name)
        .filename_suffix("log")
        .max_log_files(keep)
        .build(dir)
        .map_err(io::Error::other)?;
    let waiting = tracing_appender::non_blocking::NonBlockingBuilder::default();
    Ok(waiting.buffered_lines_limit(WAITING_LINES).finish(file))
}

/// Logs to a file a day in `dir`, for programs that own the screen; dropping the guard writes
/// what still waits. Without the file there is no log, and the program goes on. `RUSTCHAT_LOG`
/// says what is logged.
#[must_use]
pub fn to_file(dir: &Path, name: &str) -> Option<WorkerGuard> {
    let (writer, guard) = daily(&dir.join("log"), name, KEPT_FILES).ok()?;
    let level = std::env::var("RUSTCHAT_LOG").unwrap_or_default();
    let filter = filters(&level, "").ok().filter(|_| !level.is_empty());
    let filter = filter.or_else(|| filters("info", "").ok())?;
    let log = fmt::fmt().fmt_fields(Text).with_env_filter(filter).with_writer(writer);
    tracing::subscriber::set_global_default(log.with_ansi(false).finish()).ok()?;
    Some(guard)
}

/// A panic goes to the log, and to standard error in words that ask for a report.
pub fn panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
        let why = printable(panic.payload_as_str().unwrap_or("no text"));
        let why = why.as_ref();
        tracing::error!(place, thread, why, "panic");
        let trace = std::backtrace::Backtrace::capture();
        let mut err = std::io::stderr().lock();
        // Where standard error is gone, the log has it.
        drop(writeln!(err, "rustchat: a mistake in the program, at {place}: {why}\n{trace}"));
    }));
}
