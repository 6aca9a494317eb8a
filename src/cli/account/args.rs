//! What people type about their account. It must not know what is done.

use crate::cli::args::ConnectArgs;
use clap::Args;
use std::path::PathBuf;

/// `rustchat devices`.
#[derive(Clone, Debug, Args)]
#[command(mut_arg("register", |arg| arg.hide(true)))]
#[command(mut_arg("invite", |arg| arg.hide(true)))]
pub struct DevicesArgs {
    /// Where to, and as whom.
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// One JSON document
    #[arg(long, conflicts_with = "revoke")]
    pub json: bool,
    /// Log this device out, wherever it is; the beginning of its id is enough
    #[arg(long, value_name = "ID")]
    pub revoke: Option<String>,
}

/// `rustchat logout`.
#[derive(Clone, Debug, Args)]
#[command(mut_arg("register", |arg| arg.hide(true)))]
#[command(mut_arg("invite", |arg| arg.hide(true)))]
#[command(mut_arg("password_file", |arg| arg.hide(true)))]
pub struct LogoutArgs {
    /// Where to, and as whom.
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// Lose messages that are not sent yet
    #[arg(long)]
    pub force: bool,
}

/// `rustchat passwd`.
#[derive(Clone, Debug, Args)]
#[command(mut_arg("register", |arg| arg.hide(true)))]
#[command(mut_arg("invite", |arg| arg.hide(true)))]
pub struct PasswdArgs {
    /// Where to, and as whom.
    #[command(flatten)]
    pub connect: ConnectArgs,
    /// A file with the new password in its first line [default: ask, twice]
    #[arg(long, value_name = "FILE")]
    pub new_password_file: Option<PathBuf>,
    /// Leave the other devices logged in
    #[arg(long)]
    pub keep_devices: bool,
}
