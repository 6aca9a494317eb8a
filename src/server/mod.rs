//! A server: takes clients in, puts what they want through the log, and tells
//! them what was applied. It must not know terminals or the command line.
//!
//! ```text
//! life: opening → node and sessions; while the database is away: waiting
//! accept → session_task ⇄ session (sans-IO) → Node::submit
//! Node → replica → chat::apply → store, then hub → session_task
//! admin: probes, metrics and orders over HTTP
//! ```

pub mod admin;
pub mod backup;
pub mod config;
pub mod session;

mod accept;
mod fair;
mod hub;
mod life;
mod link_view;
mod links;
mod marks;
mod opening;
mod origin;
mod password;
mod placement;
mod process;
mod pulse;
mod queries;
mod ready;
mod replica;
mod seek;
mod session_task;
mod shared;
mod status;
mod strangers;
mod visits;
mod waiting;
mod watchers;

#[cfg(test)]
mod tests;

pub use config::{ServeError, ServerConfig, StoreSpec};
pub use hub::Hub;
pub use life::run;
pub use pulse::Pulse;
pub use replica::{Replica, StateReader};
