//! `rustchat recover`, as clap reads it. It must not know what the commands do.

use crate::cli::place::PlaceArgs;
use clap::{Args, Subcommand};
use std::path::PathBuf;

/// `rustchat recover`.
#[derive(Clone, Debug, Args)]
pub struct RecoverArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: RecoverCommand,
}

/// The steps of a recovery.
#[derive(Clone, Debug, Subcommand)]
pub enum RecoverCommand {
    /// Say what a stopped server has; or, with --merge, which of the servers has most
    Plan {
        /// Which server.
        #[command(flatten)]
        place: PlaceArgs,
        /// Write the plan to this file, which must not be there
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Plans of all servers that are left: say which of them to go on with
        #[arg(
            long,
            value_name = "PLAN",
            num_args = 1..,
            conflicts_with_all = ["data", "store", "node"]
        )]
        merge: Vec<PathBuf>,
        /// One JSON document
        #[arg(long)]
        json: bool,
    },
    /// Make a stopped server the only one of its cluster; what it does not have is lost
    Quorum {
        /// Which server.
        #[command(flatten)]
        place: PlaceArgs,
        /// The plan that names this server: merged, or its own if it is the only one left
        #[arg(long, value_name = "PLAN")]
        plan: PathBuf,
        /// The cluster's id, as the plan says it: messages that only lost servers had are gone
        #[arg(long, value_name = "CLUSTER-ID")]
        accept_data_loss: String,
        /// Numbers of users and conversations that are left out, for they may be in use already
        #[arg(long, value_name = "N", default_value_t = 1_000_000,
            value_parser = clap::value_parser!(u64).range(..=1 << 40))]
        bump: u64,
    },
}
