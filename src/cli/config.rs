//! `rustchat config`: says whether a server's configuration is right, and what it
//! amounts to. It starts nothing and changes nothing.

use super::effective::{Effective, Row};
use super::outcome::{End, Failure, Outcome};
use super::setting_args::{AFTER_HELP, SettingArgs};
use crate::chat::text::{printable, printable_json};
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::io::Write;

/// `rustchat config`.
#[derive(Clone, Debug, Args)]
pub struct ConfigArgs {
    /// What to do with it.
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// What can be done with a configuration.
#[derive(Clone, Debug, Subcommand)]
pub enum ConfigCommand {
    /// Say all that is wrong with it; exit code 0 or 78
    #[command(after_help = AFTER_HELP)]
    Check {
        /// The same options as those of `serve`.
        #[command(flatten)]
        settings: Box<SettingArgs>,
    },
    /// Print what `serve` with the same options would run with, without secrets
    #[command(after_help = AFTER_HELP)]
    Show {
        /// Say where each value comes from: flag, env, file:line, credential or default
        #[arg(long)]
        origin: bool,
        /// One JSON document; it always has the origins
        #[arg(long)]
        json: bool,
        /// The same options as those of `serve`.
        #[command(flatten)]
        settings: Box<SettingArgs>,
    },
}

/// Checks or shows.
pub fn run(command: &ConfigCommand) -> Outcome {
    let (ConfigCommand::Check { settings } | ConfigCommand::Show { settings, .. }) = command;
    let effective = load(settings)?;
    let mut err = std::io::stderr().lock();
    for warning in &effective.settings.warnings {
        writeln!(err, "rustchat: warning: {}", printable(warning))?;
    }
    let mut out = std::io::stdout().lock();
    match command {
        ConfigCommand::Check { .. } => {
            let (seat, cluster) = (effective.own.seat, &effective.nodes.cluster);
            super::keys::check(&effective)?;
            writeln!(out, "nothing is wrong: server {seat} of cluster {cluster:?}")?;
        }
        ConfigCommand::Show { json: true, .. } => {
            writeln!(out, "{}", printable_json(&format!("{:#}", document(&effective))))?
        }
        ConfigCommand::Show { origin, .. } => {
            for line in table(&effective.rows(), *origin) {
                writeln!(out, "{}", printable(&line))?;
            }
        }
    }
    Ok(End::Done)
}

/// What `serve` with these options would run with.
///
/// # Errors
/// All that is wrong, a line each.
pub fn load(settings: &SettingArgs) -> Result<Effective, Failure> {
    Effective::load(&settings.sources()).map_err(Failure::from)
}

fn table(rows: &[Row], origin: bool) -> Vec<String> {
    let width = |of: fn(&Row) -> &str| rows.iter().map(|row| of(row).chars().count()).max();
    let (keys, values) = (width(|row| &row.key), width(|row| &row.shown));
    let (keys, values) = (keys.unwrap_or(0), values.unwrap_or(0));
    let line = |row: &Row| match origin {
        true => format!("{:keys$}  {:values$}  {}", row.key, row.shown, row.origin),
        false => format!("{:keys$}  {}", row.key, row.shown),
    };
    rows.iter().map(line).collect()
}

fn document(effective: &Effective) -> Value {
    let settings = effective.rows().into_iter().map(|row| {
        let value = json!({ "value": row.shown, "origin": row.origin.to_string() });
        (row.key, value)
    });
    let file = effective.settings.file.as_ref().map(|file| file.display().to_string());
    json!({
        "schema": 1,
        "file": file,
        "settings": settings.collect::<Map<_, _>>(),
        "nodes": effective.nodes_rows().into_iter().collect::<std::collections::BTreeMap<_, _>>(),
    })
}
