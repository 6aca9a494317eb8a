//! rustchat: a chat that stays up when machines die.
//!
//! ```text
//! socket → wire → session → Command → raft → log → apply (chat) → store
//!                                                     └→ Event → hub → sessions → wire → socket
//! ```
//! Nothing downstream calls upstream. ARCHITECTURE.md says which module may know which.

pub mod chat;
pub mod client;
pub mod limits;
pub mod raft;
pub mod store;
pub mod wire;
pub mod bench;
pub mod cli;
pub mod config;
pub mod demo;
pub mod discovery;
pub mod server;
pub mod telemetry;
pub mod ui;
