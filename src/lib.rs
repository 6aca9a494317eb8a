//! rustchat: a chat that stays up when machines die.
//!
//! ```text
//! socket → wire → session → Command → raft → log → apply (chat) → store
//!                                                     └→ Event → hub → sessions → wire → socket
//! ```
//! Nothing downstream calls upstream. ARCHITECTURE.md says which module may know which.

pub mod bench;
pub mod chat;
pub mod cli;
pub mod client;
pub mod clock;
pub mod config;
pub mod demo;
pub mod discovery;
pub mod limits;
pub mod link;
pub mod raft;
pub mod report;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod ui;
pub mod wire;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
#[path = "../tests/support/mod.rs"]
#[expect(dead_code, reason = "each binary of tests uses a part of it")]
mod support;
