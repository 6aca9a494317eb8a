//! What may stand for a log level. Pure. A slip like `debgu` is a filter to the
//! library that reads it, and would log everything of a module of that name.

use crate::config::toml_table::nearest;

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A level, or filters like `warn,rustchat::raft=debug`.
pub fn check(text: &str) -> Result<(), String> {
    let filters = text.split(',').map(str::trim);
    for filter in filters {
        match filter.split_once('=') {
            Some((target, level)) if !target.is_empty() && !target.contains(['[', ' ']) => {
                one(level.trim())?;
            }
            Some(_) => return Err(format!("{filter:?} is no filter; write TARGET=LEVEL")),
            None => one(filter)?,
        }
    }
    Ok(())
}

fn one(level: &str) -> Result<(), String> {
    if LEVELS.contains(&level) {
        return Ok(());
    }
    let advice = match nearest(level, &LEVELS) {
        Some(known) => format!("did you mean {known:?}?"),
        None => format!("levels are {}, or write TARGET=LEVEL", LEVELS.join(", ")),
    };
    Err(format!("{level:?} is no level; {advice}"))
}
