//! `rustchat backup`, as clap reads it. It must not know what the commands do.

use crate::cli::place::PlaceArgs;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `rustchat backup`.
#[derive(Clone, Debug, Args)]
pub struct BackupArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: BackupCommand,
}

/// What can be done with a backup.
#[derive(Clone, Debug, Subcommand)]
pub enum BackupCommand {
    /// Back up users, conversations and all messages: of a running cluster, or with --data or
    /// --store of a stopped server
    Create(CreateArgs),
    /// Print what a backup says of itself
    Inspect {
        /// The backup
        file: PathBuf,
        /// One JSON document
        #[arg(long)]
        json: bool,
    },
    /// Read all of a backup and check that it is whole
    Verify {
        /// The backup
        file: PathBuf,
    },
    /// Make a new cluster of a backup, with one server; others join with `serve --rejoin`
    Restore {
        /// The backup
        file: PathBuf,
        /// Where the server will keep its data.
        #[command(flatten)]
        place: PlaceArgs,
        /// Move what is there aside first
        #[arg(long)]
        move_aside: bool,
        /// Numbers of users and conversations that are left out, for the old cluster may have
        /// given them away after the backup
        #[arg(long, value_name = "N", default_value_t = 1_000_000,
            value_parser = clap::value_parser!(u64).range(..=1 << 40))]
        bump: u64,
    },
}

/// `rustchat backup create`.
#[derive(Clone, Debug, Args)]
pub struct CreateArgs {
    /// A running server to ask, by its admin port; with --store, the seat of the stopped one
    #[arg(long, value_name = "HOST:PORT")]
    pub node: Vec<String>,
    /// The servers of the cluster: the first that answers is asked [default: ./nodes.conf]
    #[arg(long, value_name = "FILE", env = "RUSTCHAT_NODES")]
    pub nodes: Option<PathBuf>,
    /// The data directory of a stopped server
    #[arg(long, value_name = "DIR", conflicts_with_all = ["node", "store"])]
    pub data: Option<PathBuf>,
    /// The database of a stopped server, as `serve` has it: mongodb://…
    #[arg(long, value_name = "STORE")]
    pub store: Option<String>,
    /// The backup; it must not be there yet
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Take what the server has, where no majority can say whether that is all
    #[arg(long)]
    pub stale_ok: bool,
}
